"""Numpy's files: read without unpickling, written whole or not at all."""

from __future__ import annotations

import contextlib
import io
import os
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from cmdmetric import remote
from cmdmetric.errors import InputError


@contextlib.contextmanager
def reading(path: str | os.PathLike[str], what: str) -> Iterator[None]:
    """Whatever goes wrong within is an InputError that names the file; `what` is its kind."""
    try:
        yield
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except remote.RemoteError:
        raise
    except InputError as error:
        raise InputError(f"{path}: {error}") from None
    except (OSError, EOFError, zipfile.BadZipFile, ValueError, TypeError, KeyError) as error:
        # Never numpy's advice to unpickle what it does not know.
        reason = "no numpy file, or one of Python objects, which are never unpickled"
        reason = reason if "pickle" in str(error) else str(error)
        raise InputError(f"{path}: not a readable {what}: {reason}") from None


def load(path: str | os.PathLike[str]) -> Any:
    """An array, mapped into memory where it is a file, or an open NpzFile; of a path or a URL."""
    if remote.is_url(path):
        return np.load(io.BytesIO(remote.read_bytes(str(path))), allow_pickle=False)
    return np.load(path, mmap_mode="r", allow_pickle=False)


def write_npz(path: str | os.PathLike[str], contents: Mapping[str, Any]) -> None:
    """Write arrays; the file appears whole or not at all. Raises InputError where it cannot."""
    if remote.is_url(path):
        content = io.BytesIO()
        np.savez(content, **contents)
        remote.write_bytes(str(path), content.getvalue())
        return
    path = Path(remote.local(os.fspath(path)))
    partial = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with open(partial, "wb") as file:
            np.savez(file, **contents)
        os.replace(partial, path)
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror}") from None
    finally:
        partial.unlink(missing_ok=True)
