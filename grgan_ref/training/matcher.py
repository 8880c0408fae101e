"""Pre-training of a matcher: ITM (section 3.2), or DAMSM (AttnGAN).

    grgan train-itm --preset scenes-small --out runs/itm
    grgan train-damsm --preset scenes-small --out runs/damsm

The loss is the plain sum of both directions of the sentence and the word loss (Eq. 8), over all
pairs of the batch. As in the released codes every epoch starts a new Adam, with a learning rate
that falls by 2 % per epoch to a tenth. The run's folder holds `metrics.jsonl`, `checkpoints/` and
`model/`, which `grgan train --matcher` reads.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.optim import Adam

from grgan_ref.config import Config
from grgan_ref.data import Augmentation, Batch, CaptionedImages, to_unit, training_batches
from grgan_ref.files import Stateful, resume, save
from grgan_ref.losses import sentence_loss, word_loss
from grgan_ref.matching import DAMSM, Matcher, new_matcher, save_matcher
from grgan_ref.noise import seed_of
from grgan_ref.retrieval import evaluate, of_matcher
from grgan_ref.training import distributed
from grgan_ref.training.descent import descend
from grgan_ref.training.log import Log
from grgan_ref.training.monitor import Monitor
from grgan_ref.training.steps import Steps


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
    """Train until `steps` or `epochs` of the matcher's section.

    Args:
        config: Everything that the numbers depend on.
        data: The training set.
        held_out: For the retrieval that is logged every `train.score_every` steps and at the end.
        out: The run's folder; what is there is continued.
        device: Where the network is.
        workers: Processes that read data; they change no number.
        tensorboard: Whether to log to TensorBoard as well.

    Returns:
        The losses of the last step; empty where the run had been trained that far.

    Raises:
        GrganError: `out` holds a run of another configuration, or the batch does not divide.
        InputError: The network below the matcher cannot be had, or `out` cannot be written.
        FloatingPointError: A loss is not finite.
    """
    options, cadence = config.matcher, config.train
    per_epoch = max(1, len(data) // options.batch)
    total = options.steps or options.epochs * per_epoch

    torch.manual_seed(cadence.seed)  # of the weights; what follows draws from (seed, step)
    matcher = distributed.with_global_statistics(new_matcher(config, data).to(device).train())
    trained = [p for p in matcher.parameters() if p.requires_grad]
    optimiser = Adam(trained, options.learning_rate, options.betas)
    identity = matcher_identity(config)
    start = resume(out / "checkpoints", {"heads": matcher.stored, "optimiser": optimiser}, identity)
    batches = training_batches(
        data,
        Augmentation(options.resize, (options.image_size,), config.data.flip),
        batch=options.batch,
        seed=cadence.seed,
        start=start,
        stop=total,
        workers=workers,
        rank=distributed.rank(),
        processes=distributed.world_size(),
        pin=device.type == "cuda",
    )
    log = Log(out, start, tensorboard) if distributed.is_main() else None
    if log is not None and start >= total:  # a run killed behind its last checkpoint left no model
        save_matcher(matcher, config, out / "model")
    monitor, losses, saved = Monitor(), dict[str, float](), time.monotonic()
    steps = Steps(config.model.matcher.upper(), start, total, wanted=log is not None)
    for step, batch in enumerate(steps.over(batches), start + 1):
        epoch, position = divmod(step - 1, per_epoch)
        if position == 0:
            rate = options.learning_rate * max(options.decay**epoch, 0.1)
            optimiser = Adam(trained, rate, options.betas)

        torch.manual_seed(seed_of(f"{cadence.seed} {step} {distributed.rank()}"))  # dropout
        terms = matching_terms(matcher, batch, config, device)
        clip = matcher.clip_gradient if isinstance(matcher, DAMSM) else None
        terms["gradient"] = descend(terms["total"], optimiser, trained, clip)
        monitor.add(step, terms)

        last = step == total
        if last or step % cadence.log_every == 0:
            losses = monitor.look()
            steps.tell(step, loss=losses["total"])
            if log is not None:
                log.write(step, losses)
        if log is None:
            continue
        if last or (cadence.score_every and step % cadence.score_every == 0):
            number = min(len(held_out), cadence.score_samples)
            found = evaluate(of_matcher(matcher.eval(), config), held_out, number=number)
            log.write(step, found.to_dict())
            matcher.train()
        due = cadence.checkpoint_every and step % cadence.checkpoint_every == 0
        late = time.monotonic() - saved > cadence.checkpoint_seconds
        if (last or due or late) and monitor.finite():
            parts: dict[str, Stateful] = {"heads": matcher.stored, "optimiser": optimiser}
            save(out / "checkpoints", step, parts, identity, cadence.keep_checkpoints)
            save_matcher(matcher, config, out / "model")
            saved = time.monotonic()
    if log is not None:
        log.close()
    distributed.barrier()
    return losses


def matching_terms(
    matcher: Matcher, batch: Batch, config: Config, device: torch.device
) -> dict[str, Tensor]:
    """Return `sentence_image`, `sentence_text`, `word_image`, `word_text` and their sum `total`.

    They are those of all processes together: each compares every image with every caption.
    """
    bfloat16 = config.train.precision == "bfloat16"
    with torch.autocast(device.type, torch.bfloat16, enabled=bfloat16):
        tokens, sentence, words = matcher.encode_captions(
            batch.captions, config.matcher.words, pretraining=True
        )
        images = to_unit(batch.images[0].to(device, non_blocking=True))
        regions, code = matcher.encode_image(images)
    gather = distributed.gather
    classes = gather(batch.classes.to(device, non_blocking=True))
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
    return terms | {"total": torch.stack(list(terms.values())).sum()}


def matcher_identity(config: Config) -> dict[str, Any]:
    """Return what must be equal for a run to be continued."""
    whole = config.to_dict()
    kind = config.model.matcher
    kept = {name: whole[name] for name in (kind, "data", "loss", "quirks")}
    kept["loss"] = {k: v for k, v in whole["loss"].items() if k.startswith("gamma")}
    kept[kind] = {k: v for k, v in whole[kind].items() if k not in ("epochs", "steps", "weights")}
    kept["embedding_dim"] = config.model.embedding_dim
    kept["seed"] = config.train.seed
    kept["precision"] = config.train.precision
    return kept
