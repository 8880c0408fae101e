"""Generators scored together: one model load, one real side, every image decoded once."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from cmdmetric.cache import FeatureCache
from cmdmetric.inputs import ImageSet, captions_along
from cmdmetric.metrics import Moments
from cmdmetric.scoring.encoding import Encoding
from cmdmetric.scoring.family.catalogue import METRIC_OF, metric_names
from cmdmetric.scoring.family.computed import family_of
from cmdmetric.scoring.family.metric import Given
from cmdmetric.scoring.grouping import drawn_together, pairing_of, with_places
from cmdmetric.scoring.inception_sides import InceptionSides
from cmdmetric.scoring.opening import Opened, open_sides
from cmdmetric.scoring.result import CMDScore
from cmdmetric.scoring.side import Side, Source
from cmdmetric.scoring.statistics import score_of
from cmdmetric.uncertainty import Measured

if TYPE_CHECKING:
    from cmdmetric.encoders import InceptionFeatures


@dataclass(frozen=True, eq=False)
class Scored:
    """A score and the three sides that it is of."""

    score: CMDScore
    f: Side
    r: Side
    l: Side
    #: What the sides were made of; None where a score was made of sides that were there already.
    opened: Opened | None = None
    #: The family's numbers with what samples do to them, where several generators are scored.
    measured: Mapping[str, Measured] = field(default_factory=dict)

    @property
    def sides(self) -> tuple[Side, Side, Side]:
        """Generated images, real images, captions."""
        return self.f, self.r, self.l


@dataclass(frozen=True)
class Wanted:
    """Which metrics are wanted beside CMD, and where Inception comes from.

    metrics: names as in "fid,clipscore", a list of them, or "all", of which what cannot be had is
        left out with a warning.
    inception_weights: a file; by default as `cmdmetric.encoders.find_inception_weights` finds it.
    inception_real: the real side of FID, KID, if it is another than CMD's: images, or an .npz of
        Inception's moments in pytorch-fid's format.
    """

    metrics: str | Iterable[str] = ()
    inception_weights: str | Path | None = None
    inception_real: Source | None = None

    def names(self) -> tuple[tuple[str, ...], bool]:
        """The metrics beside CMD, and whether those that cannot be had are left out ("all").

        Raises InputError for a name that there is not.
        """
        return metric_names(self.metrics) if self.metrics else ((), False)


def scored(
    generated: Sequence[Source],
    captions: Source | None,
    real: Source | None,
    encoding: Encoding,
    wanted: Wanted | None = None,
) -> list[Scored]:
    """The scores of several generators against the same captions and real images.

    Without captions, those that come along with the first generator's images count.

    Raises InputError for anything wrong with the inputs, and where a metric that is named lacks
    what it needs.
    """
    wanted = wanted or Wanted()
    names, lenient = wanted.names()
    with encoding:
        opened_f, opened_r, opened_l = open_sides(generated, captions, real, encoding.columns)
        inception = InceptionSides.of(
            names,
            encoding,
            wanted.inception_weights,
            wanted.inception_real,
            encoding.device,
            encoding.encoder.batch_size,
            lenient=lenient,
        )
        f, of_f = zip(*(inception.encoded(opened) for opened in opened_f), strict=True)
        r, of_r = inception.encoded_real(opened_r)
        if isinstance(opened_l, ImageSet):  # its images have been read, and its captions are known
            opened_l = captions_along(opened_l)
        l = encoding.side(opened_l)
    if l.texts is not None:
        f = tuple(with_places(side, l.texts) for side in f)
        if _is_one(real, captions) or r.source == l.texts.archive:
            r = with_places(r, l.texts)
    found = [
        Scored(score_of(side, r, l, encoding.cache), side, r, l, (opened, opened_r, opened_l))
        for side, opened in zip(f, opened_f, strict=True)
    ]
    if not names:
        return found
    return [
        with_family(
            each,
            names,
            inception,
            seen,
            of_r,
            lenient=lenient,
            cache=encoding.cache,
            keep=len(found) > 1,
        )
        for each, seen in zip(found, of_f, strict=True)
    ]


def _is_one(a: Source | None, b: Source | None) -> bool:
    """Whether two inputs are one: one value, or one path."""
    if isinstance(a, (str, os.PathLike)) and isinstance(b, (str, os.PathLike)):
        return os.fspath(a) == os.fspath(b)
    return a is not None and a is b


def with_family(
    found: Scored,
    names: Sequence[str],
    inception: InceptionSides,
    of_f: InceptionFeatures | None,
    of_r: InceptionFeatures | Moments | None,
    *,
    real_captions: Side | None = None,
    lenient: bool,
    cache: FeatureCache | None = None,
    keep: bool = False,
) -> Scored:
    """Add metrics to a score.

    Args:
        found: The score and its sides.
        names: The metrics.
        inception: Inception's network and its real side.
        of_f: Inception's features of the generated images; None without any.
        of_r: Inception's features of the real images, or their moments; None without any.
        real_captions: Those of the real images, where the score's are of the generated ones only.
        lenient: Whether a metric that lacks what it needs is left out with a warning.
        cache: Where numbers are looked up that were made of the same features before.
        keep: Whether what each sample does to the numbers is kept too, for differences; then
            nothing is looked up.

    Raises:
        InputError: A metric lacks what it needs, and `lenient` is false.
    """
    f, r, l = found.sides
    of_images, _ = drawn_together(pairing_of(f, l), r, l, real_captions)
    groups = dict(zip("fr", of_images, strict=True))
    given = Given(f, r, l, real_captions, of_f, of_r, inception.apart, groups)
    there = [name for name in names if name not in inception.absent]
    family = family_of(there, given, lenient=lenient, cache=cache, keep=keep)
    seen = any(METRIC_OF[value].inception for value in family.values)
    score = replace(
        found.score,
        metrics=family.values,
        inception=inception.record(of_r, r) if seen else None,
        warnings=(*found.score.warnings, *inception.notes, *family.notes),
    )
    return replace(found, score=score, measured=family.measured)
