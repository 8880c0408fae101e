"""CLIPScore and RefCLIPScore against the paper's formulas, pair by pair."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from cmdmetric import InputError
from cmdmetric.metrics.clipscore import clip_scores, clipscore, ref_clip_scores, ref_clipscore

rngs = st.integers(0, 2**32 - 1).map(np.random.default_rng)


def cosine(a: np.ndarray, b: np.ndarray) -> float:
    return sum(p * q for p, q in zip(a, b, strict=True)) / (math.hypot(*a) * math.hypot(*b))


@settings(max_examples=30, deadline=None)
@given(rngs, st.integers(1, 12), st.integers(1, 6))
def test_equals_the_formulas(rng: np.random.Generator, n: int, d: int) -> None:
    images, captions = rng.standard_normal((2, n, d))
    owner = np.concatenate([np.arange(n), rng.integers(0, n, 2 * n)])
    references = rng.standard_normal((3 * n, d))
    scores = [2.5 * max(cosine(v, c), 0) for v, c in zip(images, captions, strict=True)]
    expected = []
    for i, score in enumerate(scores):
        near = max(cosine(captions[i], r) for r, o in zip(references, owner, strict=True) if o == i)
        near = max(near, 0)
        expected.append(2 / (1 / score + 1 / near) if score > 0 and near > 0 else 0.0)
    # Rounding of sums of at most 6 products; harmonic means of tiny scores lose nothing more.
    np.testing.assert_allclose(clip_scores(images, captions), scores, rtol=1e-9, atol=1e-14)
    got = ref_clip_scores(images, captions, references, owner)
    np.testing.assert_allclose(got, expected, rtol=1e-9, atol=1e-13)
    assert clipscore(images, captions) == pytest.approx(np.mean(scores), abs=1e-13)
    assert ref_clipscore(images, captions, references, owner) == pytest.approx(
        np.mean(expected), abs=1e-13
    )


def test_lengths_do_not_matter_and_pairing_does() -> None:
    rng = np.random.default_rng(0)
    captions = rng.standard_normal((50, 16))
    images = captions + 0.5 * rng.standard_normal((50, 16))
    score = clipscore(images, captions)
    assert clipscore(10 * images, captions) == pytest.approx(score, rel=1e-14)
    assert clipscore(images[::-1], captions[::-1]) == pytest.approx(score, rel=1e-14)
    assert clipscore(images, np.roll(captions, 1, axis=0)) < 0.5 * score


def test_the_ends_of_the_range() -> None:
    x = np.eye(3)
    assert clipscore(x, x) == 2.5
    assert clipscore(x, -x) == 0
    assert ref_clipscore(x, x, x) == pytest.approx(10 / 7)
    assert ref_clipscore(x, x, -x) == 0
    assert ref_clipscore(x, -x, -x) == 0


def test_unpaired_data_is_an_error() -> None:
    with pytest.raises(InputError, match="3 images and 2 captions are not pairs"):
        clipscore(np.eye(3), np.eye(3)[:2])
    with pytest.raises(InputError, match="images have 3 dimensions and the captions 2"):
        clipscore(np.eye(3), np.ones((3, 2)))
    with pytest.raises(InputError, match="2 of 3 captions have none of the references"):
        ref_clipscore(np.eye(3), np.eye(3), np.eye(3), [1, 1, 1])
