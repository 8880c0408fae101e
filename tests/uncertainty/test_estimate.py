"""Error bars of the family: each sample's share against leaving it out, the standard errors against
repeated draws, and what pairing does to differences."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from cmdmetric.inputs.captions import read_captions
from cmdmetric.metrics.fid import fid, fid_influence
from cmdmetric.metrics.inception import inception_score, inception_score_influence
from cmdmetric.metrics.joint.fjd import caption_scale, fjd, fjd_influence
from cmdmetric.metrics.kernels.cmmd import cmmd, cmmd_influence
from cmdmetric.metrics.kernels.kid import (
    clip_kid,
    clip_kid_influence,
    kid,
    kid_influence,
    kid_of_subsets,
)
from cmdmetric.metrics.kernels.mmd import MMDInfluence
from cmdmetric.metrics.moments import Moments
from cmdmetric.metrics.vendi import vendi_influence, vendi_score
from cmdmetric.scoring.family.catalogue import METRICS
from cmdmetric.scoring.family.inception import INCEPTION, vectors
from cmdmetric.scoring.family.metric import Given, Seen
from cmdmetric.scoring.grouping import groups_of
from cmdmetric.scoring.side import Side
from cmdmetric.uncertainty.draws import Drawn, sections
from cmdmetric.uncertainty.estimate import Measured, gap, gap_of
from cmdmetric.uncertainty.interval import Variance
from tests.support.scores import measure

Array = np.ndarray
#: Of those shown: what the metrics of CLIP's features are called.
CLIP = ("clipscore", "ref_clipscore", "recall_at_k", "fjd", "cmmd", "clip_kid", "prdc", "vendi")


def left_out(score: Callable[[Array], float], x: Array) -> Array:
    """n times by how much the score falls without each row: the influence, to O(1/n)."""
    whole = score(x)
    falls = np.array([whole - score(np.delete(x, i, axis=0)) for i in range(len(x))])
    return len(x) * (falls - falls.mean())


def assert_close(ours: Array | None, theirs: Array) -> None:
    """To a few per cent of the spread: leaving out one of n changes the others' weights by 1/n, and
    what moves a score most moves it to second order too."""
    assert ours is not None
    error = np.abs(ours - theirs) / theirs.std()
    assert np.sqrt((error**2).mean()) < 0.05 and error.max() < 0.3


@pytest.fixture
def sides() -> tuple[Array, Array]:
    rng = np.random.default_rng(0)
    scale = 1 / np.sqrt(1 + np.arange(6))
    return rng.standard_normal((220, 6)) * scale + 0.6, rng.standard_normal((180, 6)) * scale + 1


@pytest.mark.parametrize(
    ("score", "influence"),
    [
        (lambda f, r: cmmd(f, r).unbiased, cmmd_influence),
        (clip_kid, clip_kid_influence),
        (kid, lambda f, r: kid_influence(f, r, parts=1)),
    ],
)
def test_discrepancies_lose_what_their_shares_say(
    score: Callable[[Array, Array], float],
    influence: Callable[[Array, Array], tuple],
    sides: tuple[Array, Array],
) -> None:
    f, r = sides
    found = influence(f, r)
    of_f, of_r = (x for x in found if isinstance(x, np.ndarray))
    assert_close(of_f, left_out(lambda x: score(x, r), f))
    assert_close(of_r, left_out(lambda x: score(f, x), r))


def test_kid_in_parts_is_that_of_all_pairs_but_noisier(sides: tuple[Array, Array]) -> None:
    f, r = (np.tile(x, (6, 1)) + np.random.default_rng(1).normal(0, 0.3, (6 * len(x), 6))
            for x in sides)  # fmt: skip
    whole, parts = (kid_influence(f, r, parts=parts) for parts in (1, 5))
    for one, many in ((whole.of_f, parts.of_f), (whole.of_r, parts.of_r)):
        assert np.corrcoef(one, many)[0, 1] > 0.98
    # In a fifth of the images second-order noise has 25 times the variance.
    assert parts.second_order == pytest.approx(25 * whole.second_order, rel=0.2)


def test_distances_lose_what_their_shares_say(sides: tuple[Array, Array]) -> None:
    f, r = sides
    captions_f, captions_r = f[:, ::-1] + 0.3, r[:, ::-1]
    found = fjd_influence(f, captions_f, r, captions_r)
    alpha = caption_scale(r, captions_r)
    assert found.distance == pytest.approx(fjd(f, captions_f, r, captions_r), rel=1e-10)
    pairs = np.concatenate([f, captions_f], axis=1)
    theirs = left_out(lambda x: fjd(x[:, :6], x[:, 6:], r, captions_r, alpha=alpha), pairs)
    assert_close(found.of_a, theirs)


@pytest.mark.slow
def test_fid_has_influences_below_and_beside_moments() -> None:
    """Of fewer images than dimensions; and beside moments."""
    rng = np.random.default_rng(2)
    f, r = (np.maximum(rng.standard_normal((n, 2048)), 0).astype(np.float32) for n in (40, 30))
    found = fid_influence(f, r)
    assert found.distance == pytest.approx(fid(f, r), rel=1e-9)
    assert found.of_a is not None and found.of_b is not None
    # With n < d every image is a direction of its own: the derivative is rough there.
    assert np.corrcoef(found.of_a, left_out(lambda x: fid(x, r), f))[0, 1] > 0.9
    beside = fid_influence(f, Moments.from_features(r))
    assert beside.of_b is None
    np.testing.assert_allclose(beside.of_a, found.of_a, rtol=0, atol=1e-6 * found.distance)


def test_scores_of_one_set_lose_what_their_shares_say(sides: tuple[Array, Array]) -> None:
    f, _ = sides
    assert_close(vendi_influence(f).of_images, left_out(vendi_score, f))
    few = np.random.default_rng(3).standard_normal((40, 60))  # fewer than dimensions
    # A direction that one image has alone goes with it: the entropy is steep there.
    assert np.corrcoef(vendi_influence(few).of_images, left_out(vendi_score, few))[0, 1] > 0.95
    logits = 3 * np.random.default_rng(4).standard_normal((300, 5))
    ours = inception_score_influence(logits, splits=1)
    assert_close(ours, left_out(lambda x: inception_score(x, splits=1).mean, logits))
    # Over splits each image counts in its own: still one influence for each, with mean zero.
    split = inception_score_influence(logits, splits=10)
    assert split.shape == (300,) and abs(split.mean()) < 1e-12


def given_sides(rng: np.random.Generator, n: int, shift: float, d: int = 24) -> Given:
    """Generated and real images of n scenes with two captions each, all near the scene's vector."""
    scale = 1 / np.sqrt(1 + np.arange(d))
    scene = rng.standard_normal((n, d))

    def near(noise: float, of: Array) -> Array:
        x = (0.8 * of + noise * rng.standard_normal(of.shape)) * scale
        x[:, 0] += 2
        return x.astype(np.float32)

    names = tuple(f"{i}.png" for i in range(n))
    texts = read_captions({name: [f"one {name} here", f"two {name} here"] for name in names})
    images = {
        name: Side(Moments.from_features(x), name, features=x, names=names)
        for name, x in (
            ("f", near(0.6, scene) * (1 + shift / 2) + shift * scale.astype(np.float32)),
            ("r", near(0.6, scene)),
        )
    }
    of_texts = near(0.6, np.repeat(scene, 2, axis=0))
    l = Side(Moments.from_features(of_texts), "l", features=of_texts, texts=texts,
             kept=tuple(range(2 * n)))  # fmt: skip
    wide = np.random.default_rng(9).standard_normal((d, 2048))
    seen = [
        np.concatenate([np.maximum(x @ wide / 3, 0).astype(np.float32), (x @ wide)[:, :20]], axis=1)
        for x in (images["f"].features, images["r"].features)
    ]
    groups = dict(zip("fr", groups_of([images["f"], images["r"]], l), strict=True))
    return Given(images["f"], images["r"], l, None, {"inception": Seen(*seen)}, groups)


