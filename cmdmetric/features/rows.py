"""Features of a set, one a row, in memory while they are few and in a temporary file beyond."""

from __future__ import annotations

import mmap
import tempfile
from collections.abc import Iterator
from types import TracebackType
from typing import IO, Any, cast

import numpy as np
from numpy.typing import NDArray

#: Bytes of features that are kept in memory.
IN_MEMORY = 8 << 20
#: Rows that are read at once: their float64 copies stay small.
ROWS = 2048


class FeatureRows:
    """Rows (n, d) float32 that are written in any order, in `with`."""

    def __init__(self) -> None:
        self._file = cast(IO[bytes], tempfile.SpooledTemporaryFile(max_size=IN_MEMORY))  # noqa: SIM115
        self._d = 0
        self._n = 0

    def __enter__(self) -> FeatureRows:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._file.close()

    def write(self, positions: NDArray[np.intp], features: NDArray[np.float32]) -> None:
        """Rows (k, d) at positions (k,)."""
        if not len(positions):
            return
        self._d = features.shape[1]
        self._n = max(self._n, int(positions.max()) + 1)
        runs = np.flatnonzero(np.diff(positions) != 1) + 1
        for start, part in zip(np.append(0, runs).tolist(), np.split(features, runs), strict=True):
            self._file.seek(int(positions[start]) * self._d * 4)
            self._file.write(np.ascontiguousarray(part, np.float32).data)

    def finish(self, dropped: list[int]) -> NDArray[np.float32]:
        """The rows as an array, without those at the positions `dropped`, in order.

        What does not fit into memory is mapped from its file, which is gone when the array is.
        """
        dropped = [position for position in dropped if position < self._n]
        kept = np.delete(np.arange(self._n), dropped)
        if dropped:
            for start in range(0, len(kept), ROWS):  # moves rows up, each block read before
                block = kept[start : start + ROWS]
                rows = np.concatenate([self._read(row, 1) for row in block.tolist()])
                self.write(np.arange(start, start + len(block)), rows)
        size = len(kept) * self._d * 4
        if size <= IN_MEMORY:
            return self._read(0, len(kept))
        self._file.truncate(size)
        self._file.flush()
        return np.memmap(self._file, np.float32, "r", shape=(len(kept), self._d))

    def _read(self, row: int, count: int) -> NDArray[np.float32]:
        self._file.seek(row * self._d * 4)
        content = self._file.read(count * self._d * 4)
        return np.frombuffer(content, np.float32).reshape(count, self._d)


class OnDemand:
    """The field `features` of a dataclass: an array, or a function that is called for it once."""

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    def __get__(self, instance: Any, owner: type | None = None) -> Any:  # the array
        if instance is None:
            return None  # the default
        value = instance.__dict__[self._name]
        if callable(value):
            value = instance.__dict__[self._name] = value()
        return value

    def __set__(self, instance: Any, value: Any) -> None:
        instance.__dict__[self._name] = value


def unread(instance: Any) -> Any:
    """The field `features` as it was given: an array, a function, or None."""
    return vars(instance)["features"]


def blocks_of(features: NDArray[Any], rows: int = ROWS) -> Iterator[NDArray[Any]]:
    """Consecutive blocks of features; those that are mapped from a file leave memory again."""
    for start in range(0, len(features), rows):
        yield features[start : start + rows]
        release(features)


def release(features: object) -> None:
    """Let go of the pages of a mapped file that were read; they are read again if need be."""
    mapped = getattr(features, "_mmap", None)
    if isinstance(mapped, mmap.mmap) and hasattr(mmap, "MADV_DONTNEED"):
        mapped.madvise(mmap.MADV_DONTNEED)
