"""What the shipped generator `scenes-small` has learnt, as numbers and pictures.

    python benchmarks/scenes_small.py watch runs/gan --judge runs/judge.pt
    python benchmarks/scenes_small.py ship runs/gan
    python benchmarks/scenes_small.py report runs/gan --judge runs/judge.pt --out benchmarks/results

`watch` looks at a run in progress, from beside it: every --every steps it asks the independent
judge (benchmarks/judge.py) about images of the model that the run has saved, and appends a line to
RUN/judge.jsonl. `ship` puts a run's model into the package, its matrices in float16. `report`
scores the shipped model beside real scenes, asks the judge again about more of its images, and
writes scenes-small.md, the log, the curves and a grid of samples.
"""

from __future__ import annotations

import json
import shutil
import tempfile
import time
from pathlib import Path

import click
import judge as judges
import matplotlib.pyplot as plt
import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from cmdmetric import cmd
from cmdmetric.scenes import draw_scene
from cmdmetric.scenes.drawing import Scene
from grgan_ref.data import middle_square, open_data
from grgan_ref.files import read_model
from grgan_ref.files.model_files import BUNDLED, save_model
from grgan_ref.model import TextToImage, load_model
from grgan_ref.networks import Generator
from grgan_ref.retrieval import evaluate, of_clip, of_matcher, to_markdown
from grgan_ref.training import write_samples
from grgan_ref.training.log import read_log

SAMPLES, CPU = 1000, torch.device("cpu")
QUESTIONS = {
    "shape": "shape",
    "place": "place",
    "colour": "colour",
    "count": "one blob",
    "two": "two: both shapes in their colours",
    "two_count": "two blobs",
}


def scenes_of(count: int, shapes: int) -> list[Scene]:
    """Held-out scenes with so many shapes each."""
    return [draw_scene(seed, shapes) for seed in range(count)]


def painted(model: TextToImage, scenes: list[Scene]) -> NDArray[np.uint8]:
    """One image (s, s, 3) for each scene's first caption."""
    captions = [scene.captions(1)[0] for scene in scenes]
    return model.generate(captions, captions)[-1]


