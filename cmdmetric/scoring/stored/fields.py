"""Two scores as plain values, held against each other field by field."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from cmdmetric.metrics import QUANTITIES

#: Where a field stands in the JSON of a score.
Path: TypeAlias = tuple[str, ...]
#: How far a number may be from another and is still the same; None where it has to be the same.
Tolerance: TypeAlias = Callable[[Path], float]
#: What stands for a field that one of two scores does not have.
LACKING: Final = object()


@dataclass(frozen=True)
class Row:
    """A field of the score beside what the pack gives.

    Attributes:
        name: The field; of a number of the score, and of its value, the number's own name.
        told: As the score has it; None where it says nothing.
        found: As it follows from the pack; None where the pack gives nothing.
        agrees: Whether the two are the same but for rounding.
    """

    name: str
    told: float | str | bool | None
    found: float | str | bool | None
    agrees: bool

    @property
    def is_number(self) -> bool:
        """Whether it is a number."""
        either = self.told if self.found is None else self.found
        return isinstance(either, (int, float)) and not isinstance(either, bool)


def fields_of_both(told: Any, found: Any, at: Path = ()) -> Iterator[tuple[Path, Any, Any]]:
    """Give the fields of two JSON values, side by side.

    What only one of them has comes whole, beside `LACKING`; so do lists of different lengths.
    Fields that both have nothing in are left out.
    """
    if isinstance(told, dict) and isinstance(found, dict):
        for key in {**found, **told}:
            inner = told.get(key, LACKING), found.get(key, LACKING)
            yield from fields_of_both(*inner, (*at, key))
    elif isinstance(told, list) and isinstance(found, list) and len(told) == len(found):
        for place, inner in enumerate(zip(told, found, strict=True)):
            yield from fields_of_both(*inner, (*at, str(place)))
    elif any(each is not LACKING and each not in (None, {}, []) for each in (told, found)):
        yield at, told, found


def row_of(at: Path, told: Any, found: Any, tolerance: Tolerance) -> Row:
    """Hold a field against what is found; numbers that are no counts may differ by rounding."""
    if _is_number(told) and isinstance(found, float):
        agrees = math.isclose(told, found, rel_tol=0, abs_tol=tolerance(at))
    else:
        agrees = told == found and isinstance(told, bool) == isinstance(found, bool)
    return Row(name_of(at), _plain(told), _plain(found), agrees)


def name_of(at: Path) -> str:
    """Name a field: "cmd", "cmd standard error", "fjd", "fjd low", "networks inception weights"."""
    if at[0] == "metrics" or (at[0] == "uncertainty" and at[1:2] and at[1] in QUANTITIES):
        at = at[1:] or at
    if len(at) > 1 and at[-1] == "value":
        at = at[:-1]
    if at == ("signature",):
        at = ("cmd", "signature")
    return " ".join((*at[:-1], at[-1].replace("standard_error", "standard error")))


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _plain(value: Any) -> float | str | bool | None:
    """A field as it is; of a number of the family its value, of other objects and lists JSON."""
    if isinstance(value, dict) and _is_number(value.get("value")):
        value = value["value"]
    if value is None or value is LACKING:
        return None
    return value if isinstance(value, (int, float, str)) else json.dumps(value)
