"""CFID against its formula written out, against values known in closed form, and its influences."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from scipy import linalg

from cmdmetric import InputError, Moments, frechet_distance
from cmdmetric.metrics.joint.cfid import cfid, cfid_influence

Array = np.ndarray
N, D, E = 300, 6, 4


def drawn(seed: int, n: int = N, moved: float = 0.4) -> tuple[Array, Array, Array]:
    """Generated images, real images, and the captions that both follow, each in its own way."""
    rng, fixed = np.random.default_rng(seed), np.random.default_rng(99)
    captions = rng.standard_normal((n, E)) * np.arange(1, E + 1) / E + 2
    one, two = fixed.standard_normal((2, E, D))
    real = captions @ one + 0.5 * rng.standard_normal((n, D))
    generated = captions @ (one + 0.3 * two) + 0.7 * rng.standard_normal((n, D)) + moved
    return generated, real, captions


def written_out(f: Array, r: Array, x: Array) -> float:
    """The formula of arXiv 2103.11521 from one covariance of all, by pinv and sqrtm."""
    d, e = f.shape[1], x.shape[1]
    joint = np.cov(np.hstack([x, r, f]).T)
    xx, xr, xf = joint[:e, :e], joint[:e, e : e + d], joint[:e, e + d :]
    rr, ff = joint[e : e + d, e : e + d], joint[e + d :, e + d :]
    inverse = linalg.pinvh(xx)
    rr_x, ff_x = rr - xr.T @ inverse @ xr, ff - xf.T @ inverse @ xf
    half = linalg.sqrtm(rr_x).real
    root = linalg.sqrtm(half @ ff_x @ half).real
    gap = r.mean(0) - f.mean(0)
    return float(
        gap @ gap + np.trace((xr - xf).T @ inverse @ (xr - xf)) + np.trace(rr_x + ff_x - 2 * root)
    )


def exactly(rng: np.random.Generator, n: int, d: int) -> Array:
    """(n, d) samples whose mean is zero and whose covariance is one, to rounding."""
    z = rng.standard_normal((n, d))
    z -= z.mean(axis=0)
    q, _ = np.linalg.qr(z)
    return q * np.sqrt(n - 1)


def test_equals_the_formula() -> None:
    f, r, x = drawn(0)
    # sqrtm itself loses some digits to the condition of the product.
    assert cfid(f, x, r, x) == pytest.approx(written_out(f, r, x), rel=1e-9)
    assert cfid_influence(f, x, r, x).distance == pytest.approx(cfid(f, x, r, x), rel=1e-12)


def test_equals_what_is_known_in_closed_form() -> None:
    """Residuals with diagonal covariances that captions do not explain, to the last digits."""
    z = exactly(np.random.default_rng(1), 200, E + 2 * D)
    x, s, t = z[:, :E] * [1, 2, 3, 4], np.arange(1, D + 1.0), np.arange(D, 0.0, -1)
    one, two = np.random.default_rng(2).standard_normal((2, E, D))
    r, f = 1 + x @ one + s * z[:, E : E + D], 3 + x @ two + t * z[:, E + D :]
    slopes = np.diag([1, 2, 3, 4]) @ (one - two)
    expected = 4 * D + np.sum(slopes**2) + np.sum((s - t) ** 2)
    assert cfid(f, x, r, x) == pytest.approx(expected, rel=1e-12)


def test_captions_that_say_nothing_leave_the_distance_of_the_images() -> None:
    z = exactly(np.random.default_rng(3), 200, E + 2 * D)
    x, r, f = z[:, :E], 2 * z[:, E : E + D] + 1, z[:, E + D :]
    images = frechet_distance(Moments.from_features(f), Moments.from_features(r))
    assert cfid(f, x, r, x) == pytest.approx(images, rel=1e-12)


def test_the_same_images_are_at_zero_and_shuffled_ones_are_not() -> None:
    f, _, x = drawn(4)
    scale = np.trace(np.cov(f.T))
    assert cfid(f, x, f, x) < 1e-12 * scale
    shuffled = np.random.default_rng(0).permutation(f)
    images = frechet_distance(Moments.from_features(shuffled), Moments.from_features(f))
    assert images < 1e-9 * scale and cfid(shuffled, x, f, x) > 0.5 * scale


def test_captions_count_up_to_linear_maps_and_in_a_subspace() -> None:
    f, r, x = drawn(5)
    rng = np.random.default_rng(6)
    expected = cfid(f, x, r, x)
    mixed = x @ rng.standard_normal((E, E)) + 5
    assert cfid(f, mixed, r, mixed) == pytest.approx(expected, rel=1e-9)
    # Ten numbers that vary in four dimensions, and what float32 makes of them.
    wide = x @ rng.standard_normal((E, 10))
    assert cfid(f, wide, r, wide) == pytest.approx(expected, rel=1e-9)
    rounded = wide.astype(np.float32)
    found = cfid_influence(f, rounded, r, rounded)
    assert found.rank == E and found.distance == pytest.approx(expected, rel=1e-5)
    # An image of two captions is two pairs; so is the whole set when it is doubled.
    twice = [np.repeat(rows, 2, axis=0) for rows in (f, x, r, x)]
    # Covariances are over n - 1: of 300 samples and of 600 they differ by 1/600.
    assert cfid(*twice) == pytest.approx(expected, rel=2e-3)


def test_captions_of_other_numbers_are_those_of_the_real_images() -> None:
    """The mean over the real captions of how far both regressions are apart, one by one."""
    (f, _, x), (_, r, y) = drawn(7, 200), drawn(8, 260)
    y = 0.7 * y + 1

    def fit(captions: Array, images: Array) -> tuple[Callable[[Array], Array], Moments]:
        with_one = np.hstack([captions, np.ones((len(captions), 1))])
        slopes = np.linalg.lstsq(with_one, images, rcond=None)[0]
        left = Moments.from_features(images - with_one @ slopes)
        return lambda other: np.hstack([other, np.ones((len(other), 1))]) @ slopes, left

    (expected_f, of_f), (expected_r, of_r) = fit(x, f), fit(y, r)
    apart = expected_r(y) - expected_f(y)
    means = apart.mean(axis=0)
    spread = ((apart - means) ** 2).sum() / (len(y) - 1)
    expected = means @ means + spread + frechet_distance(of_f, of_r)
    assert cfid(f, x, r, y) == pytest.approx(expected, rel=1e-10)


@pytest.mark.parametrize("side", ["f", "r"])
def test_it_loses_what_the_influences_say(side: str) -> None:
    (f, _, x), (_, r, y) = drawn(9, 220, 0.2), drawn(10, 200)
    y = 0.9 * y + 0.4  # captions of other means, so that every term counts
    found = cfid_influence(f, x, r, y)
    ours = found.of_f if side == "f" else found.of_r
    left = []
    for i in range(len(ours)):
        rows = [np.delete(of, i, axis=0) for of in ((f, x) if side == "f" else (r, y))]
        left.append(cfid(*rows, r, y) if side == "f" else cfid(f, x, *rows))
    theirs = -len(ours) * (np.array(left) - np.mean(left))
    # Leaving out one of n changes the weights of the others, and its leverage counts twice.
    error = np.abs(ours - theirs) / theirs.std()
    assert np.sqrt((error**2).mean()) < 0.06 and error.max() < 0.4
    assert abs(ours.mean()) < 1e-12 * ours.std()


def test_noise_of_second_order_is_that_of_repeated_draws() -> None:
    """Where both sides are of one distribution all variance is of second order."""
    values, told = [], []
    for seed in range(200):
        rng = np.random.default_rng(seed)
        x = rng.standard_normal((N, E))
        f, r = x @ np.ones((E, D)) + rng.standard_normal((2, N, D)) * np.arange(1, D + 1)
        found = cfid_influence(f, x, r, x)
        values.append(found.distance)
        told.append(found.second_order(N, N))
    # 200 sets tell a variance to 10 %: three times that, and more where one term is left out.
    assert np.mean(told) == pytest.approx(np.var(values, ddof=1), rel=0.3)


def test_what_is_refused() -> None:
    f, r, x = drawn(11, 20)
    assert cfid(f[:10], x[:10], r, x) > 0  # twice four dimensions and a mean
    with pytest.raises(InputError, match=r"9 pairs of generated images .* at least 10"):
        cfid(f[:9], x[:9], r, x)
    with pytest.raises(InputError, match=r"pairs of real images .* vary in 4 dimensions"):
        cfid(f, x, r[:9], x[:9])
    with pytest.raises(InputError, match="20 images and 19 captions are not pairs"):
        cfid(f, x[1:], r, x)
    with pytest.raises(
        InputError, match="generated images have 6 dimensions and the real images 5"
    ):
        cfid(f, x, r[:, 1:], x)
    with pytest.raises(InputError, match="captions of generated images have 4 dimensions"):
        cfid(f, x, r, x[:, 1:])
    flat = np.where(np.arange(E) == 0, 1.0, x)
    for one, two in ((flat, x), (x, flat)):
        with pytest.raises(InputError, match="images of the same captions"):
            cfid(f, one, r, two)
    with pytest.raises(InputError, match="NaN or infinite"):
        cfid(f, x, np.where(r > 2, np.nan, r), x)
    # One caption for all: nothing is known of it, and the distance is that of the images.
    one = np.full((20, E), 0.1)
    images = frechet_distance(Moments.from_features(f), Moments.from_features(r))
    assert cfid(f, one, r, one) == pytest.approx(images, rel=1e-12)


def test_pulls_are_how_noise_moves_the_part_of_the_means() -> None:
    """Captions of other numbers and means, so that every term counts."""
    (f, _, x), (_, r, y) = drawn(12, 220, 0.2), drawn(13, 200)
    y = 0.9 * y + 0.4
    found = cfid_influence(f, x, r, y)
    pull_f, pull_r = found.pulls()
    assert pull_f.shape == (220, E + 1) and pull_r.shape == (200, E + 1)
    # In those coordinates the means are apart by what all images together pull.
    apart = r.T @ pull_r - f.T @ pull_f
    assert np.sum(apart[:, 0] ** 2) == pytest.approx(found.of_gap, rel=1e-9)
    assert np.sum(apart[:, 1:] ** 2) == pytest.approx(found.of_slopes, rel=1e-9)


def test_leverages_are_the_diagonal_of_the_projection() -> None:
    f, r, x = drawn(14, 50)
    with_one = np.hstack([x, np.ones((50, 1))])
    expected = np.diag(with_one @ np.linalg.pinv(with_one))
    np.testing.assert_allclose(cfid_influence(f, x, r, x).f.leverages, expected, rtol=1e-9)
