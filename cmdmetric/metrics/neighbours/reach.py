"""Which vectors of two sets are within reach of which: as far as their k-th nearest neighbours.

As among neighbours, what single precision leaves open is decided in double.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from cmdmetric.metrics.neighbours.nearest import Sections, reach
from cmdmetric.metrics.neighbours.points import Points, Watch
from cmdmetric.metrics.vectors import TILE, blocks


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
        single = f.distances(rows, r, len(r), between)
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
