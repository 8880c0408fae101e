"""The numbers of several metrics: computed, or looked up where the cache has them."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any, NamedTuple

from cmdmetric.cache import FeatureCache, remembered
from cmdmetric.errors import InputError
from cmdmetric.metrics import Moments
from cmdmetric.scoring.family.catalogue import METRICS, measure
from cmdmetric.scoring.family.metric import Given, Seen
from cmdmetric.scoring.grouping import pairing_of
from cmdmetric.scoring.statistics import identity_of
from cmdmetric.uncertainty import Measured, Value


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
    names: Sequence[str], given: Given, *, lenient: bool, cache: FeatureCache | None, keep: bool
) -> Family:
    """Compute the metrics of these names.

    Args:
        names: The metrics.
        given: What they are made of.
        lenient: Whether a metric that lacks what it needs is left out with a note.
        cache: Where numbers are looked up and kept; None computes them.
        keep: Whether `Family.measured` is wanted too; then nothing is looked up.

    Raises:
        InputError: A metric lacks what it needs, and `lenient` is false.
    """
    family = Family({}, {}, [])
    known = None if keep else cache
    # Once for all metrics: pairing names and reading features take a while.
    made_of = [] if known is None else _sources(given)
    seen = {} if known is None else {name: _digest(seen) for name, seen in given.seen.items()}

    def compute() -> dict[str, Any]:
        numbers = measure(name, given)
        if keep:
            family.measured.update(numbers)
        return {key: asdict(number.to_value(given.groups)) for key, number in numbers.items()}

    for name in names:
        try:
            network = METRICS[name].network
            own = [seen[network]] if network in seen else []
            sources = [name.encode(), *made_of, *own]
            numbers = remembered(known, "family", sources, compute)
        except InputError as error:
            if not lenient:
                raise
            family.notes.append(f"{name} is left out: {error}")
        else:
            family.values.update((key, Value(**number)) for key, number in numbers.items())
    return family


def _sources(given: Given) -> list[bytes | None]:
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


def _digest(seen: Seen) -> bytes:
    """Digest what a network beside CLIP makes of both sides, by sha256."""
    digest = hashlib.sha256(str(seen.apart).encode())
    for side in (seen.f, seen.r):
        arrays = (side.mean, side.cov) if isinstance(side, Moments) else (side,)
        for array in arrays:
            shape = "" if array is None else array.shape
            digest.update(f"{shape}".encode() + (b"" if array is None else array.tobytes()))
    return digest.digest()