@pytest.mark.slow
@pytest.mark.parametrize("shift", [0.0, 0.3])
def test_standard_errors_are_those_of_repeated_draws(shift: float) -> None:
    """Images and captions of one scene are one draw, on the generated side as on the real one.

    40 draws tell a standard deviation to 11 %; PRDC's errors, from halves, scatter by 30 %.
    """
    values: dict[str, list[float]] = {}
    errors: dict[str, list[float]] = {}
    for seed in range(40):
        given = given_sides(np.random.default_rng(seed), 150, shift)
        for name in CLIP:
            for key, number in measure(name, given).items():
                value = number.to_value(given.groups)
                values.setdefault(key, []).append(value.value)
                # Of a share near 1 there is none.
                near = 0 <= min(value.value, 1 - value.value) < 0.1
                assert value.standard_error is not None or near, key
                if value.standard_error is not None:
                    errors.setdefault(key, []).append(value.standard_error)
    assert {"clipscore", "fjd", "cmmd", "clip_kid", "density", "vendi"} <= errors.keys()
    for key, drawn in values.items():
        if len(errors.get(key, ())) < len(drawn):
            continue  # what is withheld now and then is not known by the others
        ratio = np.mean(errors[key]) / np.std(drawn, ddof=1)
        assert 0.55 < ratio < 1.5, (key, ratio)


