"""What a set is, beside what a network makes of it: digests of samples, and sizes of images.

A sample's digest is 16 bytes of BLAKE2b. That of a set is the sum of its samples' modulo 2^128
(Bellare and Micciancio 1997, "AdHash"): the order does not matter, and shards add up to the set.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from typing import ClassVar

import numpy as np
import PIL
from numpy.typing import NDArray
from PIL import Image

from cmdmetric.cache import Space
from cmdmetric.files import blocks_of

#: Bytes of a digest.
DIGEST_SIZE = 16
#: Digests (k, 16) uint8 whose sum is that of a set: a row a sample, or what shards add up to.
Contents = NDArray[np.uint8]
#: How images look (n, 4) uint16: width, height, JPEG quality or 0, and texture in thousandths: how
#: many neighbours among 64x64 samples of an image differ by more than 6 levels of grey.
Looks = NDArray[np.uint16]
#: The side of the grid on which texture is measured, and the levels of grey that are no difference.
_GRID, _LEVELS = 64, 6
#: The sum of the standard's table of brightness.
_ANNEX_K = 3688
#: The largest side that is recorded.
_MOST = 65535
#: Modes of 8 bits a colour or less, which show the same pixels as RGB or RGBA.
_PLAIN = ("1", "L", "LA", "P", "PA", "RGB", "RGBA")


def digests_of(values: Iterable[bytes]) -> Contents:
    """The digests (n, 16) of samples whose content is these bytes."""
    rows = b"".join(hashlib.blake2b(value, digest_size=DIGEST_SIZE).digest() for value in values)
    return np.frombuffer(rows, np.uint8).reshape(-1, DIGEST_SIZE)


def digests_of_rows(features: NDArray[np.generic]) -> Contents:
    """The digests (n, 16) of features (n, d) as they were given, in little-endian float64."""
    blocks = (block.astype("<f8") for block in blocks_of(features))
    return digests_of(row.tobytes() for block in blocks for row in block)


def digest_of_set(contents: Contents) -> str:
    """The digest of a set in 32 hexadecimal digits."""
    total = 0  # byte by byte, the highest first: columns are summed at once
    for column in contents.sum(axis=0, dtype=np.uint64).tolist():
        total = (total << 8) + column
    total %= 1 << 8 * DIGEST_SIZE
    return f"{total:0{2 * DIGEST_SIZE}x}"


def summed(contents: Contents) -> Contents:
    """The same in one row (1, 16), for a file that keeps no sample apart."""
    return np.frombuffer(bytes.fromhex(digest_of_set(contents)), np.uint8)[None]


class ImageRecords:
    """An `ImageNetwork` that sees what an image is: its digest, and how it looks.

    Beside a network that looks at the same images in the same pass it decodes nothing, and the
    cache knows what it has seen like any features. Files of one picture have one digest, whatever
    their format, as long as that loses nothing.
    """

    #: Images at once: it changes nothing.
    batch_size = 32
    #: It has no weights.
    sha256 = ""
    #: No metric is made of its records.
    fields: ClassVar[Mapping[str, str]] = {}

    @property
    def space(self) -> Space:
        """Pillow's version counts: it decodes."""
        return Space("digests of images", what="image record", form=2, pillow=PIL.__version__)

    def prepare(self, image: Image.Image) -> NDArray[np.uint8]:
        """The record of a decoded image, as bytes: (24,)."""
        quality = jpeg_quality(image)
        image.load()  # which of some files decides on the mode
        mode = "RGBA" if image.has_transparency_data else "RGB"
        if image.mode in _PLAIN and image.mode != mode:
            image = image.convert(mode)
        header = f"{image.mode} {image.width} {image.height}\n".encode()
        (digest,) = digests_of([header + image.tobytes()])
        sizes = min(image.width, _MOST), min(image.height, _MOST)
        looks = np.array([*sizes, quality, _texture(image)])
        return np.concatenate([digest, looks.astype("<u2").view(np.uint8)])

    def encode(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Records (n, 24) as features."""
        return pixels.astype(np.float32)

    def provenance(self, source: str) -> None:
        """None: these features are no moments of anything."""


def split_records(records: NDArray[np.float32]) -> tuple[Contents, Looks]:
    """What `ImageRecords` gives (n, 24), as digests and looks."""
    rows = records.astype(np.uint8)
    looks: Looks = np.ascontiguousarray(rows[:, DIGEST_SIZE:]).view("<u2").astype(np.uint16)
    return np.ascontiguousarray(rows[:, :DIGEST_SIZE]), looks


def _texture(image: Image.Image) -> int:
    """How many neighbours on a grid of samples differ visibly, in thousandths.

    Of a photograph it is about half, of drawings with flat colours less than a tenth, at any size.
    """
    sampled = image.resize((_GRID, _GRID), Image.Resampling.NEAREST).convert("L")
    grey = np.asarray(sampled, np.int16)
    steps = grey[1:] - grey[:-1], grey[:, 1:] - grey[:, :-1]
    down, across = (np.count_nonzero(np.abs(step) > _LEVELS) / step.size for step in steps)
    return round(1000 * (down + across) / 2)


def jpeg_quality(image: Image.Image) -> int:
    """The quality, 1 to 100, that a JPEG was saved with by libjpeg's scale; 0 for other images.

    It is read off the table of the brightness, whose sum at quality 50 is that of the example in
    Annex K of the standard (ITU-T T.81).
    """
    tables = getattr(image, "quantization", None)
    if not tables or 0 not in tables:
        return 0
    scale = 100 * sum(tables[0]) / _ANNEX_K
    quality = (200 - scale) / 2 if scale <= 100 else 5000 / scale
    return min(100, max(1, round(quality)))
