"""Procedural captioned scenes: the data that the bundled encoder and the small presets learn from.

A scene is one to four flat shapes on a coloured background. Everything about it follows from one
integer seed, and it renders at any resolution, so a data set is a range of seeds.

>>> scene = draw_scene(7)
>>> scene.render(64).size
(64, 64)
>>> len(scene.captions(5))
5
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterable
from dataclasses import dataclass

from PIL import Image, ImageDraw

COLOURS = {
    "red": (214, 39, 40),
    "orange": (255, 140, 20),
    "yellow": (250, 220, 40),
    "green": (40, 160, 60),
    "cyan": (60, 210, 220),
    "blue": (35, 80, 210),
    "purple": (130, 50, 170),
    "pink": (250, 130, 190),
    "white": (250, 250, 250),
    "black": (15, 15, 15),
}
BACKGROUNDS = {
    "grey": (128, 128, 128),
    "beige": (222, 205, 170),
    "brown": (105, 70, 40),
    "navy": (15, 20, 75),
    "teal": (0, 100, 100),
    "lavender": (190, 175, 225),
}
PATTERNS = ("plain", "striped", "shaded")
SHAPES = ("circle", "square", "triangle", "star", "diamond", "ring", "cross", "heart")
RADII = {"small": (0.075, 0.105), "large": (0.15, 0.2)}  # of the image's side
SUPERSAMPLING = 4  # drawn this much larger, then averaged: Pillow's polygons have hard edges

_SIZE_WORDS = {"small": ("small", "small", "little", "tiny"), "large": ("large", "large", "big")}
_OPENINGS = ("", "", "", "a picture of ", "an image of ", "a scene with ", "there is ")
_ROWS = ("top", "middle", "bottom")
_COLUMNS = ("left", "centre", "right")
COUNTS = {2: "two", 3: "three", 4: "four"}


@dataclass(frozen=True)
class Shape:
    """One object: position and radius are fractions of the image's side, angle in radians."""

    kind: str
    colour: str
    size: str
    x: float
    y: float
    radius: float
    angle: float
    rgb: tuple[int, int, int]

    def describe(self, rng: random.Random, with_size: bool = True) -> str:
        """A noun phrase such as "a small red circle"."""
        size = rng.choice(_SIZE_WORDS[self.size]) + " " if with_size else ""
        phrase = f"{size}{self.colour} {self.kind}"
        return f"{'an' if phrase[0] in 'aeiou' else 'a'} {phrase}"

    @property
    def cell(self) -> tuple[int, int]:
        """Row and column, 0 to 2 from the top left, on the grid that captions speak of."""
        return min(2, int(self.y * 3)), min(2, int(self.x * 3))

    def place(self) -> str:
        """Where it is, on a grid of three by three: "in the top left", "in the centre"."""
        row, column = _ROWS[self.cell[0]], _COLUMNS[self.cell[1]]
        if row == "middle":
            return "in the centre" if column == "centre" else f"on the {column}"
        return f"at the {row}" if column == "centre" else f"in the {row} {column}"


@dataclass(frozen=True)
class Scene:
    """One picture before it is rendered: a background and its shapes, back to front."""

    seed: int
    background: str
    background_rgb: tuple[int, int, int]
    pattern: str
    shapes: tuple[Shape, ...]

    def render(self, size: int) -> Image.Image:
        """The scene as an RGB image of `size` x `size` pixels."""
        side = size * SUPERSAMPLING
        canvas = _paint_background(self, side)
        draw = ImageDraw.Draw(canvas)
        for shape in self.shapes:
            _paint_shape(draw, shape, side)
        return canvas.reduce(SUPERSAMPLING)

    def captions(self, n: int = 5) -> list[str]:
        """`n` captions of the scene, each in another wording; the same ones on every call."""
        rng = random.Random(f"captions {self.seed}")
        return [_caption(self, rng) for _ in range(n)]


def draw_scene(seed: int, n_shapes: int | None = None) -> Scene:
    """Draw the scene of a seed; `n_shapes` (1 to 4) is drawn too where it is not given."""
    rng = random.Random(f"scene {seed}")
    background = rng.choice(list(BACKGROUNDS))
    pattern = rng.choice(PATTERNS)
    background_rgb = _jitter(BACKGROUNDS[background], rng, 10)
    drawn = rng.randint(1, 4)
    count = drawn if n_shapes is None else n_shapes
    while True:  # large shapes may leave no room for the rest: then all are drawn anew
        shapes: list[Shape] = []
        for _ in range(40 * count):
            shape = draw_shape(rng)
            if fits(shape, shapes):
                shapes.append(shape)
            if len(shapes) == count:
                return Scene(seed, background, background_rgb, pattern, tuple(shapes))


def fits(shape: Shape, others: Iterable[Shape]) -> bool:
    """Whether a shape keeps clear of all the others."""
    return all(
        math.dist((shape.x, shape.y), (other.x, other.y)) > shape.radius + other.radius + 0.03
        for other in others
    )


