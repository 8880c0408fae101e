"""Captioned images to training batches that depend on nothing but (seed, step).

Which samples are in batch number `step`, which caption of an image is taken and how the image is
cropped all follow from the seed and the step. So the number of workers changes nothing, N
processes see what one process would see, and a resumed run continues with the very next batch.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from grgan_ref.data.text import clean
from grgan_ref.errors import GrganError


class Images(Protocol):
    """Where the pictures come from: files, or scenes that are drawn."""

    def load(self, index: int, shorter_side: int) -> Image.Image:
        """Picture number `index` in RGB with its shorter side at `shorter_side` pixels."""
        ...


@dataclass(frozen=True)
class CaptionedImages:
    """A data set in memory: n images with one or more captions each.

    names: n unique names, a file name without its ending where there is one.
    captions: n lists of captions.
    classes: n class numbers; the matching losses do not push captions of one class apart. Data
        without classes number every image by itself.
    """

    names: Sequence[str]
    captions: Sequence[Sequence[str]]
    classes: Sequence[int]
    images: Images

    def __len__(self) -> int:
        return len(self.names)


@dataclass(frozen=True)
class Augmentation:
    """Resize the shorter side to `load_size`, cut a random square of sizes[-1], perhaps mirror it.

    sizes: the side of the image of each stage, ascending; the smaller ones are made of the cut.
    """

    load_size: int
    sizes: tuple[int, ...]
    flip: bool


@dataclass(frozen=True)
class Batch:
    """images: for each stage (B, 3, s, s) uint8; captions: B strings; classes: (B,) int64."""

    images: list[Tensor]
    captions: list[str]
    classes: Tensor
    names: list[str]


def to_unit(images: Tensor) -> Tensor:
    """uint8 to float32 in [-1, 1], the range of the generator's tanh."""
    return images.float() / 127.5 - 1


def to_uint8(images: Tensor) -> Tensor:
    """[-1, 1] to uint8, cut and not rounded, as the released sampling does."""
    return ((images.float().clamp(-1, 1) + 1) * 127.5).to(torch.uint8)


class _Augmented(Dataset):
    """Item (epoch, index): the image at every stage's size and one of its captions."""

    def __init__(self, data: CaptionedImages, augmentation: Augmentation, seed: int) -> None:
        self.data, self.augmentation, self.seed = data, augmentation, seed

    def __getitem__(self, item: tuple[int, int]) -> tuple[list[np.ndarray], str, int, str]:
        epoch, index = item
        rng = random.Random(f"{self.seed} {epoch} {index}")
        caption = rng.choice(self.data.captions[index])
        image = self.data.images.load(index, self.augmentation.load_size)
        pictures = augment(image, self.augmentation, rng)
        return pictures, caption, self.data.classes[index], self.data.names[index]


def augment(image: Image.Image, augmentation: Augmentation, rng: random.Random) -> list[np.ndarray]:
    """One (s, s, 3) uint8 array for each stage, all of the same random cut."""
    side = augmentation.sizes[-1]
    left = rng.randint(0, image.width - side)
    top = rng.randint(0, image.height - side)
    image = image.crop((left, top, left + side, top + side))
    if augmentation.flip and rng.random() < 0.5:
        image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    return [
        np.asarray(image.resize((s, s), Image.Resampling.BILINEAR) if s != side else image)
        for s in augmentation.sizes
    ]


def resize_shorter_side(image: Image.Image, side: int) -> Image.Image:
    """Bilinear, aspect kept."""
    scale = side / min(image.size)
    size = (max(side, int(image.width * scale)), max(side, int(image.height * scale)))
    return image if size == image.size else image.resize(size, Image.Resampling.BILINEAR)


class _Steps(Sampler):
    """The sample numbers of steps `start` to `stop`, of which process `rank` takes its part."""

    def __init__(
        self, n: int, batch: int, seed: int, start: int, stop: int, rank: int, processes: int
    ) -> None:
        self.n, self.batch, self.seed = n, batch, seed
        self.start, self.stop = start, stop
        self.rank, self.processes = rank, processes

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        per_epoch, share = self.n // self.batch, self.batch // self.processes
        shuffled, order = -1, np.empty(0, int)
        for step in range(self.start, self.stop):
            epoch, position = divmod(step, per_epoch)
            if epoch != shuffled:
                order = np.random.default_rng([self.seed, epoch]).permutation(self.n)
                shuffled = epoch
            first = position * self.batch + self.rank * share
            yield [(epoch, int(index)) for index in order[first : first + share]]

    def __len__(self) -> int:
        return self.stop - self.start


def _collate(samples: list[tuple[list[np.ndarray], str, int, str]]) -> Batch:
    pictures, captions, classes, names = zip(*samples, strict=True)
    images = [
        torch.from_numpy(np.stack(stage)).permute(0, 3, 1, 2).contiguous()
        for stage in zip(*pictures, strict=True)
    ]
    return Batch(images, list(captions), torch.tensor(classes), list(names))


def training_batches(
    data: CaptionedImages,
    augmentation: Augmentation,
    *,
    batch: int,
    seed: int,
    start: int,
    stop: int,
    workers: int = 0,
    rank: int = 0,
    processes: int = 1,
) -> Iterator[Batch]:
    """The batches of steps `start` to `stop`, shuffled anew each epoch, incomplete ones dropped.

    `batch` counts the samples of all processes together; each gets batch / processes of them.
    """
    if batch % processes:
        raise GrganError(f"batch {batch} does not divide over {processes} processes")
    if len(data) < batch:
        raise GrganError(f"{len(data)} images are fewer than one batch of {batch}")
    loader = DataLoader(
        _Augmented(data, augmentation, seed),
        batch_sampler=_Steps(len(data), batch, seed, start, stop, rank, processes),
        num_workers=workers,
        collate_fn=_collate,
    )
    return iter(loader)


def middle_square(data: CaptionedImages, index: int, side: int) -> np.ndarray:
    """An image as evaluation takes it: (side, side, 3) uint8, nothing random."""
    image = data.images.load(index, side)
    left, top = (image.width - side) // 2, (image.height - side) // 2
    return np.asarray(image.crop((left, top, left + side, top + side)))


def check_captions(data: CaptionedImages) -> None:
    """Raise GrganError where an image has no caption or a caption no words."""
    _refuse([n for n, c in zip(data.names, data.captions, strict=True) if not c], "without caption")
    wordless = [
        f"{name}: {caption!r}"
        for name, captions in zip(data.names, data.captions, strict=True)
        for caption in captions
        if not clean(caption)
    ]
    _refuse(wordless, "with a caption that has no words")


def _refuse(found: list[str], what: str) -> None:
    if found:
        raise GrganError(f"{len(found)} images {what}: {first_few(found)}")


def first_few(names: Sequence[object], n: int = 5) -> str:
    """For error messages: the first names, and how many more there are."""
    more = f" and {len(names) - n} more" if len(names) > n else ""
    return ", ".join(str(name) for name in names[:n]) + more
