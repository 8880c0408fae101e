"""The images in sets of tar shards: see `cmdmetric.inputs.tars`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from itertools import chain

from cmdmetric.files import read_ahead
from cmdmetric.inputs.archives import member_item
from cmdmetric.inputs.endings import is_image_name
from cmdmetric.inputs.image_set import ImageItem, ImageSet, image_names
from cmdmetric.inputs.tars import damage_told, labels_of, tar_members

#: Images whose bytes wait while others are decoded and encoded.
AHEAD = 64


def open_tars(source: str, tars: Sequence[str]) -> ImageSet:
    """The images of tars, tar by tar in their own order."""
    labels = labels_of(tars)
    parts = [
        ImageSet(tar, partial(_images, tar, label)) for tar, label in zip(tars, labels, strict=True)
    ]

    def items() -> Iterator[ImageItem]:
        empty = True
        for item in chain.from_iterable(parts):
            empty = False
            yield item
        if empty:
            image_names(source, (member for tar in tars for member in _names(tar)))

    return ImageSet(source, items, parts=parts)


def _images(tar: str, label: str) -> Iterator[ImageItem]:
    def items() -> Iterator[ImageItem]:
        for archive, member in tar_members(tar):
            if is_image_name(member.name):
                with damage_told(tar):
                    item = member_item(archive, member, label + member.name, tar)
                yield item

    return read_ahead(items(), AHEAD)


def _names(tar: str) -> Iterator[str]:
    for _, member in tar_members(tar):
        yield member.name
