"""The cosines of two sets of images, which several metrics are made of."""

from __future__ import annotations

from numpy.typing import ArrayLike

from cmdmetric.metrics.kernels.mmd import Products
from cmdmetric.metrics.vectors import Array, as_vectors, require_same_dimension, unit

#: So many images of either set tell what cosines' higher powers add to a kernel that is all but
#: linear.
SAMPLE = 2048
#: From so many images on rounding of single cosines averages out of the sums of them.
SINGLE = 2048


def sampled_cosines(generated: ArrayLike, real: ArrayLike) -> Products:
    """As `cosines`, with powers from the third on of some images: for kernels that are near linear.

    The first and the second powers are exact. Of large sets that takes a fraction of the time, and
    CMMD of features that lie together, as CLIP's, is the same to 1e-6, of any to 1e-5.
    """
    f, r = _directions(generated, real)
    if max(len(f), len(r)) <= SAMPLE:
        return Products.of(f, r)
    return Products.of_sample(f, r, SAMPLE)


def cosines(generated: ArrayLike, real: ArrayLike) -> Products:
    """Sum powers of the cosines over all pairs of images.

    Args:
        generated: (n, d) features of any length.
        real: (m, d) features of any length.

    Raises:
        InputError: There are fewer than 2 images, the dimensions differ, or values are not finite.
    """
    f, r = _directions(generated, real)
    return Products.of(f, r, single=min(len(f), len(r)) >= SINGLE)


def _directions(generated: ArrayLike, real: ArrayLike) -> tuple[Array, Array]:
    f, r = as_vectors(generated, "generated images", 2), as_vectors(real, "real images", 2)
    require_same_dimension(f, "generated images", r, "real images")
    return unit(f, "generated images"), unit(r, "real images")
