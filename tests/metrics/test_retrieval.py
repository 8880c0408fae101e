"""R-precision against its expectation over draws, and recall against a full sort."""

from __future__ import annotations

from math import comb

import numpy as np
import pytest
from hypothesis import assume, given, settings, strategies as st

from cmdmetric import InputError
from cmdmetric.metrics.retrieval import r_precision, ranks, recall_at_k, win_chances, wins

rngs = st.integers(0, 2**32 - 1).map(np.random.default_rng)


def pairs(
    rng: np.random.Generator, n: int, m: int, d: int = 6, noise: float = 0.7
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """n images, m captions near their images, and whose they are."""
    owner = rng.permutation(np.concatenate([np.arange(n), rng.integers(0, n, m - n)]))
    images = rng.standard_normal((n, d))
    return images, images[owner] + noise * rng.standard_normal((m, d)), owner


def cosines(images: np.ndarray, captions: np.ndarray) -> np.ndarray:
    x = images / np.linalg.norm(images, axis=1, keepdims=True)
    return x @ (captions / np.linalg.norm(captions, axis=1, keepdims=True)).T


@settings(max_examples=30, deadline=None)
@given(rngs, st.integers(2, 15), st.integers(0, 30))
def test_recall_equals_a_full_sort(rng: np.random.Generator, n: int, more: int) -> None:
    images, captions, owner = pairs(rng, n, n + more)
    similarity = cosines(images, captions)
    got = recall_at_k(images, captions, owner, ks=(1, 2, 5))
    for k in (1, 2, 5):
        texts = [np.any(owner[np.argsort(-similarity[i])[:k]] == i) for i in range(n)]
        found = [owner[j] in np.argsort(-similarity[:, j])[:k] for j in range(n + more)]
        assert got.image_to_text[k] == pytest.approx(np.mean(texts))
        assert got.text_to_image[k] == pytest.approx(np.mean(found))


@settings(max_examples=30, deadline=None)
@given(rngs, st.integers(2, 12), st.integers(2, 12))
def test_captions_of_several_images(rng: np.random.Generator, n: int, m: int) -> None:
    """Any relation of images and captions in which each has at least one partner."""
    own = rng.random((n, m)) < 0.3
    own[np.arange(n), rng.integers(0, m, n)] = True
    own[rng.integers(0, n, m), np.arange(m)] = True
    assume(not own.all())
    images, captions = rng.standard_normal((n, 6)), rng.standard_normal((m, 6))
    similarity = cosines(images, captions)
    got = recall_at_k(images, captions, rng.permutation(np.argwhere(own)), ks=(1, 3))
    for k in (1, 3):
        # Among the rivals and the nearest of its own: how many rivals are nearer than that.
        texts = [(s[~o] > s[o].max()).sum() < k for s, o in zip(similarity, own, strict=True)]
        found = [(s[~o] > s[o].max()).sum() < k for s, o in zip(similarity.T, own.T, strict=True)]
        assert got.image_to_text[k] == pytest.approx(np.mean(texts))
        assert got.text_to_image[k] == pytest.approx(np.mean(found))


def test_passes_over_the_same_captions_are_no_rivals() -> None:
    images, captions, owner = pairs(np.random.default_rng(8), 60, 150)
    own = np.stack([owner, np.arange(150)], axis=1)
    twice = np.concatenate([own, own + np.array([60, 0])])
    once = recall_at_k(images, captions, owner)
    assert recall_at_k(images, captions, own) == once
    both = recall_at_k(np.tile(images, (2, 1)), captions, twice)
    assert both.image_to_text == once.image_to_text
    assert 0.2 < r_precision(images, captions, own, mismatched=9) < 0.95
    assert r_precision(images, captions, own) == r_precision(images, captions, owner)
    again = r_precision(np.tile(images, (2, 1)), captions, twice, mismatched=9)
    # Other draws for as many pairs: within 4 standard deviations of the mean of 150 coins.
    assert again == pytest.approx(r_precision(images, captions, own, mismatched=9), abs=0.16)


def test_recall_does_not_depend_on_the_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    from cmdmetric.metrics import retrieval as rprecision
    from cmdmetric.metrics.vectors import blocks

    images, captions, owner = pairs(np.random.default_rng(1), 40, 100)
    whole = recall_at_k(images, captions, owner)
    monkeypatch.setattr(rprecision, "blocks", lambda n, size=0: blocks(n, 7))
    assert recall_at_k(images, captions, owner) == whole
    assert 0 < whole.image_to_text[1] < 1


@pytest.mark.parametrize("jitter", [0, 1e-9, 1e-7, 1e-2])
def test_what_single_precision_cannot_tell_apart_is_told_by_double(jitter: float) -> None:
    """Many images and captions are alike but for less than its rounding, or ties."""
    rng = np.random.default_rng(6)
    kinds = rng.standard_normal((30, 16))
    images, captions = (
        kinds[rng.integers(0, 30, n)] + jitter * rng.standard_normal((n, 16)) for n in (300, 300)
    )
    similarity = cosines(images, captions)
    right = similarity.diagonal()
    nearer_texts = (similarity >= right[:, None] - 1e-12).sum(axis=1) - 1
    nearer_images = (similarity >= right - 1e-12).sum(axis=0) - 1
    of_images, of_captions = ranks(images, captions)
    assert np.array_equal(of_images, nearer_texts)
    assert np.array_equal(of_captions, nearer_images)
    left = 299 - nearer_texts
    expected = [comb(int(m), 20) / comb(299, 20) for m in left]
    assert win_chances(images, captions, mismatched=20) == pytest.approx(expected, rel=1e-9)


def test_r_precision_is_the_mean_over_draws() -> None:
    images, captions, owner = pairs(np.random.default_rng(2), 40, 90, d=4)
    similarity = cosines(images, captions)
    expected = 0.0
    for caption, image in enumerate(owner):
        rivals = similarity[image][owner != image]
        worse = int((rivals < similarity[image, caption]).sum())
        expected += comb(worse, 9) / comb(len(rivals), 9) / len(owner)
    drawn = [r_precision(images, captions, owner, mismatched=9, seed=s) for s in range(200)]
    error = np.std(drawn) / np.sqrt(len(drawn))
    assert 0.2 < expected < 0.8
    assert abs(np.mean(drawn) - expected) < 4 * error
    assert r_precision(images, captions, owner, mismatched=9, seed=3) == drawn[3]


def test_all_rivals_make_it_exact() -> None:
    rng = np.random.default_rng(3)
    images, owner = rng.standard_normal((100, 6)), rng.permutation(100)
    captions = images[owner] + 0.7 * rng.standard_normal((100, 6))
    # With one caption for each image, every other caption is drawn: R-precision is R@1.
    found = recall_at_k(images, captions, owner).image_to_text[1]
    assert 0 < found < 1
    assert r_precision(images, captions, owner) == pytest.approx(found, abs=1e-12)


def test_drawn_captions_differ_and_belong_to_others() -> None:
    from cmdmetric.metrics.retrieval import _draw

    rng, own = np.random.default_rng(0), np.array([0, 3, 4, 9])
    seen = set()
    for _ in range(200):
        drawn = _draw(rng, 10, own, 4)
        assert len(set(drawn)) == 4 and not set(drawn) & set(own)
        seen |= set(drawn.tolist())
    assert seen == {1, 2, 5, 6, 7, 8}


def test_a_perfect_a_random_and_a_collapsed_model() -> None:
    rng = np.random.default_rng(4)
    x = rng.standard_normal((2000, 32))
    assert r_precision(x, 3 * x) == 1
    assert recall_at_k(x, x) == ({1: 1.0, 5: 1.0, 10: 1.0}, {1: 1.0, 5: 1.0, 10: 1.0})
    chance = r_precision(x, rng.standard_normal((2000, 32)))
    assert abs(chance - 0.01) < 4 * np.sqrt(0.01 * 0.99 / 2000)
    one_point = np.full((2000, 32), 0.1)
    assert r_precision(one_point, x) < 0.03  # all images alike: no better than chance
    assert r_precision(x, one_point) == 0  # all captions alike: ties are lost
    assert recall_at_k(x, one_point).image_to_text == {1: 0.0, 5: 0.0, 10: 0.0}
    assert recall_at_k(one_point, x).text_to_image == {1: 0.0, 5: 0.0, 10: 0.0}


def test_unpaired_or_too_few_is_an_error() -> None:
    x = np.random.default_rng(5).standard_normal((50, 4))
    with pytest.raises(InputError, match="draws 99 captions of other images"):
        r_precision(x, x)
    with pytest.raises(InputError, match="50 images and 40 captions are not pairs"):
        r_precision(x, x[:40])
    with pytest.raises(InputError, match="they come from two encoders"):
        recall_at_k(x, x[:, :2])
    with pytest.raises(InputError, match="every caption here is one of every image"):
        recall_at_k(x[:1], x[:3], [0, 0, 0])
    for wrong, match in (
        ([[0, 0, 0]], "pairs are of an image and a caption"),
        ([[0, 0], [0, 1]], "49 of 50 images have none"),
        ([*((i, 0) for i in range(50)), (50, 1)], "rows from 0 to 50 of 50 images"),
        ([*((i, i) for i in range(50)), (0, 0)], "paired twice"),
    ):
        with pytest.raises(InputError, match=match):
            recall_at_k(x, x, wrong)
    for ks in ((), (0,)):
        with pytest.raises(InputError, match="ranks from 1"):
            recall_at_k(x, x, ks=ks)


def test_chances_are_what_drawing_gives_on_average() -> None:
    rng = np.random.default_rng(8)
    images = rng.standard_normal((40, 6))
    owner = np.repeat(np.arange(40), 3)
    captions = images[owner] + 1.5 * rng.standard_normal((120, 6))
    found = win_chances(images, captions, owner, mismatched=20)
    drawn = np.mean(
        [wins(images, captions, owner, mismatched=20, seed=seed) for seed in range(400)], axis=0
    )
    # A chance is known to 2.5 % at most from 400 draws; four of them for 120 at once.
    np.testing.assert_allclose(found, drawn, atol=0.1)
    assert abs(found.mean() - drawn.mean()) < 0.005
    # Against all others the caption wins or does not.
    every = win_chances(images, captions, owner, mismatched=117)
    assert set(np.round(every, 9)) <= {0.0, 1.0}
    assert (every == wins(images, captions, owner, mismatched=117)).all()
    with pytest.raises(InputError, match="leaves 117"):
        win_chances(images, captions, owner, mismatched=118)
