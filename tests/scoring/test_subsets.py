"""A part of the generated images, drawn by a seed: which it is, and that its score is its own."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest

from cmdmetric import CMDScore, Evaluator, InputError, cmd, versus
from cmdmetric.compare import AtHand, explain
from cmdmetric.encoders.clip import Encoder
from cmdmetric.inputs.subsets.seeded import Subset
from cmdmetric.scenes import draw_scene
from cmdmetric.scoring import fields_of, verify
from tests.support.commands import run

N, NUM = 60, 24
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")


def texts(first: int = 0) -> list[str]:
    return [draw_scene(first + i).captions(1)[0] for i in range(N)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Generated images g and real ones r, with the captions of g."""
    made = tmp_path_factory.mktemp("subset")
    for name, first in (("g", 0), ("r", 500)):
        (made / name).mkdir()
        for i in range(N):
            draw_scene(first + i).render(64).save(made / name / f"{i:03}.png")
    rows = {f"{i:03}.png": text for i, text in enumerate(texts())}
    (made / "captions.json").write_text(json.dumps(rows))
    return made


def expected(num: int, seed: int) -> list[int]:
    """Written out: the first by the sha256 of the seed, the captioned name and a count from 0."""
    keys = [hashlib.sha256(f"{seed}:{i:03}.png\n0".encode()).hexdigest() for i in range(N)]
    return sorted(sorted(range(N), key=keys.__getitem__)[:num])


def numbers(score: CMDScore) -> tuple[float, float, float, int | None, int | None]:
    return score.cmd, score.itdis, score.dis_fr, score.n, score.n_captions


def test_the_score_is_that_of_the_part_alone(folder: Path, encoder: Encoder) -> None:
    score = cmd(
        folder / "g", folder / "captions.json", folder / "r",
        encoder=encoder, num=NUM, seed=3, metrics="clipscore",
    )  # fmt: skip
    rows = expected(NUM, 3)
    files = [folder / "g" / f"{i:03}.png" for i in rows]
    captions = [texts()[i] for i in rows]
    alone = cmd(files, captions, folder / "r", encoder=encoder, metrics="clipscore")
    # The same features in the same order.
    assert numbers(score) == pytest.approx(numbers(alone), rel=1e-12)
    assert score.metrics["clipscore"].value == pytest.approx(alone.metrics["clipscore"].value)
    assert score.paired == NUM and score.n_real == N
    ours, theirs = fields_of(score.signature), fields_of(alone.signature)
    assert ours.pop("num") == f"{NUM}/{N}@seed3"
    # Real images of the same names are paired with captions too, where these have names.
    del ours["pairs"], theirs["pairs"]
    assert ours == theirs


def test_parts_are_nested_and_differ_by_seed() -> None:
    keys = [f"{i}.png" for i in range(100)]
    few, many = (set(Subset(num, 5).of(keys)) for num in (10, 40))
    assert few < many and len(many) == 40
    assert set(Subset(40, 6).of(keys)) != many
    turned = {99 - i for i in Subset(40, 5).of(keys[::-1])}
    assert turned == many


def test_lists_pair_by_place(folder: Path, encoder: Encoder) -> None:
    images = [np.asarray(draw_scene(i).render(64)) for i in range(N)]
    real = [draw_scene(500 + i).render(64) for i in range(N)]
    score = cmd(images, texts(), real, encoder=encoder, num=NUM)
    assert (score.n, score.n_captions, score.paired) == (NUM, NUM, NUM)
    keys = [hashlib.sha256(f"0:#{i}\n0".encode()).hexdigest() for i in range(N)]
    rows = sorted(sorted(range(N), key=keys.__getitem__)[:NUM])
    alone = cmd([images[i] for i in rows], [texts()[i] for i in rows], real, encoder=encoder)
    assert numbers(score) == pytest.approx(numbers(alone), rel=1e-12)
    paths = [folder / "g" / f"{i:03}.png" for i in range(N)]
    assert numbers(cmd(paths, texts(), real, encoder=encoder, num=NUM)) == pytest.approx(
        numbers(score), rel=1e-12
    )


def test_images_named_by_their_captions(encoder: Encoder, tmp_path: Path) -> None:
    prompts = sorted(set(texts()))[:20]
    for i, text in enumerate(prompts):
        for k in range(2):
            draw_scene(3 * i + k).render(64).save(tmp_path / f"{text[:-1]}_{k:06}.png")
    prompts = [text[:-1] for text in prompts]
    score = cmd(
        tmp_path, prompts, [draw_scene(500 + i).render(64) for i in range(N)],
        encoder=encoder, num=12,
    )  # fmt: skip
    assert score.n == score.paired == 12 and 6 <= (score.n_captions or 0) <= 12
    assert fields_of(score.signature)["num"] == f"12/{2 * len(prompts)}@seed0"


