"""The Fréchet joint distance (DeVries et al. 2019): the Fréchet distance of image-caption pairs.

Each pair is one vector, the image's features followed by alpha times the caption's. The covariance
of such vectors holds how images and captions go together, which the distances of CMD, made of the
two sets apart, cannot see: FJD rises when captions change places within the set.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from cmdmetric.errors import InputError
from cmdmetric.frechet import frechet_distance
from cmdmetric.moments import Moments
from cmdmetric.vectors import Array, as_vectors, blocks, require_pairs


def fjd(
    generated: ArrayLike,
    generated_captions: ArrayLike,
    real: ArrayLike,
    real_captions: ArrayLike,
    *,
    alpha: float | None = None,
) -> float:
    """The Fréchet distance of generated and real image-caption pairs; 0 upwards, lower is better.

    generated (n, d) and generated_captions (n, e) are features, row i of one belonging to row i of
    the other, and likewise the real ones (m, d) and (m, e). An image with several captions is
    repeated. alpha scales the captions, by default `caption_scale` of the real pairs, as published;
    alpha = 0 leaves the images alone.

    Raises InputError where rows are not pairs, dimensions differ, or a side has fewer than 2 pairs.
    """
    if alpha is None:
        alpha = caption_scale(real, real_captions)
    f = joint_moments(generated, generated_captions, alpha)
    r = joint_moments(real, real_captions, alpha)
    return frechet_distance(f, r)


def caption_scale(images: ArrayLike, captions: ArrayLike) -> float:
    """The published alpha: the mean length of the images' vectors over that of the captions'.

    >>> caption_scale([[3.0, 4.0]], [[0.5, 0.0]])
    10.0
    """
    x, y = _pairs(images, captions)
    length = np.linalg.norm(y, axis=1).mean()
    if length == 0:
        raise InputError("all captions are the zero vector: their scale is undefined")
    return float(np.linalg.norm(x, axis=1).mean() / length)


def joint_moments(images: ArrayLike, captions: ArrayLike, alpha: float) -> Moments:
    """The moments of [image, alpha caption] (n, d + e), for `frechet_distance`.

    Raises InputError where rows are not pairs or alpha is negative or not finite.
    """
    if not 0 <= alpha < np.inf:
        raise InputError(f"alpha is {alpha}, it must be a number from 0 upwards")
    x, y = _pairs(images, captions)
    moments = Moments(x.shape[1] + y.shape[1])
    for block in blocks(len(x), 8 * moments.d):
        moments.update(np.concatenate([x[block], alpha * y[block]], axis=1))
    return moments


def _pairs(images: ArrayLike, captions: ArrayLike) -> tuple[Array, Array]:
    x, y = as_vectors(images, "images"), as_vectors(captions, "captions")
    require_pairs(x, "images", y, "captions")
    return x, y
