"""Arrays that may be mapped from a file, read in blocks that leave memory again."""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from typing import Any

from numpy.typing import NDArray

#: Rows that are read at once: their float64 copies stay small.
ROWS = 2048


def blocks_of(features: NDArray[Any], rows: int = ROWS) -> Iterator[NDArray[Any]]:
    """Consecutive blocks of the rows of an array; those of a mapped file leave memory again."""
    for start in range(0, len(features), rows):
        yield features[start : start + rows]
        release(features)


def release(features: object) -> None:
    """Let go of the pages of a mapped file that were read; they are read again if need be."""
    mapped = getattr(features, "_mmap", None)
    if isinstance(mapped, mmap.mmap) and hasattr(mmap, "MADV_DONTNEED"):
        mapped.madvise(mmap.MADV_DONTNEED)
