"""The command `grgan ablate`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from cmdmetric.cli import completion
from cmdmetric.terminal import as_json, say
from grgan_ref.ablation import TABLES
from grgan_ref.cli.options import (
    PATH,
    complete_presets,
    complete_settings,
    device_option,
    settings_of,
)
from grgan_ref.errors import GrganError

if TYPE_CHECKING:
    from cmdmetric.cli.completion import Items


def _complete_rows(ctx: click.Context, param: click.Parameter, incomplete: str) -> Items:
    """The keys of the table's rows."""
    # click leaves TABLE among the rest where the last option still lacks its value.
    words = [*ctx.args, ctx.params.get("table")]
    rows = [row for word in words if word in TABLES for row in TABLES[word].rows]
    return completion.listed(row.key for row in rows)(ctx, param, incomplete)


@click.command("ablate")
@click.argument("table", metavar="TABLE", type=click.Choice(list(TABLES)))
@click.option(
    "--preset",
    default="scenes-tiny",
    show_default=True,
    metavar="NAME|FILE",
    shell_complete=complete_presets,
    help="What the rows are put upon: sizes, data and training.",
)
@click.option("--out", type=PATH, required=True, help="Folder of all runs and results.")
@click.option(
    "--rows",
    shell_complete=_complete_rows,
    help="Names or keys, separated by commas.  [default: all]",
)
@click.option("--steps", type=click.IntRange(min=1), help="Of every row.  [default: the preset's]")
@click.option("--seeds", default="0", show_default=True, help="Separated by commas.")
@click.option(
    "--samples", type=click.IntRange(min=2), default=1000, show_default=True, help="To score."
)
@click.option("--data", type=PATH, help="Folder of the data set (none for scenes).")
@click.option("--val", type=PATH, help="Folder of the held-out data, where it is another one.")
@click.option(
    "--set",
    "settings",
    multiple=True,
    metavar="KEY=VALUE",
    shell_complete=complete_settings,
    help="In every row.",
)
@device_option
@click.option(
    "--workers",
    type=click.IntRange(min=0),
    default=0,
    show_default=True,
    help="Processes that read data.",
)
@click.option(
    "--score-model",
    shell_complete=completion.models,
    help="Encoder that scores.  [default: scenes-toy for scenes]",
)
@click.option("--score-weights", type=PATH, help="A file with that encoder's weights.")
@click.option(
    "--matcher",
    "matchers",
    type=PATH,
    multiple=True,
    help="A trained ITM or DAMSM, as for grgan train, in place of training it. Repeatable.",
)
@click.option(
    "--inception-weights",
    type=PATH,
    help="For FID.  [default: those in torch's or cmdmetric's cache, else no FID]",
)
@click.option(
    "--format",
    "form",
    type=click.Choice(["md", "json"]),
    default="md",
    show_default=True,
    help="Of what is printed at the end; OUT gets both.",
)
def ablate_command(
    table: str,
    preset: str,
    out: Path,
    rows: str | None,
    steps: int | None,
    seeds: str,
    samples: int,
    data: Path | None,
    val: Path | None,
    settings: tuple[str, ...],
    device: str | None,
    workers: int,
    score_model: str | None,
    score_weights: Path | None,
    matchers: tuple[Path, ...],
    inception_weights: Path | None,
    form: str,
) -> None:
    """Train, sample and score the rows of a table of the paper: 2, 4 or 6.

    \b
    grgan ablate 2 --out runs/grid --steps 1000
    grgan ablate 6 --out runs/grid --steps 1000 --seeds 0,1
    grgan ablate 2 --out runs/one --rows attn-da,dmgan-it-grg
    grgan ablate 4 --preset coco --data ~/coco --out runs/coco --matcher runs/itm
    torchrun --nproc-per-node 4 -m grgan_ref ablate 6 --preset coco \\
        --data ~/coco --out runs/coco

    2: backbone (AttnGAN, DM-GAN) by matching module (none, DAMSM, ITM) by gradual refinement.
    4: weights of the matching losses of ITM without gradual refinement.
    6: order of the stages, every stage scored.

    OUT gets table2.json and table2.md, written anew after every run, grids/ of samples, runs/ and
    matchers/. Killed at any moment, the same command goes on where it was.
    """
    from grgan_ref.ablation import ablate, inception_at_hand, plan, to_markdown
    from grgan_ref.data import open_data
    from grgan_ref.training import distributed

    planned = plan(
        table,
        preset,
        [name.strip() for name in rows.split(",")] if rows else [],
        _numbers(seeds),
        settings_of(settings),
        steps,
        samples,
    )
    config = planned.config(planned.rows[0], planned.seeds[0])
    smallest = config.model.stages[-1].size
    training = open_data(config.data, data, "train", smallest)
    held_out = open_data(config.data, val or data, "val", smallest)
    if score_model is None and config.data.kind == "scenes":
        score_model = "scenes-toy"
    result = ablate(
        planned,
        training,
        held_out,
        out,
        device=distributed.start(device),
        workers=workers,
        score_with=(score_model, None if score_weights is None else str(score_weights)),
        matchers=matchers,
        inception=inception_at_hand(inception_weights, device),
    )
    if distributed.is_main():
        if form == "json":
            print(as_json(result))
        else:
            say(*to_markdown(result).splitlines())


def _numbers(text: str) -> list[int]:
    try:
        numbers = [int(part) for part in text.split(",")]
    except ValueError:
        raise GrganError(f"--seeds {text}: write numbers separated by commas, as in 0,1") from None
    if len(set(numbers)) != len(numbers):
        raise GrganError(f"--seeds {text}: a seed comes twice")
    return numbers
