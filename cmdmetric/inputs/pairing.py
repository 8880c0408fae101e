"""Which captions belong to which images, by their names."""

from __future__ import annotations

import re
import unicodedata
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from cmdmetric.inputs.endings import IMAGE_ENDINGS

_ENDINGS = tuple(IMAGE_ENDINGS)
#: What T2I-CompBench writes behind the prompt that an image is named by.
_COUNTED = re.compile(r"_[0-9]+$")
#: What the released sampling codes of GR-GAN and DM-GAN add to the name of the real image.
_SAMPLE = re.compile(r"_s-1(?:_[0-9]+)?$")


@dataclass(frozen=True)
class Pairing:
    """Images and captions by their positions.

    Args:
        caption_of: for each image, its captions (none if it was not paired).
        unpaired_images: images without a caption, ascending.
        unpaired_captions: captions without an image, ascending.
    """

    caption_of: tuple[tuple[int, ...], ...]
    unpaired_images: tuple[int, ...]
    unpaired_captions: tuple[int, ...]


def has_image_ending(name: Any) -> bool:
    """Whether it is a name that ends like one of an image file.

    >>> has_image_ending("a/cat.JPG"), has_image_ending("a cat.")
    (True, False)
    """
    if not isinstance(name, str) or not name.lower().endswith(_ENDINGS):  # most captions
        return False
    return _without_ending(_base(name)) != _base(name)


def _composed(name: str) -> str:
    """A name in one normal form: macOS and some archives store letters and accents apart."""
    return name if name.isascii() else unicodedata.normalize("NFC", name)


def _base(name: str) -> str:
    return name.replace("\\", "/").rpartition("/")[2]


def _without_ending(name: str) -> str:
    stem, _, ending = name.rpartition(".")
    return stem if stem and f".{ending.lower()}" in IMAGE_ENDINGS else name


def _unsampled(stem: str) -> str:
    return _SAMPLE.sub("", stem) if "_s-1" in stem else stem


def _number(stem: str) -> str:
    """COCO_val2014_000000318219 -> "318219": the digits that the stem ends with, or "".

    "#7" is a place in an array, not a name that ends in a number.
    """
    if stem.startswith("#"):
        return ""
    digits = stem[len(stem.rstrip("0123456789")) :]
    return digits.lstrip("0") or digits[:1]


def _identity(name: str) -> str:
    """Equal for the passes of one released sample (x_s-1_0.png, x_s-1_1.png), else the name."""
    whole = _without_ending(name)
    stem = _unsampled(whole)
    return name if stem == whole else stem


def pair(image_names: Sequence[str], caption_images: Sequence[str | None]) -> Pairing:
    """Pairs images with captions by the images' names.

    caption_images are the images' names that captions have, one for each caption, or None: see
    `cmdmetric.inputs.Captions.images`.

    The first of these that agrees: the whole name; that in Unicode's composed form; its last part;
    that without ending; that without what released GR-GAN and DM-GAN samples add (`_s-1`,
    `_s-1_<pass>`); the number at its end, where one side is that number alone
    (COCO_val2014_000000318219 and 318219). Numbers count only if they pair at least half of the
    smaller side: images numbered 0, 1, 2, ... meet ids by chance. A name that could mean two
    images, or two captioned names, pairs with none; several passes over one caption all pair with
    it.

    >>> pair(["dog.png", "cat_s-1.png", "cow.png"], ["cat.jpg", "dog.jpg", "bird.jpg"])
    Pairing(caption_of=((1,), (0,), ()), unpaired_images=(2,), unpaired_captions=(2,))
    """
    indices: dict[str, list[int]] = defaultdict(list)
    for index, name in enumerate(caption_images):
        if name is not None:
            indices[name].append(index)
    found: dict[int, str] = {}
    # What is left of either side, with the keys that the names have been reduced to.
    images = dict(enumerate(image_names))
    named = {name: name for name in indices}
    for reduce_image, reduce_caption in (
        (str, str),
        (_composed, _composed),
        (_base, _base),
        (_without_ending, _without_ending),
        (_unsampled, str),
        (_number, _number),
    ):
        stems = images, named
        images = {index: reduce_image(key) for index, key in images.items()}
        named = {name: reduce_caption(key) for name, key in named.items()}
        agreed = _agree(images, named, image_names)
        if reduce_image is _number:
            agreed = _plausible(agreed, *stems, min(_distinct(images), _distinct(named)))
        found |= agreed
        for index, name in agreed.items():
            del images[index]
            named.pop(name, None)
        if not images or not named:
            break
    caption_of = tuple(
        tuple(indices[found[i]]) if i in found else () for i in range(len(image_names))
    )
    return _paired(caption_of, len(caption_images))


