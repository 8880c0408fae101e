"""FID (Heusel et al., NeurIPS 2017): the Fréchet distance of Inception's pooled features."""

from __future__ import annotations

import os

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cmdmetric.errors import InputError
from cmdmetric.metrics.distance_influence import DistanceInfluence, End, frechet_influence
from cmdmetric.metrics.frechet import frechet_distance
from cmdmetric.metrics.moments import Moments

#: Dimensions of the features that FID is made of.
DIMENSIONS = 2048


def fid(
    generated: Moments | ArrayLike | str | os.PathLike[str],
    real: Moments | ArrayLike | str | os.PathLike[str],
) -> float:
    """FID of two sets; 0 upwards, lower is better.

    Each is Inception's pooled features (n, 2048), `Moments` of them, or an .npz of moments in
    pytorch-fid's format (`mu`, `sigma`). Such files come from a network with the same weights but
    another resize: beside them FID moves a little.

    Raises:
        InputError: A file cannot be read, there are fewer than 2 images, or features are of another
            network.
    """
    return frechet_distance(_moments(generated), _moments(real))


def fid_influence(
    generated: NDArray[np.float32], real: Moments | NDArray[np.float32]
) -> DistanceInfluence:
    """`fid`, and what every image does to it whose pooled features (n, 2048) are given."""
    ends = [
        End(_moments(side), None if isinstance(side, Moments) else side)
        for side in (generated, real)
    ]
    return frechet_influence(*ends)


def _moments(side: Moments | ArrayLike | str | os.PathLike[str]) -> Moments:
    if isinstance(side, (str, os.PathLike)):
        moments, name = Moments.load(side), f"{os.fspath(side)}: "
    elif isinstance(side, Moments):
        moments, name = side, ""
    else:
        moments, name = Moments.from_features(np.asarray(side)), ""
    if moments.d != DIMENSIONS:
        raise InputError(
            f"{name}FID is made of Inception's {DIMENSIONS} pooled features, these have "
            f"{moments.d} dimensions: they are another network's or another layer's"
        )
    return moments
