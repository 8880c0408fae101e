"""What CMD and the metrics beside it see: eleven damages, memorising, and the number of samples.

    python benchmarks/what_cmd_sees.py [--protocol grgan] [--photos FOLDER] [--out FOLDER]

Everything is drawn from `cmdmetric.scenes` and encoded by the bundled encoder. A perfect generator
is a further set of scenes, scored with its own captions against the real scenes; a damage is done
to one such set, more and more. A metric sees it where the value leaves what 12 perfect generators
score, by more than 3 standard deviations. Writes one plot an experiment, under the protocol grgan,
and the tables what-cmd-sees-PROTOCOL.md.
"""

from __future__ import annotations

import io
import json
import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import zip_longest
from pathlib import Path

import click
import matplotlib
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from cmdmetric import Encoder, Moments, cross_model_distance
from cmdmetric.encoders.preprocess import to_pixels
from cmdmetric.metrics.clipscore import clipscore
from cmdmetric.metrics.joint.cfid import cfid
from cmdmetric.metrics.joint.fjd import fjd
from cmdmetric.metrics.kernels.cmmd import cmmd
from cmdmetric.metrics.neighbours.prdc import prdc_scores
from cmdmetric.metrics.retrieval import r_precision
from cmdmetric.metrics.vendi import vendi_score
from cmdmetric.scenes.drawing import BACKGROUNDS, SHAPES, Scene, draw_scene
from cmdmetric.uncertainty.error_bars import uncertainty
from cmdmetric.uncertainty.influence import Sample

matplotlib.use("Agg")
import matplotlib.pyplot as plt
from matplotlib.figure import Figure

RESULTS = Path(__file__).resolve().parent / "results"
Array = NDArray[np.float32]
Damage = Callable[[Scene, float], Image.Image]

SIZE = 64  # pixels a side
N = 400  # pairs of a set
PERFECT = 12  # perfect generators
LIMIT = 3.0  # standard deviations among them that a metric must leave to see something
POOL = 2048  # pairs of the experiment with the number of samples
FIRST_SEED = {"real": 500_000, "generated": 600_000}
#: Okabe and Ito's colours, told apart by all kinds of colour vision.
BLUE, VERMILLION, GREEN, GREY = "#0072B2", "#D55E00", "#009E73", "#E3E3E3"
#: Metric: whether higher is better.
METRICS = {
    "CMD": False, "Dis(f,r)": False, "ITDis": False, "FJD": False, "CFID": False,
    "CLIPScore": True, "R-precision": True, "CMMD": False, "Vendi": True,
    "precision": True, "recall": True, "density": True, "coverage": True,
}  # fmt: skip


@dataclass(frozen=True)
class Pairs:
    """Features of images and of the caption of each."""

    images: Array
    captions: Array


@dataclass(frozen=True)
class Experiment:
    """One damage at several levels, the first of them none."""

    name: str
    unit: str
    levels: tuple[float, ...]

    @property
    def file(self) -> str:
        return f"sees-{self.name.replace(',', '').replace(' ', '-').lower()}.png"


# --- damages of images ------------------------------------------------------------------------


def blurred(image: Image.Image, radius: float, _: int) -> Image.Image:
    return image.filter(ImageFilter.GaussianBlur(radius))


def noisy(image: Image.Image, sigma: float, seed: int) -> Image.Image:
    noise = np.random.default_rng(seed).standard_normal((SIZE, SIZE, 3))
    return Image.fromarray((np.asarray(image) + sigma * noise).clip(0, 255).astype(np.uint8))


def compressed(image: Image.Image, quality: float, _: int) -> Image.Image:
    file = io.BytesIO()
    image.save(file, "JPEG", quality=int(quality))
    return Image.open(file).convert("RGB")


def colour_shift(scene: Scene, degrees: float) -> Image.Image:
    hue, saturation, value = scene.render(SIZE).convert("HSV").split()
    turned = hue.point(lambda h: int(h + degrees / 360 * 256) % 256)
    return Image.merge("HSV", (turned, saturation, value)).convert("RGB")


