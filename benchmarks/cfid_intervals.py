"""Do the intervals of CFID cover, of few pairs for the captions' dimensions? A simulation.

    python benchmarks/cfid_intervals.py [--dimensions 16,64] [--times 2.5,5,20] [--sets 200]
    python benchmarks/cfid_intervals.py --debiased [--dimensions 16,64] [--times 5,20] [--sets 200]

Captions have variances that fall as 1/k; images follow them by a fixed matrix, with noise. The
generators: the real distribution; one that is moved and wider by a little, and follows the captions
a little less; one moved by 1.2 deviations; one that follows the captions at three tenths; one with
1.5 times the noise. They are drawn with one image of each caption ("single"), so that the mean of
images is no linear function of their captions ("curved", Gaussian captions alone), with four
generated images of each caption ("4 images"), and with two captions for each image ("2 captions").
An interval is to cover the mean of the sets.

With `--debiased` it is about what infinitely many captions would score, which is known of single
images: how far the value is from it, as scored and without its excess, and whether the interval of
the difference from a perfect generator of twice the captions covers the true one.
"""

from __future__ import annotations

import zlib
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import replace

import click
import numpy as np
from coverage import table, white

from cmdmetric.inputs import Captions
from cmdmetric.metrics import Moments, frechet_distance
from cmdmetric.scoring.family.conditional import CLIP_CFID
from cmdmetric.scoring.family.metric import Given
from cmdmetric.scoring.grouping import groups_of
from cmdmetric.scoring.side import Side
from cmdmetric.uncertainty import gap

#: By how many deviations a generator is moved, how large its noise is, how it follows captions.
GENERATORS = {
    "perfect": (0.0, 1.0, 1.0), "near": (0.3, 1.05, 0.95), "moved": (1.2, 1.0, 1.0),
    "blind": (0.0, 1.0, 0.3), "wide": (0.0, 1.5, 1.0),
}  # fmt: skip
WAYS = ("single", "curved", "4 images", "2 captions")
#: How much of the mean of images is no linear function of the captions where they are "curved".
CURVED = 0.5
#: How many captions, their dimensions, features, generator, way of drawing.
Cell = tuple[int, int, str, str, str]


def draw(
    rng: np.random.Generator, n: int, d: int, features: str, generator: str, way: str
) -> Given:
    """n captions in d dimensions, or n images that have two each, with the images of both sides."""
    _, noise, follows = GENERATORS[generator]
    spread, _, shift = world(d, generator)
    x = white(rng, d, n, features) * spread
    means = means_of(x, way)
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


