"""Which model is the best by each number of a comparison, and which may be equal to it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from cmdmetric.compare.models import Entry
from cmdmetric.compare.stored_scores import Comparison, adjusted_gaps, family_gaps
from cmdmetric.compare.words import SIGNIFICANT
from cmdmetric.grid import Mark
from cmdmetric.uncertainty import Gap, Value

#: What the marks mean; the level is that of `SIGNIFICANT`.
MEANING: tuple[tuple[Mark, str], ...] = (
    ("best", "best of its column"),
    (
        "tied",
        f"not distinguishable from the best (p > {SIGNIFICANT:g}, adjusted for the number of "
        "models after Holm)",
    ),
    ("unknown", "whether it differs from the best is not known"),
)


def numbers_of(result: Comparison) -> dict[str, list[Value | None]]:
    """The numbers of every model, in the order of `Comparison.entries`: CMD, its parts, the family.

    None stands for a number that a model has not.
    """
    of_cmd = [Value(entry.cmd, entry.standard_error, "lower") for entry in result.entries]
    names = [name for entry in result.entries for name in (*entry.parts, *entry.metrics)]
    of_all = [{**entry.parts, **entry.metrics} for entry in result.entries]
    others = {name: [of.get(name) for of in of_all] for name in dict.fromkeys(names)}
    return {"cmd": [*of_cmd], **others}


def marks_of(result: Comparison) -> dict[str, list[Mark]]:
    """By number the mark of every model, in the order of `Comparison.entries`.

    The others are tested against the best of the same number: of CMD as the comparison has it, of
    other numbers as independent samples unless the best is the one that the comparison is against.
    """
    return {name: _marks(result, name, values) for name, values in numbers_of(result).items()}


def direction(values: Sequence[Value | None]) -> str | None:
    """Which way a number is better: "lower", "higher", or None where that is not said."""
    return next((value.better for value in values if value is not None), None)


def _marks(result: Comparison, name: str, values: Sequence[Value | None]) -> list[Mark]:
    marks: list[Mark] = [""] * len(values)
    there = [place for place, value in enumerate(values) if value is not None]
    way = direction(values)
    if way is None or len(there) < 2:
        return marks
    if name == "cmd":
        equal = [0]
    else:
        signed = {i: value.value for i, value in enumerate(values) if value is not None}
        top = (min if way == "lower" else max)(signed.values())
        equal = [place for place, value in signed.items() if value == top]
    others = [place for place in there if place not in equal]
    p_values = _p_values(result, name, equal[0], others)
    for place in equal:
        marks[place] = "best"
    for place in others:
        p = p_values.get(place)
        marks[place] = "unknown" if p is None else "tied" if p >= SIGNIFICANT else ""
    return marks


def _p_values(
    result: Comparison, name: str, best: int, others: Sequence[int]
) -> Mapping[int, float | None]:
    """By place the adjusted p-value of equality with the best one."""
    entries = result.entries
    if best == 0:
        against = {each.name: each for each in result.against_best}
        tested = {place: against.get(entries[place].name) for place in others}
        if name == "cmd":
            # Of one that the test puts before the best no mark would be true.
            told = {place: each for place, each in tested.items() if each and each.difference >= 0}
            return {place: each.p_adjusted for place, each in told.items()}
        gaps = {place: each.metrics.get(name) if each else None for place, each in tested.items()}
        if any(gaps.values()):
            return {place: gap.p_adjusted if gap else None for place, gap in gaps.items()}
    rows = [_gaps(entries[place], entries[best], name) for place in others]
    adjusted = adjusted_gaps(rows)
    return {
        place: row[name].p_adjusted if name in row else None
        for place, row in zip(others, adjusted, strict=True)
    }


def _gaps(one: Entry, two: Entry, name: str) -> Mapping[str, Gap]:
    """The difference of one number, as of independent samples."""
    pair = (replace(entry, metrics={**entry.parts, **entry.metrics}) for entry in (one, two))
    return {key: gap for key, gap in family_gaps(*pair).items() if key == name}
