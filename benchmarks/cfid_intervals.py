"""Do the intervals of CFID cover, of few pairs for the captions' dimensions? A simulation.

    python benchmarks/cfid_intervals.py [--dimensions 16,64] [--times 2.5,5,20] [--sets 200]

Captions have variances that fall as 1/k; images follow them by a fixed matrix, with noise. The
generators: the real distribution; one that is moved and wider by a little, and follows the captions
a little less; one moved by 1.2 deviations; one that follows the captions at three tenths; one with
1.5 times the noise. They are drawn with one image of each caption ("single"), so that the mean of
images is no linear function of their captions ("curved", Gaussian captions alone), with four
generated images of each caption ("4 images"), and with two captions for each image ("2 captions").
An interval is to cover the mean of the sets.
"""

from __future__ import annotations

import zlib
from collections import defaultdict

import click
import numpy as np
from coverage import table, white

from cmdmetric.inputs import Captions
from cmdmetric.metrics import Moments
from cmdmetric.scoring.family.conditional import CLIP_CFID
from cmdmetric.scoring.family.metric import Given
from cmdmetric.scoring.grouping import groups_of
from cmdmetric.scoring.side import Side

#: By how many deviations a generator is moved, how large its noise is, how it follows captions.
GENERATORS = {
    "perfect": (0.0, 1.0, 1.0), "near": (0.3, 1.05, 0.95), "moved": (1.2, 1.0, 1.0),
    "blind": (0.0, 1.0, 0.3), "wide": (0.0, 1.5, 1.0),
}  # fmt: skip
WAYS = ("single", "curved", "4 images", "2 captions")


def draw(
    rng: np.random.Generator, n: int, d: int, features: str, generator: str, way: str
) -> Given:
    """n captions in d dimensions, or n images that have two each, with the images of both sides."""
    moved, noise, follows = GENERATORS[generator]
    spread, fixed = np.arange(1, d + 1) ** -0.5, np.random.default_rng(1000 + d)
    slopes = fixed.standard_normal((d, d)) / np.sqrt(d)
    shift = fixed.standard_normal(d)
    shift *= spread * moved * np.sqrt(d) / 2 / np.linalg.norm(shift)
    x = white(rng, d, n, features) * spread
    means = x @ slopes
    if way == "curved":
        means += 0.5 * (x**2 - spread**2) @ slopes[::-1]
    per_caption, per_image = (4 if way == "4 images" else 1), (2 if way == "2 captions" else 1)
    names = [f"{i}.png" for i in range(n)]
    owner = np.repeat(np.arange(n), per_caption)
    f = shift + follows * means[owner] + 0.7 * noise * white(rng, d, len(owner), features) * spread
    r = means + 0.7 * white(rng, d, n, features) * spread
    texts = np.repeat(x, per_image, axis=0)
    texts += (per_image > 1) * 0.5 * white(rng, d, len(texts), features) * spread
    # A generated image has the name of its caption's image, with a number where there are several.
    of_f = [f"{i}-{k}.png" if k else names[i] for i in range(n) for k in range(per_caption)]
    readings = [f"caption {i} {k}" for i in range(n) for k in range(per_image)]
    if per_caption > 1:
        readings = [readings[caption] for caption in owner]
    named = Captions(tuple(readings), tuple(name for name in of_f for _ in range(per_image)))
    text_rows = np.repeat(texts, per_caption, axis=0) if per_image == 1 else texts
    one, two = side(f, tuple(of_f)), side(r, tuple(names))
    l = Side(Moments.from_features(text_rows), "l", features=text_rows.astype(np.float32),
             texts=named, kept=tuple(range(len(text_rows))))  # fmt: skip
    groups = dict(zip("fr", groups_of([one, two], l), strict=True))
    return Given(one, two, l, groups=groups)


def side(rows: np.ndarray, names: tuple[str, ...]) -> Side:
    """Images of these features."""
    rows = rows.astype(np.float32)
    return Side(Moments.from_features(rows), "images", features=rows, names=names)


@click.command()
@click.option("--dimensions", default="16,64")
@click.option("--times", default="2.5,5,20", help="Captions for each dimension.")
@click.option("--features", default="gauss,t6")
@click.option("--sets", default=200)
@click.option("--seed", default=0)
def main(dimensions: str, times: str, features: str, sets: int, seed: int) -> None:
    """Print the least, the mean and the most by way of drawing and captions for a dimension."""
    cells = defaultdict(list)
    for way in WAYS:
        for many in map(float, times.split(",")):
            for d in map(int, dimensions.split(",")):
                for kind in features.split(",") if way != "curved" else ["gauss"]:
                    for generator in GENERATORS:
                        cell = (round(many * d) + 2, d, kind, generator, way)
                        rng = np.random.default_rng((seed, zlib.crc32(repr(cell).encode())))
                        found = []
                        for _ in range(sets):
                            given = draw(rng, *cell)
                            v = CLIP_CFID.compute(given)[0].to_value(given.groups)
                            found.append((v.value, v.standard_error, v.low, v.high))
                        value, error, low, high = np.array(found, float).T
                        covered = (low <= value.mean()) & (value.mean() <= high)
                        ratio = error.mean() / value.std(ddof=1)
                        cells[way, many].append((ratio, 100 * covered.mean()))
                        click.echo(
                            f"{cell} {value.mean():.4f} {ratio:.2f} {covered.mean():.3f}", err=True
                        )
    rows = []
    for (way, many), found in cells.items():
        ratio, covered = np.array(found).T
        rows.append(
            [way, f"{many:g}", str(len(found)),
             " / ".join(f"{x:.2f}" for x in (ratio.min(), ratio.mean(), ratio.max())),
             " / ".join(f"{x:.1f}" for x in (covered.min(), covered.mean(), covered.max())),
             str(int(np.sum(covered < 93)))]
        )  # fmt: skip
    head = ["drawn", "captions a dimension", "cells", "SE / sd", "coverage, %", "cells below 93 %"]
    click.echo(table(head, rows))


if __name__ == "__main__":
    main()
