"""The inputs of a score, looked up before any network is built: a wrong path is told at once."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path, PurePath
from typing import Literal, TypeAlias

from cmdmetric.errors import InputError
from cmdmetric.inputs import (
    CAPTION_ENDINGS,
    Captions,
    Columns,
    ImageSet,
    find_file,
    open_images,
    read_captions,
    refuse_adm_reference,
)
from cmdmetric.scoring.references import COCO2014_VAL
from cmdmetric.scoring.side import Side, Source
from cmdmetric.scoring.stored_sets import read_stored
from cmdmetric.terminal import counted

#: The generated images, the real ones and the captions of a score, looked up but not yet encoded.
Opened: TypeAlias = tuple[Side | ImageSet, Side | ImageSet, Side | Captions]
_ADVICE = (
    "Name the real side: --real PATH (a folder, an archive, a moments .npz) or --real "
    f"{COCO2014_VAL.name} (in Python: real=...)"
)


def open_image_side(source: Source, columns: Columns | None = None) -> Side | ImageSet:
    """A set of images as the user has it, looked up but not yet encoded."""
    refuse_adm_reference(source)
    return read_stored(source, "image") or open_images(source, **_named(columns))


def open_text_side(source: Source, columns: Columns | None = None) -> Side | Captions:
    """A set of captions as the user has it, read but not yet encoded."""
    return read_stored(source, "text") or read_captions(source, **_named(columns))


def _named(columns: Columns | None) -> dict[str, str | None]:
    columns = columns or Columns()
    return {"caption_column": columns.caption, "image_column": columns.image}


def side_of(source: Source) -> Literal["image", "text"]:
    """What a source holds, by the ending of its name."""
    ending = Path(source).suffix.lower() if isinstance(source, (str, os.PathLike)) else ""
    return "text" if ending in CAPTION_ENDINGS else "image"


def open_sides(
    generated: Sequence[Source],
    captions: Source | None,
    real: Source | None,
    columns: Columns | None = None,
) -> tuple[list[Side | ImageSet], Side | ImageSet, Side | Captions | ImageSet]:
    """The inputs, looked up before any network is built: a wrong path is told at once.

    Args:
        generated: The generated images of each generator.
        captions: The captions; None for those that come along with the first generator's images.
        real: The real images; None for those that the captions lead to.
        columns: Where images and captions stand in records and tables.

    Returns:
        Generated images, real images and captions; in the place of captions that come along the
        images that they come with, since they are known when these have been read.
    """
    opened_l: Side | Captions | ImageSet
    try:
        opened_f = [open_image_side(source, columns) for source in generated]
        first = opened_f[0]
        if captions is not None and captions is not generated[0]:
            opened_l = open_text_side(captions, columns)
        elif isinstance(first, ImageSet) and first.along is not None:
            opened_l = first
        else:
            opened_l = open_text_side(generated[0], columns)
    except InputError as error:
        if captions is not None and (side_of(generated[0]), side_of(captions)) == ("text", "image"):
            raise InputError(
                f"{error}. Are two arguments swapped? The generated images come first, then the "
                "captions"
            ) from None
        raise
    if real is not None:
        return opened_f, open_image_side(real, columns), opened_l
    if isinstance(opened_l, ImageSet):
        raise InputError(f"no real side: {opened_l.source} leads to no real images. {_ADVICE}")
    return opened_f, find_real(opened_l, first), opened_l


def find_real(
    captions: Side | Captions, generated: Side | ImageSet | None = None
) -> Side | ImageSet:
    """The real side where none is named: what the captions lead to.

    That is the images that the captions name, where they lie beside the captions' file, in its
    folder or below it, or in the same tars or table; else the `coco2014-val` reference where the
    captions are MS-COCO's val2014, or its own. Images that captions name by absolute paths or
    outside that folder are not taken: tools name generated images so.

    Args:
        captions: The captions.
        generated: The generated images, which are no real ones; None where they are yet to come.

    Raises:
        InputError: There is neither.
    """
    if isinstance(captions, Side):
        if captions.reference:
            return open_image_side(captions.reference)
        raise InputError(f"{captions.source} leads to no real images. {_ADVICE}")
    if captions.archive and (generated is None or captions.archive != generated.source):
        return open_images(captions.archive)
    beside = _images_beside(captions)
    if beside and (generated is None or not _are_generated(beside, generated)):
        images = open_images(beside)
        images.source = f"the images that {captions.source} names"
        return images
    if captions.is_coco_val2014:
        return open_image_side(COCO2014_VAL.name)
    if beside:
        raise InputError(
            f"the images that {captions.source} names are the generated ones themselves. {_ADVICE}"
        )
    named = len(captions.image_names)
    reason = (
        f"names {counted(named, 'image')}, but none lies beside it" if named else "names no images"
    )
    if any(map(_leads_elsewhere, captions.image_names)):
        reason += " (paths that are absolute or lead out of its folder are not taken by themselves)"
    raise InputError(f"no real side: {captions.source} {reason}. {_ADVICE}")


def _images_beside(captions: Captions) -> list[Path]:
    """The images that captions name in the folder of their file, or below it."""
    folder = captions.folder
    if folder is None:
        return []
    inside = (name for name in captions.image_names if not _leads_elsewhere(name))
    return [path for name in inside if (path := find_file(folder, name)) is not None]


def _leads_elsewhere(name: str) -> bool:
    path = PurePath(name)
    return path.is_absolute() or ".." in path.parts


def _are_generated(paths: list[Path], generated: Side | ImageSet) -> bool:
    """Whether all of them are generated images: captions may be kept beside those."""
    folder = Path(generated.source).resolve()
    if all(folder in path.resolve().parents for path in paths):
        return True
    files = generated.files if isinstance(generated, ImageSet) else None
    places = {os.path.realpath(file[0]) for file in files or () if file is not None}
    return all(os.path.realpath(path) in places for path in paths)
