"""Images from any form that users have them in, as one type: an `ImageSet`."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from PIL import Image

from cmdmetric.errors import InputError
from cmdmetric.files import expanded, missing, named_path, natural_sorted, remote
from cmdmetric.inputs import archives, arrays
from cmdmetric.inputs.captions import Captions, read_captions
from cmdmetric.inputs.endings import TAR_ENDINGS, formats
from cmdmetric.inputs.image_set import (
    ImageItem,
    ImageSet,
    describe_failure,
    file_item,
    image_names,
)
from cmdmetric.inputs.layouts.columns import Columns
from cmdmetric.inputs.layouts.tables import as_table, is_table_file, open_table
from cmdmetric.inputs.layouts.values import records_by_column, refuse_set
from cmdmetric.inputs.named_images import open_cells, open_named
from cmdmetric.inputs.places import named
from cmdmetric.inputs.remote_images import open_url
from cmdmetric.inputs.tar_images import open_tars
from cmdmetric.inputs.tars import find_tars

__all__ = ["ImageItem", "ImageSet", "describe_failure", "open_images"]


#: Files that name images rather than hold them.
_NAMING = (".json", ".jsonl", ".ndjson", ".csv", ".tsv")


def open_images(
    source: Any, *, caption_column: str | None = None, image_column: str | None = None
) -> ImageSet:
    """The images of anything that holds images. Nothing is decoded, nothing is written to disk.

    - A folder: recursive; every ending that Pillow decodes, in any case; hidden files and
      `__MACOSX` left out; a folder that links lead to twice is read once. Natural order.
    - A glob pattern, with `**` for folders of any depth. The same files count.
    - An image file.
    - `.zip`, `.tar`, `.tar.gz` (`.tgz`), `.tar.bz2`, `.tar.xz`: the same rules. Natural order,
      but compressed tars, which can only be read forwards, in their own.
    - Tars in WebDataset's layout: a pattern with braces or a glob, `shards-{000..009}.tar`; read
      forwards, tar by tar, and what is in them is only known then.
    - A URL of a folder, a pattern, an image, a zip or tars: s3://, gs://, hf://, https:// and what
      else fsspec knows. file:// is a path.
    - `.npy`, `.npz` (its key `images`, else `arr_0`, else its first); numpy arrays, torch tensors:
      uint8, (N, H, W, C) or (N, C, H, W) with C one of 1, 3, 4, or (N, H, W) of greys.
    - A list or tuple of paths, PIL images or arrays.
    - A torch Dataset or DataLoader, or any iterable, of images or batches of them; of tuples
      (and of the lists and dictionaries that DataLoaders collate) the first member, or the one
      under "image" or "images", counts.
    - A dictionary `{name: image}`.
    - What names its images: a `.json`, `.jsonl`, `.csv` or `.tsv` of records or a mapping, as
      `cmdmetric.inputs.captions.read_captions` reads it, or such values. Relative names lead from
      the file's folder.
    - A table with a column of images or of their paths: `.parquet`, `.arrow`, a folder of Hugging
      Face's `save_to_disk`, a Dataset, a DataFrame, an Arrow table.
    - An ImageSet: itself.

    Overviews that GenEval and T2I-CompBench write beside `samples/` are left out, with a warning.

    Args:
        source: Any of these.
        caption_column: The column of the captions, where records might have them in several.
        image_column: The column of the images, or of their names, where it is another than
            `cmdmetric.inputs.layouts.columns.IMAGE_KEYS` lists.

    Raises:
        InputError: There is nothing there, or no image in it; an array is not uint8 or its axes are
            ambiguous; a name is empty.
    """
    if isinstance(source, ImageSet):
        return source
    columns = Columns(caption_column, image_column)

    def open_naming() -> ImageSet:
        return open_named(
            read_captions(source, caption_column=caption_column, image_column=image_column)
        )

    if not isinstance(source, (str, os.PathLike)):
        if (table := as_table(source)) is not None:
            return open_cells(table, columns)
        if isinstance(source, Captions):
            return open_named(source)
        refuse_set(source, "images")
        if isinstance(source, Mapping):
            if (records := records_by_column(source, columns)) is not None:
                return arrays.open_values(records, columns)
            values = source.values()
            if any(map(arrays.is_image, values)):
                return arrays.open_mapping(source)
            if all(isinstance(v, (str, os.PathLike, list, tuple, Mapping)) for v in values):
                return open_naming()
        return arrays.open_values(source, columns)
    name = named(source)
    if (tars := find_tars(name)) is not None:
        return open_tars(name, tars)
    if remote.is_url(name):
        return open_url(name)
    path = named_path(name)
    ending = path.name.lower()
    if is_table_file(path):
        return open_cells(open_table(path), columns)
    if os.path.isdir(path):
        return _open_files(name, path, image_names(name, _walk(path)))
    if not os.path.exists(path):
        if glob.has_magic(name):
            return _open_glob(name)
        raise missing(path)
    if not os.path.isfile(path):
        raise InputError(f"{name}: neither a file nor a folder")
    if ending.endswith(_NAMING):
        return open_naming()
    try:
        if ending.endswith(".zip"):
            return archives.open_zip(name, path)
        if ending.endswith(TAR_ENDINGS):
            return archives.open_tar(name, path)
        if ending.endswith(".npy"):
            return arrays.open_npy(name, path)
        if ending.endswith(".npz"):
            return arrays.open_npz(name, path)
        with path.open("rb") as file, Image.open(file, formats=formats()):
            pass
    except InputError:
        raise
    except Exception as error:
        raise InputError(
            f"{name}: {describe_failure(error)}; images are read from folders, archives (.zip, "
            ".tar, .tar.gz), arrays (.npy, .npz) and image files"
        ) from None
    return _open_files(name, path.parent, [path.name])


def _open_files(source: str, root: Path, names: list[str]) -> ImageSet:
    place = os.path.join(os.path.abspath(root), "")

    def items() -> Iterator[ImageItem]:
        for name in names:
            yield file_item(name, place + name)

    return ImageSet(source, items, names, files=lambda: [(place + name, "") for name in names])


def _walk(root: Path, depth: int | None = None) -> Iterator[str]:
    """The files below a folder, relative and with slashes, without what is hidden.

    A folder is read once, however many links lead to it: loops end, and trees of links stay small.
    Links to nothing count as files: an image that is missing is to be reported, not left out.
    """
    stack = [("", 1)]
    seen = set()
    while stack:
        below, level = stack.pop()
        place = root / below
        try:
            status = place.stat()
            if (status.st_dev, status.st_ino) in seen:
                continue
            seen.add((status.st_dev, status.st_ino))
            with os.scandir(place) as scan:
                entries = natural_sorted(scan, lambda entry: entry.name)
        except OSError as error:
            raise InputError(
                f"{place}: cannot be listed: {error.strerror}; what is in it would be missing "
                "from the score"
            ) from None
        folders = []
        for entry in entries:
            if entry.name.startswith(".") or entry.name == "__MACOSX":
                continue
            # What a link leads to may be missing, or be the link itself.
            linked = entry.is_symlink()
            if os.path.isdir(entry) if linked else entry.is_dir():
                folders.append((f"{below}{entry.name}/", level + 1))
            elif entry.is_file() if not linked else not _is_special(entry):
                yield below + entry.name
        if depth is None or level < depth:
            stack.extend(reversed(folders))


def _is_special(path: os.DirEntry[str]) -> bool:
    return os.path.exists(path) and not os.path.isfile(path)


def _open_glob(pattern: str) -> ImageSet:
    parts = expanded(pattern).parts
    fixed = next(i for i, part in enumerate(parts) if glob.has_magic(part))
    root, wanted = Path(*parts[:fixed]), parts[fixed:]
    if not os.path.isdir(root):
        raise missing(root)
    depth = None if "**" in wanted else len(wanted)
    found = [name for name in _walk(root, depth) if _matches(name.split("/"), wanted)]
    return _open_files(pattern, root, image_names(pattern, found, "matches"))


def _matches(parts: Sequence[str], pattern: Sequence[str]) -> bool:
    if not pattern:
        return not parts
    if pattern[0] == "**":
        return any(_matches(parts[i:], pattern[1:]) for i in range(len(parts) + 1))
    return bool(parts) and fnmatchcase(parts[0], pattern[0]) and _matches(parts[1:], pattern[1:])
