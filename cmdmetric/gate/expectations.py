"""What a score may be checked against: a published row, a stored score, a bound on one number."""

from __future__ import annotations

import difflib
import math
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

from cmdmetric import published
from cmdmetric.errors import InputError
from cmdmetric.files import named_path
from cmdmetric.metrics import QUANTITIES
from cmdmetric.scoring import CMDScore, fields_of, read_json, refuse_malformed

#: Features of one set of images differ between machines by some 1e-6, and so do their distances:
#: what is below this share of the largest distance is rounding.
ROUNDING = 1e-5
#: Dis(r,l) of 30,000 of COCO's captions has a standard error of some 2e-4 of it.
SAME_CAPTIONS = 1e-3
_BOUND = re.compile(r"\s*([A-Za-z_][\w.-]*)\s*(<=|>=|==|<|>)\s*(\S+)\s*")
_PREFIX = "published:"


@dataclass(frozen=True)
class Bound:
    """A limit for one number of a result."""

    #: Its key; those of nested objects are joined by dots.
    key: str
    #: One of <= >= == < >.
    relation: str
    limit: float
    #: As the user wrote it.
    name: str


@dataclass(frozen=True)
class Expectation:
    """Numbers that a score should repeat, and how they were made."""

    #: As the user wrote it.
    name: str
    values: Mapping[str, float]
    #: How far the numbers themselves are uncertain by rounding.
    slack: float
    #: What must be equal for the numbers to mean the same: field -> value.
    setting: Mapping[str, Any]
    #: Generated images; None where it is not recorded.
    samples: int | None
    #: Dis(r,l), in which the generated images have no part: it tells the reference from others.
    dis_rl: float
    #: How far it may be from that.
    dis_rl_slack: float
    #: Standard errors of the values, where they are known.
    errors: Mapping[str, float] = field(default_factory=dict)


#: "published:GR-GAN", "cmd<=8.5", the file or the content of a stored score, or a score.
Against: TypeAlias = "str | os.PathLike[str] | Mapping[str, Any] | CMDScore"


def expectation(against: Against) -> Bound | Expectation:
    """Understand what a score is to be checked against.

    Raises:
        InputError: There is no such row, a bound is none, or a file is no score.
    """
    if isinstance(against, CMDScore):
        return _of_score(against.to_dict(), "the expected score")
    if isinstance(against, Mapping):
        return _of_score(against, "the expected score")
    text = os.fspath(against)
    if text.startswith(_PREFIX):
        return _of_row(text)
    if isinstance(against, str) and not os.path.exists(text):
        if bound := _BOUND.fullmatch(text):
            return Bound(bound[1], bound[2], _number(bound[3], text), text.strip())
        if re.search("[<>=]", text):
            raise InputError(f"{text!r} is no bound: write KEY<=NUMBER, or < >= > ==")
    return _of_file(named_path(text))


def numbers(result: Mapping[str, Any], prefix: str = "") -> dict[str, float | None]:
    """The numbers of a result by their dotted keys; None where one is not known.

    Metrics of the family are found by their names alone too.
    """
    found: dict[str, float | None] = {}
    if not prefix and "signature" in result:  # one score
        family = result.get("metrics") or {}
        found |= {name: each.get("value") for name, each in family.items()}
    for key, value in result.items():
        if isinstance(value, Mapping):
            found |= numbers(value, f"{prefix}{key}.")
        elif value is None or (isinstance(value, (int, float)) and not isinstance(value, bool)):
            found[prefix + key] = value
    return found


def number_at(result: Mapping[str, Any], key: str) -> float:
    """Give the number under a dotted key.

    Raises:
        InputError: There is none; the message has the nearest keys, or those of the main numbers.
    """
    known = numbers(result)
    if key not in known:
        there = [each for each, value in known.items() if value is not None and each != "schema"]
        near = difflib.get_close_matches(key, there, n=3, cutoff=0.5)
        near = near or [each for each in there if "." not in each]
        raise InputError(f"the result has no number {key!r}; there is {', '.join(near)}")
    value = known[key]
    if value is None:
        raise InputError(f"{key} is not known for this score (null), so it cannot be checked")
    return float(value)


