"""The figures of a report as SVG markup, each with a sentence that says what it shows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Ellipse
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter, NullLocator

from cmdmetric.report.data import Array, Clouds, Published, Similarity, Spectrum
from cmdmetric.report.figures.svg import (
    CAPTIONS,
    GENERATED,
    INK,
    MUTED,
    REAL,
    RULE,
    SURFACE,
    style,
    to_svg,
)
from cmdmetric.report.headlines import (
    growth_n,
    growth_text,
    ratio_text,
    similarity_text,
    spectrum_text,
)
from cmdmetric.scoring import CMDScore
from cmdmetric.terminal import percent
from cmdmetric.uncertainty import Estimate, Step

#: Inches. Narrow, so that the labels can still be read on a phone.
WIDTH = 5.0
COLOURS = {"f": GENERATED, "r": REAL, "l": CAPTIONS}
MARKERS = {"f": "o", "r": "s", "l": "^"}
NAMES = {"f": "generated", "r": "real", "l": "captions"}
#: Where the label of a set's mean stands from it, in points: apart, where means are close.
LABELS = {"f": (10, 10), "r": (-10, 10), "l": (10, -12)}
#: Half axes of the ellipse that holds 95 % of a Gaussian in the plane, in standard deviations.
ELLIPSE = 2.4477


def round_ticks(most: int) -> MaxNLocator:
    """Ticks at numbers that a reader counts in."""
    return MaxNLocator(most, steps=[1, 2, 2.5, 5, 10])


class Bar(NamedTuple):
    """One model in the gauge."""

    name: str
    cmd: float
    itdis: float | None
    estimate: Estimate | None = None
    #: Grey is for what others have published.
    colour: str = MUTED

    @property
    def own(self) -> bool:
        """Whether it was scored here, and not published by others."""
        return self.colour != MUTED


def published_bars(published: Sequence[Published]) -> list[Bar]:
    """Models of the literature, by names that a figure has room for."""
    return [
        Bar(
            f"{p.name if len(p.name) < 16 else p.name[:14] + '…'} (Table {p.table})", p.cmd, p.itdis
        )
        for p in published
    ]


def gauge_bars(score: CMDScore, published: Sequence[Published]) -> list[Bar]:
    """This score among the published ones, best first."""
    bars = published_bars(published)
    estimate = score.uncertainty.cmd if score.uncertainty else None
    bars.append(Bar("this score", score.cmd, score.itdis, estimate, GENERATED))
    return sorted(bars, key=lambda bar: bar.cmd)


def interval_of(estimate: Estimate | None) -> tuple[float, float, float] | None:
    """The low end of the 95 % interval, the best estimate, and the high end, if known."""
    if estimate is None or estimate.low is None:
        return None
    assert estimate.debiased is not None and estimate.high is not None
    return estimate.low, estimate.debiased, estimate.high


def gauge(bars: Sequence[Bar], name: str = "gauge") -> str:
    """CMD of several models, each as the sum of its parts."""
    with style():
        figure = Figure(figsize=(WIDTH, 0.62 + 0.52 * len(bars)))
        axes = figure.add_subplot()
        highs = [interval[2] for bar in bars if (interval := interval_of(bar.estimate))]
        whole = max([*highs, *(bar.cmd for bar in bars)])
        whole = whole if whole > 1e-6 else 1.0  # else rounding, of a set against itself
        for row, bar in enumerate(bars):
            colour = bar.colour
            if bar.itdis is None:  # only the sum is known
                axes.barh(row, bar.cmd, height=0.5, facecolor="none", edgecolor=colour)
            else:
                dis = bar.cmd - bar.itdis
                axes.barh(row, dis, height=0.5, color=colour, linewidth=0)
                axes.barh(row, bar.itdis, left=dis, height=0.5, facecolor=colour, alpha=0.45,
                          linewidth=0)  # fmt: skip
            interval = interval_of(bar.estimate)
            if interval is not None:
                low, value, high = interval
                axes.plot([low, high], [row + 0.36] * 2, color=INK, linewidth=2.2,
                          solid_capstyle="round")  # fmt: skip
                axes.plot([value], [row + 0.36], "o", color=INK, markersize=5)
            axes.annotate(f"{bar.cmd:.2f}", (bar.cmd, row), (5, 0), textcoords="offset points",
                          va="center", weight="bold" if bar.own else "normal")  # fmt: skip
        axes.set_yticks(range(len(bars)), [bar.name for bar in bars])
        axes.tick_params(axis="y", length=0, labelcolor=INK)
        axes.set_ylim(len(bars) - 0.4, -0.6)
        axes.set_xlim(0, whole * 1.16)
        axes.xaxis.set_major_locator(round_ticks(6))
        axes.grid(axis="y", visible=False)
        axes.spines["left"].set_visible(False)
        axes.set_xlabel("CMD, lower is better")
        told = "; ".join(f"{bar.name} {bar.cmd:.2f}" for bar in bars)
        return to_svg(figure, name, f"Bars of CMD: {told}.")


def clouds(data: Clouds, view: int, name: str) -> str:
    """One view of the clouds; points carry the gid of their side."""
    with style():
        figure = Figure(figsize=(WIDTH * 1.15, WIDTH * 0.95))
        axes = figure.add_subplot()
        plane = data.views[view]
        for side, moments in data.moments.items():
            mean, cov = plane.gaussian(side, moments)
            values, vectors = np.linalg.eigh(cov)
            width, height = 2 * ELLIPSE * np.sqrt(np.clip(values[::-1], 0, None))
            angle = np.degrees(np.arctan2(vectors[1, 1], vectors[0, 1]))
            axes.add_patch(Ellipse((mean[0], mean[1]), width, height, angle=angle, facecolor="none",
                                   edgecolor=COLOURS[side], linewidth=1.5))  # fmt: skip
        for side in data.moments:
            xy = np.array([p.xy[view] for p in data.points if p.side == side]).reshape(-1, 2)
            if len(xy):
                axes.scatter(xy[:, 0], xy[:, 1], s=13, marker=MARKERS[side], color=COLOURS[side],
                             linewidths=0.5, edgecolors=SURFACE, gid=side)  # fmt: skip
        for side, moments in data.moments.items():
            mean, _ = plane.gaussian(side, moments)
            axes.plot(*mean, marker="+", color=INK, markersize=9, markeredgewidth=1.6)
            axes.annotate(f"mean of {NAMES[side]}", (mean[0], mean[1]), LABELS[side],
                          textcoords="offset points", va="center", fontsize=9, weight="bold",
                          ha="left" if LABELS[side][0] > 0 else "right",
                          bbox={"boxstyle": "round,pad=0.15", "facecolor": SURFACE,
                                "edgecolor": "none", "alpha": 0.8})  # fmt: skip
        axes.set_aspect("equal", adjustable="datalim")
        axes.set_xlabel(f"first axis, {percent(plane.shares[0])} of the variance")
        axes.set_ylabel(f"second axis, {percent(plane.shares[1])}")
        axes.xaxis.set_major_locator(round_ticks(6))
        axes.yaxis.set_major_locator(round_ticks(6))
        return to_svg(figure, name, clouds_label(data, view))


def clouds_label(data: Clouds, view: int) -> str:
    """Describe a picture of the clouds for those who do not see it."""
    counts = {s: sum(p.side == s for p in data.points) for s in data.moments}
    means = {s: data.views[view].gaussian(s, m)[0] for s, m in data.moments.items()}
    places = ", ".join(
        f"{NAMES[s]} at ({x:.2f}, {y:.2f})" + (f" with {counts[s]} points" if counts[s] else "")
        for s, (x, y) in means.items()
    )
    return f"Scatter plot with an ellipse for each set; their means: {places}."


def spectra(data: Spectrum, name: str = "spectrum") -> str:
    """The eigenvalues of the three covariances."""
    with style():
        figure = Figure(figsize=(WIDTH, WIDTH * 0.66))
        axes = figure.add_subplot()
        top = max(float(v[0]) for v in (data.f, data.r, data.l)) or 1.0
        for side, values in (("f", data.f), ("r", data.r), ("l", data.l)):
            shown = values[values > 1e-7 * top]
            axes.plot(np.arange(1, len(shown) + 1), shown, color=COLOURS[side], label=NAMES[side])
        _legend(axes, 3)
        axes.set_yscale("log")
        axes.set_xlabel("principal axis of each set, by variance")
        axes.set_ylabel("variance")
        axes.yaxis.set_major_formatter(FuncFormatter(lambda v, _: f"{v:g}"))
        axes.yaxis.set_minor_formatter(NullFormatter())
        return to_svg(figure, name, f"Lines of falling variance by axis. {spectrum_text(data)}")


def _legend(axes: Axes, columns: int = 2) -> None:
    """A legend above the axes, where it covers nothing."""
    axes.legend(
        loc="lower left", bbox_to_anchor=(0, 1), ncols=columns, borderaxespad=0.2, columnspacing=1.4
    )


def ratios(data: Spectrum, name: str = "ratio") -> str:
    """How much of the real images' variance the generated ones have, along each real axis."""
    with style():
        figure = Figure(figsize=(WIDTH, WIDTH * 0.66))
        axes = figure.add_subplot()
        x = np.arange(1, len(data.ratio) + 1)
        y = np.maximum(data.ratio, 1e-3)
        axes.axhline(1, color=REAL, linewidth=1.4)
        axes.vlines(
            x, 1, y, color=GENERATED, linewidth=max(0.6, min(4.0, 160 / len(x))), alpha=0.35
        )
        axes.plot(x, y, "o", color=GENERATED, markersize=3.6 if len(x) < 80 else 2)
        axes.set_yscale("log")
        axes.set_ylim(min(0.5, y.min() * 0.8), max(2.0, y.max() * 1.25))
        octaves = int(np.ptp(np.log2(axes.get_ylim())))
        axes.yaxis.set_major_locator(LogLocator(base=2 if octaves < 8 else 10))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda v, _: f"{v:g}×"))
        axes.yaxis.set_minor_locator(NullLocator())
        axes.set_xlabel("principal axis of the real images, by variance")
        axes.set_ylabel("generated / real variance")
        return to_svg(figure, name, f"Ratios by axis, 1 where equal. {ratio_text(data)}")


