"""Streams images and captions through an encoder; what is held is a feature vector for each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from tqdm import tqdm

from cmdmetric.captions import Captions
from cmdmetric.decoding import Failure, decoded
from cmdmetric.errors import InputError
from cmdmetric.image_set import ImageSet
from cmdmetric.moments import Moments
from cmdmetric.preprocess import to_pixels

if TYPE_CHECKING:
    from cmdmetric.encoder import Encoder

OnError = Literal["raise", "skip"]
#: Captions are tokenised and sorted by length this many at a time.
TEXT_CHUNK = 4096
#: A message lists at most this many files by name.
LISTED = 20


@dataclass(frozen=True)
class EncodedImages:
    """The moments and features of an image set, and what became of its images."""

    moments: Moments
    #: (n, d), in the order of `names`.
    features: NDArray[np.float32]
    #: Names of the encoded images, in order.
    names: tuple[str, ...]
    #: Images that could not be decoded, with the reason.
    skipped: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class EncodedTexts:
    """The moments and features of a caption set, and what became of its captions."""

    moments: Moments
    #: (n, d), of the captions numbered in `kept`.
    features: NDArray[np.float32]
    #: The captions that were encoded: ascending positions in the set.
    kept: tuple[int, ...]
    #: Captions longer than the encoder's context: cut, with the end-of-text token kept.
    truncated: int


def encode_images(
    images: ImageSet, encoder: Encoder, *, on_error: OnError = "raise", progress: bool = False
) -> EncodedImages:
    """The moments of an image set under the encoder's protocol; order and batches do not matter.

    Raises InputError listing every image that cannot be decoded, unless on_error is "skip", and
    where none is left.
    """
    provenance = encoder.provenance("image", images.source)
    encoded: list[NDArray[np.float32]] = []
    names: list[str] = []
    failures: list[tuple[str, str]] = []
    batch: list[NDArray[np.uint8]] = []
    seen = 0

    def prepare(image: Image.Image) -> NDArray[np.uint8]:
        return to_pixels(image, encoder.image_size, encoder.protocol)

    def flush() -> None:
        encoded.append(encoder.encode_pixels(np.stack(batch)))
        batch.clear()

    bar = tqdm(total=images.count, desc=f"images {_short(images.source)}", unit="image",
               disable=not progress, mininterval=0.5)  # fmt: skip
    with bar:
        for name, pixels in decoded(images, prepare, lookahead=4 * encoder.batch_size):
            seen += 1
            bar.update()
            if isinstance(pixels, Failure):
                failures.append((name, pixels.reason))
            elif not failures or on_error == "skip":  # else: only look for further failures
                batch.append(pixels)
                names.append(name)
                if len(batch) == encoder.batch_size:
                    flush()
        if batch:
            flush()
    if failures and on_error == "raise":
        raise InputError(
            f"{images.source}: {len(failures)} of {seen} images cannot be decoded:\n"
            f"{list_failures(failures)}\n"
            "Mend or remove them, or score the rest with --on-error skip (on_error='skip')."
        )
    if not encoded:
        raise InputError(f"{images.source}: no image could be decoded:\n{list_failures(failures)}")
    features = np.concatenate(encoded)
    moments = Moments.from_features(features, provenance)
    return EncodedImages(moments, features, tuple(names), tuple(failures))


def encode_captions(
    captions: Captions, encoder: Encoder, *, progress: bool = False
) -> EncodedTexts:
    """The moments of a caption set under the encoder's protocol.

    Raises InputError where no caption has a word left.
    """
    clean = encoder.protocol.clean
    kept = tuple(i for i, text in enumerate(captions.texts) if clean(text).strip())
    if not kept:
        raise InputError(f"{captions.source}: no caption has a word in it")
    encoded: list[NDArray[np.float32]] = []
    rows: list[NDArray[np.int64]] = []
    truncated = 0
    bar = tqdm(total=len(kept), desc=f"captions {_short(captions.source)}", unit="caption",
               disable=not progress, mininterval=0.5)  # fmt: skip
    with bar:
        for start in range(0, len(kept), TEXT_CHUNK):
            tokens, cut = encoder.tokenise(
                [captions.texts[i] for i in kept[start : start + TEXT_CHUNK]]
            )
            truncated += cut
            for batch, features in encoder.encode_tokens(tokens):
                rows.append(start + batch)
                encoded.append(features)
                bar.update(len(batch))
    features = np.concatenate(encoded)[np.argsort(np.concatenate(rows))]
    moments = Moments.from_features(features, encoder.provenance("text", captions.source))
    return EncodedTexts(moments, features, kept, truncated)


def list_failures(failures: Sequence[tuple[str, str]]) -> str:
    """One line a file, at most LISTED of them."""
    lines = [f"  {name}: {reason}" for name, reason in failures[:LISTED]]
    if len(failures) > LISTED:
        lines.append(f"  and {len(failures) - LISTED} more")
    return "\n".join(lines)


def _short(source: str, width: int = 32) -> str:
    return source if len(source) <= width else "…" + source[1 - width :]
