"""Tables of captions as text: CSV, TSV and their relatives."""

from __future__ import annotations

import ast
import csv
import re
from typing import Any, NamedTuple

from cmdmetric.errors import InputError
from cmdmetric.inputs.layouts.columns import IMAGE_KEYS, OPTIONS, TEXT_KEYS, Columns, is_text_key
from cmdmetric.inputs.layouts.lines import lines_of

#: The signs between cells: Excel writes semicolons where the comma is the decimal sign.
DELIMITERS = (",", ";", "\t", "|")

_LIST = re.compile(r"""\[\s*["'].*["']\s*\]""", re.DOTALL)


class _Line(NamedTuple):
    number: int
    cells: list[str]


def parse_delimited(text: str, usual: str, columns: Columns) -> list[Any]:
    """Records where the first line is a header that names the captions, else strings.

    The delimiter is the one under which the first line has a column of captions, the usual one of
    the file's ending first. Where none has, the file must be one column of captions.

    Raises:
        InputError: A quotation is broken, lines are of unequal length, or the header of a table
            names no column of captions.
    """
    order = (usual, *(sign for sign in DELIMITERS if sign != usual))
    for delimiter in order:
        header = _header(text, delimiter)
        if header and any(_is_captions(cell, columns) for cell in header):
            return _records(_lines(text, delimiter), header)
    for delimiter in order[1:]:
        _refuse_table(text, delimiter)
    lines = _lines(text, usual)
    if lines and len(lines[0].cells) > 1:
        raise _no_header(lines[0].cells)
    _refuse_unequal(lines)
    return [line.cells[0] for line in lines]


def _is_captions(cell: str, columns: Columns) -> bool:
    if columns.caption is not None:
        return cell.lower() == columns.caption.strip().lower()
    return is_text_key(cell)


def _header(text: str, delimiter: str) -> list[str]:
    """The cells of the first line; none where they cannot be read."""
    try:
        reader = csv.reader(lines_of(text), delimiter=delimiter, strict=True)
        first = next((row for row in reader if any(map(str.strip, row))), [])
    except csv.Error:
        return []
    return [cell.strip() for cell in first]


def _lines(text: str, delimiter: str) -> list[_Line]:
    try:
        return _read(text, delimiter, csv.QUOTE_MINIMAL)
    except InputError:
        if delimiter != "\t":
            raise
        # By its definition (IANA's text/tab-separated-values) a TSV has no quoting: captions may
        # begin with a quotation mark.
        lines = _read(text, delimiter, csv.QUOTE_NONE)
        if len({len(line.cells) for line in lines}) > 1:
            raise
        return lines


def _read(text: str, delimiter: str, quoting: Any) -> list[_Line]:
    reader = csv.reader(lines_of(text), delimiter=delimiter, quoting=quoting, strict=True)
    try:
        return [_Line(reader.line_num, row) for row in reader if any(map(str.strip, row))]
    except csv.Error as error:
        raise InputError(f"broken quoting or field at line {reader.line_num}: {error}") from None


def _refuse_table(text: str, delimiter: str) -> None:
    """Raise InputError where every line has as many cells, more than one, under a delimiter."""
    try:
        lines = _read(text, delimiter, csv.QUOTE_MINIMAL)
    except InputError:
        return
    cells = {len(line.cells) for line in lines}
    if len(lines) > 1 and len(cells) == 1 and cells != {1}:
        raise _no_header(lines[0].cells)


def _no_header(cells: list[str]) -> InputError:
    return InputError(
        f"line 1 is no header: it has {len(cells)} cells, and one of {', '.join(TEXT_KEYS)} must "
        f"name the column of the captions, one of {', '.join(IMAGE_KEYS)} that of the images, if "
        f"there is one; or, where there is a header, name the columns by {OPTIONS}. Captions "
        "without a table go into a .txt"
    )


def _refuse_unequal(lines: list[_Line]) -> None:
    for line in lines:
        if len(line.cells) != len(lines[0].cells):
            raise InputError(
                f"line {line.number} has {len(line.cells)} cells, the first line has "
                f"{len(lines[0].cells)}; put double quotes around captions that hold the delimiter"
            )


def _records(lines: list[_Line], header: list[str]) -> list[dict[str, Any]]:
    """A record for each line but the first; columns of one name hold the captions of one image."""
    _refuse_unequal(lines)
    places: dict[str, list[int]] = {}
    for place, name in enumerate(header):
        places.setdefault(name, []).append(place)
    for name, own in places.items():
        if len(own) > 1 and name and not is_text_key(name):
            raise InputError(f"line 1: {len(own)} columns are called {name!r}")
    records = [
        {
            name: line.cells[own[0]] if len(own) == 1 else _filled([line.cells[i] for i in own])
            for name, own in places.items()
            if name
        }
        for line in lines[1:]
    ]
    for name in filter(is_text_key, places):
        _open_lists(records, name)
    return records


def _open_lists(records: list[dict[str, Any]], name: str) -> None:
    """Lists that were written into cells, as pandas does, are the lists that they were."""
    lists = [_as_list(record[name]) for record in records]
    if lists and None not in lists:
        for record, own in zip(records, lists, strict=True):
            record[name] = own


def _as_list(cell: Any) -> list[str] | None:
    """The list of texts that a cell spells out, as JSON or Python writes it; None for others."""
    if not isinstance(cell, str) or not _LIST.fullmatch(cell):
        return None
    try:
        found = ast.literal_eval(cell)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return None
    return found if all(isinstance(text, str) for text in found) else None


def _filled(cells: list[str]) -> list[str]:
    """An image may have fewer captions than the table has columns for them."""
    return [cell for cell in cells if cell.strip()] or cells[:1]
