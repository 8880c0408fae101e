"""Numpy's files: read without unpickling, written whole or not at all."""

from __future__ import annotations

import contextlib
import io
import math
import os
import zipfile
from collections.abc import Iterator, Mapping
from types import TracebackType
from typing import IO, Any

import numpy as np
from numpy.lib import format as npy
from numpy.lib.npyio import NpzFile
from numpy.typing import NDArray

from cmdmetric.errors import InputError
from cmdmetric.files import remote
from cmdmetric.files.atomic import whole_file

#: Features and covariances hardly compress: an array of more than _LARGE bytes that unpacks to
#: more than _RATIO times its size is a decompression bomb.
_LARGE = 1 << 28
_RATIO = 100


class Arrays(Mapping[str, NDArray[Any]]):
    """The arrays of an open .npz; each is held against its header before it is read."""

    def __init__(self, file: NpzFile) -> None:
        self._file = file

    def __getitem__(self, key: str) -> NDArray[Any]:
        """The array of this name.

        Raises:
            InputError: The header lies, or the array is a decompression bomb.
        """
        if key not in self._file:
            raise KeyError(key)
        archive = self._file.zip
        assert archive is not None, "it is open"
        member = archive.getinfo(key if key in archive.namelist() else f"{key}.npy")
        member_header(archive, member)
        array: NDArray[Any] = self._file[key]
        return array

    def __iter__(self) -> Iterator[str]:
        return iter(self._file)

    def __len__(self) -> int:
        return len(self._file)

    def __enter__(self) -> Arrays:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._file.close()


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
    except Exception as error:  # broken headers raise anything, TokenError and MemoryError included
        reason = " ".join(str(error).split())[:300] or type(error).__name__
        if "pickle" in reason:  # never numpy's advice to unpickle what it does not know
            reason = "no numpy file, or one of Python objects, which are never unpickled"
        raise InputError(f"{path}: not a readable {what}: {reason}") from None


def load(path: str | os.PathLike[str]) -> NDArray[Any] | Arrays:
    """An array, mapped into memory where it is a file, or the arrays of an .npz, to be closed.

    Of a path or a URL.
    """
    if remote.is_url(path):
        loaded = np.load(io.BytesIO(remote.read_bytes(str(path))), allow_pickle=False)
    else:
        loaded = np.load(path, mmap_mode="r", allow_pickle=False)
    return Arrays(loaded) if isinstance(loaded, NpzFile) else loaded


@contextlib.contextmanager
def opened(path: str | os.PathLike[str]) -> Iterator[Arrays]:
    """Read the arrays of an .npz of moments.

    Raises:
        InputError: Anything goes wrong within, as `reading` tells it.
    """
    with reading(path, "moments file"):
        loaded = load(path)
        if not isinstance(loaded, Arrays):
            raise InputError("it is no .npz but one array; moments hold mu and sigma")
        with loaded as arrays:
            yield arrays


def read_header(file: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """Shape, whether in Fortran's order, and dtype, from the head of a .npy file."""
    version = npy.read_magic(file)
    return (npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0)(file)


def member_header(
    archive: zipfile.ZipFile, member: zipfile.ZipInfo
) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """Give the header of an array in an .npz, as `read_header` does; its values are not read.

    Raises:
        InputError: The header does not fit the member that it heads, or the member unpacks to far
            more than it takes: a decompression bomb.
    """
    with archive.open(member) as stream:
        shape, fortran_order, dtype = read_header(stream)
        size = stream.tell() + math.prod(shape) * dtype.itemsize
    name = member.filename.removesuffix(".npy")
    what = f"its array {name!r} of shape {str(shape)[:60]} and {dtype}"
    if size != member.file_size and not dtype.hasobject:
        raise InputError(f"{what} is not what the file holds: it is damaged")
    if size > _LARGE and size > _RATIO * member.compress_size:
        raise InputError(
            f"{what} unpacks to {size:,} bytes from {member.compress_size:,}: a decompression "
            "bomb? Save it uncompressed"
        )
    return shape, fortran_order, dtype


def write_npz(path: str | os.PathLike[str], contents: Mapping[str, Any]) -> None:
    """Write arrays; the file appears whole or not at all.

    Raises:
        InputError: The file cannot be written.
    """
    if remote.is_url(path):
        content = io.BytesIO()
        np.savez(content, **contents)
        remote.write_bytes(str(path), content.getvalue())
        return
    with whole_file(remote.local(os.fspath(path))) as file:
        np.savez(file, **contents)
