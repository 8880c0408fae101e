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
from numpy.typing import NDArray
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

    Attributes:
        names: n unique names, a file name without its ending where there is one.
        captions: n lists of captions.
        classes: n class numbers; the matching losses do not push captions of one class apart. Data
            without classes number every image by itself.
        images: Where the pictures come from.
        group: So many images in a row differ in little: they stand in one batch, and each has the
            caption of the same number.
    """

    names: Sequence[str]
    captions: Sequence[Sequence[str]]
    classes: Sequence[int]
    images: Images
    group: int = 1

    def __len__(self) -> int:
        return len(self.names)


@dataclass(frozen=True)
class Augmentation:
    """Resize the shorter side to `load_size`, cut a random square of sizes[-1], perhaps mirror it.

    Attributes:
        load_size: Pixels of the shorter side before the cut.
        sizes: The side of the image of each stage, ascending; the smaller ones are made of the cut.
        flip: Whether every second image is mirrored.
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

    def pin_memory(self) -> Batch:
        """Copy to page-locked memory, from which a copy to the device does not block."""
        images = [stage.pin_memory() for stage in self.images]
        return Batch(images, self.captions, self.classes.pin_memory(), self.names)


def to_unit(images: Tensor) -> Tensor:
    """uint8 to float32 in [-1, 1], the range of the generator's tanh."""
    return images.float() / 127.5 - 1


def to_uint8(images: Tensor) -> Tensor:
    """[-1, 1] to uint8, cut and not rounded, as the released sampling does."""
    return ((images.float().clamp(-1, 1) + 1) * 127.5).to(torch.uint8)


Item = tuple[int, int]
Sample = tuple[list[NDArray[np.uint8]], str, int, str]


def draw_caption(
    data: CaptionedImages, seed: int, epoch: int, index: int
) -> tuple[str, random.Random]:
    """Draw the caption that an image has in an epoch; the generator goes on to draw its cut."""
    rng = random.Random(f"{seed} {epoch} {index // data.group}")
    return rng.choice(data.captions[index]), rng


class _Augmented(Dataset[Sample]):
    """Item (epoch, index): the image at every stage's size and one of its captions."""

    def __init__(self, data: CaptionedImages, augmentation: Augmentation, seed: int) -> None:
        self.data, self.augmentation, self.seed = data, augmentation, seed

    def __getitem__(self, item: Item) -> Sample:
        epoch, index = item
        caption, rng = draw_caption(self.data, self.seed, epoch, index)
        image = self.data.images.load(index, self.augmentation.load_size)
        pictures = augment(image, self.augmentation, rng)
        return pictures, caption, self.data.classes[index], self.data.names[index]


def augment(
    image: Image.Image, augmentation: Augmentation, rng: random.Random
) -> list[NDArray[np.uint8]]:
    """Make one (s, s, 3) uint8 array for each stage, all of the same random cut."""
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


class _Steps(Sampler[list[Item]]):
    """The sample numbers of steps `start` to `stop`, of which process `rank` takes its part.

    Where `words` is given, a batch is in the order of its captions' lengths, the longest first,
    lengths above `words` counting alike, as in the released code; the order decides which captions
    are swapped for the mismatched pairs (neighbours, so of similar length). It is made before the
    batch is divided, so that N processes have the batch that one process would have.
    """

    def __init__(
        self,
        data: CaptionedImages,
        batch: int,
        seed: int,
        start: int,
        stop: int,
        rank: int,
        processes: int,
        words: int | None,
    ) -> None:
        self.data, self.batch, self.seed, self.words = data, batch, seed, words
        self.start, self.stop = start, stop
        self.rank, self.processes = rank, processes

    def __iter__(self) -> Iterator[list[Item]]:
        group = self.data.group
        groups, drawn_groups = len(self.data) // group, self.batch // group
        per_epoch, share = groups // drawn_groups, self.batch // self.processes
        shuffled, order = -1, np.empty(0, int)
        for step in range(self.start, self.stop):
            epoch, position = divmod(step, per_epoch)
            if epoch != shuffled:
                order = np.random.default_rng([self.seed, epoch]).permutation(groups)
                shuffled = epoch
            drawn = order[position * drawn_groups : (position + 1) * drawn_groups]
            items = [(epoch, int(k) * group + i) for k in drawn for i in range(group)]
            if self.words is not None:
                items.sort(key=self._length, reverse=True)  # stable, as Python sorts
            yield items[self.rank * share : (self.rank + 1) * share]

    def _length(self, item: Item) -> int:
        assert self.words is not None
        caption, _ = draw_caption(self.data, self.seed, *item)
        return min(len(clean(caption).split()), self.words)

    def __len__(self) -> int:
        return self.stop - self.start


def _collate(samples: list[Sample]) -> Batch:
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
    words: int | None = None,
    pin: bool = False,
) -> Iterator[Batch]:
    """Make the batches of steps `start` to `stop`, shuffled anew each epoch, all of full size.

    Args:
        data: The images and captions.
        augmentation: What is done to the images.
        batch: Samples of all processes together; each gets batch / processes of them.
        seed: What everything random follows from, together with the step.
        start: The first step, counted from 0.
        stop: The step behind the last.
        workers: Processes that read; they change no number.
        rank: Which of the processes this is.
        processes: How many train together.
        words: The number of word slots where captions are sorted by their length; None leaves the
            order as drawn.
        pin: Whether the batches are put into page-locked memory.

    Raises:
        GrganError: The batch does not divide over the processes or into groups, gives one process
            fewer than two samples, or is larger than the data set.
    """
    if batch % processes:
        raise GrganError(f"batch {batch} does not divide over {processes} processes")
    if processes > 1 and batch < 2 * processes:
        raise GrganError(
            f"a batch of {batch} gives each of {processes} processes one sample: "
            "mismatched pairs and the statistics of a batch need 2. The batch is that of all "
            f"processes together: raise it to {2 * processes} or more (train.batch, itm.batch "
            f"or damsm.batch by --set), or start at most {batch // 2} processes"
        )
    if batch % data.group:
        raise GrganError(
            f"batch {batch} does not divide into groups of {data.group}, as hard negatives come"
        )
    if len(data) < batch:
        raise GrganError(f"{len(data)} images are fewer than one batch of {batch}")
    loader = DataLoader(
        _Augmented(data, augmentation, seed),
        batch_sampler=_Steps(data, batch, seed, start, stop, rank, processes, words),
        num_workers=workers,
        collate_fn=_collate,
        pin_memory=pin,
    )
    return iter(loader)


def middle_square(data: CaptionedImages, index: int, side: int) -> NDArray[np.uint8]:
    """Return an image as evaluation takes it: (side, side, 3) uint8, nothing random."""
    image = data.images.load(index, side)
    left, top = (image.width - side) // 2, (image.height - side) // 2
    return np.asarray(image.crop((left, top, left + side, top + side)))


def check_captions(data: CaptionedImages) -> None:
    """Check that every image has a caption and every caption a word.

    Raises:
        GrganError: It is not so; the message names the first images and how many there are.
    """
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
