"""KID against the definition and against torch-fidelity's own on the same features."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from cmdmetric import InputError
from cmdmetric.metrics.kernels.kid import clip_kid, kid, kid_of_subsets

rngs = st.integers(0, 2**32 - 1).map(np.random.default_rng)


def definition(x: np.ndarray, y: np.ndarray) -> float:
    d = x.shape[1]

    def total(a: np.ndarray, b: np.ndarray, same: bool) -> float:
        return math.fsum(
            (math.fsum(p * q) / d + 1) ** 3
            for i, p in enumerate(a)
            for j, q in enumerate(b)
            if not (same and i == j)
        )

    n, m = len(x), len(y)
    within = total(x, x, True) / (n * (n - 1)) + total(y, y, True) / (m * (m - 1))
    return within - 2 * total(x, y, False) / (n * m)


@settings(max_examples=20, deadline=None)
@given(rngs, st.integers(2, 9), st.integers(2, 9), st.integers(1, 6))
def test_equals_the_definition(rng: np.random.Generator, n: int, m: int, d: int) -> None:
    x, y = 2 * rng.standard_normal((n, d)) + 1, rng.standard_normal((m, d))
    largest = max(1, (x**2).sum(axis=1).max() / d + 1) ** 3
    assert kid(x, y) == pytest.approx(definition(x, y), rel=0, abs=1e-13 * largest)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_equals_torch_fidelity(dtype: type) -> None:
    import torch
    from torch_fidelity.metric_kid import kid_features_to_metric

    rng = np.random.default_rng(0)
    x = np.abs(rng.standard_normal((150, 64)) + 0.3).astype(dtype)
    y = np.abs(rng.standard_normal((120, 64))).astype(dtype)
    theirs = kid_features_to_metric(
        torch.from_numpy(x),
        torch.from_numpy(y),
        kid_subsets=10,
        kid_subset_size=50,
        rng_seed=2020,
        verbose=False,
    )
    ours = kid_of_subsets(x, y, subsets=10, subset_size=50)
    # torch-fidelity computes in the features' type: kernels of about 10 round at 1e-6 in float32.
    tolerance = {np.float32: 1e-5, np.float64: 1e-12}[dtype]
    mean = theirs["kernel_inception_distance_mean"]
    assert ours.mean == pytest.approx(mean, rel=0, abs=tolerance)
    assert ours.std == pytest.approx(theirs["kernel_inception_distance_std"], rel=0, abs=tolerance)
    assert ours.mean > 100 * tolerance


def test_subsets_estimate_all_pairs() -> None:
    rng = np.random.default_rng(1)
    x, y = rng.standard_normal((300, 16)) + 0.2, rng.standard_normal((250, 16))
    estimate = kid_of_subsets(x, y, subsets=200, subset_size=40)
    assert abs(estimate.mean - kid(x, y)) < 4 * estimate.std / np.sqrt(200)
    assert kid_of_subsets(x, y, subsets=3, seed=7) == kid_of_subsets(x, y, subsets=3, seed=7)


def test_small_sets_shrink_the_subsets_and_too_large_ones_are_refused() -> None:
    rng = np.random.default_rng(2)
    x, y = rng.standard_normal((12, 4)), rng.standard_normal((9, 4))
    assert kid_of_subsets(x, y, subsets=2).subset_size == 9
    for size in (10, 1):
        with pytest.raises(InputError, match=f"of {size} images .* from 2 to 9"):
            kid_of_subsets(x, y, subset_size=size)
    with pytest.raises(InputError, match="0 subsets"):
        kid_of_subsets(x, y, subsets=0)


def test_clip_kid_takes_vectors_of_any_length() -> None:
    rng = np.random.default_rng(3)
    x, y = rng.standard_normal((60, 8)) + 0.3, rng.standard_normal((50, 8))
    score = clip_kid(x, y)
    assert clip_kid(10 * x, 0.1 * y) == pytest.approx(score, rel=1e-12)
    x, y = (a / np.linalg.norm(a, axis=1, keepdims=True) for a in (x, y))
    assert score == pytest.approx(definition(np.sqrt(8) * x, np.sqrt(8) * y), abs=1e-12)
    assert kid(x, y) != pytest.approx(score, rel=0.5)  # kid takes features as they are


def test_what_is_refused() -> None:
    x = np.eye(3)
    for score in (kid, kid_of_subsets, clip_kid):
        with pytest.raises(InputError, match="1 real images are too few"):
            score(x, x[:1])
        with pytest.raises(InputError, match="they come from two encoders"):
            score(x, x[:, :2])
        with pytest.raises(InputError, match="NaN"):
            score(x, np.full((3, 3), np.nan))


def test_features_beyond_the_kernel_are_refused() -> None:
    x = np.random.default_rng(0).standard_normal((20, 4))
    with pytest.raises(InputError, match="too large for KID's kernel"):
        kid(1e60 * x, 1e60 * x)
    assert clip_kid(1e60 * x, 1e60 * x) == pytest.approx(clip_kid(x, x))
