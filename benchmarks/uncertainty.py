"""Does the finite-sample excess go, and how does the bootstrap compare? A simulation.

    python benchmarks/uncertainty.py [--out benchmarks/results/uncertainty.md] [--sets 8]

The truth is the released statistics of MS-COCO val2014 (512 dimensions) as real images and
captions, and Gaussian generated images: of a perfect generator, whose moments are the real ones,
and of a tilted one, whose CMD is that of published models. `coverage.py` has the coverage of the
intervals. Some minutes on one core.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import click
import matplotlib
import numpy as np
from numpy.typing import NDArray
from scipy import linalg

from cmdmetric import Moments, cross_model_distance, frechet_distance
from cmdmetric.metrics.distance_influence import curvature
from cmdmetric.scoring.references import load_reference
from cmdmetric.uncertainty.error_bars import paired_difference, uncertainty
from cmdmetric.uncertainty.influence import Sample

matplotlib.use("Agg")
import matplotlib.pyplot as plt

Array = NDArray[np.float64]
Row = list[str]


@dataclass(frozen=True)
class World:
    """The truth: three distributions."""

    name: str
    f: Moments
    r: Moments
    l: Moments

    @property
    def true(self) -> dict[str, float]:
        """The quantities of `Uncertainty` at infinitely many samples."""
        d = cross_model_distance(self.f, self.r, self.l)
        return {"cmd": d.cmd, "itdis": d.itdis, **d._asdict()}


def worlds(d: int | None = None) -> list[World]:
    """A perfect generator and a tilted one, in all 512 dimensions or the d that vary most."""
    r, l = (load_reference("coco2014-val", side) for side in ("image", "text"))
    if d is not None:
        vectors = linalg.eigh(r.cov)[1][:, -d:]
        r, l = (
            Moments.from_statistics(vectors.T @ m.mean, vectors.T @ m.cov @ vectors) for m in (r, l)
        )
    rng = np.random.default_rng(0)
    noise = rng.standard_normal((r.d, r.d)) / np.sqrt(2 * r.d)
    tilt = 0.91 * np.eye(r.d) + 0.3 * (noise + noise.T)
    shift = rng.standard_normal(r.d) @ r.root()
    f = Moments.from_statistics(r.mean + shift / linalg.norm(shift), tilt @ r.cov @ tilt.T)
    return [World("perfect", r, r, l), World("tilted", f, r, l)]


def draw_features(rng: np.random.Generator, m: Moments, n: int, tails: float = 0) -> Array:
    """(n, d) Gaussian; with tails, of Student's t of that many degrees, with the same moments."""
    rows = rng.standard_normal((n, m.d)) @ m.root()
    if tails:
        rows *= np.sqrt((tails - 2) / rng.chisquare(tails, n))[:, None]
    return m.mean + rows


# --- the excess ---------------------------------------------------------------------------------


def second_order(f: Moments, r: Moments) -> float:
    """The excess of Dis(f, r) to second order, for Gaussian f."""
    assert f.n
    singular = linalg.svdvals(f.root() @ r.root().T)
    return float(np.trace(f.cov)) / f.n + curvature(singular) / (f.n - 1)


def fid_infinity(quarters: list[Moments], r: Moments) -> float:
    """The intercept of a straight line in 1/n through the whole, the halves and the quarters."""
    halves = [Moments(r.d).merge(quarters[i]).merge(quarters[i + 2]) for i in (0, 1)]
    whole = Moments(r.d).merge(halves[0]).merge(halves[1])
    means = [
        np.mean([frechet_distance(m, r) for m in level]) for level in ([whole], halves, quarters)
    ]
    return float(np.polyfit([1, 2, 4], means, 1)[1])


def excess(world: World, sizes: list[int], sets: int) -> Iterator[tuple[int, Array]]:
    """By n, (sets, 4): Dis(f,r) less the truth, raw, by second order, straight line, spectral."""
    true = world.true["dis_fr"]
    for n in sizes:
        rng = np.random.default_rng(n)
        found = []
        for _ in range(sets):
            x = draw_features(rng, world.f, n)
            whole, quarters = (
                Moments.from_features(x),
                [Moments.from_features(x[i::4]) for i in range(4)],
            )
            raw = frechet_distance(whole, world.r)
            # Real images in the captions' place: two of the three distances cost nothing more.
            spectral = uncertainty(x, world.r, world.r).dis_fr.debiased
            assert spectral is not None
            line = fid_infinity(quarters, world.r)
            found.append([raw, raw - second_order(whole, world.r), line, spectral])
        yield n, np.array(found) - true


# --- the bootstrap ------------------------------------------------------------------------------


