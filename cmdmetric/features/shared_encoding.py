"""Sets encoded by several processes, each of which encodes a share.

Shares are whole batches, so that every batch is one of a single process. All processes get the
moments of the whole set, summed in float64; the first also gets the features and the names.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from cmdmetric.cache import FeatureCache
from cmdmetric.encoders import ImageNetwork
from cmdmetric.errors import InputError
from cmdmetric.features import captions as captions_module
from cmdmetric.features.captions import EncodedTexts, encode_captions
from cmdmetric.features.failures import NoWords, OnError, Undecodable, refuse_failures
from cmdmetric.features.image_pass import PassedImages, pass_images
from cmdmetric.features.images import EncodedImages, encode_images
from cmdmetric.features.rows import FeatureRows, Features
from cmdmetric.features.shared_tally import shared_tally
from cmdmetric.features.workers import Workers
from cmdmetric.files import ROWS, blocks_of
from cmdmetric.inputs import Captions, ImageSet, Shard
from cmdmetric.metrics import Moments, Provenance

if TYPE_CHECKING:
    from cmdmetric.encoders import Encoder, LazyEncoder

S = TypeVar("S", ImageSet, Captions)
T = TypeVar("T", EncodedImages, PassedImages)
Rows = NDArray[np.float32]


class _Told(NamedTuple):
    """What a process tells the others of its share."""

    n: int = 0
    seen: int = 0
    failures: tuple[tuple[str, str], ...] = ()


def shared_images(
    images: ImageSet,
    encoder: Encoder | LazyEncoder,
    workers: Workers,
    *,
    beside: Sequence[ImageNetwork] = (),
    on_error: OnError = "raise",
    progress: bool = False,
    cache: FeatureCache | None = None,
) -> EncodedImages:
    """What `encode_images` gives for a set of which every process encodes a share.

    In all but the first process the features are None, and the names those of its own share.

    Raises:
        InputError: In all processes, as `encode_images` raises it in one, and where the processes
            see different sets.
    """
    encode = partial(encode_images, encoder=encoder, beside=beside, on_error=on_error, cache=cache)
    own, shares, failures = _encoded_share(
        images, encode, workers, encoder.batch_size, on_error, progress
    )
    provenance = encoder.provenance("image", images.source)
    moments = _summed(own.moments if own else None, shares, workers, provenance)
    rows = _gathered(own.features if own else None, shares, workers)
    others = [
        _gathered(own.beside[i] if own else None, shares, workers) for i in range(len(beside))
    ]
    told = workers.gather((own.names, own.cached, own.digests) if own else ((), 0, ()))
    if told is None or rows is None:
        return EncodedImages(moments, None, own.names if own else (), ())
    return EncodedImages(
        _exact(moments, rows),
        rows,
        tuple(name for names, _, _ in told for name in names),
        failures,
        sum(cached for _, cached, _ in told),
        digests=tuple(digest for _, _, digests in told for digest in digests),
        beside=tuple(other for other in others if other is not None),
    )


def shared_pass(
    images: ImageSet,
    networks: Sequence[ImageNetwork],
    workers: Workers,
    *,
    on_error: OnError = "raise",
    progress: bool = False,
    cache: FeatureCache | None = None,
) -> PassedImages | None:
    """What `pass_images` gives for a set of which every process encodes a share.

    It is None in all but the first process.

    Raises:
        InputError: In all processes, as `pass_images` raises it in one, and where the processes
            see different sets.
    """
    encode = partial(pass_images, networks=networks, on_error=on_error, cache=cache)
    block = max(network.batch_size for network in networks)
    own, shares, failures = _encoded_share(images, encode, workers, block, on_error, progress)
    rows = [
        _gathered(own.features[i] if own else None, shares, workers) for i in range(len(networks))
    ]
    told = workers.gather((own.names, own.cached) if own else ((), (0,) * len(networks)))
    if told is None:
        return None
    return PassedImages(
        tuple(of for of in rows if of is not None),
        tuple(map(sum, zip(*(cached for _, cached in told), strict=True))),
        tuple(name for names, _ in told for name in names),
        failures,
    )


def shared_captions(
    captions: Captions,
    encoder: Encoder | LazyEncoder,
    workers: Workers,
    *,
    progress: bool = False,
    cache: FeatureCache | None = None,
) -> EncodedTexts:
    """What `encode_captions` gives for captions of which every process encodes a share.

    In all but the first process the features are None.

    Raises:
        InputError: In all processes, as `encode_captions` raises it in one, and where the
            processes see different captions.
    """
    block = captions_module.TEXT_CHUNK
    share = _share(captions, workers, block)
    own: EncodedTexts | None = None
    what = f"captions {captions.source}"
    with shared_tally(workers, what, len(captions), "caption", wanted=progress) as tally:
        with contextlib.suppress(NoWords):  # no error where other shares have words
            if not share.is_empty:
                own = encode_captions(share, encoder, progress=tally, cache=cache)
        workers.agree()
    shares = workers.all_gather(_Told(len(own.kept) if own else 0))
    if not any(share.n for share in shares):
        raise NoWords(captions.source)
    provenance = encoder.provenance("text", captions.source)
    moments = _summed(own.moments if own else None, shares, workers, provenance)
    rows = _gathered(own.features if own else None, shares, workers)
    told = workers.gather((own.kept, own.truncated, own.cached) if own else ((), 0, 0))
    if told is None or rows is None:
        return EncodedTexts(moments, None, (), 0)
    starts = [Shard(i, workers.size, block).range(len(captions)).start for i in range(workers.size)]
    return EncodedTexts(
        _exact(moments, rows),
        rows,
        tuple(start + k for start, (kept, *_) in zip(starts, told, strict=True) for k in kept),
        sum(truncated for _, truncated, _ in told),
        sum(cached for *_, cached in told),
    )


def _share(opened: S, workers: Workers, block: int) -> S:
    """This process's share of a set.

    Raises:
        InputError: The processes see different sets.
    """
    listing = opened.listing()
    workers.agree()
    for rank, other in enumerate(workers.all_gather(listing)):
        if other != listing:
            raise InputError(
                f"{opened.source}: process {workers.rank} sees {listing}, process {rank} sees "
                f"{other} (number, digest of the names); all must see the same files"
            )
    return opened.shard(Shard(workers.rank, workers.size, block))


def _encoded_share(
    images: ImageSet,
    encode: Callable[..., T],
    workers: Workers,
    block: int,
    on_error: OnError,
    progress: bool,
) -> tuple[T | None, list[_Told], tuple[tuple[str, str], ...]]:
    """What this process makes of its share of images, what all tell of theirs, and all failures.

    A share of which nothing can be decoded is None, and no error if others have some. Raises
    InputError, in all processes, where one process has an error.
    """
    share = _share(images, workers, block)
    own, told = None, _Told()
    with shared_tally(workers, images.title, images.count, "image", wanted=progress) as tally:
        try:
            if not share.is_empty:
                own = encode(share, progress=tally)
                n = len(own.names)
                told = _Told(n, n + len(own.skipped), own.skipped)
        except Undecodable as error:
            told = _Told(0, error.seen, error.failures)
        workers.agree()
    shares = workers.all_gather(told)
    failures = tuple(failure for share in shares for failure in share.failures)
    refuse_failures(images.source, failures, sum(share.seen for share in shares), on_error)
    return own, shares, failures


def _summed(
    own: Moments | None, shares: Sequence[_Told], workers: Workers, provenance: Provenance
) -> Moments:
    """The moments of all shares: first the mean, then the scatter about it."""
    n = sum(share.n for share in shares)
    d = max(workers.all_gather(0 if own is None else own.d))
    count, mean, scatter = (0, np.zeros(d), np.zeros((d, d))) if own is None else own.sums
    common = workers.sum(count * mean) / n
    gap = mean - common
    scatter = workers.sum(scatter + count * np.outer(gap, gap))
    return Moments.from_sums(n, common, scatter, provenance)


def _exact(moments: Moments, rows: Rows) -> Moments:
    """The moments of few rows from themselves: distances from a singular covariance round."""
    few = len(rows) <= moments.d
    return Moments.from_features(rows, moments.provenance) if few else moments


def _gathered(
    own: Features | Rows | None, shares: Sequence[_Told], workers: Workers
) -> Rows | None:
    """The rows of all shares, in their order; None in all but the first process."""
    array = None if own is None else np.asanyarray(own)
    d = max(workers.all_gather(0 if array is None else array.shape[1]))
    if workers.rank:
        if array is not None:
            workers.send(array)
        return None
    with FeatureRows() as rows:
        start = 0
        for rank, share in enumerate(shares):
            if rank:
                blocks = workers.receive(rank, share.n, d)
            else:
                blocks = iter(()) if array is None else blocks_of(array, ROWS)
            for block in blocks:
                rows.write(np.arange(start, start + len(block)), block)
                start += len(block)
        return rows.finish([])
