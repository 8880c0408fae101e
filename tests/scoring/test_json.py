"""The JSON of a score, held to its schema."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import jsonschema
import pytest

from cmdmetric import InputError
from cmdmetric.compare import compare
from cmdmetric.gate import check
from tests.conftest import ROOT
from tests.support.commands import run

SCHEMA = json.loads((ROOT / "cmdmetric/scoring/score.schema.json").read_text(encoding="utf-8"))
BASELINE = ROOT / "tests/gate/baselines/scenes-small.json"


@pytest.fixture(scope="module")
def result(example: Path, tmp_path_factory: pytest.TempPathFactory) -> dict:
    output = tmp_path_factory.mktemp("json") / "score.json"
    done = run("cmd-score", example / "generated", example / "captions.json", "--model",
               "scenes-toy", "--metrics", "clipscore,prdc", "-o", output, "-q")  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads(output.read_text())


def test_a_score_is_as_its_schema_says(result: dict) -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    jsonschema.validate(result, SCHEMA, format_checker=jsonschema.FormatChecker())
    record = result["run"]
    assert record["command"][0].endswith("cmd-score") and "scenes-toy" in record["command"]
    assert record["versions"].keys() >= {"cmdmetric", "torch", "open_clip_torch", "pillow"}
    assert record["platform"]["python"].startswith("3.") and record["date"].endswith("+00:00")


def test_the_schema_tells_a_wrong_result(result: dict) -> None:
    for wrong in ({"cmd": None}, {"signature": "CMD|a"}, {"more": 1}, {"schema": 1}):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate({**result, **wrong}, SCHEMA)


def test_every_field_is_documented() -> None:
    text = (ROOT / "docs/json.md").read_text(encoding="utf-8")
    assert [key for key in SCHEMA["properties"] if f"`{key}`" not in text] == []


def test_the_baseline_is_of_this_schema() -> None:
    jsonschema.validate(json.loads(BASELINE.read_text(encoding="utf-8")), SCHEMA)


def test_an_older_result_is_read_and_a_newer_one_refused(result: dict, tmp_path: Path) -> None:
    old = {key: value for key, value in result.items() if key not in ("schema", "run")}
    kept = ("CMD", "proto", "model", "f", "r", "l", "dtype", "v")
    parts = [x for x in old["signature"].split("|") if x.partition(":")[0] in kept]
    old["signature"] = "|".join(part.partition("@")[0] if part[:2] in ("f:", "r:", "l:") else part
                                for part in parts)  # fmt: skip
    verdict = check(result, old)
    assert verdict.outcome == "within"
    assert "taken on trust" in " ".join(verdict.notes)
    new, first = tmp_path / "new.json", tmp_path / "first.json"
    new.write_text(json.dumps({**result, "schema": 3}))
    first.write_text(json.dumps(result))
    for refused in (lambda: check(result, new), lambda: compare([first, new])):
        with pytest.raises(InputError, match=r"new\.json: it has schema 3.*reads up to 2"):
            refused()
    shutil.copy(first, tmp_path / "second.json")
    assert compare([first, tmp_path / "second.json"]).entries[0].n == 160
