"""Which vectors are within reach of which: as far as their k-th nearest neighbours, or nearer.

Distances are made in single precision. Where they are so near to a limit that its rounding could
decide, they are made anew in double precision; what is told is therefore exact.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from cmdmetric.metrics.vectors import TILE, Array, blocks

#: The section (n,) that each vector of a set is in.
Sections = NDArray[np.intp]
#: Sees the products (b, m) of some vectors of a set with all of another, in single precision,
#: before distances are made of them.
Watch: TypeAlias = Callable[[slice, NDArray[np.float32]], None]

#: The smallest of a row are looked for in groups of so many of its entries.
_GROUP = 16
#: Pairs whose difference is made in double precision at once: 8,192 x 512 are 34 MB.
_PAIRS = 1 << 13
#: Squared distances below this, relative to the largest squared length, are rounding.
_ROUNDING = 1e-12


@dataclass(frozen=True, eq=False)
class Points:
    """Vectors in double and in single precision.

    Attributes:
        exact: (n, d) the vectors, about a common centre and of a size near one.
        single: (n, d) the same.
        squares: (n,) their squared lengths.
    """

    exact: Array
    single: NDArray[np.float32]
    squares: Array

    @classmethod
    def of(cls, exact: Array) -> Points:
        """Take vectors (n, d)."""
        return cls(exact, exact.astype(np.float32), np.einsum("nd,nd->n", exact, exact))

    def __len__(self) -> int:
        return len(self.exact)

    def distances(
        self, rows: slice, others: Points, watch: Watch | None = None
    ) -> NDArray[np.float32]:
        """Give the squared distances (b, m) of some vectors to all others."""
        found: NDArray[np.float32] = self.single[rows] @ others.single.T
        if watch is not None:
            watch(rows, found)
        found *= np.float32(-2)
        found += self.squares[rows, None].astype(np.float32)
        found += others.squares.astype(np.float32)
        return found

    def margin(self, others: Points) -> float:
        """Give how wrong `distances` may be at most.

        A product of d terms is wrong by d roundings of the lengths' product, whatever the order of
        its sum (Higham, Accuracy and Stability of Numerical Algorithms, section 3.1), and counts
        twice; the entries, the squared lengths and the last two sums are rounded beside.
        """
        largest = max(self.squares.max(), others.squares.max())
        return float((self.exact.shape[1] + 16) * np.finfo(np.float32).eps * largest)

    def exactly(self, rows: NDArray[np.intp], others: Points, columns: NDArray[np.intp]) -> Array:
        """Give the squared distances (p,) of some pairs in double precision."""
        found = np.empty(len(rows))
        for some in blocks(len(rows), _PAIRS):
            apart = self.exact[rows[some]] - others.exact[columns[some]]
            found[some] = np.einsum("pd,pd->p", apart, apart)
        return found


def reach(
    points: Points, divisions: Sequence[Sections], k: int, watch: Watch | None = None
) -> Array:
    """Give the squared distance of each vector's k-th nearest neighbour, less rounding: (s, n).

    Args:
        points: n vectors.
        divisions: In each of s divisions a vector sees those of its own section alone, which are
            more than k.
        k: The neighbour.
        watch: Sees the products that distances are made of.
    """
    found = np.full((len(divisions), len(points)), np.nan)
    # So many are looked at that the k-th of a section is almost surely among them.
    parts = max(int(sections.max()) for sections in divisions) + 1
    listed = min(len(points) - 1, parts * (2 * k + 12))
    close = 2 * points.margin(points)
    for rows in blocks(len(points), TILE):  # 512 x 30,000 distances are 61 MB
        distances = points.distances(rows, points, watch)
        own = np.arange(len(distances))
        distances[own, rows.start + own] = np.inf
        nearest = _smallest(distances, listed)
        near = np.take_along_axis(distances, nearest, axis=1)
        order = near.argsort(axis=1)
        nearest = np.take_along_axis(nearest, order, axis=1)
        near = np.take_along_axis(near, order, axis=1)
        last = near[:, -1] if listed < len(points) - 1 else np.inf
        for sections, of_division in zip(divisions, found, strict=True):
            together = sections[nearest] == sections[rows, None]
            count = together.cumsum(axis=1)
            at = (count >= k).argmax(axis=1)
            limit = near[own, at]
            sure = (count[:, -1] >= k) & (last > limit + close)
            # The k-th is one of those that rounding may have put in another order with it.
            apart = near - limit[:, None]
            rivals = together & (np.abs(apart) <= close) & sure[:, None]
            i, j = np.nonzero(rivals)
            exact = points.exactly(rows.start + i, points, nearest[i, j])
            exact = exact[np.lexsort((exact, i))]
            nearer = (together & (apart < -close)).sum(axis=1)
            here = own[sure]
            first = np.searchsorted(i, here)
            of_division[rows.start + here] = exact[first + k - 1 - nearer[here]]
    for sections, of_division in zip(divisions, found, strict=True):
        unsure = np.flatnonzero(np.isnan(of_division))
        for section in np.unique(sections[unsure]):
            here = unsure[sections[unsure] == section]
            of_division[here] = _kth(points, here, np.flatnonzero(sections == section), k)
    return found - _ROUNDING * points.squares.max()


def _smallest(values: NDArray[np.float32], number: int) -> NDArray[np.intp]:
    """The columns (b, number) of the smallest entries in each row of values (b, m).

    They are in the groups with the smallest minima, which are far fewer to be sorted out.
    """
    rows, columns = values.shape
    width = columns // _GROUP
    if width <= number:
        return np.argpartition(values, number - 1, axis=1)[:, :number]
    minima = values[:, : width * _GROUP].reshape(rows, _GROUP, width).min(axis=1)
    groups = np.argpartition(minima, number - 1, axis=1)[:, :number]
    members = groups[:, None] + width * np.arange(_GROUP)[:, None]
    beside = np.broadcast_to(np.arange(width * _GROUP, columns), (rows, columns - width * _GROUP))
    candidates = np.concatenate([members.reshape(rows, -1), beside], axis=1)
    found = np.argpartition(np.take_along_axis(values, candidates, axis=1), number - 1, axis=1)
    return np.take_along_axis(candidates, found[:, :number], axis=1)


def _kth(points: Points, rows: NDArray[np.intp], members: NDArray[np.intp], k: int) -> Array:
    """The squared distance of the k-th nearest other member of each row, in double precision."""
    x, found = points.exact, np.empty(len(rows))
    for some in blocks(len(rows), TILE):
        here = rows[some]
        distances = -2 * (x[here] @ x[members].T)
        distances += points.squares[here, None]
        distances += points.squares[members]
        distances[here[:, None] == members] = np.inf
        found[some] = np.partition(distances, k - 1, axis=1)[:, k - 1]
    return np.maximum(found, 0)


class Counts(NamedTuple):
    """Who reaches whom between two sets, in each of s divisions.

    Attributes:
        of_f: (s, n) how many of r reach each of f.
        of_r: (s, m) whether one of f reaches each of r.
        reaching: (s, m) whether each of r reaches one of f.
    """

    of_f: NDArray[np.int64]
    of_r: NDArray[np.bool_]
    reaching: NDArray[np.bool_]


def count_reached(
    f: Points,
    r: Points,
    divisions: Sequence[tuple[Sections, Sections]],
    k: int,
    watches: tuple[Watch, Watch, Watch] | None = None,
) -> Counts:
    """Count who reaches whom.

    Args:
        f: n vectors.
        r: m vectors about the same centre.
        divisions: The sections of both; a vector sees those of its own section alone.
        k: A vector reaches as far as its k-th nearest neighbour in its own set, that distance
            excluded.
        watches: See the products within f, within r, and of f with r.
    """
    of_f, of_r, between = watches or (None, None, None)
    in_f, in_r = zip(*divisions, strict=True)
    reach_f, reach_r = reach(f, in_f, k, of_f), reach(r, in_r, k, of_r)
    counts = Counts(
        np.zeros(reach_f.shape, np.int64),
        np.zeros(reach_r.shape, bool),
        np.zeros(reach_r.shape, bool),
    )
    margin = f.margin(r)
    farthest_f, farthest_r = (
        (each.max(axis=0) + margin).astype(np.float32) for each in (reach_f, reach_r)
    )
    for rows in blocks(len(f), TILE):
        single = f.distances(rows, r, between)
        near = (single < farthest_r) | (single < farthest_f[rows, None])
        i, j = np.divmod(np.flatnonzero(near), len(r))
        distances = single[i, j].astype(np.float64)
        i += rows.start
        together = [section_f[i] == section_r[j] for section_f, section_r in divisions]
        doubtful = np.zeros(len(i), dtype=bool)
        for pairs, far_f, far_r in zip(together, reach_f, reach_r, strict=True):
            for limit in (far_f[i], far_r[j]):
                doubtful |= pairs & (np.abs(distances - limit) <= margin)
        distances[doubtful] = f.exactly(i[doubtful], r, j[doubtful])
        for s, pairs in enumerate(together):
            from_r = pairs & (distances < reach_r[s, j])
            from_f = pairs & (distances < reach_f[s, i])
            counts.of_f[s, rows] = np.bincount(i[from_r] - rows.start, minlength=len(single))
            counts.reaching[s, j[from_r]] = True
            counts.of_r[s, j[from_f]] = True
    return counts
