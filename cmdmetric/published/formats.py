"""The published tables as Markdown, JSON and CSV."""

from __future__ import annotations

import csv
import dataclasses
import io
from collections.abc import Iterable, Sequence
from typing import Any

from cmdmetric.published.paper import DECIMALS, Published, Row, Table

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
    text = io.StringIO()
    lines = csv.writer(text, lineterminator="\n")
    lines.writerow(["table", "row", "metric", "value", "source", "quoted_from"])
    for table in tables:
        for row in table.rows:
            for key in table.columns:
                value = row.values.get(key)
                cell = "" if value is None else f"{value:.{DECIMALS}f}"
                lines.writerow(
                    [table.number, row.name, key, cell, row.source or "", row.quoted_from or ""]
                )
    return text.getvalue()


def _markdown_table(table: Table) -> str:
    of_images = "cmd" in table.columns
    heads = ["model", *table.columns.values(), *(["Dis(f,r)"] if of_images else [])]
    lines = [
        f"## Table {table.number}: {table.title}",
        "",
        f"| {' | '.join(heads)} |",
        f"| --- |{' ---: |' * (len(heads) - 1)}",
        *(_markdown_row(row, table, of_images) for row in table.rows),
        "",
    ]
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


def _markdown_row(row: Row, table: Table, of_images: bool) -> str:
    values = [row.values.get(key) for key in table.columns]
    if of_images:
        values.append(row.dis_fr)
    cells = (ABSENT if value is None else f"{value:.{DECIMALS}f}" for value in values)
    return f"| {row.name}{' (quoted)' if row.quoted_from else ''} | {' | '.join(cells)} |"


def _origin(row: Row) -> list[str]:
    quoted = [f"quoted from {row.quoted_from}"] if row.quoted_from else []
    return [*quoted, *([f"the same system as {row.same_as}"] if row.same_as else [])]


def _bullets(heading: str, lines: Iterable[str]) -> str:
    return "\n".join([f"## {heading}", "", *(f"- {line}" for line in lines)])
