"""An independent judge of pictures of scenes: which shapes are there, of what colour, and where?

    python benchmarks/judge.py runs/judge.pt

trains it in a few minutes of one core, from scratch and seeded, and prints how often it is right
about real scenes that it has not seen. It is a small convolutional network that looks for objects
on a grid (as in Redmon et al. 2016, "You Only Look Once"). It shares nothing with the bundled
encoder, is never a teacher, and no loss of a generator contains it: what it finds in generated
images is therefore evidence.
"""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import click
import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from PIL import Image, ImageFilter
from torch import Tensor, nn

from cmdmetric.scenes import draw_scene
from cmdmetric.scenes.drawing import COLOURS, SHAPES, Scene

SIDE, GRID = 64, 8  # two centres never share a cell: shapes keep further apart
KINDS, PAINTS = list(SHAPES), list(COLOURS)
FIRST_SEED, HELD_OUT = 50_000_000, range(60_000_000, 60_001_000)
APART = 0.12  # detections that are nearer to each other, in sides of the image, are one object


@dataclass(frozen=True)
class Found:
    """An object that the judge sees; x and y are fractions of the image's side."""

    kind: str
    colour: str
    x: float
    y: float

    @property
    def cell(self) -> tuple[int, int]:
        """Row and column as in `Shape.cell`."""
        return min(2, int(self.y * 3)), min(2, int(self.x * 3))


class Judge(nn.Module):
    """Images (B, 3, 64, 64) in [-1, 1] to what is centred in each cell: (B, 21, 8, 8).

    Channels: whether there is an object, the x and y of its centre within the cell, 8 kinds and
    10 colours.
    """

    def __init__(self) -> None:
        super().__init__()

        def block(into: int, out: int, stride: int, dilation: int = 1) -> nn.Sequential:
            return nn.Sequential(
                nn.Conv2d(into, out, 3, stride, dilation, dilation, bias=False),
                nn.BatchNorm2d(out),
                nn.ReLU(),
            )

        self.layers = nn.Sequential(
            block(3, 16, 2), block(16, 32, 1), block(32, 48, 2), block(48, 64, 1),
            block(64, 64, 2), block(64, 64, 1), block(64, 64, 1, 2),
            nn.Conv2d(64, 3 + len(KINDS) + len(PAINTS), 1),
        )  # fmt: skip

    def forward(self, images: Tensor) -> Tensor:
        return self.layers(images)

    @torch.no_grad()
    def look(self, images: NDArray[np.uint8]) -> list[list[Found]]:
        """The objects in each image of (n, s, s, 3), surest first."""
        pixels = torch.from_numpy(images).permute(0, 3, 1, 2).float() / 127.5 - 1
        pixels = F.interpolate(pixels, (SIDE, SIDE), mode="bilinear", align_corners=False)
        maps = torch.cat([self.eval()(part) for part in pixels.split(200)])
        return [_decode(image) for image in maps]


def _decode(image: Tensor) -> list[Found]:
    """What the map (21, 8, 8) of one image says."""
    found: list[Found] = []
    flat = image.flatten(1)
    for cell in flat[0].argsort(descending=True).tolist():
        if flat[0, cell] <= 0:
            break
        row, column = divmod(cell, GRID)
        offset = flat[1:3, cell].sigmoid().tolist()
        x, y = (column + offset[0]) / GRID, (row + offset[1]) / GRID
        if all(math.dist((x, y), (other.x, other.y)) > APART for other in found):
            kind = KINDS[int(flat[3 : 3 + len(KINDS), cell].argmax())]
            colour = PAINTS[int(flat[3 + len(KINDS) :, cell].argmax())]
            found.append(Found(kind, colour, x, y))
    return found


def verdict(found: Sequence[Sequence[Found]], scenes: Sequence[Scene]) -> dict[str, float]:
    """How often images show what their scenes ask for, in per cent.

    Shape, colour and place are asked of the scenes with one shape and answered by the object that
    the judge is surest of (no object is a wrong answer). `count` is asked of all scenes; `all`
    says that every shape of a scene is found in its colour, for scenes with several shapes.
    """
    answers: dict[str, list[bool]] = {}
    for seen, scene in zip(found, scenes, strict=True):
        answers.setdefault("count", []).append(len(seen) == len(scene.shapes))
        if len(scene.shapes) == 1:
            (shape,) = scene.shapes
            surest = seen[0] if seen else None
            for name, right in (
                ("shape", surest is not None and surest.kind == shape.kind),
                ("place", surest is not None and surest.cell == shape.cell),
                ("colour", surest is not None and surest.colour == shape.colour),
            ):
                answers.setdefault(name, []).append(right)
        else:
            there = [(one.kind, one.colour) for one in seen]
            complete = True
            for shape in scene.shapes:
                if (shape.kind, shape.colour) in there:
                    there.remove((shape.kind, shape.colour))
                else:
                    complete = False
            answers.setdefault("all", []).append(complete)
    return {name: round(100 * float(np.mean(right)), 1) for name, right in answers.items()}


