"""What the bundled encoder is taught with: scenes that differ in one thing, and captions that do.

A contrastive loss over random scenes is soon content: colours and backgrounds tell them apart, so
shapes and places are never learnt, and a caption is read as a bag of words. The standard remedies
(Yuksekgonul et al. 2023, "When and why vision-language models behave like bags-of-words") are
followed here: images that are nearly alike stand in one batch, and every image also meets wrong
captions that differ from its own by one change.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from cmdmetric.protocol import GRGAN
from cmdmetric.scenes.drawing import (
    COLOURS,
    RADII,
    SHAPES,
    Scene,
    Shape,
    draw_scene,
    draw_shape,
    fits,
)

GRID = 12  # cells a side of the maps; shapes keep so far apart that no two share a cell
PLACED = 9 * (len(SHAPES) + len(COLOURS))  # the facts that speak of a place; they come first
FACTS = PLACED + len(SHAPES) * len(COLOURS)
RENDERED = {32: 0.15, 64: 0.6, 96: 0.25}  # pixels a side, and how often
GROUP = 4  # scenes that are nearly alike
WRONG = 3  # wrong captions of each image
_TRIES = 30  # a change may find no room for a shape, or the caption may not speak of it


@dataclass(frozen=True)
class Lesson:
    """A batch: images (B, s, s, 3) uint8, their captions, and `WRONG` wrong captions of each.

    `maps` (B, 3, GRID, GRID) says what is centred in each cell of an image: the number of its kind
    in SHAPES, of its colour in COLOURS and of its size in RADII; -1 where nothing is.

    `facts` (B, FACTS) bool says which pairs of attributes an object of the image has: in each place
    the kinds and then the colours, and after all places the pairs of a kind and a colour. `placed`
    (B,) bool: whether the caption tells all of them; one without places does not.
    """

    images: NDArray[np.uint8]
    maps: NDArray[np.int64]
    facts: NDArray[np.bool_]
    placed: NDArray[np.bool_]
    captions: list[str]
    wrong: list[str]


def draw_lesson(seeds: Sequence[int], alone: float, side: int) -> Lesson:
    """Draw one group of `GROUP` similar scenes for each seed.

    Args:
        seeds: One integer a group; the same integers give the same lesson.
        alone: The share of groups whose first scene has one shape only, from 0 to 1. The others
            have one to four.
        side: Width and height of the images in pixels. A group is rendered at one of `RENDERED`
            and resized, since images to be scored come in several sizes.
    """
    images, maps, facts, placed, captions, wrong = [], [], [], [], [], []
    for seed in seeds:
        rng = random.Random(f"lesson {seed}")
        first = draw_scene(seed, 1 if rng.random() < alone else None)
        word = _wording(rng)
        group = [first, *(_otherwise(first, word, rng) for _ in range(GROUP - 1))]
        rendered = rng.choices(list(RENDERED), list(RENDERED.values()))[0]
        how = rng.choice((Image.Resampling.BILINEAR, Image.Resampling.BICUBIC))
        for scene in group:
            images.append(render_resized(scene, rendered, side, how))
            maps.append(_map(scene))
            facts.append(_facts(scene))
            captions.append(word(scene))
            placed.append(all(shape.place() in captions[-1] for shape in scene.shapes))
            wrong += [word(_otherwise(scene, word, rng)) for _ in range(WRONG)]
    return Lesson(
        np.stack(images), np.stack(maps), np.stack(facts), np.array(placed), captions, wrong
    )


def render_resized(
    scene: Scene, rendered: int, side: int, how: Image.Resampling = Image.Resampling.BILINEAR
) -> NDArray[np.uint8]:
    """A scene rendered at one size and resized as an encoder does it: (side, side, 3)."""
    return np.asarray(scene.render(rendered).resize((side, side), how))


def _map(scene: Scene) -> NDArray[np.int64]:
    """What is centred where in a scene, (3, GRID, GRID), as in `Lesson.maps`."""
    cells = np.full((3, GRID, GRID), -1)
    for shape in scene.shapes:
        numbers = (
            SHAPES.index(shape.kind),
            list(COLOURS).index(shape.colour),
            list(RADII).index(shape.size),
        )
        cells[:, int(shape.y * GRID), int(shape.x * GRID)] = numbers
    return cells


def _facts(scene: Scene) -> NDArray[np.bool_]:
    """Which pairs of attributes some shape of a scene has, as in `Lesson.facts`."""
    there = np.zeros((9, len(SHAPES) + len(COLOURS)), bool)
    painted = np.zeros((len(SHAPES), len(COLOURS)), bool)
    for shape in scene.shapes:
        row, column = shape.cell
        place = 3 * row + column
        kind, colour = SHAPES.index(shape.kind), list(COLOURS).index(shape.colour)
        there[place, [kind, len(SHAPES) + colour]] = painted[kind, colour] = True
    return np.concatenate([there.ravel(), painted.ravel()])


def listing(scene: Scene, size: bool = False, place: bool = False) -> str:
    """A caption that lists the shapes and says nothing else, such as "a red star on the left".

    Args:
        scene: The scene; its shapes are listed in their order.
        size: Whether the sizes are told.
        place: Whether the places are told.
    """
    rng = random.Random(scene.seed)
    phrases = [
        shape.describe(rng, with_size=size) + (f" {shape.place()}" if place else "")
        for shape in scene.shapes
    ]
    return ", ".join([*phrases[:-2], " and ".join(phrases[-2:])])


def _wording(rng: random.Random) -> Callable[[Scene], str]:
    """One way to tell scenes, so that the captions of similar scenes differ in little.

    Every third leaves out the punctuation, as the protocol `grgan` does.
    """
    bare = rng.random() < 1 / 3
    own, size, place = rng.random() < 0.6, rng.random() < 0.4, rng.random() < 0.5

    def word(scene: Scene) -> str:
        caption = scene.captions(1)[0] if own else listing(scene, size, place)
        return GRGAN.clean(caption) if bare else caption

    return word


def _otherwise(scene: Scene, word: Callable[[Scene], str], rng: random.Random) -> Scene:
    """The scene with one change of which its caption speaks."""
    caption = word(scene)
    for _ in range(_TRIES):
        change = rng.choices(list(_CHANGES), list(_CHANGES.values()))[0]
        changed = change(scene, rng)
        if changed is not None and word(changed) != caption:
            return changed
    return replace(scene, shapes=(_recast(scene.shapes[0], rng), *scene.shapes[1:]))


def _recast(shape: Shape, rng: random.Random) -> Shape:
    """The shape as another kind."""
    kind = shape.kind
    while kind == shape.kind:
        kind = draw_shape(rng).kind
    return replace(shape, kind=kind)


def _repaint(shape: Shape, rng: random.Random) -> Shape:
    other = draw_shape(rng)
    return replace(shape, colour=other.colour, rgb=other.rgb)


def _move(shape: Shape, rng: random.Random) -> Shape:
    r = shape.radius + 0.02
    return replace(shape, x=rng.uniform(r, 1 - r), y=rng.uniform(r, 1 - r))


def _resize(shape: Shape, rng: random.Random) -> Shape:
    other = draw_shape(rng)
    return replace(shape, size=other.size, radius=other.radius)


def hard_negatives(scene: Scene) -> tuple[Scene, Scene, Scene]:
    """Give three scenes that a bag of words, or half a look, takes for a scene.

    In the first, two shapes have exchanged their colours, or, where no two differ in kind and
    colour, a shape has both anew. In the second, a shape is of another kind or another colour. In
    the third a shape is missing, or, where it would be the only one, the other of the two is
    changed. Every caption tells them apart. The seed stays, so that captions of the same number are
    worded alike where the number of shapes is the same.
    """
    rng = random.Random(f"negatives {scene.seed}")
    shapes = list(scene.shapes)
    position = rng.randrange(len(shapes))
    one = shapes[position]

    def instead(*others: Shape) -> Scene:
        return replace(scene, shapes=(*shapes[:position], *others, *shapes[position + 1 :]))

    recast, repainted = _recast(one, rng), _repainted(one, rng)
    exchanged = instead(replace(recast, colour=repainted.colour, rgb=repainted.rgb))
    partners = [i for i, x in enumerate(shapes) if x.kind != one.kind and x.colour != one.colour]
    if partners:
        swapped, other = list(shapes), rng.choice(partners)
        for a, b in ((position, other), (other, position)):
            swapped[a] = replace(shapes[a], colour=shapes[b].colour, rgb=shapes[b].rgb)
        exchanged = replace(scene, shapes=tuple(swapped))
    changed, last = rng.sample([instead(recast), instead(repainted)], 2)
    return exchanged, changed, instead() if len(shapes) > 1 else last


def _repainted(shape: Shape, rng: random.Random) -> Shape:
    """The shape in another colour."""
    new = shape
    while new.colour == shape.colour:
        new = _repaint(shape, rng)
    return new


def _of_one(change: Callable[[Shape, random.Random], Shape]) -> Callable[..., Scene | None]:
    """The change done to one shape of a scene; None where there is no room for it."""

    def changed(scene: Scene, rng: random.Random) -> Scene | None:
        shapes = list(scene.shapes)
        position = rng.randrange(len(shapes))
        shape = change(shapes.pop(position), rng)
        border = shape.radius + 0.02
        if not all(border <= centre <= 1 - border for centre in (shape.x, shape.y)):
            return None
        if not fits(shape, shapes):
            return None
        shapes.insert(position, shape)
        return replace(scene, shapes=tuple(shapes))

    return changed


def _swap(scene: Scene, rng: random.Random) -> Scene | None:
    """Two shapes exchange their kinds, their colours or their positions."""
    if len(scene.shapes) < 2:
        return None
    shapes = list(scene.shapes)
    i, j = rng.sample(range(len(shapes)), 2)
    names = rng.choice((("kind",), ("colour", "rgb"), ("x", "y", "size", "radius")))
    a, b = shapes[i], shapes[j]
    shapes[i] = replace(a, **{name: getattr(b, name) for name in names})
    shapes[j] = replace(b, **{name: getattr(a, name) for name in names})
    return replace(scene, shapes=tuple(shapes))


def _fewer(scene: Scene, rng: random.Random) -> Scene | None:
    shapes = list(scene.shapes)
    shapes.pop(rng.randrange(len(shapes)))
    return replace(scene, shapes=tuple(shapes)) if shapes else None


def _more(scene: Scene, rng: random.Random) -> Scene | None:
    shape = draw_shape(rng)
    if len(scene.shapes) == 4 or not fits(shape, scene.shapes):
        return None
    return replace(scene, shapes=(*scene.shapes, shape))


def _elsewhere(scene: Scene, rng: random.Random) -> Scene:
    other = draw_scene(rng.getrandbits(48), 1)
    return replace(
        scene,
        background=other.background,
        background_rgb=other.background_rgb,
        pattern=other.pattern,
    )


#: What may change between two scenes, and how often: what is hard to see comes most often.
_CHANGES: dict[Callable[..., Scene | None], float] = {
    _of_one(_recast): 4,
    _of_one(_move): 5,
    _of_one(_repaint): 1.5,
    _of_one(_resize): 1,
    _swap: 2,
    _fewer: 1,
    _more: 1,
    _elsewhere: 0.7,
}
