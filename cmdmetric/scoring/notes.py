"""What a reader of a score must know of its sides."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from cmdmetric.features import list_failures
from cmdmetric.inputs import LOSSY_ENDINGS
from cmdmetric.metrics import Provenance
from cmdmetric.scoring.references import REFERENCES
from cmdmetric.scoring.side import Side


def notes_on(f: Side, r: Side, l: Side, made: Provenance | None) -> Iterator[str]:
    """Find what a reader of the score should be warned of."""
    yield from mixed_endings(f.names, r.names)
    for what, side in (("generated images", f), ("real images", r), ("captions", l)):
        moments = side.moments
        if moments.n is not None and moments.n <= moments.d:
            yield (
                f"{moments.n} {what} are too few for {moments.d} dimensions: their covariance is "
                "singular and the distances are biased upwards; compare only scores of the same "
                "number of samples"
            )
        spread, size = float(np.trace(moments.cov)), float(moments.mean @ moments.mean)
        if spread <= 1e-9 * size:
            why = "is it one prompt?" if side is l else "has a model collapsed?"
            yield f"the {what} ({side.source}) all have the same features: {why}"
        if side.reference:
            reference = REFERENCES[side.reference]
            recorded = (reference.protocol, reference.model)
            if made and (made.protocol.name, made.model) != recorded:
                yield (
                    f"{side.reference} was made with protocol {recorded[0]} and {recorded[1]}, "
                    f"the rest with {made.protocol.name} and {made.model}: this is not a "
                    "published number's setting"
                )
        elif moments.provenance is None:
            yield (
                f"{side.source} does not record how it was made: that its protocol and encoder "
                "are the same as the rest's is taken on trust"
            )
    yield from left_out(f, r, l)


def left_out(*sides: Side) -> Iterator[str]:
    """What is missing in the moments of sides, in words."""
    skipped = [failure for side in sides for failure in side.skipped]
    if skipped:
        yield f"{len(skipped)} images could not be decoded and are left out:\n" + list_failures(
            skipped
        )
    if truncated := sum(side.truncated for side in sides):
        yield (
            f"{truncated} captions are longer than the encoder's context and were cut "
            "(each keeps its end-of-text token)"
        )
    if empty := sum(side.empty for side in sides):
        yield f"{empty} captions have no word in them and are left out"


def mixed_endings(generated: Sequence[str] | None, real: Sequence[str] | None) -> Iterator[str]:
    """What the names of files alone tell of compression on one side only; None stands for none."""
    shares = [
        sum(name.lower().endswith(LOSSY_ENDINGS) for name in names) / len(names)
        for names in (generated, real)
        if names and not names[0].startswith("#")
    ]
    if len(shares) == 2 and abs(shares[0] - shares[1]) > 0.5:
        one, other = ("generated", "real") if shares[0] > shares[1] else ("real", "generated")
        yield (
            f"most {one} images are JPEG or alike, most {other} ones are not: encoders see "
            "compression, so that part of the distance will be JPEG's; store both sides alike"
        )
