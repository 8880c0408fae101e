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
#: What a score's JSON has levels of: the score, its metrics, a metric, and one for extensions.
_DEEPEST = 8


def read_json(path: Path, advice: str = "") -> Any:
    """Read a file of JSON.

    Raises:
        InputError: There is no such file (the message ends with the advice), it cannot be read, or
            it is no JSON.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8-sig"))
    except FileNotFoundError:
        raise missing(path, advice) from None
    except OSError as error:
        raise InputError(f"{path}: not the JSON of a score: {error.strerror}") from None
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}: not the JSON of a score, nor any: {error}") from None


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
    for key in ("n", "draws", "paired"):
        if content.get(key) is not None and not _is_number(content[key]):
            raise InputError(f"{name}: {key} is {_told(content[key])}, not a number")
    for key in ("metrics", "uncertainty", "networks"):
        if content.get(key) is not None and not isinstance(content[key], Mapping):
            raise InputError(f"{name}: {key} is {_told(content[key])}, not an object")
    for key, value in (content.get("metrics") or {}).items():
        if not isinstance(value, Mapping):
            raise InputError(f"{name}: the metric {key!r} is {_told(value)}, not an object")
    sides = (content.get("uncertainty") or {}).get("sides")
    if sides is not None and not isinstance(sides, (list, tuple)):
        raise InputError(f"{name}: the sides of its uncertainty are {_told(sides)}, not a list")


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
