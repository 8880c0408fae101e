"""Numbers of single images that others have computed: VQAScore, a preference model, a rating."""

from __future__ import annotations

import csv
import json
import math
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cmdmetric.errors import InputError
from cmdmetric.inputs.layouts.columns import IMAGE_KEYS, is_text_key
from cmdmetric.inputs.layouts.delimited import DELIMITERS
from cmdmetric.inputs.layouts.lines import lines_of
from cmdmetric.inputs.layouts.tables import Table, as_table, is_table_file, open_table
from cmdmetric.inputs.layouts.text_files import read_text
from cmdmetric.inputs.pairing import pair

#: The columns that may name the image, the first that is there; "name" is what tools without a
#: better word write.
_IMAGE_KEYS = (*IMAGE_KEYS, "name")
#: What a number is called where a mapping has one for each image and no name for it.
UNNAMED = "score"
#: Endings of files, and of those the ones that are tables of text.
_JSON, _DELIMITED = (".json", ".jsonl", ".ndjson"), (".csv", ".tsv")
_NAME = re.compile(r"[a-z][a-z0-9_]*")


@dataclass(frozen=True, eq=False)
class ImageScores:
    """Numbers of single images, by the images' names.

    Attributes:
        source: How the user named them.
        images: The image of each row.
        values: By the name of a number, its value in each row (n,) float64; all are finite.
    """

    source: str
    images: tuple[str, ...]
    values: Mapping[str, NDArray[np.float64]]

    def of(
        self, names: Sequence[str], left_out: Iterable[str] = ()
    ) -> dict[str, NDArray[np.float64]]:
        """Give the numbers of these images, in their order.

        Names pair as those of captions do (`cmdmetric.inputs.pair`).

        Args:
            names: The images.
            left_out: Images that rows may name too, and that are not wanted.

        Raises:
            InputError: Rows name no image, images have no row or several, or a row names several
                images; the message counts them.
        """
        rest = [name for name in left_out if name not in set(names)]
        pairing = pair([*names, *rest], self.images)
        wanted = pairing.caption_of[: len(names)]
        used: dict[int, int] = {}
        for rows in wanted:
            for row in rows:
                used[row] = used.get(row, 0) + 1
        wrong = [
            _counted([self.images[i] for i in pairing.unpaired_captions], "{} name no image"),
            _counted([n for n, own in zip(names, wanted, strict=True) if not own],
                     "{} have no row", "images"),
            _counted([n for n, own in zip(names, wanted, strict=True) if len(own) > 1],
                     "{} have several rows", "images"),
            _counted([self.images[i] for i, n in used.items() if n > 1],
                     "{} name several images"),
        ]  # fmt: skip
        if any(wrong):
            raise InputError(
                f"{self.source}: its rows are not one for each of the {len(names)} images: "
                + "; ".join(filter(None, wrong))
            )
        places = [own[0] for own in wanted]
        return {name: column[places] for name, column in self.values.items()}


def _counted(names: Sequence[str], what: str, of: str = "rows") -> str:
    if not names:
        return ""
    return f"{what.format(f'{len(names)} {of}')} (such as {names[0]!r})"


def read_image_scores(source: Any, columns: Iterable[str] = ()) -> ImageScores:
    """Read numbers of single images.

    Args:
        source: A file (.csv, .tsv, .json, .jsonl, .parquet), a DataFrame or another table in
            memory with a column that names the image; a list of records; or a mapping of names of
            images to a number or to a record of numbers.
        columns: The columns to take; by default all that hold numbers, but for those that number
            images.

    Returns:
        The numbers by the names of their columns in small letters, with "_" for whatever is no
        letter and no digit: "HPS v2.1" is hps_v2_1.

    Raises:
        InputError: It cannot be read, no column names the images or holds numbers, a column that
            was named is not there, or a cell of a column of numbers holds none.
    """
    name, records = _records(source)
    if not records:
        raise InputError(f"{name}: it holds no row")
    keys = list(dict.fromkeys(str(key) for record in records for key in record))
    lower = {key.strip().lower(): key for key in reversed(keys)}
    image = next((lower[key] for key in _IMAGE_KEYS if key in lower), None)
    if image is None:
        raise InputError(
            f"{name}: no column names the images: there is {', '.join(keys)}, and it is looked "
            f"for under {', '.join(_IMAGE_KEYS)}"
        )
    images = [record.get(image) for record in records]
    if missing := sum(value is None or not str(value).strip() for value in images):
        raise InputError(f"{name}: {missing} of {len(records)} rows name no image under {image!r}")
    wanted = [_chosen(column, keys, name) for column in columns]
    values: dict[str, NDArray[np.float64]] = {}
    for key in wanted or keys:
        own = key.strip().lower()
        if not wanted and (own in _IMAGE_KEYS or is_text_key(own) or not own):
            continue
        cells = [record.get(key) for record in records]
        if not wanted and 2 * sum(_number(cell) is not None for cell in cells) <= len(cells):
            continue  # a column of words
        values[_new_name(key, values, name)] = _numbers(cells, images, key, name)
    if not values:
        raise InputError(f"{name}: no column holds numbers: there is {', '.join(keys)}")
    return ImageScores(name, tuple(map(str, images)), values)


