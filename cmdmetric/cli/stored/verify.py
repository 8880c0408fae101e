"""The command `cmdmetric verify`."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from cmdmetric.cli import completion
from cmdmetric.cli.options import check_writable, explain, give
from cmdmetric.terminal import Styled, shown

if TYPE_CHECKING:
    from cmdmetric.scoring import Verification


@click.command(
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="""\b
Examples:
  cmd-score samples/ captions.json -o score.json --pack pack.npz
  cmdmetric verify score.json pack.npz
""",
)
@click.argument("score", shell_complete=completion.paths)
@click.argument("pack", shell_complete=completion.paths)
@click.option("--format", "form", type=click.Choice(["table", "json"]), default="table",
              show_default=True, help="What goes to stdout.")  # fmt: skip
@click.option("-o", "--output", metavar="FILE", shell_complete=completion.paths,
              help="Write the JSON result to a file as well.")  # fmt: skip
@explain
def verify(score: str, pack: str, form: str, output: str | None) -> None:
    """Compute a score again from its pack, without images and networks.

    SCORE is what `cmd-score ... -o FILE` wrote, PACK what --pack wrote in the same run. The exit
    status is 1 where a number does not follow from the pack.
    """
    from cmdmetric.scoring import verify as verified

    check_writable(output)
    result = verified(score, pack)
    give(result.to_dict(), _lines(result), form, output)
    if not result.holds:
        sys.exit(1)


def _lines(result: Verification) -> list[str]:
    """The verdict, what does not agree, and what was not looked at."""
    wrong = [row for row in result.rows if not row.agrees]
    total = len(result.rows)
    verdict = f"{total - len(wrong)} of {total} numbers follow from the pack"
    lines: list[str] = [Styled(verdict, "bold" if result.holds else "bad")]
    for row in wrong:
        again = "cannot be computed" if row.found is None else f"is {row.found:.6g}"
        lines.append(f"  {shown(row.name, 80)}: the score says {row.told:.6g}, it {again}")
    for name, field, one, two in result.signature:
        lines.append(
            f"  the signature of {shown(name, 80)}: {shown(field, 40)} is {shown(two, 80)}, the "
            f"score says {shown(one, 80)}"
        )
    return [*lines, *(f"not looked at: {shown(note, 300)}" for note in result.notes)]
