"""The score against the number of samples: the finite-sample excess made visible."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cmdmetric.files import blocks_of, release
from cmdmetric.metrics import CrossModelDistance, Moments, cross_model_distance
from cmdmetric.uncertainty.draws import numbers_of_draws, units
from cmdmetric.uncertainty.influence import Sample, SideLike, Sides

#: Subsets of these shares of all draws.
SHARES = (1 / 32, 1 / 16, 1 / 8, 1 / 4, 1 / 2)
#: Fewer draws of a side than this say nothing.
LEAST = 16


@dataclass(frozen=True)
class Step:
    """The distances of subsets of one size, one for each random order of the draws."""

    #: Samples by side "f", "r", "l"; None where the side is moments, which stay whole.
    n: dict[str, int | None]
    distances: tuple[CrossModelDistance, ...]

    def mean(self, name: str) -> float:
        """Of `cmd`, `itdis`, `dis_fr`, `dis_fl` or `dis_rl`."""
        return float(np.mean([getattr(d, name) for d in self.distances]))

    def span(self, name: str) -> tuple[float, float]:
        """The least and the greatest of the orders."""
        found = [getattr(d, name) for d in self.distances]
        return min(found), max(found)


def growth(
    f: SideLike,
    r: SideLike,
    l: SideLike,
    *,
    orders: int = 3,
    seed: int = 0,
) -> tuple[Step, ...]:
    """The three distances at growing shares of the samples, the last step being all of them.

    In each of `orders` seeded random orders of the draws the subsets are nested. All sides with
    features shrink together, and what was drawn together (`Sample.groups`) stays together; sides
    that are moments stay whole. Shares that leave fewer than LEAST draws of a side are left out.

    f, r, l are Sample, features (n, d) or Moments.

    Raises:
        InputError: No side has its features (see `Sides.of`).
    """
    sides = Sides.of(f, r, l)
    samples = sides.samples
    whole = {name: m for name, m in zip(sides._fields, sides.moments, strict=True)}
    fewest = min(numbers_of_draws([sample.drawn for sample in samples.values()]))
    shares = [share for share in SHARES if int(share * fewest) >= LEAST]
    found: list[list[CrossModelDistance]] = [[] for _ in shares]
    counts: list[dict[str, int | None]] = [{} for _ in shares]
    for order in range(orders):
        ranks = _ranks(samples, seed + order)
        grown = {name: Moments(sample.moments.d) for name, sample in samples.items()}
        before = 0.0
        for level, share in enumerate(shares):
            for name, sample in samples.items():
                added = np.flatnonzero((ranks[name] >= before) & (ranks[name] < share))
                for rows in blocks_of(added):  # features may be more than fits into memory
                    grown[name].update(np.asarray(sample.features)[rows])
                    release(sample.features)
            found[level].append(cross_model_distance(**{**whole, **grown}))
            counts[level] = {name: grown[name].n if name in grown else None for name in whole}
            before = share
    steps = [Step(n, tuple(d)) for n, d in zip(counts, found, strict=True)]
    all_n = {name: len(samples[name].features) if name in samples else None for name in whole}
    return (*steps, Step(all_n, (cross_model_distance(**whole),)))


def _ranks(samples: dict[str, Sample], seed: int) -> dict[str, NDArray[np.float64]]:
    """By side the place (n,) of each sample in a random order, 0 to 1, equal in one draw.

    Draws that occur on the same sides are ranked among themselves: any share then holds the same
    share of each side.
    """
    units_of, count = units([sample.drawn for sample in samples.values()])
    present = np.zeros(count, dtype=int)
    for i, unit in enumerate(units_of):
        present[unit] |= 1 << i
    rank = np.empty(count)
    random = np.random.default_rng(seed)
    for kind in np.unique(present):
        members = np.flatnonzero(present == kind)
        rank[members] = (random.permutation(len(members)) + 0.5) / len(members)
    return {name: rank[unit] for name, unit in zip(samples, units_of, strict=True)}
