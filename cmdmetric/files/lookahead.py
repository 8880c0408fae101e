"""What is slow to come by, begun before it is asked for: a few items ahead, in their order."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from itertools import repeat
from typing import Any, TypeVar

S = TypeVar("S")
T = TypeVar("T")

_END: Any = object()


def ahead(
    items: Iterable[S], work: Callable[[S], T], threads: int, count: int, processes: bool = False
) -> Iterator[tuple[S, Future[T]]]:
    """Each item and the future of what work makes of it, in order.

    Args:
        items: They are taken from their iterator in the thread that asks for results.
        work: What one of the threads does with an item; what it raises is raised by the future.
        threads: How many threads work at once.
        count: How many items are begun before the first of them is asked for.
        processes: Whether these are processes, which takes work and items that can be pickled.
    """
    pool: Executor = (ProcessPoolExecutor if processes else ThreadPoolExecutor)(threads)
    waiting: deque[tuple[S, Future[T]]] = deque()
    abandoned = True
    try:
        for item in items:
            waiting.append((item, pool.submit(work, item)))
            if len(waiting) > count:
                yield waiting.popleft()
        while waiting:
            yield waiting.popleft()
        abandoned = False  # what was handed out may still be on its way
    finally:
        pool.shutdown(wait=False, cancel_futures=abandoned)


def read_ahead(items: Iterable[T], count: int) -> Iterator[T]:
    """The same items, of which a thread has taken up to `count` before they are asked for."""
    iterator = iter(items)
    for _, future in ahead(repeat(None), lambda _: next(iterator, _END), 1, count):
        if (item := future.result()) is _END:
            return
        yield item
