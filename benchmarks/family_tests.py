"""Do the tests of the family's differences keep their level? A simulation.

    python benchmarks/family_tests.py [--sets 200] [--out benchmarks/results/family_tests.md]

Two generators that are the same draw images of the same captions, and are compared as `--versus`
does it. The truth is MS-COCO's released moments in the 24 dimensions that vary most; the two worlds
are those of `uncertainty.py`. A scene explains 64 % of the variance of its images, real and
generated, and of its caption. The bar: no test rejects more than 6.5 % at 5 %, but for what chance
adds. Some minutes on one core.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import click
import numpy as np
from uncertainty import World, table, worlds

from cmdmetric.compare.two_generators import gaps_of
from cmdmetric.inputs.captions import read_captions
from cmdmetric.metrics import Moments
from cmdmetric.scoring.family.catalogue import METRICS, measure
from cmdmetric.scoring.family.metric import Given
from cmdmetric.scoring.grouping import groups_of
from cmdmetric.scoring.side import Side
from cmdmetric.scoring.together import Scored
from cmdmetric.uncertainty import holm

#: Of the variance of a side, the share that its scene explains.
COMMON = 0.64
NAMES = ("clipscore", "r_precision", "fjd", "cmmd", "clip_kid")


@dataclass(frozen=True)
class Way:
    """How sets are drawn: captions, images of each, and real images, paired if of the same."""

    name: str
    captions: int
    images: int
    real: int
    paired: bool


WAYS = (
    Way("captions 8 x 16 images, 400 other real images", 8, 16, 400, False),
    Way("captions 150 x 4 images, their 150 real images", 150, 4, 150, True),
    Way("images 300, 100 other real images", 300, 1, 100, False),
    Way("images 300, their 300 real images", 300, 1, 300, True),
)


def draw(world: World, way: Way, rng: np.random.Generator) -> list[Scored]:
    """The sets of two generators, scored as far as a difference takes it."""
    scenes, d = rng.standard_normal((way.captions + way.real, world.r.d)), world.r.d

    def side(m: Moments, of: np.ndarray) -> np.ndarray:
        own = rng.standard_normal((len(of), d))
        x = (np.sqrt(COMMON) * scenes[of] + np.sqrt(1 - COMMON) * own) @ m.root()
        return (m.mean + x).astype(np.float32)

    of = np.repeat(np.arange(way.captions), way.images)
    of_real = np.arange(way.real) + (0 if way.paired else way.captions)
    names = tuple(f"{i}-{k % way.images}.png" for k, i in enumerate(of))
    if way.images == 1 or not way.paired:
        real = tuple(f"{i}-0.png" for i in of_real)
    else:
        real = tuple(f"real-{i}.png" for i in of_real)
    scene_of_name = dict(zip(names + real, (*of, *of_real), strict=True))
    texts = {name: [f"this is scene {scene}"] for name, scene in scene_of_name.items()}
    captions = read_captions(texts)
    scene_of = np.array([int(text.split()[-1]) for text in captions.texts])
    x_l = side(world.l, np.unique(scene_of))[np.searchsorted(np.unique(scene_of), scene_of)]
    l = Side(Moments.from_features(x_l), "captions", features=x_l, texts=captions,
             kept=tuple(range(len(x_l))))  # fmt: skip
    x_r = side(world.r, of_real)
    r = Side(Moments.from_features(x_r), "real", features=x_r, names=real)
    found = []
    for source in ("first", "second"):
        x_f = side(world.f, of)
        f = Side(Moments.from_features(x_f), source, features=x_f, names=names)
        given = Given(f, r, l, groups=dict(zip("fr", groups_of([f, r], l), strict=True)))
        names_of = NAMES if way.captions > 99 else [n for n in NAMES if n != "r_precision"]
        metrics = tuple(METRICS[name] for name in names_of)
        measured = {k: v for metric in metrics for k, v in measure(metric, given).items()}
        found.append(
            Scored(cast(Any, None), f, r, l, metrics=metrics, measured=measured, given=given)
        )
    return found


def rows(world: World, way: Way, sets: int) -> Iterator[list[str]]:
    """Of each number how often either test rejects, %, and of how many sets."""
    p, student = defaultdict(list), defaultdict(list)
    for seed in range(sets):
        one, two = draw(world, way, np.random.default_rng((seed, way.captions)))
        gaps = gaps_of(one, two)
        for name, gap in gaps.items():
            p[name].append(gap.p_value if gap.test == "permutation" else None)
            student[name].append(gap.p_student)
        for of in (p, student):
            told = [values[-1] for name, values in of.items() if name in gaps]
            of["any, adjusted (Holm)"].append(
                min(holm([x for x in told if x is not None]), default=1.0)
            )
    for name in p:
        told = [
            "-" if None in of else f"{100 * np.mean(np.array(of) < 0.05):.1f}"
            for of in (p[name], student[name])
        ]
        yield [name, world.name, way.name, *told]


@click.command()
@click.option("--out", type=click.Path(path_type=Path), help="Write the table to a file too.")
@click.option("--sets", default=200, help="Pairs of sets of each row.")
def main(out: Path | None, sets: int) -> None:
    """Print the table."""
    found = []
    for way in WAYS:
        for world in worlds(24):
            found += list(rows(world, way, sets))
            click.echo(f"{way.name}, {world.name}", err=True)
    error = 100 * np.sqrt(0.05 * 0.95 / sets)
    text = (
        "# How often two generators that are alike are told apart, at 5 %\n\n"
        "Written by `benchmarks/family_tests.py`; `docs/uncertainty.md` explains it. Images that "
        "change places, and Student's t of the standard error; - where there is no test. Of "
        f"{sets} pairs of sets 5 % is known to {error:.1f} %.\n\n"
        + table(["number", "generator", "drawn", "exchange, %", "error, %"], found)
        + "\n"
    )
    click.echo(text)
    if out:
        out.write_text(text)


if __name__ == "__main__":
    main()
