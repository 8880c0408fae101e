"""CMMD against the definition, vector by vector, and against its expansion."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from cmdmetric import InputError
from cmdmetric.metrics.kernels.cmmd import cmmd

rngs = st.integers(0, 2**32 - 1).map(np.random.default_rng)


def definition(x: np.ndarray, y: np.ndarray) -> tuple[float, float]:
    """The published form and the unbiased one, with sums in exact arithmetic."""
    x, y = (a / np.sqrt((a**2).sum(axis=1, keepdims=True)) for a in (x, y))

    def kernel(p: np.ndarray, q: np.ndarray) -> float:
        return math.exp(-float(((p - q) ** 2).sum()) / (2 * 10**2))

    def total(a: np.ndarray, b: np.ndarray) -> float:
        return math.fsum(kernel(p, q) for p in a for q in b)

    n, m = len(x), len(y)
    xx, yy, xy = total(x, x), total(y, y), total(x, y)
    biased = xx / n**2 + yy / m**2 - 2 * xy / (n * m)
    unbiased = (xx - n) / (n * (n - 1)) + (yy - m) / (m * (m - 1)) - 2 * xy / (n * m)
    return 1000 * biased, 1000 * unbiased


@settings(max_examples=20, deadline=None)
@given(rngs, st.integers(2, 10), st.integers(2, 10), st.integers(1, 6))
def test_equals_the_definition(rng: np.random.Generator, n: int, m: int, d: int) -> None:
    x, y = rng.standard_normal((n, d)) + 1, rng.standard_normal((m, d))
    # The definition takes the difference of means near 1: 1000 times a few 1e-16.
    assert cmmd(x, y) == pytest.approx(definition(x, y), rel=0, abs=2e-12)


def test_blocks_lengths_and_order_do_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    from cmdmetric.metrics.kernels import mmd

    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((50, 8)) + 0.5, rng.standard_normal((41, 8))
    whole = cmmd(x, y)
    assert cmmd(y, x) == pytest.approx(whole, rel=1e-12)
    assert cmmd(10 * x[::-1], y) == pytest.approx(whole, rel=1e-12)
    for size in (1, 7, 41):
        monkeypatch.setattr(mmd, "TILE", size)
        assert cmmd(x, y) == pytest.approx(whole, rel=1e-12)


def test_float32_features_are_enough() -> None:
    rng = np.random.default_rng(1)
    x, y = rng.standard_normal((300, 64)) + 0.2, rng.standard_normal((300, 64))
    # An entry's rounding of 6e-8 moves an inner product, and with it CMMD, at most as much.
    narrow = cmmd(x.astype(np.float32), y.astype(np.float32))
    assert narrow == pytest.approx(cmmd(x, y), rel=1e-6)


def test_a_set_has_no_distance_to_itself() -> None:
    x = np.random.default_rng(2).standard_normal((100, 16))
    biased, unbiased = cmmd(x, x)
    assert abs(biased) < 1e-12
    assert unbiased < 0  # pairs across hold each vector with itself, pairs within do not


def test_the_unbiased_form_is_right_on_average() -> None:
    rng = np.random.default_rng(3)
    runs = [cmmd(*rng.standard_normal((2, 10, 6))) for _ in range(400)]
    biased, unbiased = np.transpose(runs)
    error = unbiased.std() / 20
    assert abs(unbiased.mean()) < 4 * error
    assert biased.mean() > 20 * error


def test_it_is_almost_the_distance_of_the_means() -> None:
    # k = exp(-1/100) sum (x.y)^p / (100^p p!): the terms p = 1 and 2 in closed form, the third
    # is at most 2e-7 / 6 of each of three means.
    rng = np.random.default_rng(4)
    x, y = rng.standard_normal((300, 20)) + 0.5, rng.standard_normal((400, 20))
    x, y = (a / np.linalg.norm(a, axis=1, keepdims=True) for a in (x, y))
    first = np.sum((x.mean(axis=0) - y.mean(axis=0)) ** 2)
    second = np.sum((x.T @ x / len(x) - y.T @ y / len(y)) ** 2)
    series = 1000 * math.exp(-0.01) * (first / 100 + second / 20000)
    assert cmmd(x, y).biased == pytest.approx(series, abs=1000 * 4 * 1.01e-6 / 6)
    assert cmmd(x, y).biased == pytest.approx(10 * first, rel=0.02)


def test_what_is_refused() -> None:
    x = np.eye(3)
    with pytest.raises(InputError, match="1 generated images are too few"):
        cmmd(x[:1], x)
    with pytest.raises(InputError, match="the real images 2: they come from two encoders"):
        cmmd(x, x[:, :2])
    with pytest.raises(InputError, match="real images are zero vectors"):
        cmmd(x, np.array([[1.0, 0, 0], [0, 0, 0]]))
