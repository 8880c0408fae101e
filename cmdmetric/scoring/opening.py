"""The inputs of a score, looked up before any network is built: a wrong path is told at once."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, TypeAlias

from cmdmetric.errors import InputError
from cmdmetric.inputs import CAPTION_ENDINGS, Captions, ImageSet, open_images, read_captions
from cmdmetric.scoring.references import COCO2014_VAL
from cmdmetric.scoring.side import Side, Source
from cmdmetric.scoring.stored_sets import read_stored

#: The generated images, the real ones and the captions of a score, looked up but not yet encoded.
Opened: TypeAlias = tuple[Side | ImageSet, Side | ImageSet, Side | Captions]


def open_image_side(source: Source) -> Side | ImageSet:
    """A set of images as the user has it, looked up but not yet encoded."""
    return read_stored(source, "image") or open_images(source)


def open_text_side(source: Source) -> Side | Captions:
    """A set of captions as the user has it, read but not yet encoded."""
    return read_stored(source, "text") or read_captions(source)


def side_of(source: Source) -> Literal["image", "text"]:
    """What a source holds, by the ending of its name."""
    ending = Path(source).suffix.lower() if isinstance(source, (str, os.PathLike)) else ""
    return "text" if ending in CAPTION_ENDINGS else "image"


def open_sides(
    generated: Sequence[Source], captions: Source, real: Source | None
) -> tuple[list[Side | ImageSet], Side | ImageSet, Side | Captions]:
    """The inputs, looked up before any network is built: a wrong path is told at once."""
    opened_f = [open_image_side(source) for source in generated]
    opened_l = open_text_side(captions)
    opened_r = find_real(opened_l, opened_f[0]) if real is None else open_image_side(real)
    return opened_f, opened_r, opened_l


def find_real(captions: Side | Captions, generated: Side | ImageSet) -> Side | ImageSet:
    """The real side where none is named: what the captions lead to.

    That is the images that the captions name, where they lie beside the captions' file or in the
    same tars; else
    the `coco2014-val` reference where the captions are MS-COCO's val2014, or its own. Raises
    InputError where there is neither.
    """
    advice = (
        "Name the real side: --real PATH (a folder, an archive, a moments .npz) or --real "
        f"{COCO2014_VAL.name} (in Python: real=...)"
    )
    if isinstance(captions, Side):
        if captions.reference:
            return open_image_side(captions.reference)
        raise InputError(f"{captions.source} leads to no real images. {advice}")
    if captions.archive and captions.archive != generated.source:
        return open_images(captions.archive)
    beside = _images_beside(captions)
    if beside and not _are_generated(beside, generated):
        images = open_images(beside)
        images.source = f"the images that {captions.source} names"
        return images
    if captions.is_coco_val2014:
        return open_image_side(COCO2014_VAL.name)
    if beside:
        raise InputError(
            f"the images that {captions.source} names are the generated ones themselves. {advice}"
        )
    named = len(captions.image_names)
    reason = f"names {named} images, but none lies beside it" if named else "names no images"
    raise InputError(f"no real side: {captions.source} {reason}. {advice}")


def _images_beside(captions: Captions) -> list[Path]:
    if captions.folder is None:
        return []
    paths = (captions.folder / name for name in captions.image_names)
    return [path for path in paths if path.is_file()]


def _are_generated(paths: list[Path], generated: Side | ImageSet) -> bool:
    """Whether all of them lie in the generated folder: captions may be kept beside the images."""
    folder = Path(generated.source).resolve()
    return all(folder in path.resolve().parents for path in paths)
