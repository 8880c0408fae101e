"""Precision, recall, density and coverage: which part of each set lies within reach of the other.

Precision and recall are those of Kynkäänniemi et al. (NeurIPS 2019), density and coverage those of
Naeem et al. (ICML 2020).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cmdmetric.errors import InputError
from cmdmetric.metrics.neighbours.nearest import Sections
from cmdmetric.metrics.neighbours.points import Points, Watch
from cmdmetric.metrics.neighbours.reach import count_reached
from cmdmetric.metrics.vectors import Array, as_vectors, require_same_dimension

#: An image reaches as far as this neighbour, as with Naeem et al.; Kynkäänniemi et al. took 3.
NEIGHBOURS = 5


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

    def within(self, of_f: NDArray[np.bool_], of_r: NDArray[np.bool_]) -> Reached:
        """Keep some of the generated images (n,) and of the real ones (m,)."""
        return Reached(self.generated[of_f], self.real[of_r], self.reaching[of_r])


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
    return reached(generated, real, k=k)[0].scores(k)


def reached(
    generated: ArrayLike,
    real: ArrayLike,
    divisions: Sequence[tuple[Sections, Sections]] = (),
    *,
    k: int = NEIGHBOURS,
) -> list[Reached]:
    """Tell which images lie within the reach of which, from one pass over all distances.

    Args:
        generated: (n, d) features.
        real: (m, d) features.
        divisions: The section (n,) of each generated and (m,) of each real image, from 0 on. In
            each of the divisions images see those of their own section alone, as if those were
            all there are; every section has more than k images of either set.
        k: The neighbour that an image reaches as far as.

    Returns:
        That of the whole sets, and that of each division.

    Raises:
        InputError: A set has k images or fewer, the dimensions differ, or values are not finite.
    """
    return reached_of(about_centre(generated, real, k), divisions, k=k)


class AboutCentre(NamedTuple):
    """Two sets about a common centre and of a size near one, where more of their digits are left.

    A vector x is what it was, times a power of two, less the centre, times `scale`.
    """

    f: Points
    r: Points
    #: (d,)
    centre: Array
    scale: float


def about_centre(generated: ArrayLike, real: ArrayLike, k: int) -> AboutCentre:
    """Take both sets from about the mean of the real one; arguments and errors are `reached`'s."""
    if k < 1:
        raise InputError(f"k is {k}, it must be at least 1")
    f = as_vectors(generated, "generated images", k + 1)
    r = as_vectors(real, "real images", k + 1)
    require_same_dimension(f, "generated images", r, "real images")
    # Of a size of one, squares of any features are numbers.
    f, r, _ = _of_size_one(f, r)
    centre = r.mean(axis=0)
    f -= centre
    r -= centre
    f, r, scale = _of_size_one(f, r)
    return AboutCentre(Points.of(f), Points.of(r), centre, scale)


def reached_of(
    sets: AboutCentre,
    divisions: Sequence[tuple[Sections, Sections]] = (),
    *,
    k: int = NEIGHBOURS,
    watches: tuple[Watch, Watch, Watch] | None = None,
) -> list[Reached]:
    """Give `reached` of sets about a centre, with watches as `count_reached` takes them."""
    whole = np.zeros(len(sets.f), np.intp), np.zeros(len(sets.r), np.intp)
    counts = count_reached(sets.f, sets.r, [whole, *divisions], k, watches)
    return [Reached(*each) for each in zip(*counts, strict=True)]


def _of_size_one(x: Array, y: Array) -> tuple[Array, Array, float]:
    """Both times the power of two that brings the largest entry near one: no digit is lost."""
    power = int(np.frexp(max(*(max(of.max(), -of.min()) for of in (x, y))))[1])
    # By halves: where the entries are the smallest numbers, the factor is beyond the largest.
    half = -power // 2
    first, second = np.ldexp(1.0, half), np.ldexp(1.0, -power - half)
    x, y = x * first, y * first
    x *= second
    y *= second
    return x, y, float(np.ldexp(1.0, -power))
