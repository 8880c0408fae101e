"""Precision, recall, density, coverage against the definitions with all distances at once."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from scipy.spatial.distance import cdist

from cmdmetric import InputError
from cmdmetric.metrics.neighbours.prdc import prdc_scores, reached
from cmdmetric.metrics.vectors import blocks

rngs = st.integers(0, 2**32 - 1).map(np.random.default_rng)


def definition(f: np.ndarray, r: np.ndarray, k: int) -> tuple[float, float, float, float]:
    def reach(x: np.ndarray) -> np.ndarray:
        return np.sort(cdist(x, x), axis=1)[:, k]  # the zeroth is the vector itself

    between = cdist(f, r)
    in_real, in_generated = between < reach(r)[None, :], between < reach(f)[:, None]
    return (
        in_real.any(axis=1).mean(),
        in_generated.any(axis=0).mean(),
        in_real.sum() / (k * len(f)),
        (between.min(axis=0) < reach(r)).mean(),
    )


@settings(max_examples=30, deadline=None)
@given(rngs, st.integers(6, 40), st.integers(6, 40), st.integers(1, 8), st.integers(1, 5))
def test_equals_the_definitions(rng: np.random.Generator, n: int, m: int, d: int, k: int) -> None:
    f, r = 0.7 * rng.standard_normal((n, d)) + 0.5, rng.standard_normal((m, d))
    assert prdc_scores(f, r, k=k) == pytest.approx(definition(f, r, k), rel=1e-12)


def test_precision_and_recall_equal_torch_fidelity() -> None:
    import torch
    from torch_fidelity.metric_prc import prc_features_to_metric

    rng = np.random.default_rng(0)
    f, r = 0.7 * rng.standard_normal((300, 8)) + 0.5, rng.standard_normal((250, 8))
    theirs = prc_features_to_metric(
        torch.from_numpy(f), torch.from_numpy(r), prc_neighborhood=3, verbose=False
    )
    ours = prdc_scores(f, r, k=3)
    # theirs counts in float32
    assert ours.precision == pytest.approx(theirs["precision"], rel=1e-6)
    assert ours.recall == pytest.approx(theirs["recall"], rel=1e-6)
    assert 0 < ours.recall < ours.precision


def test_blocks_scale_and_place_do_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    from cmdmetric.metrics.neighbours import nearest, reach

    rng = np.random.default_rng(1)
    f, r = 0.7 * rng.standard_normal((70, 6)), rng.standard_normal((90, 6))
    whole = prdc_scores(f, r)
    assert prdc_scores(10 * f + 1000, 10 * r + 1000) == whole
    for module in (nearest, reach):
        monkeypatch.setattr(module, "TILE", 11)
    monkeypatch.setattr(nearest, "blocks", lambda n, size=7: blocks(n, size))
    monkeypatch.setattr(nearest, "_GROUP", 2)
    assert prdc_scores(f, r) == whole
    monkeypatch.setattr(nearest, "_ENTRIES", 0)
    assert prdc_scores(f, r) == whole


def test_neighbours_may_come_in_any_order(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where later ones are ever nearer, or ever farther, none is lost from what was noted."""
    from cmdmetric.metrics.neighbours import nearest

    rng = np.random.default_rng(5)
    monkeypatch.setattr(nearest, "TILE", 16)
    directions = rng.standard_normal((2, 300, 3))
    for shrinking in (np.linspace(3, 0.1, 300), np.linspace(0.1, 3, 300)):
        f, r = directions * shrinking[:, None]
        assert prdc_scores(f, r) == pytest.approx(definition(f, r, 5), rel=1e-12)


@pytest.mark.parametrize("jitter", [0, 1e-6, 1e-3])
def test_what_single_precision_cannot_tell_apart_is_told_by_double(jitter: float) -> None:
    """On a lattice most distances are equal, or differ from others by less than its rounding."""
    rng = np.random.default_rng(5)
    f, r = (rng.integers(0, 3, (n, 6)) + jitter * rng.standard_normal((n, 6)) for n in (900, 700))
    assert prdc_scores(f, r) == pytest.approx(definition(f, r, 5), rel=1e-12)


def test_sections_are_as_if_they_were_all() -> None:
    rng = np.random.default_rng(6)
    f, r = 0.7 * rng.standard_normal((400, 6)), rng.standard_normal((300, 6))
    divisions = [(rng.integers(0, n, 400), rng.integers(0, n, 300)) for n in (2, 2, 9)]
    whole, *divided = reached(f, r, divisions)
    assert whole.scores() == prdc_scores(f, r)
    for found, (of_f, of_r) in zip(divided, divisions, strict=True):
        for section in np.unique(of_f):
            own_f, own_r = of_f == section, of_r == section
            assert found.within(own_f, own_r).scores() == prdc_scores(f[own_f], r[own_r])


def test_what_each_of_them_says() -> None:
    rng = np.random.default_rng(2)
    r = rng.standard_normal((1000, 4))
    same = prdc_scores(rng.standard_normal((1000, 4)), r)
    assert same.precision > 0.95 and same.recall > 0.95
    assert same.density == pytest.approx(1, abs=0.05)
    assert same.coverage == pytest.approx(1 - 2.0**-5, abs=0.02)  # Naeem et al., Lemma 2
    narrow = prdc_scores(0.2 * rng.standard_normal((1000, 4)), r)  # mode dropping
    assert narrow.precision == 1 and narrow.density > 1
    assert narrow.recall < 0.3 and narrow.coverage < 0.5
    far = prdc_scores(rng.standard_normal((1000, 4)) + 20, r)
    assert far == (0, 0, 0, 0)


def test_what_lies_as_far_as_the_neighbour_is_out_of_reach() -> None:
    """As in the code of Naeem et al., which compares by <, whatever rounding does."""
    r = np.repeat(np.random.default_rng(3).standard_normal((20, 512)), 7, axis=0)
    # Every neighbour is a copy at distance zero: nothing is nearer than that.
    assert prdc_scores(r[::-1], r) == (0, 0, 0, 0)
    few = np.repeat(r[::7], 5, axis=0)  # the fifth neighbour is another image's copy
    assert prdc_scores(few, few) == (1, 1, 1, 1)


def test_what_is_refused() -> None:
    x = np.random.default_rng(4).standard_normal((6, 3))
    assert prdc_scores(x, x) == (1, 1, 1, 1)
    with pytest.raises(InputError, match="5 real images are too few: it takes at least 6"):
        prdc_scores(x, x[:5])
    with pytest.raises(InputError, match="k is 0"):
        prdc_scores(x, x, k=0)
    with pytest.raises(InputError, match="they come from two encoders"):
        prdc_scores(x, x[:, :2])


@pytest.mark.parametrize("scale", [1e-200, 1e-60, 1e60, 1e200])
def test_any_scale(scale: float) -> None:
    rng = np.random.default_rng(9)
    f, r = rng.standard_normal((60, 5)), rng.standard_normal((50, 5)) + 0.3
    assert prdc_scores(scale * f, scale * r) == prdc_scores(f, r)
