"""Numbers of slices against their definitions, and their error bars against simulation."""

from __future__ import annotations

import numpy as np
import pytest

from cmdmetric import Moments
from cmdmetric.uncertainty import Measured, Sample, added_to_cmd, mean_of_slice
from cmdmetric.uncertainty.influence import influences


def test_the_mean_of_a_slice_is_that_of_its_pairs() -> None:
    rng = np.random.default_rng(0)
    image = np.repeat(np.arange(6), (1, 2, 3, 1, 2, 3))
    scores = rng.standard_normal(len(image))
    mean, counts = scores.mean(), np.bincount(image)
    shares = np.bincount(image, scores - mean) / len(scores)
    measured = Measured(mean, {"f": shares}, is_mean=True, weights=counts / len(scores))
    members = np.array([True, True, False, False, True, False])
    found = mean_of_slice(measured, members, {})
    assert found is not None and found[1] is not None
    own = scores[members[image]]
    assert found[0] == pytest.approx(own.mean(), abs=1e-12)
    left = np.bincount(image, (scores - own.mean()) * members[image])[members] / len(own)
    assert found[1].standard_error ** 2 == pytest.approx(left @ left * 3 / 2, rel=1e-9)
    groups = {"f": np.array([4, 4, 1, 2, 4, 5])}
    alone = mean_of_slice(measured, members, groups)
    assert alone is not None and alone[1] is None  # one draw tells no error
    assert mean_of_slice(measured, np.zeros(6, bool), {}) is None


def test_what_slices_add_to_cmd_and_its_error_are_right_on_average() -> None:
    rng, d = np.random.default_rng(1), 6
    real = Moments.from_statistics(np.zeros(d), np.eye(d))
    captions = Moments.from_statistics(np.ones(d), 0.3 * np.eye(d))
    shifts = np.array([[0.6, *[0.0] * (d - 1)], [0.0] * d])

    def drawn(n: int) -> tuple[np.ndarray, np.ndarray]:
        of = rng.integers(0, 2, n)
        return rng.standard_normal((n, d)) + shifts[of], np.array([of == 0, of == 1])

    features, members = drawn(400_000)
    true = members @ influences(features, real, captions).cmd("f") / len(features)
    sums, errors = [], []
    for _ in range(60):
        features, members = drawn(150)
        found = added_to_cmd(Sample(features), real, captions, members)
        assert found is not None
        assert found[0].sum() == pytest.approx(0.0, abs=1e-9)
        sums.append(found[0])
        errors.append([variance.standard_error for variance in found[1]])
    spread = np.std(sums, axis=0, ddof=1)
    # Within four standard errors of the mean of 60; a spread of 60 is known to 10 %.
    assert np.all(np.abs(np.mean(sums, axis=0) - true) < 4 * spread / np.sqrt(60))
    np.testing.assert_allclose(np.mean(errors, axis=0), spread, rtol=0.35)


def test_too_few_draws_tell_nothing() -> None:
    rng = np.random.default_rng(2)
    f, r, l = (rng.standard_normal((9, 3)) for _ in range(3))
    members = np.ones((1, 9), bool)
    assert added_to_cmd(Sample(f, np.repeat([0, 1, 2], 3)), r, l, members) is None
