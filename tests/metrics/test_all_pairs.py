"""One pass over all pairs gives what the metrics' own passes give."""

from __future__ import annotations

import numpy as np
import pytest

from cmdmetric import InputError, Moments
from cmdmetric.metrics.kernels.all_pairs import all_pairs
from cmdmetric.metrics.kernels.cmmd import cmmd_of
from cmdmetric.metrics.kernels.cosines import SINGLE
from cmdmetric.metrics.kernels.kid import clip_kid_of
from cmdmetric.metrics.kernels.mmd import Products
from cmdmetric.metrics.neighbours import nearest
from cmdmetric.metrics.neighbours.prdc import reached
from cmdmetric.metrics.vectors import unit
from cmdmetric.scoring.family.catalogue import METRICS, measure, share_a_pass
from cmdmetric.scoring.family.metric import Given
from cmdmetric.scoring.side import Side


def features(n: int, shift: float, seed: int) -> np.ndarray:
    """(n, 32) of many lengths, far from the origin as CLIP's are."""
    rng = np.random.default_rng(seed)
    x = 2 + shift + rng.standard_normal((n, 32))
    return (x * rng.uniform(0.5, 30, (n, 1))).astype(np.float32)


@pytest.mark.parametrize("entries", [0, nearest._ENTRIES])
def test_both_come_out_as_from_passes_of_their_own(
    entries: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(nearest, "_ENTRIES", entries)
    f, r = features(1300, 0.05, 1), features(1100, 0.0, 2)
    rng = np.random.default_rng(0)
    divisions = [(rng.integers(0, 2, len(f)), rng.integers(0, 2, len(r))) for _ in range(2)]
    products, found = all_pairs(f, r, divisions, k=4)
    for ours, theirs in zip(found, reached(f, r, divisions, k=4), strict=True):
        assert all(np.array_equal(a, b) for a, b in zip(ours, theirs, strict=True))
    exact = Products.of(unit(f.astype(float), "f"), unit(r.astype(float), "r"))
    for of in (cmmd_of, clip_kid_of):
        one, two = of(products), of(exact)
        # Values hang on the third powers alone, whose rounding averages out of a million pairs.
        assert one.mmd == pytest.approx(two.mmd, rel=1e-6)
        assert one.second_order == pytest.approx(two.second_order, rel=1e-5)
        for ours, theirs in ((one.of_x, two.of_x), (one.of_y, two.of_y)):
            # Single precision of cosines near one, beside what they differ by.
            assert np.abs(ours - theirs).max() < 1e-4 * theirs.std()
            assert ours.std() == pytest.approx(theirs.std(), rel=1e-6)


def test_the_family_is_the_same_in_one_pass() -> None:
    sides = [
        Side(Moments.from_features(x), "arrays", features=x)
        for x in (features(SINGLE, 0.05, 1), features(SINGLE + 70, 0.0, 2))
    ]
    metrics = [METRICS[name] for name in ("cmmd", "clip_kid", "prdc")]
    assert share_a_pass(metrics) and not share_a_pass(metrics[:2])
    one = Given(sides[0], sides[1], sides[1], in_one_pass=True)
    apart = Given(sides[0], sides[1], sides[1])
    for metric in metrics:
        for ours, theirs in zip(
            measure(metric, one).values(), measure(metric, apart).values(), strict=True
        ):
            assert ours.value == pytest.approx(theirs.value, rel=1e-6)
            assert ours.to_value({}).standard_error == pytest.approx(
                theirs.to_value({}).standard_error, rel=1e-6
            )


def test_a_vector_without_direction_is_told_by_the_metric_that_needs_one() -> None:
    f, r = features(SINGLE, 0.05, 1), features(SINGLE, 0.0, 2)
    f[7] = 0
    sides = [Side(Moments.from_features(x), "arrays", features=x) for x in (f, r)]
    given = Given(sides[0], sides[1], sides[1], in_one_pass=True)
    with pytest.raises(InputError, match="cmmd: 1 of 2,048 generated images are zero vectors"):
        measure(METRICS["cmmd"], given)
    assert 0 <= measure(METRICS["prdc"], given)["precision"].value <= 1
