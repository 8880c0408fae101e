"""Slices of a score, and copies of training images, as a user asks for them."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import jsonschema
import numpy as np
import pytest

from cmdmetric import Encoder, InputError, cmd
from cmdmetric.compare import compare
from cmdmetric.scenes.drawing import draw_scene
from tests.conftest import ROOT
from tests.support.commands import run

SCHEMA = json.loads((ROOT / "cmdmetric/scoring/score.schema.json").read_text(encoding="utf-8"))
N = 120


@pytest.fixture(scope="module")
def scenes() -> tuple[list, list, list]:
    """Generated images, captions as records with fields, real images."""
    drawn = [draw_scene(seed) for seed in range(2 * N)]
    images = [scene.render(64) for scene in drawn]
    records = [
        {
            "caption": scene.captions(1)[0],
            "source": "ab"[i % 2],
            "objects": i % 3,
            "tags": ["x", "y"],
        }
        for i, scene in enumerate(drawn[:N])
    ]
    return images[:N], records, images[N:]


def test_slices_by_fields_of_the_captions(scenes: tuple[list, list, list]) -> None:
    images, records, real = scenes
    found = cmd(images, records, real=real, model="scenes-toy", metrics="clipscore", by="source")
    slices = found.slices
    assert slices is not None and slices.by == "source" and slices.unlabelled == 0
    half = (N // 2, N // 2)
    assert [(s.label, s.n, s.draws) for s in slices.slices] == [("a", *half), ("b", *half)]
    adds = [s.adds for s in slices.slices]
    assert all(a is not None and a.low < a.value < a.high for a in adds)
    assert sum(a.value for a in adds if a) == pytest.approx(0.0, abs=1e-6)
    # Equal numbers of captions: the mean of the slices is that of all.
    means = [s.metrics["clipscore"].value for s in slices.slices]
    assert np.mean(means) == pytest.approx(found.metrics["clipscore"].value, abs=1e-6)
    with pytest.warns(UserWarning, match="too few"):
        first = cmd(images[::2], records[::2], real=real, model="scenes-toy", metrics="clipscore")
    assert means[0] == pytest.approx(first.metrics["clipscore"].value, abs=1e-5)
    assert all(s.cmd is None for s in slices.slices)  # fewer images than dimensions

    def labels(by: str) -> list[str]:
        found = cmd(images, records, real=real, model="scenes-toy", by=by).slices
        assert found is not None
        return [s.label for s in found.slices]

    assert labels("objects") == ["0", "1", "2"]
    assert labels("tags") == ["x", "y"]
    with pytest.raises(InputError, match=r"no field or file 'colour'.*'source'.*'caption-length'"):
        labels("colour")
    with pytest.raises(InputError, match="too long"):  # of the system, which is no "no file"
        labels("x" * 5000)


def test_a_wrong_field_or_file_of_slices_is_told_before_the_work(
    scenes: tuple[list, list, list], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    images, records, real = scenes
    monkeypatch.setattr(Encoder, "encode_pixels", lambda *_: pytest.fail("an image is encoded"))
    (tmp_path / "labels.csv").write_text("name,kind\n0,a\n")
    for by, told in (
        ("colour", r"no field or file 'colour'.*'source'"),
        (tmp_path / "none.csv", "no field or file"),
        (tmp_path / "labels.csv", "column `label`"),
    ):
        with pytest.raises(InputError, match=told):
            cmd(images, records, real=real, model="scenes-toy", by=by)
    with pytest.raises(InputError, match="does not exist"):
        cmd(images, records, real=real, model="scenes-toy", train=tmp_path / "none")


@pytest.fixture(scope="module")
def results(example: Path, seen_example: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two scores by slices, one held against its real images as if it were trained on them."""
    folder = tmp_path_factory.mktemp("detail")
    lines = ["id,label"] + [f"scene_{i:03},{'first' if i < 80 else 'second'}" for i in range(150)]
    (folder / "labels.csv").write_text("\n".join(lines) + "\n")
    args = ("cmd-score", example / "generated", example / "captions.json", "--model", "scenes-toy",
            "--metrics", "clipscore", "--by", folder / "labels.csv", "-q")  # fmt: skip
    done = run(*args, "--train", example / "real", "--per-image", folder / "all.csv",
               "--report", folder / "report.html", "-o", folder / "one.json",
               CMDMETRIC_CACHE=str(shutil.copytree(seen_example, folder / "cache")))  # fmt: skip
    assert done.returncode == 0, done.stderr
    (folder / "one.txt").write_text(done.stdout)
    return folder


