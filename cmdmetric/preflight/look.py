"""A look at everything that a score needs, before any network runs over it."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from cmdmetric.encoders import CONTEXT, cut_words
from cmdmetric.errors import InputError, MissingError, NotAtHandError
from cmdmetric.files import no_downloads
from cmdmetric.inputs import Captions, ImageSet
from cmdmetric.preflight.caption_findings import caption_findings, pairing_findings
from cmdmetric.preflight.facts import ImageFacts, Looked, look_over
from cmdmetric.preflight.finding import Finding
from cmdmetric.preflight.image_findings import cross_findings, set_findings
from cmdmetric.preflight.setup import (
    Setup,
    expected_seconds,
    find_setup,
    rate_of_captions,
    rate_of_images,
)
from cmdmetric.protocol import Protocol, get_protocol
from cmdmetric.scoring import REFERENCES, Side, Source, find_real, open_image_side, open_text_side

if TYPE_CHECKING:
    import torch

    from cmdmetric.encoders import Encoder

#: Looks at all images of a set, which is of "generated" or "real"; with a progress bar or without.
Look: TypeAlias = Callable[[str, ImageSet, Protocol, bool], Looked]

#: A perfect generator scores Dis(f,r) 0.07 at so many images, 2.2 at 1,000 (README).
_MANY = 30_000


@dataclass(frozen=True)
class Preflight:
    """What was found, by severity, and what a score would be computed with."""

    generated: str
    real: str | None
    captions: str
    #: Numbers of generated images, real images and captions; None where that is not known.
    n: int | None
    n_real: int | None
    n_captions: int | None
    setup: Setup
    findings: tuple[Finding, ...]

    @property
    def ok(self) -> bool:
        """Whether no finding is an error."""
        return all(found.severity != "error" for found in self.findings)

    def to_dict(self) -> dict[str, Any]:
        """All fields, for JSON."""
        return {
            "ok": self.ok,
            **{field.name: getattr(self, field.name) for field in dataclasses.fields(self)},
            "setup": self.setup.to_dict(),
            "findings": [found.to_dict() for found in self.findings],
        }


def preflight(
    generated: Source,
    captions: Source,
    real: Source | None = None,
    *,
    model: str | Path | None = None,
    weights: str | Path | None = None,
    protocol: Protocol | str | Path = "grgan",
    device: str | torch.device | None = None,
    batch_size: int = 32,
    probe: bool = True,
    progress: bool = False,
    look: Look | None = None,
) -> Preflight:
    """Check what `cmd` would be given; the arguments are the same.

    Every image is decoded once and every caption is tokenised; nothing is downloaded or stored.
    With probe the network, where its weights are at hand, runs on one batch to tell how long a
    score would take. What can be iterated once is consumed. look is by default
    `cmdmetric.preflight.facts.look_over`.

    Raises InputError for paths that do not exist and for an unknown protocol, model or device.
    Everything else that is wrong is a finding.
    """
    chosen = get_protocol(protocol)
    with no_downloads("a check downloads nothing"):
        setup, checkpoint, absent = find_setup(model, weights, chosen, device)
        findings: list[Finding] = []
        if absent is not None:
            findings.append(Finding("warning", "weights", "setup", str(absent)))
        f = _opened("generated", lambda: open_image_side(generated), findings)
        l = _opened("captions", lambda: open_text_side(captions), findings)
        r = None
        if real is not None:
            r = _opened("real", lambda: open_image_side(real), findings)
        elif f is not None and l is not None:
            r = _opened("real", lambda: find_real(l, f), findings)
        encoder = None
        if checkpoint is not None:
            encoder = _built(checkpoint, chosen, device, batch_size, findings)
        looked, failed, seconds = [], [], 0.0
        facts: dict[str, list[ImageFacts]] = {"generated": [], "real": []}
        for subject, side in (("generated", f), ("real", r)):
            if isinstance(side, ImageSet):
                start = time.perf_counter()
                try:
                    if look is None:
                        good, bad = look_over(side, chosen, progress)
                    else:
                        good, bad = look(subject, side, chosen, progress)
                except InputError as error:
                    findings.append(Finding("error", "unreadable", subject, str(error)))
                    continue
                seconds += time.perf_counter() - start
                looked += good
                failed += bad
                facts[subject] = good
                findings += set_findings(subject, good, bad, chosen, setup.image_size)
        findings += cross_findings(facts["generated"], facts["real"])
        if isinstance(l, Captions):
            texts = l
            findings += caption_findings(texts, chosen, lambda t: _too_long(t, chosen, encoder))
            if facts["generated"]:
                findings += pairing_findings([fact.name for fact in facts["generated"]], texts)
        counts = _count(f, facts["generated"]), _count(r, facts["real"]), _count(l, ())
        sides = dict(zip(("generated", "real", "captions"), (f, r, l), strict=True))
        findings += _provenance_findings(sides, setup, chosen, encoder)
        findings += _number_findings(dict(zip(sides, counts, strict=True)), sides, setup)
        if seconds and looked:
            setup = dataclasses.replace(setup, decoded=len(looked) / seconds)
        if probe and encoder is not None:
            setup = _measured(setup, encoder, (f, r, l), counts)
    order = {"error": 0, "warning": 1, "note": 2}
    return Preflight(
        generated=_named(generated, f),
        real=_named(real, r) if real is not None or r is not None else None,
        captions=_named(captions, l),
        n=counts[0],
        n_real=counts[1],
        n_captions=counts[2],
        setup=setup,
        findings=tuple(sorted(findings, key=lambda found: order[found.severity])),
    )


def _named(source: Source, opened: Side | ImageSet | Captions | None) -> str:
    return opened.source if opened is not None else str(source)


def _opened(subject: str, opening: Any, findings: list[Finding]) -> Any:
    """What opening gives; None and a finding where it cannot. Raises where a path is missing."""
    try:
        return opening()
    except MissingError:
        raise
    except NotAtHandError as error:
        findings.append(Finding("warning", "reference", subject, str(error)))
    except InputError as error:
        findings.append(Finding("error", "unreadable", subject, str(error)))
    return None


def _built(
    checkpoint: Any,
    protocol: Protocol,
    device: str | torch.device | None,
    batch_size: int,
    findings: list[Finding],
) -> Encoder | None:
    from cmdmetric.encoders import Encoder

    if batch_size < 1:
        raise InputError(f"the batch size is {batch_size}, it must be at least 1")
    try:
        return Encoder(checkpoint, None, protocol, device=device, batch_size=batch_size)
    except InputError as error:
        findings.append(Finding("error", "weights", "setup", str(error)))
        return None


def _too_long(texts: Sequence[str], protocol: Protocol, encoder: Encoder | None) -> Sequence[bool]:
    """Which texts have more tokens than the encoder reads; of CLIP's tokeniser where there is no
    encoder."""
    if encoder is not None:
        return [bool(cut) for cut in encoder.tokenise(texts)[1]]
    from open_clip import SimpleTokenizer

    tokeniser = SimpleTokenizer()
    cleaned = (cut_words(protocol.clean(text), CONTEXT) for text in texts)
    return [len(tokeniser.encode(text)) > CONTEXT - 2 for text in cleaned]


def _count(side: Side | ImageSet | Captions | None, facts: Sequence[ImageFacts]) -> int | None:
    if isinstance(side, Side):
        return side.moments.n
    if isinstance(side, Captions):
        return len(side)
    return len(facts) if side is not None else None


def _provenance_findings(
    sides: dict[str, Any], setup: Setup, protocol: Protocol, encoder: Encoder | None
) -> Iterator[Finding]:
    """Stored moments that were made otherwise than the rest would be."""
    encodes = any(isinstance(side, (ImageSet, Captions)) for side in sides.values())
    made = encoder.provenance("image", "") if encoder is not None and encodes else None
    first = ""
    for subject, side in sides.items():
        if not isinstance(side, Side):
            continue
        theirs = side.moments.provenance
        if side.reference is not None:
            yield from _reference_findings(subject, side, setup, protocol, encodes)
        elif theirs is None:
            yield Finding("warning", "reference", subject, f"{side.source} does not record how it "
                          "was made: its protocol and encoder are taken on trust")  # fmt: skip
        elif made is None:
            made, first = theirs, f" as {side.source}"
        elif differences := made.differences(theirs):
            fields = "; ".join(f"{name}: {b!r}, not {a!r}" for name, (a, b) in differences.items())
            yield Finding("error", "reference", subject, f"{side.source} was not made{first} with "
                          f"what the rest is: {fields}; make it anew")  # fmt: skip
        if made is not None and encodes and setup.dimensions not in (None, side.moments.d):
            yield Finding("error", "reference", subject, f"{side.source} has {side.moments.d} "
                          f"dimensions, {setup.model} has {setup.dimensions}")  # fmt: skip


def _reference_findings(
    subject: str, side: Side, setup: Setup, protocol: Protocol, encodes: bool
) -> Iterator[Finding]:
    reference = REFERENCES[str(side.reference)]
    recorded, ours = (reference.protocol, reference.model), (protocol.name, setup.model)
    if encodes and recorded != ours:
        yield Finding("warning", "reference", subject, f"{reference.name} was made with protocol "
                      f"{recorded[0]} and {recorded[1]}, the rest would be with {ours[0]} and "
                      f"{ours[1]}")  # fmt: skip


def _number_findings(
    counts: dict[str, int | None], sides: dict[str, Any], setup: Setup
) -> Iterator[Finding]:
    what = {"generated": "generated images", "real": "real images", "captions": "captions"}
    for subject, n in counts.items():
        side = sides[subject]
        d = side.moments.d if isinstance(side, Side) else setup.dimensions
        if n is None:
            continue
        if n < 2:
            yield Finding("error", "samples", subject, f"{n} {what[subject]}: a covariance needs "
                          "at least 2")  # fmt: skip
        elif d is not None and n <= d:
            yield Finding(
                "warning", "samples", subject, f"{n} {what[subject]} are too few for {d} "
                "dimensions: the covariance is singular and distances are biased upwards; compare "
                "only scores of the same number of samples",
            )  # fmt: skip
        elif subject == "generated" and n < _MANY:
            yield Finding("note", "samples", subject, f"{n} generated images: distances shrink "
                          "with their number, so compare only scores of as many")  # fmt: skip


def _measured(setup: Setup, encoder: Encoder, sides: Sequence[Any], n: Sequence[Any]) -> Setup:
    """With the speed of the network, and what a score would take."""
    images = sum(
        count or 0 for side, count in zip(sides, n, strict=True) if isinstance(side, ImageSet)
    )
    texts: list[str] = []
    if isinstance(sides[2], Captions):
        texts = [text for text in sides[2].texts if encoder.protocol.clean(text).strip()]
    setup = dataclasses.replace(
        setup,
        encoded=rate_of_images(encoder) if images else None,
        captions=rate_of_captions(encoder, texts) if texts else None,
    )
    return dataclasses.replace(setup, expected=expected_seconds(setup, images, len(texts)))
