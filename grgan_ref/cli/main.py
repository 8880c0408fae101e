"""The command `grgan`: it parses, calls one function, and prints.

What the commands call is imported when they run: help and completion answer without torch.
"""

from __future__ import annotations

import sys
from typing import Any

import click

from cmdmetric.errors import InputError
from cmdmetric.version import __version__
from grgan_ref.cli.ablate import ablate_command
from grgan_ref.cli.look import info_command, retrieval_command
from grgan_ref.cli.sample import sample_command
from grgan_ref.cli.train import (
    import_damsm_command,
    train_command,
    train_damsm_command,
    train_itm_command,
)


class Group(click.Group):
    """Turns a user's mistake into one line and exit code 2, a failed training into 1."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except InputError as error:
            raise _stop(str(error), 2) from None
        except FloatingPointError as error:
            raise _stop(str(error), 1) from None
        finally:
            # Where no command imported torch, there is nothing to stop.
            if distributed := sys.modules.get("grgan_ref.training.distributed"):
                distributed.stop()


def _stop(message: str, code: int) -> click.ClickException:
    error = click.ClickException(message)
    error.exit_code = code
    return error


@click.group(cls=Group, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__)
def main() -> None:
    """GR-GAN, gradual refinement text-to-image generation: train it, sample it, look into it.

    \b
    The whole loop, on a laptop, from nothing:
      grgan train-itm --preset scenes-small --out runs/itm
      grgan train --preset scenes-small --matcher runs/itm --out runs/gan
      grgan sample runs/gan captions.json images/ --num 1000 --seed 1
      cmd-score images/ captions.json

    Any training runs on several devices under torchrun:
    torchrun --nproc-per-node 4 -m grgan_ref train ...
    """


for command in (
    train_itm_command,
    train_damsm_command,
    import_damsm_command,
    train_command,
    sample_command,
    retrieval_command,
    info_command,
    ablate_command,
):
    main.add_command(command)
