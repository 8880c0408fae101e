"""The command `grgan`: it parses, calls one function, and prints.

What the commands call is imported when they run: help and completion answer without torch.
"""

from __future__ import annotations

import sys
from typing import Any

import click

from cmdmetric.cli import entry
from cmdmetric.errors import InputError
from cmdmetric.version import __version__
from grgan_ref.cli.ablate import ablate_command
from grgan_ref.cli.look import info_command, retrieval_command
from grgan_ref.cli.released import import_damsm_command, import_gan_command, import_itm_command
from grgan_ref.cli.sample import sample_command
from grgan_ref.cli.train import train_command, train_damsm_command, train_itm_command


class _Stop(click.ClickException):
    """One line on stderr and exit status 2."""

    exit_code = entry.WRONG


class Group(entry.Group):
    """Turns a user's mistake, a full disk and a diverged training into one line and exit code 2."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command, and end the group of processes that it may have started."""
        try:
            return super().invoke(ctx)
        except (InputError, FloatingPointError) as error:
            raise _Stop(str(error)) from None
        except OSError as error:
            where = f"{error.filename}: " if error.filename else ""
            raise _Stop(f"{where}{error.strerror or error}") from None
        finally:
            # Where no command imported torch, there is nothing to stop.
            if distributed := sys.modules.get("grgan_ref.training.distributed"):
                distributed.stop()


@click.group(cls=Group, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__)
def main() -> None:
    """GR-GAN, gradual refinement text-to-image generation: train it, sample it, look into it.

    \b
    The whole loop from nothing, in about an hour on two CPU cores:
      grgan train-itm --preset scenes-small --out runs/itm --steps 600
      grgan train --preset scenes-small --matcher runs/itm --out runs/gan \\
          --steps 5000
      grgan sample runs/gan captions.json images/ --num 1000 --seed 1
      cmd-score images/ captions.json --model scenes-toy

    Without --steps a training takes the preset's number of epochs, here more than ten times as
    long. What the authors of GR-GAN, AttnGAN and DM-GAN released, sample takes as it is.

    Any training runs on several devices under torchrun, with at least two samples of the batch
    for each:

    \b
      torchrun --nproc-per-node 4 -m grgan_ref train ...
    """


for command in (
    train_itm_command,
    train_damsm_command,
    train_command,
    import_gan_command,
    import_itm_command,
    import_damsm_command,
    sample_command,
    retrieval_command,
    info_command,
    ablate_command,
):
    main.add_command(command)
