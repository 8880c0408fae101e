"""Sets of samples that come one after another, into one table."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cmdmetric import CMDScore, InputError, cmd
from cmdmetric.encoders.catalogue import IMAGE_NETWORKS
from cmdmetric.encoders.clip import Encoder
from cmdmetric.scenes import draw_scene
from cmdmetric.scoring import METRICS
from cmdmetric.scoring.family.metric import Metric
from cmdmetric.watching import scorer, watch
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
