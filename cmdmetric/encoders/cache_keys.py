"""What decides on CLIP's features beside the image or the caption: spaces of the cache."""

from __future__ import annotations

import hashlib
from pathlib import Path

import PIL

from cmdmetric.cache import Space
from cmdmetric.encoders.weights import Checkpoint
from cmdmetric.protocol import Protocol

#: The fields of a protocol that image features depend on.
IMAGE_FIELDS = ("rgb", "resize", "interpolation", "normalise", "image_scale")
#: Files of a model folder that its tokeniser may be made of.
_TOKENISER = ("tokenizer*", "vocab*", "merges*", "special_tokens*", "added_tokens*", "*.model")


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
        tokeniser=_tokeniser(checkpoint),
        scale=protocol.text_scale,
        dtype=dtype,
    )


def _tokeniser(checkpoint: Checkpoint) -> str:
    """open_clip chooses a tokeniser by the configuration, by a model's name, or by its folder."""
    kind, _, folder = checkpoint.architecture.partition("local-dir:")
    if kind or not folder:
        return checkpoint.architecture
    if "hf_tokenizer_name" not in checkpoint.config.get("text_cfg", {}):
        return "CLIP"
    files = sorted({file for pattern in _TOKENISER for file in Path(folder).glob(pattern)})
    digest = hashlib.sha256()
    for file in files:
        digest.update(f"{file.name} {file.stat().st_size}\n".encode() + file.read_bytes())
    return digest.hexdigest()
