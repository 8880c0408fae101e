"""Several models side by side as one self-contained HTML page."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from markupsafe import Markup

from cmdmetric.compare import SIGNIFICANT, Against, Comparison, Entry, chance, p_of
from cmdmetric.report import figures, headlines
from cmdmetric.report.compared import MODELS, compared_images
from cmdmetric.report.data import ComparedImages, Published
from cmdmetric.report.family import arrow_of, by_aspect, mark_of, title_of, told
from cmdmetric.report.figures import Mark, scale_of, whiskers
from cmdmetric.report.gather import published_of, versions
from cmdmetric.report.page import check_report, command, page, shown, write_page
from cmdmetric.report.verdict import of_comparison
from cmdmetric.scoring import Scored, values_of_real
from cmdmetric.uncertainty import Estimate, Gap, Value

if TYPE_CHECKING:
    from cmdmetric.report.figures import Bar

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
            shown side by side, and what real images score beside their numbers.
        title: The page's title.

    Raises:
        InputError: It cannot be written there, or matplotlib is not installed.
    """
    check_report(path)
    of_real: Mapping[str, float] = {}
    if found:
        first = found[0]
        names = {name for each in found for name in each.score.metrics}
        of_real = values_of_real(names, first.r, first.real_captions or first.l, first.seen)
    write_page(render_compare(data, compared_images(data, found), title, of_real), path)


def render_compare(
    data: Comparison,
    images: Sequence[ComparedImages] = (),
    title: str | None = None,
    of_real: Mapping[str, float] | None = None,
) -> str:
    """Give the comparison as HTML. It needs matplotlib (the extra `report`).

    Args:
        data: The comparison.
        images: What the models made of one caption, by caption.
        title: The page's title.
        of_real: What real images score in place of the generated ones, by the numbers' names.
    """
    best = data.entries[0]
    published = published_of(best.protocol, best.model, best.real, best.signature)
    bars = _bars(data.entries, published)
    names = list(dict.fromkeys(name for entry in data.entries for name in entry.metrics))
    return page(
        "compare.html",
        data=data,
        title=title or f"{len(data.entries)} models side by side",
        verdict=of_comparison(data),
        images=images,
        pictured=data.entries[:MODELS],
        slice_places={label: i for i, label in enumerate(best.slices)},
        headlines={
            "ranking": headlines.ranking_title(data.entries, data.ranked_by),
            "parts": headlines.parts_title(data.entries),
            "slices": {e.name: headlines.slices_title(e.name, e.slices) for e in data.against_best},
        },
        title_of=title_of,
        arrow_of=lambda name: arrow_of(_first(data.entries, name)),
        colour_of=_colour_of,
        command=command(),
        versions=versions(),
        best_at=lambda name: _best_at(data.entries, name),
        best=best,
        published=published,
        unsplit=any(bar.itdis is None for bar in bars),
        against={each.name: each for each in data.against_best},
        said=_said,
        p_of=p_of,
        drawn=lambda name: _drawn(data.entries, name, (of_real or {}).get(name)),
        drawn_gap=_drawn_gap,
        of_slices=_of_slices,
        gauge=Markup(figures.gauge(bars)),
        plane=Markup(figures.plane(bars)),
        metrics=by_aspect(names),
        of_real=of_real or {},
        intervals=any(entry.low is not None for entry in data.entries),
    )


def _colour_of(place: int) -> str:
    """The class of a style sheet that has the colour of a model, by its rank."""
    return f"m{place}" if place < len(figures.MODELS) else "other"


def _best_at(entries: Sequence[Entry], name: str) -> int | None:
    """The place of the model with the best value of a number; None where nothing tells."""
    known = {i: e.metrics[name].value for i, e in enumerate(entries) if name in e.metrics}
    better = _first(entries, name).better
    if better is None or len(known) < 2 or len(set(known.values())) == 1:
        return None
    return (min if better == "lower" else max)(known, key=known.__getitem__)


def _first(entries: Sequence[Entry], name: str) -> Value:
    """A number as the first model that has it."""
    return next(entry.metrics[name] for entry in entries if name in entry.metrics)


def _said(each: Against, models: int) -> str:
    """Whether a model differs from the best, in plain words and with the p-value."""
    if each.p_value is None or each.p_adjusted is None:
        return "not known: the numbers of images differ"
    apart = "differs beyond chance" if each.p_adjusted < SIGNIFICANT else "may be equal"
    several = f"; {p_of(each.p_adjusted)} for {models} comparisons" if models > 1 else ""
    return f"{apart}: {chance(each.p_value)} ({p_of(each.p_value)}{several})"


def _drawn(entries: Sequence[Entry], name: str, real: float | None) -> Markup:
    """One number of all models with its intervals, and that of real images as a line."""
    known = [(i, e) for i, e in enumerate(entries) if name in e.metrics]
    marks = [mark_of(e.metrics[name], _colour_of(i)) for i, e in known]
    words = [f"{e.name} {told(mark)}" for (_, e), mark in zip(known, marks, strict=True)]
    if real is not None:
        words.append(f"real images {real:.4g}")
    label = shown(f"{title_of(name)}: {'; '.join(words)}", 400)
    return whiskers(marks, scale_of(marks, real), label, real)


def _drawn_gap(gaps: Sequence[Gap | Against], gap: Gap | Against, colour: str) -> Markup:
    """A difference with its interval beside others, and a line at zero."""
    marks = [_mark_of_gap(each, "") for each in gaps]
    mark = _mark_of_gap(gap, colour)
    return whiskers([mark], scale_of(marks, 0.0), f"Difference {told(mark)}", 0.0)


def _mark_of_gap(gap: Gap | Against, colour: str) -> Mark:
    if isinstance(gap, Against):
        return Mark(gap.difference, gap.low, gap.high, colour)
    return Mark(gap.value if gap.debiased is None else gap.debiased, gap.low, gap.high, colour)


def _of_slices(each: Against) -> Mapping[str, Mapping[str, Gap]]:
    """By number the differences of a model from the best in every slice that has it."""
    numbers = dict.fromkeys(name for gaps in each.slices.values() for name in gaps)
    return {
        name: {label: gaps[name] for label, gaps in each.slices.items() if name in gaps}
        for name in numbers
    }


def _bars(entries: Sequence[Entry], published: Sequence[Published]) -> list[Bar]:
    colours = [*figures.MODELS, *[figures.INK] * len(entries)]
    own = [
        figures.Bar(_label(e.name), e.cmd, e.itdis, _estimate(e), colour)
        for e, colour in zip(entries, colours, strict=False)
    ]
    return sorted([*own, *figures.published_bars(published)], key=lambda bar: bar.cmd)


def _label(name: str) -> str:
    """What a figure has room for: of paths the end, which is where they differ."""
    return shown(name if len(name) <= NAME else "…" + name[1 - NAME :], 4 * NAME)


def _estimate(entry: Entry) -> Estimate | None:
    if entry.standard_error is None:
        return None
    return Estimate(entry.cmd, entry.debiased, entry.standard_error, entry.low, entry.high)
