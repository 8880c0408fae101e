"""The Fréchet distance against 50-digit arithmetic, scipy's sqrtm, and its own laws."""

from __future__ import annotations

from dataclasses import replace

import mpmath
import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from scipy import linalg

from cmdmetric import InputError, Moments, frechet_distance
from cmdmetric.metrics.frechet import sum_of_singular_values
from cmdmetric.metrics.moments import Provenance
from cmdmetric.protocol import GRGAN


def gaussian_features(seed: int, n: int, d: int, decay: float = 1.0) -> np.ndarray:
    """Correlated features whose standard deviations fall like k^-decay."""
    rng = np.random.default_rng(seed)
    mix = rng.standard_normal((d, d)) * np.arange(1, d + 1) ** -decay
    return rng.standard_normal((n, d)) @ mix + rng.standard_normal(d)


def exact_distance(x: np.ndarray, y: np.ndarray) -> float:
    """The distance from features in 50-digit arithmetic.

    The trace of (C_x C_y)^(1/2) is the sum of the roots of the eigenvalues of the product.
    """
    with mpmath.workdps(50):
        moments = []
        for features in (x, y):
            a = mpmath.matrix(features.tolist())
            n = a.rows
            mean = [mpmath.fsum(a[:, j]) / n for j in range(a.cols)]
            centred = mpmath.matrix(n, a.cols)
            for i in range(n):
                for j in range(a.cols):
                    centred[i, j] = a[i, j] - mean[j]
            moments.append((mean, centred.T * centred / (n - 1)))
        (mean_x, cov_x), (mean_y, cov_y) = moments
        eigenvalues, _ = mpmath.eig(cov_x * cov_y)
        root = mpmath.fsum(mpmath.sqrt(abs(mpmath.re(e))) for e in eigenvalues)
        gap = mpmath.fsum((a - b) ** 2 for a, b in zip(mean_x, mean_y, strict=True))
        trace = mpmath.fsum((cov_x + cov_y)[j, j] for j in range(len(mean_x)))
        return float(gap + trace - 2 * root)


@pytest.mark.parametrize(("n", "m"), [(40, 50), (8, 60), (4, 5), (3, 40)])
def test_equals_fifty_digit_arithmetic(n: int, m: int) -> None:
    # n or m <= d = 6 is singular; from features even that is exact, to float64 rounding.
    x, y = gaussian_features(1, n, 6), gaussian_features(2, m, 6)
    got = frechet_distance(Moments.from_features(x), Moments.from_features(y))
    # A null space of 50-digit eigenvalues is zero to 1e-50, its root to 1e-25.
    assert got == pytest.approx(exact_distance(x, y), rel=1e-12)


@pytest.mark.parametrize("d", [16, 128, 512])
def test_equals_sqrtm_at_full_rank(d: int) -> None:
    a = Moments.from_features(gaussian_features(3, 4 * d, d, decay=0.3))
    b = Moments.from_features(gaussian_features(4, 5 * d, d, decay=0.3))
    root = linalg.sqrtm(a.cov @ b.cov)
    expected = np.sum((a.mean - b.mean) ** 2) + np.trace(a.cov + b.cov - 2 * root.real)
    # sqrtm itself loses some digits to the condition of the product.
    assert frechet_distance(a, b) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("n", [5, 30, 64, 65, 300])
def test_a_set_has_no_distance_to_itself(n: int) -> None:
    features = gaussian_features(5, n, 64)
    moments = Moments.from_features(features)
    reloaded = Moments.from_statistics(moments.mean, moments.cov, n)
    for a, b in [(moments, moments), (reloaded, reloaded)]:
        assert 0 <= frechet_distance(a, b) < 1e-9 * np.trace(moments.cov)


def test_singular_covariances_from_a_file_agree_with_their_features() -> None:
    # A file holds only the covariance, whose null space is rounding: 1e-16 of the trace, of which
    # the square root is taken, for each of the 58 null dimensions.
    x, y = gaussian_features(6, 6, 64), gaussian_features(7, 500, 64)
    a, b = Moments.from_features(x), Moments.from_features(y)
    stored = Moments.from_statistics(a.mean, a.cov, 6)
    assert frechet_distance(stored, b) == pytest.approx(frechet_distance(a, b), rel=1e-6)


features = st.integers(0, 2**32 - 1).map(lambda seed: np.random.default_rng(seed))


@settings(max_examples=50, deadline=None)
@given(features, st.integers(2, 40), st.integers(2, 40), st.integers(1, 20))
def test_laws(rng: np.random.Generator, n: int, m: int, d: int) -> None:
    x, y = rng.standard_normal((n, d)) * 3 + 1, rng.standard_normal((m, d))

    def distance(p: np.ndarray, q: np.ndarray) -> float:
        return frechet_distance(Moments.from_features(p), Moments.from_features(q))

    base = distance(x, y)
    scale = np.trace(np.atleast_2d(np.cov(x.T))) + np.trace(np.atleast_2d(np.cov(y.T))) + base
    close = {"rel": 1e-9, "abs": 1e-9 * scale}  # float64 rounding of sums of up to 40 terms
    rotation = linalg.qr(rng.standard_normal((d, d)))[0]
    assert np.isfinite(base) and base >= 0
    assert distance(y, x) == pytest.approx(base, **close)
    assert distance(x[rng.permutation(n)], y) == pytest.approx(base, **close)
    assert distance(x @ rotation, y @ rotation) == pytest.approx(base, **close)
    assert distance(2.5 * x, 2.5 * y) == pytest.approx(2.5**2 * base, **close)
    assert distance(x + 7, y + 7) == pytest.approx(base, rel=1e-8, abs=1e-8 * (scale + 49 * d))
    shift = rng.standard_normal(d)
    assert distance(x, x + shift) == pytest.approx(shift @ shift, **close)


def test_other_dimensions_are_an_error() -> None:
    a = Moments.from_features(np.eye(4))
    b = Moments.from_features(np.eye(5))
    with pytest.raises(InputError, match="4 and of 5 dimensions"):
        frechet_distance(a, b)


def test_other_encoders_are_an_error() -> None:
    made = Provenance(GRGAN, "A", "0" * 64, "1" * 64, "fp32", "image", "a/")
    a = Moments.from_features(np.eye(4), made)
    b = Moments.from_features(np.eye(4), replace(made, weights="2" * 64, source="b/"))
    with pytest.raises(InputError, match=r"a/ and b/ were made differently.*weights"):
        frechet_distance(a, b)


def test_one_sample_is_an_error() -> None:
    a = Moments.from_features(np.ones((1, 4)))
    with pytest.raises(InputError, match="at least 2 samples"):
        frechet_distance(a, a)


@pytest.mark.parametrize("smallest", [1.0, 1e-4, 1e-8, 1e-12, 0.0])
def test_sum_of_singular_values_keeps_its_error(smallest: float) -> None:
    """Squared, values below 1e-8 of the largest are lost in rounding: 40 of them here."""
    rng = np.random.default_rng(0)
    values = np.concatenate([np.geomspace(1, 1e-3, 24), np.full(40, smallest)])
    left, right = (np.linalg.qr(rng.standard_normal((64, 64)))[0] for _ in range(2))
    x = left * values @ right
    for error in (1e-7, 1e-9, 1e-11):
        assert abs(sum_of_singular_values(x, error) - values.sum()) < error
        part = x[:, :50]
        assert abs(sum_of_singular_values(part, error) - np.linalg.norm(part, "nuc")) < error
