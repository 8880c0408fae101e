"""The command `cmdmetric verify`."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from cmdmetric.cli import completion
from cmdmetric.cli.options import check_writable, explain, give
from cmdmetric.terminal import Styled, shown

if TYPE_CHECKING:
    from cmdmetric.scoring import Row, Verification


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
    status is 1 where a field of the score does not follow from the pack.
    """
    from cmdmetric.scoring import verify as verified

    check_writable(output)
    result = verified(score, pack)
    give(result.to_dict(), _lines(result), form, output)
    if not result.holds:
        sys.exit(1)


def _lines(result: Verification) -> list[str]:
    """The verdict, what does not agree, and what was not looked at."""
    numbers, others = (
        f"{sum(row.agrees for row in rows)} of {len(rows)}" for rows in (result.rows, result.fields)
    )
    verdict = f"{numbers} numbers follow from the pack, and {others} other fields"
    lines: list[str] = [Styled(verdict, "bold" if result.holds else "bad")]
    by_field = {f"{name} signature" for name, *_ in result.signature}
    for row in (*result.rows, *result.fields):
        if not row.agrees and row.name not in by_field:
            lines.append(f"  {shown(row.name, 80)}: {_beside(row)}")
    for name, field, one, two in result.signature:
        lines.append(
            f"  the signature of {shown(name, 80)}: {shown(field, 40)} is {shown(two, 80)}, the "
            f"score says {shown(one, 80)}"
        )
    lines += [f"  the pack: {shown(what, 120)}" for what in result.pack]
    return [*lines, *(f"not looked at: {shown(note, 300)}" for note in result.notes)]


def _beside(row: Row) -> str:
    """What the score says of a field, and what follows from the pack."""
    digits = ".6g"
    if isinstance(row.told, float) and isinstance(row.found, float):
        digits = ".6g" if f"{row.told:.6g}" != f"{row.found:.6g}" else ".12g"
    told, found = (
        format(value, digits) if isinstance(value, float) else shown(str(value), 120)
        for value in (row.told, row.found)
    )
    if row.told is None:
        return f"the score does not say it, it is {found}"
    return f"the score says {told}, it {'does not follow' if row.found is None else f'is {found}'}"
