"""FJD against scipy's sqrtm of whole covariances, and what it sees that CMD does not."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import linalg

from cmdmetric import InputError, Moments, cross_model_distance, frechet_distance
from cmdmetric.metrics.joint.fjd import caption_scale, fjd, joint_moments


def pairs(seed: int, n: int, d: int = 8, e: int = 5) -> tuple[np.ndarray, np.ndarray]:
    """Images that follow their captions."""
    rng = np.random.default_rng(seed)
    captions = rng.standard_normal((n, e)) * np.arange(1, e + 1) / e
    mix = np.random.default_rng(99).standard_normal((e, d))
    return 10 * (captions @ mix + 0.3 * rng.standard_normal((n, d))), captions


def test_equals_the_formula() -> None:
    (f, fl), (r, rl) = pairs(0, 300), pairs(1, 400)
    alpha = np.mean([np.sqrt(v @ v) for v in r]) / np.mean([np.sqrt(v @ v) for v in rl])
    assert caption_scale(r, rl) == pytest.approx(alpha, rel=1e-14)
    a, b = np.hstack([f, alpha * fl]), np.hstack([r, alpha * rl])
    cov_a, cov_b = np.cov(a.T), np.cov(b.T)
    gap = a.mean(0) - b.mean(0)
    root = linalg.sqrtm(cov_a @ cov_b).real
    expected = gap @ gap + np.trace(cov_a + cov_b - 2 * root)
    # sqrtm itself loses some digits to the condition of the product.
    assert fjd(f, fl, r, rl) == pytest.approx(expected, rel=1e-9)


def test_without_captions_it_is_the_distance_of_the_images() -> None:
    (f, fl), (r, rl) = pairs(2, 300), pairs(3, 300)
    images = frechet_distance(Moments.from_features(f), Moments.from_features(r))
    assert fjd(f, fl, r, rl, alpha=0) == pytest.approx(images, rel=1e-9)
    assert fjd(f, fl, r, rl) > images


def test_shuffled_captions_move_it_and_not_cmd() -> None:
    (f, fl), (r, rl) = pairs(4, 2000, d=5), pairs(5, 2000, d=5)
    shuffled = fl[np.random.default_rng(0).permutation(len(fl))]

    def scores(captions: np.ndarray) -> tuple[float, float]:
        sides = (Moments.from_features(side) for side in (f, r, captions))
        return fjd(f, captions, r, rl), cross_model_distance(*sides).cmd

    (joint, cmd), (joint_shuffled, cmd_shuffled) = scores(fl), scores(shuffled)
    assert cmd_shuffled == pytest.approx(cmd, rel=1e-9)
    assert joint_shuffled > 20 * joint


def test_blocks_do_not_matter() -> None:
    images, captions = pairs(6, 1000)
    moments = joint_moments(images, captions, 2.0)  # ten blocks of 8 x 13 rows
    joint = np.hstack([images, 2 * captions])
    assert moments.n == 1000
    np.testing.assert_allclose(moments.cov, np.cov(joint.T), rtol=0, atol=1e-10)
    assert fjd(images, captions, images, captions) < 1e-9 * np.trace(moments.cov)


def test_what_is_refused() -> None:
    f, fl = pairs(7, 20)
    with pytest.raises(InputError, match="20 images and 19 captions are not pairs"):
        fjd(f, fl, f, fl[1:])
    with pytest.raises(InputError, match="at least 2 samples"):
        fjd(f[:1], fl[:1], f, fl)
    with pytest.raises(InputError, match="features of 13 and of 12 dimensions"):
        fjd(f, fl, f[:, 1:], fl)
    for alpha in (-1.0, float("nan"), float("inf")):
        with pytest.raises(InputError, match="alpha is"):
            fjd(f, fl, f, fl, alpha=alpha)
    with pytest.raises(InputError, match="all captions are the zero vector"):
        fjd(f, fl, f, 0 * fl)
