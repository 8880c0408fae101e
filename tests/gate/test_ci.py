"""What services that run tests are told of a verdict: GitHub's log and summary, JUnit's XML."""

from __future__ import annotations

import json
import re
from pathlib import Path
from xml.etree import ElementTree

import pytest
import yaml

from cmdmetric.gate import check, junit, log_commands, summary
from tests.conftest import ROOT
from tests.gate.test_check import result
from tests.support.commands import run


@pytest.fixture(scope="module")
def moments(small_example: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Moments of a part of the example, which are scored without torch."""
    folder = tmp_path_factory.mktemp("moments")
    made = []
    for source in ("generated", "real", "captions.json"):
        made.append(folder / f"{source}.npz")
        done = run("cmdmetric", "moments", small_example / source, "-o", made[-1], "--model",
                   "scenes-toy", "-q")  # fmt: skip
        assert done.returncode == 0, done.stderr
    return made


def test_a_failed_check_is_an_annotation_that_commands_nothing_else() -> None:
    got = result()
    verdict = check(got, f"cmd<={got['cmd'] - 1}", "n>=1")
    (line,) = log_commands(verdict, "a:b,c%")
    assert line.startswith("::error title=a%3Ab%2Cc%25::cmd is ")
    forged = check(got, {**got, "weights": "x%\r\n::error::forged"})
    assert forged.outcome == "meaningless"
    for line in log_commands(forged):
        assert line.startswith("::error title=cmd-score::") and "\n" not in line
    assert log_commands(check(got, "n>=1")) == []


def test_a_summary_is_a_table_whatever_names_hold() -> None:
    got = result()
    text = summary(check(got, f"cmd<={got['cmd'] - 1}"), {"signature": "CMD|f:<b>"})
    rows = [line for line in text.splitlines() if line.startswith("| cmd")]
    assert len(rows) == 1 and "**outside**" in rows[0]
    assert len(re.findall(r"(?<!\\)\|", rows[0])) == 6
    assert "<b>" not in text and "&lt;b&gt;" in text


def test_junit_has_a_case_a_check() -> None:
    got = result()
    verdict = check(got, f"cmd<={got['cmd'] - 1}", "n>=1", {**got, "weights": "x\x1b\ufffe"})
    suite = ElementTree.fromstring(junit(verdict))
    cases = suite.findall("testcase")
    assert suite.attrib["failures"] == "1" and suite.attrib["errors"] == "1"
    assert len(cases) == int(suite.attrib["tests"]) == len(verdict.checks) + 1
    assert len(suite.findall("testcase/failure")) == len(suite.findall("testcase/error")) == 1


def test_the_command_tells_the_service(moments: list[Path], tmp_path: Path) -> None:
    f, r, l = moments
    done = run("cmd-score", f, l, "--real", r, "-q", "--check", "cmd<=0.001", "--junit",
               tmp_path / "j.xml", GITHUB_ACTIONS="true",
               GITHUB_STEP_SUMMARY=str(tmp_path / "s.md"))  # fmt: skip
    assert done.returncode == 1
    assert "::error title=cmd-score::cmd is " in done.stderr and "::error" not in done.stdout
    assert "**outside**" in (tmp_path / "s.md").read_text()
    assert ElementTree.parse(tmp_path / "j.xml").getroot().attrib["failures"] == "1"
    quiet = run("cmd-score", f, l, "--real", r, "-q", "--check", "cmd<=0.001", GITHUB_ACTIONS="")
    assert quiet.returncode == 1 and "::error" not in quiet.stderr
    alone = run("cmd-score", f, l, "--real", r, "--junit", tmp_path / "x.xml")
    assert alone.returncode == 2 and "--check" in alone.stderr


def test_the_action_hands_no_input_to_the_shell() -> None:
    action = yaml.safe_load((ROOT / "action.yml").read_text(encoding="utf-8"))
    assert action["runs"]["using"] == "composite"
    steps = action["runs"]["steps"]
    assert not [step for step in steps if "${{" in step.get("run", "")], "pass inputs by env"
    assert json.dumps(action).count("cmd-score") >= 1
