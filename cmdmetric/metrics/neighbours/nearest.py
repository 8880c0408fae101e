"""How far each vector's k-th nearest neighbour is.

Distances are made in single precision. Where they are so near to each other that its rounding could
decide, they are made anew in double precision; what is told is therefore exact.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from cmdmetric.metrics.neighbours.points import Points, Watch
from cmdmetric.metrics.vectors import TILE, Array, blocks

#: The section (n,) that each vector of a set is in.
Sections = NDArray[np.intp]

#: Some vectors (b,) as a run of rows, the rows of others, and their squared distances: (b, number).
_Lists: TypeAlias = tuple[slice, NDArray[np.int32], NDArray[np.float32]]

#: The smallest of a row are looked for in groups of so many of its entries.
_GROUP = 16
#: The longest list of neighbours that is kept for all vectors at once, and the most entries of all:
#: 8 bytes each.
_LONGEST, _ENTRIES = 160, 1 << 23
#: Squared distances below this, relative to the largest squared length, are rounding.
_ROUNDING = 1e-12


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
    for rows, nearest, near in _neighbours(points, listed, watch):
        last = near[:, -1] if listed < len(points) - 1 else np.inf
        for sections, of_division in zip(divisions, found, strict=True):
            together = sections[nearest] == sections[rows, None]
            count = together.cumsum(axis=1)
            at = (count >= k).argmax(axis=1)[:, None]
            limit = np.take_along_axis(near, at, axis=1)
            sure = (count[:, -1] >= k) & (last > limit[:, 0] + close)
            # The k-th is one of those that rounding may have put in another order with it.
            apart = near - limit
            rivals = together & (np.abs(apart) <= close) & sure[:, None]
            i, j = np.nonzero(rivals)
            exact = points.exactly(rows.start + i, points, nearest[i, j])
            exact = exact[np.lexsort((exact, i))]
            nearer = (together & (apart < -close)).sum(axis=1)
            here = np.flatnonzero(sure)
            first = np.searchsorted(i, here)
            of_division[rows.start + here] = exact[first + k - 1 - nearer[here]]
    for sections, of_division in zip(divisions, found, strict=True):
        unsure = np.flatnonzero(np.isnan(of_division))
        for section in np.unique(sections[unsure]):
            here = unsure[sections[unsure] == section]
            of_division[here] = _kth(points, here, np.flatnonzero(sections == section), k)
    return found - _ROUNDING * points.squares.max()


def _neighbours(points: Points, number: int, watch: Watch | None) -> Iterator[_Lists]:
    """Give each vector's nearest others, from the nearest on, for some vectors at a time.

    Long lists take more time than is saved where the distance of a pair is made once, and the lists
    of very many vectors more memory.
    """
    once = number <= _LONGEST and len(points) * number <= _ENTRIES
    for rows, nearest, near in (_of_pairs if once else _of_each)(points, number, watch):
        order = near.argsort(axis=1)
        yield (
            rows,
            np.take_along_axis(nearest, order, axis=1),
            np.take_along_axis(near, order, axis=1),
        )


def _of_each(points: Points, number: int, watch: Watch | None) -> Iterator[_Lists]:
    """The nearest of some vectors at a time, which meet all."""
    for rows in blocks(len(points), TILE):  # 512 x 30,000 distances are 61 MB
        _, nearest, near = _met(points, rows, len(points), number, watch)
        yield rows, nearest, near


def _of_pairs(points: Points, number: int, watch: Watch | None) -> Iterator[_Lists]:
    """The nearest of all vectors, where the distance of a pair is made once.

    Some vectors meet each other and those before them, and these take note of whoever is nearer
    than what they have found so far.
    """
    nearest = np.zeros((len(points), number), np.int32)
    near = np.full(nearest.shape, np.inf, np.float32)
    for rows in blocks(len(points), TILE):
        distances, found, how_near = _met(points, rows, rows.stop, number, watch)
        nearest[rows, : found.shape[1]], near[rows, : found.shape[1]] = found, how_near
        for before in blocks(rows.start):
            _note(nearest[before], near[before], distances[:, before], rows.start)
    for rows in blocks(len(points), TILE):
        yield rows, nearest[rows], near[rows]


def _met(
    points: Points, rows: slice, first: int, number: int, watch: Watch | None
) -> tuple[NDArray[np.float32], NDArray[np.int32], NDArray[np.float32]]:
    """The distances (b, first) of some vectors to the first ones, and the nearest of these."""
    distances = points.distances(rows, points, first, watch)
    own = np.arange(len(distances))
    distances[own, rows.start + own] = np.inf
    nearest = _smallest(distances, min(number, first))
    return distances, nearest.astype(np.int32), np.take_along_axis(distances, nearest, axis=1)


def _note(
    nearest: NDArray[np.int32],
    near: NDArray[np.float32],
    distances: NDArray[np.float32],
    start: int,
) -> None:
    """Put rows from `start` on, at distances (b, m), among the nearest (m, number) so far."""
    number = near.shape[1]
    i, j = np.divmod(np.flatnonzero(distances < near.max(axis=1)), len(near))
    by_vector = j.argsort(kind="stable")
    i, j = i[by_vector], j[by_vector]
    changed, first, count = np.unique(j, return_index=True, return_counts=True)
    if not len(changed):
        return
    row = np.repeat(np.arange(len(changed)), count)
    place = number + np.arange(len(j)) - first[row]
    values = np.full((len(changed), number + count.max()), np.inf, np.float32)
    which = np.zeros(values.shape, np.int32)
    values[:, :number], which[:, :number] = near[changed], nearest[changed]
    values[row, place], which[row, place] = distances[i, j], start + i
    kept = np.argpartition(values, number - 1, axis=1)[:, :number]
    near[changed] = np.take_along_axis(values, kept, axis=1)
    nearest[changed] = np.take_along_axis(which, kept, axis=1)


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
