"""The JSON of a score, read again: a file of anyone's, of which nothing is taken on trust."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cmdmetric.errors import InputError
from cmdmetric.files import missing
from cmdmetric.metrics import QUANTITIES

#: Of the JSON that results are written as; docs/json.md says what each version is.
SCHEMA = 2
#: CMD under any protocol is far below; squares of what is below are far from overflowing.
_LARGEST = 1e15
#: The most digits of a whole number: one of more is no float.
_DIGITS = 300
#: What a score's JSON has levels of: the score, its metrics, a metric, and one for extensions.
_DEEPEST = 8

# The types of a score's JSON (`_refuse_types`), as errors call them. Any value may be left out or
# null, but for the items of a list and the objects under "*"; what is not named may be anything.
_NUMBER, _ERROR, _TEXT = "a number", "a number from 0 up", "text"
_VALUE = {
    **dict.fromkeys(("value", "raw", "debiased", "low", "high"), _NUMBER),
    "standard_error": _ERROR,
    **dict.fromkeys(("better", "network", "signature"), _TEXT),
}
_SCORE = {
    **dict.fromkeys((*QUANTITIES, "n", "draws", "n_real", "n_captions"), _NUMBER),
    **dict.fromkeys(("paired", "skipped", "truncated", "empty"), _NUMBER),
    **dict.fromkeys(("signature", "protocol", "model", "weights"), _TEXT),
    **dict.fromkeys(("generated", "real", "captions"), _TEXT),
    "warnings": [_TEXT],
    "uncertainty": {
        **dict.fromkeys(QUANTITIES, _VALUE),
        **dict.fromkeys(("signed_itdis", "draws", "second_order"), _NUMBER),
        **dict.fromkeys(("debiasing", "withheld"), _TEXT),
        "sides": [_TEXT],
        "parts": {"*": {"*": _VALUE}},
    },
    "metrics": {"*": _VALUE},
    "networks": {"*": {"n_real": _NUMBER, "*": _TEXT}},
    "slices": {
        **{"by": _TEXT, "unlabelled": _NUMBER},
        "slices": [
            {"label": _TEXT, "n": _NUMBER, "draws": _NUMBER, "adds": _VALUE, "cmd": _VALUE,
             "metrics": {"*": _VALUE}}
        ],
    },
    "memorisation": {
        **dict.fromkeys(("train", "signature"), _TEXT),
        **dict.fromkeys(("n_train", "authentic", "copied", "n_held_out"), _NUMBER),
        **dict.fromkeys(("authentic_standard_error", "copied_standard_error"), _ERROR),
        "nearest": [{"name": _TEXT, "train": _TEXT, "distance": _NUMBER}],
    },
}  # fmt: skip


def read_json(path: Path, advice: str = "") -> Any:
    """Read a file of JSON.

    Raises:
        InputError: There is no such file (the message ends with the advice), it cannot be read, or
            it is no JSON.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8-sig"), parse_int=_whole)
    except FileNotFoundError:
        raise missing(path, advice) from None
    except OSError as error:
        raise InputError(f"{path}: not the JSON of a score: {error.strerror}") from None
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}: not the JSON of a score, nor any: {error}") from None


def _whole(digits: str) -> int:
    if len(digits) > _DIGITS:
        raise ValueError(f"a number of {len(digits)} digits")
    return int(digits)


def refuse_malformed(content: Any, name: str) -> None:
    """Raise InputError unless it is the JSON of one score, each field of the type that it has."""
    if isinstance(content, Mapping) and ("models" in content or {"first", "second"} <= {*content}):
        raise InputError(
            f"{name}: the result of several generators; score each without --versus, with -o FILE"
        )
    if not isinstance(content, Mapping) or not isinstance(content.get("signature"), str):
        raise InputError(f"{name}: not the JSON of a score; `cmd-score ... -o FILE` makes one")
    _refuse_newer(content, name)
    if _depth(content) > _DEEPEST:
        raise InputError(f"{name}: not the JSON of a score: it is nested too deeply")
    for key in QUANTITIES:
        if not _is_number(content.get(key)):
            raise InputError(f"{name}: {key} is {_told(content.get(key))}, not a number")
    _refuse_types(content, _SCORE, name)


def _refuse_types(
    value: Any, shape: Any, name: str, at: str = "", *, optional: bool = True
) -> None:
    """Raise InputError where a value that is there, or one within it, has not its type.

    Args:
        value: A value of the JSON.
        shape: What it has to be: `_NUMBER`, `_ERROR`, `_TEXT`, a list with the shape of the items,
            or a dictionary with those of known keys; under "*" that of every other key.
        name: What an error calls the score.
        at: Where in the score the value stands.
        optional: Whether null may stand there.
    """
    if value is None and optional:
        return
    if isinstance(shape, str):
        known = isinstance(value, str) if shape == _TEXT else _is_number(value)
        if not known or (shape == _ERROR and value < 0):
            raise InputError(f"{name}: {at} is {_told(value)}, not {shape}")
    elif isinstance(shape, list):
        if not isinstance(value, (list, tuple)):
            raise InputError(f"{name}: {at} is {_told(value)}, not a list")
        for place, item in enumerate(value):
            _refuse_types(item, shape[0], name, f"{at}[{place}]", optional=False)
    elif not isinstance(value, Mapping):
        raise InputError(f"{name}: {at} is {_told(value)}, not an object")
    else:
        for key, inner in value.items():
            of = shape.get(key, shape.get("*"))
            if of is not None:
                known = key in shape or isinstance(of, str)
                _refuse_types(inner, of, name, f"{at}.{key}" if at else str(key), optional=known)


def _is_number(value: Any) -> bool:
    known = isinstance(value, (int, float)) and not isinstance(value, bool)
    return known and abs(value) < _LARGEST and math.isfinite(value)


def _depth(content: Any) -> int:
    """How deeply objects and lists stand in each other, looked up to a level too many."""
    level, depth = [content], 0
    while level and depth <= _DEEPEST:
        depth += 1
        values = [each.values() if isinstance(each, Mapping) else each for each in level]
        level = [v for each in values for v in each if isinstance(v, (Mapping, list, tuple))]
    return depth


def _told(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:39]}…"


def _refuse_newer(content: Mapping[str, Any], name: str) -> None:
    """Refuse the JSON of a later release, whose fields may mean something else.

    Raises:
        InputError: Its schema is later than this release's.
    """
    schema = content.get("schema", 1)
    if not isinstance(schema, int) or schema > SCHEMA:
        raise InputError(
            f"{name}: it has schema {schema!r}, this cmdmetric reads up to {SCHEMA} "
            "(docs/json.md): update cmdmetric"
        )
