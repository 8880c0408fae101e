"""Images for a captions file: `grgan sample runs/gan captions.json out/ --num 30000 --seed 100`.

As in the published evaluation, every image of the file gives one of its captions, drawn at random,
and the generated image takes that image's name: `cmd-score out/ captions.json` is the next step.
Beside the images `captions.json` says which caption each was made from, and `sampling.json` how.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from cmdmetric.inputs import IMAGE_ENDINGS, Captions
from cmdmetric.progress import progress_bar
from grgan_ref.data import clean, first_few
from grgan_ref.errors import GrganError
from grgan_ref.files import differences, new_file, read_json, write_json
from grgan_ref.model import TextToImage


@dataclass(frozen=True)
class Job:
    """One image to make: its file name without ending, its caption, the key of its noise."""

    name: str
    caption: str
    key: str


def choose(captions: Captions, number: int | None, seed: int) -> list[Job]:
    """Draw one caption for each image, in the file's order.

    The draw depends on seed and image name; the noise on seed and caption (and, for a caption that
    comes again, on how often it came before). Captions without image names are numbered.

    Args:
        captions: What was read.
        number: How many images, from the first on; all by default.
        seed: Of draw and noise.

    Raises:
        GrganError: There are too few images, a caption has no words, or names collide.
    """
    texts: dict[str, list[str]] = {}
    for i, (text, image) in enumerate(zip(captions.texts, captions.images, strict=True)):
        texts.setdefault(f"{i:06d}" if image is None else image, []).append(text)
    if number is not None and not 1 <= number <= len(texts):
        raise GrganError(f"--num {number}: the captions belong to {len(texts)} images")
    seen: Counter[str] = Counter()
    jobs = []
    for image, own in list(texts.items())[:number]:
        name = _stem(image)
        caption = random.Random(f"{seed} {image}").choice(own)
        jobs.append(Job(name, caption, f"{seed} {seen[caption]} {caption}"))
        seen[caption] += 1
    wordless = [job.name for job in jobs if not clean(job.caption)]
    if wordless:
        raise GrganError(f"{len(wordless)} captions have no words: {first_few(wordless)}")
    twice = [name for name, count in Counter(job.name for job in jobs).items() if count > 1]
    if twice:
        raise GrganError(
            f"{len(twice)} image names are equal but for their endings: {first_few(twice)}"
        )
    return jobs


def sample(
    model: TextToImage,
    jobs: Sequence[Job],
    out: Path,
    identity: dict[str, Any],
    stage: str = "last",
    batch: int = 16,
) -> int:
    """Write one PNG for each job, skipping those that are there.

    Killed at any moment, the same call makes what is missing: files appear complete or not at all.

    Args:
        model: What makes the images.
        jobs: Which images to make.
        out: The folder.
        identity: What the images depend on (model, seed).
        stage: "last", "all" (into folders stage-1, stage-2, ... of `out`), or a number from 1.
        batch: Images at once.

    Returns:
        How many images were made.

    Raises:
        GrganError: There is no such stage, or `out` has samples of another identity.
        InputError: `out` cannot be written.
    """
    stages = _stages(stage, len(model.config.model.stages))
    identity = {**identity, "stage": stage}
    mixed = model.config.quirks.mixed_memory_mask
    if mixed:
        identity["batch"] = batch  # images depend on the captions beside them in the batch
    _claim(out, identity)
    write_json(out / "captions.json", {f"{job.name}.png": job.caption for job in jobs})

    def paths(job: Job) -> list[Path]:
        return [
            (out / f"stage-{k + 1}" if stage == "all" else out) / f"{job.name}.png" for k in stages
        ]

    def unfinished(group: Sequence[Job]) -> list[Job]:
        return [job for job in group if not all(path.is_file() for path in paths(job))]

    groups = [jobs[i : i + batch] for i in range(0, len(jobs), batch)]
    if mixed:  # whole batches, so that every image has the batch mates it would have had
        groups = [group for group in groups if unfinished(group)]
    else:
        missing = unfinished(jobs)
        groups = [missing[i : i + batch] for i in range(0, len(missing), batch)]
    total = sum(map(len, groups))
    with progress_bar("painting", total, "image", wanted=True) as bar:
        for group in groups:
            images = model.generate([j.caption for j in group], [j.key for j in group], batch)
            for row, job in enumerate(group):
                for k, path in zip(stages, paths(job), strict=True):
                    _write_png(path, images[k][row])
            bar.update(len(group))
    return total


def _stages(stage: str, count: int) -> list[int]:
    if stage == "all":
        return list(range(count))
    if stage == "last":
        return [count - 1]
    if stage.isdigit() and 1 <= int(stage) <= count:
        return [int(stage) - 1]
    raise GrganError(f"--stage {stage}: use last, all, or a number from 1 to {count}")


def _claim(out: Path, identity: dict[str, Any]) -> None:
    """Note in `out` what its samples depend on, or refuse a folder that has others."""
    file = out / "sampling.json"
    if file.exists():
        different = differences(read_json(file), identity)
        if different:
            raise GrganError(
                f"{out} holds samples made otherwise ({'; '.join(different)}): "
                "choose another folder, or remove it"
            )
    else:
        write_json(file, identity)


def _stem(image: str) -> str:
    """The image's name without ending, kept inside the output folder, whatever the system.

    Raises:
        GrganError: No file can be called so.
    """
    path = PurePosixPath(image)
    foreign = PureWindowsPath(image)
    if path.is_absolute() or foreign.anchor or ".." in (*path.parts, *foreign.parts):
        path = PurePosixPath(foreign.name)
    try:
        longest = max((len(part.encode()) for part in path.parts), default=0)
    except UnicodeEncodeError:
        longest = 0
    if not 0 < longest <= LONGEST_NAME or "\0" in image:
        raise GrganError(f"the image name {image[:80]!r} is none that a file can have: rename it")
    return str(path.with_suffix("")) if path.suffix.lower() in IMAGE_ENDINGS else str(path)


#: Bytes of a file's name: file systems take 255, of which the ending and a mark take some.
LONGEST_NAME = 220


def _write_png(path: Path, image: NDArray[np.uint8]) -> None:
    with new_file(path) as file:
        Image.fromarray(image).save(file, format="PNG")
