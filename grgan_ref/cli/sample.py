"""The command `grgan sample`."""

from __future__ import annotations

from pathlib import Path

import click

from cmdmetric.cli import completion
from cmdmetric.terminal import tell
from grgan_ref.cli.options import PATH, device_option, preset_of_file_option


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
@click.option(
    "--matcher",
    "--itm",
    "matcher",
    type=PATH,
    help="Of a released generator: ITM_model149.pth, the folder of DAMSM's encoders, or either "
    "imported.",
)
@preset_of_file_option
@device_option
def sample_command(
    checkpoint: Path,
    captions: Path,
    out: Path,
    num: int | None,
    seed: int,
    stage: str,
    batch: int,
    matcher: Path | None,
    preset: str | None,
    device: str | None,
) -> None:
    """Make images for the captions of a file, named after the images that the file names.

    \b
    grgan sample scenes-small examples/captions.json images/
    grgan sample runs/gan captions_val2014.json images/ --num 30000 --seed 100
    cmd-score images/ captions_val2014.json
    grgan sample checkpoint_0300.pth captions_val2014.json images/ \\
        --matcher ITM_model149.pth
    grgan sample coco_DMGAN.pth data/coco/ images/ --matcher damsm/ --num 30000

    CHECKPOINT is a run folder of grgan train, its model/ folder, the bundled scenes-small, or the
    released file of GR-GAN, AttnGAN or DM-GAN, imported or as it is.
    CAPTIONS is anything that cmd-score reads, or a data folder as AttnGAN, DM-GAN and GR-GAN have
    it: the names of its test/filenames.pickle in their order, with the first five captions of
    each. Each image of CAPTIONS gives one caption, drawn by the seed, as in the published
    evaluation.

    An image follows from seed and caption, whatever the batch size and whatever else is in the
    file (a caption that comes again gets another image). Not so with released weights: their
    codes mix the masks of a batch, so that an image depends on its neighbours, and batches are
    made whole.

    Interrupted, the same command makes what is missing.
    """
    from cmdmetric.inputs import read_captions
    from grgan_ref.data import authors_captions, is_authors
    from grgan_ref.model import load_model
    from grgan_ref.sample import choose, sample
    from grgan_ref.training import distributed

    place = distributed.start(device)
    read = authors_captions(captions, 5) if is_authors(captions) else read_captions(captions)
    jobs = choose(read, num, seed)
    model = load_model(checkpoint, place, matcher=matcher, preset=preset)
    identity = {"model": model.fingerprint(), "seed": seed}
    if model.config.quirks.mixed_memory_mask:
        tell("note: images depend on their batch (released mask bug); see --help")
    made = sample(model, jobs, out, identity, stage, batch)
    tell(f"{made} images made, {len(jobs) - made} were there: {out}")
