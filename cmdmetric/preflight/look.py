"""A look at everything that a score needs, before any network runs over it."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from cmdmetric.encoders import CONTEXT, cut_words
from cmdmetric.errors import InputError
from cmdmetric.files import no_downloads
from cmdmetric.inputs import Captions, Columns, ImageSet
from cmdmetric.preflight.caption_findings import caption_findings, pairing_findings
from cmdmetric.preflight.facts import ImageFacts, Looked, look_over
from cmdmetric.preflight.finding import Finding
from cmdmetric.preflight.image_findings import cross_findings, set_findings
from cmdmetric.preflight.opening import Inputs, Network
from cmdmetric.preflight.result import Preflight
from cmdmetric.preflight.setup import (
    Setup,
    expected_seconds,
    find_setup,
    rate_of_captions,
    rate_of_images,
)
from cmdmetric.preflight.side_findings import number_findings, provenance_findings
from cmdmetric.protocol import Protocol, get_protocol
from cmdmetric.scoring import Side, Source

if TYPE_CHECKING:
    import torch

    from cmdmetric.encoders import Checkpoint, Encoder

#: Looks at all images of a set, which is of "generated" or "real".
Look: TypeAlias = Callable[[str, ImageSet], Looked]

#: Captions that are tokenised at once.
_TEXTS = 4096


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
    caption_column: str | None = None,
    image_column: str | None = None,
    probe: bool = True,
    progress: bool = False,
) -> Preflight:
    """Check what `cmd` would be given.

    Every image is decoded once and every caption is tokenised; nothing is downloaded or stored.
    What can be iterated once is consumed.

    Args:
        generated: The generated images, as for `cmd`.
        captions: The captions.
        real: The real images; by default what the captions lead to.
        model: The encoder, as for `cmd`.
        weights: Its weights.
        protocol: The protocol.
        device: Where the network would run.
        batch_size: How many images it would take at once.
        caption_column: The column of the captions, as for `cmd`.
        image_column: The column of the images, or of their names.
        probe: Whether the network, where its weights are at hand, runs on one batch to tell how
            long a score would take.
        progress: Whether progress bars are shown on stderr.

    Raises:
        InputError: A path does not exist, or protocol, model or device are unknown. Everything
            else that is wrong is a finding.
    """
    chosen = get_protocol(protocol)
    with no_downloads("a check downloads nothing"):
        setup, checkpoint, absent = find_setup(model, weights, chosen, device)
        inputs, findings = Inputs.open(
            generated, captions, real, Columns(caption_column, image_column)
        )
        if absent is not None:
            findings.insert(0, Finding("error", "weights", "setup", str(absent)))
        encoder = None
        if checkpoint is not None:
            encoder = _built(checkpoint, chosen, device, batch_size, findings)
        network = Network(chosen, setup.model, setup.dimensions, setup.image_size, encoder)
        seen = inspect(inputs, network, lambda _, images: look_over(images, chosen, progress))
        setup = dataclasses.replace(setup, decoded=seen.decoded)
        if probe and encoder is not None:
            setup = _measured(setup, encoder, inputs, seen.counts)
    r = inputs.real
    return Preflight(
        generated=_named(generated, inputs.generated),
        real=_named(real, r) if real is not None or r is not None else None,
        captions=_named(captions, inputs.captions),
        n=seen.counts["generated"],
        n_real=seen.counts["real"],
        n_captions=seen.counts["captions"],
        setup=setup,
        findings=by_severity([*findings, *seen.findings]),
    )


class Inspection(NamedTuple):
    """What a look at the inputs tells.

    Attributes:
        findings: In the order in which they were found.
        counts: The numbers of generated images, real images and captions; None where one is not
            known.
        decoded: Images that were decoded in a second; None where there was none.
    """

    findings: list[Finding]
    counts: dict[str, int | None]
    decoded: float | None


def inspect(inputs: Inputs, network: Network, look: Look, cut: int | None = None) -> Inspection:
    """Look at inputs that are open, of a score that `network` would make or has made.

    Args:
        inputs: What is looked at.
        network: What is known of the encoder.
        look: Decodes the images of a set and gives their facts.
        cut: How many captions were cut at the encoder's context; None where that is not known.
    """
    findings: list[Finding] = []
    facts: dict[str, list[ImageFacts]] = {"generated": [], "real": []}
    seconds = 0.0
    for subject, images in (("generated", inputs.generated), ("real", inputs.real)):
        if isinstance(images, ImageSet):
            start = time.perf_counter()
            try:
                facts[subject], failed = look(subject, images)
            except InputError as error:
                findings.append(Finding("error", "unreadable", subject, str(error)))
                continue
            seconds += time.perf_counter() - start
            findings += set_findings(
                subject, facts[subject], failed, network.protocol, network.image_size
            )
    findings += cross_findings(facts["generated"], facts["real"])
    captions = inputs.captions
    if isinstance(captions, Captions):
        findings += caption_findings(
            captions,
            network.protocol,
            lambda texts: [False] * len(texts) if cut == 0 else _too_long(texts, network),
        )
        if facts["generated"]:
            findings += pairing_findings([fact.name for fact in facts["generated"]], captions)
    counts = {
        subject: _count(side, facts.get(subject, ())) for subject, side in inputs._asdict().items()
    }
    findings += provenance_findings(inputs, network)
    findings += number_findings(inputs, counts, network)
    looked = sum(map(len, facts.values()))
    return Inspection(findings, counts, looked / seconds if seconds and looked else None)


def by_severity(findings: Sequence[Finding]) -> tuple[Finding, ...]:
    """Sort findings: errors first, then warnings, then notes."""
    order = ("error", "warning", "note")
    return tuple(sorted(findings, key=lambda found: order.index(found.severity)))


def _named(source: Source, opened: Side | ImageSet | Captions | None) -> str:
    return opened.source if opened is not None else str(source)


def _built(
    checkpoint: Checkpoint,
    protocol: Protocol,
    device: str | torch.device | None,
    batch_size: int,
    findings: list[Finding],
) -> Encoder | None:
    """Build the encoder; None, and a finding, where it cannot be built."""
    from cmdmetric.encoders import Encoder

    if batch_size < 1:
        raise InputError(f"the batch size is {batch_size}, it must be at least 1")
    try:
        return Encoder(checkpoint, None, protocol, device=device, batch_size=batch_size)
    except InputError as error:
        findings.append(Finding("error", "weights", "setup", str(error)))
        return None


def _too_long(texts: Sequence[str], network: Network) -> Sequence[bool]:
    """Tell which texts have more tokens than the encoder reads.

    Where there is no encoder they are counted by CLIP's tokeniser, if it is the model's.
    """
    if network.encoder is not None:
        encoder = network.encoder.build()
        parts = (texts[i : i + _TEXTS] for i in range(0, len(texts), _TEXTS))
        return [bool(cut) for part in parts for cut in encoder.tokenise(part)[1]]
    from open_clip import SimpleTokenizer, get_model_config

    config = get_model_config(network.model.partition("/")[0]) or {}
    if config.get("text_cfg", {}).get("hf_tokenizer_name"):
        return [False] * len(texts)
    tokeniser = SimpleTokenizer()
    cleaned = (cut_words(network.protocol.clean(text), CONTEXT) for text in texts)
    return [len(tokeniser.encode(text)) > CONTEXT - 2 for text in cleaned]


def _count(side: Side | ImageSet | Captions | None, facts: Sequence[ImageFacts]) -> int | None:
    if isinstance(side, Side):
        return side.moments.n
    if isinstance(side, Captions):
        return len(side)
    return len(facts) if side is not None else None


def _measured(
    setup: Setup, encoder: Encoder, inputs: Inputs, counts: Mapping[str, int | None]
) -> Setup:
    """Add the speed of the network, and what a score would take."""
    images = sum(
        counts[subject] or 0
        for subject, side in inputs._asdict().items()
        if isinstance(side, ImageSet)
    )
    texts: list[str] = []
    if isinstance(inputs.captions, Captions):
        texts = [text for text in inputs.captions.texts if encoder.protocol.clean(text).strip()]
    setup = dataclasses.replace(
        setup,
        encoded=rate_of_images(encoder) if images else None,
        captions=rate_of_captions(encoder, texts) if texts else None,
    )
    return dataclasses.replace(setup, expected=expected_seconds(setup, images, len(texts)))