def test_of_inception_too() -> None:
    given = given_sides(np.random.default_rng(0), 200, 0.3)
    for name in ("kid", "is"):
        value = measure(name, given)[name].to_value(given.groups)
        assert value.standard_error is not None and 0 < value.standard_error < abs(value.value)
    few = given_sides(np.random.default_rng(0), 60, 0.3)
    fid, score = (measure(name, few)[name].to_value(few.groups) for name in ("fid", "is"))
    assert fid.standard_error is not None and 0 < fid.standard_error < abs(fid.value)
    assert score.standard_error is None, "six images a split"


@pytest.mark.parametrize("scale", [1.0, 6.0])  # 1.5 and 20 of 60 classes
def test_the_inception_score_s_error_is_that_of_repeated_draws(scale: float) -> None:
    rng, n = np.random.default_rng(9), 600
    values, errors = [], []
    for _ in range(80):
        logits = scale * rng.standard_normal((n, 60))
        values.append(inception_score(logits).mean)
        errors.append(np.sum((inception_score_influence(logits) / n) ** 2))
    # 80 draws tell a deviation to 8 %. Where classes are many it is too large by up to a fifth.
    assert 0.85 < np.sqrt(np.mean(errors)) / np.std(values, ddof=1) < 1.4


def test_images_without_captions_of_their_own() -> None:
    """The last image has no caption, the one before it one: neither is judged beside others."""
    given = given_sides(np.random.default_rng(0), 30, 0.0)
    l = replace(given.l, kept=given.l.kept[:-3], features=given.l.features[:-3])
    found = measure("ref_clipscore", replace(given, l=l))["ref_clipscore"]
    assert found.shares["f"].shape == (30,) and np.isnan(found.shares["f"][-2:]).all()
    scores = found.value + found.shares["f"][:28] * 28
    error = scores.std(ddof=1) / np.sqrt(28)
    # The other two have no part in it.
    assert found.standard_error(given.groups) == pytest.approx(error, rel=0.01)


def test_differences_of_the_same_captions_cancel() -> None:
    """A generator, and the same with a little noise: what they share is not in the error."""
    given = given_sides(np.random.default_rng(0), 150, 0.3)
    rng = np.random.default_rng(1)
    moved = given.f.features + 0.02 * rng.standard_normal(given.f.features.shape)
    moved = moved.astype(np.float32)
    other = Side(Moments.from_features(moved), "g", features=moved, names=given.f.names)
    second = Given(other, given.r, given.l, groups=given.groups)
    groups = dict(
        zip(("f1", "f2", "r"), groups_of([given.f, other, given.r], given.l), strict=True)
    )
    for name in CLIP:
        for key, one in measure(name, given).items():
            two = measure(name, second)[key]
            found, back = gap(one, two, groups), gap(two, one, {**groups, "f1": groups["f2"]})
            alone = one.standard_error(given.groups)
            assert found.value == one.value - two.value
            assert back.value == -found.value
            if name in ("prdc", "recall_at_k") and None in (alone, found.standard_error):
                continue  # too few images count, or change
            assert found.standard_error is not None and alone is not None
            if name != "prdc":  # counts, of which only some change
                assert found.standard_error < 0.6 * alone, key
            assert back.standard_error == pytest.approx(found.standard_error, rel=1e-9, abs=1e-12)
    # Without pairs, and with the real side's sampling in common, they are two samples.
    apart = gap(measure("vendi", given)["vendi"], measure("vendi", second)["vendi"], {})
    se = measure("vendi", given)["vendi"].standard_error({})
    assert apart.standard_error == pytest.approx(np.sqrt(2) * se, rel=0.05)


