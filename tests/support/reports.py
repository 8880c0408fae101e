"""Sides of a score made of numbers, and a reader of pages, for the tests of reports."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html.parser import HTMLParser

import numpy as np
from PIL import Image

from cmdmetric.inputs.captions import Captions
from cmdmetric.inputs.image_set import ImageItem, ImageSet
from cmdmetric.metrics.moments import Moments
from cmdmetric.scoring.side import Side


def noise(seed: int, size: int = 208) -> Image.Image:
    """A picture that no codec makes small."""
    values = np.random.default_rng(seed).integers(0, 256, (size, size, 3), dtype=np.uint8)
    return Image.fromarray(values)


def image_set(names: Sequence[str]) -> ImageSet:
    def items() -> Iterator[ImageItem]:
        for seed, name in enumerate(names):
            yield ImageItem(name, lambda seed=seed: noise(seed))

    return ImageSet("pictures", items, names)


def sides(
    n: int, d: int = 8, texts: Sequence[str] | None = None, names: Sequence[str] | None = None
) -> tuple[Side, Side, Side]:
    """f, r, l of n samples each, image i with caption i."""
    rng = np.random.default_rng(0)
    names = tuple(names or (f"picture {i}.png" for i in range(n)))
    texts = tuple(texts or (f"caption {i}" for i in range(n)))
    base = rng.standard_normal((n, d))
    found = []
    for shift, scale in ((0.4, 10.0), (0.0, 10.0), (0.8, 1.0)):
        x = base + shift + 0.3 * rng.standard_normal((n, d))
        found.append(scale * x / np.linalg.norm(x, axis=1, keepdims=True))
    f, r, l = found
    images = image_set(names)
    return (
        Side(Moments.from_features(f), "generated", features=f, names=names, images=images),
        Side(Moments.from_features(r), "real", features=r, names=names, images=images),
        Side(
            Moments.from_features(l),
            "captions",
            features=l,
            texts=Captions(texts, names),
            kept=tuple(range(n)),
        ),
    )


VOID = {"meta", "img", "input", "br", "link", "hr"}


class Page(HTMLParser):
    """Elements of a page, and whether they close in order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: dict[str, list[str]] = {}
        self.open: list[str] = []
        self.mistakes: list[str] = []
        self.feed(text)
        self.close()
        assert not self.open, f"never closed: {self.open}"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        if not self.open or self.open.pop() != tag:
            self.mistakes.append(f"</{tag}> at {self.getpos()}")

    def handle_data(self, data: str) -> None:
        if self.open:
            self.texts.setdefault(self.open[-1], []).append(data)

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]
