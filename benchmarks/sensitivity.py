"""How CMD, ITDis and Dis(f, r) react to what they should, under the bundled encoder.

    python benchmarks/sensitivity.py [--out benchmarks/results/sensitivity.md]

The generated side is the bundled example's real side, damaged more and more; so level 0 is a
perfect generator. "Other captions" replaces a share of it by images drawn for the captions of
another set (scenes of one shape only). The last rows leave the example's images as they are and
exchange the captions themselves.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import click
import numpy as np
from PIL import Image, ImageFilter

from cmdmetric import Encoder, cmd
from cmdmetric.scenes import Scene, draw_scene

EXAMPLE = Path(__file__).resolve().parents[1] / "examples"
SIZE = 64
FIRST_SEED = 500_000  # the example's scenes, as examples/make_example.py draws them

Damage = Callable[[Scene, float], Image.Image]


def blur(scene: Scene, radius: float) -> Image.Image:
    return scene.render(SIZE).filter(ImageFilter.GaussianBlur(radius))


def noise(scene: Scene, sigma: float) -> Image.Image:
    rng = np.random.default_rng(scene.seed)
    pixels = np.asarray(scene.render(SIZE)) + sigma * rng.standard_normal((SIZE, SIZE, 3))
    return Image.fromarray(pixels.clip(0, 255).astype(np.uint8))


def colour_shift(scene: Scene, degrees: float) -> Image.Image:
    hue, saturation, value = scene.render(SIZE).convert("HSV").split()
    turned = hue.point(lambda h: int(h + degrees / 360 * 256) % 256)
    return Image.merge("HSV", (turned, saturation, value)).convert("RGB")


def draw_other_captions(scene: Scene, share: float) -> Image.Image:
    if random.Random(scene.seed).random() >= share:
        return scene.render(SIZE)
    return other_scene(scene.seed - FIRST_SEED).render(SIZE)


def other_scene(number: int) -> Scene:
    """A scene of the other set: one shape, where the example's scenes have one to four."""
    return draw_scene(700_000 + number, n_shapes=1)


def drop_objects(scene: Scene, share: float) -> Image.Image:
    rng = random.Random(scene.seed)
    kept = tuple(shape for shape in scene.shapes if rng.random() >= share)
    return replace(scene, shapes=kept).render(SIZE)


DAMAGES: list[tuple[str, str, Damage, tuple[float, ...]]] = [
    ("blur", "radius, px", blur, (0, 0.5, 1, 2, 4)),
    ("noise", "sigma, grey levels", noise, (0, 8, 16, 32, 64)),
    ("colour shift", "degrees of hue", colour_shift, (0, 15, 30, 60, 120)),
    ("dropped objects", "share", drop_objects, (0, 0.1, 0.25, 0.5, 1)),
    ("other captions", "share", draw_other_captions, (0, 0.1, 0.25, 0.5, 1)),
]


@click.command()
@click.option("--out", type=click.Path(path_type=Path), help="Write the table to a file too.")
def main(out: Path | None) -> None:
    """Print the table of reactions."""
    encoder = Encoder("scenes-toy")
    captions, real = EXAMPLE / "captions.json", EXAMPLE / "real"
    scenes = [draw_scene(FIRST_SEED + k) for k in range(len(list(real.iterdir())))]
    lines = ["| damage | level | CMD | ITDis | Dis(f,r) |", "| --- | ---: | ---: | ---: | ---: |"]

    def row(name: str, level: str, images: object, texts: object) -> None:
        score = cmd(images, texts, real, encoder=encoder)
        line = f"| {name} | {level} | {score.cmd:.3f} | {score.itdis:.3f} | {score.dis_fr:.3f} |"
        lines.append(line)
        click.echo(line)

    for name, unit, damage, levels in DAMAGES:
        for level in levels:
            images = [damage(scene, level) for scene in scenes]
            row(name, f"{level} ({unit})", images, captions)
    annotations = json.loads(captions.read_text())["annotations"]
    own = [annotation["caption"] for annotation in annotations]
    foreign = [other_scene(number).captions(1)[0] for number in range(len(own))]
    for share in (0, 0.25, 0.5, 1):
        cut = round(share * len(own))
        row("example, captions exchanged", f"{share} (share)", EXAMPLE / "generated",
            foreign[:cut] + own[cut:])  # fmt: skip
    if out:
        out.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
