"""What the matcher's vectors know of a scene with one shape: linear probes for shape and place.

    python benchmarks/probes.py runs/itm/model

A probe is a logistic regression from a frozen vector to the shape (of 8) or the place (of 9),
trained on 4,000 scenes and asked about 1,000 others. What a probe cannot read off the matcher's
vectors, the matching losses can hardly teach a generator.
"""

from __future__ import annotations

from pathlib import Path

import click
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from cmdmetric.scenes import draw_scene
from cmdmetric.scenes.drawing import SHAPES, Scene
from grgan_ref.config import Config
from grgan_ref.data import to_unit
from grgan_ref.files import read_model
from grgan_ref.matching import ITM, load_matcher

SIDE, TRAIN, TEST = 64, range(70_000_000, 70_004_000), range(70_004_000, 70_005_000)


def place_of(scene: Scene) -> int:
    """The number of the cell, of three by three, that the scene's only shape is in."""
    (shape,) = scene.shapes
    row, column = shape.cell
    return 3 * row + column


@torch.no_grad()
def vectors(matcher: ITM, config: Config, scenes: list[Scene]) -> dict[str, Tensor]:
    """The matcher's vectors of the scenes by name, (n, d) each.

    The caption tells shape and place in the words of the scenes' own language.
    """
    found: dict[str, list[Tensor]] = {}
    for start in range(0, len(scenes), 200):
        some = scenes[start : start + 200]
        pixels = np.stack([np.asarray(scene.render(SIDE)) for scene in some])
        regions, code = matcher.encode_image(to_unit(torch.from_numpy(pixels).permute(0, 3, 1, 2)))
        captions = [
            f"a {s.shapes[0].colour} {s.shapes[0].kind} {s.shapes[0].place()}" for s in some
        ]
        tokens, sentence, words = matcher.encode_captions(captions, config.itm.words)
        kept = (~tokens.mask)[:, None].float()
        parts = {
            "sentence": sentence,
            "words, mean": (words * kept).sum(2) / kept.sum(2),
            "image code": code,
            "regions, mean": regions.mean((2, 3)),
            "regions, all": regions.flatten(1),
        }
        for name, part in parts.items():
            found.setdefault(name, []).append(part)
    return {name: torch.cat(parts) for name, parts in found.items()}


def probe(train: Tensor, right: Tensor, test: Tensor) -> Tensor:
    """What a logistic regression fitted to `train` (n, d) and `right` (n,) says of `test`."""
    torch.manual_seed(0)
    mean, deviation = train.mean(0), train.std(0) + 1e-6
    train, test = (train - mean) / deviation, (test - mean) / deviation
    layer = torch.nn.Linear(train.shape[1], int(right.max()) + 1)
    optimizer = torch.optim.AdamW(layer.parameters(), 0.01, weight_decay=0.1)
    for _ in range(300):
        rows = torch.randint(len(train), (512,))
        loss = F.cross_entropy(layer(train[rows]), right[rows])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return layer(test).argmax(1)


@click.command()
@click.argument("model", type=click.Path(path_type=Path, exists=True))
def main(model: Path) -> None:
    """Probe the matcher in the folder MODEL; print a table in Markdown."""
    _, config = read_model(model / "itm.safetensors")
    matcher = load_matcher(model, config).eval()
    assert isinstance(matcher, ITM)
    scenes = {part: [draw_scene(seed, 1) for seed in seeds] for part, seeds in
              (("train", TRAIN), ("test", TEST))}  # fmt: skip
    known = {part: vectors(matcher, config, drawn) for part, drawn in scenes.items()}
    click.echo("| vector | shape (of 8) | place (of 9) |\n| --- | ---: | ---: |")
    for name in known["train"]:
        cells = []
        for answer in (lambda s: SHAPES.index(s.shapes[0].kind), place_of):
            right = {part: torch.tensor([answer(s) for s in scenes[part]]) for part in scenes}
            said = probe(known["train"][name], right["train"], known["test"][name])
            cells.append(f"{100 * (said == right['test']).float().mean().item():.1f}")
        click.echo(f"| {name} | {cells[0]} | {cells[1]} |")


if __name__ == "__main__":
    main()
