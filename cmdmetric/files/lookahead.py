"""What is slow to come by, fetched before it is asked for."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

S = TypeVar("S")
T = TypeVar("T")

_END: Any = object()


def ahead(items: Iterable[T], count: int) -> Iterator[T]:
    """The same items, of which a thread has fetched up to `count` before they are asked for."""
    iterator = iter(items)
    pool = ThreadPoolExecutor(1)
    waiting: deque[Future[T]] = deque()
    try:
        for _ in range(count):
            waiting.append(pool.submit(next, iterator, _END))
        while (item := waiting.popleft().result()) is not _END:
            waiting.append(pool.submit(next, iterator, _END))
            yield item
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def fetched(
    keys: Iterable[S], fetch: Callable[[S], T], threads: int
) -> Iterator[tuple[S, Future[T]]]:
    """Each key and what is fetched for it by one of several threads, a few of them ahead."""
    pool = ThreadPoolExecutor(threads)
    waiting: deque[tuple[S, Future[T]]] = deque()
    abandoned = True
    try:
        for key in keys:
            waiting.append((key, pool.submit(fetch, key)))
            if len(waiting) > 2 * threads:
                yield waiting.popleft()
        yield from waiting
        abandoned = False  # what was handed out may still be on its way
    finally:
        pool.shutdown(wait=False, cancel_futures=abandoned)
