"""Plans against simulation, and as inverses of each other."""

from __future__ import annotations

import numpy as np
import pytest

from cmdmetric import InputError, Moments
from cmdmetric.uncertainty import Spread, detectable, draws_needed, gaussian_spread, uncertainty


def test_a_planned_difference_is_told_as_often_as_planned() -> None:
    spread, power = Spread(4.0), 0.8
    n = draws_needed(spread, 0.5, power)
    assert detectable(spread, n, power) == pytest.approx(0.5, rel=0.01)
    rng = np.random.default_rng(0)
    a, b = (2 * rng.standard_normal((4000, n)) + gap for gap in (0.5, 0.0))
    z = (a.mean(axis=1) - b.mean(axis=1)) / (2 * np.sqrt(2 / n))
    # 4,000 trials tell 80 % to 0.6 %.
    assert np.mean(np.abs(z) > 1.96) == pytest.approx(power, abs=0.025)


def test_second_order_noise_falls_faster() -> None:
    spread = Spread.of_error(0.1, 100, second_order=0.5)
    assert spread.standard_error(100) == pytest.approx(0.1)
    assert spread.standard_error(400) == pytest.approx(0.1 * np.sqrt(0.5 / 4 + 0.5 / 16))
    for detect in (0.01, 0.1, 1.0):
        n = draws_needed(spread, detect)
        assert detectable(spread, n) <= detect * (1 + 1e-9)
        assert n == 2 or detectable(spread, n - 1) > detect


def test_impossible_plans() -> None:
    with pytest.raises(InputError, match="above zero"):
        draws_needed(Spread(1.0), 0.0)
    with pytest.raises(InputError, match="power"):
        draws_needed(Spread(1.0), 0.1, power=1.0)
    with pytest.raises(InputError, match=r"a score.s error bar"):
        Spread.of_error(0.0, 100)
    with pytest.raises(InputError, match="2 images"):
        detectable(Spread(1.0), 1)


@pytest.mark.parametrize("shift", [0.0, 0.4])
def test_the_spread_of_gaussian_images_is_that_of_a_score(shift: float) -> None:
    rng, d, n = np.random.default_rng(4), 6, 20_000
    mix = rng.standard_normal((d, d))
    r = Moments.from_statistics(np.zeros(d), mix.T @ mix)
    l = Moments.from_statistics(np.full(d, -3.0), np.eye(d))
    f = Moments.from_statistics(np.full(d, shift), mix.T @ mix)
    found = uncertainty(rng.standard_normal((n, d)) @ mix + shift, r, l).cmd.standard_error
    # A standard deviation from 20,000 samples of squares is known to about 1 %.
    assert gaussian_spread(f, r, l).standard_error(n) == pytest.approx(found, rel=0.05)
