"""What was drawn together: an image and its captions, and the images of several sides by them."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from cmdmetric.errors import InputError
from cmdmetric.inputs import Captions, Pairing, pair, pair_by_place, pair_by_text, places_of
from cmdmetric.scoring.side import Side
from cmdmetric.uncertainty import Sample, SideLike, groups_of_images

#: The groups of image sides and of captions (`cmdmetric.uncertainty.draws.Drawn`).
DrawnTogether: TypeAlias = tuple[Sequence[NDArray[Any] | None], NDArray[Any] | None]


def pairing_of(images: Side, captions: Side) -> Pairing | None:
    """Which image each caption belongs to: by the images' names, or their places in a list."""
    return None if captions.texts is None else pair_up(images.names, images.places, captions.texts)


def pair_up(
    names: tuple[str, ...] | None, places: tuple[int, ...] | None, captions: Captions
) -> Pairing | None:
    """Pair images with captions by their names, or by their places in a list; None for neither."""
    if places is not None and captions.places is not None:
        return _paired(pair_by_place, places, captions.places)
    if names is None:
        return None
    if not captions.image_names:
        by_text = _paired(pair_by_text, names, captions.texts)
        return by_text if any(by_text.caption_of) else None
    # Captions with places belong to the list that they were given for, and to no other.
    return _paired(pair, names, captions.images) if captions.places is None else None


@functools.lru_cache(maxsize=2)
def _paired(
    how: Callable[..., Pairing], images: tuple[Any, ...], captions: tuple[Any, ...]
) -> Pairing:
    """What `how` says of images and captions: everything about two image sides asks it anew."""
    return how(images, captions)


def with_places(images: Side, captions: Captions) -> Side:
    """Give images of a list their places, where captions are listed for them.

    Captions that are one list pair where they are as many as the images, whose order is the user's
    own; captions that are named by places, or listed for each image, always do.

    Raises:
        InputError: Captions are listed for more images than there are.
    """
    places = None if captions.places is None else _places_of(images)
    if places is None:
        return images
    if images.drawn is None:  # else that was asked of the whole set
        total = len(places) + len(images.skipped)
        if not are_listed_for(captions, total, images.source):
            return images
    return replace(images, places=places)


def are_listed_for(captions: Captions, total: int, source: str) -> bool:
    """Whether captions with places are those of a list of so many images.

    Raises:
        InputError: They are listed for more images than there are.
    """
    wanted = max(captions.places or (-1,)) + 1
    if total != wanted and not captions.image_names:
        return False
    if total < wanted:
        raise InputError(
            f"{captions.source} lists captions of {wanted:,} images, and {source} has {total:,}"
        )
    return True


def _places_of(images: Side) -> tuple[int, ...] | None:
    """Tell the places of images that came in an order of the user's own; None for others."""
    opened, names = images.images, images.names
    if names is None:  # rows of features alone
        return tuple(range(images.moments.n or 0)) if images.has_features else None
    if (places := places_of(names)) is not None:
        return places
    if opened is None or not opened.ordered:
        return None
    if not images.skipped:
        return opened.places or tuple(range(len(names)))
    place_of = dict(zip(opened.names or (), opened.places or (), strict=True))
    return tuple(map(place_of.__getitem__, names)) if len(place_of) == opened.count else None


def _groups(
    pairings: Sequence[Pairing | None],
    l: Side,
) -> DrawnTogether:
    """What was drawn together, of image sides and of captions: an image and its captions."""
    if l.texts is None:
        return [None] * len(pairings), None
    prompts, count = l.texts.prompts, len(pairings)
    of_images = [_groups_of(pairing, prompts, i, count) for i, pairing in enumerate(pairings)]
    return of_images, np.array(prompts, int)[list(l.kept)]


def drawn_together(
    of_f: Pairing | None,
    r: Side,
    l: Side,
    real_captions: Side | None = None,
) -> DrawnTogether:
    """What was drawn together of generated images, real images and captions.

    of_f is the pairing of the generated images with the captions, where there is one.
    real_captions tell it of real images that `l` does not name: images were then painted from
    captions that read like those of a real image.
    """
    of_real = pairing_of(r, l)
    named = of_real is not None and any(of_real.caption_of)
    if named or l.texts is None or real_captions is None or real_captions.texts is None:
        return _groups([of_f, of_real], l)
    real = real_captions.texts
    prompts = l.texts.prompts_of(real)
    of_images = [
        _groups_of(of_f, prompts, 0, 2),
        _groups_of(pairing_of(r, real_captions), real.prompts, 1, 2),
    ]
    return of_images, np.array(prompts, int)[list(l.kept)]


def _groups_of(
    pairing: Pairing | None, prompts: Sequence[int], side: int, sides: int
) -> NDArray[np.int_] | None:
    """The groups of the images of one of several sides; None where none has a caption."""
    if pairing is None or not any(pairing.caption_of):
        return None
    groups = groups_of_images(pairing.caption_of, prompts)
    # Unpaired images are numbered from -1 down: those of two sides must not meet.
    return np.where(groups < 0, (groups + 1) * sides - 1 - side, groups)


def caption_rows(images: Side, l: Side) -> list[list[int]]:
    """Find each image's own captions.

    Returns:
        For every image the rows of its captions among the features of `l`; without any where none
        has a word in it, or where images and captions are not paired by name.
    """
    pairing = pairing_of(images, l)
    if pairing is None:
        return [[] for _ in range(images.moments.n or 0)]
    row_of = {caption: row for row, caption in enumerate(l.kept)}
    return [[row_of[c] for c in own if c in row_of] for own in pairing.caption_of]


def caption_texts(images: Side, l: Side) -> list[tuple[str, ...]]:
    """Give each image's own captions as they are written."""
    pairing = pairing_of(images, l)
    if pairing is None or l.texts is None:
        return [()] * (images.moments.n or 0)
    return [tuple(l.texts.texts[c] for c in own) for own in pairing.caption_of]


def groups_of(images: Sequence[Side], l: Side) -> list[NDArray[Any] | None]:
    """What was drawn together, of several image sides: images of the same captions."""
    return list(_groups([pairing_of(side, l) for side in images], l)[0])


def as_samples(
    images: Sequence[Side],
    l: Side,
) -> tuple[list[SideLike], SideLike]:
    """Image sides and captions with what was drawn together; without features their moments."""
    groups, of_captions = _groups([pairing_of(side, l) for side in images], l)
    samples = [as_sample(side, own) for side, own in zip(images, groups, strict=True)]
    return samples, as_sample(l, of_captions)


def as_sample(side: Side, groups: NDArray[Any] | None) -> SideLike:
    """Make a sample of a side's features, or take its moments where it has none."""
    if side.features is None:
        return side.moments
    return Sample(side.features, groups, side.moments)
