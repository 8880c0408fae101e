"""The Fréchet distance of two Gaussians (Dowson and Landau 1982), the `Dis` of the paper."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cmdmetric.errors import InputError
from cmdmetric.metrics.moments import Moments, refuse_differences

#: Of a distance, relative to the traces of the covariances: a worst case, met by far.
PRECISION = 1e-9


def frechet_distance(a: Moments, b: Moments) -> float:
    """|mean_a - mean_b|^2 + Tr(cov_a + cov_b - 2 (cov_a cov_b)^(1/2)), squared as in FID.

    With roots cov = R^T R the last trace is the sum of the singular values of R_a R_b^T: real,
    never negative, and exact where a covariance is singular. R is the centred features where a
    set has at most d samples, so the decomposition is then of the smaller side.

    >>> rng = np.random.default_rng(0)
    >>> x = Moments.from_features(rng.standard_normal((500, 8)))
    >>> frechet_distance(x, x) < 1e-9
    True

    Raises:
        InputError: The dimensions differ, a set has fewer than 2 samples, or the two were made
            differently.
    """
    if a.d != b.d:
        raise InputError(
            f"features of {a.d} and of {b.d} dimensions cannot be compared: "
            "they come from two encoders"
        )
    if a.provenance and b.provenance:
        refuse_differences(a.provenance, b.provenance)
    root_a, root_b = a.root(), b.root()
    gap = a.mean - b.mean
    traces = np.sum(root_a**2) + np.sum(root_b**2)
    cross = sum_of_singular_values(root_a @ root_b.T, PRECISION * traces)
    return max(0.0, float(gap @ gap + traces - 2 * cross))


def sum_of_singular_values(x: NDArray[np.float64], error: float) -> float:
    """Of x (k, m), off by less than `error`.

    The roots of the eigenvalues of x x^T take a third of the time, but those are off by some eps
    of the largest one: a root by that over itself, and one that is lost in it by the root of it.
    Only where that adds up to too much are the singular values found as such.
    """
    x = x if len(x) <= x.shape[1] else x.T
    squares = np.linalg.eigvalsh(x @ x.T).clip(0)
    roots = np.sqrt(squares)
    noise = 8 * np.finfo(np.float64).eps * squares[-1]
    if np.sum(noise / np.maximum(roots, np.sqrt(noise) or 1)) < error:
        return float(roots.sum())
    # numpy's LAPACK is as fast as scipy's, and is there without an import of 0.3 s.
    return float(np.linalg.svd(x, compute_uv=False).sum())