def test_equal_generators_of_other_numbers_are_not_told_apart() -> None:
    """A third of the images: distances are higher for that alone, which is taken off or said."""
    given = given_sides(np.random.default_rng(0), 600, 0.0)
    few = given.f.features[:200]
    less = Side(Moments.from_features(few), "less", features=few, names=given.f.names[:200])
    own = dict(zip("fr", groups_of([less, given.r], given.l), strict=True))
    second = replace(given, f=less, groups=own)
    groups = dict(zip(("f1", "f2", "r"), groups_of([less, given.f, given.r], given.l), strict=True))
    for name in ("clipscore", "cmmd", "clip_kid", "vendi", "prdc", "recall_at_k"):
        for key, one in measure(name, second).items():
            found = gap(one, measure(name, given)[key], groups)
            if name in ("vendi", "prdc", "recall_at_k"):
                assert found.p_value is None and found.debiased is None, key
            else:
                assert found.p_value is not None and found.p_value > 0.01, key
    # FJD's excess is known where every image is a draw of its own, with one caption.
    one, two = (measure("fjd", each)["fjd"] for each in (second, given))
    assert gap(one, two, groups).p_value is None
    one, two = (
        measure("fjd", replace(
            each, l=first_captions(each.l), groups={**each.groups, "r": -1 - each.groups["r"]}
        ))["fjd"]
        for each in (second, given)
    )  # fmt: skip
    found = gap(one, two, {**groups, "r": -1 - groups["r"]})
    assert found.standard_error is not None and found.debiased is not None
    assert found.value > 5 * found.standard_error, "the excess is in the score"
    assert found.p_value is not None and found.p_value > 0.01


def first_captions(l: Side) -> Side:
    """Of each image the first of its two captions."""
    assert l.texts is not None
    features = l.features[::2]
    texts = dict(zip(l.texts.images[::2], l.texts.texts[::2], strict=True))
    return Side(Moments.from_features(features), "l", features=features, texts=read_captions(texts),
                kept=tuple(range(len(features))))  # fmt: skip


@pytest.mark.slow
def test_double_counting_and_chance_are_in_the_errors(monkeypatch: pytest.MonkeyPatch) -> None:
    """What each number is made of, through `measure`, where the two sets are nearly equal."""
    given = given_sides(np.random.default_rng(0), 400, 0.0, d=6)
    monkeypatch.setattr("cmdmetric.scoring.family.kernels._PART", 80)
    monkeypatch.setattr("cmdmetric.metrics.kernels.kid.SUBSET_SIZE", 100)
    number = measure("kid", given)["kid"]
    seen = given.seen["inception"]
    pools = vectors(INCEPTION, seen.f), vectors(INCEPTION, seen.r)
    whole, subsets = kid_influence(*pools, parts=5), kid_of_subsets(*pools)
    assert number.noise == pytest.approx(whole.second_order / 25)
    assert number.counted == 10
    assert number.chance == pytest.approx(subsets.std**2 / 100) and number.chance > 0
    se = number.standard_error(given.groups)
    assert se < replace(number, noise=0.0).standard_error(given.groups)
    assert se > replace(number, chance=0.0).standard_error(given.groups)
    against = replace(number, shares={side: -share for side, share in number.shares.items()})
    expected = Measured(
        0.0,
        {"f1": number.shares["f"], "f2": number.shares["f"], "r": 2 * number.shares["r"]},
        chance=2 * number.chance,
    )
    assert gap(number, against, {}).standard_error == pytest.approx(expected.standard_error({}))
    for name in ("fid", "fjd", "cmmd"):
        number = measure(name, given)[name]
        assert number.noise > 0, name
        once = number.standard_error(given.groups)
        assert once < replace(number, noise=0.0).standard_error(given.groups), name
    # An image with its two captions is one draw, of which there are 400 and not 800.
    owner = np.repeat(np.arange(400), 2)
    pairs = (
        given.f.features[owner],
        given.l.features,
        given.r.features[owner],
        given.l.features,
    )
    draws = fjd_influence(*pairs, draws=(400, 400)).second_order
    # Captions are common to both sides: of their noise nothing is second-order noise.
    scale = np.linalg.norm(pairs[2], axis=1).mean() / np.linalg.norm(pairs[3], axis=1).mean()
    ours, theirs = (
        np.concatenate([images, scale * captions], axis=1).reshape(400, 2, -1).sum(axis=1)
        for images, captions in (pairs[:2], pairs[2:])
    )
    ours, theirs = ours - ours.mean(axis=0), theirs - theirs.mean(axis=0)
    common = np.vdot(ours, theirs) / np.linalg.norm(ours) / np.linalg.norm(theirs)
    left = draws * (1 - common**2) ** 2
    assert measure("fjd", given)["fjd"].noise == pytest.approx(left, rel=1e-3)  # of float32
    assert draws > 1.5 * fjd_influence(*pairs).second_order


