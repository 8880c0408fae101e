"""Views of the three clouds in a plane, from their moments: where features and Gaussians fall."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import linalg

from cmdmetric.metrics import Moments

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class View:
    """A plane through the space of features of length one.

    Protocols scale the sides differently (`grgan`: images by 10), which would make one cloud a
    dot beside another. So every side is first divided by its scale, the root mean square length
    of its features.
    """

    #: (2, d) orthonormal.
    axes: Array
    #: (2,) the share of the variance that each axis shows, 0 to 1.
    shares: Array
    #: By side "f", "r", "l": its scale, and the point (d,) of it that the plane's origin is.
    scales: Mapping[str, float]
    origins: Mapping[str, Array]

    def points(self, side: str, features: ArrayLike) -> Array:
        """(n, 2) where features (n, d) of a side fall."""
        moved = np.asarray(features, dtype=np.float64) / self.scales[side] - self.origins[side]
        return np.asarray(moved @ self.axes.T)

    def gaussian(self, side: str, moments: Moments) -> tuple[Array, Array]:
        """(2,) mean and (2, 2) covariance of a side."""
        cov = self.axes @ (moments.cov / self.scales[side] ** 2) @ self.axes.T
        return self.points(side, moments.mean[None])[0], cov


def scale(moments: Moments) -> float:
    """The root mean square length of the features: what the protocol scaled them to.

    >>> x = 10 * np.array([[1.0, 0.0], [0.6, 0.8], [0.0, 1.0]])
    >>> round(scale(Moments.from_features(x)), 9)
    10.0
    """
    n = moments.n
    unbiased = 1.0 if n is None else (n - 1) / n
    return float(np.sqrt(moments.mean @ moments.mean + unbiased * np.trace(moments.cov)))


def joint_view(sides: Mapping[str, Moments]) -> View:
    """The plane of most variance of all three clouds together, each counting the same.

    Its first axis is as a rule the gap between images and captions that CLIP leaves.
    """
    scales = {side: scale(m) or 1.0 for side, m in sides.items()}
    means = {side: m.mean / scales[side] for side, m in sides.items()}
    centre = np.mean(list(means.values()), axis=0)
    return _principal(sides, scales, {side: centre for side in sides})


def aligned_view(sides: Mapping[str, Moments]) -> View:
    """The same with the gap between images and captions taken out.

    Captions are seen from their own mean, images, generated ones too, from that of the real ones:
    what is left between real and generated images is their difference.
    """
    scales = {side: scale(m) or 1.0 for side, m in sides.items()}
    means = {side: m.mean / scales[side] for side, m in sides.items()}
    images = means["r"]
    return _principal(sides, scales, {"f": images, "r": images, "l": means["l"]})


def _principal(
    sides: Mapping[str, Moments], scales: Mapping[str, float], origins: Mapping[str, Array]
) -> View:
    d = next(iter(sides.values())).d
    pooled = np.zeros((d, d))
    for side, moments in sides.items():
        gap = moments.mean / scales[side] - origins[side]
        pooled += moments.cov / scales[side] ** 2 + np.outer(gap, gap)
    values, vectors = linalg.eigh(pooled, subset_by_index=(max(0, d - 2), d - 1))
    axes = np.zeros((2, d))
    axes[: len(values)] = vectors.T[::-1]
    shares = np.zeros(2)
    shares[: len(values)] = np.clip(values[::-1], 0, None) / (np.trace(pooled) or 1.0)
    # An eigenvector's sign is arbitrary: the same input is to give the same picture.
    largest = axes[np.arange(2), np.abs(axes).argmax(axis=1)]
    return View(axes * np.where(largest < 0, -1.0, 1.0)[:, None], shares, scales, origins)