def pair_by_place(image_places: Sequence[int], caption_places: Sequence[int]) -> Pairing:
    """Pairs images and captions of lists in one order: those of the same place.

    >>> pair_by_place([0, 2], [0, 0, 1])
    Pairing(caption_of=((0, 1), ()), unpaired_images=(1,), unpaired_captions=(2,))
    """
    captions_at: dict[int, list[int]] = defaultdict(list)
    for index, place in enumerate(caption_places):
        captions_at[place].append(index)
    caption_of = tuple(tuple(captions_at.get(place, ())) for place in image_places)
    return _paired(caption_of, len(caption_places))


def pair_by_text(image_names: Sequence[str], texts: Sequence[str]) -> Pairing:
    """Pairs images with the captions that they are named by, but for an ending and a number.

    That counts only where it pairs at least half of the images: a prompt may be "42" by chance.

    >>> pair_by_text(["samples/a red book_000003.png"], ["a cat", "a red book"])
    Pairing(caption_of=((1,),), unpaired_images=(), unpaired_captions=(0,))
    """
    named: dict[str, list[int]] = defaultdict(list)
    for index, text in enumerate(texts):
        named[_composed(text)].append(index)
    stems = (_without_ending(_base(_composed(name))) for name in image_names)
    caption_of = tuple(
        tuple(named.get(stem, named.get(_COUNTED.sub("", stem), []))) for stem in stems
    )
    if 2 * sum(map(bool, caption_of)) < len(caption_of):
        caption_of = ((),) * len(caption_of)
    return _paired(caption_of, len(texts))


def _paired(caption_of: tuple[tuple[int, ...], ...], captions: int) -> Pairing:
    used = {index for group in caption_of for index in group}
    return Pairing(
        caption_of,
        tuple(i for i, group in enumerate(caption_of) if not group),
        tuple(i for i in range(captions) if i not in used),
    )


def _agree(
    images: dict[int, str], named: dict[str, str], image_names: Sequence[str]
) -> dict[int, str]:
    """Image -> captioned name where both have the same key and nothing else has it."""
    name_of: dict[str, str] = {}
    ambiguous = {""}
    for name, key in named.items():
        if name_of.setdefault(key, name) is not name:
            ambiguous.add(key)
    first: dict[str, str] = {}
    for index, key in images.items():
        image = image_names[index]
        other = first.setdefault(key, image)
        if other != image and _identity(other) != _identity(image):
            ambiguous.add(key)
    return {
        index: name_of[key]
        for index, key in images.items()
        if key in name_of and key not in ambiguous
    }


def _plausible(
    agreed: dict[int, str], image_stems: dict[int, str], name_stems: dict[str, str], possible: int
) -> dict[int, str]:
    """Of pairs by number, those with the bare number on one side, unless they are too few."""
    kept = {
        index: name
        for index, name in agreed.items()
        if image_stems[index].isdecimal() or name_stems[name].isdecimal()
    }
    return kept if 2 * len(set(kept.values())) >= possible else {}


def _distinct(keys: dict[Any, str]) -> int:
    return len(set(keys.values()) - {""})
