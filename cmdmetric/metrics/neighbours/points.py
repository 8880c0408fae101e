"""Vectors between which distances are made in single precision, and where it matters in double."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from cmdmetric.metrics.vectors import Array, blocks

#: Sees the products (b, m) of some vectors of a set with all of another, or with those of their own
#: set up to the last of them, in single precision, before distances are made of them.
Watch: TypeAlias = Callable[[slice, NDArray[np.float32]], None]

#: Pairs whose difference is made in double precision at once: 8,192 x 512 are 34 MB.
_PAIRS = 1 << 13


@dataclass(frozen=True, eq=False)
class Points:
    """Vectors in double and in single precision.

    Attributes:
        exact: (n, d) the vectors, about a common centre and of a size near one.
        single: (n, d) the same.
        squares: (n,) their squared lengths.
    """

    exact: Array
    single: NDArray[np.float32]
    squares: Array

    @classmethod
    def of(cls, exact: Array) -> Points:
        """Take vectors (n, d)."""
        return cls(exact, exact.astype(np.float32), np.einsum("nd,nd->n", exact, exact))

    def __len__(self) -> int:
        return len(self.exact)

    def distances(
        self, rows: slice, others: Points, first: int, watch: Watch | None = None
    ) -> NDArray[np.float32]:
        """Give the squared distances (b, first) of some vectors to the first of the others."""
        found: NDArray[np.float32] = self.single[rows] @ others.single[:first].T
        if watch is not None:
            watch(rows, found[:, : rows.stop] if others is self else found)
        found *= np.float32(-2)
        found += self.squares[rows, None].astype(np.float32)
        found += others.squares[:first].astype(np.float32)
        return found

    def margin(self, others: Points) -> float:
        """Give how wrong `distances` may be at most.

        A product of d terms is wrong by d roundings of the lengths' product, whatever the order of
        its sum (Higham, Accuracy and Stability of Numerical Algorithms, section 3.1), and counts
        twice; the entries, the squared lengths and the last two sums are rounded beside.
        """
        largest = max(self.squares.max(), others.squares.max())
        return float((self.exact.shape[1] + 16) * np.finfo(np.float32).eps * largest)

    def exactly(
        self, rows: NDArray[np.intp], others: Points, columns: NDArray[np.signedinteger]
    ) -> Array:
        """Give the squared distances (p,) of some pairs in double precision."""
        found = np.empty(len(rows))
        for some in blocks(len(rows), _PAIRS):
            apart = self.exact[rows[some]] - others.exact[columns[some]]
            found[some] = np.einsum("pd,pd->p", apart, apart)
        return found
