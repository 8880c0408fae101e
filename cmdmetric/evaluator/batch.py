"""Generated images and their captions as they come, batch by batch, encoded at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cmdmetric.encoders import Encoder, ImageNetwork, LazyEncoder
from cmdmetric.errors import InputError
from cmdmetric.evaluator.encoding import CAPTIONS, IMAGES, apart_from_training
from cmdmetric.features import (
    Contents,
    ImageRecords,
    Looks,
    digests_of,
    encode_captions,
    encode_images,
    split_records,
)
from cmdmetric.inputs import Captions, open_images, read_captions
from cmdmetric.metrics import Elsewhere, Moments
from cmdmetric.scoring import Side, Source


@dataclass(frozen=True)
class Batch:
    """The features of generated images and, where they came along, of their captions."""

    #: (n, d)
    images: NDArray[np.float32]
    #: Captions as written, and for each the row of its image.
    texts: tuple[str, ...]
    owner: tuple[int, ...]
    #: (m, d), of the m captions with a word in them, which `kept` numbers.
    captions: NDArray[np.float32]
    kept: tuple[int, ...]
    #: Captions that were cut at the encoder's context length.
    truncated: int
    #: What the images are: `cmdmetric.features.split_records`.
    contents: Contents
    looks: Looks
    #: (n, d) by the name of a network beside CLIP: its features of the images.
    seen: Mapping[str, NDArray[np.float32]] = field(default_factory=dict)

    @classmethod
    def join(cls, batches: Sequence[Batch]) -> Batch:
        """Several batches (at least one) as one, in their order."""
        images = np.cumsum([0, *(len(batch.images) for batch in batches)]).tolist()
        texts = np.cumsum([0, *(len(batch.texts) for batch in batches)]).tolist()
        return cls(
            images=np.concatenate([batch.images for batch in batches]),
            texts=tuple(text for batch in batches for text in batch.texts),
            owner=tuple(
                n + i for n, batch in zip(images, batches, strict=False) for i in batch.owner
            ),
            captions=np.concatenate([batch.captions for batch in batches]),
            kept=tuple(n + i for n, batch in zip(texts, batches, strict=False) for i in batch.kept),
            truncated=sum(batch.truncated for batch in batches),
            contents=np.concatenate([batch.contents for batch in batches]),
            looks=np.concatenate([batch.looks for batch in batches]),
            seen={
                name: np.concatenate([batch.seen[name] for batch in batches])
                for name in batches[0].seen
            },
        )

    def image_side(self, encoder: Encoder | LazyEncoder) -> Side:
        """The images as one side of a score, each with a name of its own."""
        made = Moments.from_features(self.images, encoder.provenance("image", IMAGES))
        return self.images_as(made, self.images)

    def images_as(self, moments: Moments, features: NDArray[np.float32] | Elsewhere) -> Side:
        """`image_side` of images whose moments are known, and whose features may be elsewhere."""
        return Side(
            moments,
            IMAGES,
            features=features,
            names=tuple(map(_name, range(len(self.images)))),
            contents=self.contents,
            looks=self.looks,
        )

    def caption_side(self, encoder: Encoder | LazyEncoder) -> Side:
        """The captions as one side of a score, each with the name of its image."""
        made = Moments.from_features(self.captions, encoder.provenance("text", CAPTIONS))
        return self.captions_as(made, self.captions)

    def captions_as(self, moments: Moments, features: NDArray[np.float32] | Elsewhere) -> Side:
        """`caption_side` of captions whose moments are known; features may be elsewhere."""
        return Side(
            moments,
            CAPTIONS,
            features=features,
            texts=Captions(self.texts, tuple(map(_name, self.owner)), CAPTIONS),
            kept=self.kept,
            truncated=self.truncated,
            contents=digests_of(self.texts[i].encode() for i in self.kept),
        )


def encode_batch(
    encoder: Encoder,
    images: Source,
    captions: Sequence[str | Sequence[str]] | None,
    networks: Mapping[str, ImageNetwork] | None = None,
) -> Batch:
    """Encode the images and captions of `Evaluator.update`.

    Raises:
        InputError: As for `Evaluator.update`.
    """
    with apart_from_training(encoder.device.type):
        opened = open_images(images)
        networks = networks or {}
        beside: list[ImageNetwork] = [ImageRecords(), *networks.values()]
        found_images = encode_images(opened, encoder, beside=beside)
        records, *others = found_images.beside
        what = split_records(np.array(records))
        # Copies: what many batches keep is mapped from no file.
        encoded = np.array(found_images.features)
        seen = {name: np.array(rows) for name, rows in zip(networks, others, strict=True)}
        nothing: NDArray[np.float32] = np.empty((0, encoded.shape[1]), np.float32)
        if captions is None:
            return Batch(encoded, (), (), nothing, (), 0, *what, seen)
        names = tuple(map(_name, range(len(encoded))))
        found = read_in_order(captions, names, "images")
        owner = tuple(map(_index, found.images))
        if not any(encoder.protocol.clean(text).strip() for text in found.texts):
            return Batch(encoded, found.texts, owner, nothing, (), 0, *what, seen)
        texts = encode_captions(found, encoder)
        features = np.array(texts.features)
        return Batch(
            encoded, found.texts, owner, features, texts.kept, texts.truncated, *what, seen
        )


def refuse_captions(*, given: bool, expected: bool) -> None:
    """Raise InputError where an update brings captions that are fixed, or none where it must."""
    if given and not expected:
        raise InputError(
            "the captions were given once, for all images: update takes none then. To give each "
            "image its own, leave out captions where the evaluator is made"
        )
    if expected and not given:
        raise InputError(
            "these images have no captions: give theirs to update, or captions for all of them "
            "where the evaluator is made"
        )


def read_in_order(captions: Any, names: Sequence[str], of: str) -> Captions:
    """Captions in the order of the images of these names."""
    what = "captions are a list with an entry for each image, one caption or a list of several"
    if isinstance(captions, (str, Mapping)):
        raise InputError(f"{what}, not a {type(captions).__name__}")
    captions = list(captions)
    if len(captions) != len(names):
        raise InputError(f"{what}: there are {len(names)} {of} and {len(captions)} entries")
    of_image: dict[str, list[Any]] = {}
    for name, own in zip(names, captions, strict=True):  # a file may be there for each caption
        several = isinstance(own, (list, tuple, np.ndarray))
        of_image.setdefault(name, []).extend(own if several else [own])
    return read_captions(of_image)


def _name(index: int) -> str:
    """The name by which a generated image pairs with its captions, and no real image does."""
    return f"#generated-{index}"


def _index(name: str | None) -> int:
    """The inverse of `_name`."""
    return int(str(name).rpartition("-")[2])
