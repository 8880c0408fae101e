"""Captions in lists, records and mappings, as JSON holds them or Python code makes them."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeGuard

from cmdmetric.errors import InputError
from cmdmetric.inputs.layouts.columns import (
    FILE_KEYS,
    IMAGE_KEYS,
    KEYS,
    OPTIONS,
    TEXT_KEYS,
    VALUES,
    Columns,
    Row,
    fields_of,
    is_text_key,
)
from cmdmetric.inputs.pairing import has_image_ending
from cmdmetric.inputs.places import position

#: What DiffusionDB's `part-000001.json` says of each image: prompt, seed, guidance, steps, sampler.
_DIFFUSIONDB = frozenset({"p", "se", "c", "st", "sa"})
#: Columns of tables that have a row for each question on an image (DPG-Bench's and TIFA's), and
#: those that tell which image a row is of.
_QUESTIONS = frozenset({"proposition_id", "question_natural_language", "question"})
_SAME = frozenset({*TEXT_KEYS, *IMAGE_KEYS})


def rows_of(data: Any, columns: Columns, split: str | None) -> tuple[Iterator[Row], str | None]:
    """The captions of values, and the split that they are of.

    Raises:
        InputError: The values are nothing that holds captions. The rows raise it too, while they
            are read.
    """
    if isinstance(data, Mapping):
        annotations, images = data.get("annotations"), data.get("images")
        if _are_records(annotations):
            data = _with_file_names(annotations, images if _are_records(images) else [])
        elif _are_records(images):
            data = images
        else:
            table = records_by_column(data, columns)
            if table is None:
                refuse_split(split)
                return _map_rows(data, columns), None
            data = table
    if not isinstance(data, list):
        raise InputError(f"captions are a list or an object, not {type(data).__name__}")
    data = _once_each(data)
    splits = Counter(str(r["split"]) for r in data if isinstance(r, Mapping) and "split" in r)
    if not splits:
        refuse_split(split)
        return _list_rows(data, columns), None
    split = choose_split(splits, split, "no record is of")
    return _list_rows(data, columns, None if split == "all" else split), split


def records_by_column(data: Mapping[Any, Any], columns: Columns) -> list[Any] | None:
    """The records of a mapping that is one list under a name, or a table column by column.

    None for a mapping of images or captions.
    """
    values = list(data.values())
    if not all(isinstance(key, str) and isinstance(data[key], (list, tuple)) for key in data):
        return None
    chosen = any(key.lower() == (columns.caption or "").lower() for key in data)
    if len(values) == 1 and (_are_records(values[0]) or is_text_key(*data) or chosen):
        return list(values[0])  # {"data": [{...}, ...]}, {"prompts": ["...", ...]}
    if not (chosen or any(map(is_text_key, data))) or len({*map(len, values)}) != 1:
        return None
    names = {key: "image" if key.lower() == "images" else key for key in data}
    if not any(name.lower() in IMAGE_KEYS for name in names.values()):
        return None
    rows = zip(*values, strict=True)
    return [dict(zip(names.values(), row, strict=True)) for row in rows]


def refuse_set(values: Any, what: str) -> None:
    """Raise InputError for a set of Python: its order is chance, and equal members are one."""
    if isinstance(values, (set, frozenset)):
        raise InputError(
            f"the {what} are a set, which has no order to pair them by and holds equal ones once: "
            "give a list"
        )


def _once_each(data: list[Any]) -> list[Any]:
    """Without repetitions where there is a record for each question on an image.

    So it is in DPG-Bench's table and in TIFA's: a prompt with many questions is still one.
    """
    if not any(isinstance(record, Mapping) and record.keys() & _QUESTIONS for record in data):
        return data
    found: dict[str, Any] = {}
    for record in data:
        own = record
        if isinstance(record, Mapping):
            own = {key: record[key] for key in record if str(key).lower() in _SAME}
        found.setdefault(repr(own), record)
    return list(found.values())


def choose_split(there: Mapping[str, int], wanted: str | None, none: str) -> str:
    """One of the splits that there are: the wanted one, else the only one, else "test"."""
    if wanted is None:
        wanted = next(iter(there)) if len(there) == 1 else "test"
    if wanted != "all" and wanted not in there:
        named = ", ".join(f"{name} ({count})" for name, count in there.items())
        raise InputError(f"{none} the split {wanted!r}; there are {named}; or use 'all'")
    return wanted


def refuse_split(split: str | None) -> None:
    """Raise InputError where a split was asked for of records that state none."""
    if split not in (None, "all"):
        raise InputError(f"the split {split!r} was asked for, but no record states its split")


def _are_records(value: Any) -> TypeGuard[list[Any]]:
    return isinstance(value, list) and all(isinstance(record, Mapping) for record in value)


def _with_file_names(annotations: list[Any], images: list[Any]) -> list[dict[str, Any]]:
    """COCO's annotations, each with the file name of its image where that is listed."""
    files = {str(image.get("id")): image.get("file_name") for image in images}
    return [
        {"file_name": files.get(str(record.get("image_id"))), **record} for record in annotations
    ]


