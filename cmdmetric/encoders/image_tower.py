"""The image tower of a CLIP as one of the networks that images are passed through."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from cmdmetric.cache import Space
from cmdmetric.encoders.cache_keys import image_space
from cmdmetric.encoders.lazy_encoder import LazyEncoder
from cmdmetric.encoders.preprocess import to_pixels
from cmdmetric.metrics import Provenance

if TYPE_CHECKING:
    from cmdmetric.encoders.clip import Encoder


class ImageTower:
    """An `ImageNetwork`; the network of a LazyEncoder is built when it encodes, not before."""

    def __init__(self, encoder: Encoder | LazyEncoder, *, reads: bool = False) -> None:
        """An encoder with its protocol.

        Args:
            encoder: The encoder.
            reads: Whether metrics of it are made of captions too, which its text tower reads.

        Raises:
            InputError: Its checkpoint cannot be had.
        """
        self._encoder = encoder
        #: What reads captions; None where only images count.
        self.reader = encoder if reads else None
        self._size = encoder.checkpoint.image_size
        self.batch_size = encoder.batch_size
        self.sha256 = encoder.checkpoint.sha256
        name, at, digest = encoder.checkpoint.tokeniser.rpartition("@")
        tokeniser = f"{name}{at}{digest[:8] if at else digest}" if reads else "none"
        self.fields = {"proto": encoder.protocol.name, "dtype": encoder.dtype, "tok": tokeniser}
        self.space: Space = image_space(encoder.checkpoint, encoder.protocol, encoder.dtype)

    def prepare(self, image: Image.Image) -> NDArray[np.uint8]:
        """The pixels (size, size, 3) of an image, as the protocol resizes it."""
        return to_pixels(image, self._size, self._encoder.protocol)

    def encode(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Features (n, d) of pixels from `prepare`.

        Raises:
            InputError: The encoder cannot be made, or gives features that are not finite.
        """
        return self._encoder.build().encode_pixels(pixels)

    def provenance(self, source: str) -> Provenance:
        """What is stored with moments of its features of a source."""
        return self._encoder.provenance("image", source)
