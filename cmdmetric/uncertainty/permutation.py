"""Whether two generators differ, by letting their images change places."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from cmdmetric.uncertainty.draws import Array, Drawn, units

#: Permutations, of which the smallest p-value is one over one more.
PERMUTATIONS = 2000
#: Of the generator of random numbers that chooses them.
SEED = 0
#: Draws times permutations that are held at once.
_HELD = 1 << 24


def permutation_p(
    one: Array,
    two: Array,
    drawn: tuple[Drawn, Drawn],
    *,
    permutations: int = PERMUTATIONS,
    seed: int = SEED,
) -> float:
    """The two-sided p-value of the hypothesis that images of two generators may change places.

    Args:
        one: (n,) a value of each image of the first generator. Their mean less the mean of `two` is
            what is tested.
        two: (m,) the same of the second. The values must not tell the generators apart other than
            by the images: scores of single images, or influences on a metric of both sets together.
        drawn: what was drawn together of either. The images that both made of one caption change
            places with each other, all at once; images of captions that one generator has alone
            change places with such images of the other.
        permutations: how many, at random; where all exchanges within captions are fewer, these
            are all taken.
        seed: of the permutations.

    Returns:
        The share of the permutations, the one at hand among them, whose difference is at least as
        large. It is exact for any number of images, whatever the metric and the distribution.

    >>> paired = Drawn(5, np.arange(5))
    >>> permutation_p(np.arange(1.0, 6.0), np.zeros(5), (paired, paired))
    0.0625
    """
    (of_one, of_two), count = units(drawn)
    table = np.zeros((4, count))
    for row, values, of in ((0, one, of_one), (1, two, of_two)):
        table[row] = np.bincount(of, values, minlength=count)
        table[row + 2] = np.bincount(of, minlength=count)
    first, second = table[2] > 0, table[3] > 0
    both = table[:, first & second]
    alone_one, alone_two = table[:, first & ~second], table[:, ~first & second]
    alone = np.concatenate([alone_one[[0, 2]], alone_two[[1, 3]]], axis=1)
    k, first_alone = both.shape[1], alone_one.shape[1]
    rng = np.random.default_rng(seed)
    # The total over both generators stays: the sum of the first tells the difference.
    total, number = one.sum() + two.sum(), len(one) + len(two)

    def difference(sums: Array, counts: Array) -> Array:
        found: Array = sums / counts - (total - sums) / (number - counts)
        return found

    at_hand = difference(one.sum()[None], np.array([float(len(one))]))[0]
    every = not alone.size and 2**k <= permutations
    found, taken = 0, 0
    for swap in _swaps(rng, k, permutations, every):
        sums = both[0].sum() + swap @ (both[1] - both[0])
        counts = both[2].sum() + swap @ (both[3] - both[2])
        for place in range(len(swap) if alone.size else 0):
            chosen = rng.permutation(alone.shape[1])[:first_alone]
            sums[place] += alone[0, chosen].sum()
            counts[place] += alone[1, chosen].sum()
        differences = difference(sums, counts)
        # A permutation that gives the same difference but for rounding is no smaller one.
        found += int(np.sum(np.abs(differences) >= abs(at_hand) * (1 - 1e-9)))
        taken += len(swap)
    return found / taken if every else (1 + found) / (1 + taken)


def _swaps(
    rng: np.random.Generator, draws: int, permutations: int, every: bool
) -> Iterator[NDArray[np.float32] | Array]:
    """(b, draws) blocks of zeros and ones: which draws change places."""
    if every:
        yield (np.arange(2**draws)[:, None] >> np.arange(draws) & 1).astype(np.float64)
        return
    step = max(1, _HELD // max(1, draws))
    for start in range(0, permutations, step):
        size = (min(step, permutations - start), draws)
        yield rng.integers(0, 2, size, dtype=np.int8).astype(np.float64)
