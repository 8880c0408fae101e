"""CUB-200-2011 with Reed et al.'s captions, as its archives unpack.

    ROOT/images.txt, image_class_labels.txt, bounding_boxes.txt, images/<class>/<image>.jpg
    ROOT/text/<class>/<image>.txt         one caption a line
    ROOT/trainvalclasses.txt, testclasses.txt   class names: the split has disjoint classes

The last three come with the captions. Every image is cut to a square around the bird: centred on
its bounding box, one and a half times as wide as the box's longer side, kept inside the image.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from PIL import Image

from grgan_ref.errors import GrganError

CLASSES = {"train": "trainvalclasses.txt", "val": "testclasses.txt"}


@dataclass(frozen=True)
class Birds:
    """n images: where they are, their bounding boxes (left, top, width, height), captions."""

    names: list[str]
    paths: list[Path]
    boxes: list[tuple[float, float, float, float]]
    classes: list[int]
    captions: list[list[str]]


def read_cub(root: Path, split: Literal["train", "val"]) -> Birds:
    """Read the images of one split.

    Raises:
        GrganError: A file is missing, or two of them contradict each other.
    """
    files = _table(root / "images.txt", 1)
    labels = _table(root / "image_class_labels.txt", 1)
    boxes = _table(root / "bounding_boxes.txt", 4)
    wanted = {line[0] for line in _lines(root / CLASSES[split], 1)}
    birds = Birds([], [], [], [], [])
    for key, (file,) in files.items():
        folder = Path(file).parent.name
        if folder not in wanted:
            continue
        if key not in labels or key not in boxes:
            raise GrganError(f"{root}: image {key} ({file}) has no class or no bounding box")
        texts = (root / "text" / file).with_suffix(".txt")
        left, top, width, height = (_number(value, root, key) for value in boxes[key])
        birds.names.append(str(Path(file).with_suffix("").as_posix()))
        birds.paths.append(root / "images" / file)
        birds.boxes.append((left, top, width, height))
        birds.classes.append(int(_number(labels[key][0], root, key)))
        birds.captions.append([line for line in _read(texts).splitlines() if line.strip()])
    if not birds.names:
        raise GrganError(f"{root}: no image belongs to the classes of {CLASSES[split]}")
    return birds


def read_boxes(folder: Path) -> dict[str, tuple[float, float, float, float]]:
    """Read the bounding box (left, top, width, height) of every image by its name without ending.

    Raises:
        GrganError: images.txt or bounding_boxes.txt is missing or not as CUB has it.
    """
    files = _table(folder / "images.txt", 1)
    boxes = _table(folder / "bounding_boxes.txt", 4)
    lacking = [key for key in files if key not in boxes]
    if lacking:
        raise GrganError(f"{folder}/bounding_boxes.txt lacks image {lacking[0]}")
    found = {}
    for key, (file,) in files.items():
        left, top, width, height = (_number(value, folder, key) for value in boxes[key])
        found[Path(file).with_suffix("").as_posix()] = (left, top, width, height)
    return found


def square_around(box: Sequence[float], size: tuple[int, int]) -> tuple[int, int, int, int]:
    """(left, top, right, bottom) of the square around a bounding box, cut at the image's edges."""
    left, top, width, height = box
    reach = int(max(width, height) * 0.75)
    x, y = int(left + width / 2), int(top + height / 2)
    return (
        max(0, x - reach),
        max(0, y - reach),
        min(size[0], x + reach),
        min(size[1], y + reach),
    )


def cut(image: Image.Image, box: Sequence[float]) -> Image.Image:
    """The square of an image around a bounding box (x, y, width, height) in pixels."""
    return image.crop(square_around(box, image.size))


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise GrganError(f"{path} cannot be read ({error.strerror}): see grgan_ref.data") from None


def _lines(path: Path, columns: int) -> list[list[str]]:
    rows = [line.split() for line in _read(path).splitlines() if line.strip()]
    for number, row in enumerate(rows, 1):
        if len(row) != columns:
            raise GrganError(f"{path}, line {number}: {len(row)} columns; {columns} are expected")
    return rows


def _table(path: Path, columns: int) -> dict[str, list[str]]:
    """A CUB text file: a key, then `columns` values on each line."""
    return {row[0]: row[1:] for row in _lines(path, columns + 1)}


def _number(text: str, root: Path, key: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise GrganError(f"{root}: image {key}: {text!r} is not a number") from None
