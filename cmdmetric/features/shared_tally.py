"""One line of progress of several processes: the first tells what all have done."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from cmdmetric.features.workers import ProcessLost, Workers
from cmdmetric.progress import Bar, Tally, progress_bar

#: The seconds between two looks at what the others have done, and between two words of theirs.
PAUSE = 0.5


@contextmanager
def shared_tally(
    workers: Workers, what: str, total: int | None, unit: str, *, wanted: bool
) -> Iterator[bool | Tally]:
    """What a process counts its share of a set in, while all of them are at work on it.

    All processes must enter it for the same sets in the same order, and stay until all are done.

    Args:
        workers: The processes.
        what: What is worked on, as `cmdmetric.progress.progress_bar` takes it.
        total: How many units the whole set has; None where that is not known.
        unit: What is counted.
        wanted: Whether progress is told at all; without it the tally is False.
    """
    counted = workers.counter()
    if not wanted:
        yield False
    elif workers.rank:
        share = _Share(workers, counted)
        yield share
        share.tell()
    else:
        with progress_bar(what, total, unit, wanted=True) as bar:
            whole = _Whole(workers, counted, bar)
            with whole.watched():
                yield whole
            if total is not None:
                bar.update(total - bar.n)


class _Share:
    """What a process has done that is not the first: told now and then."""

    def __init__(self, workers: Workers, counted: str) -> None:
        self._workers, self._counted = workers, counted
        self._untold = 0
        self._last = time.monotonic()

    def update(self, n: int = 1) -> None:
        self._untold += n
        if time.monotonic() - self._last > PAUSE:
            self.tell()

    def tell(self) -> None:
        self._workers.add(self._counted, self._untold)
        self._untold, self._last = 0, time.monotonic()


class _Whole:
    """The bar of the first process, drawn by a thread: it goes on while others are at work."""

    def __init__(self, workers: Workers, counted: str, bar: Bar) -> None:
        self._workers, self._counted, self._bar = workers, counted, bar
        self._own = 0
        self._over = threading.Event()

    def update(self, n: int = 1) -> None:
        self._own += n

    @contextmanager
    def watched(self) -> Iterator[None]:
        """While the bar is drawn."""
        thread = threading.Thread(target=self._draw, daemon=True)
        if not self._bar.disable:
            thread.start()
        try:
            yield
        finally:
            self._over.set()
            if thread.is_alive():
                thread.join()

    def _draw(self) -> None:
        while not self._over.wait(PAUSE):
            try:
                done = self._own + self._workers.add(self._counted, 0)
            except ProcessLost:
                return  # which is told where the processes meet
            self._bar.update(done - self._bar.n)
