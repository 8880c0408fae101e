"""The blocks of a dataset as actors encoded them: their sums, and the features where they are."""

from __future__ import annotations

import contextlib
import pickle
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from cmdmetric.errors import InputError
from cmdmetric.evaluator import Batch
from cmdmetric.files import ROWS
from cmdmetric.integrations.ray import actors
from cmdmetric.integrations.ray.actors import PART, SIDES, Part, Work
from cmdmetric.integrations.ray.rows import RowsOnRay, task
from cmdmetric.metrics import Moments

if TYPE_CHECKING:
    import pyarrow as pa
    from ray import ObjectRef
    from ray.data import Dataset

#: The moments of images and of captions; None before the first of either.
_Both = tuple[Moments | None, Moments | None]


@dataclass
class Encoded:
    """What actors made of a dataset."""

    #: What is told of its blocks, in their order, without features.
    parts: list[Any]
    #: The moments of the images and of the captions; None where there are none of these.
    moments: _Both
    #: Where the parts are: a block, and which row of it.
    _held: list[tuple[ObjectRef[Any], int]] = field(default_factory=list)

    def rows(self, side: int) -> RowsOnRay:
        """The features of the images (0) or the captions (1), of parts that are Batches.

        They are put together anew, as blocks of as many rows as error bars look at together.
        """
        moments = self.moments[side]
        assert moments is not None
        cut = task(_cut)
        counts = [len((part.images, part.captions)[side]) for part in self.parts]
        ends = np.cumsum(counts)
        n = int(ends[-1])
        blocks = []
        for start in range(0, n, ROWS):
            stop = min(n, start + ROWS)
            first, last = np.searchsorted(ends, start, "right"), np.searchsorted(ends, stop)
            pieces, held = [], []
            for i in range(int(first), int(last) + 1):
                if counts[i]:
                    begin, (block, row) = int(ends[i]) - counts[i], self._held[i]
                    pieces.append((row, max(0, start - begin), stop - begin))
                    held.append(block)
            blocks.append(cut.remote(SIDES[side], moments.d, pieces, *held))
        return RowsOnRay(blocks, n, moments.d)


def encode(dataset: Dataset, work: Work, pool: Mapping[str, Any]) -> Encoded:
    """Let actors encode a dataset, block by block.

    Features stay in Ray's store. What comes here of a block is what is told of it and, at the end,
    the moments of all, to which a task adds each block in turn.

    Raises:
        InputError: There is something wrong with a block, or there is no row.
    """
    import ray

    encoded = dataset.map_batches(
        actors.BlockEncoder,
        fn_constructor_args=(work,),
        batch_size=None,
        batch_format="numpy",
        **pool,
    )
    # It needs no CPU of its own: all may be the actors', which wait for what is told here.
    added = task(_added, num_cpus=0, num_returns=2)
    moments: Any = (None, None)
    made = Encoded([], (None, None))
    with _in_order(encoded):
        for bundle in encoded.iter_internal_ref_bundles():
            for block in bundle.block_refs:
                moments, told = added.remote(moments, block)
                for row, content in enumerate(ray.get(told)):
                    part: Part = pickle.loads(content)
                    if isinstance(part, InputError):
                        raise part
                    if part is not None:
                        made.parts.append(part)
                        if work.features:
                            made._held.append((block, row))
    if not made.parts:
        raise InputError("the Ray dataset is empty")
    made.moments = ray.get(task(_folded).remote(moments))
    return made


@contextlib.contextmanager
def _in_order(dataset: Dataset) -> Iterator[None]:
    """Keep the order of blocks, so that a run that is repeated adds up alike, to the last bit."""
    options = dataset.context.execution_options
    before, options.preserve_order = options.preserve_order, True
    try:
        yield
    finally:
        options.preserve_order = before


# --- in tasks --------------------------------------------------------------------------------


def _added(before: _Both, block: pa.Table) -> tuple[_Both, list[bytes]]:
    """The moments with those of a block, and what is told of the block's rows."""
    told: list[bytes] = block.column(PART).to_pylist()
    sums = list(before)
    for row, content in enumerate(told):
        part: Part = pickle.loads(content)
        if part is None or isinstance(part, InputError):
            continue
        for side, column in enumerate(SIDES):
            if isinstance(part, Batch):
                rows = len((part.images, part.captions)[side])
                if rows == 0:
                    continue
                own = Moments.from_features(_features(block, row, column, (rows, -1)))
            else:
                own = pickle.loads(block.column(column)[row].as_py())
            found = sums[side]
            sums[side] = own if found is None else found.merge(own)
    return (sums[0], sums[1]), told


def _folded(both: _Both) -> _Both:
    """The moments, of more samples than dimensions as sums alone: without the last features."""
    images, captions = (
        of if of is None or (of.n or 0) <= of.d else Moments.from_sums(*of.sums) for of in both
    )
    return images, captions


def _features(
    block: pa.Table, row: int, column: str, shape: tuple[int, int]
) -> NDArray[np.float32]:
    """The features (n, d), of which one may be -1, in a cell of a block, as the store has them."""
    return np.frombuffer(block.column(column)[row].as_buffer(), np.float32).reshape(shape)


def _cut(
    column: str, d: int, pieces: list[tuple[int, int, int]], *blocks: pa.Table
) -> NDArray[np.float32]:
    """Features (k, d) of pieces, each a row of its block and from where to where in it."""
    return np.concatenate(
        [
            _features(block, row, column, (-1, d))[start:stop]
            for (row, start, stop), block in zip(pieces, blocks, strict=True)
        ]
    )
