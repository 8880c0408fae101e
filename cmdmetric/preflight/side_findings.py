"""What is odd about stored sets, and about the numbers of samples."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from cmdmetric.inputs import Captions, ImageSet
from cmdmetric.preflight.finding import Finding
from cmdmetric.preflight.opening import Inputs, Network
from cmdmetric.scoring import REFERENCES, Side

#: A perfect generator scores Dis(f,r) 0.07 at so many images, 2.2 at 1,000 (README).
_MANY = 30_000
_WHAT = {"generated": "generated images", "real": "real images", "captions": "captions"}


def provenance_findings(inputs: Inputs, network: Network) -> Iterator[Finding]:
    """Look for stored moments that were made otherwise than the rest would be."""
    encodes = any(isinstance(side, (ImageSet, Captions)) for side in inputs)
    encoder = network.encoder
    made = encoder.provenance("image", "") if encoder is not None and encodes else None
    first = ""
    for subject, side in inputs._asdict().items():
        if not isinstance(side, Side):
            continue
        theirs = side.moments.provenance
        if side.reference is not None:
            if encodes:
                yield from _reference_findings(subject, side, network)
        elif theirs is None:
            yield Finding("warning", "reference", subject, f"{side.source} does not record how it "
                          "was made: its protocol and encoder are taken on trust")  # fmt: skip
        elif made is None:
            made, first = theirs, f" as {side.source}"
        elif differences := made.differences(theirs):
            fields = "; ".join(f"{name}: {b!r}, not {a!r}" for name, (a, b) in differences.items())
            yield Finding("error", "reference", subject, f"{side.source} was not made{first} with "
                          f"what the rest is: {fields}; make it anew")  # fmt: skip
        if made is not None and encodes and network.dimensions not in (None, side.moments.d):
            yield Finding("error", "reference", subject, f"{side.source} has {side.moments.d} "
                          f"dimensions, {network.model} has {network.dimensions}")  # fmt: skip


def _reference_findings(subject: str, side: Side, network: Network) -> Iterator[Finding]:
    reference = REFERENCES[str(side.reference)]
    recorded, ours = (reference.protocol, reference.model), (network.protocol.name, network.model)
    if recorded != ours:
        yield Finding("warning", "reference", subject, f"{reference.name} was made with protocol "
                      f"{recorded[0]} and {recorded[1]}, the rest would be with {ours[0]} and "
                      f"{ours[1]}")  # fmt: skip


def number_findings(
    inputs: Inputs, counts: Mapping[str, int | None], network: Network
) -> Iterator[Finding]:
    """Look for sets that are too small; `counts` has the number of samples of each input."""
    for subject, side in inputs._asdict().items():
        n = counts[subject]
        d = side.moments.d if isinstance(side, Side) else network.dimensions
        if n is None:
            continue
        if n < 2:
            yield Finding("error", "samples", subject, f"{n:,} {_WHAT[subject]}: a covariance "
                          "needs at least 2")  # fmt: skip
        elif d is not None and n <= d:
            yield Finding(
                "warning", "samples", subject, f"{n:,} {_WHAT[subject]} are too few for {d} "
                "dimensions: the covariance is singular and distances are biased upwards; compare "
                "only scores of the same number of samples",
            )  # fmt: skip
        elif subject == "generated" and n < _MANY:
            yield Finding("note", "samples", subject, f"{n:,} generated images: distances shrink "
                          "with their number, so compare only scores of as many")  # fmt: skip
