"""Functions of features, block by block, computed where the features are: here, or elsewhere."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NoReturn, Protocol, TypeAlias, TypeVar

import numpy as np
from numpy.typing import DTypeLike, NDArray

from cmdmetric.files import ROWS, release

_T = TypeVar("_T")

#: For each of the features the rows of a block, a slice or places (k,); then what is handed on.
Block: TypeAlias = Sequence[Any]


class Rows(Protocol):
    """The features (n, d) of one side, as far as they are read here: slice by slice."""

    def __len__(self) -> int: ...

    def __getitem__(self, rows: slice, /) -> NDArray[Any]: ...


class Elsewhere(ABC):
    """Features (n, d) that stay where they are: functions go there, and what they find comes here.

    Args:
        n: How many there are.
        d: Their dimension.
    """

    def __init__(self, n: int, d: int) -> None:
        self.shape = (n, d)

    def __len__(self) -> int:
        return self.shape[0]

    def __array__(self, dtype: DTypeLike | None = None, copy: bool | None = None) -> NoReturn:
        raise TypeError("these features are elsewhere: blockwise takes a function to them")

    @abstractmethod
    def blockwise(
        self,
        function: Callable[..., _T],
        blocks: Iterable[Block],
        features: Sequence[Rows | Elsewhere],
    ) -> Iterator[_T]:
        """`blockwise` of features of which these are the first that are elsewhere."""


def blockwise(
    function: Callable[..., _T], blocks: Iterable[Block], *features: Rows | Elsewhere
) -> Iterator[_T]:
    """What a function makes of each of several blocks of features, in their order.

    Args:
        function: It takes the rows (k, d) of each of the features, in that order, and what a block
            has beside their places. It changes none of these, and what it closes over is small:
            for features that are elsewhere it is sent there.
        blocks: For each of the features a slice, or places (k,), of its rows.
        features: Arrays (n, d), or features that are elsewhere.

    >>> blocks = [(slice(2), 1), (slice(2, 4), 10)]
    >>> list(blockwise(lambda x, by: float(x.sum()) * by, blocks, np.eye(4)))
    [2.0, 20.0]
    """
    for rows in features:
        if isinstance(rows, Elsewhere):
            yield from rows.blockwise(function, blocks, features)
            return
    for block in blocks:
        parts = (rows[place] for rows, place in zip(features, block, strict=False))  # type: ignore[index]
        yield function(*parts, *block[len(features) :])
        for rows in features:
            release(rows)


def slices(n: int) -> list[tuple[slice]]:
    """The blocks of n rows that are looked at together, in order."""
    return [(slice(start, min(n, start + ROWS)),) for start in range(0, n, ROWS)]


def row_by_row(function: Callable[..., NDArray[Any]], features: Rows | Elsewhere) -> NDArray[Any]:
    """(n, ...) what a function makes of rows (k, d), as (k, ...), of all rows."""
    return np.concatenate(list(blockwise(function, slices(len(features)), features)))
