"""The squared maximum mean discrepancy (Gretton et al. 2012) of two sets, in bounded memory.

The kernels are polynomials of inner products, or as good as polynomials where they are used. Their
sums over pairs follow from sums of powers of the products, which are made once for all kernels.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from cmdmetric.metrics.distance_influence import quadratic
from cmdmetric.metrics.vectors import TILE, Array, blocks

#: Given a centre of inner products, the coefficients (p,) of the powers, from the first on, of what
#: a product is above that centre. The constant cancels in a discrepancy and is left out.
Kernel: TypeAlias = Callable[[float], Array]

#: Powers that are summed for each vector, and of which pairs of them make twice as many in total.
_EACH, _TOTAL = 3, 6


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
    """Sums over pairs: of powers 1 to 3 by row (3, n) and column (3, m), of 1 to 6 in all (6,)."""

    rows: Array
    columns: Array
    totals: Array


@dataclass(frozen=True, eq=False)
class Products:
    """The sums of powers of two sets' inner products, about a centre of them.

    Attributes:
        x: (n, d) vectors.
        y: (m, d) vectors.
        centre: What products are counted from.
        of_x: Over the pairs of different vectors of x.
        of_y: Over the pairs of different vectors of y.
        between: Over all pairs of a vector of x and one of y.
    """

    x: Array
    y: Array
    centre: float
    of_x: _Sums
    of_y: _Sums
    between: _Sums

    @classmethod
    def of(cls, x: Array, y: Array, *, single: bool = False) -> Products:
        """Sum over all pairs, in tiles that are thrown away.

        Args:
            x: (n, d) vectors, two or more.
            y: (m, d) vectors, two or more.
            single: Whether products are made in single precision, in half the time. The sums of
                first and second powers, of which kernels of unit vectors almost wholly consist,
                come in double precision from the sets' moments then.
        """
        centre = _centre(x, y)
        summed = partial(_summed, centre=centre, single=single)
        return cls.of_sums(x, y, centre, (summed(x, x), summed(y, y), summed(x, y)))

    @classmethod
    def of_sample(cls, x: Array, y: Array, size: int) -> Products:
        """Take the first two powers from the moments, and higher ones from a sample of the pairs.

        That takes no pass over all pairs. It is right for kernels that are all but linear, and of
        influences the third power is left out.

        Args:
            x: (n, d) vectors, two or more.
            y: (m, d) vectors, two or more.
            size: How many vectors of each set are drawn, always the same ones; all of smaller sets.
        """
        centre = _centre(x, y)
        drawn = np.random.default_rng(0)
        few = [v[np.sort(drawn.permutation(len(v))[:size])] for v in (x, y)]
        pairs = ((0, 0), (1, 1), (0, 1))
        sums = [_summed(few[i], few[j], centre=centre, single=False) for i, j in pairs]
        of_x, of_y, between = sums
        n, m = len(x), len(y)
        return cls.of_sums(x, y, centre, (of_x.of_as(n), of_y.of_as(m), between.of_as(n, m)))

    @classmethod
    def of_sums(
        cls, x: Array, y: Array, centre: float, sums: tuple[PowerSums, PowerSums, PowerSums]
    ) -> Products:
        """Finish sums about a centre: over pairs within x (n, d), within y (m, d), and between."""
        of_x, of_y, between = sums
        single = between.single
        m_x, m_y = _Moments.of(x, squares=single), _Moments.of(y, squares=single)
        return cls(
            x,
            y,
            centre,
            of_x.with_moments((x, m_x), (x, m_x), centre),
            of_y.with_moments((y, m_y), (y, m_y), centre),
            between.with_moments((x, m_x), (y, m_y), centre),
        )


def _centre(x: Array, y: Array) -> float:
    """What inner products are about as large as."""
    middle = (x.mean(axis=0) + y.mean(axis=0)) / 2
    return float(middle @ middle)


def squared_mmd(x: Array, y: Array, kernel: Kernel) -> SquaredMMD:
    """E k(x, x') + E k(y, y') - 2 E k(x, y) for a kernel of inner products; x (n, d), y (m, d).

    n and m are at least 2.
    """
    return mmd_influence(Products.of(x, y), kernel).mmd


def mmd_influence(products: Products, kernel: Kernel, draws: Draws | None = None) -> MMDInfluence:
    """Give `squared_mmd` and the influence of every vector on it.

    To first order vector x_i adds 2 (E k(x_i, x) - E k(x_i, y)) / n, less the mean, as in every
    U-statistic (Hoeffding 1948). Where the two sets are alike that is noise, and the variance is
    that of the doubly centred kernel.

    Args:
        products: Of both sets.
        kernel: The kernel. The influences leave out what it has beyond the third power.
        draws: Which draw each vector belongs to; by default every vector is one of its own.
    """
    x, y, centre = products.x, products.y, products.centre
    of_x, of_y, between = products.of_x, products.of_y, products.between
    n, m = len(x), len(y)
    terms = kernel(centre)
    each, several = terms[:_EACH], len(terms)
    total_x, total_y, across = (
        float(terms @ sums.totals[:several]) for sums in (of_x, of_y, between)
    )
    own_x, own_y = (
        float(_values(terms, np.einsum("nd,nd->n", v, v) - centre).sum()) for v in (x, y)
    )
    cross = 2 * across / (n * m)
    mmd = SquaredMMD(
        (total_x + own_x) / n**2 + (total_y + own_y) / m**2 - cross,
        total_x / (n * (n - 1)) + total_y / (m * (m - 1)) - cross,
    )
    influence_x = 2 * (each @ of_x.rows / (n - 1) - each @ between.rows / m)
    influence_y = 2 * (each @ of_y.rows / (m - 1) - each @ between.columns / n)
    second_order = (
        2 * _curved(of_x, terms, n - 1, n - 1) / (n * (n - 1))
        + 2 * _curved(of_y, terms, m - 1, m - 1) / (m * (m - 1))
        + 4 * _curved(between, terms, m, n) / (n * m)
    )
    bias: float | None = 0.0
    if draws is not None:
        value = partial(_values, terms)
        kinds = (
            _Pairs(total_x, n * (n - 1)).without(_tied(x, x, draws[0], draws[0], centre, value)),
            _Pairs(total_y, m * (m - 1)).without(_tied(y, y, draws[1], draws[1], centre, value)),
            _Pairs(across, n * m).without(_tied(x, y, *draws, centre, value)),
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
    x: Array,
    y: Array,
    of_x: NDArray[np.intp],
    of_y: NDArray[np.intp],
    centre: float,
    value: Callable[[Array], Array],
) -> _Pairs:
    """Over pairs of vectors of one draw; a vector and itself are none, where y is x."""
    total, count = 0.0, 0
    drawn, sizes = np.unique(of_x, return_counts=True)
    tied = drawn[sizes > 1] if x is y else np.intersect1d(drawn, of_y)
    if not len(tied):
        return _Pairs(0.0, 0)
    rows, columns = _by_draw(of_x), _by_draw(of_y)
    for draw in tied.tolist():
        here, there = rows[draw], columns[draw]
        for block in blocks(len(here)):
            values = value(x[here[block]] @ y[there].T - centre)
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


def _values(terms: Array, above: Array) -> Array:
    """The kernel of products that are so far above the centre."""
    return np.polynomial.polynomial.polyval(above, np.append(0.0, terms))


def _curved(sums: _Sums, terms: Array, in_row: int, in_column: int) -> float:
    """The variance of the doubly centred kernel, from sums over so many pairs a row and column."""
    pairs = sums.rows.shape[1] * in_row
    squares = np.convolve(terms, terms)[: _TOTAL - 1] @ sums.totals[1:]
    each = terms[:_EACH]
    rows, columns = each @ sums.rows / in_row, each @ sums.columns / in_column
    mean = rows.mean()
    left = squares / pairs - mean**2 - np.mean((rows - mean) ** 2) - np.mean((columns - mean) ** 2)
    return max(0.0, float(left))


def _summed(x: Array, y: Array, *, centre: float, single: bool) -> PowerSums:
    """Over pairs of a vector of x and one of y; of different vectors, where y is x."""
    within = y is x
    sums = PowerSums(len(x), None if within else len(y), single=single)
    kind = np.float32 if single else np.float64
    a, b = x.astype(kind, copy=False), y.astype(kind, copy=False)
    for i in blocks(len(x), TILE):
        for j in blocks(i.stop if within else len(y), TILE):
            tile = a[i] @ b[j].T
            tile -= centre
            sums.add(tile, i, j)
    return sums


class PowerSums:
    """Sums of powers of products about a centre, which grow tile by tile.

    In single precision those of the first and second powers are left to the moments.
    """

    def __init__(self, n: int, m: int | None = None, *, single: bool) -> None:
        """Sum over pairs of n vectors with m others, or of n different vectors where m is None."""
        self.single, self._within = single, m is None
        self._rows = np.zeros((_EACH, n))
        self._columns = self._rows if m is None else np.zeros((_EACH, m))
        self._higher = np.zeros(_TOTAL - _EACH)
        self._ones = np.ones(TILE, np.float32 if single else np.float64)

    def add(self, tile: NDArray[Any], i: slice, j: slice) -> None:
        """Add a tile (b, c) of rows i and columns j, at most `TILE` each.

        Within a set, a tile below the diagonal stands for its mirror image too; on the diagonal it
        loses the products of vectors with themselves.
        """
        diagonal = self._within and i == j
        if diagonal:
            np.fill_diagonal(tile, 0)
        squares = tile * tile
        cubes = squares * tile
        rows, columns = (self._ones[: len(tile)], self._ones[: tile.shape[1]])
        for power, values in list(enumerate((tile, squares, cubes)))[2 * self.single :]:
            self._rows[power, i] += values @ columns
            if not diagonal:
                self._columns[power, j] += rows @ values
        times = 2 if self._within and not diagonal else 1
        for power, (p, q) in enumerate(((squares, squares), (squares, cubes), (cubes, cubes))):
            self._higher[power] += times * float(np.vdot(p, q))

    def of_as(self, n: int, m: int | None = None) -> PowerSums:
        """Those of n vectors and m others, or of n different ones, of which these are a sample."""
        own, beside = self._rows.shape[1], self._columns.shape[1]
        of_all = PowerSums(n, m, single=True)
        pairs = own * (own - 1) if self._within else own * beside
        share = (n * (n - 1) if m is None else n * m) / pairs
        cubes = float(self._rows[2].sum()) * share
        of_all._rows[2], of_all._columns[2] = cubes / n, cubes / (m or n)
        of_all._higher = self._higher * share
        return of_all

    def with_moments(
        self, x: tuple[Array, _Moments], y: tuple[Array, _Moments], centre: float
    ) -> _Sums:
        """Finish: of x (n, d) and of y (m, d), which is x within a set, and their moments."""
        rows, columns = self._rows, self._columns
        totals = rows.sum(axis=1)
        if self.single:
            totals[:2] = _totals(x, y[1], centre, own=self._within)
            rows[:2] = _powers(x[0], y[1], centre, own=self._within)
            if not self._within:
                columns[:2] = _powers(y[0], x[1], centre)
        return _Sums(rows, columns, np.concatenate([totals, self._higher]))


class _Moments(NamedTuple):
    """A set's number, and the sums of its vectors (d,) and of their squares (d, d)."""

    number: int
    total: Array
    squares: Array

    @classmethod
    def of(cls, x: Array, *, squares: bool) -> _Moments:
        return cls(len(x), x.sum(axis=0), x.T @ x if squares else np.empty((0, 0)))


def _totals(x: tuple[Array, _Moments], y: _Moments, centre: float, *, own: bool) -> Array:
    """The first and second powers (2,) of all products of x with a set; with itself, where `own`.

    They are made in double precision: values follow from them.
    """
    vectors, of_x = x
    pairs, first = of_x.number * y.number, float(of_x.total @ y.total)
    second = float(np.vdot(of_x.squares, y.squares))
    found = np.array([first - pairs * centre, second - 2 * centre * first + pairs * centre**2])
    if own:
        themselves = np.einsum("nd,nd->n", vectors, vectors) - centre
        found -= [themselves.sum(), (themselves**2).sum()]
    return found


def _powers(x: Array, y: _Moments, centre: float, *, own: bool = False) -> Array:
    """The first and second powers (2, n) of x's products with a set; with itself, where `own`."""
    found = np.empty((2, len(x)))
    for i in blocks(len(x)):
        first = x[i] @ y.total
        second = quadratic(x[i], y.squares)
        found[0, i] = first - y.number * centre
        found[1, i] = second - 2 * centre * first + y.number * centre**2
    if own:
        themselves = np.einsum("nd,nd->n", x, x) - centre
        found -= np.stack([themselves, themselves**2])
    return found