def growth(steps: Sequence[Step], score: CMDScore, name: str = "growth") -> str:
    """CMD and Dis(f,r) against the number of samples."""
    bars = score.uncertainty
    with style():
        figure = Figure(figsize=(WIDTH, WIDTH * 0.66))
        axes = figure.add_subplot()
        x = [growth_n(step) for step in steps]
        for key, label, colour in (("cmd", "CMD", GENERATED), ("dis_fr", "Dis(f,r)", REAL)):
            means = [step.mean(key) for step in steps]
            spans = np.array([step.span(key) for step in steps])
            axes.fill_between(x, spans[:, 0], spans[:, 1], color=colour, alpha=0.18, linewidth=0)
            axes.plot(x, means, marker="o", markersize=4.5, color=colour, label=label)
            estimate: Estimate | None = getattr(bars, key) if bars else None
            if estimate is not None and estimate.debiased is not None:
                axes.axhline(estimate.debiased, color=colour, linestyle=(0, (4, 3)), linewidth=1.4,
                             label=f"{label}, debiased")  # fmt: skip
        axes.set_xscale("log", base=2)
        axes.set_xticks(x, [f"{n:,}" for n in x])
        axes.xaxis.set_minor_formatter(NullFormatter())
        axes.set_ylim(bottom=0)
        axes.set_xlabel("samples" if steps[0].n["f"] is None else "generated images")
        axes.set_ylabel("distance")
        axes.yaxis.set_major_locator(round_ticks(6))
        _legend(axes)
        return to_svg(
            figure, name, f"Lines falling with the number of samples. {growth_text(steps)}"
        )


