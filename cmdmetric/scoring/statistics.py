"""The score of three sides: its distances, their error bars, and what it records."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cmdmetric.cache import FeatureCache, remembered
from cmdmetric.metrics import (
    CrossModelDistance,
    Provenance,
    cross_model_distance,
    refuse_differences,
)
from cmdmetric.scoring.grouping import DrawnTogether, as_sample, drawn_together, pairing_of
from cmdmetric.scoring.notes import notes_on, notes_on_floor, notes_on_pairing, what_is_lost
from cmdmetric.scoring.result import CMDScore
from cmdmetric.scoring.side import Side
from cmdmetric.scoring.signature import signature_of
from cmdmetric.uncertainty import (
    Debiasing,
    Sample,
    Uncertainty,
    is_collapsed,
    number_of_draws,
    replicated,
    uncertainty,
)


def score_of(
    f: Side,
    r: Side,
    l: Side,
    cache: FeatureCache | None = None,
    real_captions: Side | None = None,
) -> CMDScore:
    """Score three sides that are encoded or were stored.

    Args:
        f: The generated images.
        r: The real images.
        l: The captions.
        cache: Where the statistics are looked up if they were computed of the same sides before.
        real_captions: Those of the real images, where `l` are others, of the generated ones.

    Raises:
        InputError: The sides were made differently, or one has fewer than 2 samples.
    """
    made, kept = common_provenance(f, r, l), set(l.kept)
    pairing, real_pairing = pairing_of(f, l), pairing_of(r, l)
    groups = drawn_together(pairing, r, l, real_captions)
    lost = what_is_lost(f, r, l, pairing)
    distances, bars = _statistics(f, r, l, groups, cache, debiased=lost is None)
    notes = [*notes_on(f, r, l, made), *notes_on_pairing(f, l, pairing)]
    if bars is not None and lost is not None:
        bars = replace(bars, withheld=lost)
        notes.append(f"the debiased CMD is not given: {lost}")
    elif bars is not None:
        notes += notes_on_floor(bars)
    signature = signature_of(f, r, l, made, (pairing, real_pairing), bars)
    if any(map(_is_one_vector, (f, r))):
        notes.append("how other images would vary is not known: there are no error bars")
    elif bars is None and any(side.has_features for side in (f, r, l)):
        notes.append(
            "all images of a side are of one caption, which tells nothing of other captions: "
            "there are no error bars"
        )
    return CMDScore(
        cmd=distances.cmd,
        itdis=distances.itdis,
        **distances._asdict(),
        n=f.moments.n,
        draws=number_of_draws(f.moments.n, groups[0][0]),
        n_real=r.moments.n,
        n_captions=l.moments.n,
        signature=str(signature),
        protocol=made.protocol.name if made else None,
        model=made.model if made else None,
        weights=made.weights if made else None,
        generated=f.source,
        real=r.source,
        captions=l.source,
        paired=None if pairing is None else sum(not kept.isdisjoint(x) for x in pairing.caption_of),
        skipped=len(f.skipped) + len(r.skipped),
        truncated=l.truncated,
        empty=l.empty,
        uncertainty=bars,
        warnings=tuple(notes),
    )


def common_provenance(*sides: Side) -> Provenance | None:
    """Tell how the sides were made, where any of them does.

    Raises:
        InputError: They were made differently.
    """
    made = [side.moments.provenance for side in sides if side.moments.provenance is not None]
    for other in made[1:]:
        refuse_differences(made[0], other)
    return made[0] if made else None


def _statistics(
    f: Side,
    r: Side,
    l: Side,
    groups: DrawnTogether,
    cache: FeatureCache | None,
    *,
    debiased: bool,
) -> tuple[CrossModelDistance, Uncertainty | None]:
    """Compute the distances and, from the sides whose features are at hand, the error bars."""
    sides = (f, r, l)

    def compute() -> dict[str, Any]:
        distances = cross_model_distance(*(side.moments for side in sides))
        bars = None
        if any(side.has_features for side in sides):
            of_f, of_r, of_l = map(as_sample, sides, (*groups[0], groups[1]))
            drawn = [x.drawn for x in (of_f, of_r, of_l) if isinstance(x, Sample)]
            if replicated(drawn) and not any(map(_is_one_vector, (f, r))):
                how: Debiasing | None = None if debiased else "none"
                bars = uncertainty(of_f, of_r, of_l, debiasing=how).to_dict()
        return {"distances": distances._asdict(), "uncertainty": bars}

    sources = [str(debiased).encode(), *(identity_of(side) for side in sides)]
    sources += [b"" if g is None else g.tobytes() for g in (*groups[0], groups[1])]
    found = remembered(cache, "statistics", sources, compute)
    bars = found["uncertainty"]
    return (
        CrossModelDistance(**found["distances"]),
        None if bars is None else Uncertainty.from_dict(bars),
    )


def _is_one_vector(side: Side) -> bool:
    """Tell whether the features of a side are at hand, and all the same."""
    return side.has_features and is_collapsed(side.moments)


def identity_of(side: Side) -> bytes | None:
    """Tell what the numbers of a side follow from; None where that is not known."""
    features, moments = side.features, side.moments
    if features is not None and side.identity is not None:
        return side.identity
    made_of = f"{moments.n} ".encode() + moments.mean.tobytes() + moments.cov.tobytes()
    if features is None:
        return made_of
    # Features that came by no cache, of a file or in memory, are known by themselves.
    return made_of + digest_of(features) if isinstance(features, np.ndarray) else None


def digest_of(array: NDArray[Any]) -> bytes:
    """Digest an array by sha256: its type, its shape and what it holds."""
    digest = hashlib.sha256(f"{array.dtype.str} {array.shape} ".encode())
    digest.update(np.ascontiguousarray(array).data)
    return digest.digest()
