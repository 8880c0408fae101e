"""MIND against its formula written out, Gaussians' transports, and repetitions."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import wasserstein_distance

from cmdmetric import InputError
from cmdmetric.metrics.mind import mind, mind_influence


def as_published(x: np.ndarray, y: np.ndarray, projections: int, seed: int) -> float:
    """(3 d / (n M)) sum_i sum_j |sort(u_i.x)_j - sort(u_i.y)_j|^2, on the same directions."""
    n, d = x.shape
    directions = np.random.default_rng(seed).standard_normal((projections, d))
    total = 0.0
    for u in directions:
        u = u / np.sqrt(u @ u)
        total += sum((a - b) ** 2 for a, b in zip(sorted(x @ u), sorted(y @ u), strict=True))
    return 3 * d * total / (n * projections)


def test_equals_the_formula() -> None:
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((70, 5)), 1.5 * rng.standard_normal((70, 5)) + 0.3
    for projections, seed in ((1, 0), (40, 2020)):  # fewer and more than are looked at together
        ours = mind(x, y, projections=projections, seed=seed)
        assert ours == pytest.approx(as_published(x, y, projections, seed), rel=1e-12)
    assert mind(x, x) == 0
    assert mind(y, x) == pytest.approx(mind(x, y), rel=1e-12)
    assert mind(3 * x, 3 * y) == pytest.approx(9 * mind(x, y), rel=1e-12)


def test_sets_of_unequal_size_are_distributions() -> None:
    """What stands several times in both sets weighs as much as before."""
    rng = np.random.default_rng(1)
    x, y = rng.standard_normal((30, 4)), rng.standard_normal((20, 4)) + 0.5
    whole = mind(np.repeat(x, 2, axis=0), np.repeat(y, 3, axis=0), projections=20)
    assert mind(x, y, projections=20) == pytest.approx(whole, rel=1e-12)
    # In one dimension, for all of x on one side of y, W1 is the difference of means: |W2| is more.
    a, b = rng.random((13, 1)), 4 + rng.random((9, 1))
    assert mind(a, b) >= 3 * wasserstein_distance(a[:, 0], b[:, 0]) ** 2


def test_far_means_are_all_there_is() -> None:
    rng = np.random.default_rng(2)
    x = rng.standard_normal((50, 3))
    shift = np.array([30.0, -40.0, 0.0])
    # 3 |shift|^2 over all directions; of 4,000 of them the mean of 3 d (u.shift)^2 varies by 1.4 %.
    assert mind(x, x + shift, projections=4000) == pytest.approx(3 * 2500, rel=0.07)


def test_influences_are_the_potentials_of_gaussians() -> None:
    rng = np.random.default_rng(3)
    x, y = rng.standard_normal((6000, 1)), 1.5 * rng.standard_normal((5000, 1)) + 0.7
    found = mind_influence(x, y, projections=3)
    # T x = 0.7 + 1.5 x, so that phi = -0.5 x^2 - 1.4 x, and of y with its inverse; alpha is 3.
    of_x = 3 * (-0.5 * x[:, 0] ** 2 - 1.4 * x[:, 0])
    of_y = 3 * (y[:, 0] ** 2 / 3 + 2 * 0.7 / 1.5 * y[:, 0])
    for ours, exact in ((found.of_x, of_x), (found.of_y, of_y)):
        exact = exact - exact.mean()
        assert abs(ours.mean()) < 1e-12
        # Samples of some thousands transport to within some hundredths.
        assert np.sqrt(np.mean((ours - exact) ** 2)) < 0.1 * exact.std()


def test_the_error_bar_is_that_of_repetitions() -> None:
    rng = np.random.default_rng(4)
    values, variances = [], []
    for _ in range(60):
        x, y = rng.standard_normal((200, 3)), rng.standard_normal((150, 3))
        found = mind_influence(x + np.eye(3)[0], y, projections=20, seed=7)
        values.append(found.distance)
        variances.append(found.of_x.var() / len(x) + found.of_y.var() / len(y))
    # 60 repetitions tell a deviation to a tenth.
    assert np.std(values) == pytest.approx(np.sqrt(np.mean(variances)), rel=0.3)


def test_chance_is_that_of_directions() -> None:
    rng = np.random.default_rng(5)
    x, y = rng.standard_normal((80, 6)) + 0.4, rng.standard_normal((80, 6))
    found = [mind_influence(x, y, projections=50, seed=seed) for seed in range(60)]
    told = np.sqrt(np.mean([each.chance for each in found]))
    assert np.std([each.distance for each in found]) == pytest.approx(told, rel=0.3)


def test_what_is_refused() -> None:
    x = np.zeros((4, 3))
    with pytest.raises(InputError, match="3 dimensions and the real images 2"):
        mind(x, np.zeros((4, 2)))
    with pytest.raises(InputError, match="1 real images are too few"):
        mind(x, x[:1])