def similarity(data: Similarity, name: str = "similarity") -> str:
    """The distributions of cosines."""
    with style():
        figure = Figure(figsize=(WIDTH, WIDTH * 0.66))
        axes = figure.add_subplot()
        groups: list[tuple[Array, str, str, Any]] = [
            (data.f, GENERATED, "generated, own caption", "-")
        ]
        if data.r is not None:
            groups.append((data.r, REAL, "real, own caption", "-"))
        if len(data.chance) > 1:
            groups.append((data.chance, MUTED, "generated, another's", (0, (2, 2))))
        both = np.concatenate([values for values, *_ in groups])
        bins = int(np.clip(np.sqrt(min(len(v) for v, *_ in groups)) * 1.6, 12, 60))
        edges = np.linspace(both.min(), both.max() or 1.0, bins + 1)
        for values, colour, label, line in groups:
            heights, _ = np.histogram(values, edges, density=True)
            axes.stairs(heights, edges, color=colour, linewidth=1.8, linestyle=line, label=label)
            if line == "-":
                axes.stairs(heights, edges, color=colour, fill=True, alpha=0.14)
                axes.axvline(np.median(values), color=colour, linewidth=1.2, linestyle=(0, (5, 3)))
        axes.set_yticks([])
        axes.grid(axis="y", visible=False)
        axes.spines["left"].set_visible(False)
        axes.set_xlabel("cosine of image and caption")
        axes.set_ylabel("images")
        axes.xaxis.set_major_locator(round_ticks(6))
        _legend(axes)
        _label_medians(axes, {colour: values for values, colour, _, line in groups if line == "-"})
        return to_svg(figure, name, f"Histograms. {similarity_text(data)}")


