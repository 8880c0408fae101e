"""Several models side by side as one self-contained HTML page."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

from markupsafe import Markup

from cmdmetric.compare import Comparison, Entry
from cmdmetric.report.compared import MODELS, compared_images
from cmdmetric.report.data import ComparedImages, Published
from cmdmetric.report.family import arrow_of, by_aspect, title_of
from cmdmetric.report.gather import published_of
from cmdmetric.report.page import check_report, command, page, shown, write_page
from cmdmetric.report.verdict import of_comparison
from cmdmetric.scoring import Scored, better
from cmdmetric.uncertainty import Estimate

if TYPE_CHECKING:
    from cmdmetric.report.plots import Bar

#: Characters of a model's name that a figure has room for.
NAME = 18


def write_compare_report(
    data: Comparison,
    path: str | os.PathLike[str],
    found: Sequence[Scored] = (),
    title: str | None = None,
) -> None:
    """Write the page of `render_compare`; the file appears whole or not at all.

    Args:
        data: The comparison.
        path: Where the page is written.
        found: The scores with their sides, in any order, where they are at hand: their images are
            shown side by side.
        title: The page's title.

    Raises:
        InputError: It cannot be written there, or matplotlib is not installed.
    """
    check_report(path)
    write_page(render_compare(data, compared_images(data, found), title), path)


def render_compare(
    data: Comparison, images: Sequence[ComparedImages] = (), title: str | None = None
) -> str:
    """Give the comparison as HTML. It needs matplotlib (the extra `report`)."""
    from cmdmetric.report import plots

    best = data.entries[0]
    published = published_of(best.protocol, best.model, best.real, best.signature)
    bars = _bars(data.entries, published)
    return page(
        "compare.html",
        data=data,
        title=title or f"{len(data.entries)} models side by side",
        verdict=of_comparison(data),
        images=images,
        pictured=data.entries[:MODELS],
        title_of=title_of,
        arrow_of=arrow_of,
        command=command(),
        best_at=lambda name: _best_at(data.entries, name),
        best=best,
        published=published,
        unsplit=any(bar.itdis is None for bar in bars),
        against={each.name: each for each in data.against_best},
        gauge=Markup(plots.gauge(bars)),
        plane=Markup(plots.plane(bars)),
        metrics=by_aspect(
            list(dict.fromkeys(name for entry in data.entries for name in entry.metrics))
        ),
        intervals=any(entry.low is not None for entry in data.entries),
    )


def _best_at(entries: Sequence[Entry], name: str) -> int | None:
    """The place of the model with the best value of a number; None where nothing tells."""
    known = {i: e.metrics[name].value for i, e in enumerate(entries) if name in e.metrics}
    if better(name) is None or len(known) < 2 or len(set(known.values())) == 1:
        return None
    return (min if better(name) == "lower" else max)(known, key=known.__getitem__)


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