def test_a_file_of_labels_and_training_images(results: Path) -> None:
    content = json.loads((results / "one.json").read_text())
    jsonschema.validate(content, SCHEMA)
    slices, copies = content["slices"], content["memorisation"]
    assert [(s["label"], s["n"]) for s in slices["slices"]] == [("first", 80), ("second", 70)]
    assert slices["unlabelled"] == 250
    # The real images are the training images: none was held out.
    assert copies["copied"] is None and copies["n_held_out"] is None
    assert 0 < copies["authentic"] < 1 and copies["n_train"] == 400
    assert copies["signature"].startswith("MEMORISATION|") and "|train:400@" in copies["signature"]
    nearest = copies["nearest"]
    assert [n["distance"] for n in nearest] == sorted(n["distance"] for n in nearest)
    with (results / "all.csv").open(newline="") as file:
        rows = {row["image"]: row for row in csv.DictReader(file)}
    assert len(rows) == 400
    assert float(rows[nearest[0]["name"]]["train_distance"]) == pytest.approx(
        nearest[0]["distance"]
    )
    authentic = np.mean([row["is_authentic"] == "True" for row in rows.values()])
    assert authentic == pytest.approx(copies["authentic"])
    text = (results / "one.txt").read_text()
    assert "adds to CMD" in text and "250 images have no label" in text and "AuthPct" in text
    page = (results / "report.html").read_text()
    section = page[page.index('id="copies"') : page.index('id="reproduce"')]
    assert section.count("<img") == 16  # eight pairs


def test_stored_scores_compare_by_slice(results: Path) -> None:
    content = json.loads((results / "one.json").read_text())
    content["cmd"] += 1  # it is not the best
    content["slices"]["slices"][0]["adds"]["value"] += 100
    (results / "two.json").write_text(json.dumps(content))
    (against,) = compare([results / "one.json", results / "two.json"]).against_best
    assert against.slices["first"]["adds"].p_adjusted < 1e-6
    assert against.slices["second"]["adds"].p_adjusted == pytest.approx(1.0)
    content["slices"]["slices"] = [1]
    (results / "broken.json").write_text(json.dumps(content))
    with pytest.raises(InputError, match=r"slices\.slices\[0\] is 1, not an object"):
        compare([results / "one.json", results / "broken.json"])


def test_the_table_of_single_images(scenes: tuple[list, list, list], tmp_path: Path) -> None:
    """What stands in it is what the numbers are made of: means, and shares that add up to zero."""
    images, records, real = scenes
    rng = np.random.default_rng(1)
    given = [{"image": f"#{i}", "vqa": float(x)} for i, x in enumerate(rng.random(N))]
    found = cmd(
        images, records, real=real, model="scenes-toy", metrics="clipscore,vendi,cmmd,prdc",
        by="source", scores=given, per_image=tmp_path / "images.jsonl", progress=False,
    )  # fmt: skip
    rows = [json.loads(line) for line in (tmp_path / "images.jsonl").read_text().splitlines()]
    assert [row["image"] for row in rows] == [f"#{i}" for i in range(N)]
    assert [row["caption"] for row in rows] == [[record["caption"]] for record in records]
    assert [row["slice"] for row in rows] == [[record["source"]] for record in records]
    assert [row["vqa"] for row in rows] == pytest.approx([row["vqa"] for row in given])
    for name in ("clipscore", "vqa", "precision", "density"):
        column = [row[name] for row in rows]
        assert np.mean(column) == pytest.approx(found.metrics[name].value, rel=1e-6)
    for name in ("cmd", "itdis", "dis_fr", "vendi", "cmmd"):
        column = np.array([row[f"{name}_influence"] for row in rows])
        assert abs(column.sum()) < 1e-6 * np.abs(column).sum()
        assert np.abs(column).max() > 0
    parts = np.array([[row[f"{k}_influence"] for k in ("cmd", "itdis", "dis_fr")] for row in rows])
    np.testing.assert_allclose(parts[:, 0], parts[:, 1] + parts[:, 2], rtol=1e-9, atol=1e-12)
    # Without the most harmful image the score is lower than without the most useful one, by about
    # the difference of their shares. (Of either alone it is also higher, as of fewer images.)
    ends = int(np.argmax(parts[:, 2])), int(np.argmin(parts[:, 2]))
    without = []
    for left_out in ends:
        left = [i for i in range(N) if i != left_out]
        less = cmd(
            [images[i] for i in left], [records[i] for i in left], real=real, model="scenes-toy",
            progress=False,
        )  # fmt: skip
        without.append(less.dis_fr)
    apart = parts[ends[0], 2] - parts[ends[1], 2]
    assert without[1] - without[0] == pytest.approx(apart, rel=0.5)


def test_a_table_of_single_images_is_refused_before_the_work(tmp_path: Path) -> None:
    for name, message in (("a.xlsx", "is written as .csv"), ("no/a.csv", "is no folder")):
        with pytest.raises(InputError, match=message):
            cmd(tmp_path / "absent", per_image=tmp_path / name)
