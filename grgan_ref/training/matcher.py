"""Pre-training of a matcher: ITM (section 3.2), or DAMSM (AttnGAN).

    grgan train-itm --preset scenes-small --out runs/itm
    grgan train-damsm --preset scenes-small --out runs/damsm

The loss is the plain sum of both directions of the sentence and the word loss (Eq. 8, 9), over all
pairs of the batch. As in the released codes every epoch starts a new Adam, with a learning rate
that falls by 2 % per epoch to a tenth. The run's folder holds `metrics.jsonl`, `checkpoints/` and
`model/`, which `grgan train --matcher` reads.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.optim import Adam
from tqdm import tqdm

from grgan_ref.config import Config
from grgan_ref.data import Augmentation, Batch, CaptionedImages, to_unit, training_batches
from grgan_ref.files import state
from grgan_ref.losses import sentence_loss, word_loss
from grgan_ref.matching import DAMSM, ITM, new_matcher, save_matcher
from grgan_ref.noise import seed_of
from grgan_ref.retrieval import TrainedMatcher, evaluate
from grgan_ref.training import distributed
from grgan_ref.training.descent import descend
from grgan_ref.training.log import Log, check_finite


def train_matcher(
    config: Config,
    data: CaptionedImages,
    held_out: CaptionedImages,
    out: Path,
    *,
    device: torch.device,
    workers: int = 0,
    tensorboard: bool = False,
) -> dict[str, float]:
    """Train until `steps` or `epochs` of the matcher's section; return the last step's losses.

    held_out: for the retrieval that is logged every `train.score_every` steps and at the end.
    Raises GrganError for a run in `out` of another configuration, InputError where the network
    below the matcher cannot be had, FloatingPointError where a loss is not finite.
    """
    options = config.matcher
    per_epoch = max(1, len(data) // options.batch)
    total = options.steps or options.epochs * per_epoch

    torch.manual_seed(config.train.seed)  # of the weights; what follows draws from (seed, step)
    matcher = new_matcher(config, data).to(device).train()
    trained = [p for p in matcher.parameters() if p.requires_grad]
    optimiser = Adam(trained, options.learning_rate, options.betas)
    run = {"heads": matcher.stored, "optimiser": optimiser}
    identity = matcher_identity(config)
    start = state.resume(out / "checkpoints", run, identity)
    log = Log(out, start, tensorboard) if distributed.is_main() else None
    if log is not None and start >= total:
        save_matcher(matcher, config, out / "model")  # as in train.train
    batches = training_batches(
        data,
        Augmentation(options.resize, (options.image_size,), config.data.flip),
        batch=options.batch,
        seed=config.train.seed,
        start=start,
        stop=total,
        workers=workers,
        rank=distributed.rank(),
        processes=distributed.world_size(),
    )
    losses: dict[str, float] = {}
    bar = tqdm(batches, config.model.matcher.upper(), total, initial=start, disable=log is None)
    for step, batch in enumerate(bar, start + 1):
        epoch, position = divmod(step - 1, per_epoch)
        if position == 0:
            rate = options.learning_rate * max(options.decay**epoch, 0.1)
            optimiser = Adam(trained, rate, options.betas)
            run["optimiser"] = optimiser

        torch.manual_seed(seed_of(f"{config.train.seed} {step} {distributed.rank()}"))  # dropout
        terms = matching_terms(matcher, batch, config, device)
        clip = matcher.clip_gradient if isinstance(matcher, DAMSM) else None
        terms["gradient"] = descend(terms["total"], optimiser, trained, clip)
        distributed.average_buffers(matcher.stored)
        losses = check_finite(terms, step)

        if log is None:
            continue
        last = step == total
        if last or step % config.train.log_every == 0:
            log.write(step, losses)
            bar.set_postfix(loss=f"{losses['total']:.3f}")
        if last or (config.train.score_every and step % config.train.score_every == 0):
            number = min(len(held_out), config.train.score_samples)
            found = evaluate(TrainedMatcher(matcher.eval(), config), held_out, number=number)
            log.write(step, found.to_dict())
            matcher.train()
        if last or step % config.train.checkpoint_every == 0:
            keep = config.train.keep_checkpoints
            state.save(out / "checkpoints", step, run, identity, keep)
            save_matcher(matcher, config, out / "model")
    if log is not None:
        log.close()
    distributed.barrier()
    return losses


def matching_terms(
    matcher: ITM | DAMSM, batch: Batch, config: Config, device: torch.device
) -> dict[str, Tensor]:
    """`sentence_image`, `sentence_text`, `word_image`, `word_text` and their sum `total`.

    Of all processes together: each compares every image with every caption.
    """
    bfloat16 = config.train.precision == "bfloat16"
    with torch.autocast(device.type, torch.bfloat16, enabled=bfloat16):
        tokens, sentence, words = matcher.encode_captions(
            batch.captions, config.matcher.words, pretraining=True
        )
        regions, code = matcher.encode_image(to_unit(batch.images[0].to(device)))
    gather = distributed.gather
    classes = gather(batch.classes.to(device))
    sentences = sentence_loss(gather(code.float()), gather(sentence.float()), config.loss, classes)
    words_lost = word_loss(
        gather(regions.float()),
        gather(words.float()),
        gather(tokens.lengths),
        config.loss,
        classes,
    )
    names = ("sentence_image", "sentence_text", "word_image", "word_text")
    terms = dict(zip(names, (*sentences, *words_lost), strict=True))
    return terms | {"total": sum(terms.values())}


def matcher_identity(config: Config) -> dict[str, Any]:
    """What must be equal for a run to be continued."""
    whole = config.to_dict()
    kind = config.model.matcher
    kept = {name: whole[name] for name in (kind, "data", "loss", "quirks")}
    kept["loss"] = {k: v for k, v in whole["loss"].items() if k.startswith("gamma")}
    kept[kind] = {k: v for k, v in whole[kind].items() if k not in ("epochs", "steps", "weights")}
    kept["embedding_dim"] = config.model.embedding_dim
    kept["seed"] = config.train.seed
    kept["precision"] = config.train.precision
    return kept
