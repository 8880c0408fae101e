"""What a score would be computed with: weights, references, device, and how long it would take."""

from __future__ import annotations

import dataclasses
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from cmdmetric.encoders import BUNDLED, DEFAULT_MODEL, Checkpoint, find_checkpoint
from cmdmetric.errors import InputError, NotAtHandError
from cmdmetric.files import named_path
from cmdmetric.scoring import REFERENCES, find_reference_file

if TYPE_CHECKING:
    import torch

    from cmdmetric.encoders import Encoder
    from cmdmetric.protocol import Protocol


@dataclass(frozen=True)
class Setup:
    """What is at hand, and what was measured."""

    protocol: str
    #: As in a signature, e.g. "ViT-B-32/openai".
    model: str
    #: The file of the weights, its sha256 in hex, and how it was found; None where it was not.
    weights: str | None
    sha256: str | None
    origin: str | None
    #: Dimensions of its features.
    dimensions: int | None
    #: Side of the images that it takes, in pixels.
    image_size: int | None
    #: "cpu", "cuda:0"; with its name where it has one.
    device: str
    dtype: str
    #: Threads that torch computes with; processors that this process may use decode.
    threads: int
    cores: int
    #: By reference and side ("coco2014-val image") its file; None where it would be downloaded.
    references: dict[str, str | None]
    #: Measured here, a second: images decoded, images encoded, captions encoded.
    decoded: float | None = None
    encoded: float | None = None
    captions: float | None = None
    #: What the score would take with nothing in the cache, in seconds.
    expected: float | None = None

    def to_dict(self) -> dict[str, Any]:
        """All fields, for JSON."""
        return dataclasses.asdict(self)


def find_setup(
    model: str | Path | None,
    weights: str | Path | None,
    protocol: Protocol,
    device: str | torch.device | None,
) -> tuple[Setup, Checkpoint | None, NotAtHandError | None]:
    """Find what a score would be computed with.

    Returns:
        What is at hand, the checkpoint or None, and the error that says what to do where there is
        no checkpoint.

    Raises:
        InputError: The model or the device is unknown, or the weights are none.
    """
    import torch

    from cmdmetric.encoders import choose_device

    chosen = choose_device(device)
    name = str(chosen)
    if chosen.type == "cuda":
        name += f" ({torch.cuda.get_device_name(chosen)})"
    checkpoint, absent = None, None
    try:
        checkpoint = find_checkpoint(model, weights)
    except NotAtHandError as error:
        absent = error
    setup = Setup(
        protocol=protocol.name,
        model=str(model or DEFAULT_MODEL),
        weights=None,
        sha256=None,
        origin=None,
        dimensions=None,
        image_size=None,
        device=name,
        dtype="fp32",
        threads=torch.get_num_threads(),
        cores=_cores(),
        references=_references(),
    )
    if checkpoint is not None:
        setup = dataclasses.replace(
            setup,
            model=checkpoint.label,
            weights=str(checkpoint.file),
            sha256=checkpoint.sha256,
            origin=_origin(checkpoint, model, weights),
            dimensions=checkpoint.config.get("embed_dim"),
            image_size=checkpoint.image_size,
        )
    return setup, checkpoint, absent


def _origin(checkpoint: Checkpoint, model: str | Path | None, weights: str | Path | None) -> str:
    if weights is not None:
        return "given as --weights"
    if str(model) in BUNDLED:
        return "bundled with cmdmetric"
    if model is not None and named_path(model).is_dir():
        return "in the model's folder"
    in_hub = any(part.startswith("models--") for part in checkpoint.file.parts)
    return "in the Hugging Face Hub's cache" if in_hub else "in the cache of weights"


def _cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _references() -> dict[str, str | None]:
    found: dict[str, str | None] = {}
    for reference in REFERENCES.values():
        for side in reference.files:
            try:
                found[f"{reference.name} {side}"] = str(find_reference_file(reference, side))
            except InputError:
                found[f"{reference.name} {side}"] = None
    return found


def rate_of_images(encoder: Encoder, seconds: float = 1.0) -> float:
    """Images a second that the encoder's network takes in full batches, measured."""
    size = encoder.image_size
    random = np.random.default_rng(0)
    pixels: NDArray[np.uint8] = random.integers(
        0, 256, (encoder.batch_size, size, size, 3), dtype=np.uint8
    )
    encoder.encode_pixels(pixels[:1])  # what is set up once
    count, start = 0, time.perf_counter()
    while not count or time.perf_counter() - start < seconds:
        encoder.encode_pixels(pixels)  # comes back as numpy: nothing is left running
        count += len(pixels)
    return count / (time.perf_counter() - start)


def rate_of_captions(encoder: Encoder, texts: Sequence[str], most: int = 256) -> float:
    """Captions a second, of these, drawn evenly."""
    sample = list(texts[:: max(1, len(texts) // most)])[:most]
    encoder.encode_texts(sample[:1])
    start = time.perf_counter()
    encoder.encode_texts(sample)
    return len(sample) / (time.perf_counter() - start)


def expected_seconds(setup: Setup, images: int, captions: int) -> float | None:
    """What a score would take: images are decoded while others are encoded, captions follow."""
    if not setup.encoded or (captions and not setup.captions):
        return None
    slowest = min(setup.encoded, setup.decoded or setup.encoded)
    return images / slowest + (captions / setup.captions if setup.captions else 0.0)
