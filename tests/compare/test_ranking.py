"""Generators scored together: the same scores as alone, paired differences, one table."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from cmdmetric import Encoder, InputError, cmd, versus
from cmdmetric.compare.ranking import rank
from cmdmetric.compare.stored_scores import holm
from cmdmetric.scenes.drawing import draw_scene
from cmdmetric.scoring.encoding import encoding_of
from cmdmetric.scoring.together import scored

N = 100


@pytest.fixture(scope="module")
def sides() -> tuple[list[np.ndarray], dict[str, str], np.ndarray]:
    """Three generators, a good one, its noisy double and a stranger; captions; real images."""
    scenes = [draw_scene(seed) for seed in range(N)]
    real = np.stack([np.asarray(draw_scene(seed + 500).render(64)) for seed in range(N)])
    good = np.stack([np.asarray(scene.render(64)) for scene in scenes])
    noise = np.random.default_rng(0).normal(0, 30, good.shape)
    noisy = np.clip(good + noise, 0, 255).astype(np.uint8)
    texts = {f"#{i}": scene.captions(1)[0] for i, scene in enumerate(scenes)}
    return [noisy, good, good[:, ::-1, :, ::-1].copy()], texts, real


def test_ranked_together(sides: tuple) -> None:
    generated, texts, real = sides
    encoder = Encoder("scenes-toy", device="cpu")
    encoding = encoding_of(None, None, "grgan", None, 32, "fp32", "raise", False, False, encoder)
    found = scored(generated, texts, real, encoding)
    alone = cmd(generated[0], texts, real, encoder=encoder)
    assert found[0].score.cmd == alone.cmd and found[0].score.signature == alone.signature
    ranking = rank(found)
    values = [entry.cmd for entry in ranking.entries]
    assert values == sorted(values) and all(row.paired for row in ranking.against_best)
    best = int(np.argmin([each.score.cmd for each in found]))
    other = next(i for i in range(3) if i != best)
    both = versus(generated[other], generated[best], texts, real, encoder=encoder).difference
    mine = [row for row in ranking.against_best if row.p_value == both.p_value]
    assert len(mine) == 1 and mine[0].standard_error == both.standard_error
    unnamed = scored(generated, list(texts.values()), real, encoding)
    assert not any(row.paired for row in rank(unnamed).against_best)
    adjusted = [row.p_adjusted for row in ranking.against_best]
    assert adjusted == holm([row.p_value for row in ranking.against_best])


def test_of_one_prompt_nothing_is_tested(sides: tuple) -> None:
    generated, _, real = sides
    encoder = Encoder("scenes-toy", device="cpu")
    encoding = encoding_of(None, None, "grgan", None, 32, "fp32", "raise", False, False, encoder)
    prompt = {f"#{i}": ["a red circle", "one red circle"] for i in range(N)}
    found = scored(generated[:2], prompt, real, encoding)
    assert all(each.score.uncertainty is None for each in found)
    assert "tells nothing of other captions" in " ".join(found[0].score.warnings)
    ranking = rank(found)
    assert len(ranking.entries) == 2 and ranking.against_best == ()
    with pytest.raises(InputError, match="samples of the generated side are one draw"):
        versus(*generated[:2], prompt, real, encoder=encoder)


def test_command(example: Path, tmp_path: Path) -> None:
    call = [sys.executable, "-m", "cmdmetric", "score", str(example / "generated")]
    call += [str(example / "real"), str(example / "captions.json"), "--model", "scenes-toy", "-q"]
    run = subprocess.run(
        [*call, "--format", "json"], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    result = json.loads(run.stdout)
    assert [Path(model["generated"]).name for model in result["models"]] == ["real", "generated"]
    assert len(result["scores"]) == 2 and len(result["against_best"]) == 1
    table = subprocess.run(
        [*call, "--metrics", "clipscore,vendi"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    rows = {line.split()[0]: line for line in table.splitlines() if line}
    assert rows["clipscore"].count("±") == 2 and "higher" in rows["vendi"]
    assert " * " in rows["clipscore"], "real images fit their captions better"
    refused = subprocess.run(
        [*call, "--worst", "3"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert refused.returncode == 2 and "--worst is of one generator, 2 were given" in refused.stderr
