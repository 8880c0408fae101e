"""Metrics whose images may change places: the values that are exchanged, and the test's level."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest

from cmdmetric.inputs import Captions
from cmdmetric.metrics import Moments
from cmdmetric.scoring.family.catalogue import METRICS
from cmdmetric.scoring.family.metric import Given, Seen
from cmdmetric.scoring.side import Side
from cmdmetric.uncertainty import Drawn, permutation_p
from tests.support.scores import measure

N, D = 40, 6
NAMES = tuple(f"{i}.png" for i in range(N))
CAPTIONS = Captions(tuple(f"word {i}" for i in range(N)), NAMES)


def drawn(rng: np.random.Generator, worse: float = 0.0) -> tuple[Given, Given]:
    """Two generators' images of the same scenes, real images and captions."""
    scene = rng.standard_normal((N, D))

    def side(shift: float) -> Side:
        features = (scene + 0.7 * rng.standard_normal((N, D)) + shift).astype(np.float32)
        return Side(Moments.from_features(features), "x", features=features, names=NAMES)

    one, two, r = side(worse), side(0.0), side(0.0)
    text = (0.5 * scene + 2).astype(np.float32)
    l = Side(Moments.from_features(text), "l", features=text, texts=CAPTIONS, kept=tuple(range(N)))
    groups = {"f": np.arange(N), "r": np.arange(N)}
    return Given(one, r, l, groups=groups), Given(two, r, l, groups=groups)


def p_values(name: str, worse: float, times: int) -> Iterator[float]:
    rng = np.random.default_rng(0)
    exchanged = METRICS[name].exchanged
    assert exchanged is not None
    sides = Drawn(N, np.arange(N)), Drawn(N, np.arange(N))
    for k in range(times):
        values = exchanged(*drawn(rng, worse))
        yield permutation_p(*values, sides, permutations=99, seed=k)


@pytest.mark.parametrize("name", ["cmmd", "clip_kid", "fjd", "clip_cfid"])
def test_the_values_differ_as_the_metric_does_and_the_test_keeps_its_level(name: str) -> None:
    rng, metric = np.random.default_rng(1), METRICS[name]
    assert metric.exchanged is not None
    pairs = []
    for _ in range(30):
        one, two = drawn(rng, 0.2)
        values = metric.exchanged(one, two)
        number = next(iter(metric.values))
        gap = measure(name, one)[number].value - measure(name, two)[number].value
        pairs.append((values[0].mean() - values[1].mean(), gap))
    assert np.corrcoef(np.array(pairs).T)[0, 1] > 0.97
    # Exact: 5 % of 120 sets, within three standard deviations.
    assert np.mean([p <= 0.05 for p in p_values(name, 0.0, 120)]) < 0.11
    assert np.mean([p <= 0.05 for p in p_values(name, 1.0, 10)]) > 0.8


@pytest.mark.parametrize("name", ["fid", "kid"])
def test_of_inceptions_features(name: str) -> None:
    rng, metric = np.random.default_rng(2), METRICS[name]
    assert metric.exchanged is not None
    rows = rng.standard_normal((3, N, 2048 + 1008)).astype(np.float32)
    rows[0] += 0.5
    givens = drawn(rng)
    one, two = (
        replace(given, seen={"inception": Seen(f, rows[2])})
        for given, f in zip(givens, rows, strict=False)
    )
    values = metric.exchanged(one, two)
    gap = measure(name, one)[name].value - measure(name, two)[name].value
    # FID's is right to third order of a large difference; in KID's, images are beside themselves.
    assert values[0].mean() - values[1].mean() == pytest.approx(gap, rel=0.35)
    sides = Drawn(N, np.arange(N)), Drawn(N, np.arange(N))
    assert permutation_p(*values, sides) < 0.01
