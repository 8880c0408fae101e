"""Images decoded by threads, ahead of the network that waits for them and in their order."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import NamedTuple, TypeVar

from PIL import Image

from cmdmetric.image_set import ImageItem, describe_failure

T = TypeVar("T")


class Failure(NamedTuple):
    """Why an image could not be decoded, in one line."""

    reason: str


def decoded(
    images: Iterable[ImageItem], prepare: Callable[[Image.Image], T], lookahead: int
) -> Iterator[tuple[str, T | Failure]]:
    """Name and prepared image of each item, in order; a Failure where it cannot be decoded.

    prepare runs in threads, which pays since Pillow releases the interpreter while it works; at
    most `lookahead` images wait.
    """

    def load(item: ImageItem) -> T | Failure:
        try:
            return prepare(item.load())
        except Exception as error:  # a broken file makes Pillow's plugins raise almost anything
            return Failure(describe_failure(error))

    pool = ThreadPoolExecutor(os.cpu_count() or 1)
    waiting: deque[tuple[str, Future[T | Failure]]] = deque()
    try:
        for item in images:
            waiting.append((item.name, pool.submit(load, item)))
            if len(waiting) > lookahead:
                name, future = waiting.popleft()
                yield name, future.result()
        while waiting:
            name, future = waiting.popleft()
            yield name, future.result()
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
