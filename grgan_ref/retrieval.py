"""Retrieval between images and their captions (Table 3): R@1, R@5 and R@10, both ways.

The similarity is the cosine of the image code and the sentence vector, which is what the sentence
loss (Eq. 8) trains. Similarities are made in blocks, so 5,000 images against 25,000 captions need
the vectors and one block, not the matrix.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from cmdmetric import published
from cmdmetric.encoders import Encoder
from grgan_ref.config import Config
from grgan_ref.data import CaptionedImages, middle_square, to_unit
from grgan_ref.errors import GrganError
from grgan_ref.matching import DAMSM, ITM

RANKS = (1, 5, 10)


@dataclass(frozen=True)
class Retrieval:
    """Percentages.

    `image` is that of captions whose image is among the first k, `text` that of images for which
    one of their captions is.
    """

    image_r1: float
    image_r5: float
    image_r10: float
    text_r1: float
    text_r5: float
    text_r10: float
    images: int
    captions: int

    def to_dict(self) -> dict[str, float]:
        """Return the numbers by name, ready for JSON."""
        return asdict(self)

    def image_to_text(self) -> tuple[float, float, float]:
        """Return R@1, R@5 and R@10 of images that look for a caption."""
        return self.text_r1, self.text_r5, self.text_r10

    def text_to_image(self) -> tuple[float, float, float]:
        """Return R@1, R@5 and R@10 of captions that look for their image."""
        return self.image_r1, self.image_r5, self.image_r10


@dataclass(frozen=True)
class Embedder:
    """Anything that puts images and captions into one space.

    Attributes:
        name: What the table calls it.
        published: The name of its row in Table 3, where it has one.
        image_size: s, width and height of the images that it takes.
        images: Pixels (B, s, s, 3) uint8 to vectors (B, E).
        texts: B captions to vectors (B, E).
    """

    name: str
    published: str | None
    image_size: int
    images: Callable[[NDArray[np.uint8]], Tensor]
    texts: Callable[[Sequence[str]], Tensor]


def of_matcher(matcher: ITM | DAMSM, config: Config) -> Embedder:
    """Embed by the sentence vectors and image codes of a trained ITM or DAMSM."""
    device = next(matcher.parameters()).device
    name = config.model.matcher.upper()

    def images(pixels: NDArray[np.uint8]) -> Tensor:
        batch = torch.from_numpy(pixels).to(device).permute(0, 3, 1, 2)
        return matcher.encode_image(to_unit(batch))[1]

    def texts(captions: Sequence[str]) -> Tensor:
        return matcher.encode_captions(captions, config.matcher.words)[1]

    return Embedder(name, name, config.matcher.image_size, images, texts)


def of_clip(model: str | None, weights: str | None, device: torch.device) -> Embedder:
    """Embed by any CLIP that cmdmetric knows, with the normalisation that it was trained with.

    Raises:
        InputError: There is no such CLIP, or its weights cannot be had.
    """
    encoder = Encoder(model, weights, protocol="clip", device=device)
    rows = {"ViT-B-32": "CLIP-ViT", "RN101": "CLIP-Res"}
    name = encoder.checkpoint.label
    architecture = name.split("/")[0].removesuffix("-quickgelu")

    def images(pixels: NDArray[np.uint8]) -> Tensor:
        return torch.from_numpy(encoder.encode_pixels(pixels))

    def texts(captions: Sequence[str]) -> Tensor:
        return torch.from_numpy(encoder.encode_texts(captions))

    return Embedder(f"CLIP {name}", rows.get(architecture), encoder.image_size, images, texts)


def to_markdown(results: Sequence[tuple[Embedder, Retrieval]], *, beside_paper: bool) -> str:
    """Write results as rows of Table 3.

    Args:
        results: What was tested, and what it retrieves.
        beside_paper: Whether the published row stands below each that has one. Table 3 is of COCO:
            numbers of other images say nothing beside it.
    """
    first = results[0][1]
    ranks = " | ".join(f"R@{k}" for k in RANKS)
    lines = [
        f"{first.images:,} images, {first.captions:,} captions; in percent",
        "",
        f"| model | image to text {ranks} | text to image {ranks} |",
        "| --- |" + " ---: |" * 6,
    ]
    for embedder, found in results:
        lines.append(_line(embedder.name, [*found.image_to_text(), *found.text_to_image()]))
        if beside_paper and embedder.published is not None:
            row = published.row(embedder.published, 3)
            lines.append(_line(f"  paper: {row.name}", list(row.values.values())))
    return "\n".join(lines)


def _line(name: str, values: Sequence[float]) -> str:
    return f"| {name} | {' | '.join(f'{value:.2f}' for value in values)} |"


def recall(images: Tensor, texts: Tensor, owner: Tensor, block: int = 512) -> Retrieval:
    """Compute R@k from features.

    A rival with an equal similarity ranks before the right one, so that an encoder that maps
    everything to one point retrieves nothing.

    Args:
        images: (n, E).
        texts: (m, E).
        owner: (m,), the number of the image that each text belongs to.
        block: Rows of similarities that are made at once.

    Raises:
        GrganError: An image owns no text.
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
    i1, i5, i10 = (100 * float((text_rank < k).double().mean()) for k in RANKS)
    t1, t5, t10 = (100 * float((image_rank < k).double().mean()) for k in RANKS)
    return Retrieval(i1, i5, i10, t1, t5, t10, images=len(images), captions=len(texts))


def _rivals(queries: Tensor, candidates: Tensor, right: Tensor) -> Tensor:
    """How many wrong candidates are at least as similar as the best right one: (b,)."""
    similarity = queries @ candidates.T
    best = similarity.masked_fill(~right, -2).amax(dim=1, keepdim=True)
    return ((similarity >= best) & ~right).sum(dim=1)


@torch.no_grad()
def evaluate(
    embedder: Embedder,
    data: CaptionedImages,
    *,
    number: int | None = None,
    captions_per_image: int = 5,
    batch: int = 64,
) -> Retrieval:
    """Compute R@k of the first images of a data set and the first captions of each.

    Images have their shorter side resized (bilinear) to the embedder's size, and are cut to the
    square in the middle.

    Args:
        embedder: What is tested.
        data: Images and captions.
        number: How many images, from the first on; all by default.
        captions_per_image: How many captions of each, from the first on.
        batch: Images or captions that are encoded at once.

    Raises:
        GrganError: The data has fewer images.
    """
    count = len(data) if number is None else number
    if not 1 <= count <= len(data):
        raise GrganError(f"{count} images are asked for; the data has {len(data)}")
    captions = [list(data.captions[i])[:captions_per_image] for i in range(count)]
    owner = torch.tensor([i for i, own in enumerate(captions) for _ in own])
    flat = [caption for own in captions for caption in own]
    codes = [
        embedder.images(_squares(data, range(i, min(i + batch, count)), embedder.image_size))
        for i in range(0, count, batch)
    ]
    sentences = [embedder.texts(flat[i : i + batch]) for i in range(0, len(flat), batch)]
    features, vectors = torch.cat(codes), torch.cat(sentences)
    return recall(features, vectors, owner.to(features.device))


def _squares(data: CaptionedImages, rows: range, size: int) -> NDArray[np.uint8]:
    return np.stack([middle_square(data, row, size) for row in rows])
