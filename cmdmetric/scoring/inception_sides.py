"""Inception beside CLIP: its features of the sides of a score, where a metric needs them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from cmdmetric.errors import InputError
from cmdmetric.inputs import ImageSet, open_images
from cmdmetric.metrics import Moments
from cmdmetric.scoring.encoding import Encoding, Rows
from cmdmetric.scoring.family.catalogue import METRICS
from cmdmetric.scoring.side import Side, Source
from cmdmetric.scoring.stored_sets import read_stored

if TYPE_CHECKING:
    import torch

    from cmdmetric.encoders import Inception, InceptionFeatures


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
        side, beside = self._encoding.images(opened, [self.network])
        return side, _features(*beside)

    def encoded_real(
        self, opened: Side | ImageSet
    ) -> tuple[Side, InceptionFeatures | Moments | None]:
        """The real side in the same way; Inception's may be another one."""
        if self.real is None:
            return self.encoded(opened)
        side = self._encoding.side(opened)
        if self.network is None or isinstance(self.real, Moments):
            return side, self.real if isinstance(self.real, Moments) else None
        return side, _features(*self._encoding.seen_by(self.network, self.real))

    def record(
        self, of_r: InceptionFeatures | Moments | None, r: Side
    ) -> dict[str, str | int | None]:
        """What its metrics were made with: weights, and the real side by name and number."""
        n = of_r.n if isinstance(of_r, Moments) else None if of_r is None else len(of_r.pool)
        weights = None if self.network is None else self.network.sha256
        return {"weights": weights, "real": self.source or r.source, "n_real": n}


def _opened(source: Source) -> ImageSet | Moments:
    """The real side of Inception's metrics: images, or what was stored of their features."""
    opened = read_stored(source, "image") or open_images(source)
    return opened.moments if isinstance(opened, Side) else opened


def _features(*rows: Rows) -> InceptionFeatures | None:
    """The features in the rows of the cache; None in a process that has none."""
    from cmdmetric.encoders import InceptionFeatures

    return InceptionFeatures.of_rows(*rows) if rows else None