def shuffled(images: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The same pixels of each image in another order."""
    rng = np.random.default_rng(0)
    flat = images.reshape(len(images), -1, 3)
    return np.stack([rng.permutation(image) for image in flat]).reshape(images.shape)


def name_of(number: int) -> str:
    """The file that an image is written to."""
    return f"{number:04d}.png"


def write(images: NDArray[np.uint8], folder: Path) -> Path:
    """Write images (n, s, s, 3) to a new folder."""
    folder.mkdir()
    for number, image in enumerate(images):
        Image.fromarray(image).save(folder / name_of(number))
    return folder


def verdicts(
    judge: judges.Judge, model: TextToImage | None, side: int, count: int
) -> dict[str, float]:
    """What the judge finds in images of one-shape and of two-shape scenes; real ones for None.

    Keys: shape, place, colour, count, of one shape; `two` and `two_count`, of two.
    """
    found: dict[str, float] = {}
    for shapes in (1, 2):
        scenes = scenes_of(count, shapes)
        images = judges.render(scenes, side) if model is None else painted(model, scenes)
        answer = judges.verdict(judge.look(images), scenes)
        names = {"all": "two", "count": "two_count"} if shapes == 2 else {}
        found |= {names.get(name, name): value for name, value in answer.items()}
    return found


def scores(model: TextToImage) -> list[str]:
    """A Markdown table of CMD and R-precision for the model and what it is compared with."""
    side = model.config.model.stages[-1].size
    held_out = open_data(model.config.data, None, "val")
    own, others = (
        np.stack([middle_square(held_out, i, side) for i in range(first, first + SAMPLES)])
        for first in (0, SAMPLES)
    )
    captions = [list(held_out.captions[i]) for i in range(SAMPLES)]
    asked = [texts[0] for texts in captions]
    torch.manual_seed(0)
    untrained = TextToImage(model.config, Generator(model.config).eval(), model.matcher)
    sets = {
        "trained generator": model.generate(asked, asked)[-1],
        "the real images themselves": own,
        "other real images, of other captions": others,
        "untrained generator": untrained.generate(asked, asked)[-1],
        "real images, pixels shuffled": shuffled(own),
    }
    lines = ["| images | CMD | ITDis | Dis(f,r) | R-precision |", "| --- |" + " ---: |" * 4]
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "captions.json")
        file.write_text(json.dumps({name_of(i): texts for i, texts in enumerate(captions)}))
        real_images = write(own, Path(folder, "real"))
        for number, (name, images) in enumerate(sets.items()):
            generated = write(images, Path(folder, str(number)))
            score = cmd(generated, file, real_images, metrics="r_precision", model="scenes-toy")
            precision = score.metrics["r_precision"].value
            lines.append(
                f"| {name} | {score.cmd:.2f} | {score.itdis:.2f} | {score.dis_fr:.2f} "
                f"| {precision:.3f} |"
            )
            click.echo(lines[-1])
    return lines


def judged(judge: judges.Judge, model: TextToImage) -> list[str]:
    """A Markdown table of what the judge finds in the model's images and in real ones."""
    side = model.config.model.stages[-1].size
    rows = {
        "trained generator": verdicts(judge, model, side, SAMPLES),
        "real images of this size": verdicts(judge, None, side, SAMPLES),
    }
    lines = ["| images | " + " | ".join(QUESTIONS.values()) + " |"]
    lines.append("| --- |" + " ---: |" * len(QUESTIONS))
    for name, answers in rows.items():
        lines.append(f"| {name} | " + " | ".join(f"{answers[key]:.1f}" for key in QUESTIONS) + " |")
        click.echo(lines[-1])
    return lines


def plot(run: Path, path: Path) -> None:
    """Losses, CMD and the judge's answers over the steps of a run."""
    log, seen = read_log(run / "metrics.jsonl"), read_log(run / "judge.jsonl")
    curves = (
        (log, {f"discriminator_{k}": f"discriminator {k}" for k in (1, 2, 3)}
         | {"sentence_3": "sentence loss", "word_3": "word loss"}, "Losses of single batches"),
        (log, {"cmd": "CMD", "dis_fr": "Dis(f,r)", "itdis": "ITDis"},
         "500 held-out captions, under scenes-toy"),
        (seen, QUESTIONS, "The judge finds, in per cent"),
    )  # fmt: skip
    logged = [(lines, names, title) for lines, names, title in curves
              if sum(bool(names.keys() & line.keys()) for line in lines) > 1]  # fmt: skip
    count = len(logged)
    figure, axes = plt.subplots(
        1, count, figsize=(5 * count, 4.5), layout="constrained", squeeze=False
    )
    for ax, (lines, names, title) in zip(axes[0], logged, strict=True):
        for name, label in names.items():
            points = [(line["step"], line[name]) for line in lines if name in line]
            ax.plot(*zip(*points, strict=True), label=label, linewidth=1)
        ax.set(xlabel="step", title=title, ylim=(0, None))
        ax.legend(fontsize=8, ncols=2, loc="upper center", bbox_to_anchor=(0.5, -0.15))
    figure.savefig(path, dpi=110)


run_argument = click.argument("run", type=click.Path(exists=True, path_type=Path))
judge_option = click.option(
    "--judge", "judge_file", required=True, type=click.Path(exists=True, path_type=Path),
    help="What benchmarks/judge.py wrote.",
)  # fmt: skip


@click.group()
def main() -> None:
    """What the shipped generator has learnt."""


@main.command()
@run_argument
@judge_option
@click.option("--every", default=500, show_default=True, help="Steps of the run.")
@click.option("--images", default=200, show_default=True, help="Of each kind.")
def watch(run: Path, judge_file: Path, every: int, images: int) -> None:
    """Append the judge's answers about RUN's model to RUN/judge.jsonl, until it is interrupted."""
    torch.set_num_threads(1)
    judge, file = judges.load(judge_file), run / "judge.jsonl"
    while True:
        step = read_log(run / "metrics.jsonl")[-1]["step"] // every * every
        known = read_log(file)[-1]["step"] if file.exists() else 0
        if step > known:
            model = load_model(run, CPU)
            answers = verdicts(judge, model, model.config.model.stages[-1].size, images)
            with file.open("a", encoding="utf-8") as out:
                out.write(json.dumps({"step": step, **answers}) + "\n")
        time.sleep(30)


@main.command()
@run_argument
def ship(run: Path) -> None:
    """Make RUN's model the bundled one."""
    for name in ("generator", "itm"):
        state, config = read_model(run / "model" / f"{name}.safetensors")
        path = BUNDLED / "scenes-small" / f"{name}.safetensors"
        save_model(path, state, config, half=True)
        click.echo(f"{path}: {path.stat().st_size:,} bytes")


@main.command()
@run_argument
@judge_option
@click.option("--model", default="scenes-small", show_default=True, type=click.Path(path_type=Path))
@click.option("--out", default="benchmarks/results", type=click.Path(path_type=Path))
def report(run: Path, judge_file: Path, model: Path, out: Path) -> None:
    """Write scenes-small.md, its log and its pictures to OUT."""
    trained = load_model(model, CPU)
    held_out = open_data(trained.config.data, None, "val")
    plot(run, out / "scenes-small-training.png")
    write_samples(trained, held_out, out / "scenes-small-samples.png", 0, 16)
    for name in ("metrics", "judge"):
        shutil.copy(run / f"{name}.jsonl", out / f"scenes-small-{name}.jsonl")
    embedders = [of_matcher(trained.matcher, trained.config), of_clip("scenes-toy", None, CPU)]
    found = [(each, evaluate(each, held_out, number=SAMPLES)) for each in embedders]
    table = to_markdown(found, beside_paper=False)
    last = read_log(run / "metrics.jsonl")[-1]["step"]
    batch = trained.config.train.batch
    lines = [
        "# The shipped generator `scenes-small`",
        "",
        f"{last:,} steps of {batch} scenes: {last * batch:,} images.",
        "",
        "## What the judge finds",
        "",
        f"In per cent of {SAMPLES:,} held-out captions of one shape, and as many of two. Captions\n"
        "that name no place count for place too.",
        "",
        *judged(judges.load(judge_file), trained),
        "",
        f"## CMD and R-precision of {SAMPLES:,} images under scenes-toy",
        "",
        *scores(trained),
        "",
        "## The matcher beside the plain CLIP that it stands on",
        "",
        table,
        "",
        "## Training",
        "",
        "![losses, CMD and the judge's answers](scenes-small-training.png)",
        "",
        "![samples of each stage, and the real scenes](scenes-small-samples.png)",
    ]
    (out / "scenes-small.md").write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
