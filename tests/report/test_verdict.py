"""What a report says first: whether generated images differ, by what, and from which models."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest

from cmdmetric import CMDScore
from cmdmetric.compare import compare
from cmdmetric.report.family import ASPECTS, OTHERS, by_aspect, title_of
from cmdmetric.report.page import fixed
from cmdmetric.report.verdict import of_comparison, sentence
from cmdmetric.scoring import METRIC_OF
from tests.conftest import ROOT


@pytest.fixture
def score() -> CMDScore:
    return CMDScore.load(ROOT / "tests/gate/baselines/scenes-small.json")


def with_interval(score: CMDScore, low: float, dis_fr_low: float) -> CMDScore:
    bars = score.uncertainty
    assert bars is not None
    cmd = dataclasses.replace(bars.cmd, low=low, debiased=low + 1, high=low + 2)
    dis_fr = dataclasses.replace(bars.dis_fr, low=dis_fr_low, debiased=0.5, high=2.0)
    bars = dataclasses.replace(bars, cmd=cmd, dis_fr=dis_fr)
    return dataclasses.replace(score, uncertainty=bars)


def test_a_score_is_a_sentence(score: CMDScore) -> None:
    n = f"n = {score.n:,}"
    apart = sentence(with_interval(score, 0.7, 0.2))
    assert "differ from the real ones" in apart and "1.70 (95 %: 0.70 to 2.70)" in apart
    assert sentence(with_interval(score, 0.0, 0.0)) == (
        f"The generated images cannot be told from the real ones at {n}."
    )
    bars = score.uncertainty
    assert bars is not None
    blind = dataclasses.replace(bars.cmd, debiased=None, low=None, high=None)
    withheld = dataclasses.replace(bars, cmd=blind, withheld="few")
    assert "is not known" in sentence(dataclasses.replace(score, uncertainty=withheld))
    assert "no error bar" in sentence(dataclasses.replace(score, uncertainty=None))


def test_a_comparison_is_a_sentence(score: CMDScore) -> None:
    score = with_interval(score, 0.7, 0.2)  # the baseline has none
    far = dataclasses.replace(with_interval(score, 90.0, 80.0), cmd=score.cmd + 90)
    near = dataclasses.replace(score, cmd=score.cmd + 1e-9)
    told = of_comparison(compare({"a": score, "b": far}))
    assert told.startswith("a is better than b: chance alone parts")
    told = of_comparison(compare({"a": score, "b": near}))
    assert told.startswith("a and b cannot be told apart")
    told = of_comparison(compare({"a": score, "b": near, "c": far}))
    assert told == "a has the lowest CMD, but cannot be told from b; it is better than c."


def test_every_number_of_the_family_has_its_place() -> None:
    placed = by_aspect(list(METRIC_OF))
    assert sorted(name for names in placed.values() for name in names) == sorted(METRIC_OF)
    assert placed.keys() <= {*ASPECTS, OTHERS}
    assert title_of("clipscore") == "CLIPScore" and title_of("new_number") == "new number"


def test_numbers_have_a_true_minus_and_no_negative_zero() -> None:
    assert [fixed(x) for x in (-0.00001, 0.0, -1.5, None)] == ["0.0000", "0.0000", "−1.5000", "–"]
    assert fixed(1e-9, "%+.2f") == "0.00" and fixed(0.5, "%+.1f") == "+0.5"


def test_the_baseline_is_read(tmp_path: Path, score: CMDScore) -> None:
    score.save(tmp_path / "a.json")
    assert json.loads((tmp_path / "a.json").read_text())["cmd"] == score.cmd