def _label_medians(axes: Axes, of: Mapping[str, Array]) -> None:
    """The medians as numbers above the histograms, the lesser to the left of its line."""
    top = axes.get_ylim()[1]
    axes.set_ylim(0, top * 1.12)
    medians = sorted((float(np.median(values)), colour) for colour, values in of.items())
    for place, (median, colour) in enumerate(medians):
        right = place == len(medians) - 1
        axes.annotate(f"{median:.3f}", (median, top * 1.05), (4 if right else -4, 0),
                      textcoords="offset points", ha="left" if right else "right", va="center",
                      color=colour, fontsize=9)  # fmt: skip


def plane(points: Sequence[Bar], name: str = "plane") -> str:
    """Models by what CMD is the sum of; the lines are of equal CMD."""
    with style():
        figure = Figure(figsize=(WIDTH, WIDTH * 0.8))
        axes = figure.add_subplot()
        known = [(bar, bar.cmd - bar.itdis, bar.itdis) for bar in points if bar.itdis is not None]
        known.sort(key=lambda each: -each[2])  # a label gives way downwards
        right = 1.25 * max(*(x for _, x, _ in known), 1e-9)
        top = 1.25 * max(*(y for _, _, y in known), 1e-9)
        for level in round_ticks(7).tick_values(0, right + top):
            if 0 < level < right + top:
                axes.plot([0, level], [level, 0], color=RULE, linewidth=0.9, linestyle=(0, (4, 3)))
                # At the upper end no model lies.
                at = (level - top, top) if level > top else (0, level)
                axes.annotate(f"{level:g}", at, (5, -3), textcoords="offset points", color=MUTED,
                              fontsize=8)  # fmt: skip
        taken: list[tuple[float, float]] = []
        for bar, x, y in known:
            close = any(abs(x - a) < 0.3 * right and abs(y - b) < 0.06 * top for a, b in taken)
            taken.append((x, y))
            axes.plot([x], [y], "o", color=bar.colour, markersize=7)
            side = "right" if x > 0.6 * right else "left"
            axes.annotate(bar.name, (x, y), (-8 if side == "right" else 8, -11 if close else 4),
                          ha=side, textcoords="offset points", fontsize=9,
                          color=bar.colour)  # fmt: skip
        axes.set_xlim(0, right)
        axes.set_ylim(0, top)
        axes.grid(visible=False)
        axes.set_xlabel("Dis(f,r): how far from real images")
        axes.set_ylabel("ITDis: how far from their fit to captions")
        told = "; ".join(f"{bar.name} ({x:.2f}, {y:.2f})" for bar, x, y in known)
        return to_svg(figure, name, f"Models by Dis(f,r) and ITDis: {told}.")
