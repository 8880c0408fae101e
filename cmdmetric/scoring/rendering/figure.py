"""A score as a figure: CMD and its two parts with error bars, on axes of matplotlib."""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING

from cmdmetric.errors import InputError
from cmdmetric.scoring.rendering.table import Table, rounded

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def plot(table: Table, ax: Axes | None) -> tuple[Figure, Axes]:
    """Draw CMD, ITDis and Dis(f,r).

    Raises:
        InputError: matplotlib is not installed.
    """
    if find_spec("matplotlib") is None:
        raise InputError("a plot needs matplotlib: pip install 'cmdmetric[report]'")
    if ax is None:
        from matplotlib import pyplot

        _, ax = pyplot.subplots(figsize=(6, 2.2), layout="constrained")
    rows = [row for row in table.rows if row.name in ("cmd", "itdis", "dis_fr")]
    for place, row in enumerate(rows):
        ax.barh(place, row.value, height=0.55, color="#2a78d6", alpha=0.35)
        ax.errorbar(
            row.value, place, xerr=row.standard_error, fmt="o", color="#2a78d6", capsize=3,
            label=None if place else "as scored, ± one standard error",
        )  # fmt: skip
        if row.debiased is not None and row.low is not None and row.high is not None:
            reach = [[max(row.debiased - row.low, 0)], [max(row.high - row.debiased, 0)]]
            ax.errorbar(
                row.debiased, place + 0.22, xerr=reach, fmt="D", markersize=4, color="#5b6470",
                capsize=3, label=None if place else "debiased, 95 % interval",
            )  # fmt: skip
    ax.set_yticks(range(len(rows)), [f"{row.title} {rounded(row)}" for row in rows])
    ax.set_ylim(len(rows) - 0.5, -0.5)
    ax.set_xlim(left=0)
    ax.set_xlabel("lower is better")
    ax.legend(loc="lower right", fontsize="small", frameon=False)
    figure = ax.get_figure(root=True) if hasattr(ax, "get_subplotspec") else ax.figure
    return figure, ax  # type: ignore[return-value]  # axes are always of a figure