def _chosen(column: str, keys: Sequence[str], name: str) -> str:
    for key in keys:
        if key == column or normal_name(key) == normal_name(column):
            return key
    raise InputError(f"{name}: no column {column!r}; there is {', '.join(keys)}")


def normal_name(column: str) -> str:
    """Give a column's name as that of a number.

    >>> normal_name("HPS v2.1")
    'hps_v2_1'
    """
    return re.sub(r"[^a-z0-9]+", "_", column.strip().lower()).strip("_")


def _new_name(key: str, taken: Iterable[str], source: str) -> str:
    found = normal_name(key)
    if not _NAME.fullmatch(found):
        raise InputError(
            f"{source}: the column {key!r} is no name of a number; begin with a letter"
        )
    if found in taken:
        raise InputError(f"{source}: several columns are called {found}")
    return found


def _numbers(
    cells: Sequence[Any], images: Sequence[Any], key: str, source: str
) -> NDArray[np.float64]:
    values = [_number(cell) for cell in cells]
    wrong = [i for i, value in enumerate(values) if value is None]
    if wrong:
        raise InputError(
            f"{source}: {len(wrong)} of {len(cells)} cells of {key!r} hold no finite number, such "
            f"as {cells[wrong[0]]!r} of {images[wrong[0]]}"
        )
    return np.array(values, np.float64)


def _number(cell: Any) -> float | None:
    """The finite number in a cell; None where there is none."""
    if isinstance(cell, (bool, np.bool_)) or cell is None:
        return None
    try:
        value = float(cell)
    except (TypeError, ValueError, OverflowError):
        return None
    return value if math.isfinite(value) else None


def _records(source: Any) -> tuple[str, list[Mapping[str, Any]]]:
    """How a user named a source, and its rows."""
    if isinstance(source, (str, os.PathLike)):
        return os.fspath(source), _of_file(os.fspath(source))
    table = as_table(source)
    if table is not None:
        return table.source, _of_table(table)
    return "the scores", _of_values(source, "the scores")


def _of_file(name: str) -> list[Mapping[str, Any]]:
    if is_table_file(Path(name)):
        return _of_table(open_table(Path(name)))
    ending = os.path.splitext(name)[1].lower()
    if ending not in (*_JSON, *_DELIMITED):
        raise InputError(
            f"{name}: scores of images are read from {', '.join((*_DELIMITED, *_JSON))} and "
            f".parquet, not from {ending or 'this'}"
        )
    text = read_text(name)
    if ending in _DELIMITED:
        return _of_delimited(text, name)
    try:
        if ending == ".json":
            return _of_values(json.loads(text), name)
        return _of_values([json.loads(line) for line in text.splitlines() if line.strip()], name)
    except (ValueError, RecursionError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{name}: broken JSON: {error}") from None


def _of_table(table: Table) -> list[Mapping[str, Any]]:
    return [dict(row) for row in table.rows([c for c in table.columns if c not in table.pixels])]


def _of_delimited(text: str, name: str) -> list[Mapping[str, Any]]:
    first = text.lstrip().partition("\n")[0]
    delimiter = max(DELIMITERS, key=first.count)
    try:
        rows = list(csv.reader(lines_of(text), delimiter=delimiter, strict=True))
    except csv.Error as error:
        raise InputError(f"{name}: broken quoting or field: {error}") from None
    rows = [row for row in rows if any(cell.strip() for cell in row)]
    header = [cell.strip() for cell in rows[0]] if rows else []
    if len(set(filter(None, header))) < len(list(filter(None, header))):
        raise InputError(f"{name}: several columns have one name: {', '.join(header)}")
    if uneven := sum(len(row) != len(header) for row in rows):
        raise InputError(
            f"{name}: {uneven} of {len(rows)} lines have another number of cells than the first"
        )
    return [dict(zip(header, row, strict=True)) for row in rows[1:]]


def _of_values(values: Any, name: str) -> list[Mapping[str, Any]]:
    if isinstance(values, Mapping):
        return [
            {"image": image, **(own if isinstance(own, Mapping) else {UNNAMED: own})}
            for image, own in values.items()
        ]
    if isinstance(values, (list, tuple)) and all(isinstance(row, Mapping) for row in values):
        return list(values)
    raise InputError(
        f"{name}: scores of images are records, or a mapping of the images' names to numbers"
    )
