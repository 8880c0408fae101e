"""Error bars small enough for a row of a table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from markupsafe import Markup, escape

#: Units of the picture; a style sheet gives it its size.
WIDTH, ROW, EDGE = 120.0, 9.0, 4.0


class Mark(NamedTuple):
    """A value with its interval."""

    value: float
    low: float | None
    high: float | None
    #: The class of a style sheet that colours it.
    colour: str


def scale_of(marks: Sequence[Mark], *also: float | None) -> tuple[float, float]:
    """Give the least range that holds all intervals, and the numbers that are named beside them."""
    ends = [end for mark in marks for end in mark[:3] if end is not None]
    ends += [end for end in also if end is not None]
    low, high = min(ends), max(ends)
    room = 0.04 * (high - low) or abs(high) or 1.0
    return low - room, high + room


def whiskers(
    marks: Sequence[Mark], scale: tuple[float, float], label: str, line: float | None = None
) -> Markup:
    """Draw intervals one below another on one scale.

    Args:
        marks: The values, from top to bottom.
        scale: The numbers at the left and at the right end.
        label: What is read aloud in place of the picture.
        line: A number that all are held against: a line through all rows.
    """
    low, high = scale

    def at(value: float) -> str:
        share = min(max((value - low) / (high - low), 0.0), 1.0)
        return f"{EDGE + share * (WIDTH - 2 * EDGE):.1f}"

    height = ROW * len(marks) + 3
    parts = [f'<path class="axis" d="M{EDGE:g} {height - 1:g}H{WIDTH - EDGE:g}"/>']
    if line is not None and low <= line <= high:
        parts.append(f'<path class="line" d="M{at(line)} 0V{height:g}"/>')
    for row, mark in enumerate(marks):
        y = f"{ROW * (row + 0.5):g}"
        whisker = ""
        if mark.low is not None and mark.high is not None:
            whisker = f'<path d="M{at(mark.low)} {y}H{at(mark.high)}"/>'
        dot = f'<circle cx="{at(mark.value)}" cy="{y}" r="3"/>'
        parts.append(f'<g class="{escape(mark.colour)}">{whisker}{dot}</g>')
    return Markup(
        f'<svg class="whiskers" viewBox="0 0 {WIDTH:g} {height:g}" role="img" '
        f'aria-label="{escape(label)}">{"".join(parts)}</svg>'
    )
