"""How much each sample moves a Fréchet distance: its influence function."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from cmdmetric.errors import InputError
from cmdmetric.metrics.elsewhere import Elsewhere, Rows, blockwise, row_by_row, slices
from cmdmetric.metrics.frechet import frechet_distance
from cmdmetric.metrics.moments import Moments

Array = NDArray[np.float64]
#: Single or double precision.
Precision: TypeAlias = type[np.floating[Any]]
#: Takes rows (k, d) to a number of each (k,).
Numbers: TypeAlias = Callable[[NDArray[Any]], NDArray[Any]]

#: Columns of a quadratic form that are applied at once.
_COLUMNS = 64
#: Error of a sample's influence, in standard deviations of influences, that changes no error bar.
ENOUGH = 1e-4


class _Gaussian(NamedTuple):
    """mean (d,), root R (k, d) with R^T R = cov, and its pseudo-inverse, transposed (k, d).

    The rows of both are the principal axes, and variances (k,) what the distribution has in them.
    """

    mean: Array
    root: Array
    inverse: Array
    variances: Array

    @classmethod
    def of(cls, moments: Moments) -> _Gaussian:
        root = moments.root()
        if len(root) < moments.d:  # fewer samples than dimensions: decomposed as such, in no time
            _, s, transposed = np.linalg.svd(root, full_matrices=False)
            values, vectors = s[::-1] ** 2, transposed[::-1].T
        else:
            values, vectors = np.linalg.eigh(moments.cov)
        kept = values > values[-1] * moments.d * np.finfo(np.float64).eps
        if not kept.any():  # a collapsed set: no direction in which anything could be moved
            kept[-1:], values = True, np.maximum(values, np.finfo(np.float64).tiny)
        root = np.sqrt(values[kept])[:, None]
        return cls(moments.mean, root * vectors.T[kept], vectors.T[kept] / root, values[kept])


@dataclass(frozen=True, eq=False)
class End:
    """One end of a distance: its moments and, where its sampling counts, its features.

    Args:
        moments: of the features.
        rows: the features (n, d) themselves, or None.
        draws: how many independent draws they are; by default every sample is one.
    """

    moments: Moments
    rows: Rows | Elsewhere | None = None
    draws: int | None = None

    @cached_property
    def gaussian(self) -> _Gaussian:
        """Decomposed once, for all distances that end here."""
        return _Gaussian.of(self.moments)

    @property
    def count(self) -> int | None:
        """The draws, None where the sampling does not count."""
        return None if self.rows is None else self.draws or len(self.rows)


class DistanceInfluence(NamedTuple):
    """A Fréchet distance and what each sample of its ends does to it."""

    distance: float
    #: (n,) of each sample, with mean zero; None for an end without features, or if not asked for.
    of_a: Array | None
    of_b: Array | None
    #: The variance of the second-order term under Gaussian noise.
    second_order: float
    #: The finite-sample excess to second order, of the ends with features.
    bias: float
    #: The part of the means, |mean_a - mean_b|^2; the covariances have the rest.
    of_means: float = 0.0
    #: The variance of the second-order term of that part.
    second_order_of_means: float = 0.0


@dataclass(frozen=True, eq=False)
class Aligned:
    """Two ends and the decomposition R_a R_b^T = U S V^T that their distance is made of.

    In the coordinates S^(1/2) U^T R_a^(-T) of the one and S^(1/2) V^T R_b^(-T) of the other both
    covariances are diag(s).
    """

    a: End
    b: End
    #: mean_a - mean_b.
    gap: Array
    left: Array
    #: The singular values, descending.
    s: Array
    #: V^T.
    right: Array

    @classmethod
    def of(cls, a: End, b: End) -> Aligned:
        """The distance of two sets, with what its influence function needs.

        Raises:
            InputError: The dimensions differ, or moments are of fewer than 2 samples.
        """
        if a.moments.d != b.moments.d:
            raise InputError(f"the sides have different dimensions: {a.moments}, {b.moments}")
        one, two = a.gaussian, b.gaussian
        left, s, right = np.linalg.svd(one.root @ two.root.T, full_matrices=False)
        return cls(a, b, one.mean - two.mean, left, s, right)

    @property
    def distance(self) -> float:
        """The Fréchet distance of the two."""
        traces = np.sum(self.a.gaussian.root**2) + np.sum(self.b.gaussian.root**2)
        return max(0.0, float(self.gap @ self.gap + traces - 2 * self.s.sum()))

    def second_order(self, per_a: float, per_b: float) -> float:
        """The variance of the distance's second-order term under Gaussian noise of the moments.

        per_a, per_b: 1 over the number of independent samples of each end, 0 for a known one. That
        is all the variance there is where the two sets are draws of one distribution.
        """
        s = self.s
        curved = float(np.sum(harmonic(s) ** 2) + np.sum(s**2) / 4)
        return self.second_order_of_means(per_a, per_b) + curved * (per_a + per_b) ** 2

    def second_order_of_means(self, per_a: float, per_b: float) -> float:
        """The part of `second_order` that the noise of the means has, in |mean_a - mean_b|^2."""
        one, two = (np.sum(end.gaussian.variances**2) for end in (self.a, self.b))
        both = np.sum(self.s**2)
        return float(2 * (per_a * one * per_a + 2 * per_a * per_b * both + per_b * two * per_b))


def frechet_influence(a: End, b: End) -> DistanceInfluence:
    """The influence of every sample at hand on Dis(a, b).

    The derivative of Dis(a, b) by mean_a is 2 (mean_a - mean_b) and by cov_a it is I - T, where T
    is the optimal transport map from N_a to N_b (T cov_a T = cov_b). A sample x = mean_a + y thus
    has the influence 2 y.(mean_a - mean_b) + n / (n - 1) y.(I - T) y, less its mean over the set.

    With R_a R_b^T = U S V^T, the decomposition that the distance itself is made of, y.T y is
    |S^(1/2) U^T R_a^(-T) y|^2. Where cov_a is singular (n <= d) the inverse is the pseudo-inverse:
    y lies in the span of R_a, so this is still the exact derivative by the weight of a sample.

    Raises:
        InputError: The dimensions differ, or moments are of fewer than 2 samples.
    """
    if a.rows is None and b.rows is None:
        return DistanceInfluence(frechet_distance(a.moments, b.moments), None, None, 0.0, 0.0)
    return aligned_influence(Aligned.of(a, b))


def aligned_influence(pair: Aligned, *, of_samples: bool = True) -> DistanceInfluence:
    """`frechet_influence` of two ends whose decomposition is there.

    of_samples: Whether it is asked for what each sample does, which takes most of the time.
    """
    of: list[Array | None] = []
    bias, s = 0.0, pair.s
    for end, basis, sign in ((pair.a, pair.left.T, 1), (pair.b, pair.right, -1)):
        if end.rows is None:
            of.append(None)
            continue
        this, n = end.gaussian, len(end.rows)
        if of_samples:
            half = np.sqrt(s)[:, None] * (basis @ this.inverse)
            form = np.eye(half.shape[1]) - half.T @ half
            of.append(influence_of_form(end, form, sign * pair.gap))
        else:
            of.append(None)
        bias += float(np.sum(this.root**2) / n + curvature(s) / (n - 1))
    per_a, per_b = (1 / end.count if end.count else 0.0 for end in (pair.a, pair.b))
    return DistanceInfluence(
        pair.distance, of[0], of[1], pair.second_order(per_a, per_b), bias,
        float(pair.gap @ pair.gap), pair.second_order_of_means(per_a, per_b),
    )  # fmt: skip


def influence_of_gap(end: End, gap: Array) -> Array:
    """(n,) 2 y.gap of the centred features y of an end: what each does to |gap|^2, gap (d,)."""
    assert end.rows is not None
    twice = 2 * gap
    found = row_by_row(lambda rows: rows @ twice, end.rows)
    return found - found.mean()


def influence_of_form(end: End, form: Array, gap: Array) -> Array:
    """(n,) 2 y.gap + n / (n - 1) y.form y of the centred features y of an end, centred.

    form (d, d) is symmetric, gap (d,).
    """
    assert end.rows is not None
    n = len(end.rows)
    form, gap = form * (n / (n - 1)), 2 * gap

    mean = end.gaussian.mean

    def moved(kind: Precision) -> Numbers:
        of_means, of_covs = gap.astype(kind), form.astype(kind)

        def of(rows: NDArray[Any]) -> NDArray[Any]:
            rows = centred(rows, mean, kind)
            return rows @ of_means + quadratic(rows, of_covs)

        return of

    found = row_by_row(moved(precision_of(moved, end.rows)), end.rows).astype(np.float64)
    return found - found.mean()


def precision_of(function: Callable[[Precision], Numbers], features: Rows | Elsewhere) -> Precision:
    """The precision in which a number of each row is found: single, where that is enough.

    It is twice as fast. Of more than a block of rows the first is found in both; single precision
    is enough where these differ by less than ENOUGH of the numbers' spread.

    Args:
        function: It gives what takes rows (k, d) to their numbers (k,) in a precision.
        features: (n, d).
    """
    first, *others = slices(len(features))
    if not others:
        return np.float64
    exact, rough = function(np.float64), function(np.float32)

    def both(rows: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
        with np.errstate(over="ignore", invalid="ignore"):
            return exact(rows), rough(rows)

    [(found, quick)] = blockwise(both, [first], features)
    return np.float32 if np.abs(quick - found).max() < ENOUGH * found.std() else np.float64


def centred(rows: NDArray[Any], mean: Array, kind: Precision = np.float64) -> NDArray[Any]:
    """(n, d) rows less a mean (d,), in a precision."""
    if kind is np.float32 and rows.dtype == np.float32:
        return rows - mean.astype(np.float32)
    return (rows - mean).astype(kind, copy=False)


def quadratic(rows: NDArray[Any], form: NDArray[Any]) -> NDArray[Any]:
    """(n,) y.A y of rows y (n, d) and a symmetric form A (d, d), both of one type.

    By blocks of columns, of which those left of the diagonal count twice and those right of it are
    not computed: that is nearly half of the products.
    """
    found = np.zeros(len(rows), rows.dtype)
    for start in range(0, len(form), _COLUMNS):
        block = slice(start, start + _COLUMNS)
        left = form[: block.stop, block].copy()
        left[:start] *= 2
        found += np.einsum("ij,ij->i", rows[:, : block.stop] @ left, rows[:, block])
    return found


def curvature(s: Array) -> float:
    """Half the trace of the Hessian of -2 Tr (cov_a cov_b)^(1/2) times Gaussian noise of cov_a.

    s (m,) are the singular values of R_a R_b^T. In the basis where cov_b^(1/2) cov_a cov_b^(1/2)
    is diagonal, noise H of that matrix adds 1/2 sum_ij H_ij^2 / (s_i s_j (s_i + s_j)) to the
    distance, and (n - 1) E H_ij^2 = s_i^2 s_j^2 (1 + [i = j]). By symmetry it is the same for b.
    """
    return float(harmonic(s).sum() / 2 + s.sum() / 4)


def harmonic(s: Array) -> Array:
    """(m, m) s_i s_j / (s_i + s_j)."""
    return np.outer(s, s) / np.maximum(s[:, None] + s, np.finfo(np.float64).tiny)
