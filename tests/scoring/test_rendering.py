"""A score as people see it: printed, in a notebook, in a paper, in a plot, and read again."""

from __future__ import annotations

import dataclasses
import json
import re
import shutil
import sys
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

from cmdmetric import CMDScore, InputError, cmd
from cmdmetric.compare import compare
from cmdmetric.scoring.rendering.table import decimals
from tests.support.commands import run


@pytest.fixture(scope="module")
def score(example: Path, seen_example: Path, tmp_path_factory: pytest.TempPathFactory) -> CMDScore:
    cache = shutil.copytree(seen_example, tmp_path_factory.mktemp("seen") / "cache") / "features"
    return cmd(
        example / "generated", example / "captions.json", model="scenes-toy", metrics="prdc",
        device="cpu", cache=cache,
    )  # fmt: skip


def moments_alone(score: CMDScore) -> CMDScore:
    return dataclasses.replace(
        score, uncertainty=None, n=None, paired=None, metrics={}, signatures={}
    )


def test_printed_it_is_what_the_terminal_shows(score: CMDScore, example: Path) -> None:
    """Five lines, and below them the metrics that were asked for."""
    lines = str(score).split("\n")
    done = run("cmd-score", score.generated, score.captions, "--model", "scenes-toy", "-q")
    assert done.stdout.split("\n")[:5] == lines[:5]
    assert lines[5] == "" and [line.split()[0] for line in lines[6:]] == list(score.metrics)
    bars = score.uncertainty
    assert bars is not None
    assert f"{score.cmd:.4f} ± {bars.cmd.standard_error:.4f}" in lines[0]
    assert f"debiased {bars.cmd.debiased:.4f}" in lines[0]
    assert f"Dis(f,l) {score.dis_fl:.4f} - Dis(r,l) {score.dis_rl:.4f}" in lines[1]
    assert "400 generated images" in lines[3] and "2,000 captions" in lines[3]
    assert lines[4].endswith(score.signature)
    assert str(dataclasses.replace(score, metrics={})).split("\n") == lines[:5]


def test_repr_is_one_line_with_the_signature(score: CMDScore) -> None:
    assert "\n" not in repr(score) and score.short_signature in repr(score)
    assert f"{score.cmd:.4f}" in repr(score)


def test_what_is_not_known_is_left_out(score: CMDScore) -> None:
    lines = str(moments_alone(score)).split("\n")
    assert len(lines) == 5 and "±" not in str(moments_alone(score))
    assert "count not recorded" in lines[3]
    bars = score.uncertainty
    assert bars is not None
    withheld = dataclasses.replace(
        bars, cmd=dataclasses.replace(bars.cmd, debiased=None, low=None, high=None),
        withheld="there are 3 draws",
    )  # fmt: skip
    text = str(dataclasses.replace(score, uncertainty=withheld))
    assert "debiased not known: there are 3 draws" in text


def test_a_notebook_shows_a_table_of_every_number(score: CMDScore) -> None:
    page = score._repr_html_()
    tree = ElementTree.fromstring(f"<div>{page}</div>")
    rows = tree.findall(".//tbody/tr")
    assert len(rows) == 5 + len(score.metrics)
    assert len(tree.findall(".//svg")) == 3 and score.signature in "".join(tree.itertext())


def test_a_hostile_source_is_text(score: CMDScore) -> None:
    hostile = dataclasses.replace(
        score, generated="\x1b[2J<script>", signature="CMD|f:<b>&amp;", metrics={}
    )
    assert "<script>" not in hostile._repr_html_() and "<b>" not in hostile._repr_html_()
    assert "\x1b" not in str(hostile) and "\x1b" not in hostile.to_latex()


def test_a_flat_dict_is_what_a_logger_takes(score: CMDScore) -> None:
    flat = score.to_flat_dict()
    assert flat["cmd"] == score.cmd and flat["n"] == 400
    assert flat["precision"] == score.metrics["precision"].value
    assert flat["cmd_debiased"] == score.uncertainty.cmd.debiased  # type: ignore[union-attr]
    assert json.loads(json.dumps(flat)) == flat
    unknown = dataclasses.replace(score, n_captions=None).to_flat_dict()
    for each in (flat, unknown):  # MLflow and TensorBoard refuse a name with anything else
        assert all(isinstance(value, (int, float)) for value in each.values())
    assert flat.keys() - unknown.keys() == {"n_captions"}


