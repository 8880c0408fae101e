"""Retrieval between images and their captions (Table 3): R@1, R@5 and R@10, both ways.

The similarity is the cosine of the image code and the sentence vector, which is what the sentence
loss (Eq. 8) trains. Similarities are made in blocks, so 5,000 images against 25,000 captions need
the vectors and one block, not the matrix.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Protocol

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from cmdmetric.encoders import Encoder
from grgan_ref.config import Config
from grgan_ref.data import CaptionedImages, middle_square, to_unit
from grgan_ref.errors import GrganError
from grgan_ref.matching import DAMSM, ITM

RANKS = (1, 5, 10)


@dataclass(frozen=True)
class Retrieval:
    """Percentages: of captions whose image is among the first k, and of images for which one of
    their captions is."""

    image_r1: float
    image_r5: float
    image_r10: float
    text_r1: float
    text_r5: float
    text_r10: float
    images: int
    captions: int

    def to_dict(self) -> dict[str, float]:
        return asdict(self)

    def table(self) -> str:
        """The row of Table 3, in text."""
        return (
            f"{self.images} images, {self.captions} captions\n"
            f"                   R@1     R@5    R@10\n"
            f"image to text   {self.text_r1:6.2f}  {self.text_r5:6.2f}  {self.text_r10:6.2f}\n"
            f"text to image   {self.image_r1:6.2f}  {self.image_r5:6.2f}  {self.image_r10:6.2f}"
        )


class Matcher(Protocol):
    """Anything that puts images and captions into one space."""

    image_size: int

    def images(self, pixels: NDArray[np.uint8]) -> Tensor:
        """(B, s, s, 3), s = image_size -> (B, E)."""
        ...

    def texts(self, captions: Sequence[str]) -> Tensor:
        """B captions -> (B, E)."""
        ...


class TrainedMatcher:
    """The ITM or DAMSM: sentence vectors and image codes."""

    def __init__(self, matcher: ITM | DAMSM, config: Config) -> None:
        self.matcher, self.config = matcher, config
        self.image_size = config.matcher.image_size
        self.device = next(matcher.parameters()).device

    def images(self, pixels: NDArray[np.uint8]) -> Tensor:
        images = to_unit(torch.from_numpy(pixels).to(self.device).permute(0, 3, 1, 2))
        return self.matcher.encode_image(images)[1]

    def texts(self, captions: Sequence[str]) -> Tensor:
        return self.matcher.encode_captions(captions, self.config.matcher.words)[1]


class ClipMatcher:
    """Any CLIP that cmdmetric knows, with the normalisation it was trained with."""

    def __init__(
        self, model: str | None, weights: str | None = None, device: torch.device | None = None
    ) -> None:
        self.encoder = Encoder(model, weights, protocol="clip", device=device)
        self.image_size = self.encoder.image_size

    def images(self, pixels: NDArray[np.uint8]) -> Tensor:
        return torch.from_numpy(self.encoder.encode_pixels(pixels))

    def texts(self, captions: Sequence[str]) -> Tensor:
        return torch.from_numpy(self.encoder.encode_texts(captions))


def recall(images: Tensor, texts: Tensor, owner: Tensor, block: int = 512) -> Retrieval:
    """R@k from features: images (n, E), texts (m, E), owner (m,) the image number of each text.

    A rival with an equal similarity ranks before the right one, so that an encoder that maps
    everything to one point retrieves nothing. Every image must own a text.
    """
    if len(torch.unique(owner)) != len(images):
        raise GrganError("retrieval needs at least one caption for every image")
    images, texts = F.normalize(images.float(), dim=1), F.normalize(texts.float(), dim=1)
    text_rank = torch.cat(  # of the image that a text belongs to
        [
            _rivals(part, images, right[:, None] == torch.arange(len(images), device=right.device))
            for part, right in zip(texts.split(block), owner.split(block), strict=True)
        ]
    )
    numbers = torch.arange(len(images), device=owner.device).split(block)
    image_rank = torch.cat(  # of the best text that belongs to an image
        [
            _rivals(part, texts, number[:, None] == owner)
            for part, number in zip(images.split(block), numbers, strict=True)
        ]
    )
    found = [100 * float((r < k).double().mean()) for r in (text_rank, image_rank) for k in RANKS]
    return Retrieval(*found, images=len(images), captions=len(texts))


def _rivals(queries: Tensor, candidates: Tensor, right: Tensor) -> Tensor:
    """How many wrong candidates are at least as similar as the best right one: (b,)."""
    similarity = queries @ candidates.T
    best = similarity.masked_fill(~right, -2).amax(dim=1, keepdim=True)
    return ((similarity >= best) & ~right).sum(dim=1)


@torch.no_grad()
def evaluate(
    matcher: Matcher,
    data: CaptionedImages,
    *,
    number: int | None = None,
    captions_per_image: int = 5,
    batch: int = 64,
) -> Retrieval:
    """R@k of the first `number` images (all by default) and up to 5 captions of each.

    Images: shorter side resized (bilinear) to the matcher's size, then the square in the middle.
    """
    count = len(data) if number is None else number
    if not 1 <= count <= len(data):
        raise GrganError(f"{count} images are asked for; the data has {len(data)}")
    captions = [list(data.captions[i])[:captions_per_image] for i in range(count)]
    owner = torch.tensor([i for i, own in enumerate(captions) for _ in own])
    flat = [caption for own in captions for caption in own]
    codes = [
        matcher.images(_squares(data, range(i, min(i + batch, count)), matcher.image_size))
        for i in range(0, count, batch)
    ]
    sentences = [matcher.texts(flat[i : i + batch]) for i in range(0, len(flat), batch)]
    features, vectors = torch.cat(codes), torch.cat(sentences)
    return recall(features, vectors, owner.to(features.device))


def _squares(data: CaptionedImages, rows: range, size: int) -> NDArray[np.uint8]:
    return np.stack([middle_square(data, row, size) for row in rows])
