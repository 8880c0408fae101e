"""What the shipped generator `scenes-small` has learnt, as numbers and pictures.

    python benchmarks/scenes_small.py runs/gan --out benchmarks/results

scores samples for held-out captions against held-out real scenes under the bundled encoder, beside
an untrained generator, real images with shuffled pixels, and other real scenes; compares the ITM's
retrieval with the plain CLIP's; and plots the losses and CMD over the training run RUN.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import click
import matplotlib.pyplot as plt
import numpy as np
import torch

from cmdmetric import Encoder, cmd
from cmdmetric.scenes.drawing import draw_scene
from cmdmetric.score import moments_of
from grgan_ref.config import Config
from grgan_ref.data.sources import open_data
from grgan_ref.model import TextToImage, load_model
from grgan_ref.networks.generator import Generator
from grgan_ref.retrieval import evaluate, of_clip, of_matcher, to_markdown
from grgan_ref.training.log import read_log

SIDE, SAMPLES = 64, 1000
CPU = torch.device("cpu")


def real(seeds: range) -> np.ndarray:
    """(n, 64, 64, 3) uint8."""
    return np.stack([np.asarray(draw_scene(seed).render(SIDE)) for seed in seeds])


def shuffled(images: np.ndarray) -> np.ndarray:
    """The same pixels of each image in another order."""
    rng = np.random.default_rng(0)
    flat = images.reshape(len(images), -1, 3)
    return np.stack([rng.permutation(image) for image in flat]).reshape(images.shape)


def scores(model: TextToImage) -> list[str]:
    """A Markdown table of CMD for the model and what it is compared with."""
    encoder = Encoder("scenes-toy")
    held_out = [draw_scene(seed) for seed in range(SAMPLES)]
    captions = [caption for scene in held_out for caption in scene.captions(5)]
    reference = moments_of(real(range(SAMPLES)), "image", encoder=encoder)
    first = [scene.captions(1)[0] for scene in held_out]
    torch.manual_seed(0)
    untrained = TextToImage(model.config, Generator(model.config).eval(), model.matcher)
    sets = {
        "trained generator": model.generate(first, first)[-1],
        "(a) untrained generator": untrained.generate(first, first)[-1],
        "(b) real images, pixels shuffled": shuffled(real(range(SAMPLES))),
        "(c) other held-out real images": real(range(SAMPLES, 2 * SAMPLES)),
    }
    lines = ["| images | CMD | ITDis | Dis(f,r) |", "| --- | ---: | ---: | ---: |"]
    for name, images in sets.items():
        score = cmd(images, captions, reference, encoder=encoder)
        lines.append(f"| {name} | {score.cmd:.2f} | {score.itdis:.2f} | {score.dis_fr:.2f} |")
        click.echo(lines[-1])
    return lines


def retrieval(model: TextToImage, config: Config) -> list[str]:
    """R@k of the ITM and of the plain CLIP on the same held-out scenes."""
    held_out = open_data(config.data, None, "val")
    embedders = [of_matcher(model.matcher, config), of_clip(config.itm.clip, None, CPU)]
    table = to_markdown([(each, evaluate(each, held_out, number=1000)) for each in embedders])
    click.echo(table)
    return [table, ""]


def plot(run: Path, path: Path) -> None:
    """Losses and CMD over the steps of a run."""
    log = read_log(run / "metrics.jsonl")
    figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4), layout="constrained")
    for name in ("discriminator_1", "discriminator_2", "discriminator_3", "sentence_3", "word_3"):
        points = [(line["step"], line[name]) for line in log if name in line]
        left.plot(*zip(*points, strict=True), label=name, linewidth=1)
    left.set(xlabel="step", ylabel="loss", title="Losses of single batches", ylim=(0, None))
    left.legend(fontsize=8)
    for name, label in (("cmd", "CMD"), ("dis_fr", "Dis(f,r)"), ("itdis", "ITDis")):
        points = [(line["step"], line[name]) for line in log if name in line]
        right.plot(*zip(*points, strict=True), marker="o", label=label)
    right.set(xlabel="step", title="Held-out captions, 500 samples, scenes-toy", ylim=(0, None))
    right.legend()
    figure.savefig(path, dpi=110)


@click.command()
@click.argument("run", type=click.Path(exists=True, path_type=Path))
@click.option("--model", default="scenes-small", show_default=True, type=click.Path(path_type=Path))
@click.option("--out", default="benchmarks/results", type=click.Path(path_type=Path))
def main(run: Path, model: Path, out: Path) -> None:
    """Write scenes-small.md and its pictures to OUT."""
    trained = load_model(model, CPU)
    plot(run, out / "scenes-small-training.png")
    last = sorted((run / "samples").glob("step-*.png"))[-1]
    shutil.copy(last, out / "scenes-small-samples.png")
    lines = ["# The shipped generator `scenes-small`", "", f"Trained to {last.stem}.", ""]
    lines += [f"## CMD of {SAMPLES} images, encoder scenes-toy, protocol grgan", ""]
    lines += [*scores(trained), "", "## Retrieval on 1,000 held-out scenes", ""]
    lines += retrieval(trained, trained.config)
    lines += ["## Training", "", "![losses and CMD](scenes-small-training.png)", ""]
    lines += ["![samples of each stage, and the real scenes](scenes-small-samples.png)"]
    (out / "scenes-small.md").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
