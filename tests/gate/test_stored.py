"""The JSON of a score as anyone may hand it in: a clear error, or an answer."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from cmdmetric.compare import compare
from cmdmetric.errors import InputError
from cmdmetric.gate import check
from tests.gate.test_check import ERRORS, result

WHOLE = result(
    uncertainty={**ERRORS, "cmd": {"standard_error": 0.05, "debiased": 8.9, "low": 8, "high": 9}},
    metrics={"fid": {"value": 12.5, "standard_error": 0.1}},
) | {"draws": 30000, "paired": 30000, "real": "r", "networks": {"inception": {"n_real": 3}}}
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=5,
)


def places(content: Any, at: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The ways to every value of a JSON object."""
    found = [at] if at else []
    if isinstance(content, dict):
        for key, value in content.items():
            found += places(value, (*at, key))
    return found


def changed(content: dict[str, Any], at: tuple[Any, ...], value: Any) -> dict[str, Any]:
    content = copy.deepcopy(content)
    inner = content
    for key in at[:-1]:
        inner = inner[key]
    inner[at[-1]] = value
    return content


@pytest.mark.parametrize(
    "text",
    [
        json.dumps(WHOLE | change)
        for change in (
            {"cmd": "8"}, {"cmd": True}, {"cmd": None}, {"cmd": [1]}, {"cmd": 10**400},
            {"metrics": "x"}, {"metrics": {"fid": 3}}, {"metrics": [1]}, {"uncertainty": [1]},
            {"uncertainty": {"sides": 5}}, {"n": "many"}, {"n": 1e300}, {"networks": "x"},
            {"signature": 5}, {"signature": None},
        )
    ]
    + [
        "[" * 100_000, '{"a":' * 100_000, "[" * 500 + "]" * 500, "", "nul", "[]", "5",
        json.dumps(WHOLE)[:-1] + ', "deep": ' + "[" * 500 + "]" * 500 + "}",
    ],
)  # fmt: skip
def test_malformed_scores_are_refused(text: str, tmp_path: Path) -> None:
    bad, good = tmp_path / "bad.json", tmp_path / "good.json"
    bad.write_text(text)
    good.write_text(json.dumps(WHOLE))
    with pytest.raises(InputError, match=r"bad\.json: "):
        check(WHOLE, str(bad))
    with pytest.raises(InputError, match=r"bad\.json: "):
        compare([bad, good])


@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sampled_from(places(WHOLE)), JSON)
def test_any_change_is_refused_or_answered(tmp_path: Path, at: tuple[Any, ...], value: Any) -> None:
    bad, good = tmp_path / "bad.json", tmp_path / "good.json"
    text = json.dumps(changed(WHOLE, at, value))
    bad.write_text(text)
    good.write_text(json.dumps(WHOLE))
    for attempt in (lambda: check(WHOLE, str(bad), tolerance="2se"), lambda: compare([bad, good])):
        try:
            attempt().to_dict()
        except InputError as error:
            assert "bad.json" in str(error)