def lost_objects(scene: Scene, share: float) -> Image.Image:
    rng = random.Random(scene.seed)
    kept = tuple(shape for shape in scene.shapes if rng.random() >= share)
    return replace(scene, shapes=kept).render(SIZE)


def lost_shapes(scene: Scene, share: float) -> Image.Image:
    """This share of the objects are discs, as a generator paints that knows no outlines."""
    rng = random.Random(scene.seed)
    shapes = tuple(
        replace(shape, kind="circle") if rng.random() < share else shape for shape in scene.shapes
    )
    return replace(scene, shapes=shapes).render(SIZE)


def wrong_shapes(scene: Scene, share: float) -> Image.Image:
    """This share of the objects have another shape, any of the seven others equally often."""
    rng = random.Random(scene.seed)
    shapes = []
    for shape in scene.shapes:
        other = rng.choice([kind for kind in SHAPES if kind != shape.kind])
        shapes.append(replace(shape, kind=other) if rng.random() < share else shape)
    return replace(scene, shapes=tuple(shapes)).render(SIZE)


def moved_objects(scene: Scene, share: float) -> Image.Image:
    """All objects go this share of their way to the middle of the image."""
    shapes = tuple(
        replace(shape, x=shape.x + share * (0.5 - shape.x), y=shape.y + share * (0.5 - shape.y))
        for shape in scene.shapes
    )
    return replace(scene, shapes=shapes).render(SIZE)


def lost_modes(scene: Scene, dropped: float) -> Image.Image:
    """Of the six backgrounds the first `dropped` never occur: another one takes their place."""
    names = list(BACKGROUNDS)
    if names.index(scene.background) >= dropped:
        return scene.render(SIZE)
    other = random.Random(scene.seed).choice(names[int(dropped) :])
    tint = np.subtract(scene.background_rgb, BACKGROUNDS[scene.background])
    r, g, b = (int(level) for level in np.clip(np.add(BACKGROUNDS[other], tint), 0, 255))
    return replace(scene, background=other, background_rgb=(r, g, b)).render(SIZE)


def of_scene(damage: Callable[[Image.Image, float, int], Image.Image]) -> Damage:
    return lambda scene, level: damage(scene.render(SIZE), level, scene.seed)


BLUR = Experiment("blur", "radius, pixels of 64", (0, 0.5, 1, 2, 4))
NOISE = Experiment("noise", "sigma, grey levels", (0, 8, 16, 32, 64))
JPEG = Experiment("JPEG", "quality", (100, 75, 50, 25, 10))
#: What is done to photos as to scenes.
OF_IMAGES = {BLUR: blurred, NOISE: noisy, JPEG: compressed}
DAMAGES: list[tuple[Experiment, Damage]] = [
    *((experiment, of_scene(damage)) for experiment, damage in OF_IMAGES.items()),
    (Experiment("colour shift", "degrees of hue", (0, 15, 30, 60, 120)), colour_shift),
    (Experiment("lost objects", "share of the objects", (0, 0.1, 0.25, 0.5, 1)), lost_objects),
    (Experiment("lost shapes", "share of the objects", (0, 0.1, 0.25, 0.5, 1)), lost_shapes),
    (Experiment("wrong shapes", "share of the objects", (0, 0.1, 0.25, 0.5, 1)), wrong_shapes),
    (Experiment("moved objects", "share of the way", (0, 0.1, 0.2, 0.4, 0.8)), moved_objects),
    (Experiment("mode dropping", "backgrounds of 6 never drawn", (0, 1, 2, 3, 5)), lost_modes),
]
SHARES = (0, 0.1, 0.25, 0.5, 1)
MEMORISING = Experiment("memorising", "share of pairs copied from the real ones", SHARES)
SHUFFLED = Experiment("captions shuffled", "share of the captions", SHARES)
FOREIGN = Experiment("captions of another domain", "share of the captions", SHARES)


