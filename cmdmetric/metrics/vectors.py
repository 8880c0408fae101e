"""Feature vectors as the metrics take them: checked, in float64, of unit length, in blocks."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cmdmetric.errors import InputError

Array = NDArray[np.float64]

#: Rows of a block: two sets of any size meet in tiles of this many rows and columns (8 MB).
BLOCK = 1024
#: Rows that passes over all pairs take at once: tiles of this many rows and columns are 1 or 2 MB,
#: which a processor's cache holds.
TILE = 512


def as_vectors(values: ArrayLike, what: str, at_least: int = 1) -> Array:
    """Features (n, d) of any real dtype, in float64 and in order; `what` names them in errors.

    Raises:
        InputError: The shape is another one, values are not real or not finite, or there are fewer
            than `at_least` vectors.
    """
    array = np.asarray(values)
    if array.ndim != 2 or array.shape[1] == 0:
        raise InputError(f"the {what} are vectors (n, d), not an array of shape {array.shape}")
    if array.dtype.kind not in "fiu":
        raise InputError(f"the {what} must be real numbers, not {array.dtype}")
    if len(array) < at_least:
        raise InputError(f"{len(array):,} {what} are too few: it takes at least {at_least}")
    if not np.isfinite(array).all():
        bad = int((~np.isfinite(array).all(axis=1)).sum())
        raise InputError(f"{bad:,} of {len(array):,} {what} have features that are NaN or infinite")
    return array.astype(np.float64, copy=False)


def unit(vectors: Array, what: str) -> Array:
    """The vectors (n, d) at length one.

    >>> unit(np.array([[3.0, 4.0]]), "images")
    array([[0.6, 0.8]])

    Raises:
        InputError: A vector is zero, which has no direction.
    """
    # Twice, since the squares of very short and of very long vectors leave the float's range.
    largest = np.maximum(vectors.max(axis=1), -vectors.min(axis=1))[:, None]
    if not largest.all():
        zeros = int((largest == 0).sum())
        raise InputError(
            f"{zeros:,} of {len(vectors):,} {what} are zero vectors, without direction"
        )
    scaled = vectors / largest
    scaled /= np.sqrt(np.einsum("nd,nd->n", scaled, scaled))[:, None]
    directions: Array = scaled
    return directions


def require_same_dimension(a: Array, what_a: str, b: Array, what_b: str) -> None:
    """Raise InputError where two sets come from two spaces."""
    if a.shape[1] != b.shape[1]:
        raise InputError(
            f"the {what_a} have {a.shape[1]} dimensions and the {what_b} {b.shape[1]}: "
            "they come from two encoders"
        )


def require_pairs(a: Array, what_a: str, b: Array, what_b: str) -> None:
    """Raise InputError where two sets cannot be paired row by row."""
    if len(a) != len(b):
        raise InputError(
            f"{len(a):,} {what_a} and {len(b):,} {what_b} are not pairs: row i of the one belongs "
            "to row i of the other, so repeat or leave out what has several partners or none"
        )


def as_owner(
    owner: ArrayLike | None, n: int, m: int, what: str, belonging: str
) -> NDArray[np.intp]:
    """For each of m `belonging` the row (0 to n - 1) of the `what` it belongs to: (m,).

    None stands for row i belonging to row i.

    Raises:
        InputError: The shape is another one, a row does not exist, or a row owns nothing.
    """
    if owner is None:
        if n != m:
            raise InputError(
                f"{n:,} {what} and {m:,} {belonging} are not pairs; say which of the {what} each "
                f"of the {belonging} belongs to (owner)"
            )
        return np.arange(n)
    rows = np.asarray(owner)
    if rows.shape != (m,) or rows.dtype.kind not in "iu":
        raise InputError(
            f"owner holds one whole number for each of the {m} {belonging}, "
            f"it is {rows.dtype} of shape {rows.shape}"
        )
    if m and (rows.min() < 0 or rows.max() >= n):
        raise InputError(f"owner names rows from {rows.min()} to {rows.max()} of {n:,} {what}")
    without = n - len(np.unique(rows))
    if without:
        raise InputError(
            f"{without:,} of {n:,} {what} have none of the {belonging}: leave them out"
        )
    return rows.astype(np.intp)


def blocks(n: int, size: int = BLOCK) -> Iterator[slice]:
    """Slices that cut n rows into runs of at most `size`.

    >>> list(blocks(5, 2))
    [slice(0, 2, None), slice(2, 4, None), slice(4, 5, None)]
    """
    for start in range(0, n, size):
        yield slice(start, min(start + size, n))
