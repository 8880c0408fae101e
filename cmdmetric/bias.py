"""The finite-sample excess of the distances, and their values without it."""

from __future__ import annotations

from functools import reduce

import numpy as np
from scipy import linalg

from cmdmetric.influence import Sample, SideLike, Sides, units
from cmdmetric.metrics import CrossModelDistance
from cmdmetric.moments import Moments

#: Weights of the mean distance of the whole, of its halves and of its quarters: they cancel the
#: terms in 1/n and 1/n^2, whose sizes are 1 : 2 : 4 and 1 : 4 : 16.
WEIGHTS = np.array([8, -6, 1]) / 3
#: How much larger the second-order variance of that combination is than that of the whole.
NOISE = 4.0


def extrapolate(f: SideLike, r: SideLike, l: SideLike, seed: int = 0) -> CrossModelDistance:  # noqa: E741
    """The three distances at an infinite number of samples of the sides with features.

    A finite set is further from any other than its distribution is, by a series in 1/n. As in
    FID-infinity (Chong and Forsyth 2020) the distances of smaller sets show it, but the smaller
    sets are the halves and quarters of a seeded partition rather than random subsets: what single
    samples do to first order is then in the whole as in the mean of the parts, so that it cancels
    and the extrapolation adds no first-order noise. The parts keep what was drawn together
    together (`Sample.groups`), so the excess that pairing brings or takes is extrapolated too.

    f, r, l are Sample, features (n, d) or Moments; the last are taken as they are. The result may
    be slightly negative. Raises InputError as `influences` does.
    """
    sides = Sides.of(f, r, l)
    samples = sides.samples
    quarters = dict(zip(samples, _quarters(list(samples.values()), seed), strict=True))
    levels = []
    for parts in (1, 2, 4):
        merged = {
            name: [reduce(_union, q[i::parts], Moments(q[0].d)) for i in range(parts)]
            for name, q in quarters.items()
        }
        fixed = dict(zip("frl", sides.moments, strict=True))
        found = [
            [
                _distance(merged[a][i] if a in merged else fixed[a],
                          merged[b][i] if b in merged else fixed[b])
                if a in merged or b in merged or i == 0 else np.nan
                for a, b in ("fr", "fl", "rl")
            ]
            for i in range(parts)
        ]  # fmt: skip
        levels.append(np.nanmean(found, axis=0))
    return CrossModelDistance(*(WEIGHTS @ np.array(levels)).tolist())


def _quarters(samples: list[Sample], seed: int) -> list[list[Moments]]:
    """The moments of four parts of each side. Parts i, i + 2 together are one half."""
    units_of, count = units(samples)
    # Units that occur on the same sides are dealt out evenly, so that parts have equal sizes.
    present = np.zeros(count, dtype=int)
    for i, unit in enumerate(units_of):
        present[unit] |= 1 << i
    order = np.lexsort((np.random.default_rng(seed).permutation(count), present))
    part = np.empty(count, dtype=int)
    part[order] = np.arange(count) % 4
    return [
        [Moments.from_features(sample.features[part[unit] == i]) for i in range(4)]
        for sample, unit in zip(samples, units_of, strict=True)
    ]


def _union(a: Moments, b: Moments) -> Moments:
    return a.merge(b)


def _distance(a: Moments, b: Moments) -> float:
    """The Fréchet distance by eigenvalues: 1e-7 of the trace is enough here, at half the time."""
    root = a.root()
    squares = linalg.eigvalsh(root @ b.cov @ root.T, check_finite=False, driver="evd")
    gap = a.mean - b.mean
    cross = np.sqrt(np.clip(squares, 0, None)).sum()
    return float(gap @ gap + np.trace(a.cov) + np.trace(b.cov) - 2 * cross)