def test_a_data_frame_has_a_row_a_number(score: CMDScore) -> None:
    pytest.importorskip("pandas")
    frame = score.to_pandas()
    assert list(frame.index[:5]) == ["cmd", "itdis", "dis_fr", "dis_fl", "dis_rl"]
    assert frame.loc["cmd", "value"] == score.cmd
    assert frame.loc["precision", "better"] == "higher"


def test_without_pandas_it_says_what_to_do(
    score: CMDScore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(InputError, match="pip install pandas"):
        score.to_pandas()


def test_latex_is_rounded_to_the_error(score: CMDScore) -> None:
    text = score.to_latex(["cmd", "precision"])
    assert "\\toprule" in text and text.count("&") == 2 and text.count("\\\\") == 2
    error = score.uncertainty.cmd.standard_error  # type: ignore[union-attr]
    assert f"${score.cmd:.2f}\\pm {error:.2f}$" in text
    assert text.startswith(f"% {score.signature}")
    with pytest.raises(InputError, match="no 'fid'"):
        score.to_latex(["fid"])


@pytest.mark.parametrize(
    ("error", "expected"),
    [(0.4522, 2), (0.0996, 3), (0.00028, 5), (12.3, 0), (None, 4), (0.0, 4), (np.nan, 4)],
)
def test_decimals(error: float | None, expected: int) -> None:
    assert decimals(error) == expected


def test_a_plot_has_a_bar_for_each_part(score: CMDScore) -> None:
    pytest.importorskip("matplotlib")
    from matplotlib.figure import Figure

    figure = Figure()
    drawn, axes = score.plot(figure.add_subplot())
    assert drawn is figure
    assert [bar.get_width() for bar in axes.patches] == [score.cmd, score.itdis, score.dis_fr]
    assert "CMD" in axes.get_yticklabels()[0].get_text()


def test_what_is_saved_is_read_again(score: CMDScore, tmp_path: Path) -> None:
    score.save(tmp_path / "a.json")
    assert CMDScore.load(tmp_path / "a.json") == score
    bare = moments_alone(score)
    bare.save(tmp_path / "b.json")
    assert CMDScore.load(tmp_path / "b.json") == bare


def test_the_json_of_the_command_and_of_older_releases_is_read(
    score: CMDScore, tmp_path: Path
) -> None:
    content = score.to_dict()
    old = {key: content[key] for key in ("cmd", "itdis", "dis_fr", "dis_fl", "dis_rl", "signature")}
    (tmp_path / "old.json").write_text(json.dumps(old))
    found = CMDScore.load(tmp_path / "old.json")
    assert float(found) == score.cmd and found.n is None and found.uncertainty is None
    assert len(str(found).split("\n")) == 5


@pytest.mark.parametrize(
    "content",
    [
        [],
        {},
        {"signature": "CMD"},
        {"uncertainty": {"cmd": 3}},
        {"metrics": {"fid": {"value": "x"}}},
    ],
)
def test_what_is_no_score_is_refused(score: CMDScore, content: object, tmp_path: Path) -> None:
    if isinstance(content, dict) and content.keys() & {"uncertainty", "metrics"}:
        content = {**score.to_dict(), **content}
    (tmp_path / "x.json").write_text(json.dumps(content))
    with pytest.raises(InputError, match=re.escape("x.json")):
        CMDScore.load(tmp_path / "x.json")
    with pytest.raises(InputError, match="does not exist"):
        CMDScore.load(tmp_path / "absent.json")


def test_scores_files_and_dicts_compare_alike(score: CMDScore, tmp_path: Path) -> None:
    worse = dataclasses.replace(score, cmd=score.cmd + 1, generated="worse")
    score.save(tmp_path / "a.json")
    worse.save(tmp_path / "b.json")
    of_files = compare([tmp_path / "a.json", tmp_path / "b.json"])
    mixed = compare([score, str(tmp_path / "b.json")])
    named = compare({"ours": score.to_dict(), "theirs": worse})
    assert [e.name for e in of_files.entries] == ["a", "b"]
    assert [e.name for e in mixed.entries] == [score.generated, "b"]
    assert [e.name for e in named.entries] == ["ours", "theirs"]
    values = [[e.cmd for e in each.entries] for each in (of_files, mixed, named)]
    assert values[0] == values[1] == values[2] == [score.cmd, worse.cmd]
    assert len({e.name for e in compare([score, score]).entries}) == 2
    with pytest.raises(InputError, match="two scores or more"):
        compare([score])
    with pytest.raises(InputError, match="not the JSON of a score"):
        compare([score, {}])
