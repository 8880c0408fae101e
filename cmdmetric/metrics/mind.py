"""MIND, the Monge Inception distance (Berthet et al. 2026, arXiv 2605.06797), on any features."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cmdmetric.metrics.vectors import Array, as_vectors, blocks, require_same_dimension

#: As in torch-fidelity's MIND: how many directions are drawn, and by which seed.
PROJECTIONS, SEED = 1000, 2020
#: Directions that are looked at together: 30,000 projections on 32 are 8 MB.
_TOGETHER = 32


class MIND(NamedTuple):
    """The distance and what each vector does to it."""

    distance: float
    #: (n,) and (m,) influences, each with mean zero.
    of_x: Array
    of_y: Array
    #: The variance of the distance over the directions that are drawn.
    chance: float


def mind(
    generated: ArrayLike, real: ArrayLike, *, projections: int = PROJECTIONS, seed: int = SEED
) -> float:
    """3 d times the mean of W^2 of the projections on random directions: lower is better.

    generated (n, d) and real (m, d) are features. On a direction u, W^2 is the squared Wasserstein
    distance of the numbers u.x and u.y: for n = m the mean of the squared differences of both when
    sorted, else that of their quantile functions. (torch-fidelity leaves vectors of the larger
    set out, at random.) The factor 3 d makes of a distance of means alone 3 |mean_f - mean_r|^2.

    >>> round(mind([[0.0], [1.0]], [[2.0], [3.0]]), 12)
    12.0

    Raises:
        InputError: There are fewer than 2 images, the dimensions differ, or values are not finite.
    """
    return mind_influence(generated, real, projections=projections, seed=seed).distance


def mind_influence(
    generated: ArrayLike, real: ArrayLike, *, projections: int = PROJECTIONS, seed: int = SEED
) -> MIND:
    """Give `mind` and what each image does to it; arguments and errors are those of `mind`.

    By the weight of a sample x the squared distance of numbers has the derivative phi(x), less its
    mean, with Kantorovich's potential phi' = 2 (x - T x), where T transports the one set to the
    other (Santambrogio, Optimal Transport for Applied Mathematicians, 2015, proposition 7.17).
    """
    x, y = as_vectors(generated, "generated images", 2), as_vectors(real, "real images", 2)
    require_same_dimension(x, "generated images", y, "real images")
    d = x.shape[1]
    directions = np.random.default_rng(seed).standard_normal((projections, d))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    plan = _Plan.of(len(x), len(y))
    of_x, of_y, squares = np.zeros(len(x)), np.zeros(len(y)), np.empty(projections)
    for some in blocks(projections, _TOGETHER):
        p, q = directions[some] @ x.T, directions[some] @ y.T
        order_p, order_q = p.argsort(axis=1), q.argsort(axis=1)
        p, q = np.take_along_axis(p, order_p, axis=1), np.take_along_axis(q, order_q, axis=1)
        squares[some] = (p[:, plan.i] - q[:, plan.j]) ** 2 @ plan.mass
        for k in range(len(p)):
            of_x[order_p[k]] += _potential(p[k], plan.mean(q[k][plan.j], plan.i, len(x)))
            of_y[order_q[k]] += _potential(q[k], plan.mean(p[k][plan.i], plan.j, len(y)))
    scale = 3 * d / projections
    chance = (3 * d) ** 2 * float(squares.var(ddof=1)) / projections if projections > 1 else 0.0
    return MIND(3 * d * float(squares.mean()), scale * of_x, scale * of_y, chance)


class _Plan(NamedTuple):
    """How n sorted numbers of equal mass are moved to m: (k,) from which to which, and how much."""

    i: NDArray[np.intp]
    j: NDArray[np.intp]
    mass: Array

    @classmethod
    def of(cls, n: int, m: int) -> _Plan:
        # In units of 1 / (n m), so that where both end together is known exactly.
        ends = np.union1d(np.arange(1, n + 1) * m, np.arange(1, m + 1) * n)
        return cls((ends - 1) // m, (ends - 1) // n, np.diff(ends, prepend=0) / (n * m))

    def mean(self, values: Array, by: NDArray[np.intp], number: int) -> Array:
        """Where each of so many numbers is moved to, on average; values (k,) are those places."""
        if len(values) == number:
            return values
        return number * np.asarray(np.bincount(by, self.mass * values), np.float64)


def _potential(numbers: Array, moved: Array) -> Array:
    """The potential at sorted numbers (n,), which are moved to others, with mean zero."""
    slope = 2 * (numbers - moved)
    found = np.zeros_like(numbers)
    np.cumsum(np.diff(numbers) * (slope[1:] + slope[:-1]) / 2, out=found[1:])
    return found - found.mean()