def setting_of(result: Mapping[str, Any]) -> dict[str, Any]:
    """What must be equal for two scores to mean the same, from a result's JSON."""
    parts = fields_of(str(result["signature"]))
    real, real_contents = _count_and_contents(parts.get("r"))
    captions, texts = _count_and_contents(parts.get("l"))
    return {
        "protocol": parts.get("proto"),
        "model": result.get("model"),
        "weights": result.get("weights"),
        "arithmetic": parts.get("dtype"),
        "tokeniser": _known(parts.get("tok")),
        "real images": real,
        "contents of real images": real_contents,
        "captions": captions,
        "contents of captions": texts,
        DECODER: _known(parts.get("pillow")),
    }


#: What a setting has that is no difference of its own: Pillow, which decodes images.
DECODER = "decoder"
#: What results of older releases do not record: where one side lacks it, nothing can be compared.
UNRECORDED = ("tokeniser", "contents of real images", "contents of captions")


def differences_of(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> list[str]:
    """Find in which fields two settings of `setting_of` differ, as far as both record them."""
    found = []
    for what, value in theirs.items():
        unknown = what in UNRECORDED and None in (ours.get(what), value)
        # Another release of the decoder may give other pixels of the same files.
        if what == "contents of real images" and ours.get(DECODER) != theirs.get(DECODER):
            unknown = True
        if ours.get(what) != value and what != DECODER and not unknown:
            found.append(what)
    return found


def _count_and_contents(label: str | None) -> tuple[str | None, str | None]:
    """The number and the digest of a side, or a reference's name and None."""
    count, _, digest = (label or "").partition("@")
    return (count or None), (digest or None)


def _known(value: str | None) -> str | None:
    return None if value == "?" else value


def _of_row(text: str) -> Expectation:
    """The published row of "published:NAME", or of "published:TABLE/NAME"."""
    name = text.removeprefix(_PREFIX)
    number, slash, rest = name.partition("/")
    in_table = bool(slash) and number.isdigit()
    row = published.row(rest, int(number)) if in_table else published.row(name)
    setting = published.table(row.table).setting
    values = dict(row.values)
    if row.dis_fr is not None:
        values["dis_fr"] = row.dis_fr
    if setting is None or not values:
        raise InputError(f"{text}: none of its numbers is recorded; see `cmdmetric published`")
    return Expectation(
        name=text,
        values=values,
        slack=0.5 * 10**-published.DECIMALS,
        setting={
            "protocol": setting.protocol,
            "model": setting.model,
            "real images": setting.reference,
        },
        samples=setting.samples,
        dis_rl=setting.dis_rl,
        dis_rl_slack=SAME_CAPTIONS * setting.dis_rl,
    )


def _of_file(path: Path) -> Expectation:
    advice = "A check is published:NAME, a bound as in 'cmd<=8.5', or the JSON of a score."
    return _of_score(read_json(path, advice), str(path))


def _of_score(content: Any, name: str) -> Expectation:
    refuse_malformed(content, name)
    known = numbers(content)
    values = {key: known[key] for key in QUANTITIES}
    n = known.get("n")
    errors = {key: known.get(f"uncertainty.{key}.standard_error") for key in values}
    slack = ROUNDING * max(values[key] for key in ("dis_fr", "dis_fl", "dis_rl"))  # type: ignore
    return Expectation(
        name=name,
        values=values,  # type: ignore[arg-type]  # checked above
        slack=slack,
        setting=setting_of(content),
        samples=None if n is None else int(n),
        dis_rl=values["dis_rl"],  # type: ignore[arg-type]
        dis_rl_slack=10 * slack,
        errors={key: error for key, error in errors.items() if error is not None},
    )


def _number(text: str, whole: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise InputError(f"{whole!r}: {text!r} is no number")
    return value
