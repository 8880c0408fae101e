"""Precision, recall, density and coverage: which part of each set lies within reach of the other.

Precision and recall are those of Kynkäänniemi et al. (NeurIPS 2019), density and coverage those of
Naeem et al. (ICML 2020).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cmdmetric.errors import InputError
from cmdmetric.metrics.vectors import Array, as_vectors, blocks, require_same_dimension

#: An image reaches as far as this neighbour, as with Naeem et al.; Kynkäänniemi et al. took 3.
NEIGHBOURS = 5
#: Rows of distances that are held at once, each as long as the set: 256 x 30,000 are 61 MB.
_ROWS = 256
#: Squared distances below this, relative to the largest squared length, are rounding.
_ROUNDING = 1e-12


class PRDC(NamedTuple):
    """Higher is better in all four."""

    #: The fraction of generated images within the reach of a real one: fidelity.
    precision: float
    #: The fraction of real images within the reach of a generated one: variety.
    recall: float
    #: How many real images reach a generated one, over k: fidelity, which outliers do not raise.
    density: float
    #: The fraction of real images that reach a generated one: variety, not raised by outliers.
    coverage: float


class Reached(NamedTuple):
    """Which images lie within the reach of which."""

    #: (n,) by how many real images each generated one is reached.
    generated: NDArray[np.int64]
    #: (m,) whether a generated image reaches each real one.
    real: NDArray[np.bool_]
    #: (m,) whether each real image reaches a generated one.
    reaching: NDArray[np.bool_]

    def scores(self, k: int = NEIGHBOURS) -> PRDC:
        """The four scores, where an image reaches as far as its k-th neighbour."""
        return PRDC(
            precision=float((self.generated > 0).mean()),
            recall=float(self.real.mean()),
            density=float(self.generated.mean() / k),
            coverage=float(self.reaching.mean()),
        )


def prdc_scores(generated: ArrayLike, real: ArrayLike, *, k: int = NEIGHBOURS) -> PRDC:
    """The four scores of generated (n, d) and real (m, d) features, by Euclidean distance.

    An image reaches as far as its k-th nearest neighbour in its own set, that distance excluded,
    as in the code of Naeem et al.
    Precision, recall and coverage are from 0 to 1; density is about 1 for equal sets, and above
    it where generated images gather in the middle of the real ones. The scale of the features
    does not matter.

    Raises:
        InputError: A set has k images or fewer, the dimensions differ, or values are not finite.
    """
    return reached(generated, real, k=k).scores(k)


def reached(generated: ArrayLike, real: ArrayLike, *, k: int = NEIGHBOURS) -> Reached:
    """Which images lie within the reach of which; arguments and errors are of `prdc_scores`."""
    if k < 1:
        raise InputError(f"k is {k}, it must be at least 1")
    f = as_vectors(generated, "generated images", k + 1)
    r = as_vectors(real, "real images", k + 1)
    require_same_dimension(f, "generated images", r, "real images")
    # Of a size of one, squares of any features are numbers; centred, more of their digits are left.
    f, r = _of_size_one(f, r)
    centre = r.mean(axis=0)
    f, r = _of_size_one(f - centre, r - centre)
    reach_f, reach_r = _reach(f, k), _reach(r, k)
    reaching_f = np.zeros(len(f), dtype=np.int64)  # by how many real images each is reached
    r_reaches = np.zeros(len(r), dtype=bool)  # real images that reach a generated one
    r_reached = np.zeros(len(r), dtype=bool)  # real images that a generated one reaches
    for block in blocks(len(f), _ROWS):
        distances = _squared_distances(f[block], r)
        from_r, from_f = distances < reach_r, distances < reach_f[block, None]
        reaching_f[block] = from_r.sum(axis=1)
        r_reaches |= from_r.any(axis=0)
        r_reached |= from_f.any(axis=0)
    return Reached(reaching_f, r_reached, r_reaches)


def _of_size_one(x: Array, y: Array) -> tuple[Array, Array]:
    """Both times the power of two that brings the largest entry near one: no digit is lost."""
    power = int(np.frexp(max(np.abs(x).max(), np.abs(y).max()))[1])
    return np.ldexp(x, -power), np.ldexp(y, -power)


def _reach(x: Array, k: int) -> Array:
    """The squared distance of each vector's k-th nearest neighbour, less rounding: (n,)."""
    nearest = np.empty(len(x))
    for block in blocks(len(x), _ROWS):
        distances = _squared_distances(x[block], x)
        distances[np.arange(len(distances)), np.arange(block.start, block.stop)] = np.inf
        nearest[block] = np.partition(distances, k - 1, axis=1)[:, k - 1]
    return nearest - _ROUNDING * np.einsum("nd,nd->n", x, x).max()


def _squared_distances(x: Array, y: Array) -> Array:
    """|x_i - y_j|^2 (n, m), from one product of matrices."""
    distances: Array = x @ y.T
    distances *= -2
    distances += np.einsum("nd,nd->n", x, x)[:, None]
    distances += np.einsum("nd,nd->n", y, y)
    return np.maximum(distances, 0, out=distances)
