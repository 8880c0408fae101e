"""The Vendi score (Friedman and Dieng, TMLR 2023): how many different images a set is worth."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from cmdmetric.metrics.vectors import Array, as_vectors, unit


class Vendi(NamedTuple):
    """The Vendi score of a set of images, and what each of them does to it."""

    score: float
    #: (n,) influences, with mean zero.
    of_images: Array


def vendi_score(features: ArrayLike) -> float:
    """exp of the entropy of the eigenvalues of K / n, with K the cosines of features (n, d).

    From 1, all alike, to min(n, d), all orthogonal; higher is more varied. K / n is n x n, but has
    the nonzero eigenvalues of the second moments d x d: the smaller of the two is decomposed.

    >>> round(vendi_score([[1, 0], [0, 2], [5, 0], [0, 1]]), 12)
    2.0

    Raises:
        InputError: Values are not finite, or a vector is zero and has no direction.
    """
    return vendi_influence(features).score


def vendi_influence(features: ArrayLike) -> Vendi:
    """Give `vendi_score` and what each image does to it; the errors are those of `vendi_score`.

    The entropy H = -Tr C log C of the second moments C of unit vectors x has the derivative
    -x.log(C) x - H, and the score is exp H.
    """
    from scipy import linalg
    from scipy.special import entr

    x = unit(as_vectors(features, "images"), "images")
    n, d = x.shape
    gram = x @ x.T if n <= d else x.T @ x
    shares, axes = linalg.eigh(gram / n, check_finite=False)
    # Along axes that no image has a part in there is nothing to weight.
    shares = np.maximum(shares, np.finfo(np.float64).tiny)
    parts = n * shares * axes**2 if n <= d else (x @ axes) ** 2
    surprise = -parts @ np.log(shares)
    score = float(np.exp(entr(shares).sum()))
    return Vendi(score, score * (surprise - surprise.mean()))
