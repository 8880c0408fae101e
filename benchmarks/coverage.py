"""Does every interval that is printed cover, and does every test keep its level? A simulation.

    python benchmarks/coverage.py run [--cells REGEX] [--sets 400] [--seed 0] [--out FILE.jsonl]
    python benchmarks/coverage.py table [--out FILE.jsonl]

A cell is a distribution of features, a generator, a way of drawing and a number of images, of which
the truth is known. `run` draws sets of it, and appends one line to the results for each cell, those
that are there already excepted: it may be stopped at any time. `table` prints the results.

In 64 and 256 dimensions variances fall like 1 / k; "coco" are the released moments of MS-COCO, in
512. The bar: an interval covers 93 to 99 %, a test rejects 3.5 to 6.5 % or less.
"""

from __future__ import annotations

import json
import re
import zlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import click
import numpy as np
from numpy.typing import NDArray
from scipy import optimize, special, stats

from cmdmetric import Moments, cross_model_distance
from cmdmetric.scoring.references import load_reference
from cmdmetric.uncertainty import Sample, Uncertainty, paired_difference, uncertainty

Array = NDArray[np.float64]
QUANTITIES = ("cmd", "itdis", "dis_fr", "dis_fl", "dis_rl")
DISTRIBUTIONS = ("gauss", "t6", "sphere")
#: Of cells that the method was not made with.
HELD_OUT = ("lognormal", "skewed")
#: Of more such cells, in fewer and in more dimensions.
FURTHER = ("t3", "t4", "t6", "scales", "signs", "atoms", "lognormal")
GENERATORS = ("perfect", "near", "far", "consistent", "two-se")
RESULTS = Path(__file__).parent / "results" / "coverage.jsonl"
TITLES = ("CMD", "ITDis", "Dis(f,r)", "Dis(f,l)")
FEATURES = tuple(dict.fromkeys((*DISTRIBUTIONS, *HELD_OUT, *FURTHER)))
#: A number that fewer sets have is taken for withheld.
PRINTED = 0.05
#: Of the variance of an image, the share that its caption explains where several are of one.
COMMON = 0.64
#: A truth of zero is known to the rounding of a distance.
ROUNDING = 1e-6


@dataclass(frozen=True)
class Cell:
    """What is simulated.

    Args:
        space: a number of dimensions, also with the rank of the covariances ("64r16"), or "coco".
        features: of FEATURES; "sphere" is a mixture of eight clusters on a sphere,
            "scales" one of two Gaussians of which one in ten samples has thrice the spread, "signs"
            are of independent signs, "atoms" of 50 d vectors with equal chances.
        generator: of GENERATORS: with the real moments, nearly, far off; far off with an ITDis of
            zero; nearly, with an ITDis of two standard errors.
        drawn: "images" (the other sides known), "paired" (all three sides drawn by scene),
            "captions" (images with five captions each), "8x" (so many captions, images of each),
            "uneven" (captions of one to seven images, whose spread differs).
        n: images.
        versus: whether two generators are compared, which are alike ("same") or not ("other").
    """

    space: str
    features: str
    generator: str
    drawn: str
    n: int
    versus: str = ""

    @property
    def name(self) -> str:
        return "/".join(str(v) for v in (*vars(self).values(),) if v != "")


@dataclass(frozen=True)
class World:
    """The truth."""

    f: Moments
    r: Moments
    l: Moments

    @property
    def true(self) -> dict[str, float]:
        d = cross_model_distance(self.f, self.r, self.l)
        return {"cmd": d.cmd, "itdis": d.itdis, **d._asdict()}


