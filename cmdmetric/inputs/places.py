"""Names of images and files: none is empty, accents are found in either form, places are names."""

from __future__ import annotations

import os
import re
import unicodedata
from collections.abc import Iterable
from pathlib import Path

from cmdmetric.errors import InputError
from cmdmetric.files import remote

_PLACE = re.compile(r"#(\d+)")


def named(source: str | os.PathLike[str]) -> str:
    """The path or URL that a user gave.

    Raises:
        InputError: It is empty, which would be the current folder.
    """
    name = remote.local(os.fspath(source))
    if not name.strip():
        raise InputError("an input has an empty name: is a variable of the shell not set?")
    return name


def position(index: int) -> str:
    """Name the image at a place in a list, counted from 0: images without names are called so."""
    return f"#{index}"


def places_of(names: Iterable[str | None]) -> tuple[int, ...] | None:
    """Tell the places that names stand for; None where a name is no place.

    >>> places_of(["#0", "#2"]), places_of(["#0", "cat.png"])
    ((0, 2), None)
    """
    found = [_PLACE.fullmatch(name or "") for name in names]
    return None if None in found else tuple(int(match[1]) for match in found if match)


def find_file(folder: Path, name: str) -> Path | None:
    """The file of a name in a folder, in whichever normal form of Unicode it is stored there."""
    for form in (name, *(unicodedata.normalize(form, name) for form in ("NFC", "NFD"))):
        path = folder / form
        if path.is_file():
            return path
        if name.isascii():
            break
    return None