def everyday_captions(n: int) -> list[str]:
    """Sentences about photos, of which there are none among the scenes."""
    who = ["A man", "A woman", "Two children", "A brown dog", "An old couple", "A young player"]
    does = ["sitting on", "walking past", "standing beside", "waiting at", "looking at", "near"]
    what = ["a wooden bench", "the bus stop", "a kitchen table", "a parked bicycle", "the beach",
            "a train station", "a plate of food", "the snowy street"]  # fmt: skip
    when = ["in the rain", "at night", "on a sunny day", "during a game", "with friends"]
    rng = random.Random("everyday")
    return [" ".join(rng.choice(words) for words in (who, does, what, when)) for _ in range(n)]


# --- features and scores ----------------------------------------------------------------------


def encode_images(encoder: Encoder, images: Sequence[Image.Image]) -> Array:
    size, protocol = encoder.image_size, encoder.protocol
    pixels = np.stack([to_pixels(image, size, protocol) for image in images])
    batches = np.array_split(pixels, range(128, len(pixels), 128))
    return np.concatenate([encoder.encode_pixels(batch) for batch in batches])


def encode_scenes(encoder: Encoder, scenes: Sequence[Scene]) -> Pairs:
    images = encode_images(encoder, [scene.render(SIZE) for scene in scenes])
    return Pairs(images, encoder.encode_texts([scene.captions(1)[0] for scene in scenes]))


def scores_of(f: Pairs, r: Pairs) -> dict[str, float]:
    moments = [Moments.from_features(x) for x in (f.images, r.images, f.captions)]
    distances = cross_model_distance(*moments)
    return {
        "CMD": distances.cmd,
        "Dis(f,r)": distances.dis_fr,
        "ITDis": distances.itdis,
        "FJD": fjd(f.images, f.captions, r.images, r.captions),
        "CFID": cfid(f.images, f.captions, r.images, r.captions),
        "CLIPScore": clipscore(f.images, f.captions),
        "R-precision": r_precision(f.images, f.captions),
        "CMMD": cmmd(f.images, r.images).unbiased,
        "Vendi": vendi_score(f.images),
        **prdc_scores(f.images, r.images)._asdict(),
    }


def part(pairs: Pairs, rows: slice) -> Pairs:
    return Pairs(pairs.images[rows], pairs.captions[rows])


def chosen(share: float) -> NDArray[np.intp]:
    """Rows of a set in a seeded order, nested in those of any larger share."""
    return np.random.default_rng(0).permutation(N)[: round(share * N)]


def memorise(f: Pairs, r: Pairs, share: float) -> Pairs:
    images, captions, rows = f.images.copy(), f.captions.copy(), chosen(share)
    images[rows], captions[rows] = r.images[rows], r.captions[rows]
    return Pairs(images, captions)


def shuffle(f: Pairs, share: float) -> Pairs:
    captions, rows = f.captions.copy(), chosen(share)
    captions[rows] = f.captions[np.roll(rows, 1)]
    return Pairs(f.images, captions)


def exchange(f: Pairs, foreign: Array, share: float) -> Pairs:
    captions, rows = f.captions.copy(), chosen(share)
    captions[rows] = foreign[rows]
    return Pairs(f.images, captions)


# --- what is seen -----------------------------------------------------------------------------


@dataclass(frozen=True)
class Perfect:
    """What perfect generators score: mean and standard deviation of each metric."""

    mean: dict[str, float]
    deviation: dict[str, float]

    @classmethod
    def of(cls, scores: Sequence[dict[str, float]]) -> Perfect:
        return cls(
            {m: float(np.mean([s[m] for s in scores])) for m in scores[0]},
            # Where all are equal, as counts can be, any change is one.
            {m: float(max(np.std([s[m] for s in scores], ddof=1), 1e-9)) for m in scores[0]},
        )

    def worse_by(self, metric: str, value: float) -> float:
        """By how many standard deviations a value is worse."""
        sign = -1 if METRICS[metric] else 1
        return sign * (value - self.mean[metric]) / self.deviation[metric]

    def verdict(self, metric: str, experiment: Experiment, values: Sequence[float]) -> str:
        """The mildest level from which on the metric tells that something is wrong."""
        worse = [self.worse_by(metric, value) for value in values]
        if worse[-1] < -LIMIT:
            return "praises"
        if worse[-1] <= LIMIT:
            return "in part" if max(worse) > LIMIT else "blind"
        first = len(worse) - 1
        while first > 1 and worse[first - 1] > LIMIT:
            first -= 1
        return f"from {experiment.levels[first]:g}"


