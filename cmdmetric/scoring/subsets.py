"""A seeded part of the generated images, with the captions that they belong to."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from cmdmetric.errors import InputError
from cmdmetric.inputs import Captions, ImageSet, Pairing, Subset, position
from cmdmetric.scoring.grouping import are_listed_for, pair_up
from cmdmetric.scoring.side import Side


def drawn_of(
    generated: Sequence[Side | ImageSet], captions: Side | Captions | ImageSet, subset: Subset
) -> tuple[list[ImageSet], Captions]:
    """Draw images that have captions, and take the captions that they belong to.

    An image is known by what its caption belongs to (the name that captions have for it, its place
    in a list, or the caption itself) and by which of the images of that it is. So of two generators
    the images of the same captions are drawn, whatever the files are called. The real images are
    left as they are.

    Args:
        generated: The images of each generator.
        captions: What all of them were made of. Of captions that are encoded already the texts are
            taken, and encoded anew.
        subset: What to draw.

    Raises:
        InputError: What is given does not tell which images belong to which captions before it is
            encoded, fewer images have captions than are wanted, or of several generators images
            of different captions would be drawn.
    """
    texts = captions.texts if isinstance(captions, Side) else captions
    if not isinstance(texts, Captions):
        raise InputError("num draws images with their captions: give the captions as texts")
    drawn: list[ImageSet] = []
    rows: list[int] | None = None
    for images in generated:
        if not isinstance(images, ImageSet) or images.names is None:
            raise InputError(
                f"num draws images by their names, and {images.source} has none before it is "
                "read: give a folder, an archive, an array or a list"
            )
        pairing, by_place = _paired(images, texts)
        if rows is None and by_place:
            texts = _with_places(texts)
        units = _units(pairing, texts, images)
        paired = [i for i, unit in enumerate(units) if unit is not None]
        if len(paired) < subset.num:
            raise InputError(
                f"num is {subset.num:,}, and {len(paired):,} of the {len(units):,} images of "
                f"{images.source} have captions of theirs in {texts.source}"
            )
        chosen = [paired[i] for i in subset.of([units[i] or "" for i in paired])]
        own = sorted({caption for i in chosen for caption in pairing.caption_of[i]})
        if rows is not None and own != rows:
            raise InputError(
                f"num draws images of the same captions, and of {images.source} and "
                f"{drawn[0].source} it would not: one has no image, or fewer, of some of them"
            )
        rows = own
        drawn.append(images.part(chosen, subset.label(len(paired))))
    return drawn, texts.of(rows or [])


def _paired(images: ImageSet, captions: Captions) -> tuple[Pairing, bool]:
    """Which captions belong to which images, and whether their places in a list say so."""
    places = images.places if captions.places is not None else None
    if places is not None and not are_listed_for(captions, len(places), images.source):
        places = None
    pairing = pair_up(images.names, places, captions)
    if pairing is None:
        raise InputError(
            f"num draws images with their captions, and {captions.source} does not tell which "
            f"captions the images of {images.source} belong to"
        )
    return pairing, places is not None


def _with_places(captions: Captions) -> Captions:
    """Captions that are one list, each with its place, which it keeps when others are left out."""
    places = captions.places or ()
    return replace(captions, images=tuple(map(position, places)))


def _units(pairing: Pairing, captions: Captions, images: ImageSet) -> list[str | None]:
    """A key for each image; None for one without a caption."""
    before: Counter[str] = Counter()
    keys: list[str | None] = []
    for own in pairing.caption_of:
        if not own:
            keys.append(None)
            continue
        unit = captions.images[own[0]] or captions.texts[own[0]]
        keys.append(f"{unit}\n{before[unit]}")
        before[unit] += 1
    return keys
