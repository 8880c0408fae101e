"""The data of a report against independent computations."""

from __future__ import annotations

import dataclasses
import subprocess
import tarfile
from pathlib import Path

import numpy as np
import pytest

from cmdmetric import Encoder
from cmdmetric.cache import FeatureCache
from cmdmetric.features import encode_images
from cmdmetric.metrics.cmd import cross_model_distance
from cmdmetric.metrics.moments import Moments
from cmdmetric.report.data import Published
from cmdmetric.report.gather import comparable, gather, spectrum
from cmdmetric.report.hashes import FOLDER_COMMAND, content_hash
from cmdmetric.report.projection import aligned_view, joint_view, scale
from cmdmetric.report.samples import GRID, POINTS
from cmdmetric.scoring.opening import open_image_side
from cmdmetric.scoring.side import Side
from cmdmetric.scoring.statistics import score_of
from cmdmetric.uncertainty.influence import Sample
from cmdmetric.uncertainty.sample_size import growth
from tests.support.reports import noise, sides


def unit(x: np.ndarray) -> np.ndarray:
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def test_views_are_principal_axes_at_unit_length() -> None:
    three = sides(200)
    moments = {key: side.moments for key, side in zip("frl", three, strict=True)}
    # The scale is what the features were multiplied with.
    assert [scale(m) for m in moments.values()] == pytest.approx([10, 10, 1], rel=1e-12)
    pooled = np.concatenate([unit(side.features) for side in three])
    view = joint_view(moments)
    # Independently: the singular vectors of the centred, pooled features. The moments have
    # n - 1 in the denominator, so the shares differ by up to 1 / n.
    _, s, right = np.linalg.svd(pooled - pooled.mean(axis=0), full_matrices=False)
    assert np.abs(np.sum(view.axes * right[:2], axis=1)) == pytest.approx([1, 1], abs=1e-4)
    assert view.shares == pytest.approx((s**2 / (s**2).sum())[:2], abs=0.01)
    got = view.points("f", three[0].features)
    want = (unit(three[0].features) - pooled.mean(axis=0)) @ view.axes.T
    assert got == pytest.approx(want, abs=1e-12)
    mean, cov = view.gaussian("f", three[0].moments)
    assert mean == pytest.approx(got.mean(axis=0), abs=1e-12)
    assert cov == pytest.approx(np.cov(got, rowvar=False), abs=1e-12)


def test_aligned_view_keeps_the_difference_of_images_alone() -> None:
    three = sides(200)
    view = aligned_view({key: side.moments for key, side in zip("frl", three, strict=True)})
    means = {k: view.gaussian(k, s.moments)[0] for k, s in zip("frl", three, strict=True)}
    assert np.abs(means["r"]).max() < 1e-12 and np.abs(means["l"]).max() < 1e-12
    apart = unit(three[0].features).mean(axis=0) - unit(three[1].features).mean(axis=0)
    assert means["f"] == pytest.approx(view.axes @ apart, abs=1e-12)


def test_growth_ends_at_the_score_and_falls() -> None:
    f, r, l = sides(640, d=32)
    groups = np.arange(640)
    steps = growth(*(Sample(side.features, groups) for side in (f, r, l)))
    assert [step.n["f"] for step in steps] == [20, 40, 80, 160, 320, 640]
    assert steps[-1].distances == (cross_model_distance(f.moments, r.moments, l.moments),)
    means = [step.mean("dis_fr") for step in steps]
    assert means[0] > 1.5 * means[-1]
    again = growth(*(Sample(side.features, groups) for side in (f, r, l)))
    assert again == steps


def test_growth_keeps_draws_together_and_moments_whole() -> None:
    rng = np.random.default_rng(1)
    # Five captions an image: any share of the draws has five times as many captions.
    f, r = rng.standard_normal((2, 64, 4))
    captions = rng.standard_normal((320, 4))
    groups = np.arange(64)
    steps = growth(
        Sample(f, groups),
        Moments.from_features(r),
        Sample(captions, np.repeat(groups, 5)),
        orders=2,
    )
    for step in steps:
        assert step.n["r"] is None and step.n["l"] == 5 * step.n["f"]
    assert len(steps) == 3  # of 16, 32 and 64 images


def test_spectrum_shows_a_lost_direction() -> None:
    rng = np.random.default_rng(2)
    r = unit(rng.standard_normal((4000, 6)) * [4, 3, 2, 1, 1, 1])
    f = r.copy()
    f[:, 1] = f[:, 1].mean()  # the second axis has lost its variance
    found = spectrum(*(Moments.from_features(x) for x in (10 * f, 10 * r, r)))
    assert found.r == pytest.approx(np.linalg.eigvalsh(np.cov(r, rowvar=False))[::-1], rel=1e-9)
    assert found.l == pytest.approx(found.r, rel=1e-9)
    assert found.ratio.argmin() == 1 and found.ratio[1] < 0.01
    assert found.effective(np.array([1.0, 1.0, 1.0, 0.0])) == pytest.approx(3)


