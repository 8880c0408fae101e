"""One side of a score, encoded by several processes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from cmdmetric.errors import InputError
from cmdmetric.features import images as features
from cmdmetric.features.images import NoWords, OnError, Undecodable
from cmdmetric.features.rows import FeatureRows
from cmdmetric.features.workers import Workers
from cmdmetric.files import ROWS, blocks_of
from cmdmetric.inputs import Captions, ImageSet, Shard
from cmdmetric.metrics import Moments, Provenance
from cmdmetric.scoring import Side


class _Share(NamedTuple):
    """What the others must know of what a process has encoded."""

    n: int
    d: int
    seen: int
    failures: tuple[tuple[str, str], ...]
    truncated: int


def shared_side(
    opened: ImageSet | Captions,
    encode: Callable[[Any], Side],
    workers: Workers,
    provenance: Provenance,
    batch_size: int,
    on_error: OnError,
) -> Side:
    """The side of a set of which every process encodes a share, by `encode`.

    All get its moments, summed in float64; the first also gets the features, for error bars, and
    the names, the others those of their own share. Shares are whole batches, so that every batch
    is one of a single process.

    Raises InputError, in all of them, as `encode` does, and where they see different sets.
    """
    listing = opened.listing()
    workers.agree()
    for rank, other in enumerate(workers.all_gather(listing)):
        if other != listing:
            raise InputError(
                f"{opened.source}: process {workers.rank} sees {listing}, process {rank} sees "
                f"{other} (number, digest of the names); all must see the same files"
            )
    block = features.TEXT_CHUNK if isinstance(opened, Captions) else batch_size
    own, side = _encode(opened.shard(Shard(workers.rank, workers.size, block)), encode)
    workers.agree()
    shares = workers.all_gather(own)
    failures = tuple(failure for share in shares for failure in share.failures)
    n, d = sum(share.n for share in shares), max(share.d for share in shares)
    if isinstance(opened, Captions):
        if n == 0:
            raise NoWords(opened.source)
    elif n == 0 or (failures and on_error == "raise"):
        seen = sum(share.seen for share in shares)
        raise Undecodable(opened.source, failures, seen, on_error)
    moments = _summed(side, n, d, workers, provenance)
    named = workers.gather(None if side is None else (side.names or (), side.kept))
    if named is None:
        if side is not None:
            workers.send(np.asanyarray(side.features))
        return Side(moments, opened.source, names=side.names if side else None)
    rows = _gathered(side, shares, workers)
    if n <= d:  # few: distances are exact from the features, not from their singular covariance
        moments = Moments.from_features(rows, provenance)
    if isinstance(opened, Captions):
        starts = [Shard(i, workers.size, block).range(len(opened)).start for i in range(len(named))]
        kept = tuple(
            start + k for start, of in zip(starts, named, strict=True) if of for k in of[1]
        )
        truncated = sum(share.truncated for share in shares)
        return Side(moments, opened.source, features=rows, texts=opened, kept=kept,
                    truncated=truncated)  # fmt: skip
    names = tuple(name for of in named if of for name in of[0])
    return Side(moments, opened.source, features=rows, names=names, images=opened,
                skipped=failures)  # fmt: skip


def _encode(share: Any, encode: Callable[[Any], Side]) -> tuple[_Share, Side | None]:
    """A share, and None where nothing of it has a feature: that is no error if others have some."""
    if share.is_empty:
        return _Share(0, 0, 0, (), 0), None
    try:
        side = encode(share)
    except Undecodable as error:
        return _Share(0, 0, error.seen, error.failures, 0), None
    except NoWords:
        return _Share(0, 0, len(share), (), 0), None
    n = side.moments.n or 0
    seen = n + len(side.skipped)
    return _Share(n, side.moments.d, seen, side.skipped, side.truncated), side


def _summed(side: Side | None, n: int, d: int, workers: Workers, provenance: Provenance) -> Moments:
    """The moments of all shares: first the mean, then the scatter about it."""
    count, mean, scatter = (0, np.zeros(d), np.zeros((d, d))) if side is None else side.moments.sums
    common = workers.sum(count * mean) / n
    gap = mean - common
    scatter = workers.sum(scatter + count * np.outer(gap, gap))
    return Moments.from_sums(n, common, scatter, provenance)


def _gathered(side: Side | None, shares: list[_Share], workers: Workers) -> NDArray[np.float32]:
    """The features of all shares, in their order."""
    with FeatureRows() as rows:
        start = 0
        for rank, share in enumerate(shares):
            if rank:
                blocks = workers.receive(rank, share.n, share.d)
            else:
                blocks = blocks_of(np.asanyarray(side.features), ROWS) if side else iter(())
            for block in blocks:
                rows.write(np.arange(start, start + len(block)), block)
                start += len(block)
        return rows.finish([])
