"""The permutation test against enumeration, and its level."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from cmdmetric.uncertainty import Drawn, holm, permutation_p


def enumerated(a: list[np.ndarray], b: list[np.ndarray]) -> float:
    """Over all exchanges of the images of each caption."""
    at_hand = abs(np.concatenate(a).mean() - np.concatenate(b).mean())
    found = []
    for swap in itertools.product((False, True), repeat=len(a)):
        one = np.concatenate([y if s else x for s, x, y in zip(swap, a, b, strict=True)])
        two = np.concatenate([x if s else y for s, x, y in zip(swap, a, b, strict=True)])
        found.append(abs(one.mean() - two.mean()) >= at_hand - 1e-12)
    return float(np.mean(found))


def test_exchanges_within_captions_are_all_taken_where_they_are_few() -> None:
    rng = np.random.default_rng(0)
    # Unequal numbers of images of a caption: counts change with the exchange as sums do.
    a = [rng.standard_normal(k) + 0.8 for k in (2, 1, 3, 2, 2, 1)]
    b = [rng.standard_normal(k) for k in (1, 1, 2, 2, 3, 1)]
    sides = [Drawn(sum(map(len, x)), np.repeat(np.arange(6), [len(y) for y in x])) for x in (a, b)]
    values = np.concatenate(a), np.concatenate(b)
    found = permutation_p(*values, (sides[0], sides[1]))
    assert found == pytest.approx(enumerated(a, b))
    drawn = permutation_p(*values, (sides[0], sides[1]), permutations=40, seed=1)
    assert drawn == pytest.approx(found, abs=0.3)


@pytest.mark.parametrize(("paired", "n", "m"), [(True, 40, 40), (False, 30, 50)])
def test_the_level_is_kept_for_skewed_values(paired: bool, n: int, m: int) -> None:
    rng = np.random.default_rng(2)
    sides = (Drawn(n, np.arange(n)), Drawn(m, np.arange(m))) if paired else (Drawn(n), Drawn(m))
    p = np.array([
        permutation_p(rng.exponential(size=n), rng.exponential(size=m), sides,
                      permutations=99, seed=k)
        for k in range(400)
    ])  # fmt: skip
    # With 99 permutations a p-value of 5 % has a chance of exactly 5 %; 400 of them tell 1.1 %.
    assert np.mean(p <= 0.05) == pytest.approx(0.05, abs=0.035)
    told = permutation_p(rng.exponential(size=n) + 1.5, rng.exponential(size=m), sides)
    assert told < 0.01


def test_some_captions_of_either_alone() -> None:
    rng = np.random.default_rng(3)
    sides = Drawn(30, np.arange(30)), Drawn(30, np.arange(10, 40))
    one, two = rng.standard_normal(30), rng.standard_normal(30)
    assert permutation_p(one, two, sides) > 0.01
    assert permutation_p(one + 2, two, sides) < 0.01
    assert permutation_p(one, one, (Drawn(30), Drawn(30))) > 0.9, "no difference at all"


def test_holm() -> None:
    assert holm([]) == []
    assert holm([0.5, 0.9]) == [1.0, 1.0]
    assert holm([0.01, 0.02, 0.04]) == pytest.approx([0.03, 0.04, 0.04])
