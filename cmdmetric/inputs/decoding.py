"""Images decoded by threads, ahead of the network that waits for them and in their order."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple, TypeVar

from PIL import Image

from cmdmetric.files import ahead
from cmdmetric.inputs.image_set import ImageItem, describe_failure

S = TypeVar("S")
T = TypeVar("T")


class Failure(NamedTuple):
    """Why an image could not be decoded, in one line."""

    reason: str


def decoded(
    images: Iterable[ImageItem], prepare: Callable[[Image.Image], T], lookahead: int
) -> Iterator[tuple[str, T | Failure]]:
    """Name and prepared image of each item, in order; a Failure where it cannot be decoded."""
    results = prepared(images, lambda item: prepare(item.load()), lookahead)
    return ((item.name, result) for item, result in results)


def prepared(
    items: Iterable[S], prepare: Callable[[S], T], lookahead: int
) -> Iterator[tuple[S, T | Failure]]:
    """Each item and what is made of it, in order; a Failure where that raises anything.

    prepare runs in threads, which pays since Pillow releases the interpreter while it works; at
    most `lookahead` results wait.
    """

    def attempt(item: S) -> T | Failure:
        try:
            return prepare(item)
        except Exception as error:  # a broken file makes Pillow's plugins raise almost anything
            return Failure(describe_failure(error))

    for item, future in ahead(items, attempt, threads=os.cpu_count() or 1, count=lookahead):
        yield item, future.result()
