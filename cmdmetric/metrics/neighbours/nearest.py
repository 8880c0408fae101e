"""How far each vector's k-th nearest neighbour is.

Distances are made in single precision. Where they are so near to each other that its rounding could
decide, they are made anew in double precision; what is told is therefore exact.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from cmdmetric.metrics.neighbours.points import Points, Watch
from cmdmetric.metrics.vectors import TILE, Array, blocks

#: The section (n,) that each vector of a set is in.
Sections = NDArray[np.intp]

#: The smallest of a row are looked for in groups of so many of its entries.
_GROUP = 16
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
    nearest, near = _neighbours(points, listed, watch)
    last = near[:, -1] if listed < len(points) - 1 else np.full(len(points), np.inf)
    for sections, of_division in zip(divisions, found, strict=True):
        for rows in blocks(len(points)):
            together = sections[nearest[rows]] == sections[rows, None]
            count = together.cumsum(axis=1)
            at = (count >= k).argmax(axis=1)[:, None]
            limit = np.take_along_axis(near[rows], at, axis=1)
            sure = (count[:, -1] >= k) & (last[rows] > limit[:, 0] + close)
            # The k-th is one of those that rounding may have put in another order with it.
            apart = near[rows] - limit
            rivals = together & (np.abs(apart) <= close) & sure[:, None]
            i, j = np.nonzero(rivals)
            exact = points.exactly(rows.start + i, points, nearest[rows][i, j])
            exact = exact[np.lexsort((exact, i))]
            nearer = (together & (apart < -close)).sum(axis=1)
            here = np.flatnonzero(sure)
            first = np.searchsorted(i, here)
            of_division[rows.start + here] = exact[first + k - 1 - nearer[here]]
        unsure = np.flatnonzero(np.isnan(of_division))
        for section in np.unique(sections[unsure]):
            here = unsure[sections[unsure] == section]
            of_division[here] = _kth(points, here, np.flatnonzero(sections == section), k)
    return found - _ROUNDING * points.squares.max()


def _neighbours(
    points: Points, number: int, watch: Watch | None
) -> tuple[NDArray[np.intp], NDArray[np.float32]]:
    """Find the rows of each vector's nearest others and their squared distances, both (n, number).

    The distance of a pair is made once: a block of vectors meets itself and those before it, and
    these take note of whoever is nearer than what they have found so far.
    """
    nearest = np.zeros((len(points), number), np.intp)
    near = np.full(nearest.shape, np.inf, np.float32)
    for rows in blocks(len(points), TILE):  # 512 x 30,000 distances are 61 MB
        distances = points.distances(rows, points, rows.stop, watch)
        own = np.arange(len(distances))
        distances[own, rows.start + own] = np.inf
        found = _smallest(distances, min(number, rows.stop))
        nearest[rows, : found.shape[1]] = found
        near[rows, : found.shape[1]] = np.take_along_axis(distances, found, axis=1)
        for before in blocks(rows.start):
            _note(nearest[before], near[before], distances[:, before], rows.start)
    order = near.argsort(axis=1)
    return np.take_along_axis(nearest, order, axis=1), np.take_along_axis(near, order, axis=1)


def _note(
    nearest: NDArray[np.intp], near: NDArray[np.float32], distances: NDArray[np.float32], start: int
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
    which = np.zeros(values.shape, np.intp)
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
