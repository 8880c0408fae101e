"""The command `cmdmetric plan`."""

from __future__ import annotations

import click

from cmdmetric.cli import completion
from cmdmetric.cli.options import check_writable, explain, give


@click.command(
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="""\b
Examples:
  cmdmetric plan score.json --detect 0.3
  cmdmetric plan score.json --images 10000 --metric clipscore
  cmdmetric plan --detect 0.3
""",
)
@click.argument("score", required=False, shell_complete=completion.paths)
@click.option("--detect", type=float, metavar="X", help="The difference that is to be told.")
@click.option("--images", type=int, metavar="N",
              help="Tell the smallest difference that so many images tell.")  # fmt: skip
@click.option("--power", type=float, default=0.9, show_default=True,
              help="The chance to tell the difference.")  # fmt: skip
@click.option("--metric", default="cmd", show_default=True, metavar="NAME",
              help="Which number of the score is compared.")  # fmt: skip
@click.option("--format", "form", type=click.Choice(["table", "json"]), default="table",
              show_default=True, help="What goes to stdout.")  # fmt: skip
@click.option("-o", "--output", metavar="FILE", shell_complete=completion.paths,
              help="Write the JSON result to a file as well.")  # fmt: skip
@explain
def plan(
    score: str | None,
    detect: float | None,
    images: int | None,
    power: float,
    metric: str,
    form: str,
    output: str | None,
) -> None:
    """How many images tell a difference of two generators.

    SCORE is what `cmd-score ... -o FILE` wrote, with its error bars; without one, a perfect
    generator against MS-COCO is planned for. Images are taken as independent: of the same captions,
    fewer do.
    """
    from cmdmetric.compare import plan as plan_of

    check_writable(output)
    result = plan_of(score, detect=detect, images=images, power=power, metric=metric)
    give(result.to_dict(), result.lines(), form, output)
