"""A seeded part of a set: the same one on every machine, under every version of anything."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass

from cmdmetric.errors import InputError


def ordered_by_seed(keys: Sequence[str], seed: int) -> list[int]:
    """Give the places of keys in the order of the sha256 of "seed:key" in UTF-8.

    The order of a part is that of the whole, so that what is drawn of few is part of what is drawn
    of many. Equal keys keep their order.

    >>> ordered_by_seed(["a", "b", "c", "d"], 0)
    [3, 0, 2, 1]
    """
    digests = [
        hashlib.sha256(f"{seed}:{key}".encode("utf-8", "surrogatepass")).digest() for key in keys
    ]
    return sorted(range(len(keys)), key=digests.__getitem__)


@dataclass(frozen=True)
class Subset:
    """So many images of a set, drawn by a seed.

    Attributes:
        num: How many.
        seed: Which of the many parts of that size.
    """

    num: int
    seed: int = 0

    def __post_init__(self) -> None:
        if type(self.num) is not int:
            raise InputError(f"num is {self.num!r}, it must be a whole number")
        if self.num < 2:
            raise InputError(f"num is {self.num!r}: a score needs at least 2 images")
        if type(self.seed) is not int:
            raise InputError(f"seed is {self.seed!r}, it must be a whole number")

    @classmethod
    def wanted(cls, num: int | None, seed: int | None) -> Subset | None:
        """Take what a user names; None for all images.

        Raises:
            InputError: A seed was given without a number, or either is none.
        """
        if num is None:
            if seed is not None:
                raise InputError("a seed was given without a number of images: --num N --seed S")
            return None
        return cls(num, 0 if seed is None else seed)

    @classmethod
    def read(cls, label: str) -> Subset:
        """The inverse of `label`.

        Raises:
            InputError: It is no label of a part.
        """
        found = re.fullmatch(r"(\d+)/\d+@seed(-?\d+)", label)
        if found is None:
            raise InputError(f"{label!r} names no part of a set")
        return cls(int(found[1]), int(found[2]))

    def of(self, keys: Sequence[str]) -> list[int]:
        """Draw: the places of the first keys in the order of the seed, ascending."""
        return sorted(ordered_by_seed(keys, self.seed)[: self.num])

    def label(self, total: int) -> str:
        """Name it in a signature, drawn of a total."""
        return f"{self.num}/{total}@seed{self.seed}"
