"""The signature of a difference: what it follows from, and how it was tested."""

from __future__ import annotations

from dataclasses import replace
from typing import TypeVar

from cmdmetric.scoring import Signature
from cmdmetric.uncertainty import PERMUTATIONS, SEED, Difference, Gap

#: A difference of CMD, or of another number.
_D = TypeVar("_D", Difference, Gap)


def signed(found: _D, one: str, two: str, *, paired: bool, tests: int = 1) -> _D:
    """Give a difference its signature.

    Fields that both scores have alike stand once. Of others, and of the generated images always,
    there is one for the first (`f1`) and one for the second (`f2`).

    Args:
        found: The first number minus the second.
        one: The signature of the first score's number.
        two: That of the second score's.
        paired: Whether images of one caption are paired in it.
        tests: For how many tests its adjusted p-value is adjusted.
    """
    first: Signature = Signature.read(one)
    second: Signature = Signature.read(two)
    fields: dict[str, str] = {}
    for key in dict.fromkeys([*first.fields, *second.fields]):
        ours, theirs = first.fields.get(key, "?"), second.fields.get(key, "?")
        if key == "debias":
            fields[key] = "none" if found.debiased is None else "spectral"
        elif ours == theirs and key != "f":
            fields[key] = ours
        else:
            fields |= {f"{key}1": ours, f"{key}2": theirs}
    own = {"paired": "caption" if paired else "none", **_test(found)}
    if tests > 1:
        own["holm"] = str(tests)
    versions = {key: fields.pop(key) for key in ("v", "v1", "v2") if key in fields}
    signature = Signature(f"{first.metric}-DIFFERENCE", {**fields, **own, **versions})
    return replace(found, signature=str(signature), short_signature=signature.short)


def _test(found: Difference | Gap) -> dict[str, str]:
    """Which test the p-value is of, with what it depends on."""
    if found.test == "permutation":
        return {"test": found.test, "permutations": str(PERMUTATIONS), "seed": str(SEED)}
    return {"test": found.test or "none"}
