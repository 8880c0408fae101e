"""What every network that looks at images has in common: one interface, one file a network."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from cmdmetric.cache import Space
from cmdmetric.metrics import Provenance


class ImageNetwork(Protocol):
    """A network that turns images into features, as `cmdmetric.features.pass_images` runs it.

    A new network is a class with these members in a file of its own, and an entry in
    `cmdmetric.encoders.catalogue`. Nothing else has to know how it is built, what size of image it
    takes, or how its pixels are prepared. Torch is imported when it is built, not before.
    """

    @property
    def batch_size(self) -> int:
        """How many images `encode` gets at once; it changes the speed only."""

    @property
    def space(self) -> Space:
        """Everything but the image that decides on a feature: under it the cache keeps features."""

    @property
    def sha256(self) -> str:
        """The digest (hex) of its weights, by which a result tells what it was made with."""

    @property
    def fields(self) -> Mapping[str, str]:
        """What the signatures of its metrics have in other words than CMD's, by field."""

    def prepare(self, image: Image.Image) -> NDArray[np.uint8]:
        """The pixels (height, width, 3) uint8 that the network gets of a decoded image.

        It is called in several threads at once, and leaves the image as it is.
        """

    def encode(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Features (n, d) float32 of prepared pixels (n, height, width, 3) of one size.

        Raises:
            InputError: The network cannot be built, or its features are not finite.
        """

    def provenance(self, source: str) -> Provenance | None:
        """What is stored with the moments of its features of a source.

        None stands for a network whose moments are not stored with a protocol.
        """
