"""A score as a table: HTML for notebooks, LaTeX for papers."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from cmdmetric.grid import latex_text
from cmdmetric.scoring.rendering.table import Row, Table, rounded
from cmdmetric.terminal import shown

#: Of the drawn error bars, in pixels.
WIDTH, HEIGHT = 140, 14
_CELL = "text-align:left;white-space:nowrap;padding:.15em .8em .15em 0"


def html(table: Table) -> str:
    """A small table with error bars; every word of it is escaped.

    The bars are of CMD, ITDis and Dis(f,r), on one scale that begins at zero: the number with one
    standard error, and the debiased value with its 95 % interval.
    """
    drawn = [row for row in table.rows if row.name in ("cmd", "itdis", "dis_fr")]
    reach = max(
        *(row.value + (row.standard_error or 0.0) for row in drawn),
        *(row.high or 0.0 for row in drawn),
        1e-9,
    )
    head = "".join(
        f'<th style="{_CELL}">{title}</th>' for title in ("", "value", "debiased", "95 %", "")
    )
    body = []
    for row in (*table.rows, *table.family):
        known = row.low is not None and row.high is not None
        cells = (
            f"{escape(row.title)} {row.arrow}",
            rounded(row),
            "" if row.debiased is None else f"{row.debiased:.4f}",
            f"{row.low:.4f} to {row.high:.4f}" if known else "",
            _bar(row, reach) if row in drawn else "",
        )
        body.append(
            "<tr>" + "".join(f'<td style="{_CELL}">{cell}</td>' for cell in cells) + "</tr>"
        )
    n, n_real, n_captions = ("?" if n is None else f"{n:,}" for n in table.counts)
    return (
        f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(body)}</tbody></table>"
        f"<small>{n} generated images, {n_real} real images, {n_captions} captions<br />"
        f'<code style="overflow-wrap:anywhere">{escape(shown(table.signature))}</code></small>'
    )


def _bar(row: Row, reach: float) -> str:
    """An error bar as an inline picture."""

    def at(value: float) -> float:
        return round(4 + (WIDTH - 8) * max(value, 0.0) / reach, 1)

    middle = HEIGHT / 2
    parts = [f'<path d="M4 {middle}H{WIDTH - 4}" stroke="#8884" />']
    if row.standard_error is not None:
        low, high = at(row.value - row.standard_error), at(row.value + row.standard_error)
        parts.append(f'<path d="M{low} {middle}H{high}" stroke="#2a78d6" stroke-width="5" />')
    parts.append(f'<circle cx="{at(row.value)}" cy="{middle}" r="3.5" fill="#2a78d6" />')
    if row.low is not None and row.high is not None and row.debiased is not None:
        span = f"M{at(row.low)} {middle}H{at(row.high)}M{at(row.debiased)} 2V{HEIGHT - 2}"
        parts.append(f'<path d="{span}" stroke="currentColor" stroke-width="1.5" />')
    return (
        f'<svg width="{WIDTH}" height="{HEIGHT}" role="img" '
        f'aria-label="{escape(row.title)} {rounded(row)}">{"".join(parts)}</svg>'
    )


def latex(table: Table, rows: Sequence[Row]) -> str:
    """A table for a paper: a column a number, one line of values, the signature as a comment."""
    titles = " & ".join(f"{latex_text(row.title)} {_arrow(row)}".strip() for row in rows)
    values = " & ".join(f"${rounded(row, between=chr(92) + 'pm ')}$" for row in rows)
    return "\n".join(
        [
            f"% {shown(table.signature)}",
            rf"\begin{{tabular}}{{{'c' * len(rows)}}}",
            r"\toprule",
            rf"{titles} \\",
            r"\midrule",
            rf"{values} \\",
            r"\bottomrule",
            r"\end{tabular}",
            "",
        ]
    )


def _arrow(row: Row) -> str:
    return {"↓": r"$\downarrow$", "↑": r"$\uparrow$"}.get(row.arrow, "")
