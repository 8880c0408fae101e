"""What an image file is, beside its content: format, size, mode, and traces of how it was made."""

from __future__ import annotations

import hashlib
from typing import NamedTuple, TypeAlias

import numpy as np
from PIL import Image

from cmdmetric.encoders import to_pixels
from cmdmetric.inputs import Failure, ImageItem, ImageSet, prepared
from cmdmetric.progress import progress_bar
from cmdmetric.protocol import Protocol

#: Formats whose usual files lose something.
LOSSY = ("JPEG", "MPO", "WEBP", "AVIF", "JPEG2000")
#: Of so many images of a set JPEG's blocks are looked for.
_BLOCKS = 256
#: Images that wait for their turn while others are looked at.
_LOOKAHEAD = 64
_PNG = b"\x89PNG\r\n\x1a\n"


class ImageFacts(NamedTuple):
    """Facts of one image that can be decoded."""

    name: str
    #: Pillow's name of the file's format; None for arrays.
    form: str | None
    mode: str
    #: In pixels, as stored.
    width: int
    height: int
    #: More than 8 bits a channel.
    deep: bool
    #: Some pixels are not opaque.
    transparent: bool
    #: Every pixel that the encoder gets has one colour.
    blank: bool
    #: sha256 of size, mode and pixels, in hexadecimal.
    digest: str
    #: `blockiness`, where it was asked for and tells.
    blockiness: float | None


#: The facts of the images of a set, and the others: their names, and why they cannot be decoded.
Looked: TypeAlias = tuple[list[ImageFacts], list[tuple[str, str]]]


def look_over(images: ImageSet, protocol: Protocol, progress: bool = False) -> Looked:
    """Decode and look at every image of a set."""
    facts: list[ImageFacts] = []
    failures: list[tuple[str, str]] = []

    def look(number: int, item: ImageItem) -> ImageFacts:
        return facts_of(item, protocol, blocks=number < _BLOCKS)

    with progress_bar(f"looking at {images.source}", images.count, "image", wanted=progress) as bar:
        for _, item, result in prepared(enumerate(images), look, _LOOKAHEAD, images.source):
            bar.update()
            if isinstance(result, Failure):
                failures.append((item.name, result.reason))
            else:
                facts.append(result)
    return facts, failures


def facts_of(item: ImageItem, protocol: Protocol, blocks: bool) -> ImageFacts:
    """Decode an image completely and look at it.

    Raises:
        Exception: Whatever Pillow raises.
    """
    if item.read is None:
        content, image = b"", item.load()
    else:
        content = item.read()
        image = item.parse(content)
    pixels = to_pixels(image, 32, protocol)
    header = f"{image.mode} {image.width} {image.height} ".encode()
    deep = image.mode in ("I", "F") or image.mode.startswith("I;16")
    return ImageFacts(
        name=item.name,
        form=getattr(image, "format", None),
        mode=image.mode,
        width=image.width,
        height=image.height,
        # Pillow reads PNGs of 16 bits a colour as 8; their header tells.
        deep=deep or (content.startswith(_PNG) and content[24:25] == b"\x10"),
        transparent=_transparent(image),
        blank=bool((pixels == pixels[0, 0]).all()) and _one_colour(image),
        digest=hashlib.sha256(header + image.tobytes() + _palette(image)).hexdigest(),
        blockiness=blockiness(image) if blocks else None,
    )


def _palette(image: Image.Image) -> bytes:
    return image.palette.tobytes() if image.mode in ("P", "PA") and image.palette else b""


def _one_colour(image: Image.Image) -> bool:
    extremes = image.getextrema()
    bands = extremes if isinstance(extremes[0], tuple) else (extremes,)
    return all(low == high for low, high in bands)


def _transparent(image: Image.Image) -> bool:
    if not image.has_transparency_data:
        return False
    plain = image.convert({"La": "LA", "RGBa": "RGBA"}.get(image.mode, image.mode))
    low, _ = plain.convert("RGBA").getchannel("A").getextrema()
    return bool(low < 255)  # type: ignore[operator]


def blockiness(image: Image.Image) -> float | None:
    """How much larger the steps across the borders of JPEG's 8x8 blocks are than those beside.

    1 without JPEG; about 1.05 at quality 90, 1.2 at 75, also after the file became a PNG; 1 again
    once the image was resized. None for images too small or too smooth to tell.
    """
    grey = np.asarray(image.convert("L")).astype(np.int16)
    if min(grey.shape) < 64:
        return None
    ratios = []
    for rows in (grey, grey.T):
        steps = np.abs(np.diff(rows, axis=1)).mean(axis=0)
        count = (len(steps) - 1) // 8
        across = steps[7::8][:count].mean()
        beside = (steps[6::8][:count].mean() + steps[8::8][:count].mean()) / 2
        if beside < 0.5:  # levels: drawings have edges anywhere
            return None
        ratios.append(float(across / beside))
    return sum(ratios) / 2
