"""The published tables as text, Markdown, LaTeX, JSON and CSV."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable, Sequence
from typing import Any

from cmdmetric.grid import Cell, Grid, Mark, csv_text
from cmdmetric.published.paper import DECIMALS, Published, Row, Table

_LEGEND: tuple[tuple[Mark, str], ...] = (
    (
        "best",
        "best of its column; the paper gives no errors, so that which may be equal is not known",
    ),
)

#: What stands for a cell that the paper leaves empty, as it does there.
ABSENT = "-"


def to_markdown(published: Published, tables: Sequence[Table]) -> str:
    """Headed tables; footnotes for quoted rows; claims and contradictions that concern them."""
    paper = published.paper
    parts = [f"Published by {paper.authors}: {paper.title}, {paper.venue}, {paper.url}"]
    parts += [_markdown_table(table) for table in tables]
    numbers = {table.number for table in tables}
    shown = {row.name for table in tables for row in table.rows}
    settings = dict.fromkeys(note for t in tables if t.setting for note in t.setting.notes)
    if settings:
        parts.append(_bullets("How they were made", settings))
    claims = [claim.text for claim in published.claims if claim.row in shown]
    if claims:
        parts.append(_bullets("The text states", claims))
    against = [
        contradiction.about
        for contradiction in published.contradictions
        if not contradiction.rows or numbers & {number for number, _ in contradiction.rows}
    ]
    if against:
        parts.append(_bullets("Contradictions in the paper", against))
    return "\n\n".join(parts)


def to_dict(published: Published, tables: Sequence[Table]) -> dict[str, Any]:
    """For JSON; an empty cell is null."""
    content = dataclasses.asdict(dataclasses.replace(published, tables=()))
    content["tables"] = [
        {
            **dataclasses.asdict(table),
            "rows": [
                {
                    **dataclasses.asdict(row),
                    "values": {key: row.values.get(key) for key in table.columns},
                    "dis_fr": row.dis_fr,
                }
                for row in table.rows
            ],
        }
        for table in tables
    ]
    return content


def to_csv(tables: Sequence[Table]) -> str:
    """One line for each cell; an empty cell has no value."""
    rows = (
        [table.number, row.name, key, row.values.get(key), row.source or "", row.quoted_from or ""]
        for table in tables
        for row in table.rows
        for key in table.columns
    )
    return csv_text(["table", "row", "metric", "value", "source", "quoted_from"], rows)


def to_text(tables: Sequence[Table]) -> list[str]:
    """Headed tables as aligned lines for a terminal."""
    lines: list[str] = []
    for table in tables:
        lines += [*([""] if lines else []), _heading(table), "", *to_grid(table).to_text()]
    return lines


def to_latex(tables: Sequence[Table]) -> str:
    """Tables for a paper, each with its title as a comment above it."""
    return "\n".join(to_grid(table).to_latex() for table in tables)


def to_grid(table: Table) -> Grid:
    """The rows of a table, the best of each column marked; Dis(f,r) stands beside CMD."""
    of_images = "cmd" in table.columns
    values = {key: [row.values.get(key) for row in table.rows] for key in table.columns}
    heads = [(title, "↑" if _is_higher(key) else "↓") for key, title in table.columns.items()]
    if of_images:
        values["dis_fr"] = [row.dis_fr for row in table.rows]
        if "dis_fr" not in table.columns:
            heads.append(("Dis(f,r)", "↓"))
    columns = []
    for key, column in values.items():
        there = [value for value in column if value is not None]
        best = (max if _is_higher(key) else min)(there, default=None)
        columns.append(
            [
                Cell(
                    None if value is None else f"{value:.{DECIMALS}f}",
                    mark="best" if value == best is not None and len(there) > 1 else "",
                )
                for value in column
            ]
        )
    names = [f"{row.name}{' (quoted)' if row.quoted_from else ''}" for row in table.rows]
    rows = tuple(zip(names, zip(*columns, strict=True), strict=True))
    return Grid(tuple(heads), rows, _LEGEND, (_heading(table),))


def _heading(table: Table) -> str:
    return f"Table {table.number}: {table.title}"


def _is_higher(key: str) -> bool:
    """Whether more is better: of the Inception score and of recalls."""
    return key == "is" or re.search(r"_r\d+$", key) is not None


def _markdown_table(table: Table) -> str:
    lines = [f"## {_heading(table)}", "", to_grid(table).to_markdown()]
    notes = [
        f"{row.name}: {'; '.join(told)}."
        for row in table.rows
        if (told := [*_origin(row), *row.notes])
    ]
    if any(set(table.columns) - set(row.values) for row in table.rows):
        what = "the paper reports none" if table.complete else "not recorded here"
        notes.append(f"{ABSENT}: {what}.")
    if setting := table.setting:
        notes.append(
            f"Protocol {setting.protocol}, {setting.model}, {setting.samples:,} images, against "
            f"{setting.reference}; Dis(f,r) is CMD - ITDis."
        )
    notes += table.notes
    return "\n".join([*lines, *(f"- {note}" for note in notes)])


def _origin(row: Row) -> list[str]:
    quoted = [f"quoted from {row.quoted_from}"] if row.quoted_from else []
    return [*quoted, *([f"the same system as {row.same_as}"] if row.same_as else [])]


def _bullets(heading: str, lines: Iterable[str]) -> str:
    return "\n".join([f"## {heading}", "", *(f"- {line}" for line in lines)])
