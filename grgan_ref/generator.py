"""The gradual refinement generator, GRG (section 3.1): one caption to an image of each stage."""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from grgan_ref.config import Config, StageConfig
from grgan_ref.layers import ResidualBlock, UpBlock, conv3x3
from grgan_ref.memory import DynamicMemory


class GeneratorOutput(NamedTuple):
    """images: one (B, 3, s, s) in [-1, 1] per stage. attention: one (B, L, s, s) per stage that
    reads text, at its input's size. mu, logvar: (B, condition_dim), for the KL term."""

    images: list[Tensor]
    attention: list[Tensor]
    mu: Tensor
    logvar: Tensor


class ConditioningAugmentation(nn.Module):
    """F^ca: a Gaussian around the sentence, from which the condition c is drawn (StackGAN)."""

    def __init__(self, embedding_dim: int, condition_dim: int) -> None:
        super().__init__()
        self.linear = nn.Linear(embedding_dim, 4 * condition_dim)

    def forward(self, sentence: Tensor) -> tuple[Tensor, Tensor]:
        """(B, E) -> mu, logvar (B, C) each."""
        mu, logvar = F.glu(self.linear(sentence), dim=1).chunk(2, dim=1)
        return mu, logvar


class InitialStage(nn.Module):
    """F_1: condition c (B, C) and noise z (B, Z) to the first hidden image (B, width, size, size).

    A fully connected layer makes a 4x4 image; upsampling blocks double it and halve its channels.
    """

    def __init__(self, size: int, width: int, input_dim: int) -> None:
        super().__init__()
        doublings = (size // 4).bit_length() - 1
        self.channels = width * 2**doublings
        self.linear = nn.Linear(input_dim, 2 * self.channels * 4 * 4, bias=False)
        self.norm = nn.BatchNorm1d(2 * self.channels * 4 * 4)
        self.upsample = nn.Sequential(
            *(UpBlock(self.channels >> i, self.channels >> (i + 1)) for i in range(doublings))
        )

    def forward(self, c: Tensor, z: Tensor) -> Tensor:
        h = F.glu(self.norm(self.linear(torch.cat([c, z], 1))), dim=1)
        return self.upsample(h.view(-1, self.channels, 4, 4))


class RefinementStage(nn.Module):
    """F_2, F_3: h (B, width, s, s) and a text to the next hidden image (B, width, 2s, 2s).

    Kind I reads no text and refines the image alone. Kind S reads the sentence, repeated over the
    L slots: all slots being equal, every pixel reads the same value and the keys get no gradient.
    Kind W reads the words.
    """

    def __init__(
        self, kind: str, width: int, text_dim: int, residual_blocks: int, mixed_mask: bool
    ) -> None:
        super().__init__()
        self.kind = kind
        self.memory = None if kind == "I" else DynamicMemory(width, text_dim, mixed_mask)
        self.residual = nn.Sequential(*(ResidualBlock(2 * width) for _ in range(residual_blocks)))
        self.upsample = UpBlock(2 * width, width)

    def forward(
        self, h: Tensor, sentence: Tensor, words: Tensor, mask: Tensor
    ) -> tuple[Tensor, Tensor | None]:
        """sentence (B, E), words (B, E, L), mask (B, L). Returns h and the attention, if any."""
        attention = None
        if self.memory is not None:
            text = words if self.kind == "W" else sentence.unsqueeze(2).expand_as(words)
            h, attention = self.memory(h, text, mask)
        # The released code doubles the channels by concatenating the refined image with itself.
        h = self.upsample(self.residual(torch.cat([h, h], 1)))
        return h, attention


class Generator(nn.Module):
    """All stages of `config.model.stages`, each with a 3x3 convolution and tanh to its image."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        model = config.model
        first, *rest = model.stages
        self.condition_dim, self.noise_dim = model.condition_dim, model.noise_dim
        self.conditioning = ConditioningAugmentation(model.embedding_dim, model.condition_dim)
        self.initial = InitialStage(
            first.size, model.generator_width, model.condition_dim + model.noise_dim
        )
        self.refine = nn.ModuleList(_refinement(stage, config) for stage in rest)
        self.to_image = nn.ModuleList(conv3x3(model.generator_width, 3) for _ in model.stages)
        self.apply(_initialise)

    def forward(
        self,
        sentence: Tensor,
        words: Tensor,
        mask: Tensor,
        z: Tensor,
        eps: Tensor | None = None,
    ) -> GeneratorOutput:
        """sentence (B, E), words (B, E, L), mask (B, L) bool, True at padding, z (B, noise_dim).

        eps (B, condition_dim) is the noise of conditioning augmentation, drawn here where None, in
        eval mode too: it is part of what makes two images of one caption different.
        """
        mu, logvar = self.conditioning(sentence)
        if eps is None:
            eps = torch.randn_like(mu)
        c = mu + eps * (0.5 * logvar).exp()
        hidden = [self.initial(c, z)]
        attention = []
        for stage in self.refine:
            h, weights = stage(hidden[-1], sentence, words, mask)
            hidden.append(h)
            if weights is not None:
                attention.append(weights)
        images = [conv(h).tanh() for conv, h in zip(self.to_image, hidden, strict=True)]
        return GeneratorOutput(images, attention, mu, logvar)


def _refinement(stage: StageConfig, config: Config) -> RefinementStage:
    model = config.model
    return RefinementStage(
        stage.kind,
        model.generator_width,
        model.embedding_dim,
        model.residual_blocks,
        config.quirks.mixed_memory_mask,
    )


def _initialise(module: nn.Module) -> None:
    """The released initialisation: orthogonal weights, batch norm around 1."""
    if isinstance(module, nn.Conv1d | nn.Conv2d | nn.Linear):
        nn.init.orthogonal_(module.weight)
        if isinstance(module, nn.Linear) and module.bias is not None:
            nn.init.zeros_(module.bias)
    elif isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
        nn.init.normal_(module.weight, 1.0, 0.02)
        nn.init.zeros_(module.bias)
