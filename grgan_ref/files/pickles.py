"""Pickles of plain values, read without executing anything in them."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any, NoReturn

from grgan_ref.errors import GrganError


class _PlainUnpickler(pickle.Unpickler):
    """Refuses every class and function, and with them all that a pickle could run.

    What is left are lists, tuples, dictionaries, sets, strings, bytes, numbers, True, False, None.
    """

    def find_class(self, module: str, name: str) -> NoReturn:
        raise pickle.UnpicklingError(f"it asks for {module}.{name}")

    def persistent_load(self, identity: Any) -> NoReturn:
        raise pickle.UnpicklingError("it refers to data outside the file")


def read_plain_pickle(path: Path) -> Any:
    """Read a pickle of builtin containers, strings and numbers, of Python 2 or 3.

    Raises:
        GrganError: The file cannot be read, or asks for anything else.
    """
    try:
        with path.open("rb") as file:
            return _PlainUnpickler(file, encoding="latin1").load()
    except OSError as error:
        raise GrganError(f"{path}: {error.strerror}") from None
    except Exception as error:  # junk makes an unpickler raise anything
        raise GrganError(f"{path}: not a pickle of plain lists and dictionaries: {error}") from None
