"""What decides on CLIP's features beside the image or the caption: spaces of the cache."""

from __future__ import annotations

import PIL

from cmdmetric.cache import Space
from cmdmetric.encoders.weights import Checkpoint
from cmdmetric.protocol import Protocol

#: The fields of a protocol that image features depend on.
IMAGE_FIELDS = ("rgb", "resize", "interpolation", "normalise", "image_scale")


def image_space(checkpoint: Checkpoint, protocol: Protocol, dtype: str) -> Space:
    """The space of image features. Pillow's version counts: it decodes and resizes."""
    normalised = protocol.normalise == "encoder"
    return Space(
        f"images, {checkpoint.label}, protocol {protocol.name}, {dtype}",
        what="image",
        weights=checkpoint.sha256,
        architecture=checkpoint.architecture_sha256,
        normalisation=(checkpoint.mean, checkpoint.std) if normalised else None,
        protocol={field: getattr(protocol, field) for field in IMAGE_FIELDS},
        dtype=dtype,
        pillow=PIL.__version__,
    )


def text_space(checkpoint: Checkpoint, protocol: Protocol, dtype: str) -> Space:
    """The space of caption features, whose content is the cleaned caption."""
    return Space(
        f"captions, {checkpoint.label}, protocol {protocol.name}, {dtype}",
        what="text",
        weights=checkpoint.sha256,
        architecture=checkpoint.architecture_sha256,
        tokeniser=checkpoint.tokeniser,
        scale=protocol.text_scale,
        dtype=dtype,
    )
