"""One step of adversarial training: every discriminator once, then the generator once (Eq. 1-7)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from grgan_ref import losses
from grgan_ref.config import Config, StageConfig
from grgan_ref.networks import Discriminator, Generator, GeneratorOutput
from grgan_ref.training import distributed
from grgan_ref.training.descent import descend


@dataclass(frozen=True)
class Batch:
    """B images with one caption each, as this process sees them.

    images: one (B, 3, s, s) in [-1, 1] per stage. sentence (B, E) and words (B, E, L): the ITM's
    text features. mask (B, L) bool, True at padding. lengths (B,): words of the word loss.
    classes (B,): samples of one class are not told apart by the matching losses; None: all differ.
    """

    images: Sequence[Tensor]
    sentence: Tensor
    words: Tensor
    mask: Tensor
    lengths: Tensor
    classes: Tensor | None = None


class Matcher(Protocol):
    """What the matching losses need of a frozen matcher (`itm.ITM`, `damsm.DAMSM`)."""

    def encode_image(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """(B, 3, s, s) in [-1, 1] -> regions (B, E, H, W) and image code (B, E)."""
        ...


def gan_step(
    generator: Generator,
    discriminators: Sequence[Discriminator] | nn.ModuleList,
    matcher: Matcher,
    generator_optimiser: Optimizer,
    discriminator_optimisers: Sequence[Optimizer],
    batch: Batch,
    z: Tensor,
    eps: Tensor,
    config: Config,
) -> dict[str, Tensor]:
    """Update all models in place; z (B, noise_dim) and eps (B, condition_dim) are standard normal.

    The fake images are made once: the discriminators see them detached, the generator is then
    judged by the updated discriminators. Returns the losses as detached scalars, before weighting:
    `discriminator_k`, `adversarial_k`, `sentence_k`, `word_k` for stage k from 1, `kl`, and
    `generator`, the weighted total; and the norms of the gradients, `gradient_discriminator_k` and
    `gradient_generator`.
    """
    with _autocast(config, z.device):
        output = generator(batch.sentence, batch.words, batch.mask, z, eps)
    result = {}
    steps = zip(config.model.stages, discriminators, discriminator_optimisers, strict=True)
    for k, (stage, discriminator, optimiser) in enumerate(steps):
        with _autocast(config, z.device):
            loss = discriminator_loss(
                discriminator,
                batch.images[k],
                output.images[k].detach(),
                condition_of(stage, batch, config.quirks.mean_word_over_padding),
            )
        norm = descend(loss, optimiser, discriminator.parameters())
        result[f"discriminator_{k + 1}"] = loss.detach()
        result[f"gradient_discriminator_{k + 1}"] = norm

    # The generator's gradient passes through the discriminators; theirs would be thrown away.
    for discriminator in discriminators:
        discriminator.requires_grad_(False)
    terms = generator_losses(output, discriminators, matcher, batch, config)
    norm = descend(terms["generator"], generator_optimiser, generator.parameters())
    for discriminator in discriminators:
        discriminator.requires_grad_(True)
    result |= {name: term.detach() for name, term in terms.items()}
    return result | {"gradient_generator": norm}


def condition_of(stage: StageConfig, batch: Batch, over_padding: bool) -> Tensor | None:
    """What the stage's discriminator is conditioned on, (B, E): None (I), sentence (S, J) or mean
    word vector (W).

    over_padding: the mean over all L slots, also those without a word, as in the released code.
    """
    if stage.kind == "I":
        return None
    if stage.kind in "SJ":
        return batch.sentence
    if over_padding:
        return batch.words.mean(dim=2)
    kept = (~batch.mask).unsqueeze(1).to(batch.words.dtype)  # (B, 1, L)
    return (batch.words * kept).sum(dim=2) / kept.sum(dim=2)


def discriminator_loss(
    discriminator: Discriminator, real: Tensor, fake: Tensor, condition: Tensor | None
) -> Tensor:
    """Real images against generated ones; with a condition also against mismatched real pairs.

    A mismatched pair is a real image with the condition of the next sample, B - 1 pairs in all.
    A discriminator of a J stage judges both ways, as in AttnGAN and DM-GAN.
    """
    real_features = discriminator.features(real)
    fake_features = discriminator.features(fake)
    if condition is None:
        as_real = losses.real_loss(discriminator.unconditional(real_features))
        as_fake = losses.fake_loss(discriminator.unconditional(fake_features))
        return (as_real + as_fake) / 2
    as_real = losses.real_loss(discriminator.conditional(real_features, condition))
    as_fake = losses.fake_loss(discriminator.conditional(fake_features, condition))
    mismatched = discriminator.conditional(real_features[:-1], condition[1:])
    mismatch = losses.fake_loss(mismatched)
    if discriminator.unconditional_logits is None:
        return as_real + (as_fake + mismatch) / 2
    real_alone = losses.real_loss(discriminator.unconditional(real_features))
    fake_alone = losses.fake_loss(discriminator.unconditional(fake_features))
    return (real_alone + as_real) / 2 + (fake_alone + as_fake + mismatch) / 3


def generator_losses(
    output: GeneratorOutput,
    discriminators: Sequence[Discriminator] | nn.ModuleList,
    matcher: Matcher,
    batch: Batch,
    config: Config,
) -> dict[str, Tensor]:
    """The terms of the generator's loss by name, and their weighted sum as `generator`.

    S stages add lambda2 times the sentence loss (Eq. 4), W stages lambda1 times the sentence loss
    and lambda2 times the word loss (Eq. 7), as does a J stage that is the last. Eq. 9 swaps the two
    lambdas; the code does not. With both at zero the matcher judges no image.
    """
    terms = {"kl": losses.kl(output.mu, output.logvar)}
    total = config.loss.kl * terms["kl"]
    matching = config.loss.lambda1 or config.loss.lambda2
    for k, (stage, discriminator) in enumerate(
        zip(config.model.stages, discriminators, strict=True)
    ):
        image = output.images[k]
        condition = condition_of(stage, batch, config.quirks.mean_word_over_padding)
        with _autocast(config, image.device):
            features = discriminator.features(image)
            if condition is None:
                adversarial = losses.real_loss(discriminator.unconditional(features))
            else:
                adversarial = losses.real_loss(discriminator.conditional(features, condition))
                if discriminator.unconditional_logits is not None:
                    alone = losses.real_loss(discriminator.unconditional(features))
                    adversarial = adversarial + alone
            terms[f"adversarial_{k + 1}"] = adversarial
        total = total + terms[f"adversarial_{k + 1}"]
        last = k + 1 == len(config.model.stages)
        if not matching or stage.kind == "I" or (stage.kind == "J" and not last):
            continue
        with _autocast(config, image.device):
            regions, code = matcher.encode_image(image)
        sentence, word = matching_losses(regions, code, batch, stage, config)
        terms[f"sentence_{k + 1}"] = sentence
        if word is None:
            total = total + config.loss.lambda2 * sentence
        else:
            terms[f"word_{k + 1}"] = word
            total = total + config.loss.lambda1 * sentence + config.loss.lambda2 * word
    return terms | {"generator": total}


def matching_losses(
    regions: Tensor, code: Tensor, batch: Batch, stage: StageConfig, config: Config
) -> tuple[Tensor, Tensor | None]:
    """Sentence and (but for S stages) word loss of a stage's images, both directions added up.

    Every image is compared with the captions of all processes. In full precision: the gammas
    multiply an error of the cosines by up to 200.
    """
    kind = batch.sentence.dtype
    gather = distributed.gather
    classes = None if batch.classes is None else gather(batch.classes)
    sentence = losses.sentence_loss(
        gather(code.to(kind)), gather(batch.sentence), config.loss, classes
    )
    if stage.kind == "S":
        return sum(sentence), None
    word = losses.word_loss(
        gather(regions.to(kind)), gather(batch.words), gather(batch.lengths), config.loss, classes
    )
    return sum(sentence), sum(word)


def _autocast(config: Config, device: torch.device) -> torch.autocast:
    bfloat16 = config.train.precision == "bfloat16"
    return torch.autocast(device.type, torch.bfloat16, enabled=bfloat16)
