"""Several models side by side as one self-contained HTML page."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

from markupsafe import Markup

from cmdmetric.compare import Comparison, Entry
from cmdmetric.report.data import Published
from cmdmetric.report.gather import published_of
from cmdmetric.report.page import check_report, page, shown, write_page
from cmdmetric.scoring import better
from cmdmetric.uncertainty import Estimate

if TYPE_CHECKING:
    from cmdmetric.report.plots import Bar

#: Characters of a model's name that a figure has room for.
NAME = 18


#: The level at which two models are told apart.
SIGNIFICANT = 0.05


def write_compare_report(data: Comparison, path: str | os.PathLike[str]) -> None:
    """Write the page of `render_compare`; the file appears whole or not at all.

    Raises:
        InputError: It cannot be written there, or matplotlib is not installed.
    """
    check_report(path)
    write_page(render_compare(data), path)


def render_compare(data: Comparison) -> str:
    """Give the comparison as HTML. It needs matplotlib (the extra `report`)."""
    from cmdmetric.report import plots

    best = data.entries[0]
    published = published_of(best.protocol, best.model, best.real, best.signature)
    bars = _bars(data.entries, published)
    return page(
        "compare.html",
        data=data,
        best=best,
        published=published,
        # Of these nothing tells that the first is better.
        unsettled=[
            each
            for each in data.against_best
            if each.p_adjusted is None or each.p_adjusted >= SIGNIFICANT
        ],
        unsplit=any(bar.itdis is None for bar in bars),
        against={each.name: each for each in data.against_best},
        gauge=Markup(plots.gauge(bars)),
        plane=Markup(plots.plane(bars)),
        metrics=list(dict.fromkeys(name for entry in data.entries for name in entry.metrics)),
        better=better,
        intervals=any(entry.low is not None for entry in data.entries),
    )


def _bars(entries: Sequence[Entry], published: Sequence[Published]) -> list[Bar]:
    from cmdmetric.report.plots import Bar, published_bars

    own = [Bar(_label(e.name), e.cmd, e.itdis, _estimate(e), own=True) for e in entries]
    return sorted([*own, *published_bars(published)], key=lambda bar: bar.cmd)


def _label(name: str) -> str:
    """What a figure has room for: of paths the end, which is where they differ."""
    return shown(name if len(name) <= NAME else "…" + name[1 - NAME :], 4 * NAME)


def _estimate(entry: Entry) -> Estimate | None:
    if entry.standard_error is None:
        return None
    return Estimate(entry.cmd, entry.debiased, entry.standard_error, entry.low, entry.high)
