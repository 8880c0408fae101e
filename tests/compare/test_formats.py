"""Tables for papers, texts and spreadsheets: what is marked, and that no name commands anything."""

from __future__ import annotations

import csv
import io
import json
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, strategies as st
from scipy import stats

from cmdmetric import published
from cmdmetric.compare import compare, to_csv, to_grid
from cmdmetric.compare.standing import marks_of
from cmdmetric.grid import Cell, Grid, csv_text, latex_text, markdown_text
from cmdmetric.published.formats import to_grid as published_grid
from tests.compare.test_stored_scores import score, stored
from tests.support.commands import run

HOSTILE = [
    "=HYPERLINK(1)",
    "+1",
    "-1",
    "@SUM(A1)",
    "\tx",
    "＝1",
    '"',
    "a,b",
    "a\r\nb",
    "100% & {x}_$#^~\\",
]


def with_parts(cmd: float, itdis: float, **metrics: tuple[float, float]) -> dict[str, Any]:
    """A score with error bars of its parts, 0.1 each, and with metrics (value, error)."""
    made = score(cmd, itdis=itdis, dis_fr=cmd - itdis)
    for name in ("itdis", "dis_fr"):
        made["uncertainty"][name] = {"standard_error": 0.1}
    made["metrics"] = {k: {"value": v, "standard_error": e} for k, (v, e) in metrics.items()}
    return made


@pytest.fixture
def scores() -> dict[str, Any]:
    return {
        "a": with_parts(8.0, 1.0, clipscore=(0.70, 0.01), vendi=(3.0, 0.1)),
        "b": with_parts(8.2, 0.9, clipscore=(0.80, 0.01)),
        "c": with_parts(12.0, 3.0, clipscore=(0.79, 0.01), vendi=(9.0, 0.1)),
    }


def test_the_best_and_what_may_be_equal_are_marked(scores: dict[str, Any]) -> None:
    result = compare(scores)
    marks = {name: dict(zip("abc", of, strict=True)) for name, of in marks_of(result).items()}
    assert [entry.name for entry in result.entries] == ["a", "b", "c"]
    # Differences of 0.2 +- 0.14 and 0.1 +- 0.14 may be chance; the smaller of two p-values doubles.
    assert 2 * stats.norm.sf(0.2 / 2**0.5 / 0.1) > 0.05
    assert marks["cmd"] == {"a": "best", "b": "tied", "c": ""}
    # Each column has a best of its own, which the others are tested against.
    assert marks["itdis"] == {"a": "tied", "b": "best", "c": ""}
    assert marks["dis_fr"] == {"a": "best", "b": "", "c": ""}
    assert marks["clipscore"] == {"a": "", "b": "best", "c": "tied"}
    # What a model has not is neither, and takes no part.
    assert marks["vendi"] == {"a": "", "b": "", "c": "best"}


def test_without_errors_nothing_is_called_equal(scores: dict[str, Any]) -> None:
    for each in scores.values():
        each["uncertainty"] = None
        each["metrics"] = {}
    marks = marks_of(compare(scores))
    assert marks["cmd"] == marks["dis_fr"] == ["best", "unknown", "unknown"]
    assert "not known" in to_grid(compare(scores)).to_markdown()


def test_all_that_have_the_best_number_are_the_best(scores: dict[str, Any]) -> None:
    """As a precision of 1, of which nothing tells an error."""
    for name, value in (("a", 1.0), ("b", 0.9), ("c", 1.0)):
        scores[name]["metrics"] = {
            "precision": {"value": value, "standard_error": None, "better": "higher"}
        }
    assert marks_of(compare(scores))["precision"] == ["best", "unknown", "best"]


def test_unequal_numbers_of_images_are_ranked_by_the_debiased_value(scores: dict[str, Any]) -> None:
    scores["b"] |= {"n": 900, "draws": 900, "paired": 900}
    scores["b"]["uncertainty"]["cmd"]["debiased"] = 2.0
    result = compare(scores)
    grid = to_grid(result)
    assert result.ranked_by == "debiased" and grid.heads[0] == ("debiased CMD", "↓")
    assert grid.rows[0][0] == "b" and grid.rows[0][1][0] == Cell("2.00", "0.10", "best")
    # Its other numbers depend on how many images there are.
    assert marks_of(result)["dis_fr"] == ["unknown", "best", ""]


def test_csv_has_every_number_as_it_is(scores: dict[str, Any]) -> None:
    scores["=1+1"] = scores.pop("b")
    rows = list(csv.DictReader(io.StringIO(to_csv(compare(scores)))))
    assert [row["model"] for row in rows] == ["a", "'=1+1", "c"]
    first = rows[0]
    assert float(first["cmd"]) == 8.0 and float(first["clipscore_standard_error"]) == 0.01
    assert first["vendi_mark"] == "" and rows[1]["vendi"] == "" and rows[2]["vendi_mark"] == "best"
    assert first["signature"] == scores["a"]["signature"]


@given(st.lists(st.lists(st.one_of(st.text(), st.none(), st.floats(allow_nan=False)), min_size=2,
                         max_size=2), max_size=4))  # fmt: skip
