"""The numbers of several metrics: computed, or looked up where the cache has them."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Any, NamedTuple

from cmdmetric.cache import FeatureCache, remembered
from cmdmetric.errors import InputError
from cmdmetric.metrics import Moments
from cmdmetric.scoring.family.catalogue import measure
from cmdmetric.scoring.family.metric import Given, Metric, Seen
from cmdmetric.scoring.grouping import pairing_of
from cmdmetric.scoring.statistics import digest_of, identity_of
from cmdmetric.uncertainty import Measured, Value, apart


class Family(NamedTuple):
    """The numbers of several metrics.

    Attributes:
        values: The numbers by name, with their error bars.
        measured: The numbers with what each sample does to them, where that was to be kept.
        notes: Which metrics are left out, and why.
    """

    values: dict[str, Value]
    measured: dict[str, Measured]
    notes: list[str]


def family_of(
    metrics: Sequence[Metric],
    given: Given,
    *,
    lenient: bool,
    cache: FeatureCache | None,
    keep: bool,
) -> Family:
    """Compute metrics.

    Args:
        metrics: The metrics.
        given: What they are made of.
        lenient: Whether a metric that lacks what it needs is left out with a note.
        cache: Where numbers are looked up and kept; None computes them.
        keep: Whether `Family.measured` is wanted too; then nothing is looked up.

    Raises:
        InputError: A metric lacks what it needs, and `lenient` is false.
    """
    family = Family({}, {}, [])
    known = None if keep else cache
    single = apart([given.drawn("f")])
    # Once for all metrics: pairing names and reading features take a while.
    made_of = [] if known is None else sources_of(given)
    seen = {} if known is None else {name: digest_of_seen(x) for name, x in given.seen.items()}

    def compute() -> dict[str, Any]:
        numbers = measure(metric, given)
        if keep:
            family.measured.update(numbers)
        return {key: asdict(_value(metric, key, number)) for key, number in numbers.items()}

    def _value(metric: Metric, key: str, number: Measured) -> Value:
        unbiased = key in metric.unbiased and (single or metric.is_mean)
        found = number.to_value(given.groups)
        return replace(found, better=metric.values[key], unbiased=unbiased, network=metric.network)

    for metric in metrics:
        name = metric.name
        try:
            own = [seen[metric.network]] if metric.network in seen else []
            if name in given.f.scores:
                own.append(given.f.scores[name].tobytes())
            sources = [name.encode(), *made_of, *own]
            numbers = remembered(known, "family", sources, compute)
        except InputError as error:
            if not lenient:
                raise
            family.notes.append(f"{name} is left out: {error}")
        else:
            family.values.update((key, Value(**number)) for key, number in numbers.items())
    return family


def sources_of(given: Given) -> list[bytes | None]:
    """Give what the numbers of all metrics follow from."""
    sides = [given.f, given.r, given.l, *([given.real_l] if given.real_l else [])]
    sources: list[bytes | None] = [identity_of(side) for side in sides]
    for images, l in ((given.f, given.l), (given.r, given.real_l or given.l)):
        pairing = pairing_of(images, l)
        alike = l.texts and l.texts.readings
        sources.append(repr((pairing and pairing.caption_of, l.kept, alike)).encode())
    for own in given.groups.values():
        sources.append(b"" if own is None else own.tobytes())
    return sources


def digest_of_seen(seen: Seen) -> bytes:
    """Digest what a network beside CLIP makes of the sides, by sha256."""
    digest = hashlib.sha256(str(seen.apart).encode())
    for side in (seen.f, seen.r, seen.l):
        for array in (side.mean, side.cov) if isinstance(side, Moments) else (side,):
            digest.update(b"-" if array is None else digest_of(array))
    return digest.digest()
