"""Are the standard errors of the family those of repeated draws? A simulation.

    python benchmarks/family_errors.py [--out benchmarks/results/family_errors.md] [--draws 40]

The truth is the released statistics of MS-COCO val2014 (512 dimensions): scenes of which an image
of the generator, a real image and two captions are drawn, all three sides with the released
moments (the generator with those of uncertainty.py's two worlds). An image and its captions are one
draw, as in a score.
Inception's features are stand-ins made of the images' by a fixed random layer, since no statistics
of Inception's own features are at hand. About half an hour on one core.
"""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

import click
import numpy as np
from uncertainty import World, table, worlds

from cmdmetric.inputs.captions import read_captions
from cmdmetric.metrics.moments import Moments
from cmdmetric.scoring.family.catalogue import METRICS, measure
from cmdmetric.scoring.family.metric import Given, Seen
from cmdmetric.scoring.grouping import groups_of
from cmdmetric.scoring.side import Side

#: Of the variance of a side, the share that its scene explains.
COMMON = 0.64
CAPTIONS = 2
#: Those whose features there are stand-ins for.
MEASURED = [name for name, metric in METRICS.items() if metric.network in (None, "inception")]


def draw(world: World, n: int, rng: np.random.Generator) -> Given:
    """n scenes: generated and real images, captions, and stand-ins of Inception's features."""
    scene = rng.standard_normal((n, world.r.d))

    def side(moments: Moments, of: np.ndarray) -> np.ndarray:
        own = rng.standard_normal(of.shape)
        x = (np.sqrt(COMMON) * of + np.sqrt(1 - COMMON) * own) @ moments.root()
        return (moments.mean + x).astype(np.float32)

    names = tuple(f"{i}.png" for i in range(n))
    texts = read_captions({x: [f"{k} of {x} here" for k in range(CAPTIONS)] for x in names})
    x_f, x_r = side(world.f, scene), side(world.r, scene)
    x_l = side(world.l, np.repeat(scene, CAPTIONS, axis=0))
    f, r = (Side(Moments.from_features(x), "images", features=x, names=names) for x in (x_f, x_r))
    l = Side(Moments.from_features(x_l), "captions", features=x_l, texts=texts,
             kept=tuple(range(n * CAPTIONS)))  # fmt: skip
    layer = np.random.default_rng(0)
    pool = layer.standard_normal((world.r.d, 2048)).astype(np.float32) / 2
    logits = layer.standard_normal((world.r.d, 100)).astype(np.float32) / 2
    seen = [np.concatenate([np.maximum(x @ pool, 0), x @ logits], axis=1) for x in (x_f, x_r)]
    groups = dict(zip("fr", groups_of([f, r], l), strict=True))
    return Given(f, r, l, None, {"inception": Seen(*seen)}, groups)


def rows(world: World, n: int, draws: int, names: tuple[str, ...]) -> list[list[str]]:
    """Of each number: mean, true standard deviation, mean standard error, and their ratio."""
    values, errors = defaultdict(list), defaultdict(list)
    for seed in range(draws):
        given = draw(world, n, np.random.default_rng(seed))
        for name in names:
            for key, number in measure(METRICS[name], given).items():
                found = number.to_value(given.groups)
                values[key].append(found.value)
                if found.standard_error is not None:
                    errors[key].append(found.standard_error)
    cells = []
    for key, drawn in values.items():
        true, mean = np.std(drawn, ddof=1), np.mean(errors[key]) if errors[key] else None
        known = ["-", "-"] if mean is None else [f"{mean:.3g}", f"{mean / true:.2f}"]
        cells.append([key, world.name, f"{np.mean(drawn):.4g}", f"{true:.3g}", *known])
    return cells


@click.command()
@click.option("--out", type=click.Path(path_type=Path), help="Write the table to a file too.")
@click.option("--draws", default=40, help="Simulated sets for each generator.")
@click.option("-n", default=2000, help="Images of a set.")
@click.option("--metrics", default=",".join(MEASURED), help="Of these metrics.")
def main(out: Path | None, draws: int, n: int, metrics: str) -> None:
    """Print the table."""
    wanted = metrics.split(",")
    clip = tuple(name for name in wanted if not METRICS[name].network)
    inception = tuple(name for name in wanted if METRICS[name].network)
    found = [
        row
        for names, count in ((clip, draws), (inception, max(2, draws // 2)))
        for world in worlds()
        for row in rows(world, n, count, names)
    ]
    found.sort(key=lambda row: row[1])
    text = (
        "# Standard errors of the family, by simulation\n\n"
        "Written by `benchmarks/family_errors.py`; `docs/uncertainty.md` explains it.\n\n"
        f"{n:,} images, as many real ones and {CAPTIONS * n:,} captions; {draws} sets (of "
        f"Inception's metrics {max(2, draws // 2)}), which tell a true standard deviation to "
        f"{100 / np.sqrt(2 * (draws - 1)):.0f} % ({100 / np.sqrt(2 * (draws // 2 - 1)):.0f} %).\n\n"
        + table(["number", "generator", "mean", "true sd", "mean SE", "SE / sd"], found)
        + "\n"
    )
    click.echo(text)
    if out:
        out.write_text(text)


if __name__ == "__main__":
    main()
