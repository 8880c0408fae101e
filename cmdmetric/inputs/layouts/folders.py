"""Folders that hold images and say what they show: the layouts that benchmarks write."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from cmdmetric.errors import InputError
from cmdmetric.files import natural_sorted
from cmdmetric.inputs.layouts.columns import Columns, Row
from cmdmetric.inputs.layouts.values import record_rows, rows_of
from cmdmetric.inputs.pairing import has_image_ending

#: Hugging Face's imagefolder: one of these beside the images, or below them.
METADATA = ("metadata.csv", "metadata.jsonl", "metadata.parquet")
#: T2I-CompBench's "a red book and a yellow vase_000003.png": a caption of two words or more.
_PROMPT_NAME = re.compile(r"(.*\S\s.*)_\d{5,6}")

#: Reads a file of captions as lists, mappings and strings.
Parse = Callable[[str], Any]


class FolderLayout(NamedTuple):
    """What a folder says of its images."""

    rows: Iterator[Row]
    #: Whether a generator made the images.
    generated: bool = False


def folder_rows(folder: Path, columns: Columns, parse: Parse) -> FolderLayout | None:
    """The captions of a folder of images; None where it has no layout that is known.

    Images are named relative to the folder, with slashes. The layouts:

    - Hugging Face's imagefolder: `metadata.csv`, `.jsonl` or `.parquet` in it, or in one of its
      folders.
    - GenEval: `00000/metadata.jsonl` and `00000/samples/`, one folder a prompt; each of its samples
      has the prompt as its caption.
    - DiffusionDB: `part-000001/part-000001.json`.
    - MJHQ-30K: `meta_data.json`.
    - A `.txt` for each image, of its name; or, where there are no images, one for each prompt, as
      in DPG-Bench. Each line is a caption.
    - T2I-CompBench: images whose names are their captions, `samples/<prompt>_000000.png`.

    Raises:
        InputError: The folder has several of these layouts.
    """
    below = [child for child in _children(folder) if child.is_dir()]
    found: dict[str, FolderLayout] = {}
    for place in (folder, *below):
        for name in METADATA:
            path = place / name
            if path.is_file() and not (place / "samples").is_dir():
                found[str(path)] = FolderLayout(_imagefolder(path, folder, columns, parse))
    geneval = [child for child in below if (child / "samples").is_dir()]
    geneval = [child for child in geneval if (child / "metadata.jsonl").is_file()]
    if geneval:
        rows = _geneval(geneval, folder, columns, parse)
        found["metadata.jsonl beside samples/"] = FolderLayout(rows, generated=True)
    if parts := _diffusiondb_parts(folder, below):
        found[parts[0].name] = FolderLayout(_diffusiondb(parts, folder, columns, parse))
    if (path := folder / "meta_data.json").is_file():
        found[str(path)] = FolderLayout(rows_of(parse(str(path)), columns, None)[0])
    if texts := _texts(folder):
        found["a .txt for each image"] = FolderLayout(_sidecars(texts, folder))
    if not found and (named := _named_by_prompts(folder)):
        return FolderLayout(_prompt_names(named, folder), generated=True)
    if len(found) > 1:
        raise InputError(
            f"{folder}: captions may be read from {', '.join(list(found)[:3])}; name one file, or "
            "one folder that holds one of them"
        )
    return next(iter(found.values()), None)


def _children(folder: Path) -> list[Path]:
    """What lies in a folder, in natural order, without what is hidden."""
    try:
        names = [name for name in os.listdir(folder) if not name.startswith(".")]
    except OSError as error:
        raise InputError(f"{folder}: cannot be listed: {error.strerror}") from None
    return [folder / name for name in natural_sorted(names)]


def _relative(path: Path, folder: Path) -> str:
    return path.relative_to(folder).as_posix()


def _images_in(folder: Path) -> list[Path]:
    return [path for path in _children(folder) if has_image_ending(path.name)]


def _imagefolder(path: Path, folder: Path, columns: Columns, parse: Parse) -> Iterator[Row]:
    below = "" if path.parent == folder else _relative(path.parent, folder) + "/"
    for row in rows_of(parse(str(path)), columns, None)[0]:
        yield row._replace(image=row.image and below + row.image)


def _geneval(prompts: list[Path], folder: Path, columns: Columns, parse: Parse) -> Iterator[Row]:
    for prompt in prompts:
        path = prompt / "metadata.jsonl"
        records = parse(str(path))
        if len(records) != 1:
            raise InputError(f"{path}: it holds {len(records)} records; it must hold one prompt")
        own = list(record_rows(records[0], columns, str(path)))
        for image in _images_in(prompt / "samples"):
            yield from (row._replace(image=_relative(image, folder)) for row in own)


def _diffusiondb_parts(folder: Path, below: list[Path]) -> list[Path]:
    parts = [place / f"{place.name}.json" for place in (folder.resolve(), *below)]
    return [part for part in parts if part.name.startswith("part-") and part.is_file()]


def _diffusiondb(parts: list[Path], folder: Path, columns: Columns, parse: Parse) -> Iterator[Row]:
    for part in parts:
        yield from (
            _imagefolder(part, folder.resolve(), columns, parse)
            if (part.parent == folder.resolve())
            else _imagefolder(part, folder, columns, parse)
        )


def _texts(folder: Path) -> list[Path]:
    """The .txt files that belong to images each; of a folder without images all, if several."""
    texts, stems = [], set()
    for place, folders, names in os.walk(folder):
        folders[:] = natural_sorted(name for name in folders if not name.startswith("."))
        for name in natural_sorted(names):
            path = Path(place) / name
            if name.lower().endswith(".txt") and not name.startswith("."):
                texts.append(path)
            elif has_image_ending(name):
                stems.add(path.with_suffix(""))
    if stems:
        return [path for path in texts if path.with_suffix("") in stems]
    return texts if len(texts) > 1 else []


def _sidecars(texts: list[Path], folder: Path) -> Iterator[Row]:
    for path in texts:
        try:
            lines = path.read_text("utf-8-sig").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(f"{path}: cannot be read: {error}") from None
        image = _relative(path.with_suffix(""), folder)
        for line in [line for line in lines if line.strip()] or [""]:
            yield Row(image, line, str(path))


def _named_by_prompts(folder: Path) -> list[Path]:
    """The images of T2I-CompBench, where all of them are named so."""
    place = folder / "samples" if (folder / "samples").is_dir() else folder
    images = _images_in(place)
    return images if all(_PROMPT_NAME.fullmatch(image.stem) for image in images) else []


def _prompt_names(images: list[Path], folder: Path) -> Iterator[Row]:
    for image in images:
        match = _PROMPT_NAME.fullmatch(image.stem)
        assert match is not None, "asked before"
        yield Row(_relative(image, folder), match[1], str(image))
