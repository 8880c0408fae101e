"""The encoder of an evaluator: built and run so that the training around it does not notice."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator

import torch

from cmdmetric.encoders import Encoder
from cmdmetric.errors import InputError
from cmdmetric.inputs import Captions, ImageSet
from cmdmetric.metrics import refuse_differences
from cmdmetric.scoring import DEFAULTS, EncoderOptions, Encoding, EncodingOptions, Side

#: What the sides that come in batches are called in a score.
IMAGES, CAPTIONS = "images in memory", "captions in memory"


def build_encoder(options: EncoderOptions) -> Encoder:
    """Build an encoder like any other, whatever trainer it is built in.

    Raises:
        InputError: There is no such model, protocol or device, or its weights cannot be had.
    """
    chosen: EncodingOptions = {**DEFAULTS, **options}
    with apart_from_training():
        return Encoder(
            chosen["model"], chosen["weights"], chosen["protocol"], device=chosen["device"]
        )


def encode_side(encoder: Encoder, opened: Side | ImageSet | Captions) -> Side:
    """Encode the real images or the captions, if need be.

    Raises:
        InputError: They were stored under another protocol or encoder, or cannot be encoded.
    """
    with apart_from_training(encoder.device.type):
        side = Encoding(encoder).side(opened)
    # The images themselves are not needed again, and cannot be pickled with the evaluator.
    side = dataclasses.replace(side, images=None)
    if side.moments.provenance is not None:
        refuse_differences(side.moments.provenance, encoder.provenance("image", IMAGES))
    dimensions = encoder.checkpoint.config["embed_dim"]
    if side.moments.d != dimensions:
        raise InputError(
            f"{side.source} has features of {side.moments.d} dimensions, those of "
            f"{encoder.checkpoint.label} have {dimensions}: they come from two encoders"
        )
    return side


@contextlib.contextmanager
def apart_from_training(device: str = "cpu") -> Iterator[None]:
    """No autocast on a kind of device, float32 by default, and the random numbers left alone.

    Trainers set the first two for training, and a network that is built inherits the second:
    features would change without a word. Building one also draws random numbers.
    """
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float32)
    try:
        with torch.random.fork_rng(devices=[]), torch.autocast(device, enabled=False):
            yield
    finally:
        torch.set_default_dtype(before)
