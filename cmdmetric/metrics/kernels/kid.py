"""KID, the kernel Inception distance (Bińkowski et al., ICLR 2018), on any features."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from cmdmetric.errors import InputError
from cmdmetric.metrics.kernels.cosines import cosines
from cmdmetric.metrics.kernels.mmd import (
    Draws,
    Kernel,
    MMDInfluence,
    Products,
    mmd_influence,
    squared_mmd,
)
from cmdmetric.metrics.vectors import Array, as_vectors, require_same_dimension

#: Larger features leave the range of the cubes of their products, which are no Inception's anyway.
LARGEST = 1e50
#: As published; with fewer images than that the subsets are as large as the smaller set.
SUBSET_SIZE = 1000


class SubsetKID(NamedTuple):
    """KID as it is usually reported."""

    #: The mean over the subsets, and their standard deviation (which is no standard error).
    mean: float
    std: float
    subset_size: int
    subsets: int


class KIDParts(NamedTuple):
    """What each image does to KID, as far as the images of its part show it."""

    #: (n,) and (m,), each with mean zero.
    of_f: Array
    of_r: Array
    #: The second-order variance of KID in one part, and the number of parts.
    second_order: float
    parts: int


def kid(generated: ArrayLike, real: ArrayLike) -> float:
    """The unbiased MMD^2 with k(x, y) = (x.y / d + 1)^3 over all pairs of images.

    generated (n, d) and real (m, d) are features, taken as they are: KID depends on their scale.
    This is what `kid_of_subsets` estimates, without the randomness of its subsets. Lower is
    better; about 0, and as often below it, where the two sets are alike.

    Raises:
        InputError: There are fewer than 2 images, the dimensions differ, or values are not finite.
    """
    f, r = _pools(generated, real)
    return squared_mmd(f, r, _cubic(f.shape[1])).unbiased


def kid_of_subsets(
    generated: ArrayLike,
    real: ArrayLike,
    *,
    subsets: int = 100,
    subset_size: int | None = None,
    seed: int = 2020,
) -> SubsetKID:
    """KID over random subsets, drawn without repetition, as in the literature.

    subset_size is by default 1000, or the smaller set's number where that is less. With the
    default seed the subsets are torch-fidelity's. Other arguments and errors as for `kid`; an
    explicit subset_size that is larger than a set is an error.
    """
    f, r = _pools(generated, real)
    fewest = min(len(f), len(r))
    size = min(SUBSET_SIZE, fewest) if subset_size is None else subset_size
    if not 2 <= size <= fewest:
        raise InputError(
            f"KID subsets of {size} images cannot be drawn from {len(f):,} generated and "
            f"{len(r):,} real ones: choose a subset size from 2 to {fewest}"
        )
    if subsets < 1:
        raise InputError(f"KID over {subsets} subsets: it takes at least 1")
    rng = np.random.RandomState(seed)  # the legacy generator: torch-fidelity's subsets
    kernel = _cubic(f.shape[1])
    values = []
    for _ in range(subsets):
        of_f = rng.choice(len(f), size, replace=False)
        of_r = rng.choice(len(r), size, replace=False)
        values.append(squared_mmd(f[of_f], r[of_r], kernel).unbiased)
    return SubsetKID(float(np.mean(values)), float(np.std(values)), size, subsets)


def clip_kid(generated: ArrayLike, real: ArrayLike) -> float:
    """`kid` of CLIP features with k(x, y) = (cos(x, y) + 1)^3: whatever length a protocol gives.

    That is the kernel of vectors of length sqrt(d), whose entries have a size of about one, as
    Inception's. At length one the published kernel would be linear, 1 + 3 cos / d, to 0.2 %.
    """
    return clip_kid_influence(generated, real).mmd.unbiased


def clip_kid_influence(
    generated: ArrayLike, real: ArrayLike, draws: Draws | None = None
) -> MMDInfluence:
    """`clip_kid`, and what each generated and each real image does to it; arguments as there.

    draws: which draw each image belongs to, as for `mmd_influence`.
    """
    return clip_kid_of(cosines(generated, real), draws)


def clip_kid_of(cosines: Products, draws: Draws | None = None) -> MMDInfluence:
    """Give `clip_kid_influence` from sums of cosines, which other metrics are made of too."""
    return mmd_influence(cosines, _cubic(1), draws)


def kid_influence(generated: ArrayLike, real: ArrayLike, *, parts: int, seed: int = 0) -> KIDParts:
    """What each image does to `kid`, found in disjoint parts of both sets, drawn with `seed`.

    generated (n, d) and real (m, d); every image meets those of its part alone, which takes 1 /
    parts of the products of all pairs.

    Raises:
        InputError: A part would hold fewer than 2 images of a set.
    """
    f, r = _pools(generated, real)
    if not 1 <= parts <= min(len(f), len(r)) // 2:
        raise InputError(f"{parts} parts of {len(f):,} generated and {len(r):,} real images")
    rng = np.random.default_rng(seed)
    of_f, of_r = rng.permutation(len(f)) % parts, rng.permutation(len(r)) % parts
    influence_f, influence_r = np.empty(len(f)), np.empty(len(r))
    noise, kernel = [], _cubic(f.shape[1])
    for part in range(parts):
        rows_f, rows_r = np.flatnonzero(of_f == part), np.flatnonzero(of_r == part)
        found = mmd_influence(Products.of(f[rows_f], r[rows_r]), kernel)
        influence_f[rows_f], influence_r[rows_r] = found.of_x, found.of_y
        noise.append(found.second_order)
    return KIDParts(influence_f, influence_r, float(np.mean(noise)), parts)


def _pools(generated: ArrayLike, real: ArrayLike) -> tuple[Array, Array]:
    """Features as they are, of a size that the kernel takes."""
    f, r = as_vectors(generated, "generated images", 2), as_vectors(real, "real images", 2)
    require_same_dimension(f, "generated images", r, "real images")
    largest = max(np.abs(f).max(), np.abs(r).max())
    if largest > LARGEST:
        raise InputError(
            f"features of up to {largest:.3g} are too large for KID's kernel: it is the cube "
            "of products of features of the size of one, as Inception's are"
        )
    return f, r


def _cubic(d: int) -> Kernel:
    """(p / d + 1)^3 of inner products p."""

    def kernel(centre: float) -> Array:
        at_centre = centre / d + 1
        return np.array([3 * at_centre**2 / d, 3 * at_centre / d**2, 1 / d**3])

    return kernel
