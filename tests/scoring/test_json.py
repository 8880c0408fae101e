"""The JSON of a score, held to its schema."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import jsonschema
import pytest
import referencing

from cmdmetric import InputError
from cmdmetric.compare import compare
from cmdmetric.gate import check
from tests.conftest import ROOT
from tests.support.commands import run

SCHEMAS = {
    Path(place).name.partition(".")[0]: json.loads((ROOT / place).read_text(encoding="utf-8"))
    for place in (
        "cmdmetric/scoring/score.schema.json",
        "cmdmetric/compare/ranking.schema.json",
        "cmdmetric/compare/versus.schema.json",
    )
}
SCHEMA = SCHEMAS["score"]
#: The last two refer to the first.
REGISTRY = referencing.Registry().with_resources(
    (schema["$id"], referencing.Resource.from_contents(schema)) for schema in SCHEMAS.values()
)
BASELINE = ROOT / "tests/gate/baselines/scenes-small.json"


@pytest.fixture(scope="module")
def result(example: Path, seen_example: Path, tmp_path_factory: pytest.TempPathFactory) -> dict:
    folder = tmp_path_factory.mktemp("json")
    output = folder / "score.json"
    done = run("cmd-score", example / "generated", example / "captions.json", "--model",
               "scenes-toy", "--metrics", "clipscore,prdc", "-o", output, "-q",
               CMDMETRIC_CACHE=str(shutil.copytree(seen_example, folder / "cache")))  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads(output.read_text())


def test_a_score_is_as_its_schema_says(result: dict) -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    jsonschema.validate(result, SCHEMA, format_checker=jsonschema.FormatChecker())
    record = result["run"]
    assert record["command"][0].endswith("cmd-score") and "scenes-toy" in record["command"]
    assert record["versions"].keys() >= {"cmdmetric", "torch", "open_clip_torch", "pillow"}
    assert record["platform"]["python"].startswith("3.") and record["date"].endswith("+00:00")


def validate(result: dict, name: str) -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMAS[name])
    jsonschema.Draft202012Validator(
        SCHEMAS[name], registry=REGISTRY, format_checker=jsonschema.FormatChecker()
    ).validate(result)


def of_several(example: Path, *more: object) -> dict:
    done = run("cmd-score", example / "generated", *more, example / "captions.json", "--model",
               "scenes-toy", "--metrics", "clipscore,vendi", "--format", "json", "-q")  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.usefixtures("remembered_example")
def test_rankings_and_two_generators_have_schemas_too(
    example: Path, result: dict, tmp_path: Path
) -> None:
    ranking = of_several(example, example / "real")
    validate(ranking, "ranking")
    assert ranking["run"]["date"] and len(ranking["scores"]) == 2
    files = [tmp_path / name for name in ("a.json", "b.json")]
    for file in files:
        file.write_text(json.dumps(result))
    stored = compare(files).to_dict()
    validate(json.loads(json.dumps(stored)), "ranking")
    both = of_several(example, "--versus", example / "real")
    validate(both, "versus")
    for name, good in (("ranking", ranking), ("versus", both)):
        for wrong in ({"more": 1}, {"schema": 1}):
            with pytest.raises(jsonschema.ValidationError):
                validate({**good, **wrong}, name)


def test_every_printed_number_has_both_forms_of_its_signature(result: dict) -> None:
    for each in (result, *result["metrics"].values()):
        fields, short = (
            [part.partition(":")[0] for part in each[key].split("|")]
            for key in ("signature", "short_signature")
        )
        assert short[0] == fields[0] and short[1:] == ["proto", "model", "f", "r", "l", "v"]
        assert set(short) < set(fields)


@pytest.mark.usefixtures("remembered_example")
def test_the_short_form_on_the_command_line(example: Path, result: dict) -> None:
    done = run("cmd-score", example / "generated", example / "captions.json", "--model",
               "scenes-toy", "--short", "-q")  # fmt: skip
    assert f"signature  {result['short_signature']}\n" in done.stdout
    assert result["signature"] not in done.stdout


def test_the_schema_tells_a_wrong_result(result: dict) -> None:
    for wrong in ({"cmd": None}, {"signature": "CMD|a"}, {"more": 1}, {"schema": 1}):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate({**result, **wrong}, SCHEMA)


def test_every_field_is_documented() -> None:
    text = (ROOT / "docs/json.md").read_text(encoding="utf-8")
    fields = [key for schema in SCHEMAS.values() for key in schema["properties"]]
    fields += SCHEMAS["versus"]["properties"]["difference"]["properties"]
    fields += SCHEMAS["ranking"]["$defs"]["against"]["properties"]
    assert [key for key in fields if f"`{key}`" not in text] == []


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
    assert compare([first, tmp_path / "second.json"]).entries[0].n == 400
