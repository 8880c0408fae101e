"""From a PIL image to the pixels that the encoder gets, as a protocol says."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from cmdmetric.encoders.rgb import to_rgb
from cmdmetric.protocol import Protocol

_FILTERS = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}
#: An aspect beyond which an image is not resized as a whole.
_LONG = 64


def to_pixels(image: Image.Image, size: int, protocol: Protocol) -> NDArray[np.uint8]:
    """Any image as RGB pixels (size, size, 3) uint8: converted, resized and cut by the protocol.

    With "crop" it is equal to torchvision's Resize and CenterCrop on the same PIL image.
    """
    image = to_rgb(image, protocol.rgb)
    box = None
    if protocol.resize == "square" and image.width != image.height:
        side = min(image.size)
        left, top = (image.width - side) // 2, (image.height - side) // 2
        image = image.crop((left, top, left + side, top + side))
    if protocol.resize != "crop":
        width, height = size, size
    elif image.width <= image.height:
        width, height = size, int(size * image.height / image.width)
    else:
        width, height = int(size * image.width / image.height), size
    left, top = round((width - size) / 2), round((height - size) / 2)
    if max(width, height) > _LONG * size:
        # Of a line a million pixels long only the middle is resized: the whole fills the memory.
        x, y = image.width / width, image.height / height
        box = (left * x, top * y, (left + size) * x, (top + size) * y)
        width, height, left, top = size, size, 0, 0
    if image.size != (width, height) or box:
        image = image.resize((width, height), _FILTERS[protocol.interpolation], box)
    if (width, height) != (size, size):
        image = image.crop((left, top, left + size, top + size))
    return np.asarray(image)
