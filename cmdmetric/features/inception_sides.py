"""Inception beside CLIP: its features of the sides of a score, where a metric needs them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from cmdmetric.errors import InputError
from cmdmetric.features.images import Undecodable
from cmdmetric.inputs import ImageSet, Shard
from cmdmetric.metrics import Moments
from cmdmetric.scoring import METRICS, Encoding, Side, Source, open_image_side

if TYPE_CHECKING:
    import torch

    from cmdmetric.encoders import Inception, InceptionFeatures, InceptionImages
    from cmdmetric.features.workers import Workers

T = TypeVar("T")

#: Columns of the logits, which follow those of the pooled features.
LOGITS = 1008


class InceptionSides:
    """The network, or None where no metric needs it, and the images that it is to see."""

    def __init__(self, network: Inception | None, encoding: Encoding) -> None:
        self.network = network
        self._encoding = encoding
        self.real: ImageSet | Moments | None = None
        #: The real images' name, and whether they are others than CLIP's.
        self.source: str | None = None
        self.apart = False
        #: Metrics that were asked for by "all" and whose network cannot be had, and why.
        self.absent: tuple[str, ...] = ()
        self.notes: list[str] = []

    @classmethod
    def of(
        cls,
        names: Sequence[str],
        encoding: Encoding,
        weights: str | Path | None,
        real: Source | None,
        device: str | torch.device | None,
        batch_size: int,
        *,
        lenient: bool,
    ) -> InceptionSides:
        """With its network loaded, before anything is encoded: missing weights are told at once.

        names are those of metrics, other arguments as in `cmdmetric.scoring.together.Wanted`.
        Raises InputError where the network cannot be had, unless lenient and no weights are named.
        """
        names = [name for name in names if METRICS[name].inception]
        if not names:
            return cls(None, encoding)
        from cmdmetric.encoders import Inception

        opened = None if real is None else _opened(real)
        if encoding.workers is not None:
            device = encoding.workers.device(device)
        try:
            network = Inception(weights, device=device, batch_size=batch_size)
        except InputError as error:
            if not lenient or weights is not None:
                raise
            sides = cls(None, encoding)
            sides.absent = tuple(names)
            sides.notes = [f"{', '.join(names)} are left out: {error}"]
            return sides
        sides = cls(network, encoding)
        sides.real, sides.apart = opened, opened is not None
        if opened is not None:
            sides.source = opened.source if isinstance(opened, ImageSet) else str(real)
        return sides

    def encoded(self, opened: Side | ImageSet) -> tuple[Side, InceptionFeatures | None]:
        """A side as CLIP sees it, and Inception's features of the images, decoded once for both.

        None where it is moments or features already. Where several processes share the encoding,
        the first gets all features. Raises InputError as `Encoding.side` does.
        """
        if self.network is None or isinstance(opened, Side):
            return self._encoding.side(opened), None
        from cmdmetric.features.inception_pass import InceptionPass

        run = InceptionPass(opened, self.network, self._encoding.cache)
        side = self._encoding.side(run.along())
        # A report looks at images again, which Inception should not: not at those that it has not
        # seen in this process either.
        side = replace(side, images=opened)
        workers = self._encoding.workers
        names = side.names or ()
        if workers is None:
            return side, run.features(names)
        if workers.rank == 0:  # which has the names of all, its own first
            names = names[: len(names) - sum(workers.all_gather(0))]
        else:
            workers.all_gather(len(names))
        own = _computed(workers, lambda: run.features(names) if names else None)
        return side, _gathered(workers, own)

    def encoded_real(
        self, opened: Side | ImageSet
    ) -> tuple[Side, InceptionFeatures | Moments | None]:
        """The real side likewise; Inception's may be another one."""
        if self.real is None:
            return self.encoded(opened)
        return self._encoding.side(opened), self._of_real()

    def record(
        self, of_r: InceptionFeatures | Moments | None, r: Side
    ) -> dict[str, str | int | None]:
        """What its metrics were made with: weights, and the real side by name and number."""
        n = of_r.n if isinstance(of_r, Moments) else None if of_r is None else len(of_r.pool)
        weights = None if self.network is None else self.network.sha256
        return {"weights": weights, "real": self.source or r.source, "n_real": n}

    def _of_real(self) -> InceptionFeatures | Moments | None:
        images, network, encoding = self.real, self.network, self._encoding
        if network is None or not isinstance(images, ImageSet):
            return images if isinstance(images, Moments) else None
        if encoding.workers is None:
            return network.encode(
                images, on_error=encoding.on_error, progress=encoding.progress
            ).features
        return _shared(images, network, encoding, encoding.workers)


def _opened(source: Source) -> ImageSet | Moments:
    """The real side of Inception's metrics: images, or what was stored of their features."""
    opened = open_image_side(source)
    return opened.moments if isinstance(opened, Side) else opened


def _shared(
    images: ImageSet, network: Inception, encoding: Encoding, workers: Workers
) -> InceptionFeatures | None:
    """The features of a set of which every process encodes a share; None in all but the first.

    A share of which nothing can be decoded is no error if others have some, as in
    `cmdmetric.features.shared_encoding`.
    """
    share = images.shard(Shard(workers.rank, workers.size))

    def encode() -> InceptionImages | Undecodable | None:
        try:
            return None if share.is_empty else network.encode(
                share, on_error=encoding.on_error, progress=encoding.progress
            )  # fmt: skip
        except Undecodable as error:
            return error

    found = _computed(workers, encode)
    own: InceptionFeatures | None = None
    seen, failures = 0, tuple[tuple[str, str], ...]()
    if isinstance(found, Undecodable):
        seen, failures = found.seen, found.failures
    elif found is not None:
        own, failures = found.features, found.skipped
        seen = len(found.names) + len(failures)
    told = workers.all_gather((seen, failures))
    seen = sum(n for n, _ in told)
    failures = tuple(failure for _, of in told for failure in of)
    if len(failures) == seen or (failures and encoding.on_error == "raise"):
        raise Undecodable(images.source, failures, seen, encoding.on_error)
    return _gathered(workers, own)


def _computed(workers: Workers, compute: Callable[[], T]) -> T:
    """What this process computes. Raises InputError in all processes where one does."""
    try:
        own = compute()
    except InputError as error:
        workers.agree(str(error))
        raise  # not reached: all have met an error
    workers.agree()
    return own


def _gathered(workers: Workers, own: InceptionFeatures | None) -> InceptionFeatures | None:
    """The features of all processes, in their order; None in all but the first."""
    from cmdmetric.encoders import InceptionFeatures

    rows = None if own is None else np.concatenate(own, axis=1)
    shapes = workers.all_gather((0, 0) if rows is None else rows.shape)
    if workers.rank:
        if rows is not None:
            workers.send(rows)
        return None
    parts = [] if rows is None else [rows]
    for rank, (n, width) in enumerate(shapes[1:], 1):
        parts += workers.receive(rank, n, width)
    joined = np.concatenate(parts)
    pool = joined.shape[1] - LOGITS
    return InceptionFeatures(joined[:, :pool], joined[:, pool:])
