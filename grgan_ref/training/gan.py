"""Training of the generator and the discriminators (section 3.1), beside a frozen matcher.

    grgan train --preset scenes-small --matcher runs/itm --out runs/gan

The run's folder holds `metrics.jsonl`, `samples/` (grids), `checkpoints/` and `model/`, which is
what `grgan sample` reads: the averaged generator, the matcher and the configuration. Killed at
any moment, the same command goes on from the last checkpoint to the same numbers.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim import Adam, Adamax, Optimizer
from tqdm import tqdm

from grgan_ref.config import Config
from grgan_ref.data import (
    Augmentation,
    Batch,
    CaptionedImages,
    middle_square,
    to_unit,
    training_batches,
)
from grgan_ref.files import state
from grgan_ref.matching import DAMSM, ITM
from grgan_ref.model import TextToImage
from grgan_ref.networks import Generator, build_discriminators
from grgan_ref.noise import noise
from grgan_ref.training import distributed, ema
from grgan_ref.training.gan_step import Batch as StepBatch, gan_step
from grgan_ref.training.log import Log, check_finite, write_grid
from grgan_ref.training.scoring import Scorer

OPTIMISERS = {"adamax": Adamax, "adam": Adam}

# What may change between two parts of one run.
CADENCE = (
    "steps",
    "epochs",
    "compile",
    "log_every",
    "sample_every",
    "checkpoint_every",
    "keep_checkpoints",
    "score_every",
    "score_samples",
)


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
) -> dict[str, float]:
    """Train until `train.steps` (or `train.epochs`); return the losses of the last step.

    matcher: trained; it is frozen here. held_out: captions and images for the grids and the scores.
    score_with: model and weights file of the encoder that scores, as cmdmetric names them.
    Raises GrganError for a run in `out` of another configuration, FloatingPointError where a loss
    is not finite.
    """
    options = config.train
    total = options.steps or options.epochs * (len(data) // options.batch)

    torch.manual_seed(options.seed)  # of the initial weights; what follows draws from (seed, step)
    matcher = matcher.to(device).eval().requires_grad_(False)
    generator = Generator(config).to(device)
    discriminators = build_discriminators(config).to(device)
    average = ema.average_copy(generator)
    if device.type == "cuda" and distributed.world_size() > 1:
        generator = nn.SyncBatchNorm.convert_sync_batchnorm(generator)
    generator_optimiser = _optimiser(generator.parameters(), config, options.generator_rate)
    discriminator_optimisers = [
        _optimiser(d.parameters(), config, options.discriminator_rate) for d in discriminators
    ]
    run = {
        "generator": generator,
        "average": average,
        "discriminators": discriminators,
        "generator_optimiser": generator_optimiser,
        **{f"discriminator_optimiser_{k + 1}": o for k, o in enumerate(discriminator_optimisers)},
    }
    identity = identity_of(config) | {"matcher": matcher.fingerprint()}
    start = state.resume(out / "checkpoints", run, identity)
    if options.compile:
        generator.compile()

    model = TextToImage(config, average, matcher)
    log = Log(out, start, tensorboard) if distributed.is_main() else None
    if log is not None and start >= total:
        model.save(out / "model")  # a run killed behind its last checkpoint left an older one
    scorer = None
    if options.score_every and log is not None:
        scorer = Scorer(model, held_out, options.score_samples, options.seed, *score_with)
    sizes = tuple(stage.size for stage in config.model.stages)
    batches = training_batches(
        data,
        Augmentation(config.data.resize, sizes, config.data.flip),
        batch=options.batch,
        seed=options.seed,
        start=start,
        stop=total,
        workers=workers,
        rank=distributed.rank(),
        processes=distributed.world_size(),
    )
    generator.train()
    discriminators.train()
    losses: dict[str, float] = {}
    bar = tqdm(batches, "GAN", total, initial=start, disable=log is None)
    for step, batch in enumerate(bar, start + 1):
        z, eps = step_noise(config, step, device)
        terms = gan_step(
            generator,
            discriminators,
            matcher,
            generator_optimiser,
            discriminator_optimisers,
            features_of(batch, matcher, config, device),
            z,
            eps,
            config,
        )
        distributed.average_buffers(generator)
        ema.update(average, generator, options.ema)
        losses = check_finite(terms, step)

        if log is None:
            continue
        last = step == total
        if last or step % options.log_every == 0:
            log.write(step, losses)
            bar.set_postfix(g=f"{losses['generator']:.3f}", d=f"{losses['discriminator_1']:.3f}")
        if last or step % options.sample_every == 0:
            write_samples(model, held_out, out / "samples" / f"step-{step:08d}.png", options.seed)
        if scorer is not None and (last or step % options.score_every == 0):
            log.write(step, scorer.score())
        if last or step % options.checkpoint_every == 0:
            state.save(out / "checkpoints", step, run, identity, options.keep_checkpoints)
            model.save(out / "model")
    if log is not None:
        log.close()
    distributed.barrier()
    return losses


def features_of(
    batch: Batch, matcher: ITM | DAMSM, config: Config, device: torch.device
) -> StepBatch:
    """What the step reads of a batch: images in [-1, 1] and the matcher's text features.

    Longest caption first, as in the released code: the order decides which captions are swapped
    for the mismatched pairs (neighbours, so of similar length).
    """
    tokens, sentence, words = matcher.encode_captions(batch.captions, config.data.words)
    order = tokens.lengths.argsort(descending=True, stable=True)
    tokens = tokens[order]
    images = [to_unit(stage.to(device))[order] for stage in batch.images]
    classes = batch.classes.to(device)[order]
    return StepBatch(images, sentence[order], words[order], tokens.mask, tokens.lengths, classes)


def step_noise(config: Config, step: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """This process's rows of z (B, noise_dim) and eps (B, condition_dim) of a step."""
    model, options = config.model, config.train
    key = f"{options.seed} step {step}"
    drawn = noise(key, options.batch, model.noise_dim + model.condition_dim)
    own = drawn.chunk(distributed.world_size())[distributed.rank()].to(device)
    z, eps = own.split([model.noise_dim, model.condition_dim], dim=1)
    return z, eps


def write_samples(
    model: TextToImage, held_out: CaptionedImages, path: Path, seed: int, number: int = 8
) -> None:
    """A grid: held-out captions, below them the images of each stage, at the bottom the real ones.

    The same captions and noise at every step of a run.
    """
    rows = range(min(number, len(held_out)))
    captions = [held_out.captions[i][0] for i in rows]
    stages = model.generate(captions, [f"{seed} grid {i}" for i in rows])
    side = model.config.model.stages[-1].size
    real = np.stack([middle_square(held_out, i, side) for i in rows])
    write_grid(path, [*stages, real], captions)


def identity_of(config: Config) -> dict[str, Any]:
    """What must be equal for a run to be continued: all but how long and how often."""
    whole = config.to_dict()
    whole["train"] = {k: v for k, v in whole["train"].items() if k not in CADENCE}
    del whole["itm"], whole["damsm"]  # the matcher's fingerprint takes their place
    return whole


def _optimiser(parameters: Iterable[nn.Parameter], config: Config, rate: float) -> Optimizer:
    return OPTIMISERS[config.train.optimiser](parameters, rate, config.train.betas)
