"""Slices of a score, and copies of training images, as a user asks for them."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import jsonschema
import numpy as np
import pytest

from cmdmetric import InputError, cmd
from cmdmetric.compare import compare
from cmdmetric.scenes.drawing import draw_scene
from tests.conftest import ROOT
from tests.support.commands import run

SCHEMA = json.loads((ROOT / "cmdmetric/scoring/score.schema.json").read_text(encoding="utf-8"))
N = 48


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
    assert [(s.label, s.n, s.draws) for s in slices.slices] == [("a", N // 2, 24), ("b", 24, 24)]
    adds = [s.adds for s in slices.slices]
    assert all(a is not None and a.low < a.value < a.high for a in adds)
    assert sum(a.value for a in adds if a) == pytest.approx(0.0, abs=1e-6)
    # Equal numbers of captions: the mean of the slices is that of all.
    means = [s.metrics["clipscore"].value for s in slices.slices]
    assert np.mean(means) == pytest.approx(found.metrics["clipscore"].value, abs=1e-6)
    with pytest.warns(UserWarning, match="too few"):
        half = cmd(images[::2], records[::2], real=real, model="scenes-toy", metrics="clipscore")
    assert means[0] == pytest.approx(half.metrics["clipscore"].value, abs=1e-5)
    assert all(s.cmd is None for s in slices.slices)  # 24 images of 40 dimensions

    def labels(by: str) -> list[str]:
        found = cmd(images, records, real=real, model="scenes-toy", by=by).slices
        assert found is not None
        return [s.label for s in found.slices]

    assert labels("objects") == ["0", "1", "2"]
    assert labels("tags") == ["x", "y"]
    with pytest.raises(InputError, match=r"no field or file 'colour'.*'source'.*'caption-length'"):
        labels("colour")


@pytest.fixture(scope="module")
def results(example: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two scores by slices, one held against its real images as if it were trained on them."""
    folder = tmp_path_factory.mktemp("detail")
    lines = ["id,label"] + [f"scene_{i:03},{'first' if i < 80 else 'second'}" for i in range(150)]
    (folder / "labels.csv").write_text("\n".join(lines) + "\n")
    args = ("cmd-score", example / "generated", example / "captions.json", "--model", "scenes-toy",
            "--metrics", "clipscore", "--by", folder / "labels.csv", "-q")  # fmt: skip
    done = run(*args, "--train", example / "real", "--worst-csv", folder / "all.csv",
               "--report", folder / "report.html", "-o", folder / "one.json")  # fmt: skip
    assert done.returncode == 0, done.stderr
    (folder / "one.txt").write_text(done.stdout)
    return folder


def test_a_file_of_labels_and_training_images(results: Path) -> None:
    content = json.loads((results / "one.json").read_text())
    jsonschema.validate(content, SCHEMA)
    slices, copies = content["slices"], content["memorisation"]
    assert [(s["label"], s["n"]) for s in slices["slices"]] == [("first", 80), ("second", 70)]
    assert slices["unlabelled"] == 10
    # The real images are the training images: none was held out.
    assert copies["copied"] is None and copies["n_held_out"] is None
    assert 0 < copies["authentic"] < 1 and copies["n_train"] == 160
    assert copies["signature"].startswith("MEMORISATION|") and "|train:160@" in copies["signature"]
    nearest = copies["nearest"]
    assert [n["distance"] for n in nearest] == sorted(n["distance"] for n in nearest)
    with (results / "all.csv").open(newline="") as file:
        rows = {row["name"]: row for row in csv.DictReader(file) if row["side"] == "image"}
    assert len(rows) == 160
    assert float(rows[nearest[0]["name"]]["distance"]) == pytest.approx(nearest[0]["distance"])
    authentic = np.mean([row["is_authentic"] == "True" for row in rows.values()])
    assert authentic == pytest.approx(copies["authentic"])
    text = (results / "one.txt").read_text()
    assert "adds to CMD" in text and "10 images have no label" in text and "AuthPct" in text
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
    with pytest.raises(InputError, match="its slices are not as cmdmetric writes them"):
        compare([results / "one.json", results / "broken.json"])
