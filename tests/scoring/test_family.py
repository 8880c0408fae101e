"""Metrics of the family through cmd(): against their functions, and what is said where one lacks
its inputs."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cmdmetric import Encoder, InputError, cmd
from cmdmetric.encoders import inception as inception_module
from cmdmetric.encoders.preprocess import to_pixels
from cmdmetric.features.image_pass import pass_images
from cmdmetric.inputs.images import open_images
from cmdmetric.metrics.clipscore import clip_scores, ref_clipscore
from cmdmetric.metrics.joint.fjd import fjd
from cmdmetric.metrics.kernels.cmmd import cmmd
from cmdmetric.scenes.drawing import draw_scene
from cmdmetric.scoring.encoding import Encoding
from cmdmetric.scoring.family import computed as family_module
from cmdmetric.scoring.family.catalogue import METRICS, metrics_named
from cmdmetric.scoring.family.wanted import Wanted
from cmdmetric.scoring.networks import Networks
from tests.conftest import ROOT
from tests.support.commands import run

#: A Fréchet distance, KID subsets and ten Inception score splits can be made of so many.
N = 12


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """generated/, real/ and captions.json with two captions for each of N names."""
    root = tmp_path_factory.mktemp("scenes")
    captions = {}
    for i in range(N):
        scene = draw_scene(i)
        captions[f"{i:02}.png"] = list(scene.captions(2))
        for side, image in (("real", scene), ("generated", draw_scene(100 + i))):
            (root / side).mkdir(exist_ok=True)
            image.render(64).save(root / side / f"{i:02}.png")
    (root / "captions.json").write_text(json.dumps(captions))
    return root


def score(root: Path, metrics: str, **options: object):
    return cmd(
        root / "generated",
        root / "captions.json",
        root / "real",
        metrics=metrics,
        **{"model": "scenes-toy", **options},
    )


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_values_are_those_of_the_functions(scenes: Path, encoder: Encoder) -> None:
    found = score(scenes, "clipscore, ref_clipscore,fjd,cmmd", encoder=encoder)
    captions = json.loads((scenes / "captions.json").read_text())
    texts = encoder.encode_texts([text for pair in captions.values() for text in pair])
    f, r = (
        encoder.encode_pixels(
            np.stack(
                [
                    to_pixels(
                        Image.open(scenes / side / f"{i:02}.png"),
                        encoder.image_size,
                        encoder.protocol,
                    )
                    for i in range(N)
                ]
            )
        )
        for side in ("generated", "real")
    )
    owner = np.repeat(np.arange(N), 2)
    each = clip_scores(f[owner], texts)
    other = texts.reshape(N, 2, -1)[:, ::-1].reshape(2 * N, -1)
    expected = {
        "clipscore": each.mean(),
        "ref_clipscore": ref_clipscore(f[owner], texts, other),
        "fjd": fjd(f[owner], texts, r[owner], texts),
        "cmmd": cmmd(f, r).unbiased,
        "cmmd_biased": cmmd(f, r).biased,
    }
    for name, value in expected.items():
        # Features of other batches differ by float32's rounding.
        assert found.metrics[name].value == pytest.approx(value, rel=2e-5, abs=2e-6), name
    # A draw is an image with its captions: the error of a mean of N of them.
    error = each.reshape(N, 2).mean(axis=1).std(ddof=1) / np.sqrt(N)
    assert found.metrics["clipscore"].standard_error == pytest.approx(error, rel=1e-4)
    assert found.cmd == score(scenes, "", encoder=encoder).cmd


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_the_cache_tells_captions_of_equal_features_apart(scenes: Path, tmp_path: Path) -> None:
    """The protocol drops what these files differ in: which captions are one is not in features."""
    texts = [f"{word} star" for word in ("red", "blue", "green", "white", "black", "grey")]
    found = []
    for again in ("{}", "{} é"):  # of each caption, or of another word that is dropped
        named = {f"{i:02}.png": text for i, text in enumerate(texts)}
        named |= {f"{i + 6:02}.png": again.format(text) for i, text in enumerate(texts)}
        file = tmp_path / f"{len(again)}.json"
        file.write_text(json.dumps(named))
        found.append(
            [
                cmd(scenes / "generated", file, scenes / "real", model="scenes-toy", cache=cache,
                    metrics="recall_at_k").metrics["t2i_r1"].value
                for cache in (tmp_path / "cache", False)
            ]
        )  # fmt: skip
    assert all(cached == fresh for cached, fresh in found)
    assert found[0] != found[1], "ties with what reads otherwise are lost"


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_few_prompts_of_many_images(tmp_path: Path, encoder: Encoder) -> None:
    """Three prompts, 20 samples each, listed with a name and the prompt: scored, with a report."""
    lines = ["file_name,text"]
    (tmp_path / "f").mkdir()
    (tmp_path / "r").mkdir()
    for i in range(60):
        draw_scene(i).render(64).save(tmp_path / "f" / f"{i}.png")
        draw_scene(100 + i).render(64).save(tmp_path / "r" / f"r{i}.png")
        lines.append(f"{i}.png,prompt number {i % 3}")
    (tmp_path / "f.csv").write_text("\n".join(lines))
    found = cmd(
        tmp_path / "f", tmp_path / "f.csv", tmp_path / "r", encoder=encoder,
        metrics="clipscore,recall_at_k", report=tmp_path / "r.html",
    )  # fmt: skip
    assert (found.n, found.draws, found.paired) == (60, 3, 60)
    assert found.uncertainty is not None and found.uncertainty.debiasing == "none"
    assert found.metrics["i2t_r5"].value == 1, "three texts"
    assert "not known" in (tmp_path / "r.html").read_text()


def test_r_precision_needs_enough_pairs(scenes: Path, encoder: Encoder) -> None:
    with pytest.raises(InputError, match=r"^r_precision: R-precision draws 99 captions"):
        score(scenes, "r_precision", encoder=encoder)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.usefixtures("remembered_inception")
def test_inception_equals_torch_fidelity_and_decodes_once(
    scenes: Path, encoder: Encoder, inception_weights: Path, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    import torch_fidelity

    theirs = torch_fidelity.calculate_metrics(
        input1=str(scenes / "generated"),
        input2=str(scenes / "real"),
        feature_extractor_weights_path=str(inception_weights),
        cuda=False,
        isc=True,
        fid=True,
        kid=True,
        kid_subset_size=N,
        save_cpu_ram=True,
        cache=False,
        verbose=False,
    )
    looked_at: list[str] = []
    opened = Image.open

    def counted(file: object, *rest: object, **options: object) -> Image.Image:
        looked_at.append(str(file))
        return opened(file, *rest, **options)

    monkeypatch.setattr(Image, "open", counted)
    options = {"encoder": encoder, "inception_weights": inception_weights}
    found = score(scenes, "fid,kid,is", **options)
    assert len(looked_at) == 2 * N, "one decode for both networks"
    values = {name: value.value for name, value in found.metrics.items()}
    # As in test_inception: torch-fidelity's eigenvalues, float32 means and kernels.
    assert values["fid"] == pytest.approx(theirs["frechet_inception_distance"], rel=1e-5)
    assert values["is"] == pytest.approx(theirs["inception_score_mean"], rel=1e-5)
    assert values["kid"] == pytest.approx(theirs["kernel_inception_distance_mean"], rel=1e-4)
    other = {**options, "cache": tmp_path}
    score(scenes, "", encoder=encoder, cache=tmp_path)
    looked_at.clear()
    again = score(scenes, "fid", **other)  # CLIP's features come from the cache now
    assert len(looked_at) == 2 * N
    looked_at.clear()
    assert score(scenes, "fid", **other).metrics == again.metrics  # and Inception's
    assert not looked_at
    # Batches may have another order, which float32 rounds otherwise.
    assert again.metrics["fid"].value == pytest.approx(values["fid"], rel=1e-5)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.usefixtures("remembered_inception")
def test_pytorch_fid_moments_as_the_real_side(
    scenes: Path, encoder: Encoder, inception_weights: Path, tmp_path: Path
) -> None:
    network = inception_module.Inception(inception_weights, device="cpu")
    (rows,) = pass_images(open_images(scenes / "real"), [network]).features
    pool = rows[:, :2048].astype(np.float64)
    np.savez(tmp_path / "fid.npz", mu=pool.mean(axis=0), sigma=np.cov(pool, rowvar=False))
    options = {"encoder": encoder, "inception_weights": inception_weights}
    direct = score(scenes, "fid", **options).metrics["fid"].value
    stored = score(scenes, "fid", inception_real=tmp_path / "fid.npz", **options)
    # A file holds no features: the roots of the null space's rounding add up.
    assert stored.metrics["fid"].value == pytest.approx(direct, rel=1e-3)
    with pytest.raises(InputError, match=r"^kid: it takes real images"):
        score(scenes, "kid", inception_real=tmp_path / "fid.npz", **options)
    (tmp_path / "junk.npz").write_bytes(b"PK\x03\x04 and nothing else")
    with pytest.raises(InputError, match=r"junk\.npz: not a readable"):
        score(scenes, "fid", inception_real=tmp_path / "junk.npz", **options)


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_all_leaves_out_what_cannot_be_had(scenes: Path, encoder: Encoder) -> None:
    found = score(scenes, "all", encoder=encoder)
    assert {"clipscore", "cmmd", "vendi", "precision"} <= set(found.metrics)
    assert "r_precision" not in found.metrics and "fid" not in found.metrics
    notes = "\n".join(found.warnings)
    assert "r_precision is left out" in notes and "fid, kid, is are left out" in notes


def test_what_features_and_nameless_captions_cannot_give(
    encoder: Encoder, inception_weights: Path
) -> None:
    f = np.random.default_rng(0).standard_normal((60, 64)).astype(np.float32)
    with pytest.raises(InputError, match=r"^clipscore: it takes pairs"):
        cmd(f, ["a red circle", "a cat", "a dog"] * 19, f + 1, metrics="clipscore", encoder=encoder)
    with pytest.raises(InputError, match=r"^fid: it takes images"):
        cmd(f, f, f + 1, metrics="fid", encoder=encoder, inception_weights=inception_weights)
    with pytest.raises(InputError, match="did you mean vendi"):
        metrics_named("vendy")


@pytest.mark.parametrize(
    "asked, nearest", [("cfred", "clip_cfid"), ("CFID", "clip_cfid"), ("inception_score", "is")]
)
def test_what_others_ask_for_has_a_nearest_metric(asked: str, nearest: str) -> None:
    with pytest.raises(InputError, match=f"no metric '{asked.lower()}'; did you mean {nearest}[?]"):
        metrics_named(asked)


def test_all_is_lenient_and_nothing_else(scenes: Path, encoder: Encoder) -> None:
    with pytest.raises(InputError, match=r"^the weights of Inception are not at hand"):
        score(scenes, "fid,recall_at_k", encoder=encoder)
    with pytest.warns(UserWarning, match="fid, kid, is are left out"):
        assert "vendi" in score(scenes, "ALL", encoder=encoder).metrics
    found, everything = metrics_named("vendi, fid")
    assert [metric.name for metric in found] == ["vendi", "fid"] and not everything


def test_every_metric_has_its_paragraph() -> None:
    text = (ROOT / "docs" / "metrics.md").read_text(encoding="utf-8")
    named = set(re.findall(r"`([a-z_0-9:]+)`", text))
    assert set(METRICS) <= named, "docs/metrics.md names each as --metrics takes it"


@pytest.mark.slow
def test_command(scenes: Path, tmp_path: Path) -> None:
    call = ["cmdmetric", "score", "generated", "captions.json", "--real"]
    call += ["real", "--model", "scenes-toy", "--metrics", "clipscore,vendi", "--worst", "3"]
    call += ["--per-image", str(tmp_path / "w.jsonl"), "--format", "json", "-q"]
    call += ["--check", "vendi>=1", "--check", "metrics.clipscore.value<=2.5"]
    done = run(*call, cwd=scenes)
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert result["metrics"]["clipscore"]["standard_error"] > 0
    for form in ("signature", "short_signature"):
        assert result["metrics"]["vendi"].pop(form).startswith("VENDI|")
    assert result["metrics"]["vendi"] == {
        "value": pytest.approx(result["metrics"]["vendi"]["value"]),
        **dict.fromkeys(("standard_error", "low", "high")),  # of fewer than 100 images
        "better": "higher",
        "unbiased": False,
        "network": None,
    }
    shares = [row["share"] for row in result["worst"]]
    assert len(shares) == 3 and shares == sorted(shares, reverse=True)
    rows = [json.loads(line) for line in (tmp_path / "w.jsonl").read_text().splitlines()]
    assert len(rows) == N and all(len(row["caption"]) == 2 for row in rows)
    shares = {row["image"]: row["cmd_influence"] for row in rows}
    assert all(
        shares[row["name"]] == pytest.approx(row["share"])
        for row in result["worst"]
        if row["side"] == "image"
    )


@pytest.mark.usefixtures("remembered_inception")
def test_one_pass_sets_are_read_once(encoder: Encoder, inception_weights: Path) -> None:
    images = (draw_scene(i).render(64) for i in range(N))
    real = [draw_scene(50 + i).render(64) for i in range(N)]
    texts = [draw_scene(i).captions(1)[0] for i in range(N)]
    with pytest.warns(UserWarning):
        found = cmd(
            images,
            texts,
            real,
            metrics="fid",
            encoder=encoder,
            inception_weights=inception_weights,
        )
    assert found.metrics["fid"].value > 0


@pytest.mark.usefixtures("remembered_inception")
def test_a_side_shows_its_images_without_inception(
    scenes: Path, encoder: Encoder, inception_weights: Path
) -> None:
    """The set that takes them to Inception would take those of other processes there as well."""
    encoding = Encoding(encoder, device="cpu")
    networks = Networks.of(Wanted.of("fid,kid", inception_weights), encoding)
    opened = open_images(scenes / "generated")
    side, rows = networks.encoded(opened, encoding)
    assert {name: len(seen) for name, seen in rows.items()} == {"inception": N}
    assert len(side.features) == N
    assert side.images is opened


@pytest.mark.slow
@pytest.mark.usefixtures("remembered_inception")
def test_what_inception_has_seen_is_kept(
    scenes: Path, encoder: Encoder, inception_weights: Path, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    seen = []
    true = inception_module.Inception.encode_pixels

    def encode(self: object, pixels: np.ndarray) -> object:
        seen.append(len(pixels))
        return true(self, pixels)

    monkeypatch.setattr(inception_module.Inception, "encode_pixels", encode)
    options = {"encoder": encoder, "inception_weights": inception_weights,
               "cache": tmp_path / "cache"}  # fmt: skip
    with pytest.warns(UserWarning, match="too few"):
        first = score(scenes, "kid,is", **options)
    assert sum(seen) == 2 * N
    seen.clear()
    # A file is not looked at again, wherever it lies, and a new one is looked at alone.
    moved = tmp_path / "moved"
    shutil.copytree(scenes, moved)
    with pytest.warns(UserWarning, match="too few"):
        again = score(moved, "kid,is", **options)
    assert not seen and again.metrics == first.metrics
    draw_scene(999).render(64).save(moved / "generated" / "00.png")
    with pytest.warns(UserWarning, match="too few"):
        other = score(moved, "kid,is", **options)
    assert sum(seen) == 1 and other.metrics["kid"] != first.metrics["kid"]
    with pytest.warns(UserWarning, match="too few"):
        plain = score(moved, "kid,is", **{**options, "cache": False})
    # Batches of other sizes round float32 features differently; the deviation of Inception scores
    # near 1 by 1e-6 of those.
    for name, value in plain.metrics.items():
        assert value.value == pytest.approx(other.metrics[name].value, rel=1e-4, abs=1e-6)


def test_what_was_computed_is_not_computed_again(
    scenes: Path, encoder: Encoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    computed = []
    true = family_module.measure
    monkeypatch.setattr(
        family_module,
        "measure",
        lambda metric, given: (computed.append(metric.name), true(metric, given))[1],
    )
    options = {"encoder": encoder, "cache": tmp_path / "cache"}
    with pytest.warns(UserWarning, match="too few"):
        first = score(scenes, "clipscore,fjd,vendi", **options)
    assert computed == ["clipscore", "fjd", "vendi"]
    moved = tmp_path / "moved"
    shutil.copytree(scenes, moved)
    with pytest.warns(UserWarning, match="too few"):
        again = score(moved, "vendi,fjd,clipscore,cmmd", **options)
    assert computed[3:] == ["cmmd"]
    assert {name: again.metrics[name] for name in first.metrics} == first.metrics
    # Two captions change images, not places: the features are the same, the pairs are not.
    captions = json.loads((moved / "captions.json").read_text())
    names = list(captions)
    names[0], names[1] = names[1], names[0]
    other = dict(zip(names, captions.values(), strict=True))
    (moved / "captions.json").write_text(json.dumps(other))
    del computed[:]
    with pytest.warns(UserWarning, match="too few"):
        renamed = score(moved, "clipscore", **options)
    assert computed == ["clipscore"]
    assert renamed.metrics["clipscore"] != first.metrics["clipscore"]
    # And now they change places too.
    captions["00.png"], captions["01.png"] = captions["01.png"], captions["00.png"]
    (moved / "captions.json").write_text(json.dumps(captions))
    del computed[:]
    with pytest.warns(UserWarning, match="too few"):
        swapped = score(moved, "clipscore", **options)
    assert computed == ["clipscore"]
    assert swapped.metrics["clipscore"] != first.metrics["clipscore"]
