"""The squared maximum mean discrepancy (Gretton et al. 2012) of two sets, in bounded memory."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, TypeAlias

import numpy as np

from cmdmetric.vectors import Array, blocks

#: A function of inner products, applied to a block (b, c) of them, which it may overwrite.
Kernel: TypeAlias = Callable[[Array], Array]


class SquaredMMD(NamedTuple):
    """Two estimates of one squared discrepancy; lower is nearer."""

    #: All pairs, each vector with itself among them: never negative, too high by O(1/n).
    biased: float
    #: Pairs of different vectors: right on average, so below zero half of the time at equality.
    unbiased: float


def squared_mmd(x: Array, y: Array, kernel: Kernel) -> SquaredMMD:
    """E k(x, x') + E k(y, y') - 2 E k(x, y) for a kernel of inner products; x (n, d), y (m, d).

    n and m are at least 2. Blocks of products are summed in float64 and thrown away.
    """
    n, m = len(x), len(y)
    within_x, own_x = _within(x, kernel)
    within_y, own_y = _within(y, kernel)
    cross = 2 * _between(x, y, kernel) / (n * m)
    return SquaredMMD(
        (within_x + own_x) / n**2 + (within_y + own_y) / m**2 - cross,
        within_x / (n * (n - 1)) + within_y / (m * (m - 1)) - cross,
    )


def _within(x: Array, kernel: Kernel) -> tuple[float, float]:
    """The kernel's sum over pairs of different vectors, and over each with itself."""
    pairs = own = 0.0
    for i in blocks(len(x)):
        for j in blocks(i.start):
            pairs += 2 * kernel(x[i] @ x[j].T).sum()
        square = kernel(x[i] @ x[i].T)
        diagonal = np.trace(square)
        own += diagonal
        pairs += square.sum() - diagonal
    return float(pairs), float(own)


def _between(x: Array, y: Array, kernel: Kernel) -> float:
    return float(sum(kernel(x[i] @ y[j].T).sum() for i in blocks(len(x)) for j in blocks(len(y))))
