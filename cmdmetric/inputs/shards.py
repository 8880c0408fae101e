"""One of k shares of a set, for jobs that know nothing of each other."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from typing import TypeVar

from cmdmetric.errors import InputError

T = TypeVar("T")


@dataclass(frozen=True)
class Shard:
    """Share `index` of `count`, counted from 0: of 64 the first is 0/64, the last 63/64.

    A set whose size is known is cut into consecutive ranges that differ by at most one block; of
    one that is streamed every count-th block is taken. Whoever sees the same set finds the same
    share.

    >>> Shard.parse("1/3").range(10)
    range(3, 6)
    """

    index: int
    count: int
    #: Samples that stay together: those that a network gets at once.
    block: int = 1

    def __post_init__(self) -> None:
        if self.count < 1:
            raise InputError(f"there is no shard {self}: a set is cut into at least 1")
        if not 0 <= self.index < self.count:
            raise InputError(
                f"there is no shard {self}: shards count from 0, so of {self.count} the first is "
                f"0/{self.count} and the last {self.count - 1}/{self.count}"
            )

    @classmethod
    def parse(cls, text: str) -> Shard:
        """Of "3/64".

        Raises:
            InputError: The text is no such pair, or there is no such shard.
        """
        match = re.fullmatch(r"(\d+)/(\d+)", text.strip())
        if match is None:
            raise InputError(
                f"a shard is INDEX/COUNT, counted from 0, such as 3/64; {text!r} is not"
            )
        return cls(int(match[1]), int(match[2]))

    def range(self, size: int) -> range:
        """The positions of this share in a set of a known size."""
        blocks = -(-size // self.block)
        low, high = (i * blocks // self.count * self.block for i in (self.index, self.index + 1))
        return range(min(low, size), min(high, size))

    def stride(self, items: Iterable[T]) -> Iterator[T]:
        """Of items that are streamed, those of this share."""
        for position, item in enumerate(items):
            if position // self.block % self.count == self.index:
                yield item

    def __str__(self) -> str:
        return f"{self.index}/{self.count}"


@dataclass(frozen=True)
class Listing:
    """What a set consists of, by name: two that are equal are one set."""

    #: What is counted: "images", "captions" or "archives".
    unit: str
    total: int
    #: sha256 (hex) of the names, in order.
    digest: str

    @classmethod
    def of(cls, unit: str, names: Iterable[str]) -> Listing:
        """The listing of names in their order."""
        digest, total = hashlib.sha256(), 0
        for name in names:
            # Lengths keep ("ab", "c") and ("a", "bc") apart.
            content = name.encode("utf-8", "surrogateescape")
            digest.update(f"{len(content)}\n".encode() + content)
            total += 1
        return cls(unit, total, digest.hexdigest())

    def __str__(self) -> str:
        return f"{self.total} {self.unit} ({self.digest[:8]})"


@dataclass(frozen=True)
class ShardRecord:
    """What a file of moments says about its place in the whole set."""

    shard: Shard
    listing: Listing

    def to_json(self) -> str:
        """One JSON object."""
        place = {"index": self.shard.index, "count": self.shard.count}
        return json.dumps({**place, "listing": asdict(self.listing)}, sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> ShardRecord:
        """The inverse of `to_json`.

        Raises:
            InputError: The text is damaged.
        """
        try:
            values = json.loads(text)
            shard = Shard(int(values["index"]), int(values["count"]))
            return cls(shard, Listing(**values["listing"]))
        except (ValueError, TypeError, KeyError) as error:
            raise InputError(
                f"its record of which shard it is is damaged: {error!r}; make it anew"
            ) from None
