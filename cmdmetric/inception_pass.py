"""Inception's features of images that CLIP looks at too: each image is decoded once for both."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial

import numpy as np
from PIL import Image

from cmdmetric.decoding import Failure, decoded
from cmdmetric.errors import InputError
from cmdmetric.image_set import ImageItem, ImageSet
from cmdmetric.inception import Inception, InceptionFeatures, InceptionStream, rgb_pixels


class InceptionPass:
    """One image set under Inception, while another network passes over it.

    The images that the other network's pass decodes are taken along; those that it does not decode,
    since their features are cached, are decoded in `features`. The threads that decode only prepare
    pixels: the network runs in the thread that iterates.
    """

    def __init__(self, images: ImageSet, network: Inception) -> None:
        self._images = images
        self._network = network
        self._stream = InceptionStream(network)
        self._row_of: dict[str, int] = {}
        self._waiting: deque[tuple[str, np.ndarray]] = deque()

    def along(self) -> ImageSet:
        """The image set, for the other network's pass."""

        def items() -> Iterator[ImageItem]:
            for item in self._images:
                self._encode()
                yield replace(
                    item,
                    load=partial(self._load, item),
                    parse=partial(self._parse, item),
                )

        images = self._images
        return ImageSet(
            images.source, items, images.names, images.count, files=lambda: images.files or ()
        )

    def features(self, names: Sequence[str]) -> InceptionFeatures:
        """The features of the images of these names, in their order.

        Raises InputError for an image that cannot be decoded although the other network's features
        of it were cached: the file has changed in between.
        """
        self._encode()
        missing = [name for name in names if name not in self._row_of]
        if missing:
            wanted = set(missing)
            left = (item for item in self._images if item.name in wanted)
            for name, pixels in decoded(left, rgb_pixels, 4 * self._network.batch_size):
                if isinstance(pixels, Failure):
                    raise InputError(f"{self._images.source}: {name}: {pixels.reason}")
                self._waiting.append((name, pixels))
                self._encode()
        rows = [self._row_of[name] for name in names]
        return InceptionFeatures(*(part[rows] for part in self._stream.features()))

    def _load(self, item: ImageItem) -> Image.Image:
        return self._take(item.name, item.load())

    def _parse(self, item: ImageItem, content: bytes) -> Image.Image:
        return self._take(item.name, item.parse(content))

    def _take(self, name: str, image: Image.Image) -> Image.Image:
        self._waiting.append((name, rgb_pixels(image)))
        return image

    def _encode(self) -> None:
        while self._waiting:
            name, pixels = self._waiting.popleft()
            if name not in self._row_of:
                self._row_of[name] = len(self._row_of)
                self._stream.add(pixels)
