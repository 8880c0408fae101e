"""One step of adversarial training: every discriminator once, then the generator once (Eq. 1-7)."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from grgan_ref import losses
from grgan_ref.config import Config, StageConfig
from grgan_ref.data import GROUP
from grgan_ref.matching import Matcher
from grgan_ref.networks import Discriminator, Discriminators, Generator, GeneratorOutput
from grgan_ref.training import distributed
from grgan_ref.training.descent import descend, step_down


@dataclass(frozen=True)
class Batch:
    """B images with one caption each, and the noise of B more, as this process sees them.

    Attributes:
        images: One (B, 3, s, s) in [-1, 1] per stage.
        sentence: (B, E), the matcher's.
        words: (B, E, L), the matcher's.
        mask: (B, L) bool, True at padding.
        lengths: (B,), the words of the word loss; on the CPU, else the device is waited for.
        z: (B, noise_dim), standard normal.
        eps: (B, condition_dim), standard normal, of conditioning augmentation.
        classes: (B,); samples of one class are not told apart by the matching losses; None: all
            differ.
    """

    images: Sequence[Tensor]
    sentence: Tensor
    words: Tensor
    mask: Tensor
    lengths: Tensor
    z: Tensor
    eps: Tensor
    classes: Tensor | None = None

    def parts(self, number: int) -> list[Batch]:
        """Divide the batch into so many equal parts."""
        alike = (self.sentence, self.words, self.mask, self.lengths, self.z, self.eps)
        classes = [None] * number if self.classes is None else self.classes.chunk(number)
        rest = zip(*(x.chunk(number) for x in alike), classes, strict=True)
        images = zip(*(stage.chunk(number) for stage in self.images), strict=True)
        return [Batch(own, *others) for own, others in zip(images, rest, strict=True)]


@dataclass(frozen=True)
class Models:
    """The networks that a step trains, all in training mode, and their optimisers.

    Attributes:
        generator: Of all stages.
        discriminators: One per stage.
        generator_optimiser: Of the generator's parameters.
        discriminator_optimisers: One per discriminator.
    """

    generator: Generator
    discriminators: Discriminators
    generator_optimiser: Optimizer
    discriminator_optimisers: Sequence[Optimizer]


def gan_step(models: Models, matcher: Matcher, batch: Batch, config: Config) -> dict[str, Tensor]:
    """Update the discriminators, and then the generator.

    The fake images are made once: the discriminators see them detached, the generator is then
    judged by the updated discriminators. With `train.accumulate` see `accumulated_step`.

    Args:
        models: Are updated in place.
        matcher: Frozen.
        batch: B samples.
        config: The losses' weights, the stages, the precision.

    Returns:
        The losses as detached scalars, before weighting: `discriminator_k`, `adversarial_k`,
        `sentence_k`, `word_k` for stage k from 1, `kl`, and `generator`, the weighted total; and
        the norms of the gradients, `gradient_discriminator_k` and `gradient_generator`.
    """
    if config.train.accumulate > 1:
        return accumulated_step(models, matcher, batch, config)
    device = batch.z.device
    with _autocast(config, device):
        output = _generated(models.generator, batch)
    result = _discriminators_step(models, batch, output.images, config)
    with _frozen(models.discriminators):
        terms = generator_losses(output, models.discriminators, matcher, batch, config)
        norm = descend(
            terms["generator"], models.generator_optimiser, models.generator.parameters()
        )
    result |= {name: term.detach() for name, term in terms.items()}
    return result | {"gradient_generator": norm}


def discriminators_step(models: Models, batch: Batch, config: Config) -> dict[str, Tensor]:
    """Update the discriminators alone, as `gan_step` does; the generator stays as it is.

    New discriminators know nothing of the images of a generator that is trained already, and learn
    too slowly to keep up with one that learns on.
    """
    with torch.no_grad(), _autocast(config, batch.z.device):
        output = _generated(models.generator, batch)
    return _discriminators_step(models, batch, output.images, config)


def _discriminators_step(
    models: Models, batch: Batch, fakes: Sequence[Tensor], config: Config
) -> dict[str, Tensor]:
    result = {}
    steps = zip(
        config.model.stages, models.discriminators, models.discriminator_optimisers, strict=True
    )
    for k, (stage, discriminator, optimiser) in enumerate(steps):
        with _autocast(config, batch.z.device):
            loss = discriminator_loss(
                discriminator,
                batch.images[k],
                fakes[k].detach(),
                condition_of(stage, batch, config.quirks.mean_word_over_padding),
                _apart(config),
            )
        norm = descend(loss, optimiser, discriminator.parameters())
        result[f"discriminator_{k + 1}"] = loss.detach()
        result[f"gradient_discriminator_{k + 1}"] = norm
    return result


def _apart(config: Config) -> int:
    """Return how far apart in a batch are the image and the text of a mismatched pair.

    The scenes of a four differ in little: of another four the text fits worse.
    """
    return GROUP if config.data.hard_negatives else 1


def accumulated_step(
    models: Models, matcher: Matcher, batch: Batch, config: Config
) -> dict[str, Tensor]:
    """Make the step of `gan_step` in `train.accumulate` parts, in the memory of one part.

    The generator runs twice on each part, for the discriminators without a graph and then for
    itself, so that no more than one part's graph is kept. What compares the samples of a batch
    compares those of a part: batch norm, mismatched pairs, and the matching losses, which have
    fewer rivals then. Arguments and result are as for `gan_step`; losses are means over the parts.
    """
    number = config.train.accumulate
    parts, device = batch.parts(number), batch.z.device
    result: dict[str, Tensor] = {}

    def count(terms: dict[str, Tensor]) -> None:
        for name, term in terms.items():
            share = term.detach() / number
            result[name] = result[name] + share if name in result else share

    for optimiser in (models.generator_optimiser, *models.discriminator_optimisers):
        optimiser.zero_grad()
    for part in parts:
        with torch.no_grad(), _unchanged_statistics(models.generator), _autocast(config, device):
            fakes = _generated(models.generator, part).images
        for k, (stage, discriminator) in enumerate(
            zip(config.model.stages, models.discriminators, strict=True)
        ):
            with _autocast(config, device):
                condition = condition_of(stage, part, config.quirks.mean_word_over_padding)
                loss = discriminator_loss(
                    discriminator, part.images[k], fakes[k], condition, _apart(config)
                )
            (loss / number).backward()
            count({f"discriminator_{k + 1}": loss})
    for k, (discriminator, optimiser) in enumerate(
        zip(models.discriminators, models.discriminator_optimisers, strict=True), start=1
    ):
        norm = step_down(optimiser, discriminator.parameters())
        result[f"gradient_discriminator_{k}"] = norm

    with _frozen(models.discriminators):
        for part in parts:
            with _autocast(config, device):
                output = _generated(models.generator, part)
            terms = generator_losses(output, models.discriminators, matcher, part, config)
            (terms["generator"] / number).backward()
            count(terms)
        norm = step_down(models.generator_optimiser, models.generator.parameters())
    return result | {"gradient_generator": norm}


def _generated(generator: Generator, batch: Batch) -> GeneratorOutput:
    return generator(batch.sentence, batch.words, batch.mask, batch.z, batch.eps)


@contextlib.contextmanager
def _frozen(discriminators: Discriminators | Sequence[Discriminator]) -> Iterator[None]:
    """The generator's gradient passes through the discriminators; theirs would be thrown away."""
    for discriminator in discriminators:
        discriminator.requires_grad_(False)
    try:
        yield
    finally:
        for discriminator in discriminators:
            discriminator.requires_grad_(True)


