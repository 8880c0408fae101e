"""Generators scored together: one model load, one real side, every image decoded once."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from cmdmetric.errors import InputError
from cmdmetric.image_set import ImageSet
from cmdmetric.moments import Moments
from cmdmetric.score import CMDScore, open_sides, score_of
from cmdmetric.sources import Encoding, Side, Source, open_image_side

if TYPE_CHECKING:
    import torch

    from cmdmetric.inception import Inception, InceptionFeatures
    from cmdmetric.inception_pass import InceptionPass


class Scored(NamedTuple):
    """A score and the three sides that it is of."""

    score: CMDScore
    f: Side
    r: Side
    l: Side  # noqa: E741


@dataclass(frozen=True)
class Wanted:
    """Which metrics are wanted beside CMD, and where Inception comes from.

    metrics: names as in "fid,clipscore", a list of them, or "all", of which what cannot be had is
        left out with a warning.
    inception_weights: a file; by default as `cmdmetric.inception.find_inception_weights` finds it.
    inception_real: the real side of FID, KID, if it is another than CMD's: images, or an .npz of
        Inception's moments in pytorch-fid's format.
    """

    metrics: str | Iterable[str] = ()
    inception_weights: str | Path | None = None
    inception_real: Source | None = None
    device: str | torch.device | None = None
    batch_size: int = 32

    def names(self) -> tuple[tuple[str, ...], bool]:
        """The metrics beside CMD, and whether those that cannot be had are left out ("all").

        Raises InputError for a name that there is not.
        """
        if not self.metrics:
            return (), False
        from cmdmetric.family import metric_names

        metrics = self.metrics if isinstance(self.metrics, str) else [*self.metrics]
        return metric_names(metrics), "all" in metrics


def scored(
    generated: Sequence[Source],
    captions: Source,
    real: Source | None,
    encoding: Encoding,
    wanted: Wanted | None = None,
) -> list[Scored]:
    """The scores of several generators against the same captions and real images.

    Raises InputError for anything wrong with the inputs, and where a metric that is named lacks
    what it needs.
    """
    wanted = wanted or Wanted()
    names, lenient = wanted.names()
    with encoding:
        opened_f, opened_r, opened_l = open_sides(generated, captions, real)
        inception = InceptionSides.of(names, wanted, lenient, encoding)
        f = [encoding.side(inception.along(opened)) for opened in opened_f]
        r = encoding.side(inception.along(opened_r) if inception.real is None else opened_r)
        l = encoding.side(opened_l)  # noqa: E741
    found = [Scored(score_of(side, r, l, encoding.cache), side, r, l) for side in f]
    if not names:
        return found
    of_r = inception.of_real(r)
    return [
        each._replace(score=with_family(each, inception, names, inception.features(each.f), of_r,
                                        lenient=lenient))
        for each in found
    ]  # fmt: skip


def with_family(
    found: Scored,
    inception: InceptionSides,
    names: Sequence[str],
    of_f: InceptionFeatures | None,
    of_r: InceptionFeatures | Moments | None,
    *,
    lenient: bool,
) -> CMDScore:
    """The score with the metrics of these names, where of_f and of_r are Inception's features.

    Raises InputError where a metric lacks what it needs, unless lenient: then it is left out with
    a warning.
    """
    from cmdmetric.family import Given, family

    names = tuple(name for name in names if name not in inception.absent)
    values, notes = family(names, Given(found.f, found.r, found.l, of_f, of_r), lenient=lenient)
    notes = [*inception.notes, *notes]
    return replace(found.score, metrics=values, warnings=(*found.score.warnings, *notes))


class InceptionSides:
    """Inception beside CLIP, where a metric needs it."""

    def __init__(self, network: Inception | None, encoding: Encoding) -> None:
        self.network = network
        self._encoding = encoding
        self._passes: dict[int, InceptionPass] = {}
        self.real: ImageSet | Moments | None = None
        #: Metrics that were asked for by "all" and whose network cannot be had, and why.
        self.absent: tuple[str, ...] = ()
        self.notes: list[str] = []

    @classmethod
    def of(
        cls, names: Sequence[str], wanted: Wanted, lenient: bool, encoding: Encoding
    ) -> InceptionSides:
        """With its network loaded, before anything is encoded: missing weights are told at once."""
        if names:
            from cmdmetric.family import METRICS

            names = [name for name in names if METRICS[name].inception]
        if not names:
            return cls(None, encoding)
        if encoding.workers is not None:
            raise InputError(
                f"{', '.join(names)} cannot be shared by several processes: run one, or leave "
                "them out"
            )
        from cmdmetric.inception import Inception

        real = None if wanted.inception_real is None else _opened(wanted.inception_real)
        try:
            network = Inception(
                wanted.inception_weights, device=wanted.device, batch_size=wanted.batch_size
            )
        except InputError as error:
            if not lenient or wanted.inception_weights is not None:
                raise
            sides = cls(None, encoding)
            sides.absent = tuple(names)
            sides.notes = [f"{', '.join(names)} are left out: {error}"]
            return sides
        sides = cls(network, encoding)
        sides.real = real
        return sides

    def along(self, opened: Side | ImageSet) -> Side | ImageSet:
        """What CLIP is to pass over, so that Inception gets the images too."""
        if self.network is None or isinstance(opened, Side):
            return opened
        from cmdmetric.inception_pass import InceptionPass

        run = InceptionPass(opened, self.network, self._encoding.cache)
        images = run.along()
        self._passes[id(images)] = run
        return images

    def features(self, side: Side) -> InceptionFeatures | None:
        """Of a side that was encoded; None where it was given as moments or features."""
        run = self._passes.pop(id(side.images), None)
        return None if run is None else run.features(side.names or ())

    def of_real(self, r: Side) -> InceptionFeatures | Moments | None:
        if isinstance(self.real, ImageSet) and self.network is not None:
            encoding = self._encoding
            images = self.network.encode(
                self.real, on_error=encoding.on_error, progress=encoding.progress
            )
            return images.features
        return self.real if isinstance(self.real, Moments) else self.features(r)


def _opened(source: Source) -> ImageSet | Moments:
    """The real side of Inception's metrics: images, or what was stored of their features."""
    opened = open_image_side(source)
    return opened.moments if isinstance(opened, Side) else opened
