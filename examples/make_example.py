"""Writes the bundled example: real/, generated/ and captions.json (in the form of MS-COCO's).

    python examples/make_example.py

The generated side stands for a text-to-image model with visible faults: it forgets objects,
mistakes their colours, and blurs. Both sides follow from seeds, so the files are reproducible.
"""

from __future__ import annotations

import json
import random
from dataclasses import replace
from pathlib import Path

from PIL import Image, ImageFilter

from cmdmetric.scenes.drawing import COLOURS, Scene, draw_scene

HERE = Path(__file__).parent
SEEDS = range(500_000, 500_160)  # neither training (from 1,000,000) nor held-out retrieval scenes
SIZE = 64


def imperfect(scene: Scene) -> Image.Image:
    """The scene as a poor generator would draw it."""
    rng = random.Random(f"imperfect {scene.seed}")
    shapes = list(scene.shapes)
    if len(shapes) > 1 and rng.random() < 0.4:
        shapes.pop(rng.randrange(len(shapes)))
    if rng.random() < 0.3:
        victim = rng.randrange(len(shapes))
        shapes[victim] = replace(shapes[victim], rgb=COLOURS[rng.choice(list(COLOURS))])
    picture = replace(scene, shapes=tuple(shapes)).render(SIZE)
    return picture.filter(ImageFilter.GaussianBlur(rng.uniform(0.4, 1.8)))


def main() -> None:
    images, annotations = [], []
    for folder in ("real", "generated"):
        (HERE / folder).mkdir(exist_ok=True)
    for number, seed in enumerate(SEEDS):
        scene, name = draw_scene(seed), f"scene_{number:03d}.png"
        scene.render(SIZE).save(HERE / "real" / name, optimize=True)
        imperfect(scene).save(HERE / "generated" / name, optimize=True)
        images.append({"id": number, "file_name": f"real/{name}", "width": SIZE, "height": SIZE})
        for caption in scene.captions(5):
            annotations.append({"id": len(annotations), "image_id": number, "caption": caption})
    info = {"description": "Procedural captioned scenes of cmdmetric", "version": "1.0"}
    content = {"info": info, "images": images, "annotations": annotations}
    (HERE / "captions.json").write_text(json.dumps(content, indent=0) + "\n")


if __name__ == "__main__":
    main()
