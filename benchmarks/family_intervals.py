"""Do the intervals of the family's numbers cover, of few images of many kinds? A simulation.

    python benchmarks/family_intervals.py run [--metrics prdc,cmmd] [--seed 0] [--out FILE.jsonl]
    python benchmarks/family_intervals.py table [--out FILE.jsonl]

Generated and real images are drawn one by one, of features whose variances fall as 1/k: the real
distribution itself, moved and wider by a little, moved by 1.2 deviations, or 1.5 times as wide. An
interval is to cover the mean of the sets; of an unbiased distance of equal sets that is zero.
"""

from __future__ import annotations

import json
import zlib
from collections import defaultdict
from pathlib import Path

import click
import numpy as np
from coverage import table, white

from cmdmetric.metrics import Moments
from cmdmetric.scoring.family.distances import CLIP_MIND, frechet
from cmdmetric.scoring.family.diversity import VENDI, precision_to_coverage
from cmdmetric.scoring.family.kernels import CLIP_KID, CMMD, kid_of
from cmdmetric.scoring.family.metric import Given, Seen
from cmdmetric.scoring.side import Side
from cmdmetric.uncertainty import Measured

RESULTS = Path(__file__).parent / "results" / "family_intervals.jsonl"
NUMBERS = {
    "prdc": ("precision", "recall", "density", "coverage"),
    "cmmd": ("cmmd", "cmmd_biased"),
}
UNBIASED = ("cmmd", "clip_kid", "kid")
#: By how many deviations a generator is moved, and how much wider it is.
GENERATORS = {"perfect": (0.0, 1.0), "near": (0.3, 1.05), "moved": (1.2, 1.0), "wide": (0.0, 1.5)}
FEATURES = ("gauss", "t6", "sphere", "lognormal")
#: A number that fewer sets have is taken for withheld.
PRINTED = 0.25


def measure(name: str, given: Given) -> list[Measured]:
    """The numbers of a metric; Fréchet distance and KID are of a network's features as they are."""
    if name == "prdc":
        return precision_to_coverage(given)
    if name in ("fd", "kid"):
        return list((frechet if name == "fd" else kid_of)("network", given))
    of = {"vendi": VENDI, "cmmd": CMMD, "clip_kid": CLIP_KID, "clip_mind": CLIP_MIND}
    return list(of[name].compute(given))


def draw(rng: np.random.Generator, n: int, d: int, features: str, generator: str) -> Given:
    """n generated and n real images in d dimensions."""
    moved, scale = GENERATORS[generator]
    spread = np.arange(1, d + 1) ** -0.5
    way = np.random.default_rng(1000 + d).standard_normal(d)
    shift = way / np.linalg.norm(way) * spread * moved * np.sqrt(d) / 2
    f = 0.5 + shift + scale * white(rng, d, n, features) * spread
    r = 0.5 + white(rng, d, n, features) * spread
    x, y = f.astype(np.float32), r.astype(np.float32)
    one, two = (Side(Moments.from_features(z), "images", features=z) for z in (x, y))
    return Given(one, two, one, None, {"network": Seen(x, y)}, {})


def study(
    metrics: list[str], cell: tuple[int, int, str, str], sets: int, seed: int
) -> list[dict[str, object]]:
    """Of each number SE over deviation, the coverage, and how many sets have them."""
    rng = np.random.default_rng((seed, zlib.crc32("{}{}{}{}".format(*cell).encode())))
    found = defaultdict(list)
    for _ in range(sets):
        given = draw(rng, *cell)
        for metric in metrics:
            for name, number in zip(
                NUMBERS.get(metric, (metric,)), measure(metric, given), strict=True
            ):
                v = number.to_value(given.groups)
                found[name].append((v.value, v.standard_error, v.low, v.high))
    rows = []
    for name, values in found.items():
        value, error, low, high = np.array(values, float).T
        known = ~np.isnan(error)
        zero = name in UNBIASED and cell[3] == "perfect"
        true, row = 0.0 if zero else value.mean(), {"number": name, "printed": known.mean()}
        if known.any():
            row["ratio"] = error[known].mean() / value.std(ddof=1)
            row["covered"] = np.mean((low[known] <= true) & (true <= high[known]))
        rows.append(
            {**dict(zip(("n", "d", "features", "generator"), cell, strict=True)), "sets": sets,
             "seed": seed, **row}
        )  # fmt: skip
    return rows


@click.group()
def main() -> None:
    """See the module's docstring."""


@main.command()
@click.option("--metrics", default="prdc,vendi,fd,cmmd,clip_kid")
@click.option("--images", default="50,100,300")
@click.option("--dimensions", default="8,20,64")
@click.option("--sets", default=200)
@click.option("--seed", default=0)
@click.option("--out", type=click.Path(path_type=Path), default=RESULTS)
def run(metrics: str, images: str, dimensions: str, sets: int, seed: int, out: Path) -> None:
    """Simulate all cells."""
    for n in map(int, images.split(",")):
        for d in map(int, dimensions.split(",")):
            for features in FEATURES:
                for generator in GENERATORS:
                    cell = (n, d, features, generator)
                    with out.open("a") as file:
                        for row in study(metrics.split(","), cell, sets, seed):
                            file.write(json.dumps(row, default=float) + "\n")


@main.command(name="table")
@click.option("--out", type=click.Path(path_type=Path), default=RESULTS)
def show(out: Path) -> None:
    """Print, by number and images, the least, the mean and the most of all cells."""
    cells = defaultdict(list)
    for line in out.read_text().splitlines():
        row = json.loads(line)
        if row["printed"] > PRINTED:
            cells[row["number"], row["n"]].append((row["ratio"], 100 * row["covered"]))
    rows = []
    for (number, n), found in sorted(cells.items()):
        ratio, covered = np.array(found).T
        below = int(np.sum(covered < 93))
        rows.append(
            [number, f"{n:,}", str(len(found)),
             " / ".join(f"{x:.2f}" for x in (ratio.min(), ratio.mean(), ratio.max())),
             " / ".join(f"{x:.1f}" for x in (covered.min(), covered.mean(), covered.max())),
             str(below)]
        )  # fmt: skip
    click.echo(
        table(["number", "images", "cells", "SE / sd", "coverage, %", "cells below 93 %"], rows)
    )


if __name__ == "__main__":
    main()
