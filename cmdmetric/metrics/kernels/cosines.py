"""The cosines of two sets of images, which several metrics are made of."""

from __future__ import annotations

from numpy.typing import ArrayLike

from cmdmetric.metrics.kernels.mmd import Products
from cmdmetric.metrics.vectors import as_vectors, require_same_dimension, unit

#: From so many images on rounding of single cosines averages out of the sums of them.
SINGLE = 2048


def cosines(generated: ArrayLike, real: ArrayLike) -> Products:
    """Sum powers of the cosines over all pairs of images.

    Args:
        generated: (n, d) features of any length.
        real: (m, d) features of any length.

    Raises:
        InputError: There are fewer than 2 images, the dimensions differ, or values are not finite.
    """
    f, r = as_vectors(generated, "generated images", 2), as_vectors(real, "real images", 2)
    require_same_dimension(f, "generated images", r, "real images")
    f, r = unit(f, "generated images"), unit(r, "real images")
    return Products.of(f, r, single=min(len(f), len(r)) >= SINGLE)