def test_two_generators_get_the_same_captions(
    folder: Path, encoder: Encoder, tmp_path: Path
) -> None:
    """One has the names of the captions, the other those of released samples."""
    for i in range(N):
        draw_scene(900 + i).render(64).save(tmp_path / f"{i:03}_s-1_0.png")
    sources = folder / "captions.json", folder / "r"
    both = versus(folder / "g", tmp_path, *sources, encoder=encoder, num=NUM, seed=3)
    assert both.first.n == both.second.n == NUM
    first, second = fields_of(both.first.signature), fields_of(both.second.signature)
    assert first["l"] == second["l"] and first["num"] == second["num"]
    rows = expected(NUM, 3)
    alone = [tmp_path / f"{i:03}_s-1_0.png" for i in rows]
    score = cmd(alone, [texts()[i] for i in rows], folder / "r", encoder=encoder)
    assert numbers(both.second) == pytest.approx(numbers(score), rel=1e-12)
    (tmp_path / f"{rows[0]:03}_s-1_0.png").unlink()
    with pytest.raises(InputError, match="images of the same captions"):
        versus(folder / "g", tmp_path, *sources, encoder=encoder, num=NUM, seed=3)


def test_an_evaluator_draws_the_same(folder: Path, encoder: Encoder) -> None:
    there = cmd(
        folder / "g", folder / "captions.json", folder / "r", encoder=encoder, num=NUM, seed=1
    )
    evaluator = Evaluator(folder / "r", folder / "captions.json", encoder=encoder)
    for _ in range(2):
        assert numbers(evaluator.score(folder / "g", num=NUM, seed=1)) == numbers(there)
    assert evaluator.score(folder / "g").n == N
    free = Evaluator(folder / "r", encoder=encoder)
    here = free.score(folder / "g", folder / "captions.json", num=NUM, seed=1)
    assert numbers(here) == numbers(there)


def test_two_parts_are_explained(folder: Path, encoder: Encoder, tmp_path: Path) -> None:
    sources = folder / "g", folder / "captions.json", folder / "r"
    one, other = (
        cmd(*sources, model="scenes-toy", num=NUM, seed=seed, cache=tmp_path) for seed in (1, 2)
    )
    found = explain(one, other, AtHand(*sources), cache=tmp_path)
    (step,) = [step for step in found.steps if "seed1" in step.change]
    assert step.cmd == pytest.approx(other.cmd - one.cmd, rel=1e-9) and found.unchanged == ()


def test_numbers_of_others_are_joined_with_the_part(
    folder: Path, encoder: Encoder, tmp_path: Path
) -> None:
    given = {f"{i:03}.png": float(i) for i in range(N)}
    score = cmd(
        folder / "g", folder / "captions.json", folder / "r", encoder=encoder, num=NUM,
        scores=given, pack=tmp_path / "pack.npz",
    )  # fmt: skip
    assert score.metrics["score"].value == pytest.approx(np.mean(expected(NUM, 0)))
    found = verify(score, tmp_path / "pack.npz")
    assert found.holds and found.signature == ()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num": 1}, "at least 2 images"),
        ({"seed": 3}, "a seed was given without a number"),
        ({"num": N + 1}, f"num is {N + 1}, and {N} of the {N} images"),
        ({"num": True}, "num is True, it must be a whole number"),
        ({"num": 2.5}, "num is 2.5, it must be a whole number"),
    ],
)
def test_what_cannot_be_drawn(
    folder: Path, encoder: Encoder, options: dict[str, int], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        cmd(folder / "g", folder / "captions.json", folder / "r", encoder=encoder, **options)  # type: ignore[arg-type]


def test_sets_that_tell_no_names_or_no_captions(folder: Path, encoder: Encoder) -> None:
    stream = (draw_scene(i).render(64) for i in range(N))
    with pytest.raises(InputError, match="has none before it is read"):
        cmd(stream, texts(), folder / "r", encoder=encoder, num=NUM)
    with pytest.raises(InputError, match="does not tell which captions"):
        cmd(folder / "g", texts(), folder / "r", encoder=encoder, num=NUM)


def test_the_command(folder: Path) -> None:
    found = run(
        "cmd-score", folder / "g", folder / "captions.json", "--real", folder / "r", "--model",
        "scenes-toy", "--num", NUM, "--seed", 3, "--format", "json", "-q",
    )  # fmt: skip
    assert found.returncode == 0, found.stderr
    told = json.loads(found.stdout)
    assert told["n"] == told["n_captions"] == NUM
    assert f"|num:{NUM}/{N}@seed3|" in told["signature"]
