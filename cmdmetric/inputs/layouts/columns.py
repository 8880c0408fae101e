"""Which columns of a record hold its captions, and which one names its image."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from cmdmetric.errors import InputError

#: The columns under which the field's tools write the name of an image, in any case; the first that
#: is there counts: what names a file comes before what only numbers it.
FILE_KEYS = (
    "file_name", "filename", "image_path", "image", "img", "path", "file_path", "filepath",
    "image_name", "file", "url",
)  # fmt: skip
IMAGE_KEYS = (*FILE_KEYS, "image_id", "item_id", "id")
#: Those under which they write captions. A record has them under one of these, or under one with
#: numbers behind it: caption_1, caption_2, caption.1.
TEXT_KEYS = (
    "caption", "captions", "text", "texts", "prompt", "prompts", "sentence", "sentences", "raw",
)  # fmt: skip
#: What the two sides of a mapping are called where a user says which is which.
KEYS, VALUES = "keys", "values"
#: Said wherever a column cannot be chosen.
OPTIONS = "--caption-column (in Python: caption_column=...)"

_NUMBER = re.compile(r"[ ._-]?\d+$")


class Row(NamedTuple):
    """One caption before it is checked."""

    #: The name of its image, where that is known.
    image: str | None
    text: Any
    #: What the row is called in error messages.
    where: str
    #: What else the record says: its category, its source.
    fields: Mapping[str, Any] = {}


class Chosen(NamedTuple):
    """What the columns of a record are."""

    #: None where no column is known to hold captions, else at least one.
    captions: tuple[str, ...]
    image: str | None
    #: The others, which may hold fields.
    others: tuple[str, ...]


def is_text_key(key: str) -> bool:
    """Whether captions may stand under a key: "Prompt", "caption", "caption_3".

    >>> is_text_key("Caption 2"), is_text_key("category")
    (True, False)
    """
    return _base(key) in TEXT_KEYS


def _base(key: str) -> str:
    return _NUMBER.sub("", key.strip().lower())


@dataclass(frozen=True)
class Columns:
    """The columns that a user named; None for those that are to be found.

    Args:
        caption: The column of the captions, in any case; of a mapping "keys" or "values".
        image: The column of the images' names, in any case; of a mapping "keys" or "values".
    """

    caption: str | None = None
    image: str | None = None
    _known: dict[tuple[str, ...], Chosen] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )

    def of(self, record: Mapping[str, Any]) -> Chosen:
        """The columns of a record. Columns that hold None are as if they were not there.

        Raises:
            InputError: Captions may stand in several columns, or a column that the user named is
                not there.
        """
        keys = tuple(key for key, value in record.items() if value is not None)
        chosen = self._known.get(keys)
        if chosen is None:
            chosen = self._known[keys] = self.among([key for key in keys if isinstance(key, str)])
        return chosen

    def among(self, keys: Iterable[str]) -> Chosen:
        """Which of these columns hold captions and images; it raises InputError as `of` does."""
        keys = list(keys)
        captions = self._captions(keys)
        image = self._image([key for key in keys if key not in captions])
        others = (key for key in keys if key not in captions and key != image)
        return Chosen(
            captions, image, tuple(key for key in others if key.lower() not in IMAGE_KEYS and key)
        )

    def _captions(self, keys: list[str]) -> tuple[str, ...]:
        if self.caption is not None:
            return (_named(self.caption, keys, "caption"),)
        found: dict[str, list[str]] = {}
        for key in keys:
            if is_text_key(key):
                found.setdefault(_base(key), []).append(key)
        if len(found) > 1:
            several = ", ".join(key for own in found.values() for key in own)
            raise InputError(f"captions may stand under {several}: name the column by {OPTIONS}")
        return tuple(next(iter(found.values()), []))

    def _image(self, keys: list[str]) -> str | None:
        if self.image is not None:
            return _named(self.image, keys, "image")
        lower = {key.strip().lower(): key for key in reversed(keys)}
        return next((lower[key] for key in IMAGE_KEYS if key in lower), None)


def _named(wanted: str, keys: list[str], what: str) -> str:
    """The key that a user named: as it is written, else in any case."""
    if wanted in keys:
        return wanted
    for key in keys:
        if key.strip().lower() == wanted.strip().lower():
            return key
    raise InputError(f"there is no {what} column {wanted!r}; there are {', '.join(keys) or 'none'}")


def fields_of(record: Mapping[str, Any], others: Iterable[str]) -> dict[str, Any]:
    """What a record says beside its captions: texts, numbers, and lists of texts as tuples."""
    fields: dict[str, Any] = {}
    for key in others:
        value = record[key]
        if isinstance(value, (str, int, float)):
            fields[key] = value
        elif isinstance(value, (list, tuple)) and all(isinstance(part, str) for part in value):
            fields[key] = tuple(value)
    return fields