@cache
def world(space: str, generator: str, n: int) -> World:
    """n matters only for "two-se"."""
    if space == "coco":
        r, l = (load_reference("coco2014-val", side) for side in ("image", "text"))
    else:
        d, rank = dimensions(space), int(space.partition("r")[2] or dimensions(space))
        rng = np.random.default_rng(d)
        spread = np.where(np.arange(d) < rank, np.arange(1, d + 1) ** -0.5, 0.0)
        turn = np.linalg.qr(rng.standard_normal((d, d)))[0] * spread
        other = np.linalg.qr(rng.standard_normal((d, d)))[0] * spread
        r = Moments.from_statistics(np.zeros(d), turn @ turn.T)
        l = Moments.from_statistics(rng.standard_normal(d) / 4, other @ other.T / 4)
    if generator == "perfect":
        return World(r, r, l)
    if generator == "two-se":
        near = world(space, "near", 0)
        rng = np.random.default_rng(0)
        error = uncertainty(
            draw(rng, near.f, 40 * r.d), r, l, debiasing="none"
        ).itdis.standard_error * np.sqrt(40 * r.d / n)
        return World(shifted(near, 2 * float(error)), r, l)
    size = {"near": 0.1, "far": 0.4, "consistent": 0.4}[generator]
    rng = np.random.default_rng(1)
    noise = rng.standard_normal((r.d, r.d)) / np.sqrt(2 * r.d)
    tilt = (1 - 0.3 * size) * np.eye(r.d) + size * (noise + noise.T)
    shift = rng.standard_normal(r.d) @ r.root() * size / 2
    f = Moments.from_statistics(r.mean + shift, tilt @ r.cov @ tilt.T)
    made = World(f, r, l)
    return World(shifted(made, 0.0), r, l) if generator == "consistent" else made


def shifted(made: World, signed: float) -> Moments:
    """Generated images moved towards the captions or away, so that the signed ITDis is given."""
    way = made.l.mean - made.r.mean

    def moved(step: float) -> Moments:
        return Moments.from_statistics(made.f.mean + step * way, made.f.cov)

    def excess(step: float) -> float:
        d = cross_model_distance(moved(step), made.r, made.l)
        return d.dis_fl - d.dis_rl - signed

    return moved(float(optimize.brentq(excess, -0.95, 0.95)))


@cache
def clusters(d: int) -> tuple[Array, Array, Array]:
    """Centres (8, d) of a mixture on the sphere, and the mean and root of its own moments."""
    rng = np.random.default_rng(3)
    centres = rng.standard_normal((8, d)) * 0.7
    mean, square = np.zeros(d), np.zeros((d, d))
    for centre in centres:
        length = float(np.linalg.norm(centre))
        axis = centre / length
        first, second = along_axis(length, d)
        outer = np.outer(axis, axis)
        mean += first * axis / len(centres)
        square += (second * outer + (1 - second) / (d - 1) * (np.eye(d) - outer)) / len(centres)
    moments = Moments.from_statistics(mean, square - np.outer(mean, mean))
    return centres, mean, np.linalg.inv(moments.root())


def along_axis(length: float, d: int) -> tuple[float, float]:
    """E[t / r] and E[t^2 / r^2] of a normal vector around a centre of this length, by quadrature.

    t is its part along the centre and r its length; across the centre no direction is another.
    """
    nodes, weights = special.roots_hermitenorm(100)
    t = length + nodes[:, None]
    middle = np.sqrt(d - 1)
    low, high = max(0.0, middle - 10), middle + 10
    across, widths = special.roots_legendre(400)
    s = (low + high) / 2 + (high - low) / 2 * across
    mass = np.outer(weights / weights.sum(), widths * stats.chi.pdf(s, d - 1))
    mass /= mass.sum()
    share = t / np.hypot(t, s)
    return float((mass * share).sum()), float((mass * share**2).sum())


def on_sphere(rng: np.random.Generator, centres: Array, n: int) -> Array:
    d = centres.shape[1]
    x = rng.standard_normal((n, d)) + centres[rng.integers(len(centres), size=n)]
    found: Array = x / np.linalg.norm(x, axis=1, keepdims=True)
    return found