def plot(
    experiment: Experiment, scores: Sequence[dict[str, float]], perfect: Perfect, file: Path
) -> None:
    """Small multiples: a panel a metric, the values against the grey of perfect generators."""
    columns = math.ceil(len(perfect.mean) / 3)
    size = (2.4 * columns, 6.4)
    figure, axes = plt.subplots(3, columns, figsize=size, sharex=True, layout="constrained")
    x = np.arange(len(experiment.levels))
    for k, (axis, metric) in enumerate(zip_longest(axes.flat, perfect.mean)):
        if metric is None:
            axis.set_axis_off()
            continue
        if k + columns >= len(perfect.mean):  # nothing stands below
            axis.tick_params(labelbottom=True)
        values = [score[metric] for score in scores]
        middle, reach = perfect.mean[metric], LIMIT * perfect.deviation[metric]
        axis.axhspan(middle - reach, middle + reach, color=GREY, lw=0)
        axis.plot(x, values, color=BLUE, lw=1.6, zorder=2)
        for level, value in enumerate(values):
            by = perfect.worse_by(metric, value)
            colour = VERMILLION if by > LIMIT else GREEN if by < -LIMIT else BLUE
            marker = "v" if by > LIMIT else "^" if by < -LIMIT else "o"
            axis.plot(level, value, marker, color=colour, ms=6.5, mec="white", mew=0.8, zorder=3)
        low, high = min(*values, middle - 3 * reach), max(*values, middle + 3 * reach)
        margin = 0.06 * (high - low)
        axis.set_ylim(low - margin, high + margin)
        axis.set_title(f"{metric}  ({'higher' if METRICS[metric] else 'lower'} is better)")
        axis.set_xticks(x, [f"{level:g}" for level in experiment.levels])
    figure.supxlabel(f"{experiment.name}: {experiment.unit}", fontsize=10)
    figure.legend(
        handles=[
            plt.Rectangle((0, 0), 1, 1, color=GREY, label="what perfect generators score"),
            plt.Line2D([], [], marker="o", color=BLUE, label="within: not seen"),
            plt.Line2D([], [], marker="v", ls="", color=VERMILLION, label="worse: seen"),
            plt.Line2D([], [], marker="^", ls="", color=GREEN, label="better: praised"),
        ],
        loc="outside upper left", ncols=4, frameon=False, fontsize=9,
    )  # fmt: skip
    figure.savefig(file, dpi=100)
    plt.close(figure)


STYLE = {
    "font.size": 8.5, "axes.titlesize": 9, "axes.titlelocation": "left",
    "axes.edgecolor": "#888888", "axes.spines.top": False, "axes.spines.right": False,
    "xtick.color": "#444444", "ytick.color": "#444444", "axes.formatter.useoffset": False,
}  # fmt: skip


# --- the number of samples --------------------------------------------------------------------


