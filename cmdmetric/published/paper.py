"""The published numbers as data: the paper's tables, what its text claims, where it contradicts.

The numbers are in published.toml. A cell that is not there is one that the paper leaves empty.
"""

from __future__ import annotations

import difflib
import functools
import sys
from collections.abc import Mapping
from dataclasses import dataclass, fields
from importlib.resources import files
from typing import Any

from cmdmetric.errors import InputError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


@dataclass(frozen=True)
class Paper:
    """Where the tables are from."""

    title: str
    authors: str
    venue: str
    url: str
    code: str


@dataclass(frozen=True)
class Setting:
    """How the numbers of a table were made."""

    #: Names, as a score's JSON has them.
    protocol: str
    model: str
    reference: str
    #: Generated images.
    samples: int
    #: Dis(r,l) of the reference, which tells it from others.
    dis_rl: float
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Row:
    """One model's numbers."""

    name: str
    #: Number of the table.
    table: int
    #: By column; cells that the paper leaves empty are absent.
    values: Mapping[str, float]
    #: Where the numbers were taken from; None where there are none.
    source: str | None = None
    #: The paper that the authors quote; None where they measured.
    quoted_from: str | None = None
    #: The name under which an earlier table has the same system.
    same_as: str | None = None
    notes: tuple[str, ...] = ()

    @property
    def dis_fr(self) -> float | None:
        """Dis(f,r) = CMD - ITDis, where the row has both; as exact as their two decimals."""
        if "dis_fr" in self.values:
            return self.values["dis_fr"]
        if "cmd" not in self.values or "itdis" not in self.values:
            return None
        return round(self.values["cmd"] - self.values["itdis"], DECIMALS)


@dataclass(frozen=True)
class Table:
    """One table of the paper."""

    number: int
    title: str
    #: Column keys with their headings, in order.
    columns: Mapping[str, str]
    rows: tuple[Row, ...]
    #: None where the table is not about generated images.
    setting: Setting | None
    #: Whether every row and cell is recorded.
    complete: bool
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Claim:
    """An improvement that the paper's text states, and the numbers that it follows from."""

    text: str
    #: The row that is claimed to be better.
    row: str
    metric: str | None = None
    before: float | None = None
    #: The row that `before` belongs to.
    before_row: str | None = None
    after: float | None = None
    #: (before - after) / before, in percent.
    percent: float | None = None
    #: Columns of the first table in which the row is the best.
    best: tuple[str, ...] = ()


@dataclass(frozen=True)
class Contradiction:
    """Where the paper disagrees with itself."""

    about: str
    #: (table, name of the row); empty where it is not about rows.
    rows: tuple[tuple[int, str], ...]


@dataclass(frozen=True)
class Published:
    """All of it."""

    paper: Paper
    tables: tuple[Table, ...]
    claims: tuple[Claim, ...]
    contradictions: tuple[Contradiction, ...]


#: Decimals that the paper prints.
DECIMALS = 2


def tables() -> tuple[Table, ...]:
    """The tables in the order of their numbers."""
    return load().tables


def table(number: int) -> Table:
    """Look up one table.

    Raises:
        InputError: The paper has no table of numbers with that number.
    """
    for found in tables():
        if found.number == number:
            return found
    numbers = ", ".join(str(t.number) for t in tables())
    raise InputError(f"no table {number} with numbers: there is {numbers}")


def row(name: str, number: int | None = None) -> Row:
    """Look up a row by its name, whatever the case, blanks, hyphens and commas in it.

    Args:
        name: The row's own name, or the one under which an earlier table has the same system
            ("GR-GAN" is "I-S-W" in Table 6).
        number: The table to look in. By default the first table that has the row.

    Raises:
        InputError: No row has that name; the message has the nearest names.

    >>> row("GR-GAN").values["cmd"]
    8.04
    >>> row("attngan") == row("Attn-GAN") == row("Attn GAN")
    True
    """
    among = tables() if number is None else (table(number),)
    rows = [found for each in among for found in each.rows]
    for own_name in (True, False):
        for found in rows:
            given = found.name if own_name else found.same_as
            if given is not None and _letters(given) == _letters(name):
                return found
    names = list(dict.fromkeys(found.name for found in rows))
    near = difflib.get_close_matches(name, names, n=3, cutoff=0.4) or names
    raise InputError(f"no published row {name!r}; there is {', '.join(map(repr, near))}")


def _letters(name: str) -> str:
    """Reduce a name to what its spellings have in common: letters, digits and "+".

    The "+" tells the matching module of a system from a part of its name.
    """
    return "".join(c for c in name.lower() if c.isalnum() or c == "+")


@functools.cache
def load() -> Published:
    """The shipped data."""
    text = files("cmdmetric.published").joinpath("published.toml").read_text(encoding="utf-8")
    return parse(text)


def parse(text: str) -> Published:
    """Read the data from TOML of published.toml's layout.

    Raises:
        InputError: A number is in no column of its table or has no source, or two rows of one
            table have one name.
    """
    values = tomllib.loads(text)
    settings = {key: _build(Setting, entry) for key, entry in values["settings"].items()}
    return Published(
        paper=_build(Paper, values["paper"]),
        tables=tuple(
            sorted((_table(t, settings) for t in values["tables"]), key=lambda t: t.number)
        ),
        claims=tuple(_build(Claim, entry) for entry in values.get("claims", ())),
        contradictions=tuple(
            Contradiction(entry["about"], tuple((r["table"], r["name"]) for r in entry["rows"]))
            for entry in values.get("contradictions", ())
        ),
    )


def _table(entry: dict[str, Any], settings: Mapping[str, Setting]) -> Table:
    number, columns = entry["number"], entry["columns"]
    rows = tuple(_row(row, number, columns) for row in entry.get("rows", ()))
    names = [row.name for row in rows]
    if twice := [name for name in names if names.count(name) > 1]:
        raise InputError(f"table {number} has two rows {twice[0]!r}")
    setting = settings[entry["setting"]] if "setting" in entry else None
    return _build(Table, {**entry, "rows": rows, "setting": setting})


def _row(entry: dict[str, Any], number: int, columns: Mapping[str, str]) -> Row:
    told = {field.name for field in fields(Row)}
    values = {key: value for key, value in entry.items() if key not in told}
    where = f"table {number}, row {entry['name']!r}"
    for key, value in values.items():
        if key not in columns:
            raise InputError(f"{where}: {key!r} is no column; there is {', '.join(columns)}")
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise InputError(f"{where}: {key} is {value!r}, not a number")
    if values and not entry.get("source"):
        raise InputError(f"{where}: its numbers need a source")
    others = {key: value for key, value in entry.items() if key in told}
    ordered = {key: float(values[key]) for key in columns if key in values}
    return _build(Row, {**others, "table": number, "values": ordered})


def _build(kind: type, entry: Mapping[str, Any]) -> Any:
    lists = {key: tuple(entry[key]) for key in ("notes", "best") if key in entry}
    try:
        return kind(**{**entry, **lists})
    except TypeError as error:
        raise InputError(f"published.toml: {error}") from None
