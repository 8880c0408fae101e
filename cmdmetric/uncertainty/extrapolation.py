"""The finite-sample excess of the distances, and their values without it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from cmdmetric.errors import InputError
from cmdmetric.files import ROWS, blocks_of
from cmdmetric.metrics import CrossModelDistance, Moments
from cmdmetric.uncertainty.draws import units
from cmdmetric.uncertainty.influence import Sample, SideLike, Sides

#: Weights of the mean distance of the whole, of its halves and of its quarters: they cancel the
#: terms in 1/n and 1/n^2, whose sizes are 1 : 2 : 4 and 1 : 4 : 16.
WEIGHTS = np.array([8, -6, 1]) / 3
#: How much larger the second-order variance of that combination is than that of the whole.
NOISE = 4.0


def extrapolate(f: SideLike, r: SideLike, l: SideLike, seed: int = 0) -> CrossModelDistance:
    """The three distances at an infinite number of samples of the sides with features.

    A finite set is further from any other than its distribution is, by a series in 1/n. As in
    FID-infinity (Chong and Forsyth 2020) the distances of smaller sets show it, but the smaller
    sets are the halves and quarters of a seeded partition rather than random subsets: what single
    samples do to first order is then in the whole as in the mean of the parts, so that it cancels
    and the extrapolation adds no first-order noise. The parts keep what was drawn together
    together (`Sample.groups`), so the excess that pairing brings or takes is extrapolated too.

    f, r, l are Sample, features (n, d) or Moments; the last are taken as they are. The result may
    be slightly negative. Raises InputError as `Sides.of` does, and for a side of fewer than 8
    samples or draws.
    """
    sides = Sides.of(f, r, l)
    quarters = _quarters(sides.samples, seed)
    for name, parts in quarters.items():
        if min(part.n or 0 for part in parts) < 2:
            raise InputError(f"side {name} has too few samples to be parted into quarters")
    return extrapolate_quarters(
        *(quarters.get(n, m) for n, m in zip("frl", sides.moments, strict=True))
    )


def extrapolate_quarters(
    f: Moments | Sequence[Moments],
    r: Moments | Sequence[Moments],
    l: Moments | Sequence[Moments],
) -> CrossModelDistance:
    """`extrapolate` from the moments of four parts of a side, or Moments that are not parted."""
    sides = [{1: [m]} if isinstance(m, Moments) else _parts(m) for m in (f, r, l)]
    found = []
    for one, two in ((0, 1), (0, 2), (1, 2)):
        a, b = sides[one], sides[two]
        if len(a) == len(b) == 1:
            found.append(_distance(a[1][0], b[1][0]))
            continue
        # A side that is not parted meets each part of the other.
        levels = [zip(a.get(k, a[1] * k), b.get(k, b[1] * k), strict=True) for k in (1, 2, 4)]
        means = [np.mean([_distance(x, y) for x, y in level]) for level in levels]
        found.append(float(WEIGHTS @ means))
    return CrossModelDistance(*found)


def _parts(quarters: Sequence[Moments]) -> dict[int, list[Moments]]:
    """The moments of the whole, its halves and its quarters."""
    halves = [
        Moments(q.d).merge(q).merge(p) for q, p in zip(quarters[:2], quarters[2:], strict=True)
    ]
    whole = Moments(halves[0].d).merge(halves[0]).merge(halves[1])
    return {1: [whole], 2: halves, 4: list(quarters)}


def _quarters(samples: dict[str, Sample], seed: int) -> dict[str, list[Moments]]:
    """The moments of four parts of each side."""
    units_of, count = units([sample.drawn for sample in samples.values()])
    # Draws that occur on the same sides are dealt out evenly, so that the parts have equal sizes.
    present = np.zeros(count, dtype=int)
    for i, unit in enumerate(units_of):
        present[unit] |= 1 << i
    order = np.lexsort((np.random.default_rng(seed).permutation(count), present))
    part = np.empty(count, dtype=int)
    part[order] = np.arange(count) % 4
    return {
        name: _parted(sample, part[unit])
        for (name, sample), unit in zip(samples.items(), units_of, strict=True)
    }


def _parted(sample: Sample, part: NDArray[np.intp]) -> list[Moments]:
    """The moments of the samples of part 0, 1, 2 and 3, in one pass over the features."""
    found = [Moments(sample.moments.d) for _ in range(4)]
    start = 0
    for block in blocks_of(sample.features, 4 * ROWS):
        of = part[start : start + len(block)]
        for i, moments in enumerate(found):
            moments.update(block[of == i])
        start += len(block)
    return found


def _distance(a: Moments, b: Moments) -> float:
    """The Fréchet distance by eigenvalues: 1e-7 of the trace is enough here, at half the time."""
    cross = a.root() @ b.root().T
    squares = np.linalg.eigvalsh(cross @ cross.T)
    gap = a.mean - b.mean
    roots = np.sqrt(np.clip(squares, 0, None)).sum()
    return float(gap @ gap + np.trace(a.cov) + np.trace(b.cov) - 2 * roots)
