"""The Vendi score (Friedman and Dieng, TMLR 2023): how many different images a set is worth."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from cmdmetric.metrics.vectors import Array, as_vectors, unit


def vendi_score(features: ArrayLike) -> float:
    """exp of the entropy of the eigenvalues of K / n, with K the cosines of features (n, d).

    From 1, all alike, to min(n, d), all orthogonal; higher is more varied. K / n is n x n, but has
    the nonzero eigenvalues of the second moments d x d: the smaller of the two is decomposed.

    >>> round(vendi_score([[1, 0], [0, 2], [5, 0], [0, 1]]), 12)
    2.0

    Raises:
        InputError: Values are not finite, or a vector is zero and has no direction.
    """
    from scipy import linalg
    from scipy.special import entr

    x = unit(as_vectors(features, "images"), "images")
    n, d = x.shape
    gram = x @ x.T if n <= d else x.T @ x
    eigenvalues = linalg.eigvalsh(gram / n, check_finite=False)
    return float(np.exp(entr(np.clip(eigenvalues, 0, None)).sum()))


def vendi_influence(features: ArrayLike) -> Array:
    """What each image does to `vendi_score`: (n,), with mean zero.

    The entropy H = -Tr C log C of the second moments C of unit vectors x has the derivative
    -x.log(C) x - H, and the score is exp H. The arguments and the
    errors are those of `vendi_score`.
    """
    from scipy import linalg
    from scipy.special import entr

    x = unit(as_vectors(features, "images"), "images")
    _, s, axes = linalg.svd(x, full_matrices=False, check_finite=False)
    shares = s**2 / len(x)
    # Along axes that no image has a part in there is nothing to weight.
    logs = np.log(np.maximum(shares, np.finfo(np.float64).tiny))
    surprise = -((x @ axes.T) ** 2) @ logs
    return np.exp(entr(shares).sum()) * (surprise - surprise.mean())
