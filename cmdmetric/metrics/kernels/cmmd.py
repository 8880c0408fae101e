"""CMMD (Jayasumana et al., CVPR 2024): the maximum mean discrepancy of CLIP features."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike

from cmdmetric.metrics.kernels.cosines import sampled_cosines
from cmdmetric.metrics.kernels.mmd import Draws, MMDInfluence, Products, SquaredMMD, mmd_influence
from cmdmetric.metrics.vectors import Array

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
    """CMMD and what each image does to it; the arguments and the errors are those of `cmmd`.

    draws: which draw each image belongs to, as for `mmd_influence`.
    """
    return cmmd_of(sampled_cosines(generated, real), draws)


def cmmd_of(cosines: Products, draws: Draws | None = None) -> MMDInfluence:
    """Give `cmmd_influence` from sums of cosines, which other metrics are made of too."""
    found = mmd_influence(cosines, _gauss, draws)
    return MMDInfluence(
        SquaredMMD(*(SCALE * value for value in found.mmd)),
        SCALE * found.of_x,
        SCALE * found.of_y,
        SCALE**2 * found.second_order,
        None if found.bias is None else SCALE * found.bias,
    )


def _gauss(centre: float) -> Array:
    """exp((c - 1) / sigma^2) of cosines c, since |x - y|^2 = 2 - 2 c.

    The seventh power of a number below 2 / 100 over 7! is beneath double precision.
    """
    powers = np.arange(1, 7)
    of_centre = math.exp((centre - 1) / SIGMA**2)
    return np.asarray(of_centre / np.cumprod(powers * SIGMA**2), dtype=np.float64)
