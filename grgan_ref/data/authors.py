"""COCO and CUB as AttnGAN, DM-GAN and GR-GAN have them, from the metadata that they share.

    ROOT/train/filenames.pickle, ROOT/test/filenames.pickle     names without ending, in order
    ROOT/text/NAME.txt                                          one caption a line
    ROOT/captions.pickle                                        in place of text/: numbered words
    ROOT/images/NAME.jpg                                        COCO: train2014 and val2014 together

and for CUB, whose images are cut by their bounding boxes and whose split has disjoint classes,

    ROOT/CUB_200_2011/images/NAME.jpg, images.txt, bounding_boxes.txt
    ROOT/train/class_info.pickle, ROOT/test/class_info.pickle   the class of each name

The published evaluation generates an image for each of the first 30,000 names of the test split.
Pickles are read as plain values: nothing in them is executed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from cmdmetric.inputs import Captions
from grgan_ref.data.cub import read_boxes
from grgan_ref.errors import GrganError
from grgan_ref.files import read_plain_pickle

FOLDERS = {"train": "train", "val": "test"}


@dataclass(frozen=True)
class Listed:
    """n images of a split, in the authors' order.

    Attributes:
        names: Without ending, as the authors call them.
        paths: Where the images are, whether they are there or not.
        captions: n lists of captions.
        classes: n class numbers; every image its own where there are no classes.
        boxes: n bounding boxes (left, top, width, height), for CUB.
    """

    names: list[str]
    paths: list[Path]
    captions: list[list[str]]
    classes: Sequence[int]
    boxes: list[tuple[float, float, float, float]] | None


def is_authors(root: Path) -> bool:
    """Whether a folder has the authors' layout."""
    return (root / "test" / "filenames.pickle").is_file()


def read_authors(root: Path, split: Literal["train", "val"]) -> Listed:
    """Read one split, without looking for its images.

    Raises:
        GrganError: A file is missing, or is not what it should be.
    """
    names = _names(root, split)
    birds = root / "CUB_200_2011"
    boxes = None
    if birds.is_dir():
        known = read_boxes(birds)
        strangers = [name for name in names if name not in known]
        if strangers:
            raise GrganError(
                f"{birds}/images.txt lacks {len(strangers)} names: {strangers[0]}, ..."
            )
        boxes = [known[name] for name in names]
    folder = (birds if boxes else root) / "images"
    return Listed(
        names,
        [folder / f"{name}.jpg" for name in names],
        _captions(root, split, names),
        _classes(root, split, len(names)),
        boxes,
    )


def authors_captions(root: Path, per_image: int) -> Captions:
    """Return the captions of the test split in the order of its names, for sampling.

    Args:
        root: A folder of the authors' layout; its images need not be there.
        per_image: How many captions of each image count; 0 means all.

    Raises:
        GrganError: A file is missing, or is not what it should be.
    """
    names = _names(root, "val")
    captions = [own[: per_image or None] for own in _captions(root, "val", names)]
    pairs = [(text, f"{n}.jpg") for n, own in zip(names, captions, strict=True) for text in own]
    return Captions(
        tuple(text for text, _ in pairs), tuple(name for _, name in pairs), f"{root} (test split)"
    )


def _names(root: Path, split: Literal["train", "val"]) -> list[str]:
    file = root / FOLDERS[split] / "filenames.pickle"
    names = read_plain_pickle(file)
    if not isinstance(names, list) or not names or not all(isinstance(n, str) for n in names):
        raise GrganError(f"{file}: a list of file names is expected")
    return names


def _classes(root: Path, split: Literal["train", "val"], count: int) -> Sequence[int]:
    file = root / FOLDERS[split] / "class_info.pickle"
    if not file.is_file():
        return range(count)
    classes = read_plain_pickle(file)
    if not isinstance(classes, list) or not all(isinstance(c, int) for c in classes):
        raise GrganError(f"{file}: a list of class numbers is expected")
    if len(classes) != count:
        raise GrganError(f"{file} has {len(classes)} classes for {count} names")
    return classes


def _captions(root: Path, split: Literal["train", "val"], names: Sequence[str]) -> list[list[str]]:
    if (root / "text").is_dir():
        return [_lines(root / "text" / f"{name}.txt") for name in names]
    file = root / "captions.pickle"
    if not file.is_file():
        raise GrganError(f"{root} has neither text/ (unpack text.zip) nor captions.pickle")
    content = read_plain_pickle(file)
    try:
        numbered, words = content[0 if split == "train" else 1], content[2]
        texts = [" ".join(words[number] for number in caption) for caption in numbered]
    except (LookupError, TypeError):
        raise GrganError(f"{file}: not AttnGAN's captions.pickle") from None
    each, rest = divmod(len(texts), len(names))
    if rest or not each:
        raise GrganError(f"{file}: {len(texts)} captions do not divide over {len(names)} names")
    return [texts[i * each : (i + 1) * each] for i in range(len(names))]


def _lines(path: Path) -> list[str]:
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise GrganError(f"{path} cannot be read: {error.strerror}") from None
    # As there: two signs of damage stand for a blank.
    return [line.replace("\ufffd\ufffd", " ") for line in text.splitlines() if line.strip()]