def test_spectrum_of_fewer_samples_than_dimensions() -> None:
    rng = np.random.default_rng(3)
    f, r, l = (Moments.from_features(rng.standard_normal((12, 30))) for _ in range(3))
    found = spectrum(f, r, l)
    assert len(found.ratio) == 11 and np.isfinite(found.ratio).all()
    assert (found.f >= 0).all() and (found.r >= 0).all()


def test_similarity_and_examples() -> None:
    f, r, l = sides(300)
    data = gather(score_of(f, r, l), f, r, l)
    assert data.similarity is not None and data.similarity.r is not None
    own = np.sum(unit(f.features) * unit(l.features), axis=1)
    assert data.similarity.f == pytest.approx(own, abs=1e-12)
    assert data.similarity.r == pytest.approx(
        np.sum(unit(r.features) * unit(l.features), axis=1), abs=1e-12
    )
    other = np.sum(unit(f.features) * np.roll(unit(l.features), 1, axis=0), axis=1)
    assert data.similarity.chance == pytest.approx(other, abs=1e-12)
    examples = {e.name: e for e in data.examples}
    assert GRID < len(examples) == len(data.examples) <= 4 * GRID
    for i in [*np.argsort(own)[:GRID], *np.argsort(own)[-GRID:]]:
        assert examples[f.names[i]].captions == (f"caption {i}",)
        assert examples[f.names[i]].similarity == pytest.approx(own[i], abs=1e-12)
    assert all(e.image and e.real for e in data.examples)
    effects = [e.without for e in data.examples]
    assert effects == sorted(effects) and effects[0] < 0 < effects[-1]
    # The influence is the derivative: leaving the most harmful image out does lower CMD by about
    # that much (second-order terms at n = 300 are below a tenth of it).
    first = data.examples[0]
    kept = np.delete(f.features, f.names.index(first.name), axis=0)
    after = cross_model_distance(Moments.from_features(kept), r.moments, l.moments).cmd
    assert after - data.score.cmd == pytest.approx(first.without, rel=0.1)


def test_clouds_show_partners() -> None:
    f, r, l = sides(900)
    clouds = gather(score_of(f, r, l), f, r, l).clouds
    assert clouds.paired
    by_side = {s: {p.group: p.label for p in clouds.points if p.side == s} for s in "frl"}
    assert [len(of) for of in by_side.values()] == [POINTS] * 3
    assert by_side["f"].keys() == by_side["r"].keys() == by_side["l"].keys()
    for group, name in by_side["f"].items():
        number = name.removeprefix("picture ").removesuffix(".png")
        assert by_side["r"][group] == name and by_side["l"][group] == f"caption {number}"
    assert all(p.image for p in clouds.points if p.side != "l")


def test_moments_alone() -> None:
    bare = [Side(side.moments, side.source) for side in sides(100)]
    data = gather(score_of(*bare), *bare)
    assert data.growth == () and data.examples == () and data.similarity is None
    assert data.clouds.points == () and len(data.clouds.views) == 2
    assert data.missing.keys() == {"features", "growth", "examples", "similarity"}
    assert "generated images and real images and captions" in data.missing["features"]


def test_only_scores_of_one_setting_are_compared() -> None:
    f, r, l = sides(100)
    score = score_of(f, r, l)
    assert comparable(score) == ()
    same = dataclasses.replace(
        score, protocol="grgan", model="ViT-B-32/openai", real="coco2014-val",
        signature="CMD|proto:grgan|model:x|f:9|r:coco2014-val|l:9|dtype:fp32|v:1",
    )  # fmt: skip
    assert Published("GR-GAN", 1, 8.04, 0.8) in comparable(same)
    assert comparable(dataclasses.replace(same, protocol="clip")) == ()
    # A folder of that name is not the reference.
    assert comparable(dataclasses.replace(same, signature="CMD|f:9|r:9|l:9")) == ()


def test_a_folders_hash_is_what_the_command_says(tmp_path: Path, tiny_encoder: Encoder) -> None:
    for name in ("b.png", "a.png", "sub/ä b.png", "a10.png", "a9.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        noise(len(name), 8).save(tmp_path / name)
    opened = open_image_side(str(tmp_path))
    side = Side(Moments.from_features(np.eye(3)), str(tmp_path), names=opened.names)
    told = subprocess.run(
        ["bash", "-c", FOLDER_COMMAND], cwd=tmp_path, capture_output=True, text=True, check=True
    ).stdout.split()[0]
    assert content_hash(side) == told
    with FeatureCache(tmp_path / "cache") as cache:
        found = encode_images(opened, tiny_encoder, cache=cache)
    encoded = dataclasses.replace(side, names=found.names, digests=found.digests)
    assert content_hash(encoded) == told
    (tmp_path / "a.png").write_bytes(b"other")
    assert content_hash(side) != told
    assert content_hash(encoded) == told, "that is of what was encoded"
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        archive.add(tmp_path / "b.png", "b.png")
        archive.add(tmp_path / "a9.png", "a9.png")
    with FeatureCache(tmp_path / "cache") as cache:
        members = encode_images(open_image_side(f"{tmp_path}/*.tar"), tiny_encoder, cache=cache)
    assert members.digests == (None, None), "no files of their own"
