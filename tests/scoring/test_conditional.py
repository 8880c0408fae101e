"""CFID of sides: whose captions both have, several captions or images of one, its error bar."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from cmdmetric import cmd
from cmdmetric.encoders.clip import Encoder
from cmdmetric.inputs import Captions
from cmdmetric.metrics import Moments
from cmdmetric.metrics.joint.cfid import cfid
from cmdmetric.scoring import verify
from cmdmetric.scoring.family.catalogue import measure as measure_metric, metrics_named
from cmdmetric.scoring.family.conditional import CLIP_CFID
from cmdmetric.scoring.family.metric import Given, Unavailable
from cmdmetric.scoring.grouping import groups_of
from cmdmetric.scoring.side import Side
from cmdmetric.uncertainty import Measured, gap

Array = np.ndarray
N, D, E = 60, 5, 3


def images(rows: Array, names: list[str]) -> Side:
    rows = rows.astype(np.float32)
    return Side(Moments.from_features(rows), "images", features=rows, names=tuple(names))


def captions(rows: Array, texts: list[str], names: list[str]) -> Side:
    rows = rows.astype(np.float32)
    return Side(
        Moments.from_features(rows), "captions", features=rows,
        texts=Captions(tuple(texts), tuple(names)), kept=tuple(range(len(rows))),
    )  # fmt: skip


def drawn(
    rng: np.random.Generator, n: int = N, each: int = 1, moved: float = 0.0, follows: float = 1.0
) -> Given:
    """n captions, `each` generated images and one real image of them, which follow them."""
    x = rng.standard_normal((n, E))
    of = np.repeat(np.arange(n), each)
    f = follows * x[of] @ np.ones((E, D)) + rng.standard_normal((len(of), D)) + moved
    r = x @ np.ones((E, D)) + rng.standard_normal((n, D))
    names = [f"{i}.png" for i in range(n)]
    of_f = [f"{i}-{k}.png" if k else names[i] for i in range(n) for k in range(each)]
    l = captions(x[of], [f"text {i}" for i in of], of_f)
    given = Given(images(f, of_f), images(r, names), l)
    return replace(given, groups=dict(zip("fr", groups_of([given.f, given.r], l), strict=True)))


def measure(given: Given) -> Measured:
    return measure_metric(CLIP_CFID, given)["clip_cfid"]


def rows(side: Side) -> Array:
    assert side.features is not None
    return np.asarray(side.features)


def test_only_captions_of_both_sides_count() -> None:
    given = drawn(np.random.default_rng(0))
    f, r, x = rows(given.f), rows(given.r), rows(given.l)
    whole = measure(given)
    assert whole.value == pytest.approx(cfid(f, x, r, x), rel=1e-12)
    fewer = replace(given, f=images(f[:40], list(given.f.names or ())[:40]), groups={})
    found = measure(fewer)
    assert found.value == pytest.approx(cfid(f[:40], x[:40], r[:40], x[:40]), rel=1e-12)
    assert np.isfinite(found.shares["r"][:40]).all() and np.isnan(found.shares["r"][40:]).all()
    # Captions of the real images in a file of their own, in another order, written otherwise.
    own = captions(x[::-1], [f"Text {i}." for i in range(N)][::-1], list(given.r.names or ())[::-1])
    assert measure(replace(given, real_l=own)).value == pytest.approx(whole.value, rel=1e-12)
    others = captions(x, [f"other {i}" for i in range(N)], list(given.r.names or ()))
    with pytest.raises(Unavailable, match="images of the same captions: none is shared"):
        measure(replace(given, real_l=others))


def test_a_perfect_copy_is_at_zero() -> None:
    given = drawn(np.random.default_rng(1))
    same = replace(given, f=given.r)
    assert measure(same).value < 1e-10 * np.trace(given.r.moments.cov)


def test_several_captions_of_an_image_are_several_pairs() -> None:
    given = drawn(np.random.default_rng(2))
    x = np.repeat(rows(given.l), 2, axis=0) + np.tile([[0.0], [0.5]], (N, 1))
    names = [name for name in given.r.names or () for _ in range(2)]
    l = captions(x, [f"text {i}" for i in range(2 * N)], names)
    f, r = (np.repeat(rows(side), 2, axis=0) for side in (given.f, given.r))
    found = measure(replace(given, l=l))
    assert found.value == pytest.approx(cfid(f, l.features, r, l.features), rel=1e-12)
    assert found.shares["f"].shape == (N,)


def test_too_few_images_or_captions() -> None:
    few = drawn(np.random.default_rng(3), n=7)
    with pytest.raises(Unavailable, match=r"7 pairs of generated .* at least 8"):
        measure(few)
    # Two captions of each of seven images are 14 pairs, and no more than seven images.
    x = np.random.default_rng(4).standard_normal((14, E))
    names = [name for name in few.r.names or () for _ in range(2)]
    with pytest.raises(Unavailable, match=r"7 generated images are too few .* at least 8"):
        measure(replace(few, l=captions(x, [f"text {i}" for i in range(14)], names)))
    # Seven captions with six images on both sides have a value, and nothing is known of others.
    many = drawn(np.random.default_rng(5), n=7, each=6)
    again = images(rows(many.f)[::-1], list(many.f.names or ()))
    both = replace(many, r=again, groups={side: many.groups["f"] for side in "fr"})
    found = measure(both)
    assert found.value > 0 and not found.has_error
    assert found.to_value(both.groups).standard_error is None


@pytest.mark.parametrize(("each", "moved"), [(1, 0.0), (1, 0.5), (3, 0.0)])
def test_the_standard_error_is_that_of_repeated_draws(each: int, moved: float) -> None:
    found = []
    for seed in range(120):
        given = drawn(np.random.default_rng((seed, each)), each=each, moved=moved)
        value = measure(given).to_value(given.groups)
        found.append((value.value, value.standard_error, value.low, value.high))
    values, errors, low, high = np.array(found, float).T
    # 120 sets tell a deviation to 6.5 %: three times that, and 5 % for the error's own scatter.
    assert errors.mean() == pytest.approx(values.std(ddof=1), rel=0.25)
    # 95 % of 120, less three standard deviations of a binomial.
    assert np.mean((low <= values.mean()) & (values.mean() <= high)) > 0.89


@pytest.mark.parametrize(("moved", "follows"), [(0.0, 1.0), (0.5, 0.6)])
def test_without_its_excess_it_is_what_infinitely_many_captions_score(
    moved: float, follows: float
) -> None:
    """And the difference from a perfect generator of half the captions has a true interval."""
    truth, values, covered = D * moved**2 + D * E * (1 - follows) ** 2, [], []
    for seed in range(150):
        rng = np.random.default_rng((seed, 7))
        given = drawn(rng, 160, moved=moved, follows=follows)
        perfect = rows(given.l)[:80] @ np.ones((E, D)) + rng.standard_normal((80, D))
        half = images(perfect, list(given.f.names or ())[:80])
        of_1, of_2, of_r = groups_of([given.f, half, given.r], given.l)
        one = measure(given)
        two = measure(replace(given, f=half, groups={"f": of_2, "r": of_r}))
        if one.bias is None or two.bias is None:
            continue
        values.append((one.value, two.value, one.value - one.bias, two.value - two.bias))
        found = gap(one, two, {"f1": of_1, "f2": of_2, "r": of_r})
        assert found.low is not None and found.high is not None
        covered.append(found.low <= truth <= found.high)
    assert len(values) > 120  # of few dimensions some sets look heavy
    off = np.array(values) - [truth, 0.0, truth, 0.0]
    error = off.std(axis=0, ddof=1) / np.sqrt(len(off))
    raw, debiased = np.split(off.mean(axis=0) / error, 2)
    assert (raw > 4).all() and (np.abs(debiased) < 3).all()
    assert np.mean(covered) > 0.89  # 95 %, less three standard deviations of a binomial


def test_a_copy_has_no_excess() -> None:
    given = drawn(np.random.default_rng(1), 150)
    own, of_copy = measure(given).bias, measure(replace(given, f=given.r)).bias
    assert own is not None and of_copy is not None
    assert own > 0.2 and abs(of_copy) < 0.05 * own


def test_the_excess_is_withheld_where_it_is_not_known() -> None:
    rng = np.random.default_rng(8)
    given = drawn(rng, 150)
    known = measure(given).bias
    assert known is not None
    assert measure(drawn(rng, 50)).bias is None  # too few degrees of freedom are left
    assert measure(drawn(rng, 150, each=3)).bias is None  # images of a caption are one draw
    far = rows(given.f) * np.where(rng.random(150) < 0.1, 20, 1)[:, None]
    assert measure(replace(given, f=images(far, list(given.f.names or ())))).bias is None
    # One caption of 150 that has two images: the excess is hardly another one.
    names = [*(given.f.names or ()), "0-1.png"]
    f, x = (np.vstack([rows(side), rows(side)[:1]]) for side in (given.f, given.l))
    l = captions(x, [*(f"text {i}" for i in range(150)), "text 0"], names)
    more = replace(given, f=images(f, names), l=l)
    more = replace(more, groups=dict(zip("fr", groups_of([more.f, more.r], l), strict=True)))
    assert measure(more).bias == pytest.approx(known, rel=0.05)


def test_it_has_to_be_named() -> None:
    assert CLIP_CFID not in metrics_named("all")[0]
    assert metrics_named("all,clip_cfid")[0][-1] is CLIP_CFID


def test_moments_do_not_know_pairs() -> None:
    given = drawn(np.random.default_rng(6))
    with pytest.raises(Unavailable, match=r"features of the real images, of which .* only moments"):
        measure(replace(given, r=Side(given.r.moments, "real.npz", names=given.r.names)))


@pytest.mark.usefixtures("remembered_example")
def test_a_score_has_it_and_its_pack_tells_it_again(
    example: Path, encoder: Encoder, tmp_path: Path
) -> None:
    """Five captions of each of 400 images."""
    sides, pack = (example / "generated", example / "captions.json"), tmp_path / "pack.npz"
    score = cmd(*sides, metrics="clip_cfid", encoder=encoder, pack=pack)
    value = score.metrics["clip_cfid"]
    assert value.better == "lower" and not value.unbiased and value.network is None
    assert value.low is not None and value.high is not None
    assert 0 < value.low < value.value < value.high
    found = verify(score, pack)
    assert found.holds and "clip_cfid standard error" in {row.name for row in found.rows}