def draw_shape(rng: random.Random) -> Shape:
    """Draw one shape; every attribute is drawn apart from the others."""
    size = rng.choice(list(RADII))
    radius = rng.uniform(*RADII[size])
    colour = rng.choice(list(COLOURS))
    return Shape(
        kind=rng.choice(SHAPES),
        colour=colour,
        size=size,
        x=rng.uniform(radius + 0.02, 0.98 - radius),
        y=rng.uniform(radius + 0.02, 0.98 - radius),
        radius=radius,
        angle=rng.uniform(-0.25, 0.25),
        rgb=_jitter(COLOURS[colour], rng, 12),
    )


def _jitter(rgb: tuple[int, int, int], rng: random.Random, by: int) -> tuple[int, int, int]:
    r, g, b = (min(255, max(0, level + rng.randint(-by, by))) for level in rgb)
    return r, g, b


def _scaled(rgb: tuple[int, int, int], factor: float) -> tuple[int, int, int]:
    r, g, b = (min(255, int(level * factor + 0.5)) for level in rgb)
    return r, g, b


def _paint_background(scene: Scene, side: int) -> Image.Image:
    canvas = Image.new("RGB", (side, side), scene.background_rgb)
    draw = ImageDraw.Draw(canvas)
    if scene.pattern == "striped":
        band = side // 8
        for top in range(0, side, 2 * band):
            lighter = _scaled(scene.background_rgb, 1.2)
            draw.rectangle((0, top, side, top + band - 1), fill=lighter)
    elif scene.pattern == "shaded":
        for y in range(side):
            draw.line((0, y, side, y), fill=_scaled(scene.background_rgb, 0.7 + 0.6 * y / side))
    return canvas


def _paint_shape(draw: ImageDraw.ImageDraw, shape: Shape, side: int) -> None:
    x, y, radius = shape.x * side, shape.y * side, shape.radius * side
    box = (x - radius, y - radius, x + radius, y + radius)
    if shape.kind == "circle":
        draw.ellipse(box, fill=shape.rgb)
    elif shape.kind == "ring":
        draw.ellipse(box, outline=shape.rgb, width=max(1, round(radius * 0.38)))
    else:
        cos, sin = math.cos(shape.angle) * radius, math.sin(shape.angle) * radius
        outline = [(x + u * cos - v * sin, y + u * sin + v * cos) for u, v in _OUTLINES[shape.kind]]
        draw.polygon(outline, fill=shape.rgb)


def _regular(points: int, inner: float = 1.0) -> list[tuple[float, float]]:
    """A polygon on the unit circle, first corner up; `inner` < 1 pulls every second corner in."""
    return [
        (
            (inner if k % 2 else 1.0) * math.sin(2 * math.pi * k / points),
            -(inner if k % 2 else 1.0) * math.cos(2 * math.pi * k / points),
        )
        for k in range(points)
    ]


def _heart() -> list[tuple[float, float]]:
    turns = [2 * math.pi * k / 40 for k in range(40)]
    return [
        (
            math.sin(t) ** 3,
            -(13 * math.cos(t) - 5 * math.cos(2 * t) - 2 * math.cos(3 * t) - math.cos(4 * t)) / 17,
        )
        for t in turns
    ]


_OUTLINES: dict[str, list[tuple[float, float]]] = {
    "square": [(-0.84, -0.84), (0.84, -0.84), (0.84, 0.84), (-0.84, 0.84)],
    "triangle": _regular(3),
    "star": _regular(10, inner=0.45),
    "diamond": [(0, -1), (0.62, 0), (0, 1), (-0.62, 0)],
    "cross": [
        (u * sx, v * sy)
        for sx, sy, order in ((1, -1, 1), (1, 1, -1), (-1, 1, 1), (-1, -1, -1))
        for u, v in ((0.3, 1), (0.3, 0.3), (1, 0.3))[::order]
    ],
    "heart": _heart(),
}


def _join(phrases: list[str]) -> str:
    if len(phrases) == 1:
        return phrases[0]
    return ", ".join(phrases[:-1]) + " and " + phrases[-1]


def _relation(first: Shape, second: Shape) -> str:
    dx, dy = second.x - first.x, second.y - first.y
    if abs(dx) > abs(dy):
        return "to the left of" if dx > 0 else "to the right of"
    return "above" if dy > 0 else "below"


def _caption(scene: Scene, rng: random.Random) -> str:
    shapes = list(scene.shapes)
    rng.shuffle(shapes)
    style = rng.random()
    if len(shapes) >= 2 and style < 0.4:
        first, second, *rest = shapes
        text = f"{first.describe(rng)} {_relation(first, second)} {second.describe(rng)}"
        if rest:
            text += rng.choice((" with ", " next to ", " and also ")) + _join(
                [shape.describe(rng, with_size=rng.random() < 0.7) for shape in rest]
            )
    elif style < 0.75:
        text = _join([f"{shape.describe(rng)} {shape.place()}" for shape in shapes])
    elif len({shape.colour for shape in shapes}) == 1 < len(shapes):
        text = f"{COUNTS[len(shapes)]} {shapes[0].colour} shapes: " + _join(
            [f"a {shape.kind}" for shape in shapes]
        )
    else:
        text = _join([shape.describe(rng, with_size=rng.random() < 0.8) for shape in shapes])
    text = rng.choice(_OPENINGS) + text
    if rng.random() < 0.75:
        surface = f"{scene.pattern} {scene.background}" if rng.random() < 0.5 else scene.background
        article = "an" if surface[0] in "aeiou" else "a"
        text += f" on {article} {surface} background"
    return text