def sample_sizes(r: Pairs, generators: dict[str, Pairs]) -> tuple[Figure, list[str]]:
    """CMD, raw and debiased, of parts of a pool; a plot and the lines of a table."""
    sizes = [2**k for k in range(8, 12)]  # of 128 the excess is not known in 64 dimensions
    lines = ["| generator | n | sets | CMD | debiased |", "| --- | ---: | ---: | ---: | ---: |"]
    figure, axes = plt.subplots(1, 2, figsize=(9.6, 3.4), sharey=True, layout="constrained")
    for axis, (name, f) in zip(axes, generators.items(), strict=True):
        found: dict[int, NDArray[np.float64]] = {}
        for n in sizes:
            sets = [slice(start, start + n) for start in range(0, POOL, n)]
            estimates = [_estimate(part(f, rows), part(r, rows)) for rows in sets]
            found[n] = np.array(estimates)
            cells = [f"{m:.3f} ± {s:.3f}" if len(sets) > 2 else f"{m:.3f}"
                     for m, s in zip(found[n].mean(0), found[n].std(0, ddof=len(sets) > 1),
                                     strict=True)]  # fmt: skip
            lines.append(f"| {name} | {n} | {len(sets)} | {cells[0]} | {cells[1]} |")
        for column, (label, colour, marker) in enumerate(
            (("raw", VERMILLION, "o"), ("debiased", BLUE, "s"))
        ):
            for n, values in found.items():
                axis.plot([n] * len(values), values[:, column], marker, color=colour, ms=4,
                          alpha=0.35, mec="none")  # fmt: skip
            means = [values[:, column].mean() for values in found.values()]
            axis.plot(sizes, means, color=colour, lw=1.8)
            axis.annotate(label, (sizes[0], means[0]), (-6, 0), textcoords="offset points",
                          ha="right", va="center", color=colour, fontsize=9)  # fmt: skip
        axis.set_xscale("log", base=2)
        axis.set_xticks(sizes, [str(n) for n in sizes])
        axis.set_xlim(sizes[0] * 0.45, sizes[-1] * 1.15)
        axis.axhline(0, color=GREY, lw=0.8, zorder=0)
        axis.set_title(f"CMD of a {name} generator (a dot is one set, lines are means)")
        axis.set_xlabel("n: images, real images and captions of a set")
    return figure, lines


def _estimate(f: Pairs, r: Pairs) -> tuple[float, float]:
    pairs = np.arange(len(f.images))  # an image and its caption are one draw
    cmd = uncertainty(Sample(f.images, pairs), r.images, Sample(f.captions, pairs)).cmd
    assert cmd.debiased is not None, "sets are larger than the 64 dimensions"
    return cmd.raw, cmd.debiased


# --- photos -----------------------------------------------------------------------------------


def photo_crops(folder: Path, seed: int) -> tuple[list[Image.Image], list[str]]:
    """N random squares of the captioned photos, half to all of the shorter side, as 64 pixels."""
    captions = json.loads((folder / "captions.json").read_text(encoding="utf-8"))
    photos = {name: Image.open(folder / name).convert("RGB") for name in captions}
    rng = random.Random(seed)
    crops, texts = [], []
    for k in range(N):
        name = list(captions)[k % len(captions)]
        photo = photos[name]
        side = int(min(photo.size) * rng.uniform(0.5, 1))
        x, y = (rng.randint(0, length - side) for length in photo.size)
        box = (x, y, x + side, y + side)
        crops.append(photo.resize((SIZE, SIZE), Image.Resampling.LANCZOS, box=box))
        texts.append(captions[name])
    return crops, texts


def of_photos(f: Pairs, r: Pairs) -> dict[str, float]:
    """Without R-precision: the same caption goes with many crops, and there are few captions."""
    return {metric: x for metric, x in scores_of(f, r).items() if metric != "R-precision"}


def photo_experiments(encoder: Encoder, folder: Path, out: Path, plots: bool) -> list[str]:
    """The damages that do not know of scenes, done to crops of photos; the tables."""
    sets = [photo_crops(folder, seed) for seed in range(1 + PERFECT)]
    texts = encoder.encode_texts(sets[0][1])  # of the same photos in the same order
    r, *others = (Pairs(encode_images(encoder, crops), texts) for crops, _ in sets)
    perfect = Perfect.of([of_photos(f, r) for f in others])
    results: dict[Experiment, list[dict[str, float]]] = {}
    for experiment, damage in OF_IMAGES.items():
        seen = replace(experiment, name=f"photos, {experiment.name}")
        results[seen] = []
        for level in experiment.levels:
            images = [damage(crop, level, k) for k, crop in enumerate(sets[1][0])]
            results[seen].append(of_photos(Pairs(encode_images(encoder, images), texts), r))
        if plots:
            plot(seen, results[seen], perfect, out / seen.file)
        click.echo(seen.name, err=True)
    verdicts, values = summary(results, perfect)
    return [*verdicts, "", *values]


# --- all of it --------------------------------------------------------------------------------


