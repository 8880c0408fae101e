"""Features that stay in Ray's object store: functions of them are computed by Ray's tasks."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from cmdmetric.files import ROWS
from cmdmetric.metrics import Block, Elsewhere, Rows

if TYPE_CHECKING:
    from ray import ObjectRef

_T = TypeVar("_T")

#: Tasks that wait at once.
_AHEAD = 256


def task(function: Callable[..., Any], **options: Any) -> Any:
    """A task of Ray: a pure function, that runs again as often as its machine fails."""
    import ray

    remote: Any = ray.remote
    return remote(max_retries=-1, **options)(function)


class RowsOnRay(Elsewhere):
    """Features (n, d) float32 as objects of Ray.

    A task is sent to where the block is that it looks at. Of rows that are in several blocks, each
    of these gives its own first, where it is and no whole block is moved for a few.

    Args:
        blocks: Objects (ROWS, d), the last of which may be shorter: as many rows as error bars look
            at together, so that one task takes one block.
        n: How many rows there are.
        d: Their dimension.
    """

    def __init__(self, blocks: Sequence[ObjectRef[Any]], n: int, d: int) -> None:
        super().__init__(n, d)
        self._blocks = blocks
        self._compute = task(_computed)
        self._take = task(_taken)

    def blockwise(
        self,
        function: Callable[..., _T],
        blocks: Iterable[Block],
        features: Sequence[Rows | Elsewhere],
    ) -> Iterator[_T]:
        """`cmdmetric.metrics.blockwise`; features that are here are sent along, block by block."""
        import ray

        sent = ray.put(function)
        waiting: deque[ObjectRef[Any]] = deque()
        for block in blocks:
            plan: list[Any] = []
            parts: list[Any] = []
            for rows, place in zip(features, block, strict=False):
                own: list[Any]
                if isinstance(rows, RowsOnRay):
                    own, order = rows._parts(place)
                else:
                    own, order = [rows[place]], None  # type: ignore[index]
                plan.append((len(own), order))
                parts += own
            rest = block[len(features) :]
            waiting.append(self._compute.remote(sent, plan, rest, *parts))
            if len(waiting) > _AHEAD:
                yield ray.get(waiting.popleft())
        while waiting:
            yield ray.get(waiting.popleft())

    def _parts(
        self, place: slice | NDArray[np.intp]
    ) -> tuple[list[ObjectRef[Any]], NDArray[np.intp] | None]:
        """Objects that hold some rows, and the order in which these lie there; None for theirs."""
        if isinstance(place, slice):
            place = np.arange(*place.indices(len(self)))
        block, row = np.divmod(place, ROWS)
        order = np.argsort(block, kind="stable")
        parts = []
        for own in np.split(order, np.flatnonzero(np.diff(block[order])) + 1):
            held, wanted = self._blocks[block[own[0]]], row[own]
            whole = min(ROWS, len(self) - int(block[own[0]]) * ROWS)
            if len(wanted) < whole or (np.diff(wanted) != 1).any():
                held = self._take.remote(held, wanted)
            parts.append(held)
        return parts, order if (np.diff(order) != 1).any() else None


# --- in tasks --------------------------------------------------------------------------------


def _taken(block: NDArray[np.float32], rows: NDArray[np.intp]) -> NDArray[np.float32]:
    """Some rows of a block."""
    return block[rows]


def _computed(
    function: Callable[..., _T],
    plan: Sequence[tuple[int, NDArray[np.intp] | None]],
    rest: Sequence[Any],
    *parts: NDArray[Any],
) -> _T:
    """What a function makes of rows that lie in parts, in an order, and of the rest."""
    found, left = [], list(parts)
    for count, order in plan:
        own, left = left[:count], left[count:]
        rows = own[0] if count == 1 else np.concatenate(own)
        if order is not None:
            placed = np.empty_like(rows)
            placed[order] = rows
            rows = placed
        found.append(rows)
    return function(*found, *rest)
