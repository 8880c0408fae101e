"""The shipped generator: from the README's commands to a score."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cmdmetric import cmd
from tests.support.commands import run


@pytest.fixture(scope="module")
def samples(example: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("samples")
    done = run("grgan", "sample", "scenes-small", example / "captions.json", out,
               HF_HUB_OFFLINE="1")  # fmt: skip
    assert done.returncode == 0, done.stderr
    return out


def test_every_image_of_the_captions_is_painted(samples: Path) -> None:
    images = sorted(samples.rglob("*.png"))  # in real/, as the captions name their images
    assert [path.name for path in images][:2] == ["scene_000.png", "scene_001.png"]
    assert len(images) == 400
    assert {Image.open(path).size for path in images} == {(32, 32)}
    captions = json.loads((samples / "captions.json").read_text())
    assert set(captions) == {f"real/{path.name}" for path in images}


def test_it_has_learnt_the_scenes(samples: Path, example: Path) -> None:
    score = cmd(samples, example / "captions.json", model="scenes-toy")
    assert score.n == score.paired == 400
    rng = np.random.default_rng(0)
    pixels = [np.asarray(Image.open(path)) for path in sorted((example / "real").iterdir())]
    shuffled = np.stack([rng.permutation(p.reshape(-1, 3)).reshape(p.shape) for p in pixels])
    noise = cmd(shuffled, example / "captions.json", example / "real", model="scenes-toy")
    # Real images with shuffled pixels, whose colours are right, are far further away.
    assert score.cmd < 0.25 * noise.cmd
