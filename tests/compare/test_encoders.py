"""The same images under several encoders: orders that agree, and a model better under one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from cmdmetric.compare import across_encoders
from cmdmetric.errors import InputError
from tests.compare.test_stored_scores import score
from tests.conftest import ROOT
from tests.support.commands import run

SCHEMA = json.loads((ROOT / "cmdmetric/compare/encoders.schema.json").read_text())


def of(model: str, encoder: str, dis_fr: float, error: float | None = 0.1, **more: Any) -> Any:
    """A score of a model's images under an encoder."""
    signature = f"CMD|proto:clip|model:{encoder}@0123|f:100@{model}|r:50@beef|l:9|dtype:fp32|v:1"
    content = score(dis_fr + 1, signature=signature, generated=f"{model}/", dis_fr=dis_fr)
    content["uncertainty"]["dis_fr"] = {"standard_error": error}
    return {**content, **more}


def test_one_order() -> None:
    found = across_encoders([
        of("aa", "A", 1), of("bb", "A", 2), of("cc", "A", 3),
        of("aa", "B", 10), of("bb", "B", 40), of("cc", "B", 30),
    ])  # fmt: skip
    (agreement,) = found.agreements
    assert found.encoders == ("A (clip)", "B (clip)")
    # Of three pairs one is the other way round: (2 - 1) / 3.
    assert agreement.tau == pytest.approx(1 / 3) and agreement.pairs == 3
    assert agreement.reversed == (("bb/", "cc/"),)
    assert "was it trained or chosen by A (clip)?" in " ".join(found.lines())


def test_what_may_be_chance_is_no_alarm() -> None:
    def reversed_(**errors: float | None) -> int:
        scores = [of("aa", "A", 1), of("bb", "A", 2), of("aa", "B", 5, errors["b"]),
                  of("bb", "B", 4.8, errors["b"])]  # fmt: skip
        (agreement,) = across_encoders(scores).agreements
        assert agreement.tau == -1
        return len(agreement.reversed)

    assert reversed_(b=0.05) == 1  # 0.2 is 2.8 errors of the difference
    assert reversed_(b=0.08) == 0  # 1.8
    assert reversed_(b=None) == 0


def test_networks_beside_clip_are_encoders_too() -> None:
    def metrics(value: float) -> dict[str, Any]:
        return {"fd_dinov2": {"value": value, "standard_error": 1.0, "network": "dinov2"},
                "clipscore": {"value": 0.7, "standard_error": 0.1}}  # fmt: skip

    found = across_encoders(
        [of("aa", "A", 1, metrics=metrics(300.0)), of("bb", "A", 2, metrics=metrics(200.0))]
    )
    (agreement,) = found.agreements
    assert found.encoders == ("A (clip)", "fd_dinov2") and agreement.tau == -1
    assert agreement.reversed == (("aa/", "bb/"),)


def test_what_is_refused() -> None:
    a, b = of("aa", "A", 1), of("bb", "A", 2)
    plain = {**a, "signature": a["signature"].replace("@aa", "")}
    fewer = {**of("cc", "A", 1), "signature": a["signature"].replace("100@aa", "90@cc")}
    part = {**of("aa", "B", 3), "signature": of("ff", "B", 3)["signature"]}
    other = {**b, "signature": b["signature"].replace("@beef", "@dead")}
    for scores, message in (
        ([a, b], "2 sets of images under 1 encoders"),
        ([a, of("aa", "B", 1)], "1 sets of images under 2 encoders"),
        ([plain, b], "does not tell which images"),
        ([a, other], "different real images"),
        ([a, of("aa", "A", 7)], "two scores under A"),
        ([a, fewer, of("aa", "B", 3), of("bb", "B", 4)], "aa/ is of 100 images, cc/ of 90: "),
        ([a, b, part, of("bb", "B", 4)], r"aa/ is not the same images under A .* as under B"),
        ([a, b, of("cc", "B", 1), of("dd", "B", 2)], "no two of these encoders"),
    ):
        with pytest.raises(InputError, match=message):
            across_encoders(scores)


def test_the_command(tmp_path: Path) -> None:
    files = []
    for i, content in enumerate(
        (of("aa", "A", 1), of("bb", "A", 2), of("aa", "B", 4), of("bb", "B", 3))
    ):
        files.append(tmp_path / f"{i}.json")
        files[-1].write_text(json.dumps(content))
    done = run("cmdmetric", "compare", "--encoders", *files, "--format", "json")
    assert done.returncode == 0, done.stderr
    content = json.loads(done.stdout)
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    jsonschema.validate(content, SCHEMA)
    for wrong in ({**content, "more": 1}, {**content, "agreements": [{"tau": 2}]}):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(wrong, SCHEMA)
    (agreement,) = content["agreements"]
    assert agreement["reversed"] == [["aa/", "bb/"]] and agreement["tau"] == -1
    refused = run("cmdmetric", "compare", "--encoders", *files, "--format", "csv")
    assert refused.returncode == 2 and "--encoders" in refused.stderr