def bootstrap_rows(d: int, draws: int) -> Iterator[Row]:
    """Standard errors of the raw Dis(f,r) in d dimensions: true, ours, of the bootstrap."""
    for world in worlds(d):
        for n in (2 * d, 10 * d):
            rng = np.random.default_rng(n)
            raw, first, corrected, resampled = [], [], [], []
            for k in range(draws):
                x = draw_features(rng, world.f, n)
                raw.append(frechet_distance(Moments.from_features(x), world.r))
                if k < 30:
                    first.append(uncertainty(x, world.r, world.l, debiasing="none")
                                 .dis_fr.standard_error)  # fmt: skip
                    corrected.append(uncertainty(x, world.r, world.l).dis_fr.standard_error)
                    resampled.append(np.std(list(bootstrap(x, world.r, rng)), ddof=1))
            yield [
                world.name, str(n), f"{np.std(raw, ddof=1):.4f}", f"{np.mean(first):.4f}",
                f"{np.mean(corrected):.4f}", f"{np.mean(resampled):.4f}",
            ]  # fmt: skip


def bootstrap(x: Array, r: Moments, rng: np.random.Generator) -> Iterator[float]:
    """Dis(f, r) of samples drawn with replacement."""
    for _ in range(60):
        drawn = x[rng.integers(0, len(x), len(x))]
        yield frechet_distance(Moments.from_features(drawn), r)


# --- the report ---------------------------------------------------------------------------------


def table(header: Row, rows: list[Row]) -> str:
    """A Markdown table, numbers to the right."""
    ruler = ["---:" if cell[0] in "-0123456789" else "---" for cell in rows[0]]
    return "\n".join("| " + " | ".join(row) + " |" for row in (header, ruler, *rows))


def plot(by_world: dict[str, list[tuple[int, Array]]], path: Path) -> None:
    """What is left of the excess of Dis(f,r) by the number of images, with 2 sd of one set."""
    figure, axes = plt.subplots(1, 2, figsize=(10, 4), sharey=True, constrained_layout=True)
    names = ("raw", "second order", "straight line in 1/n", "spectral (default)")
    for ax, (name, found) in zip(axes, by_world.items(), strict=True):
        sizes = [n for n, _ in found]
        for column, label in enumerate(names):
            mean = np.array([values[:, column].mean() for _, values in found])
            spread = np.array([values[:, column].std(ddof=1) for _, values in found])
            ax.errorbar(sizes, mean, 2 * spread, label=label, capsize=2, marker="o", ms=3)
        ax.axhline(0, color="grey", lw=0.8)
        ax.set(xscale="log", xlabel="generated images", title=f"{name} generator")
        ax.set_yscale("symlog", linthresh=0.01)
    axes[0].set_ylabel("Dis(f,r) - truth")
    axes[0].legend()
    figure.savefig(path, dpi=120)


def seconds(work: Callable[[], object]) -> str:
    """Processor time, in words."""
    start = time.process_time()
    work()
    return f"{time.process_time() - start:.1f}"


@click.command()
@click.option("--out", type=click.Path(path_type=Path), help="Write the tables to a file too.")
@click.option("--sets", default=8, help="Simulated sets of each size.")
def main(out: Path | None, sets: int) -> None:
    """Print the tables; beside --out, also plot what is left of the excess."""
    parts: list[str] = []

    def show(title: str, text: str) -> None:
        parts.append(f"## {title}\n\n{text}\n")
        click.echo(parts[-1])

    perfect, tilted = worlds()

    found = {w.name: list(excess(w, [1048, 1500, 2000, 5000, 10_000], sets))
             for w in (perfect, tilted)}  # fmt: skip
    rows = [
        [name, f"{n:,}", *(f"{m:.4f} ± {s:.4f}" for m, s in
                           zip(values.mean(axis=0), values.std(axis=0, ddof=1), strict=True))]
        for name, by_size in found.items() for n, values in by_size
    ]  # fmt: skip
    show(
        "What is left of the excess of Dis(f,r)",
        f"Mean and standard deviation, over {sets} sets, of the estimate less the truth.\n\n"
        + table(["generator", "n", "raw", "second order", "straight line in 1/n",
                 "spectral (default)"], rows),
    )  # fmt: skip
    if out:
        plot(found, out.with_suffix(".png"))

    show(
        "Standard error of the raw Dis(f,r), 32 dimensions",
        table(["generator", "n", "true", "first order", "corrected", "bootstrap"],
              list(bootstrap_rows(32, 100))),
    )  # fmt: skip

    rng = np.random.default_rng(9)
    f1, f2, r, l = (Sample(draw_features(rng, m, 30_000))
                    for m in (tilted.f, perfect.f, perfect.r, perfect.l))  # fmt: skip
    rows = [
        ["generated", seconds(lambda: uncertainty(f1, perfect.r, perfect.l))],
        ["generated, captions", seconds(lambda: uncertainty(f1, perfect.r, l))],
        ["generated, real, captions", seconds(lambda: uncertainty(f1, r, l))],
        ["difference of two generated", seconds(
            lambda: paired_difference(f1, f2, perfect.r, perfect.l))],
    ]  # fmt: skip
    show(
        "Processor seconds at n = 30,000, d = 512",
        "Standard errors and debiasing, features and moments at hand.\n\n"
        + table(["sides with features", "seconds"], rows),
    )
    if out:
        title = "# Error bars and finite-sample excess, by simulation\n\n"
        how = "Written by `benchmarks/uncertainty.py`; `docs/uncertainty.md` explains it.\n\n"
        out.write_text(title + how + "\n".join(parts))


if __name__ == "__main__":
    main()
