"""Images that captions name, and images in the cells of tables."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from cmdmetric.errors import InputError
from cmdmetric.files import remote
from cmdmetric.inputs.archives import bytes_item
from cmdmetric.inputs.arrays import item_of
from cmdmetric.inputs.captions import Captions
from cmdmetric.inputs.image_set import ImageItem, ImageSet, file_item
from cmdmetric.inputs.layouts.columns import Columns
from cmdmetric.inputs.layouts.tables import Table
from cmdmetric.inputs.places import find_file
from cmdmetric.terminal import counted


def open_named(captions: Captions) -> ImageSet:
    """The images that captions name, each once, in the order of first mention.

    Relative names lead from the folder of the captions' file. A file that is not there counts as an
    image that cannot be decoded; it is not left out.

    Raises:
        InputError: The captions name no images, or none that is there.
    """
    source, names = captions.source, captions.image_names
    if not names or None in captions.images:
        unnamed = captions.images.count(None)
        raise InputError(
            f"{source}: {unnamed:,} of its {len(captions):,} captions name no image, so it holds "
            "no set of images"
        )
    _refuse_urls(source, names)
    root = captions.folder or Path()
    places = {name: find_file(root, name) for name in names}
    if not any(places.values()):
        raise InputError(
            f"{source}: it names {counted(len(names), 'image')}, but there is no file "
            f"{root / names[0]}"
        )
    files = [(str((places[name] or root / name).absolute()), "") for name in names]

    def items() -> Iterator[ImageItem]:
        for name, (path, _) in zip(names, files, strict=True):
            yield file_item(name, path)

    return ImageSet(source, items, names, files=lambda: files)


def _refuse_urls(source: str, names: Sequence[str]) -> None:
    """Raise InputError for images that lie on the Web, one by one."""
    if any(map(remote.is_url, names)):
        raise InputError(
            f"{source}: it names images by URLs; download them first, with img2dataset for one"
        )


def open_cells(table: Table, columns: Columns) -> ImageSet:
    """The images of a table, a row each, named by their path or their place.

    Raises:
        InputError: No column holds images, or a row has none.
    """
    names = table.image_names(columns)
    _refuse_urls(table.source, names)

    def items() -> Iterator[ImageItem]:
        for name, cell in zip(names, table.images(columns), strict=True):
            yield _item(name, cell, table)

    return ImageSet(table.source, items, names, ordered=True)


def _item(name: str, cell: Any, table: Table) -> ImageItem:
    if isinstance(cell, Mapping):  # as Hugging Face's datasets store it
        cell = cell.get("bytes") or cell.get("path")
    if isinstance(cell, bytes):
        return bytes_item(name, lambda: cell)
    if isinstance(cell, str):
        folder = table.folder or Path()
        return file_item(name, str(find_file(folder, cell) or folder / cell))
    if cell is None:
        raise InputError(f"{table.source}: the row of image {name} has no image")
    return item_of(cell, name, f"{table.source}: the image {name}")
