"""Names of files as a user gives them: none is empty, and accents are found in either form."""

from __future__ import annotations

import os
import unicodedata
from pathlib import Path

from cmdmetric.errors import InputError
from cmdmetric.files import remote


def named(source: str | os.PathLike[str]) -> str:
    """The path or URL that a user gave.

    Raises:
        InputError: It is empty, which would be the current folder.
    """
    name = remote.local(os.fspath(source))
    if not name.strip():
        raise InputError("an input has an empty name: is a variable of the shell not set?")
    return name


def find_file(folder: Path, name: str) -> Path | None:
    """The file of a name in a folder, in whichever normal form of Unicode it is stored there."""
    for form in (name, *(unicodedata.normalize(form, name) for form in ("NFC", "NFD"))):
        path = folder / form
        if path.is_file():
            return path
        if name.isascii():
            break
    return None