def _blemished(image: Image.Image, rng: random.Random) -> NDArray[np.uint8]:
    """The image a little soft and noisy at times: generated ones are."""
    if rng.random() < 0.5:
        image = image.filter(ImageFilter.GaussianBlur(rng.uniform(0, 1.2)))
    pixels = np.asarray(image, dtype=np.float32)
    if rng.random() < 0.5:
        noise = np.random.default_rng(rng.getrandbits(32)).standard_normal(pixels.shape)
        pixels = pixels + rng.uniform(0, 12) * noise
    return pixels.clip(0, 255).astype(np.uint8)


def _batch(seeds: Sequence[int]) -> tuple[Tensor, Tensor]:
    """Images (B, 3, 64, 64) in [-1, 1], and targets (B, 5, 8, 8): object, x, y, kind, colour."""
    images, targets = [], torch.zeros(len(seeds), 5, GRID, GRID)
    for number, seed in enumerate(seeds):
        rng = random.Random(f"judge {seed}")
        scene = draw_scene(seed)
        if rng.random() < 0.05:
            scene = replace(scene, shapes=())
        images.append(_blemished(scene.render(SIDE), rng))
        for shape in scene.shapes:
            column, row = int(shape.x * GRID), int(shape.y * GRID)
            targets[number, :, row, column] = torch.tensor([
                1, shape.x * GRID - column, shape.y * GRID - row,
                KINDS.index(shape.kind), PAINTS.index(shape.colour),
            ])  # fmt: skip
    return torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).float() / 127.5 - 1, targets


def _loss(output: Tensor, target: Tensor) -> Tensor:
    """Of maps (B, 21, 8, 8) and targets (B, 5, 8, 8): where objects are, and what they are."""
    there = target[:, 0] > 0
    seen, asked = output.movedim(1, -1)[there], target.movedim(1, -1)[there]
    return (
        20 * F.binary_cross_entropy_with_logits(output[:, 0], target[:, 0])
        + F.mse_loss(seen[:, 1:3].sigmoid(), asked[:, 1:3])
        + F.cross_entropy(seen[:, 3 : 3 + len(KINDS)], asked[:, 3].long())
        + F.cross_entropy(seen[:, 3 + len(KINDS) :], asked[:, 4].long())
    )


def train(steps: int = 2000, batch: int = 64) -> Judge:
    """A judge trained on scenes that nothing else is trained or tested on."""
    torch.manual_seed(0)
    torch.set_flush_denormal(True)
    judge = Judge().to(memory_format=torch.channels_last).train()
    optimizer = torch.optim.AdamW(judge.parameters(), weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 4e-3, total_steps=steps)
    for step in range(steps):
        first = FIRST_SEED + step * batch
        images, targets = _batch(range(first, first + batch))
        loss = _loss(judge(images), targets)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        if (step + 1) % 100 == 0:
            click.echo(f"step {step + 1}: loss {loss.item():.3f}", err=True)
    return judge.eval()


def load(file: Path) -> Judge:
    """The judge that `main` saved."""
    judge = Judge()
    judge.load_state_dict(torch.load(file, weights_only=True))
    return judge.eval()


def render(scenes: Sequence[Scene], side: int = SIDE) -> NDArray[np.uint8]:
    """The scenes as images (n, side, side, 3)."""
    return np.stack([np.asarray(scene.render(side)) for scene in scenes])


@click.command()
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--steps", default=2000, show_default=True)
def main(file: Path, steps: int) -> None:
    """Train the judge into FILE."""
    judge = train(steps)
    file.parent.mkdir(parents=True, exist_ok=True)
    torch.save(judge.state_dict(), file)
    for name, shapes in (("one shape", 1), ("any", None)):
        scenes = [draw_scene(seed, shapes) for seed in HELD_OUT]
        click.echo(f"{name}: {verdict(judge.look(render(scenes)), scenes)}")


if __name__ == "__main__":
    main()