# --- mappings --------------------------------------------------------------------------------


def _map_rows(data: Mapping[Any, Any], columns: Columns) -> Iterator[Row]:
    records = {key for key, value in data.items() if isinstance(value, Mapping)}
    plain = {key: value for key, value in data.items() if key not in records}
    turned = bool(plain) and _names_stand_in_values(plain, columns)
    for key, value in data.items():
        where = f"the caption of {key!r}"
        if key in records:
            yield from _record_of_key(key, value, columns, where)
        elif turned:
            for name in value if isinstance(value, (list, tuple)) else (value,):
                yield Row(image_name(name, where), key, f"key {key!r}")
        else:
            image = image_name(key, f"key {key!r}")
            for text in texts(value):
                yield Row(image, text, where)


def _record_of_key(
    key: Any, value: Mapping[str, Any], columns: Columns, where: str
) -> Iterator[Row]:
    if value.keys() >= _DIFFUSIONDB and columns.caption is None:
        value = {"prompt": value["p"], **{name: value[name] for name in value if name != "p"}}
    # A key that is a number of the record alone comes behind the file that the record names.
    files = (own for name, own in value.items() if str(name).lower() in FILE_KEYS)
    named = not has_image_ending(key) and any(map(has_image_ending, files))
    with_name = value if named else {"file_name": key, **value}
    yield from record_rows(with_name, columns, where)


def _names_stand_in_values(data: Mapping[Any, Any], columns: Columns) -> bool:
    """Whether a mapping leads from captions to images, as GenEval 2's does, not the other way.

    Names are known by their ending.

    Raises:
        InputError: The endings do not decide.
    """
    if (columns.caption, columns.image) != (None, None):
        for column in (columns.caption, columns.image):
            if column not in (None, KEYS, VALUES):
                raise InputError(
                    f"the columns of a mapping are {KEYS!r} and {VALUES!r}, not {column!r}"
                )
        if columns.caption == columns.image:
            raise InputError(f"captions and images are not both the {columns.caption} of a mapping")
        return columns.caption == KEYS or columns.image == VALUES
    values = [
        has_image_ending(name)
        for value in data.values()
        for name in (value if isinstance(value, (list, tuple)) else (value,))
    ]
    if not any(values):
        return False
    if all(values) and not any(map(has_image_ending, data)):
        return True
    raise InputError(
        "a mapping leads from images to captions or from captions to images, and here names of "
        f"images stand on both sides: say which side the captions are, {KEYS!r} or {VALUES!r}, by "
        f"{OPTIONS}"
    )


# --- lists -----------------------------------------------------------------------------------