@pytest.mark.parametrize("named", ["passes", "rows"])
def test_images_of_one_caption_are_not_each_others_rivals(named: str) -> None:
    """Whether its file names the caption once, or anew for each of its images."""
    once = given_sides(np.random.default_rng(6), 120, 0.0)
    x, y = once.f.features, once.l.features
    names = tuple(f"{i}_s-1_{k}.png" for k in (0, 1) for i in range(120))
    f = replace(
        once.f, features=np.tile(x, (2, 1)), names=names,
        moments=Moments.from_features(np.tile(x, (2, 1))),
    )  # fmt: skip
    l = once.l
    if named == "rows":
        texts = read_captions({
            name: [f"one {name.split('_')[0]}.png here", f"Two  {name.split('_')[0]}.PNG here"]
            for name in names
        })  # fmt: skip
        l = replace(
            l, features=np.tile(y, (2, 1)), texts=texts, kept=tuple(range(480)),
            moments=Moments.from_features(np.tile(y, (2, 1))),
        )  # fmt: skip
    groups = dict(zip("fr", groups_of([f, once.r], l), strict=True))
    twice = Given(f, once.r, l, groups=groups)
    for name in ("recall_at_k", "r_precision"):
        before, after = measure(name, once), measure(name, twice)
        for key, number in before.items():
            assert 0.1 < number.value < 0.95, key
            if key in ("t2i_r5", "t2i_r10"):  # twice as many images are nearer than a caption's own
                assert after[key].value < number.value
                continue
            drawn = key == "r_precision_drawn"  # other captions are drawn for the second pass
            expected = pytest.approx(number.value, abs=0.1 if drawn else 1e-12)
            assert after[key].value == expected, key
            # The second pass is the first again: it tells nothing new.
            expected = number.standard_error(once.groups)
            assert after[key].standard_error(groups) == pytest.approx(
                expected, rel=0.3 if drawn else 1e-9
            ), key


@pytest.mark.parametrize(("others", "told"), [(0, False), (9, False), (10, True), (150, True)])
def test_a_share_near_one_tells_no_error(others: int, told: bool) -> None:
    scores = np.ones(300)
    scores[:others] = 0
    measured = Measured(scores.mean(), {"f": (scores - scores.mean()) / 300}, is_mean=True)
    error = measured.standard_error({})
    assert (error is not None) == told
    if error is not None:
        assert error == pytest.approx(scores.std(ddof=1) / np.sqrt(300))
    # What images do that change places is known all the same.
    found = gap(measured, measured, {})
    assert found.standard_error is None or found.standard_error > 0
    assert found.p_value == 1 and found.test == "permutation"


def test_few_draws_of_different_scores_tell_an_error() -> None:
    scores = np.random.default_rng(0).standard_normal(8)
    measured = Measured(scores.mean(), {"f": (scores - scores.mean()) / 8})
    assert measured.standard_error({}) is not None
    # A difference of generators with the same images has no spread, which is no error of zero.
    same = gap(measured, measured, {"f1": np.arange(8), "f2": np.arange(8)})
    assert same.standard_error is None and same.low is None


