"""A score as lines of text: what a terminal prints, and what `print` and `repr` give in Python."""

from __future__ import annotations

from cmdmetric.scoring.rendering.table import Row, Table
from cmdmetric.terminal import PATH, shown


def score_lines(table: Table, *, short: bool = False) -> list[str]:
    """The five lines of a score: CMD, its two parts, what they are of, and the signature.

    Args:
        table: The score's numbers.
        short: Whether the signature stands in its short form.
    """
    rows = {row.name: row for row in table.rows}
    fl, rl = rows["dis_fl"].value, rows["dis_rl"].value
    return [
        _line(rows["cmd"], f"{_debiased(table, rows['cmd'])}lower is better"),
        _line(rows["itdis"], f"fit to captions, |Dis(f,l) {fl:.4f} - Dis(r,l) {rl:.4f}|"),
        _line(rows["dis_fr"], "quality, from generated to real"),
        f"{'of':<10} {_sets(table)}",
        f"{'signature':<10} {table.short_signature if short else table.signature}",
    ]


def line(table: Table) -> str:
    """One line: the class, CMD and the short signature."""
    row = table.rows[0]
    return f"<CMDScore {row.value:.4f}{_error(row)} {table.short_signature}>"


def family_lines(table: Table) -> list[str]:
    """The family's numbers, a line each."""
    width = max((len(row.name) for row in table.family), default=0)
    return [
        f"{row.name:<{width}} {row.value:>10.4f}{_error(row):<12} {_better(row)}"
        for row in table.family
    ]


def _better(row: Row) -> str:
    return "which way is better was not said" if row.better is None else f"{row.better} is better"


def _line(row: Row, about: str) -> str:
    return f"{row.title:<10} {row.value:>7.4f}{_error(row):<10} {about}"


def _error(row: Row) -> str:
    return "" if row.standard_error is None else f" ± {row.standard_error:.4f}"


def _debiased(table: Table, row: Row) -> str:
    if row.debiased is not None:
        interval = f" (95 %: {row.low:.4f} to {row.high:.4f})" if row.low is not None else ""
        return f"debiased {row.debiased:.4f}{interval}; "
    return "" if table.withheld is None else f"debiased not known: {table.withheld}; "


def _sets(table: Table) -> str:
    nouns = ("generated images", "real images", "captions")
    told = []
    for n, noun, source in zip(table.counts, nouns, table.sources, strict=True):
        count = f"{noun}, count not recorded" if n is None else f"{n:,} {noun}"
        told.append(f"{count} ({shown(source, PATH)})")
    if table.paired is not None:
        n = table.counts[0]
        whose = "each" if table.paired == n else f"{table.paired:,} of them"
        told[0] += f", {whose} with a caption"
    return "; ".join(told)
