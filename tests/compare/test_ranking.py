"""Generators scored together: the same scores as alone, paired differences, one table."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from cmdmetric import Encoder, InputError, cmd, versus
from cmdmetric.compare.ranking import rank
from cmdmetric.scenes.drawing import draw_scene
from cmdmetric.scoring.encoding import encoding_of
from cmdmetric.scoring.together import scored
from cmdmetric.uncertainty import holm
from tests.support.commands import run
from tests.support.pictures import scenes

N = 100


@pytest.fixture(scope="module")
def sides() -> tuple[list[np.ndarray], dict[str, str], np.ndarray]:
    """Three generators, a good one, its noisy double and a stranger; captions; real images."""
    real, good = scenes(range(500, 500 + N)), scenes(range(N))
    noise = np.random.default_rng(0).normal(0, 30, good.shape)
    noisy = np.clip(good + noise, 0, 255).astype(np.uint8)
    texts = {f"#{i}": draw_scene(i).captions(1)[0] for i in range(N)}
    return [noisy, good, good[:, ::-1, :, ::-1].copy()], texts, real


def test_ranked_together(encoder: Encoder, sides: tuple) -> None:
    generated, texts, real = sides
    encoding = encoding_of(encoder=encoder, cache=False)
    found = scored(generated, texts, real, encoding)
    alone = cmd(generated[0], texts, real, encoder=encoder)
    assert found[0].score.cmd == alone.cmd and found[0].score.signature == alone.signature
    ranking = rank(found)
    values = [entry.cmd for entry in ranking.entries]
    assert values == sorted(values) and all(row.paired for row in ranking.against_best)
    best = int(np.argmin([each.score.cmd for each in found]))
    other = next(i for i in range(3) if i != best)
    both = versus(generated[other], generated[best], texts, real, encoder=encoder).difference
    wanted = (both.p_value, both.standard_error)
    found_there = [(row.p_value, row.standard_error) for row in ranking.against_best]
    assert found_there.count(wanted) == 1
    listed = scored(generated, list(texts.values()), real, encoding)
    assert all(row.paired for row in rank(listed).against_best), "lists pair by position"
    fewer = scored(generated, list(texts.values())[:-1], real, encoding)
    assert not any(row.paired for row in rank(fewer).against_best)
    adjusted = [row.p_adjusted for row in ranking.against_best]
    assert adjusted == holm([row.p_value for row in ranking.against_best])


def test_of_one_prompt_nothing_is_tested(encoder: Encoder, sides: tuple) -> None:
    generated, _, real = sides
    encoding = encoding_of(encoder=encoder, cache=False)
    prompt = {f"#{i}": ["a red circle", "one red circle"] for i in range(N)}
    found = scored(generated[:2], prompt, real, encoding)
    assert all(each.score.uncertainty is None for each in found)
    assert "tells nothing of other captions" in " ".join(found[0].score.warnings)
    ranking = rank(found)
    assert len(ranking.entries) == 2 and ranking.against_best == ()
    with pytest.raises(InputError, match="samples of the generated side are one draw"):
        versus(*generated[:2], prompt, real, encoder=encoder)


@pytest.mark.usefixtures("remembered_example")
@pytest.mark.slow
def test_command(example: Path, tmp_path: Path) -> None:
    call = ["cmdmetric", "score", example / "generated", example / "real",
            example / "captions.json", "--model", "scenes-toy", "-q"]  # fmt: skip
    result = json.loads(run(*call, "--format", "json", cwd=tmp_path).stdout)
    assert [Path(model["generated"]).name for model in result["models"]] == ["real", "generated"]
    assert len(result["scores"]) == 2 and len(result["against_best"]) == 1
    table = run(*call, "--metrics", "clipscore,vendi", cwd=tmp_path)
    assert table.returncode == 0, table.stderr
    rows = {line.split()[0]: line for line in table.stdout.splitlines() if line}
    assert rows["clipscore"].count("±") == 2 and "higher" in rows["vendi"]
    assert "*" in rows["clipscore"], "real images fit their captions better"
    refused = run(*call, "--worst", "3", cwd=tmp_path)
    assert refused.returncode == 2 and "--worst is of one generator, 2 were given" in refused.stderr
