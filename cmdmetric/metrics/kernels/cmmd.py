"""CMMD (Jayasumana et al., CVPR 2024): the maximum mean discrepancy of CLIP features."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from cmdmetric.metrics.kernels.mmd import Draws, MMDInfluence, SquaredMMD, mmd_influence
from cmdmetric.metrics.vectors import Array, as_vectors, require_same_dimension, unit

#: As published: the width of the kernel, and the factor that makes the numbers readable.
SIGMA = 10.0
SCALE = 1000.0


def cmmd(generated: ArrayLike, real: ArrayLike) -> SquaredMMD:
    """1000 MMD^2 with k(x, y) = exp(-|x - y|^2 / (2 sigma^2)), sigma = 10, on unit vectors.

    generated (n, d) and real (m, d) are CLIP features of any length. `biased` is the published
    form, `unbiased` the one to compare different numbers of samples with; lower is better. The
    published numbers are those of ViT-L/14 at 336 pixels.

    Vectors of length one are at most 2 apart, a fifth of sigma, where the kernel is all but
    linear: CMMD is 10 |mean_f - mean_r|^2 to about 1 %, plus a little of the second moments.

    Raises:
        InputError: There are fewer than 2 images, the dimensions differ, or values are not finite.
    """
    return cmmd_influence(generated, real).mmd


def cmmd_influence(
    generated: ArrayLike, real: ArrayLike, draws: Draws | None = None
) -> MMDInfluence:
    """`cmmd`, and what each generated and each real image does to it; arguments as there.

    draws: which draw each image belongs to, as for `mmd_influence`.
    """
    f, r = as_vectors(generated, "generated images", 2), as_vectors(real, "real images", 2)
    require_same_dimension(f, "generated images", r, "real images")
    found = mmd_influence(unit(f, "generated images"), unit(r, "real images"), _gauss, draws)
    return MMDInfluence(
        SquaredMMD(*(SCALE * value for value in found.mmd)),
        SCALE * found.of_x,
        SCALE * found.of_y,
        SCALE**2 * found.second_order,
        None if found.bias is None else SCALE * found.bias,
    )


def _gauss(products: Array) -> Array:
    # |x - y|^2 = 2 - 2 x.y. The constant 1 cancels in the MMD: without it no digits are lost.
    products -= 1
    products /= SIGMA**2
    return np.expm1(products, out=products)