@pytest.mark.parametrize("influence", [cmmd_influence, clip_kid_influence])
def test_pairs_of_one_draw_are_known_as_bias(influence: Callable[..., MMDInfluence]) -> None:
    """Against the estimate from pairs of different draws, one after the other."""
    rng = np.random.default_rng(3)
    f, r = rng.standard_normal((12, 4)) + 1, rng.standard_normal((9, 4)) + 1
    of_f, of_r = rng.integers(0, 6, 12), rng.integers(3, 9, 9)

    def kernel(x: Array, y: Array) -> float:
        """That of two vectors, from `influence` of sets that hold nothing else."""
        cosine = x @ y / np.linalg.norm(x) / np.linalg.norm(y)
        if influence is clip_kid_influence:
            return (cosine + 1) ** 3
        return 1000 * np.exp(-(2 - 2 * cosine) / 200)

    def mean(x: Array, y: Array, of_x: Array, of_y: Array, apart: bool) -> float:
        values = [
            kernel(x[i], y[j])
            for i in range(len(x))
            for j in range(len(y))
            if (x is not y or i != j) and (not apart or of_x[i] != of_y[j])
        ]
        return float(np.mean(values))

    def estimate(apart: bool) -> float:
        within = mean(f, f, of_f, of_f, apart) + mean(r, r, of_r, of_r, apart)
        return within - 2 * mean(f, r, of_f, of_r, apart)

    found = influence(f, r, (of_f, of_r))
    assert found.mmd.unbiased == pytest.approx(estimate(False), abs=1e-9)
    assert found.bias == pytest.approx(estimate(False) - estimate(True), abs=1e-9)
    single = influence(f, r, (np.arange(12), 12 + np.arange(9)))
    assert single.bias == pytest.approx(0, abs=1e-12)
    assert influence(f, r).bias == 0
    assert influence(f, r, (np.zeros(12, int), of_r)).bias is None, "every pair is of one draw"


def test_passes_over_few_captions_are_not_told_apart_from_one_pass() -> None:
    """60 captions, four images each, of the generator that made one image each."""
    rng = np.random.default_rng(11)
    scene, d = rng.standard_normal((200, 24)), 24
    names = tuple(f"{i}.png" for i in range(60))
    four = tuple(f"{i}_s-1_{k}.png" for k in range(4) for i in range(60))
    texts = read_captions({name: f"scene {name} here" for name in names})

    def side(of: Array, own: tuple[str, ...] | None = None, **more: Any) -> Side:
        x = (of + 0.4 * rng.standard_normal(of.shape) + 2 * (np.arange(d) == 0)).astype(np.float32)
        return Side(Moments.from_features(x), "x", features=x, names=own, **more)

    l = side(scene[:60], texts=texts, kept=tuple(range(60)))
    one, many, r = (
        side(scene[:60], names),
        side(np.tile(scene[:60], (4, 1)), four),
        side(scene[60:]),
    )
    given = []
    for f in (many, one):
        groups = dict(zip("fr", groups_of([f, r], l), strict=True))
        given.append(Given(f, r, l, groups=groups))
    groups = dict(zip(("f1", "f2", "r"), groups_of([many, one, r], l), strict=True))
    for name in ("cmmd", "clip_kid"):
        for key, number in measure(name, given[0]).items():
            found = gap(number, measure(name, given[1])[key], groups)
            assert number.bias is not None and number.bias > 0, "pairs of one caption are alike"
            assert found.p_value is not None and found.p_value > 0.01, key
    fewer = measure("vendi", given[0])["vendi"], measure("vendi", given[1])["vendi"]
    assert fewer[0].sizes == (240, 60) and fewer[1].sizes == (60, 60)


