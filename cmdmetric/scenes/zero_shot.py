"""What a CLIP knows of a scene, asked without training: which of several captions fits best?

The captions of one question list all shapes of the scene and differ in one attribute of one shape,
or in how many shapes there are:

>>> scene = draw_scene(1)
>>> question("colour", scene, random.Random(0))[0][:3]
['a red heart', 'an orange heart', 'a yellow heart']

    python -m cmdmetric.scenes.zero_shot [MODEL]

prints how often a CLIP is right about 1,000 held-out scenes.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable
from dataclasses import replace

import click
import numpy as np
from numpy.typing import NDArray

from cmdmetric.encoders import Encoder
from cmdmetric.scenes.drawing import COLOURS, SHAPES, Scene, draw_scene, draw_shape
from cmdmetric.scenes.lessons import listing

HELD_OUT = range(1000)  # scenes that the bundled encoder never saw
ATTRIBUTES = ("shape", "place", "colour", "count")
MOST = 4  # shapes of a scene
_CELLS = [((column + 0.5) / 3, (row + 0.5) / 3) for row in range(3) for column in range(3)]


def question(attribute: str, scene: Scene, rng: random.Random) -> tuple[list[str], int]:
    """The captions to choose from, and the number of the right one.

    Args:
        attribute: One of `ATTRIBUTES`: 8 shapes, 9 places, 10 colours or 4 counts to choose from.
        scene: The scene that the question is about.
        rng: Draws the shape that is asked about, and for counts the shapes that are not there.
    """
    if attribute == "count":
        shapes = list(scene.shapes)
        while len(shapes) < MOST:
            other = draw_shape(rng)
            if all((other.kind, other.colour) != (old.kind, old.colour) for old in shapes):
                shapes.append(other)
        lists = [tuple(shapes[: count + 1]) for count in range(MOST)]
        return [listing(replace(scene, shapes=kept)) for kept in lists], len(scene.shapes) - 1
    asked = rng.randrange(len(scene.shapes))
    shape = scene.shapes[asked]
    if attribute == "shape":
        variants = [replace(shape, kind=kind) for kind in SHAPES]
        right = SHAPES.index(shape.kind)
    elif attribute == "colour":
        variants = [replace(shape, colour=colour) for colour in COLOURS]
        right = list(COLOURS).index(shape.colour)
    else:
        variants = [replace(shape, x=x, y=y) for x, y in _CELLS]
        right = [variant.place() for variant in variants].index(shape.place())
    scenes = [
        replace(scene, shapes=(*scene.shapes[:asked], variant, *scene.shapes[asked + 1 :]))
        for variant in variants
    ]
    return [listing(one, place=attribute == "place") for one in scenes], right


def zero_shot(
    scenes: Iterable[Scene],
    images: NDArray[np.floating],
    encode_texts: Callable[[list[str]], NDArray[np.floating]],
) -> dict[str, float]:
    """The share of right answers for each of `ATTRIBUTES`, in per cent.

    Args:
        scenes: The n scenes asked about; one question of each attribute a scene.
        images: Features (n, d) of the scenes' images, of any length.
        encode_texts: From m captions to their features (m, d), of equal lengths.
    """
    asked = list(zip(scenes, images, strict=True))
    result: dict[str, float] = {}
    for attribute in ATTRIBUTES:
        questions = [
            question(attribute, scene, random.Random(f"{attribute} {scene.seed}"))
            for scene, _ in asked
        ]
        texts = encode_texts([caption for captions, _ in questions for caption in captions])
        texts = texts.reshape(len(questions), -1, texts.shape[1])
        fit = np.einsum("nd,nkd->nk", np.stack([image for _, image in asked]), texts)
        right = np.array([answer for _, answer in questions])
        result[attribute] = round(100 * float((fit.argmax(axis=1) == right).mean()), 1)
    return result


@click.command()
@click.argument("model", default="scenes-toy")
def main(model: str) -> None:
    """Ask MODEL (any that cmdmetric knows) about held-out scenes; per cent of right answers."""
    encoder = Encoder(model, protocol="clip")
    for name, shapes in (("one shape", 1), ("one to four shapes", None)):
        scenes = [draw_scene(seed, shapes) for seed in HELD_OUT]
        side = encoder.image_size
        pixels = np.stack([np.asarray(scene.render(side)) for scene in scenes])
        answers = zero_shot(scenes, encoder.encode_pixels(pixels), encoder.encode_texts)
        told = ", ".join(f"{attribute} {share}" for attribute, share in answers.items())
        click.echo(f"{name}: {told}")


if __name__ == "__main__":
    main()
