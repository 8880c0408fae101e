"""Small pictures of chosen images of a set, as data URIs that a page can hold in itself."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping

from PIL import Image

from cmdmetric.encoders import to_rgb
from cmdmetric.errors import InputError
from cmdmetric.inputs import Failure, ImageSet, decoded

#: Quality of the WebP files: what a small picture needs to be judged.
QUALITY = 62


def thumbnails(images: ImageSet, sizes: Mapping[str, int]) -> dict[str, str]:
    """Data URIs by name of the images named in `sizes`, each at most that many pixels a side.

    Images are shown as a viewer would, whatever the protocol made of them. One that cannot be
    decoded, or that a set can give no second time (a generator), is left out.
    """

    def picture(image: Image.Image) -> Image.Image:
        rgb = to_rgb(image, "viewer")
        rgb.thumbnail((largest, largest), Image.Resampling.LANCZOS)
        return rgb

    if not sizes:
        return {}
    largest = max(sizes.values())
    found: dict[str, str] = {}
    try:
        wanted = (item for item in images if item.name in sizes)
        for name, small in decoded(wanted, picture, lookahead=64):
            if not isinstance(small, Failure):
                small.thumbnail((sizes[name], sizes[name]), Image.Resampling.LANCZOS)
                found[name] = data_uri(small)
            if len(found) == len(sizes):
                break
    except InputError:  # an iterable that has been used up
        pass
    return found


def data_uri(image: Image.Image) -> str:
    """An RGB image as a WebP data URI."""
    file = io.BytesIO()
    image.save(file, "WEBP", quality=QUALITY, method=4)
    return "data:image/webp;base64," + base64.b64encode(file.getvalue()).decode("ascii")
