"""The squared maximum mean discrepancy (Gretton et al. 2012) of two sets, in bounded memory."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from cmdmetric.metrics.vectors import Array, blocks

#: A function of inner products, applied to a block (b, c) of them, which it may overwrite.
Kernel: TypeAlias = Callable[[Array], Array]


class SquaredMMD(NamedTuple):
    """Two estimates of one squared discrepancy; lower is nearer."""

    #: All pairs, each vector with itself among them: never negative, too high by O(1/n).
    biased: float
    #: Pairs of different vectors: right on average, so below zero half of the time at equality.
    unbiased: float


class MMDInfluence(NamedTuple):
    """A discrepancy and what each vector does to it."""

    mmd: SquaredMMD
    #: (n,) and (m,) influences, each with mean zero.
    of_x: Array
    of_y: Array
    #: The variance of the unbiased estimate's second-order term: all there is at equality.
    second_order: float
    #: How much too high the unbiased estimate is on average, since pairs of one draw are in it (two
    #: images of one caption); None where every pair of a kind is of one draw.
    bias: float | None = 0.0


#: For each vector of x (n,) and of y (m,) the draw that it belongs to.
Draws: TypeAlias = tuple[NDArray[np.intp], NDArray[np.intp]]


class _Sums(NamedTuple):
    """Of the kernel over pairs: by row, by column, and of its squares; of pairs with themselves."""

    rows: Array
    columns: Array
    squares: float
    own: float = 0.0


def squared_mmd(x: Array, y: Array, kernel: Kernel) -> SquaredMMD:
    """E k(x, x') + E k(y, y') - 2 E k(x, y) for a kernel of inner products; x (n, d), y (m, d).

    n and m are at least 2. Blocks of products are summed in float64 and thrown away.
    """
    return mmd_influence(x, y, kernel).mmd


def mmd_influence(x: Array, y: Array, kernel: Kernel, draws: Draws | None = None) -> MMDInfluence:
    """`squared_mmd` and, from the same products, the influence of every vector on it.

    To first order vector x_i adds 2 (E k(x_i, x) - E k(x_i, y)) / n, less the mean, as in every
    U-statistic (Hoeffding 1948). Where the two sets are alike that is noise, and the variance is
    that of the doubly centred kernel. draws: by default every vector is one of its own.
    """
    n, m = len(x), len(y)
    of_x, of_y, between = _within(x, kernel), _within(y, kernel), _between(x, y, kernel)
    total_x, total_y = float(of_x.rows.sum()), float(of_y.rows.sum())
    cross = 2 * float(between.rows.sum()) / (n * m)
    mmd = SquaredMMD(
        (total_x + of_x.own) / n**2 + (total_y + of_y.own) / m**2 - cross,
        total_x / (n * (n - 1)) + total_y / (m * (m - 1)) - cross,
    )
    influence_x = 2 * (of_x.rows / (n - 1) - between.rows / m)
    influence_y = 2 * (of_y.rows / (m - 1) - between.columns / n)
    second_order = (
        2 * _curved(of_x, n - 1, n - 1) / (n * (n - 1))
        + 2 * _curved(of_y, m - 1, m - 1) / (m * (m - 1))
        + 4 * _curved(between, m, n) / (n * m)
    )
    bias: float | None = 0.0
    if draws is not None:
        kinds = (
            _Pairs(total_x, n * (n - 1)).without(_tied(x, x, draws[0], draws[0], kernel)),
            _Pairs(total_y, m * (m - 1)).without(_tied(y, y, draws[1], draws[1], kernel)),
            _Pairs(cross / 2 * n * m, n * m).without(_tied(x, y, *draws, kernel)),
        )
        bias = None
        if all(kind.number for kind in kinds):
            of_x_apart, of_y_apart, between_apart = (kind.total / kind.number for kind in kinds)
            bias = mmd.unbiased - (of_x_apart + of_y_apart - 2 * between_apart)
    return MMDInfluence(
        mmd, influence_x - influence_x.mean(), influence_y - influence_y.mean(), second_order, bias
    )


class _Pairs(NamedTuple):
    """The sum of the kernel over pairs, and their number."""

    total: float
    number: int

    def without(self, some: _Pairs) -> _Pairs:
        return _Pairs(self.total - some.total, self.number - some.number)


def _tied(
    x: Array, y: Array, of_x: NDArray[np.intp], of_y: NDArray[np.intp], kernel: Kernel
) -> _Pairs:
    """Over pairs of vectors of one draw; a vector and itself are none, where y is x."""
    total, count = 0.0, 0
    rows, columns = _by_draw(of_x), _by_draw(of_y)
    for draw in rows.keys() & columns.keys():
        here, there = rows[draw], columns[draw]
        if x is y and len(here) == 1:
            continue
        for block in blocks(len(here)):
            values = kernel(x[here[block]] @ y[there].T)
            if x is y:
                own = np.arange(len(values))
                values[own, block.start + own] = 0.0
            total += float(values.sum())
        count += len(here) * (len(there) - (x is y))
    return _Pairs(total, count)


def _by_draw(of: NDArray[np.intp]) -> dict[int, NDArray[np.intp]]:
    """The rows of each draw."""
    order = np.argsort(of, kind="stable")
    draws, starts = np.unique(of[order], return_index=True)
    return dict(zip(draws.tolist(), np.split(order, starts[1:]), strict=True))


def _curved(sums: _Sums, in_row: int, in_column: int) -> float:
    """The variance of the doubly centred kernel, from sums over so many pairs a row and column."""
    pairs = len(sums.rows) * in_row
    mean = sums.rows.sum() / pairs
    rows, columns = sums.rows / in_row - mean, sums.columns / in_column - mean
    left = sums.squares / pairs - mean**2 - np.mean(rows**2) - np.mean(columns**2)
    return max(0.0, float(left))


def _within(x: Array, kernel: Kernel) -> _Sums:
    """Over pairs of different vectors, and over each with itself."""
    rows, squares, own = np.zeros(len(x)), 0.0, 0.0
    for i in blocks(len(x)):
        for j in blocks(i.start):
            values = kernel(x[i] @ x[j].T)
            rows[i] += values.sum(axis=1)
            rows[j] += values.sum(axis=0)
            squares += 2 * np.vdot(values, values)
        values = kernel(x[i] @ x[i].T)
        own += np.trace(values)
        np.fill_diagonal(values, 0.0)
        rows[i] += values.sum(axis=1)
        squares += np.vdot(values, values)
    return _Sums(rows, rows, float(squares), float(own))


def _between(x: Array, y: Array, kernel: Kernel) -> _Sums:
    rows, columns, squares = np.zeros(len(x)), np.zeros(len(y)), 0.0
    for i in blocks(len(x)):
        for j in blocks(len(y)):
            values = kernel(x[i] @ y[j].T)
            rows[i] += values.sum(axis=1)
            columns[j] += values.sum(axis=0)
            squares += np.vdot(values, values)
    return _Sums(rows, columns, float(squares))
