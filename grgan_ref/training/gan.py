"""Training of the generator and the discriminators (section 3.1), beside a frozen matcher.

    grgan train --preset scenes-small --matcher runs/itm --out runs/gan

The run's folder holds `metrics.jsonl`, `samples/` (grids), `checkpoints/` and `model/`, which is
what `grgan sample` reads: the averaged generator, the matcher and the configuration. Killed at
any moment, the same command goes on from the last checkpoint to the same numbers.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim import Adam, Adamax, Optimizer

from grgan_ref.config import Config
from grgan_ref.data import (
    Augmentation,
    Batch,
    CaptionedImages,
    middle_square,
    to_unit,
    training_batches,
)
from grgan_ref.errors import GrganError
from grgan_ref.files import Stateful, resume, save
from grgan_ref.matching import DAMSM, ITM, Matcher, save_matcher
from grgan_ref.model import TextToImage
from grgan_ref.networks import Generator, build_discriminators
from grgan_ref.noise import noise
from grgan_ref.training import distributed, ema
from grgan_ref.training.beginning import Beginning
from grgan_ref.training.gan_step import Batch as StepBatch, Models, discriminators_step, gan_step
from grgan_ref.training.log import Log, write_grid
from grgan_ref.training.monitor import Monitor
from grgan_ref.training.scoring import Scorer
from grgan_ref.training.steps import Steps

OPTIMISERS = {"adamax": Adamax, "adam": Adam}

# What may change between two parts of one run.
CADENCE = (
    "steps",
    "epochs",
    "compile",
    "log_every",
    "sample_every",
    "checkpoint_every",
    "checkpoint_seconds",
    "keep_checkpoints",
    "score_every",
    "score_samples",
)


def checkpoint_parts(models: Models, average: Generator) -> dict[str, Stateful]:
    """Return all that the next step depends on, by the names that a checkpoint has."""
    named = {
        f"discriminator_optimiser_{k}": optimiser
        for k, optimiser in enumerate(models.discriminator_optimisers, start=1)
    }
    return {
        "generator": models.generator,
        "average": average,
        "discriminators": models.discriminators,
        "generator_optimiser": models.generator_optimiser,
        **named,
    }


def train(
    config: Config,
    matcher: ITM | DAMSM,
    data: CaptionedImages,
    held_out: CaptionedImages,
    out: Path,
    *,
    device: torch.device,
    workers: int = 0,
    tensorboard: bool = False,
    score_with: tuple[str | None, str | None] = (None, None),
    init: Beginning | None = None,
) -> dict[str, float]:
    """Train until `train.steps` (or `train.epochs`).

    Args:
        config: Everything that the numbers depend on.
        matcher: Trained; it is frozen here.
        data: The training set.
        held_out: Captions and images for the grids and the scores.
        out: The run's folder; what is there is continued.
        device: Where the networks are.
        workers: Processes that read data; they change no number.
        tensorboard: Whether to log to TensorBoard as well.
        score_with: Model and weights file of the encoder that scores, as cmdmetric names them.
        init: The networks to begin with, of the same architecture; None: new weights.

    Returns:
        The losses of the last step; empty where the run had been trained that far.

    Raises:
        GrganError: `out` holds a run of another configuration, or the batch does not divide.
        InputError: `out` cannot be written.
        FloatingPointError: A loss is not finite.
    """
    options = config.train
    total = options.steps or options.epochs * (len(data) // options.batch)
    matcher = matcher.to(device).eval().requires_grad_(False)
    models = build_models(config, device)
    identity = identity_of(config) | {"matcher": matcher.fingerprint()}
    if init is not None:
        identity["init"] = init.put_into(models.generator, models.discriminators)
    average = ema.average_copy(models.generator)
    parts = checkpoint_parts(models, average)
    start = resume(out / "checkpoints", parts, identity)
    batches = run_batches(config, data, start, total, workers, device)
    if options.compile:
        compile_networks(models, matcher, config)
    observer = None
    if distributed.is_main():
        model = TextToImage(config, average, matcher)
        observer = Observer(
            model, parts, identity, held_out, out, start, total, tensorboard, score_with
        )
    monitor, losses = Monitor(), dict[str, float]()
    steps = Steps("GAN", start, total, wanted=observer is not None)
    for step, batch in enumerate(steps.over(batches), start + 1):
        features = features_of(batch, step, matcher, config, device)
        if 0 < options.discriminators_alone == step - 1:  # the generator's losses come in
            monitor.look()
            monitor = Monitor()
        if step <= options.discriminators_alone:
            terms = discriminators_step(models, features, config)
        else:
            terms = gan_step(models, matcher, features, config)
            ema.update(average, models.generator, options.ema)
        monitor.add(step, terms)
        if step == total or step % options.log_every == 0:
            losses = monitor.look()
            shown = (name for name in ("generator", "discriminator_1") if name in losses)
            steps.tell(step, **{name.removesuffix("_1"): losses[name] for name in shown})
            if observer is not None:
                observer.log.write(step, losses)
        if observer is not None:
            observer.after(step, monitor)
    if observer is not None:
        observer.log.close()
    distributed.barrier()
    return losses


def build_models(config: Config, device: torch.device) -> Models:
    """Build the networks as training begins: the weights follow from the seed."""
    options = config.train
    torch.manual_seed(options.seed)  # of the initial weights; what follows draws from (seed, step)
    generator = Generator(config).to(device)
    discriminators = build_discriminators(config).to(device)
    generator = distributed.with_global_statistics(generator).train()
    discriminators = distributed.with_global_statistics(discriminators).train()

    def optimiser(parameters: Iterable[nn.Parameter], rate: float) -> Optimizer:
        return OPTIMISERS[options.optimiser](parameters, rate, options.betas)

    return Models(
        generator,
        discriminators,
        optimiser(generator.parameters(), options.generator_rate),
        [optimiser(d.parameters(), options.discriminator_rate) for d in discriminators],
    )


def compile_networks(models: Models, matcher: Matcher, config: Config) -> None:
    """Let torch.compile translate the generator, the discriminators' parts and the matcher's eye.

    Not so the discriminators under the quirk `shared_power_vectors`, which overwrites what autograd
    holds: a compiler is free to read it before or after. Unmeasured on a GPU.
    """
    models.generator.compile()
    parts = ("features", "conditional", "unconditional")
    for discriminator in models.discriminators:
        for name in () if config.quirks.shared_power_vectors else parts:
            setattr(discriminator, name, torch.compile(getattr(discriminator, name)))
    setattr(matcher, "encode_image", torch.compile(matcher.encode_image))  # noqa: B010


class Observer:
    """What the first process does beside training: grids, scores, checkpoints, the model's files.

    Args:
        model: The averaged generator and the matcher.
        parts: What a checkpoint keeps.
        identity: What must be equal for a run to be continued.
        held_out: Captions and images for the grids and the scores.
        out: The run's folder.
        start: The step that the run goes on from.
        total: The last step.
        tensorboard: Whether to log to TensorBoard as well.
        score_with: Model and weights file of the encoder that scores.
    """

    def __init__(
        self,
        model: TextToImage,
        parts: Mapping[str, Stateful],
        identity: Mapping[str, Any],
        held_out: CaptionedImages,
        out: Path,
        start: int,
        total: int,
        tensorboard: bool,
        score_with: tuple[str | None, str | None],
    ) -> None:
        self.model, self.parts, self.identity = model, parts, identity
        self.held_out, self.out, self.total = held_out, out, total
        self.options = options = model.config.train
        self.log = Log(out, start, tensorboard)
        save_matcher(model.matcher, model.config, out / "model")  # frozen: written once
        if start >= total:  # a run killed behind its last checkpoint left an older generator
            model.save_generator(out / "model")
        self.scorer = None
        if options.score_every:
            self.scorer = Scorer(model, held_out, options.score_samples, options.seed, *score_with)
        self.saved = time.monotonic()

    def after(self, step: int, monitor: Monitor) -> None:
        """Do what is due behind a step."""
        options, last = self.options, step == self.total
        if last or step % options.sample_every == 0:
            grid = self.out / "samples" / f"step-{step:08d}.png"
            write_samples(self.model, self.held_out, grid, options.seed)
        if self.scorer is not None and (last or step % options.score_every == 0):
            self.log.write(step, self.scorer.score())
        due = options.checkpoint_every and step % options.checkpoint_every == 0
        late = time.monotonic() - self.saved > options.checkpoint_seconds
        if (last or due or late) and monitor.finite():
            folder = self.out / "checkpoints"
            save(folder, step, self.parts, self.identity, options.keep_checkpoints)
            self.model.save_generator(self.out / "model")
            self.saved = time.monotonic()


def run_batches(
    config: Config,
    data: CaptionedImages,
    start: int,
    stop: int,
    workers: int,
    device: torch.device,
) -> Iterator[Batch]:
    """Make this process's batches of the steps `start` to `stop`; see `data.training_batches`.

    Raises:
        GrganError: The batch does not divide over processes and parts, or there is too little data.
    """
    options, processes = config.train, distributed.world_size()
    own, parts = options.batch // processes, options.accumulate
    if parts > 1 and (own % parts or own < 2 * parts):
        raise GrganError(
            f"train.batch {options.batch} gives each of {processes} processes {own} samples, which "
            f"do not make train.accumulate = {parts} parts of at least 2 and equal size"
        )
    if data.group > 1 and own // parts <= data.group:
        raise GrganError(
            f"train.batch {options.batch} leaves {own // parts} samples that a process works "
            "through at once: with hard negatives mismatched pairs are of another "
            f"{data.group}, which takes {2 * data.group}. Raise train.batch (--set)"
        )
    sizes = tuple(stage.size for stage in config.model.stages)
    return training_batches(
        data,
        Augmentation(config.data.resize, sizes, config.data.flip),
        batch=options.batch,
        seed=options.seed,
        start=start,
        stop=stop,
        workers=workers,
        rank=distributed.rank(),
        processes=processes,
        words=config.data.words,
        pin=device.type == "cuda",
    )


def features_of(
    batch: Batch, step: int, matcher: Matcher, config: Config, device: torch.device
) -> StepBatch:
    """Turn a batch into what the step reads: images in [-1, 1], text features, and noise."""
    tokens, sentence, words = matcher.encode_captions(batch.captions, config.data.words)
    images = [to_unit(stage.to(device, non_blocking=True)) for stage in batch.images]
    classes = batch.classes.to(device, non_blocking=True)
    noise_rows = step_noise(config, step, device)
    return StepBatch(images, sentence, words, tokens.mask, tokens.lengths, *noise_rows, classes)


def step_noise(config: Config, step: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Return this process's rows of z (B, noise_dim) and eps (B, condition_dim) of a step."""
    model, options = config.model, config.train
    key = f"{options.seed} step {step}"
    drawn = noise(key, options.batch, model.noise_dim + model.condition_dim)
    own = drawn.chunk(distributed.world_size())[distributed.rank()]
    if device.type == "cuda":
        own = own.pin_memory()
    z, eps = own.to(device, non_blocking=True).split([model.noise_dim, model.condition_dim], dim=1)
    return z, eps


def write_samples(
    model: TextToImage, held_out: CaptionedImages, path: Path, seed: int, number: int = 8
) -> None:
    """Write a grid: held-out captions, the images of each stage, at the bottom the real ones.

    The captions and the noise are the same at every step of a run.
    """
    rows = range(min(number, len(held_out)))
    captions = [held_out.captions[i][0] for i in rows]
    stages = model.generate(captions, [f"{seed} grid {i}" for i in rows])
    side = model.config.model.stages[-1].size
    real = np.stack([middle_square(held_out, i, side) for i in rows])
    write_grid(path, [*stages, real], captions)


def identity_of(config: Config) -> dict[str, Any]:
    """Return what must be equal for a run to be continued: all but how long and how often."""
    whole = config.to_dict()
    whole["train"] = {k: v for k, v in whole["train"].items() if k not in CADENCE}
    del whole["itm"], whole["damsm"]  # the matcher's fingerprint takes their place
    return whole
