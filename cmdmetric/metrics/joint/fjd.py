"""The Fréchet joint distance (DeVries et al. 2019): the Fréchet distance of image-caption pairs.

Each pair is one vector, the image's features followed by alpha times the caption's. The covariance
of such vectors holds how images and captions go together, which the distances of CMD, made of the
two sets apart, cannot see: FJD rises when captions change places within the set.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from cmdmetric.errors import InputError
from cmdmetric.metrics.distance_influence import DistanceInfluence, End, frechet_influence
from cmdmetric.metrics.frechet import frechet_distance
from cmdmetric.metrics.moments import Moments
from cmdmetric.metrics.vectors import Array, as_vectors, blocks, require_pairs


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
    the other; the real ones are (m, d) and (m, e). An image with several captions is
    repeated. alpha scales the captions, by default `caption_scale` of the real pairs, as published;
    alpha = 0 leaves the images alone.

    Raises:
        InputError: The rows are not pairs, the dimensions differ, or a side has fewer than 2 pairs.
    """
    if alpha is None:
        alpha = caption_scale(real, real_captions)
    f = joint_moments(generated, generated_captions, alpha)
    r = joint_moments(real, real_captions, alpha)
    return frechet_distance(f, r)


def fjd_influence(
    generated: ArrayLike,
    generated_captions: ArrayLike,
    real: ArrayLike,
    real_captions: ArrayLike,
    *,
    draws: tuple[int, int] | None = None,
) -> DistanceInfluence:
    """`fjd` with the published alpha, and what every pair does to it: (n,) and (m,).

    alpha is taken as given: what single images do to it is not counted. draws are the numbers of
    generated and of real images, where some have several captions. Other arguments as for `fjd`.
    """
    alpha = caption_scale(real, real_captions)
    of_f, of_r = draws or (None, None)
    f = _Joined(*_pairs(generated, generated_captions), alpha)
    r = _Joined(*_pairs(real, real_captions), alpha)
    return frechet_influence(End(f.moments(), f, of_f), End(r.moments(), r, of_r))


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

    Raises:
        InputError: The rows are not pairs, or alpha is negative or not finite.
    """
    if not 0 <= alpha < np.inf:
        raise InputError(f"alpha is {alpha}, it must be a number from 0 upwards")
    return _Joined(*_pairs(images, captions), alpha).moments()


@dataclass(frozen=True, eq=False)
class _Joined:
    """Vectors [image, alpha caption] (n, d + e), joined as far as they are read."""

    images: Array
    captions: Array
    alpha: float

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, rows: slice) -> Array:
        return np.concatenate([self.images[rows], self.alpha * self.captions[rows]], axis=1)

    def moments(self) -> Moments:
        moments = Moments(self.images.shape[1] + self.captions.shape[1])
        for block in blocks(len(self), 8 * moments.d):
            moments.update(self[block])
        return moments


def _pairs(images: ArrayLike, captions: ArrayLike) -> tuple[Array, Array]:
    x, y = as_vectors(images, "images"), as_vectors(captions, "captions")
    require_pairs(x, "images", y, "captions")
    return x, y
