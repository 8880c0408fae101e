"""Features of a set, one a row, in memory while they are few and in a temporary file beyond."""

from __future__ import annotations

import functools
import tempfile
from collections.abc import Callable
from types import TracebackType
from typing import IO, Any, cast

import numpy as np
from numpy.typing import DTypeLike, NDArray

from cmdmetric.files import ROWS

#: Bytes of features that are kept in memory.
IN_MEMORY = 8 << 20


class FeatureRows:
    """Rows (n, d) float32 that are written in any order, in `with`."""

    def __init__(self) -> None:
        self._file = cast(IO[bytes], tempfile.SpooledTemporaryFile(max_size=IN_MEMORY))  # noqa: SIM115
        self._d = 0
        self._n = 0
        #: The row at which the file stands. A seek writes out what the file has buffered.
        self._at = 0

    def __enter__(self) -> FeatureRows:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Forget the rows; an array of `finish` keeps what it has."""
        self._file.close()

    def write(self, positions: NDArray[np.intp], features: NDArray[np.float32]) -> None:
        """Rows (k, d) at positions (k,)."""
        if not len(positions):
            return
        self._d = features.shape[1]
        self._n = max(self._n, int(positions.max()) + 1)
        starts = [0, *(np.flatnonzero(np.diff(positions) != 1) + 1).tolist()]
        for start, end in zip(starts, [*starts[1:], len(positions)], strict=True):
            part = features[start:end]
            self._seek(int(positions[start]))
            self._file.write(np.ascontiguousarray(part, np.float32).data)
            self._at += len(part)

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
        self._seek(row)
        content = self._file.read(count * self._d * 4)
        self._at += count
        return np.frombuffer(content, np.float32).reshape(count, self._d)

    def _seek(self, row: int) -> None:
        if row != self._at:
            self._file.seek(row * self._d * 4)
            self._at = row


class Features:
    """Features (n, d) float32 that are read when they are first looked at, and then kept.

    To numpy it is the array that it stands for, and rows are taken by indices as of that array.

    >>> features = Features(lambda: np.ones((2, 3), np.float32))
    >>> features.shape, float(np.sum(features)), features[1]
    ((2, 3), 6.0, array([1., 1., 1.], dtype=float32))
    """

    def __init__(self, read: Callable[[], NDArray[np.float32]]) -> None:
        """read is called once, for the array; it may raise InputError."""
        self._read = read

    @functools.cached_property
    def array(self) -> NDArray[np.float32]:
        """The features themselves.

        Raises:
            InputError: The features cannot be read.
        """
        return self._read()

    @property
    def shape(self) -> tuple[int, ...]:
        """(n, d)."""
        return self.array.shape

    def __len__(self) -> int:
        return len(self.array)

    def __getitem__(self, rows: Any) -> NDArray[np.float32]:
        return self.array[rows]

    def __array__(
        self, dtype: DTypeLike | None = None, copy: bool | None = None
    ) -> NDArray[np.float32]:
        if copy:
            return np.array(self.array, dtype)
        return self.array if dtype is None else self.array.astype(dtype, copy=False)
