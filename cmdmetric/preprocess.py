"""From a PIL image to the pixels that the encoder gets, as a protocol says."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from cmdmetric.protocol import Protocol
from cmdmetric.rgb import to_rgb

_FILTERS = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}


def to_pixels(image: Image.Image, size: int, protocol: Protocol) -> NDArray[np.uint8]:
    """Any image as RGB pixels (size, size, 3) uint8: converted, resized and cut by the protocol.

    Equal to torchvision's Resize and CenterCrop on the same PIL image.
    """
    image = to_rgb(image, protocol.rgb)
    if protocol.resize == "squash":
        width, height = size, size
    elif image.width <= image.height:
        width, height = size, int(size * image.height / image.width)
    else:
        width, height = int(size * image.width / image.height), size
    if image.size != (width, height):
        image = image.resize((width, height), _FILTERS[protocol.interpolation])
    left, top = round((width - size) / 2), round((height - size) / 2)
    if (width, height) != (size, size):
        image = image.crop((left, top, left + size, top + size))
    return np.asarray(image)