def test_what_is_not_known_is_not_made_up() -> None:
    assert Measured(1.0).standard_error({}) is None
    assert gap(Measured(3.0), Measured(1.0), {}).p_value is None
    known = Measured(2.0, {"f": np.array([0.1, -0.1])})
    assert gap(known, Measured(1.0), {}).standard_error is None, "nothing is known of the second"
    assert known.standard_error({"f": np.array([7, 7])}) is None, "one draw has no spread"
    aside = Measured(2.0, {"f": np.array([0.1, -0.1, np.nan])})
    assert aside.standard_error({"f": np.array([7, 7, 8])}) is None, "the other has no part in it"
    assert aside.standard_error({"f": np.array([7, 9, 9])}) is not None
    both = replace(known, shares={**known.shares, "r": np.array([0.2, -0.2])})
    assert both.standard_error({"f": np.array([7, 7])}) is None, "nor has it beside others"
    assert both.standard_error({"f": np.array([7, 8])}) is not None
    halves, thirds = (Measured(1.0, sections=np.zeros(shape)) for shape in ((8, 2), (4, 3)))
    assert gap(halves, thirds, {}).standard_error is None
    given = given_sides(np.random.default_rng(0), 30, 0.0)
    assert measure("prdc", given)["recall"].standard_error({}) is None, "halves of 15 are too few"
    one = np.zeros(60, dtype=int)  # all images are of one draw: no half has enough of them
    given = given_sides(np.random.default_rng(0), 60, 0.0)
    given = Given(given.f, given.r, given.l, groups={"f": one, "r": one})
    assert measure("prdc", given)["density"].standard_error(given.groups) is None
    assert set(METRICS) >= set(CLIP)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(-(10**6), 10**6), min_size=2, max_size=200), st.integers(2, 9))
def test_sections_are_of_draws(labels: list[int], parts: int) -> None:
    groups = np.array(labels)
    of = sections(Drawn(len(groups), groups), parts, 0)
    assert of.min() >= 0 and of.max() < parts
    for label in set(labels):
        assert len(set(of[groups == label])) == 1
    # The same draw is in the same section on another side, whatever else is there.
    again = sections(Drawn(2, groups[:2]), parts, 0)
    assert (again == of[:2]).all()


def test_rounding_is_no_difference() -> None:
    """The same images in another order."""
    assert gap_of(1e-12, 1e-14).p_value == 0
    found = gap_of(1e-12, 1e-14, scale=1.0)
    assert found.p_value == 1 and found.low is not None and found.low < 0 < found.high
    assert gap_of(1e-3, 1e-5, scale=1.0).p_value < 1e-9


def test_differences_of_sections_are_told_by_exchange_alone() -> None:
    # Of so few sections no interval holds: only images that change places tell a difference.
    rng = np.random.default_rng(0)
    images = np.arange(6)
    one, two = (
        Measured(float(mean), sections=mean + rng.random((8, 2)), of_images=np.full(6, mean))
        for mean in (1.0, 0.0)
    )
    found = gap(one, two, {"f1": images, "f2": images})
    assert found.standard_error is not None and found.low is None and found.p_student is None
    assert found.test == "permutation" and found.p_value == 2 / 2**6, "all exchanges but two"
    bare = gap(replace(one, of_images=None), replace(two, of_images=None), {})
    assert bare.standard_error is not None and bare.low is None and bare.p_value is None


def test_sections_are_even() -> None:
    counts = np.bincount(sections(Drawn(8000), 8, 3), minlength=8)
    assert abs(counts - 1000).max() < 5 * np.sqrt(1000)
    assert (sections(Drawn(8000), 8, 3) != sections(Drawn(8000), 8, 4)).mean() > 0.8


@pytest.mark.parametrize("value", [0.0, -1e-18])
def test_a_set_beside_itself_has_an_interval_round_zero(value: float) -> None:
    """Its distance is rounding, without second-order noise: all pairs of images cancel."""
    low, high = Variance(measured=1e-30, freedom=100).interval(value, square=True)
    assert low == 0 <= high < 1e-14


def test_the_bound_of_a_distance_is_near_it_where_second_order_noise_is_small() -> None:
    """Of a distance above zero no bound is that of zero, of one below zero the upper one is."""
    found = Variance(measured=0.5, noise=1e-4, freedom=400)
    low, high = found.interval(5.4, square=True)
    assert 5.4 - 4 * 0.7 < low < 5.4 < high < 5.4 + 4 * 0.7
    near = Variance(measured=2e-4, noise=1e-4, freedom=400)
    of_zero = near.interval(0.0, square=True)
    assert of_zero[0] == 0 < of_zero[1] < 0.1
    assert near.interval(-0.05, square=True) == of_zero
