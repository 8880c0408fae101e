"""Steps of a training are told: a bar where a person looks, a line now and then elsewhere."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

from tqdm.auto import tqdm

from cmdmetric.progress import watched
from cmdmetric.terminal import tell

T = TypeVar("T")
#: The fewest seconds between two lines, where no bar is drawn.
SECONDS = 30.0


class Steps:
    """The steps of one training, from `start` to `total`.

    Args:
        what: What is trained, as the bar and the lines begin.
        start: How many steps were made before.
        total: How many there will be.
        wanted: Whether this process tells of them.
    """

    def __init__(self, what: str, start: int, total: int, *, wanted: bool) -> None:
        self.what, self.total = what, total
        self._lines = wanted and not watched()
        self._told = -math.inf
        self._bar = tqdm(desc=what, initial=start, total=total, disable=not wanted or self._lines)

    def over(self, batches: Iterable[T]) -> Iterator[T]:
        """Give the batches; each counts as a step once the next one is asked for."""
        with self._bar:
            for batch in batches:
                yield batch
                self._bar.update()

    def tell(self, step: int, **losses: float) -> None:
        """Tell how a step went: beside the bar, or in a line unless there was one just before."""
        told = {name: f"{value:.3f}" for name, value in losses.items()}
        self._bar.set_postfix(told)
        now = time.monotonic()
        if self._lines and (step == self.total or now - self._told >= SECONDS):
            self._told = now
            values = ", ".join(f"{name} {value}" for name, value in told.items())
            tell(f"{self.what}: step {step:,} of {self.total:,}, {values}")