def _list_rows(data: list[Any], columns: Columns, split: str | None = None) -> Iterator[Row]:
    of_images = any(isinstance(entry, (list, tuple)) for entry in data)
    names = sum(map(has_image_ending, data))
    if names > len(data) / 2:
        raise InputError(
            f"{names:,} of {len(data):,} captions are names of images, such as {data[0]!r}"
        )
    for index, entry in enumerate(data):
        if isinstance(entry, Mapping):
            if split is None or str(entry.get("split")) == split:
                yield from record_rows(entry, columns, f"record {index + 1}", index)
        elif of_images:
            yield from _entry_rows(entry, index)
        else:
            yield Row(None, entry, f"caption {index + 1}")


def _entry_rows(entry: Any, index: int) -> Iterator[Row]:
    """The captions of the image at a place: one, a list of several, or (image, caption)."""
    where = f"entry {index + 1}"
    if isinstance(entry, (list, tuple)) and len(entry) > 1 and _is_image(entry[0]):
        yield from (Row(_name_or_place(entry[0], index, where), t, where) for t in texts(entry[1]))
    else:
        yield from (Row(position(index), text, where) for text in texts(entry))


def _is_image(value: Any) -> bool:
    """Whether it is an image or the name of one, so that a caption follows it."""
    return has_image_ending(value) or not isinstance(value, (str, list, tuple, Mapping))


def record_rows(
    record: Mapping[str, Any], columns: Columns, where: str, index: int | None = None
) -> Iterator[Row]:
    """The captions of one record.

    index is its place where its image may stand in the record itself; the image is then named by
    that place.

    Raises:
        InputError: The record has no caption.
    """
    try:
        chosen = columns.of(record)
    except InputError as error:
        raise InputError(f"{where}: {error}") from None
    if not chosen.captions:
        raise InputError(
            f"{where} has no caption under any of {', '.join(TEXT_KEYS)}; its keys are "
            f"{', '.join(map(str, record)) or 'none'}; name the column by {OPTIONS}"
        )
    names: Sequence[str | None] = (None,)
    if chosen.image is not None:
        value = record[chosen.image]
        several = isinstance(value, (list, tuple)) and all(map(has_image_ending, value))
        names = [
            image_name(name, where) if index is None else _name_or_place(name, index, where)
            for name in (value if several else (value,))
        ]
    fields = fields_of(record, chosen.others)
    given = [record[key] for key in chosen.captions]
    if not all(type(text) is str for text in given):  # most are, which takes half the time
        given = [text for value in given for text in texts(value)]
    found = given
    if len(chosen.captions) > 1:  # an image may have fewer captions than the table has columns
        found = [t for t in found if not isinstance(t, str) or t.strip()] or found[:1]
    for name in names:
        for text in found:
            yield Row(name, text, where, fields)


def texts(value: Any) -> Iterator[Any]:
    """The captions in one record's field: a string, a record, or a list of either."""
    if isinstance(value, Mapping):
        key = next((key for key in TEXT_KEYS if value.get(key) is not None), None)
        yield value if key is None else value[key]
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from texts(item)
    elif type(value).__module__ == "numpy" and hasattr(value, "tolist"):
        yield from texts(value.tolist())
    else:
        yield value


def image_name(value: Any, where: str) -> str | None:
    """The name of an image.

    Raises:
        InputError: The value is neither a string nor a whole number.
    """
    if isinstance(value, bool) or not isinstance(value, (str, int, os.PathLike)):
        raise InputError(
            f"{where}: the image's name is {value!r}; it must be a string or a whole number"
        )
    return os.fspath(value) if isinstance(value, os.PathLike) else str(value) or None


def _name_or_place(value: Any, index: int, where: str = "") -> str | None:
    """The name of an image, or its place in the list where it is the image itself."""
    if type(value) is str:  # most are, and need none of the questions below
        return value or None
    if getattr(value, "ndim", 0) > 3:
        raise InputError(
            f"{where} is a batch: give what makes batches as the images, without captions: these "
            "come along"
        )
    if isinstance(value, Mapping) or hasattr(value, "shape") or hasattr(value, "getbands"):
        return position(index)
    return image_name(value, where)