def test_csv_is_read_as_it_was_written(rows: list[list[Any]]) -> None:
    back = list(csv.reader(io.StringIO(csv_text(["a", "b"], rows), newline="")))[1:]
    assert len(back) == len(rows)
    for ours, theirs in zip(rows, back, strict=True):
        for value, cell in zip(ours, theirs, strict=True):
            if isinstance(value, float):
                assert float(cell) == value
                continue
            assert cell.removeprefix("'") == (value or "").removeprefix("'")
            assert not cell.startswith(("=", "+", "-", "@", "\t", "\r", "\n"))


@pytest.mark.parametrize("name", ['=HYPERLINK("x"),b', "@SUM", "-1", "a\n=1", 'a"b', "x\r+1"])
def test_no_name_of_a_column_is_a_formula(name: str) -> None:
    """The names of metrics in stored scores are anyone's."""
    text = csv_text(["model", name, "cmd"], [["a", 1.0, 2.0]])
    head, row = csv.reader(io.StringIO(text, newline=""))
    assert len(head) == len(row) == 3
    assert head[1].removeprefix("'") == name and head[1][0] in "'ax"


@pytest.mark.parametrize("name", HOSTILE)
def test_no_name_breaks_a_table(name: str) -> None:
    grid = Grid(
        (("CMD", "↓"),), ((name, (Cell("8.04", "0.10", "best"),)),), (("best", "b"),), (name,)
    )
    markdown = grid.to_markdown().splitlines()
    row = markdown[2]
    assert len(re.findall(r"(?<!\\)\|", row)) == 3 and "**8.04 ± 0.10**" in row
    latex = grid.to_latex()
    comment, *lines = latex.splitlines()
    assert comment.startswith("% ") and len(lines) == 8
    # What is left of LaTeX's own signs is what the table itself writes.
    cell = lines[3].partition(" & $")[0]
    for sign in "{}$&#_%":
        plain = cell.replace(r"\textbackslash{}", "").replace(r"\textasciicircum{}", "")
        assert not re.search(rf"(?<!\\){re.escape(sign)}", plain.replace(r"\textasciitilde{}", ""))
    text = latex_text(name)
    assert "\n" not in text and "\n" not in markdown_text(name)


@pytest.mark.parametrize("form", ["table", "json", "csv", "md", "latex"])
def test_the_command_writes_every_form(form: str, scores: dict[str, Any], tmp_path: Path) -> None:
    files = stored(tmp_path, **scores)
    output = tmp_path / "ranking.json"
    done = run("cmdmetric", "compare", *files, "--format", form, "-o", output)
    assert done.returncode == 0, done.stderr
    assert [model["name"] for model in json.loads(output.read_text())["models"]] == ["a", "b", "c"]
    if form == "json":
        assert json.loads(done.stdout)["ranked_by"] == "cmd"
    elif form == "csv":
        assert [row["model"] for row in csv.DictReader(io.StringIO(done.stdout))] == ["a", "b", "c"]
    elif form == "latex":
        for line in (r"\toprule", r"\midrule", r"\bottomrule", r"\end{tabular}"):
            assert done.stdout.count(line) == 1
        assert r"$\mathbf{8.00 \pm 0.10}$ & $1.00 \pm 0.10^{\dagger}$" in done.stdout
        assert done.stdout.count("% ") == 3 and "not distinguishable" in done.stdout
    else:
        assert "8.00" in done.stdout


def test_the_ending_of_a_file_says_what_is_in_it(tmp_path: Path) -> None:
    files = stored(tmp_path, a=score(8.0), b=score(9.0))
    for ending, form in ((".tex", "latex"), (".csv", "csv"), (".md", "md")):
        output = tmp_path / f"compared{ending}"
        done = run("cmdmetric", "compare", *files, "-o", output)
        assert done.returncode == 0 and "± " in done.stdout, done.stderr
        printed = run("cmdmetric", "compare", *files, "--format", form, "-o", tmp_path / "x.json")
        assert output.read_text() == printed.stdout
        assert json.loads((tmp_path / "x.json").read_text())["models"]
    refused = run("cmdmetric", "compare", "--encoders", *files, "-o", tmp_path / "x.csv")
    assert refused.returncode == 2 and "a table or JSON" in refused.stderr


@pytest.mark.parametrize("form", ["table", "md", "latex", "csv"])
def test_the_papers_tables_in_every_form(form: str) -> None:
    done = run("cmdmetric", "published", "--table", "1", "--format", form)
    assert done.returncode == 0, done.stderr
    best = {"table": "8.04 *", "md": "**8.04**", "latex": r"$\mathbf{8.04}$", "csv": "8.04"}[form]
    rows = [line for line in done.stdout.splitlines() if "GR-GAN" in line and best in line]
    assert len(rows) == 1
    if form != "csv":
        assert "the paper gives no errors" in done.stdout


def test_the_best_of_the_papers_tables_are_the_best() -> None:
    for table in published.tables():
        grid = published_grid(table)
        for place, (_, arrow) in enumerate(grid.heads):
            cells = [row[place] for _, row in grid.rows]
            known = [float(cell.value) for cell in cells if cell.value is not None]
            best = (max if arrow == "↑" else min)(known)
            marked = [float(cell.value or 0) for cell in cells if cell.mark == "best"]
            assert marked and {*marked} == {best}
