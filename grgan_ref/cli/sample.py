"""The command `grgan sample`."""

from __future__ import annotations

from pathlib import Path

import click

from cmdmetric.cli import completion
from grgan_ref.cli.options import PATH, complete_presets, device_option
from grgan_ref.errors import GrganError


@click.command("sample")
@click.argument(
    "checkpoint", type=PATH, shell_complete=completion.names(["scenes-small"], files=True)
)
@click.argument("captions", type=PATH)
@click.argument("out", type=PATH)
@click.option("--num", type=int, help="Images to make.  [default: one for each in CAPTIONS]")
@click.option("--seed", type=int, default=0, show_default=True, help="Of captions and noise.")
@click.option(
    "--stage",
    default="last",
    show_default=True,
    shell_complete=completion.names(["last", "1", "2", "3", "all"]),
    help="Whose images: last, a number from 1, or all (folders OUT/stage-1, ...).",
)
@click.option(
    "--batch", type=click.IntRange(min=1), default=16, show_default=True, help="Images at once."
)
@click.option("--itm", type=PATH, help="The released ITM_model149.pth, with a released .pth.")
@click.option(
    "--preset",
    default="coco-released",
    show_default=True,
    shell_complete=complete_presets,
    help="Configuration of a released .pth; other checkpoints bring their own.",
)
@device_option
def sample_command(
    checkpoint: Path,
    captions: Path,
    out: Path,
    num: int | None,
    seed: int,
    stage: str,
    batch: int,
    itm: Path | None,
    preset: str,
    device: str | None,
) -> None:
    """Make images for the captions of a file, named after the images that the file names.

    \b
    grgan sample scenes-small examples/captions.json images/
    grgan sample runs/gan captions_val2014.json images/ --num 30000 --seed 100
    cmd-score images/ captions_val2014.json
    grgan sample checkpoint_0300.pth captions_val2014.json images/ --itm ITM_model149.pth

    CHECKPOINT is a run folder of grgan train, its model/ folder, the bundled scenes-small, or the
    authors' released file.
    CAPTIONS is anything that cmd-score reads. Each of its images gives one caption, drawn by the
    seed, as in the published evaluation.

    An image follows from seed and caption, whatever the batch size and whatever else is in the
    file (a caption that comes again gets another image). Not so with the preset coco-released: the
    released code mixes the masks of a batch, so that an image depends on its neighbours, and
    batches are made whole.

    Interrupted, the same command makes what is missing.
    """
    from cmdmetric.inputs import read_captions
    from grgan_ref.config import Config
    from grgan_ref.model import load_model, load_released
    from grgan_ref.sample import choose, sample
    from grgan_ref.training import distributed

    place = distributed.start(device)
    jobs = choose(read_captions(captions), num, seed)
    if checkpoint.suffix in (".pth", ".pt"):
        if itm is None:
            raise GrganError(f"{checkpoint}: a released checkpoint needs --itm ITM_model149.pth")
        model = load_released(checkpoint, itm, Config.load(preset), place)
    else:
        model = load_model(checkpoint, place)
    identity = {"model": model.fingerprint(), "seed": seed}
    if model.config.quirks.mixed_memory_mask:
        click.echo("note: images depend on their batch (released mask bug); see --help", err=True)
    made = sample(model, jobs, out, identity, stage, batch)
    click.echo(f"{made} images made, {len(jobs) - made} were there: {out}", err=True)