def world(d: int, generator: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(d,) deviations of captions and noise, (d, d) slopes, (d,) how far a generator is moved."""
    spread, fixed = np.arange(1, d + 1) ** -0.5, np.random.default_rng(1000 + d)
    slopes = fixed.standard_normal((d, d)) / np.sqrt(d)
    shift = fixed.standard_normal(d)
    shift *= spread * GENERATORS[generator][0] * np.sqrt(d) / 2 / np.linalg.norm(shift)
    return spread, slopes, shift


def means_of(captions: np.ndarray, way: str) -> np.ndarray:
    """(n, d) the images that are expected for captions (n, d)."""
    spread, slopes, _ = world(captions.shape[1], "perfect")
    means = captions @ slopes
    if way == "curved":
        means += CURVED * (captions**2 - spread**2) @ slopes[::-1]
    return means


def true_value(d: int, generator: str, way: str) -> float:
    """What infinitely many single images score; of "curved" ones the captions are Gaussian."""
    _, noise, follows = GENERATORS[generator]
    spread, slopes, shift = world(d, generator)
    unexplained = np.zeros((d, d))
    if way == "curved":
        half = CURVED * spread[:, None] ** 2 * slopes[::-1]
        unexplained = 2 * half.T @ half
    zero, own = np.zeros(d), np.diag((0.7 * spread) ** 2)
    left = [
        Moments.from_statistics(zero, factor * own + share * unexplained)
        for factor, share in ((noise**2, follows**2), (1.0, 1.0))
    ]
    of_slopes = (1 - follows) ** 2 * np.sum((spread[:, None] * slopes) ** 2)
    return float(shift @ shift + of_slopes + frechet_distance(*left))


def side(rows: np.ndarray, names: tuple[str, ...]) -> Side:
    """Images of these features."""
    rows = rows.astype(np.float32)
    return Side(Moments.from_features(rows), "images", features=rows, names=names)


def grid(
    ways: Sequence[str], times: str, dimensions: str, features: str, seed: int
) -> Iterator[tuple[float, Cell, np.random.Generator]]:
    """The captions a dimension, what `draw` takes, and the random numbers of each cell."""
    for way in ways:
        for many in map(float, times.split(",")):
            for d in map(int, dimensions.split(",")):
                for kind in features.split(",") if way != "curved" else ["gauss"]:
                    for generator in GENERATORS:
                        cell = (round(many * d) + 2, d, kind, generator, way)
                        own = zlib.crc32(repr(cell).encode())
                        yield many, cell, np.random.default_rng((seed, own))


def without_excess(
    dimensions: str, times: str, features: str, sets: int, seed: int
) -> tuple[list[str], list[list[str]]]:
    """Head and rows of the table of debiased values and differences, a row a cell."""
    rows = []
    for many, cell, rng in grid(WAYS[:2], times, dimensions, features, seed):
        _, d, kind, generator, way = cell
        found = [debiased_pair(rng, *cell) for _ in range(sets)]
        value, clean, low, high = np.array(found, float).T
        truth, told = true_value(d, generator, way), ~np.isnan(clean)
        if told.sum() < sets / 20:
            numbers = ["withheld", "-", "-"]
        else:
            off = clean[told] - truth
            error = off.std(ddof=1) / np.sqrt(len(off))
            covered = np.mean((low <= truth) & (truth <= high), where=told)
            numbers = [f"{off.mean():.3f} ± {error:.3f}",
                       f"{off.mean() / value.std(ddof=1):.2f}",
                       f"{100 * covered:.1f}"]  # fmt: skip
        rows.append(
            [way, f"{many:g}", str(d), kind, generator, f"{100 * told.mean():.0f}",
             f"{truth:.3f}", f"{value.mean() - truth:.3f}", *numbers]
        )  # fmt: skip
        click.echo(" ".join(rows[-1]), err=True)
    head = ["drawn", "captions a dimension", "dimensions", "features", "generator", "told, %",
            "true", "bias as scored", "bias debiased", "in deviations",
            "coverage of the difference, %"]  # fmt: skip
    return head, rows


def debiased_pair(
    rng: np.random.Generator, n: int, d: int, features: str, generator: str, way: str
) -> tuple[float, float, float, float]:
    """One value and what is left without its excess, and an interval of its difference.

    That is from a perfect generator of twice the captions, whose true value is zero.
    """
    given = draw(rng, 2 * n, d, features, generator, way)
    rows, names = np.asarray(given.l.features, np.float64), given.r.names or ()
    noise = 0.7 * white(rng, d, 2 * n, features) * world(d, "perfect")[0]
    sides = (side(given.f.features[:n], names[:n]), side(means_of(rows, way) + noise, names))
    of_1, of_2, of_r = groups_of([*sides, given.r], given.l)
    one, two = (
        CLIP_CFID.compute(replace(given, f=f, groups={"f": of_f, "r": of_r}))[0]
        for f, of_f in zip(sides, (of_1, of_2), strict=True)
    )
    found = gap(one, two, {"f1": of_1, "f2": of_2, "r": of_r})
    if one.bias is None or found.debiased is None or found.low is None or found.high is None:
        return one.value, np.nan, np.nan, np.nan
    return one.value, one.value - one.bias, found.low, found.high


@click.command()
@click.option("--dimensions", default="16,64")
@click.option("--times", default="2.5,5,20", help="Captions for each dimension.")
@click.option("--features", default="gauss,t6")
@click.option("--sets", default=200)
@click.option("--seed", default=0)
@click.option("--debiased", is_flag=True, help="About what infinitely many captions score.")
def main(dimensions: str, times: str, features: str, sets: int, seed: int, debiased: bool) -> None:
    """Print the least, the mean and the most by way of drawing and captions for a dimension."""
    if debiased:
        click.echo(table(*without_excess(dimensions, times, features, sets, seed)))
        return
    cells = defaultdict(list)
    for many, cell, rng in grid(WAYS, times, dimensions, features, seed):
        found = []
        for _ in range(sets):
            given = draw(rng, *cell)
            v = CLIP_CFID.compute(given)[0].to_value(given.groups)
            found.append((v.value, v.standard_error, v.low, v.high))
        value, error, low, high = np.array(found, float).T
        covered = (low <= value.mean()) & (value.mean() <= high)
        ratio = error.mean() / value.std(ddof=1)
        cells[cell[-1], many].append((ratio, 100 * covered.mean()))
        click.echo(f"{cell} {value.mean():.4f} {ratio:.2f} {covered.mean():.3f}", err=True)
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
