"""Generators scored together: one model load, one real side, every image decoded once."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from cmdmetric.cache import FeatureCache, remembered
from cmdmetric.errors import InputError
from cmdmetric.features import InceptionSides
from cmdmetric.metrics import Moments
from cmdmetric.scoring.encoding import Encoding
from cmdmetric.scoring.family.catalogue import METRIC_OF, METRICS, measure, metric_names
from cmdmetric.scoring.family.metric import Given
from cmdmetric.scoring.grouping import drawn_together, pairing_of
from cmdmetric.scoring.opening import Opened, open_sides
from cmdmetric.scoring.result import CMDScore
from cmdmetric.scoring.side import Side, Source
from cmdmetric.scoring.statistics import identity_of, score_of
from cmdmetric.uncertainty import Measured, Value

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
        l = encoding.side(opened_l)
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
    """The score with the metrics of these names, where of_f and of_r are Inception's features.

    real_captions: those of the real images, where the score's are of the generated ones only.
    cache: where numbers are looked up that were made of the same features before.
    keep: whether what each sample does to them is kept too, for differences; then nothing is
        looked up.

    Raises InputError where a metric lacks what it needs, unless lenient: then it is left out with
    a warning.
    """
    pairing = pairing_of(found.f, found.l)
    of_images, _ = drawn_together(pairing, found.r, found.l, real_captions)
    groups = dict(zip("fr", of_images, strict=True))
    given = Given(
        found.f, found.r, found.l, real_captions, of_f, of_r, inception.apart, groups
    )  # fmt: skip
    values: dict[str, Value] = {}
    measured: dict[str, Measured] = {}
    notes = [*inception.notes]

    def compute() -> dict[str, Any]:
        numbers = measure(name, given)
        if keep:
            measured.update(numbers)
        return {key: asdict(number.to_value(groups)) for key, number in numbers.items()}

    # Once for all metrics: pairing names and reading features take a while.
    made_of = [None] if keep or cache is None else _sources(given)
    seen = [_digest(side) for side in (of_f, of_r)] if cache is not None and not keep else []
    for name in names:
        if name in inception.absent:
            continue
        try:
            sources = [name.encode(), *made_of, *(seen if METRICS[name].inception else ())]
            numbers = remembered(cache, "family", sources, compute)
        except InputError as error:
            if not lenient:
                raise
            notes.append(f"{name} is left out: {error}")
        else:
            values |= {key: Value(**number) for key, number in numbers.items()}
    score = replace(
        found.score,
        metrics=values,
        inception=inception.record(of_r, found.r)
        if any(METRIC_OF[value].inception for value in values)
        else None,
        warnings=(*found.score.warnings, *notes),
    )
    return replace(found, score=score, measured=measured)


def _sources(given: Given) -> list[bytes | None]:
    """What the numbers of all metrics follow from."""
    sides = [given.f, given.r, given.l, *([given.real_l] if given.real_l else [])]
    sources: list[bytes | None] = [identity_of(side) for side in sides]
    for images, l in ((given.f, given.l), (given.r, given.real_l or given.l)):
        pairing = pairing_of(images, l)
        alike = l.texts and l.texts.readings
        sources.append(repr((pairing and pairing.caption_of, l.kept, alike)).encode())
    for own in given.groups.values():
        sources.append(b"" if own is None else own.tobytes())
    return [*sources, str(given.inception_apart).encode()]


def _digest(features: InceptionFeatures | Moments | None) -> bytes:
    """sha256 of Inception's features of a side, or of its moments."""
    if features is None:
        return b""
    arrays: Iterable[NDArray[Any]]
    arrays = (features.mean, features.cov) if isinstance(features, Moments) else features
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(array.tobytes())
    return digest.digest()
