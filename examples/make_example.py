"""Writes the bundled example: real/, generated/ and captions.json (in the form of MS-COCO's).

    python examples/make_example.py

The generated side stands for a text-to-image model with faults that anyone can see: it forgets
objects, it draws hard shapes as circles, and it pulls things towards the middle. Both sides follow
from seeds, so the files are reproducible.
"""

from __future__ import annotations

import json
import random
from dataclasses import replace
from pathlib import Path

from cmdmetric.scenes.drawing import Scene, draw_scene, fits

HERE = Path(__file__).parent
SEEDS = range(500_000, 500_400)  # neither training (from 1,000,000) nor held-out retrieval scenes
SIZE = 64
HARD = ("star", "heart", "cross")
FORGETS, ROUNDS, CENTRES = 0.4, 0.5, 0.3  # how often each fault happens


def imperfect(scene: Scene) -> Scene:
    """The scene as a poor generator would draw it."""
    rng = random.Random(f"imperfect {scene.seed}")
    shapes = list(scene.shapes)
    if len(shapes) > 1 and rng.random() < FORGETS:
        shapes.pop(rng.randrange(len(shapes)))
    for i, shape in enumerate(shapes):
        # What no caption tells is drawn anew: no image is a copy of a real one.
        shape = replace(shape, angle=rng.uniform(-0.25, 0.25))
        if shape.kind in HARD and rng.random() < ROUNDS:
            shape = replace(shape, kind="circle")
        nearer = replace(shape, x=(shape.x + 0.5) / 2, y=(shape.y + 0.5) / 2)
        if rng.random() < CENTRES and fits(nearer, shapes[:i] + shapes[i + 1 :]):
            shape = nearer
        shapes[i] = shape
    red, green, blue = (level + rng.randint(-5, 5) for level in scene.background_rgb)
    tone = (max(0, red), max(0, green), max(0, blue))
    return replace(scene, background_rgb=tone, shapes=tuple(shapes))


def main() -> None:
    images, annotations = [], []
    for folder in ("real", "generated"):
        (HERE / folder).mkdir(exist_ok=True)
    for number, seed in enumerate(SEEDS):
        scene, name = draw_scene(seed), f"scene_{number:03d}.png"
        scene.render(SIZE).save(HERE / "real" / name, optimize=True)
        imperfect(scene).render(SIZE).save(HERE / "generated" / name, optimize=True)
        images.append({"id": number, "file_name": f"real/{name}", "width": SIZE, "height": SIZE})
        for caption in scene.captions(5):
            annotations.append({"id": len(annotations), "image_id": number, "caption": caption})
    info = {"description": "Procedural captioned scenes of cmdmetric", "version": "1.0"}
    content = {"info": info, "images": images, "annotations": annotations}
    (HERE / "captions.json").write_text(json.dumps(content, indent=0) + "\n")


if __name__ == "__main__":
    main()
