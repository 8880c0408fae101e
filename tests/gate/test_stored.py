"""The JSON of a score as anyone may hand it in: a clear error, or an answer."""

from __future__ import annotations

import contextlib
import copy
import functools
import json
import os
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from cmdmetric import cmd
from cmdmetric.compare import compare, explain
from cmdmetric.errors import InputError
from cmdmetric.gate import check
from cmdmetric.scoring import CMDScore, Slices, citations_of_files
from cmdmetric.scoring.detail.copies import Copying, Nearest
from cmdmetric.scoring.detail.slices import Slice, SliceValue
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


#: More of them where this is set: for the ten minutes of a long search.
EXAMPLES = int(os.environ.get("CMDMETRIC_FUZZ_EXAMPLES", "200"))


@functools.cache
def everything() -> dict[str, Any]:
    """The JSON of a score with all that a score may tell."""
    rng = np.random.default_rng(0)
    f, r, l = (rng.standard_normal((60, 4)) for _ in range(3))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        score = cmd(f, l, r, metrics="clip_kid,cmmd,vendi")
    number = SliceValue(1.5, 0.5, 0.5, 2.5)
    slices = Slices("tag", (Slice("a", 30, 30, number, {"clipscore": number}, number),), 30)
    near = (Nearest("a.png", "b.png", 0.25, True),)
    copying = Copying("train", 60, 0.5, 0.1, 0.05, 0.02, 60, "copies|v:1", near)
    networks = {"inception": {"weights": "0" * 64, "real": "r", "n_real": 60}}
    score = replace(score, slices=slices, memorisation=copying, networks=networks)
    content: dict[str, Any] = json.loads(json.dumps(score.to_dict()))
    return content


def places(content: Any, at: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The ways to every value of a JSON object."""
    found = [at] if at else []
    inner = content.items() if isinstance(content, dict) else ()
    for key, value in enumerate(content) if isinstance(content, list) else inner:
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


@settings(max_examples=EXAMPLES, suppress_health_check=[HealthCheck.function_scoped_fixture])
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


@settings(max_examples=EXAMPLES, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_any_change_can_be_shown_or_is_refused(tmp_path: Path, data: st.DataObject) -> None:
    """Whatever reads a stored score either refuses it, or what it has read can be shown."""
    whole = everything()
    at = data.draw(st.sampled_from(places(whole)))
    value = data.draw(JSON | st.sampled_from([10**400, 1e300, -1.0, "\x1b[2J"]))
    bad = tmp_path / "bad.json"
    bad.write_text(json.dumps(changed(whole, at, value)))

    def show() -> None:
        score = CMDScore.load(bad)
        str(score), repr(score), score.short_signature
        score._repr_html_(), score.to_latex(), score.to_flat_dict(), score.to_dict()

    for use in (
        show,
        lambda: explain(bad, whole).to_dict(),
        lambda: explain(whole, bad).to_dict(),
        lambda: compare([bad, bad]).to_dict(),
        lambda: citations_of_files([bad]),
    ):
        with contextlib.suppress(InputError):
            use()
