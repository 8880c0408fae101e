"""Sets of samples that come one after another, into one table."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cmdmetric import CMDScore, InputError, cmd
from cmdmetric.encoders.catalogue import IMAGE_NETWORKS
from cmdmetric.encoders.clip import Encoder
from cmdmetric.scenes import draw_scene
from cmdmetric.scoring import METRICS, Signature
from cmdmetric.scoring.family.metric import Metric
from cmdmetric.watching import Table, scorer, watch
from tests.scoring.test_networks import Colours, colour_distance
from tests.support.commands import run

#: Gaussian features make a score in no time.
SCORE: list[CMDScore] = []


def a_score() -> CMDScore:
    if not SCORE:
        rng = np.random.default_rng(0)
        f, r, l = (rng.standard_normal((60, 4)).astype(np.float32) for _ in range(3))
        with pytest.warns(UserWarning):
            SCORE.append(cmd(f, l, real=r))
    return SCORE[0]


class Stop(Exception):
    pass


class Days:
    """What happens between two looks, one entry after the other; then the watch is ended."""

    def __init__(self, *happenings: Callable[[], object]) -> None:
        self.left = [*happenings]

    def __call__(self, seconds: float) -> None:
        assert seconds == 5
        if not self.left:
            raise Stop
        self.left.pop(0)()


def write(path: Path, text: str = "x") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def ended(runs: Path, table: Path, days: Days, bad: set[str] = frozenset()) -> list[str]:  # type: ignore[assignment]
    """The names of the sets in the order in which they were told, with a ! where one failed."""

    def score(name: str) -> CMDScore:
        if Path(name).name in bad:
            raise InputError(f"{name}: no images")
        return a_score()

    told = []
    with pytest.raises(Stop):
        for seen in watch(runs, score, table, every=5, wait=days):
            assert (seen.score is None) == bool(seen.reason)
            told.append(Path(seen.name).name + ("" if seen.score else "!"))
    return told


def rows(table: Path) -> list[str]:
    return [Path(json.loads(line)["name"]).name for line in table.read_text().splitlines()]


def test_a_set_is_scored_once_it_has_settled(tmp_path: Path) -> None:
    runs, table = tmp_path / "runs", tmp_path / "scores.jsonl"
    write(runs / "step_9" / "a.png")
    (runs / "empty").mkdir()
    write(runs / ".hidden" / "a.png")
    write(runs / "notes.txt")
    days = Days(
        lambda: write(runs / "step_9" / "b.png"),  # still being written
        lambda: None,
        lambda: (write(runs / "step_10" / "a.png"), write(runs / "step_11.zip")),
        lambda: None,
        lambda: None,
    )
    assert ended(runs, table, days) == ["step_9", "step_10", "step_11.zip"]
    assert rows(table) == ["step_9", "step_10", "step_11.zip"]
    first = json.loads(table.read_text().splitlines()[0])
    assert (
        first["cmd"] == a_score().cmd and first["signature"].startswith("CMD|") and first["scored"]
    )


def test_it_goes_on_where_it_was(tmp_path: Path) -> None:
    runs, table = tmp_path / "runs", tmp_path / "scores.jsonl"
    write(runs / "a" / "1.png")
    assert ended(runs, table, Days(lambda: None)) == ["a"]
    write(runs / "b" / "1.png")
    assert ended(runs, table, Days(lambda: None)) == ["b"]
    assert rows(table) == ["a", "b"]


def test_a_set_that_cannot_be_scored_is_tried_again_when_it_has_changed(tmp_path: Path) -> None:
    runs, table, bad = tmp_path / "runs", tmp_path / "scores.jsonl", {"a"}
    write(runs / "a" / "1.png")
    days = Days(
        lambda: None,
        lambda: None,
        lambda: (write(runs / "a" / "2.png"), bad.clear()),
        lambda: None,
    )
    assert ended(runs, table, days, bad) == ["a!", "a"]
    assert rows(table) == ["a"]


def test_what_is_refused(tmp_path: Path) -> None:
    def never(name: str) -> CMDScore:
        raise AssertionError(name)

    with pytest.raises(InputError, match="It is a folder of sets of samples"):
        list(watch(tmp_path / "none", never, tmp_path / "t.jsonl", once=True))
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="neither a folder of sets"):
        list(watch(tmp_path / "file", never, tmp_path / "t.jsonl", once=True))
    for text in ("{", "[1]", '{"cmd": 1}'):
        write(tmp_path / "t.jsonl", text)
        with pytest.raises(InputError, match=r"t.jsonl: not a table of scores"):
            list(watch(tmp_path, never, tmp_path / "t.jsonl", once=True))


def test_what_would_be_watched_in_vain_is_refused(tmp_path: Path) -> None:
    def never(name: str) -> CMDScore:
        raise AssertionError(name)

    table = tmp_path / "t.jsonl"
    write(tmp_path / "one" / "a.png")
    (tmp_path / "empty").mkdir()
    for runs in (tmp_path / "one", tmp_path / "one" / "*.png"):
        with pytest.raises(InputError, match="these are images, which are one set"):
            next(iter(watch(runs, never, table)))
    for runs in (tmp_path / "empty", tmp_path / "none*"):
        with pytest.raises(InputError, match="no set of samples is there"):
            list(watch(runs, never, table, once=True))
        assert ended(runs, table, Days(lambda: None)) == []  # a run may be about to begin


def test_a_set_has_one_name_however_its_path_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def names(runs: str) -> list[str]:
        return [seen.name for seen in watch(runs, lambda _: a_score(), table, once=True)]

    table, runs = tmp_path / "t.jsonl", tmp_path / "runs"
    write(runs / "a" / "1.png")
    monkeypatch.chdir(runs)
    assert names(".") == [os.path.join(".", "a")]
    monkeypatch.chdir(tmp_path)
    assert names("runs") == names(str(runs)) == names("runs/../runs/*") == []
    assert [json.loads(line)["name"] for line in table.read_text().splitlines()] == ["runs/a"]
    # What is not below the table's folder has its whole path.
    table = tmp_path / "elsewhere" / "t.jsonl"
    table.parent.mkdir()
    assert names("runs") == [os.path.join("runs", "a")] and names(str(runs)) == []
    assert json.loads(table.read_text())["name"] == os.path.realpath(runs / "a")
    # Both are moved together.
    (tmp_path / "moved").mkdir()
    for name in ("t.jsonl", "runs"):
        (tmp_path / name).rename(tmp_path / "moved" / name)
    table = tmp_path / "moved" / "t.jsonl"
    assert names("moved/runs") == []


@pytest.mark.parametrize(
    ("field", "told"),
    [
        ("proto:clip", r"protocol \('\?' in the table, 'clip' now\)"),
        ("r:60@0123abcd", "contents of real images"),
        ("model:other@0123abcd", "model"),
        ("num:50/60@seed1", r"part \('all' in the table, '50 seed1' now\)"),
    ],
)
def test_a_table_is_of_scores_that_compare(tmp_path: Path, field: str, told: str) -> None:
    runs, table = tmp_path / "runs", tmp_path / "scores.jsonl"
    made = Signature.read(a_score().signature)
    key, _, value = field.partition(":")
    other = replace(
        a_score(), signature=str(replace(made, fields={**made.fields, key: value, "f": "9@ab"}))
    )
    write(runs / "a" / "1.png")
    assert ended(runs, table, Days(lambda: None)) == ["a"]
    write(runs / "b" / "1.png")
    with pytest.raises(InputError, match=told):
        list(watch(runs, lambda _: other, table, once=True))
    assert rows(table) == ["a"]
    # Of one watch it is the set that does not fit: the others go on.
    table, scores = tmp_path / "t.jsonl", {"a": a_score(), "b": other, "c": a_score()}
    write(runs / "c" / "1.png")
    found = list(watch(runs, lambda name: scores[Path(name).name], table, once=True))
    assert [bool(seen.score) for seen in found] == [True, False, True]
    assert "does not compare" in found[1].reason and rows(table) == ["a", "c"]


def test_sets_of_other_images_and_drawn_of_other_totals_compare(tmp_path: Path) -> None:
    made = Signature.read(a_score().signature)
    table = Table(tmp_path / "t.jsonl")
    for f, pairs in (("9@ab", "50/60@seed1"), ("8@cd", "50/70@seed1")):
        signature = str(replace(made, fields={**made.fields, "f": f, "num": pairs}))
        score = replace(a_score(), signature=signature)
        assert table.differences(score) == []
        table.add(f, score)


@pytest.mark.usefixtures("remembered_example")
@pytest.mark.parametrize(
    ("more", "told"),
    [
        (["none.json", "--real", "real"], "none.json: does not exist"),
        (["captions.json", "--real", "none"], "none: does not exist"),
        (["none.json"], "none.json: does not exist"),
        (["prompts.txt"], "no real side"),
        (["captions.json", "--num", "1"], "at least 2 images"),
    ],
)
def test_inputs_are_looked_up_before_the_watch(
    example: Path, tmp_path: Path, more: list[str], told: str
) -> None:
    for name in ("captions.json", "real"):
        (tmp_path / name).symlink_to(example / name)
    write(tmp_path / "prompts.txt", "a red circle")
    write(tmp_path / "runs" / "a" / "1.png")
    done = run(
        "cmdmetric", "watch", "runs", *more, "--model", "scenes-toy", "-o", "t.jsonl", "-q",
        cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 2 and done.stdout == ""
    assert told in done.stderr and len(done.stderr.splitlines()) == 1


@pytest.mark.usefixtures("remembered_example")
def test_a_part_and_another_network(example: Path, tmp_path: Path) -> None:
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "a").symlink_to(example / "generated")
    words = ["cmdmetric", "watch", tmp_path / "runs", example / "captions.json", "--once", "-q",
             "--model", "scenes-toy", "-o", tmp_path / "t.jsonl"]  # fmt: skip
    done = run(*words, "--num", "60", "--seed", "3", "--metrics", "prdc")
    assert done.returncode == 0, done.stderr
    (row,) = [json.loads(line) for line in (tmp_path / "t.jsonl").read_text().splitlines()]
    assert row["n"] == 60 and "|num:60/400@seed3|" in row["signature"] and "precision" in row
    refused = run(*words, "--image-model", "no-such-net")
    assert refused.returncode == 2 and "no image model 'no-such-net'" in refused.stderr


@pytest.mark.usefixtures("remembered_example")
def test_the_command(example: Path, tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    for step in (1, 2):
        (runs / f"step_{step}").mkdir(parents=True)
        for path in sorted((example / "generated").iterdir())[:80]:
            shutil.copy(path, runs / f"step_{step}")
    write(runs / "step_3" / "broken.png")
    done = run(
        "cmdmetric", "watch", runs, example / "captions.json", "--real", example / "real",
        "--model", "scenes-toy", "-o", tmp_path / "t.jsonl", "--once", "-q",
    )  # fmt: skip
    assert done.returncode == 2 and "broken.png" in done.stderr
    told = [json.loads(line) for line in (tmp_path / "t.jsonl").read_text().splitlines()]
    assert [Path(row["name"]).name for row in told] == ["step_1", "step_2"]
    assert told[0]["cmd"] == told[1]["cmd"] and told[0]["n"] == 80
    assert len(done.stdout.splitlines()) == 2


@pytest.mark.filterwarnings("error")  # what a score warns of stands in it
def test_networks_are_built_once(
    tmp_path: Path, encoder: Encoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    built = []

    class Counted(Colours):
        def __init__(self, *args: Any, **options: Any) -> None:
            super().__init__(*args, **options)
            built.append(self)

    metric = Metric("fd_colours", {"fd_colours": "lower"}, colour_distance, network="colours")
    monkeypatch.setitem(IMAGE_NETWORKS, "colours", Counted)
    monkeypatch.setitem(METRICS, metric.name, metric)
    for name, first in (("a", 0), ("b", 100), ("r", 200)):
        (tmp_path / name).mkdir()
        for i in range(20):
            draw_scene(first + i).render(32).save(tmp_path / name / f"{i}.png")
    texts = {f"{i}.png": draw_scene(i).captions(1)[0] for i in range(20)}
    score = scorer(texts, tmp_path / "r", metrics="fd_colours", encoder=encoder)
    found = [score(str(tmp_path / name)) for name in "ab"]
    assert len(built) == 1
    with pytest.warns(UserWarning):
        alone = cmd(tmp_path / "b", texts, tmp_path / "r", metrics="fd_colours", encoder=encoder)
    assert found[1].cmd == pytest.approx(alone.cmd, rel=1e-9)
    assert found[1].metrics["fd_colours"].value == pytest.approx(
        alone.metrics["fd_colours"].value, rel=1e-9
    )
    assert found[1].metrics != found[0].metrics and found[1].warnings == alone.warnings