@contextlib.contextmanager
def _unchanged_statistics(module: nn.Module) -> Iterator[None]:
    """Batch norm's running statistics stay as they are, so that no batch counts in them twice."""
    norms = [m for m in module.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    before = [norm.momentum for norm in norms]
    for norm in norms:
        norm.momentum = 0.0
    try:
        yield
    finally:
        for norm, momentum in zip(norms, before, strict=True):
            norm.momentum = momentum


def condition_of(stage: StageConfig, batch: Batch, over_padding: bool) -> Tensor | None:
    """Return what the stage's discriminator is conditioned on.

    Args:
        stage: Its kind decides.
        batch: The text features.
        over_padding: Whether the mean word is that of all L slots, also those without a word, as in
            the released code.

    Returns:
        None (I), or (B, E): the sentence (S, J) or the mean word vector (W).
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
    discriminator: Discriminator,
    real: Tensor,
    fake: Tensor,
    condition: Tensor | None,
    apart: int = 1,
) -> Tensor:
    """Judge real images against generated ones; with a condition also against mismatched pairs.

    A mismatched pair is a real image with the condition of the next sample, or of one some places
    further, so that the batch of all processes has as many pairs fewer than samples. A
    discriminator of a J stage judges with and without the condition, as in AttnGAN and DM-GAN.

    Args:
        discriminator: Of one stage.
        real: (B, 3, s, s).
        fake: (B, 3, s, s), without a gradient.
        condition: (B, E) or None, `condition_of`.
        apart: How many places further.

    Returns:
        The loss, whose mean over the processes is that of the whole batch.
    """
    real_features = discriminator.features(real)
    fake_features = discriminator.features(fake)
    if condition is None:
        as_real = losses.real_loss(discriminator.unconditional(real_features))
        as_fake = losses.fake_loss(discriminator.unconditional(fake_features))
        return (as_real + as_fake) / 2
    as_real = losses.real_loss(discriminator.conditional(real_features, condition))
    as_fake = losses.fake_loss(discriminator.conditional(fake_features, condition))
    others, share = distributed.following(condition, apart)
    mismatched = discriminator.conditional(real_features[: len(others)], others)
    mismatch = share * losses.fake_loss(mismatched)
    if discriminator.unconditional_logits is None:
        return as_real + (as_fake + mismatch) / 2
    real_alone = losses.real_loss(discriminator.unconditional(real_features))
    fake_alone = losses.fake_loss(discriminator.unconditional(fake_features))
    return (real_alone + as_real) / 2 + (fake_alone + as_fake + mismatch) / 3


def generator_losses(
    output: GeneratorOutput,
    discriminators: Discriminators | Sequence[Discriminator],
    matcher: Matcher,
    batch: Batch,
    config: Config,
) -> dict[str, Tensor]:
    """Return the terms of the generator's loss by name, and their weighted sum as `generator`.

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
            adversarial = adversarial_loss(discriminator, image, condition)
        terms[f"adversarial_{k + 1}"] = adversarial
        total = total + adversarial
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


def adversarial_loss(
    discriminator: Discriminator, image: Tensor, condition: Tensor | None
) -> Tensor:
    """Return how much a discriminator takes generated images (B, 3, s, s) for generated ones."""
    features = discriminator.features(image)
    if condition is None:
        return losses.real_loss(discriminator.unconditional(features))
    fitting = losses.real_loss(discriminator.conditional(features, condition))
    if discriminator.unconditional_logits is None:
        return fitting
    return fitting + losses.real_loss(discriminator.unconditional(features))


def matching_losses(
    regions: Tensor, code: Tensor, batch: Batch, stage: StageConfig, config: Config
) -> tuple[Tensor, Tensor | None]:
    """Return the sentence loss and, but for S stages, the word loss of a stage's images.

    Both directions are added up. Every image is compared with the captions of all processes. In
    full precision: the gammas multiply an error of the cosines by up to 200.
    """
    kind = batch.sentence.dtype
    gather = distributed.gather
    classes = None if batch.classes is None else gather(batch.classes)
    to_text, to_image = losses.sentence_loss(
        gather(code.to(kind)), gather(batch.sentence), config.loss, classes
    )
    sentence = to_text + to_image
    if stage.kind == "S":
        return sentence, None
    to_text, to_image = losses.word_loss(
        gather(regions.to(kind)), gather(batch.words), gather(batch.lengths), config.loss, classes
    )
    return sentence, to_text + to_image


def _autocast(config: Config, device: torch.device) -> torch.autocast:
    bfloat16 = config.train.precision == "bfloat16"
    return torch.autocast(device.type, torch.bfloat16, enabled=bfloat16)