def summary(
    results: dict[Experiment, list[dict[str, float]]], perfect: Perfect
) -> tuple[list[str], list[str]]:
    """The table of verdicts, and the table of all values."""
    head = "| | " + " | ".join(e.name for e in results) + " |"
    verdicts = [head, "| --- |" + " --- |" * len(results)]
    for metric in perfect.mean:
        cells = [perfect.verdict(metric, e, [s[metric] for s in found])
                 for e, found in results.items()]  # fmt: skip
        verdicts.append(f"| {metric} | " + " | ".join(cells) + " |")
    columns = len(perfect.mean) + 1
    values = ["| | level | " + " | ".join(perfect.mean) + " |", "| --- |" + " ---: |" * columns]

    def row(name: str, level: str, found: dict[str, float]) -> None:
        cells = " | ".join(f"{found[metric]:.3f}" for metric in perfect.mean)
        values.append(f"| {name} | {level} | {cells} |")

    row("perfect, mean", "", perfect.mean)
    row("perfect, standard deviation", "", perfect.deviation)
    for experiment, found in results.items():
        for level, scores in zip(experiment.levels, found, strict=True):
            row(experiment.name, f"{level:g}", scores)
    return verdicts, values


@click.command()
@click.option("--protocol", default="grgan", show_default=True, help="Of cmdmetric.")
@click.option("--out", type=click.Path(path_type=Path), default=RESULTS, show_default=True)
@click.option(
    "--photos",
    type=click.Path(exists=True, path_type=Path),
    help='A folder of photos with captions.json: {"name.jpg": "caption", ...}.',
)
def main(protocol: str, out: Path, photos: Path | None) -> None:
    """Write the plots and the tables."""
    out.mkdir(parents=True, exist_ok=True)
    plt.rcParams.update(STYLE)
    encoder = Encoder("scenes-toy", protocol=protocol)
    generated = [draw_scene(FIRST_SEED["generated"] + k) for k in range(max(POOL, N * PERFECT))]
    pool_r = encode_scenes(encoder, [draw_scene(FIRST_SEED["real"] + k) for k in range(POOL)])
    pool_f = encode_scenes(encoder, generated)
    click.echo("scenes encoded", err=True)
    r, f = part(pool_r, slice(N)), part(pool_f, slice(N))
    perfect = Perfect.of(
        [scores_of(part(pool_f, slice(k * N, (k + 1) * N)), r) for k in range(PERFECT)]
    )
    results: dict[Experiment, list[dict[str, float]]] = {}

    def run(experiment: Experiment, damaged: Callable[[float], Pairs]) -> None:
        results[experiment] = [scores_of(damaged(level), r) for level in experiment.levels]
        if protocol == "grgan":
            plot(experiment, results[experiment], perfect, out / experiment.file)
        click.echo(experiment.name, err=True)

    for experiment, damage in DAMAGES:
        run(experiment, lambda level, damage=damage: Pairs(  # type: ignore[misc]
            encode_images(encoder, [damage(scene, level) for scene in generated[:N]]), f.captions
        ))  # fmt: skip
    foreign = encoder.encode_texts(everyday_captions(N))
    run(MEMORISING, lambda share: memorise(f, r, share))
    run(SHUFFLED, lambda share: shuffle(f, share))
    run(FOREIGN, lambda share: exchange(f, foreign, share))
    soft = [blurred(scene.render(SIZE), 1, 0) for scene in generated[:POOL]]
    pool_f = part(pool_f, slice(POOL))
    blurring = Pairs(encode_images(encoder, soft), pool_f.captions)
    figure, sizes = sample_sizes(pool_r, {"perfect": pool_f, "blurring": blurring})
    if protocol == "grgan":
        figure.savefig(out / "sees-sample-size.png", dpi=100)
    verdicts, values = summary(results, perfect)
    text = [f"# What CMD sees: {N} pairs a set, scenes-toy, protocol {protocol}", "", *verdicts, "",
            "## All values", "", *values, "", "## The number of samples", "", *sizes]  # fmt: skip
    if photos:
        text += ["", "## Photos", "", *photo_experiments(encoder, photos, out, protocol == "grgan")]
    (out / f"what-cmd-sees-{protocol}.md").write_text("\n".join(text) + "\n", encoding="utf-8")
    click.echo("\n".join(verdicts))


if __name__ == "__main__":
    main()
