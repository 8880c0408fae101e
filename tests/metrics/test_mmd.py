"""Sums of powers of inner products, in single precision too."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from cmdmetric.metrics.kernels.cmmd import cmmd_influence, cmmd_of
from cmdmetric.metrics.kernels.cosines import cosines
from cmdmetric.metrics.kernels.kid import clip_kid_of
from cmdmetric.metrics.kernels.mmd import MMDInfluence, Products

Array = np.ndarray


def unit_vectors(rng: np.random.Generator, n: int, shift: float = 0.0) -> Array:
    """Close together, as a network's are."""
    x = rng.standard_normal((n, 64)) * np.geomspace(1, 0.05, 64) + 1 + shift * (np.arange(64) == 3)
    return np.asarray(x / np.linalg.norm(x, axis=1, keepdims=True))


@pytest.mark.parametrize("of", [cmmd_of, clip_kid_of])
def test_single_precision_is_enough(of: Callable[[Products], MMDInfluence]) -> None:
    rng = np.random.default_rng(0)
    x, y = unit_vectors(rng, 700, 0.05), unit_vectors(rng, 600)
    double, single = (of(Products.of(x, y, single=kind)) for kind in (False, True))
    # Sums of powers from the third on are of single precision; they are a small part of the sets'
    # difference, which is itself some 1e-3 of what it is the difference of.
    assert single.mmd == pytest.approx(double.mmd, rel=1e-7)
    assert single.second_order == pytest.approx(double.second_order, rel=1e-6)
    for one, two in ((single.of_x, double.of_x), (single.of_y, double.of_y)):
        assert one == pytest.approx(two, rel=0, abs=1e-6 * two.std())


@pytest.mark.parametrize("shift", [0.0, 0.05])
def test_some_pairs_tell_what_cmmd_has_of_higher_powers(shift: float) -> None:
    rng = np.random.default_rng(3)
    x, y = unit_vectors(rng, 1500, shift), unit_vectors(rng, 1300)
    whole, some = cmmd_of(Products.of(x, y)), cmmd_of(Products.of_sample(x, y, 500))
    # The third power has 1e-5 of CMMD, and 500 images of either set tell it to a tenth.
    assert some.mmd == pytest.approx(whole.mmd, rel=1e-6, abs=1e-6 * whole.second_order**0.5)
    assert some.second_order == pytest.approx(whole.second_order, rel=1e-3)
    for one, two in ((some.of_x, whole.of_x), (some.of_y, whole.of_y)):
        assert one == pytest.approx(two, rel=0, abs=1e-5 * two.std())
    all_of_both = Products.of_sample(x, y, 1500)
    for found, exact in ((all_of_both.of_x, Products.of(x, y).of_x),
                         (all_of_both.between, Products.of(x, y).between)):  # fmt: skip
        assert found.totals == pytest.approx(exact.totals, rel=1e-8)


def test_cmmd_of_large_sets_is_that_of_all_pairs() -> None:
    rng = np.random.default_rng(4)
    x, y = unit_vectors(rng, 2600, 0.05), unit_vectors(rng, 2200)
    assert cmmd_influence(x, y).mmd == pytest.approx(cmmd_of(Products.of(x, y)).mmd, rel=1e-7)


def test_powers_are_those_of_the_products() -> None:
    rng = np.random.default_rng(1)
    x, y = rng.standard_normal((7, 3)), rng.standard_normal((5, 3)) + 1
    found = Products.of(x, y)
    above = x @ y.T - found.centre
    others = (x @ x.T - found.centre)[~np.eye(7, dtype=bool)].reshape(7, 6)
    for power in range(1, 7):
        assert found.between.totals[power - 1] == pytest.approx(np.sum(above**power), rel=1e-12)
        assert found.of_x.totals[power - 1] == pytest.approx(np.sum(others**power), rel=1e-12)
    for power in range(1, 4):
        rows, columns = found.between.rows[power - 1], found.between.columns[power - 1]
        assert rows == pytest.approx((above**power).sum(axis=1), rel=1e-10)
        assert columns == pytest.approx((above**power).sum(axis=0), rel=1e-10)
        assert found.of_x.rows[power - 1] == pytest.approx((others**power).sum(axis=1), rel=1e-10)


def test_large_sets_are_summed_in_single_precision(monkeypatch: pytest.MonkeyPatch) -> None:
    from cmdmetric.metrics.kernels import cosines as module

    rng = np.random.default_rng(2)
    x, y = unit_vectors(rng, 60), unit_vectors(rng, 50)
    double = cosines(3 * x, y)
    monkeypatch.setattr(module, "SINGLE", 50)
    single = cosines(3 * x, y)
    assert single.between.totals == pytest.approx(double.between.totals, rel=1e-4)
    assert np.any(single.between.totals != double.between.totals)
