"""The Vendi score against its definition from the whole kernel, and its closed forms."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from scipy import linalg

from cmdmetric import InputError
from cmdmetric.metrics.vendi import vendi_score

rngs = st.integers(0, 2**32 - 1).map(np.random.default_rng)


@settings(max_examples=30, deadline=None)
@given(rngs, st.integers(1, 30), st.integers(1, 30))
def test_equals_the_definition(rng: np.random.Generator, n: int, d: int) -> None:
    x = rng.standard_normal((n, d)) + rng.random()
    kernel = [[p @ q / math.sqrt((p @ p) * (q @ q)) for q in x] for p in x]
    eigenvalues = linalg.eigvalsh(np.array(kernel) / n)
    entropy = -sum(value * math.log(value) for value in eigenvalues if value > 1e-15)
    # Zero eigenvalues come out as 1e-16, whose entropy is 4e-15 each.
    score = vendi_score(x)
    assert score == pytest.approx(math.exp(entropy), rel=1e-11)
    assert 1 - 1e-12 <= score <= min(n, d) * (1 + 1e-12)
    order = rng.permutation(n)
    assert vendi_score(7 * x[order]) == pytest.approx(score, rel=1e-11)
    assert vendi_score(np.concatenate([x, x])) == pytest.approx(score, rel=1e-11)


def test_closed_forms() -> None:
    assert vendi_score(np.eye(6)) == pytest.approx(6)
    assert vendi_score(np.repeat(np.eye(6), 5, axis=0)) == pytest.approx(6)
    assert vendi_score(np.ones((50, 3))) == pytest.approx(1)
    angle = 0.7  # two images: the eigenvalues are (1 ± cos) / 2
    values = (1 + np.array([1, -1]) * math.cos(angle)) / 2
    expected = math.exp(-(values * np.log(values)).sum())
    pair = [[1, 0], [math.cos(angle), math.sin(angle)]]
    assert vendi_score(pair) == pytest.approx(expected, rel=1e-14)


def test_what_is_refused() -> None:
    with pytest.raises(InputError, match="0 images are too few"):
        vendi_score(np.zeros((0, 4)))
    with pytest.raises(InputError, match="zero vectors"):
        vendi_score(np.zeros((3, 4)))
    with pytest.raises(InputError, match="NaN"):
        vendi_score([[np.nan, 1.0]])
