"""The data sets: COCO 2014, CUB-200, a folder with a captions file, procedural scenes.

The config's `data.kind` says which, and where a data set needs files they are below one folder:

    coco      ROOT/annotations/captions_{train,val}2014.json, ROOT/{train,val}2014/
    cub       see grgan_ref.data.cub
              either also as AttnGAN, DM-GAN and GR-GAN have them, see grgan_ref.data.authors
    folder    images anywhere below ROOT, captions in ROOT/captions.json (or another ending)
    scenes    no files: `data.scenes` training scenes and 1,000 held-out ones are drawn

Everything is checked here, before any training starts: missing files, captions without an image,
images without a caption, captions without words, images too small.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, overload

from PIL import Image, UnidentifiedImageError

from cmdmetric.errors import InputError
from cmdmetric.inputs import is_image_name, pair, read_captions
from cmdmetric.scenes import Scene, draw_scene, hard_negatives
from grgan_ref.config import DataConfig
from grgan_ref.data.authors import is_authors, read_authors
from grgan_ref.data.batches import CaptionedImages, check_captions, first_few, resize_shorter_side
from grgan_ref.data.cub import cut, read_cub
from grgan_ref.errors import GrganError

Split = Literal["train", "val"]

# The bundled encoder was trained on scenes from seed 1,000,000 on and held out on the first 1,000.
FIRST_SCENE = {"train": 2_000_000, "val": 0}
HELD_OUT_SCENES = 1_000
CAPTIONS_PER_SCENE = 5
MOST_SHAPES = 4
GROUP = 4  # a scene and its hard negatives


def open_data(
    config: DataConfig, root: Path | None, split: Split, smallest: int = 1
) -> CaptionedImages:
    """Open one split of a data set and check it. A folder has no splits: it is both.

    Args:
        config: Its kind, and how many captions of an image count.
        root: The folder of the data set; scenes need none.
        split: Which part; the authors call "val" test.
        smallest: Images in a folder whose shorter side has fewer pixels are refused. (COCO and CUB
            have such images; the published systems enlarge them, and so does this.)

    Raises:
        GrganError: Something is missing or wrong; the message says what, and how many of it.
    """
    if config.kind == "scenes":
        if split == "val":
            return scenes(split, HELD_OUT_SCENES, config.shapes)
        fewest, hard = config.fewest_shapes, config.hard_negatives
        return scenes(split, config.scenes, config.shapes, fewest, hard_negatives=hard)
    if root is None:
        raise GrganError(f"data of kind {config.kind!r} needs its folder: give --data ROOT")
    elif not root.is_dir():
        raise GrganError(f"--data {root} is not a folder")
    elif config.kind != "folder" and is_authors(root):
        data = _of_authors(root, split)
    elif config.kind == "coco":
        data = read_coco(root, split)
    elif config.kind == "cub":
        data = cub(root, split)
    else:
        data = read_folder(root, smallest)
    check_captions(data)
    if first := config.captions_per_image:
        return replace(data, captions=[own[:first] for own in data.captions])
    return data


def _of_authors(root: Path, split: Split) -> CaptionedImages:
    found = read_authors(root, split)
    _require(found.paths)
    images = ImageFiles(found.paths, found.boxes)
    return CaptionedImages(found.names, found.captions, found.classes, images)


@dataclass(frozen=True)
class ImageFiles:
    """Pictures on disk, each cut to the square around its bounding box where boxes are given."""

    paths: Sequence[Path]
    boxes: Sequence[Sequence[float]] | None = None

    def load(self, index: int, shorter_side: int) -> Image.Image:
        """The picture, in RGB, with its shorter side of so many pixels.

        Raises:
            GrganError: The file cannot be read as an image.
        """
        path = self.paths[index]
        try:
            image = Image.open(path).convert("RGB")
        except (OSError, UnidentifiedImageError) as error:
            raise GrganError(f"{path} cannot be read as an image ({error}): replace it") from None
        if self.boxes is not None:
            image = cut(image, self.boxes[index])
        return resize_shorter_side(image, shorter_side)


@dataclass(frozen=True)
class _Scenes:
    """The scenes of the seeds from `first` on, of `fewest` to `most` shapes each.

    In groups, only the first scene of each is of a seed; the others are its hard negatives.
    """

    first: int
    fewest: int
    most: int
    group: int

    def __getitem__(self, index: int) -> Scene:
        number, place = divmod(index, self.group)
        seed = self.first + number
        # Of one to four, the scene itself draws how many, from its seed.
        free = (self.fewest, self.most) == (1, MOST_SHAPES)
        count = None if free else self.fewest + seed % (self.most - self.fewest + 1)
        scene = draw_scene(seed, count)
        return hard_negatives(scene)[place - 1] if place else scene


@dataclass(frozen=True)
class SceneImages:
    """Pictures that are drawn when they are asked for, at the very size that is asked for."""

    scenes: _Scenes

    def load(self, index: int, shorter_side: int) -> Image.Image:
        """The scene, drawn as a square of so many pixels."""
        return self.scenes[index].render(shorter_side)


class _SceneCaptions(Sequence[Sequence[str]]):
    """The captions of n scenes, made when they are asked for."""

    def __init__(self, scenes: _Scenes, n: int) -> None:
        self.scenes, self.n = scenes, n

    def __len__(self) -> int:
        return self.n

    @overload
    def __getitem__(self, index: int) -> Sequence[str]: ...

    @overload
    def __getitem__(self, index: slice) -> Sequence[Sequence[str]]: ...

    def __getitem__(self, index: int | slice) -> Sequence[str] | Sequence[Sequence[str]]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(self.n))]
        if not 0 <= index < self.n:
            raise IndexError(index)
        return self.scenes[index].captions(CAPTIONS_PER_SCENE)


def scenes(
    split: Split,
    count: int,
    most_shapes: int = MOST_SHAPES,
    fewest_shapes: int = 1,
    *,
    hard_negatives: bool = False,
) -> CaptionedImages:
    """Make `count` procedural scenes; training and held-out scenes have disjoint seeds.

    Args:
        split: Which seeds.
        count: The number of scenes.
        most_shapes: Each scene has no more shapes, 1 to 4.
        fewest_shapes: Each scene has no fewer.
        hard_negatives: Whether scenes come in fours, three of which differ from the first in the
            kind or the colour of a shape (`cmdmetric.scenes.hard_negatives`).

    Raises:
        GrganError: There are no scenes of so many shapes.
    """
    if not 1 <= fewest_shapes <= most_shapes <= MOST_SHAPES:
        raise GrganError(
            f"data.fewest_shapes is {fewest_shapes} and data.shapes {most_shapes}; scenes have 1 "
            f"to {MOST_SHAPES} shapes"
        )
    first, group = FIRST_SCENE[split], GROUP if hard_negatives else 1
    drawn = _Scenes(first, fewest_shapes, most_shapes, group)
    return CaptionedImages(
        names=[f"scene-{first + i:07d}" for i in range(count)],
        captions=_SceneCaptions(drawn, count),
        classes=range(count),
        images=SceneImages(drawn),
        group=group,
    )


def read_coco(root: Path, split: Split) -> CaptionedImages:
    """COCO 2014 as it is unpacked: the official annotation file and its folder of images."""
    annotations = root / "annotations" / f"captions_{split}2014.json"
    folder = root / f"{split}2014"
    try:
        content = json.loads(annotations.read_text(encoding="utf-8"))
        files = {image["id"]: image["file_name"] for image in content["images"]}
        pairs = [(entry["image_id"], entry["caption"]) for entry in content["annotations"]]
    except FileNotFoundError:
        raise GrganError(
            f"{annotations} does not exist: unpack COCO's annotations_trainval2014.zip in {root}"
        ) from None
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise GrganError(f"{annotations} is not a COCO captions file ({error!r})") from None
    strangers = sorted({i for i, _ in pairs if i not in files})
    if strangers:
        raise GrganError(f"{annotations}: captions of unknown image ids {first_few(strangers)}")
    captions: dict[int, list[str]] = {image_id: [] for image_id in files}
    for image_id, caption in pairs:
        captions[image_id].append(caption)
    paths = [folder / name for name in files.values()]
    _require(paths)
    return CaptionedImages(
        names=[path.stem for path in paths],
        captions=list(captions.values()),
        classes=range(len(paths)),
        images=ImageFiles(paths),
    )


def cub(root: Path, split: Split) -> CaptionedImages:
    """CUB-200: every bird cut out by its bounding box, classes from the folders."""
    birds = read_cub(root, split)
    _require(birds.paths)
    images = ImageFiles(birds.paths, birds.boxes)
    return CaptionedImages(birds.names, birds.captions, birds.classes, images)


def read_folder(root: Path, smallest: int) -> CaptionedImages:
    """Any folder of images with a file `captions.json`, `.jsonl`, `.csv`, `.tsv` or `.txt` in it.

    Or one that says what its images show in another way that `cmdmetric.inputs.read_captions`
    knows: Hugging Face's `metadata.csv`, a `.txt` for each image.
    """
    found = [
        p for e in ("json", "jsonl", "csv", "tsv", "txt") if (p := root / f"captions.{e}").exists()
    ]
    needs = "it needs one captions.json, .jsonl, .csv, .tsv or .txt"
    if len(found) > 1:
        raise GrganError(f"{root} has {len(found)} captions files: {needs}")
    source = found[0] if found else root
    try:
        read = read_captions(source)
    except InputError as error:
        if found:
            raise
        raise GrganError(f"{root} has no captions file: {needs} ({error})") from None
    files = sorted(p for p in root.rglob("*") if is_image_name(p.relative_to(root).as_posix()))
    if None in read.images:
        raise GrganError(f"{source} does not say which image each caption belongs to")
    pairing = pair([path.relative_to(root).as_posix() for path in files], read.images)
    missing = sorted({str(read.images[i]) for i in pairing.unpaired_captions})
    if missing:
        raise GrganError(
            f"{source} names {len(missing)} images that are not in {root}: {first_few(missing)}"
        )
    captions = {
        path: [read.texts[i] for i in own]
        for path, own in zip(files, pairing.caption_of, strict=True)
    }
    used = [path for path in files if captions[path]]
    if not used:
        raise GrganError(f"{root} holds no image with a caption")
    _require_size(used, smallest)
    return CaptionedImages(
        names=[path.relative_to(root).with_suffix("").as_posix() for path in used],
        captions=[captions[path] for path in used],
        classes=range(len(used)),
        images=ImageFiles(used),
    )


def _require(paths: Sequence[Path]) -> None:
    missing = [path for path in paths if not path.is_file()]
    if missing:
        raise GrganError(
            f"{len(missing)} of {len(paths)} image files are missing: {first_few(missing)}"
        )


def _require_size(paths: Sequence[Path], smallest: int) -> None:
    small, broken = [], []
    for path in paths:
        try:
            with Image.open(path) as image:
                if min(image.size) < smallest:
                    small.append(f"{path} ({image.width}x{image.height})")
        except (OSError, UnidentifiedImageError):
            broken.append(path)
    if broken:
        raise GrganError(f"{len(broken)} files cannot be read as images: {first_few(broken)}")
    if small:
        raise GrganError(
            f"{len(small)} of {len(paths)} images have a shorter side below {smallest} pixels, "
            f"the size this model makes: {first_few(small)}. Remove them, or use smaller stages"
        )