def white(rng: np.random.Generator, d: int, n: int, features: str) -> Array:
    """(n, d) with mean zero and covariance one."""
    if features == "sphere":
        centres, mean, inverse = clusters(d)
        return (on_sphere(rng, centres, n) - mean) @ inverse
    z = rng.standard_normal((n, d))
    if features == "lognormal":  # skewed in each factor
        return (np.exp(z / 2) - np.exp(1 / 8)) / np.sqrt((np.exp(1 / 4) - 1) * np.exp(1 / 4))
    if features == "skewed":  # one sample in ten is of another kind, in a tenth of the factors
        far = (rng.random(n) < 0.1) - 0.1
        z[:, : d // 10] = (z[:, : d // 10] + 3 * far[:, None]) / np.sqrt(1 + 9 * 0.09)
        # The factors of the kind go together: they are made uncorrelated.
        return z @ _uncorrelated(d)
    if features == "signs":
        return np.sign(z)
    if features == "atoms":
        found: Array = _atoms(d)[rng.integers(50 * d, size=n)]
        return found
    if features == "scales":
        z *= np.where(rng.random(n) < 0.1, 3.0, 1.0)[:, None] / np.sqrt(1.8)
    elif features in ("t3", "t4", "t6"):
        degrees = int(features[1:])
        z *= np.sqrt((degrees - 2) / rng.chisquare(degrees, n))[:, None]
    return z


@cache
def _atoms(d: int) -> Array:
    """(50 d, d) vectors with mean zero and covariance one."""
    z = np.random.default_rng(5).standard_normal((50 * d, d))
    z -= z.mean(axis=0)
    found: Array = z @ np.linalg.inv(np.linalg.cholesky(z.T @ z / len(z))).T
    return found


@cache
def _uncorrelated(d: int) -> Array:
    """The inverse root of the covariance of "skewed" features."""
    of = np.zeros(d)
    of[: d // 10] = 3 / np.sqrt(1 + 9 * 0.09)
    cov = 0.09 * np.outer(of, of)
    np.fill_diagonal(cov, 1.0)
    values, vectors = np.linalg.eigh(cov)
    found: Array = vectors / np.sqrt(values) @ vectors.T
    return found


def draw(rng: np.random.Generator, m: Moments, n: int, features: str = "gauss") -> Array:
    return m.mean + white(rng, m.d, n, features) @ m.root()


def drawn(cell: Cell, truth: World, rng: np.random.Generator) -> Iterator[Sample | Moments]:
    """The generated images of one set or, for a difference, of two; real images; captions."""
    f, r, l = truth.f, truth.r, truth.l
    n, d = cell.n, r.d
    generated = [f]
    if cell.versus:
        generated.append(world(cell.space, "far", 0).f if cell.versus == "other" else f)

    def side(m: Moments, common: Array, of: NDArray[np.int_]) -> Sample:
        own = white(rng, d, len(of), cell.features)
        x = np.sqrt(COMMON) * common[of] + np.sqrt(1 - COMMON) * own
        return Sample(m.mean + x @ m.root(), of)

    if cell.drawn == "images":
        yield from (Sample(draw(rng, m, n, cell.features)) for m in generated)
        yield from (r, l)
        return
    if cell.drawn == "uneven":
        of = np.repeat(np.arange(n), rng.integers(1, 8, n))[:n]
        common = white(rng, d, n, cell.features)
        scale = np.where(np.arange(n) % 2, np.sqrt(0.2), np.sqrt(1.8))

        def uneven(m: Moments, of: NDArray[np.int_]) -> Sample:
            own = white(rng, d, len(of), cell.features) * scale[of, None]
            x = np.sqrt(COMMON) * common[of] + np.sqrt(1 - COMMON) * own
            return Sample(m.mean + x @ m.root(), of)

        yield from (uneven(m, of) for m in generated)
        yield r
        yield uneven(l, np.unique(of))
        return
    captions = int(cell.drawn[:-1]) if cell.drawn.endswith("x") else n
    common = white(rng, d, captions, cell.features)
    of = np.repeat(np.arange(captions), n // captions)
    yield from (side(m, common, of) for m in generated)
    if cell.drawn == "paired":
        yield from (side(r, common, of), side(l, common, of))
    else:
        yield r
        yield side(l, common, np.repeat(of, 5)) if cell.drawn == "captions" else l


def study(cell: Cell, sets: int, seed: int) -> dict[str, object]:
    """What came of the intervals of so many sets."""
    truth = world(cell.space, cell.generator, cell.n)
    rng = np.random.default_rng((seed, zlib.crc32(cell.name.encode())))
    record: dict[str, object] = {"cell": vars(cell), "sets": sets, "seed": seed}
    true = truth.true
    if cell.versus:
        other = world(cell.space, "far", 0) if cell.versus == "other" else truth
        found = [paired_difference(*drawn(cell, truth, rng)) for _ in range(sets)]
        gap = true["cmd"] - other.true["cmd"]
        record["difference"] = {
            "true": gap,
            **summary([(x.raw, x.debiased, x.standard_error, x.low, x.high) for x in found], gap),
            "rejected": share([x.p_value is not None and x.p_value < 0.05 for x in found]),
            "student": share([x.p_student is not None and x.p_student < 0.05 for x in found]),
            "tested": share([x.p_value is not None for x in found]),
        }
        return record
    results = [uncertainty(*drawn(cell, truth, rng)) for _ in range(sets)]
    for quantity in QUANTITIES:
        bars = [bar(u, quantity) for u in results]
        record[quantity] = {"true": true[quantity], **summary(bars, true[quantity])}
    return record


def bar(u: Uncertainty, quantity: str) -> tuple[float | None, ...]:
    e = getattr(u, quantity)
    return e.raw, e.debiased, e.standard_error, e.low, e.high


def summary(bars: list[tuple[float | None, ...]], true: float) -> dict[str, float | None]:
    """Mean and spread of the estimates, and coverage; None where nothing is printed."""
    raw = np.array([b[0] for b in bars], float)
    known = np.array([b for b in bars if b[3] is not None], float)
    found: dict[str, float | None] = {"raw": float(raw.mean()), "printed": len(known) / len(bars)}
    if len(known):
        _, debiased, error, low, high = known.T
        found |= {
            "debiased": float(debiased.mean()),
            "sd": float(debiased.std(ddof=1)) if len(known) > 1 else 0.0,
            "se": float(error.mean()),
            "width": float((high - low).mean()),
            "below": share(high < true - ROUNDING),
            "above": share(low > true + ROUNDING),
        }
    return found


def share(of: list[bool] | NDArray[np.bool_]) -> float:
    return float(np.mean(of))


#: Sets of a cell by its space: what costs more is drawn less often.
SETS = {"64": 100, "96": 100, "128": 100, "256": 24, "coco": 16}
#: Fewer draws a dimension than this have no interval, whatever they are: so many sets show it.
NO_INTERVAL, FEW = 1.9, 4
#: Captions, and the images of each, where these are what is drawn.
SHARED = ((8, 64), (16, 32), (30, 20), (100, 8), (160, 4), (640, 2))


def dimensions(space: str) -> int:
    return 512 if space == "coco" else int(space.partition("r")[0])


def sets_of(cell: Cell) -> int:
    """How many sets of a cell are drawn."""
    draws = int(cell.drawn[:-1]) if cell.drawn.endswith("x") else cell.n
    if not cell.versus and draws <= NO_INTERVAL * dimensions(cell.space):
        return FEW
    return SETS.get(cell.space, 100) // (1 if cell.n < 20 * dimensions(cell.space) else 4)


def cells() -> Iterator[Cell]:
    """The grid, the cells that tell most first."""

    def grid(space: str, sizes: tuple[float, ...], ways: tuple[str, ...]) -> Iterator[Cell]:
        for size in sizes:
            for way in ways:
                for features in DISTRIBUTIONS:
                    for generator in GENERATORS:
                        n = int(size * dimensions(space))
                        yield Cell(space, features, generator, way, n)

    yield from grid("64", (4, 10, 2), ("images", "captions", "paired"))
    for features in DISTRIBUTIONS:
        for versus, generators in (("same", ("perfect", "near")), ("other", ("near",))):
            for way, n in (
                *((way, size * 64) for size in (2, 10) for way in ("images", "paired")),
                *((f"{k}x", k * m) for k, m in SHARED),
            ):
                for generator in generators:
                    yield Cell("64", features, generator, way, n, versus)
    yield from grid("coco", (2, 4), ("images",))
    yield from grid("256", (2, 4, 10), ("images",))
    for space in ("64", "256", "coco"):
        yield from grid(space, (0.6, 1.2, 1.6), ("images", "captions", "paired"))
    for k, m in SHARED:
        for features in DISTRIBUTIONS:
            for generator in GENERATORS:
                yield Cell("64", features, generator, f"{k}x", k * m)
    yield from grid("64", (100,), ("images", "captions", "paired"))
    for space in ("96", "128"):
        for features in HELD_OUT:
            for generator in GENERATORS:
                for size in (2, 4, 10):
                    n = size * dimensions(space)
                    yield Cell(space, features, generator, "images", n)
            yield Cell(space, features, "near", "images", 4 * dimensions(space), "same")
    for space in ("8", "32", "64", "128"):
        for features in FURTHER:
            for generator in ("perfect", "near", "far"):
                for size in (2.5, 5, 20):
                    n = int(size * dimensions(space))
                    yield Cell(space, features, generator, "images", n)
    for generator in ("perfect", "near", "far"):
        for size in (2.5, 5, 20):
            yield Cell("64r16", "gauss", generator, "images", int(size * 64))
            for features in ("gauss", "t6"):
                yield Cell("32", features, generator, "uneven", int(size * 64))
    yield from grid("256", (2, 4), ("captions", "paired"))
    yield from grid("coco", (2, 4), ("captions", "paired"))
    for features in ("lognormal", "atoms"):
        for way, n in (
            *((way, size * 64) for size in (2, 10) for way in ("images", "paired")),
            *((f"{k}x", k * m) for k, m in ((16, 32), (160, 4))),
        ):
            for generator in ("perfect", "near"):
                yield Cell("64", features, generator, way, n, "same")
    yield from grid("coco", (10,), ("images", "captions", "paired"))
    yield from grid("256", (10,), ("captions", "paired"))
    for features in DISTRIBUTIONS:
        for way in ("images", "paired"):
            yield Cell("256", features, "near", way, 1024, "same")
            yield Cell("256", features, "near", way, 1024, "other")
    yield from grid("256", (100,), ("images",))


def table(header: list[str], rows: list[list[str]]) -> str:
    """A Markdown table, numbers to the right."""
    ruler = ["---:" if cell[0] in "-+0123456789" else "---" for cell in rows[0]] if rows else []
    return "\n".join("| " + " | ".join(row) + " |" for row in (header, ruler, *rows))


def read(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


@click.group()
def main() -> None:
    """See the module's docstring."""


@main.command()
@click.option("--cells", "pattern", default="", help="Only those whose name this is found in.")
@click.option("--sets", default=0, help="Sets of each cell, if not as many as it takes.")
@click.option("--seed", default=0)
@click.option("--out", type=click.Path(path_type=Path), default=RESULTS)
def run(pattern: str, sets: int, seed: int, out: Path) -> None:
    """Simulate the cells that are not there yet."""
    there = {(Cell(**r["cell"]).name, r["seed"]) for r in read(out)}  # type: ignore[arg-type]
    for cell in cells():
        if not re.search(pattern, cell.name) or (cell.name, seed) in there:
            continue
        record = study(cell, sets or sets_of(cell), seed)
        with out.open("a") as file:
            file.write(json.dumps(record) + "\n")
        click.echo(cell.name, err=True)


@main.command(name="table")
@click.option("--out", type=click.Path(path_type=Path), default=RESULTS)
def show(out: Path) -> None:
    """Print the results, first those of all cells together and then cell by cell."""
    rows, tests, pooled, bare = [], [], Counter[tuple[str, str, str]](), Counter[str]()
    for record in read(out):
        cell = Cell(**record["cell"])  # type: ignore[arg-type]
        name = [cell.space, cell.features, cell.generator, cell.drawn, f"{cell.n:,}"]
        name += [str(record["seed"]), str(record["sets"])]
        if cell.versus:
            of = record["difference"]
            rejections = [rejected(of, key) for key in ("rejected", "student")]  # type: ignore[arg-type]
            tests.append([*name, cell.versus, *covered(of), *rejections])  # type: ignore[arg-type]
            continue
        found = [record[quantity] for quantity in QUANTITIES[:4]]
        if all(of["printed"] < PRINTED for of in found):  # type: ignore[index]
            bare[place(cell)] += 1
            continue
        rows.append([*name, *(cell for of in found for cell in covered(of))])  # type: ignore[arg-type]
        for quantity, of in zip(QUANTITIES, found, strict=False):
            for key in ("sets", "below", "above"):
                share = 1.0 if key == "sets" else of[key]  # type: ignore[index]
                shown = record["sets"] * of["printed"] * share  # type: ignore[index,operator]
                for label in (cell.features, place(cell)):
                    pooled[label, quantity, key] += shown
    head = ["space", "features", "generator", "drawn", "images", "seed", "sets"]
    both = [h for q in TITLES for h in (q, "bias / sd")]
    click.echo("All cells with intervals together, by features: coverage, % (and of how many).\n")
    click.echo(table(["features", *TITLES], [pooled_row(pooled, f) for f in FEATURES]))
    click.echo("\nThe same by dimensions, way of drawing and number of images.\n")
    places = dict.fromkeys(label for label, *_ in pooled if label not in FEATURES)
    sorted_places = sorted(places, key=by_size)
    click.echo(table(["drawn", *TITLES], [pooled_row(pooled, label) for label in sorted_places]))
    click.echo(
        "\nCoverage of the 95 % intervals, %, and the bias of the debiased value in standard "
        "deviations; - where nothing is printed, in at least 95 % of sets.\n\n"
        + table([*head, *both], rows)
    )
    click.echo("\nNothing is printed, in any of so many cells:\n")
    click.echo(table(["space, drawn, images", "cells"], [[k, str(n)] for k, n in bare.items()]))
    click.echo(
        "\nDifferences of two generators: coverage, bias, and how often one is told, %, by the "
        "exchange of images and by the standard error.\n\n"
        + table([*head, "generators", "coverage", "bias / sd", "exchange", "error"], tests)
    )


def place(cell: Cell) -> str:
    """Where a cell is, whatever its features and its generator."""
    return f"{cell.space}, {cell.drawn}, {cell.n:,}"


def by_size(label: str) -> tuple[str, str, int]:
    """Places in the order of their space, their way of drawing and their numbers of images."""
    space, drawn, n = label.split(", ")
    return space, drawn, int(n.replace(",", ""))


def pooled_row(pooled: Counter[tuple[str, str, str]], label: str) -> list[str]:
    """Coverage of each number over all cells of some features, or of one place."""
    row = [label]
    for quantity in QUANTITIES[:4]:
        sets, below, above = (pooled[label, quantity, k] for k in ("sets", "below", "above"))
        row.append(f"{100 * (1 - (below + above) / sets):.1f} ({sets:,.0f})" if sets else "-")
    return row


def covered(of: dict[str, float]) -> list[str]:
    if of["printed"] < PRINTED:  # of a few sets, whose samples look less heavy-tailed than they are
        return ["-", "-"]
    bias = (of["debiased"] - of["true"]) / of["sd"] if of["sd"] else 0.0
    return [f"{100 * (1 - of['below'] - of['above']):.1f}", f"{bias:+.2f}"]


def rejected(of: dict[str, float], key: str) -> str:
    return f"{100 * of[key] / of['tested']:.1f}" if of["tested"] else "-"


if __name__ == "__main__":
    main()
