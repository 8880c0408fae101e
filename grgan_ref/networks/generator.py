"""The gradual refinement generator, GRG (section 3.1, Fig. 1): a caption to an image per stage."""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from grgan_ref.config import Config
from grgan_ref.networks.attention import WordAttention
from grgan_ref.networks.layers import (
    DoublingResidualBlock,
    JoinCondition,
    ResidualBlock,
    UpBlock,
    conv3x3,
    initialise,
)
from grgan_ref.networks.memory import DynamicMemory


class GeneratorOutput(NamedTuple):
    """What one forward of the generator gives."""

    #: One (B, 3, s, s) in [-1, 1] for each stage.
    images: list[Tensor]
    #: One (B, L, s, s) for each stage that reads text, at its input's size; L is 1 for a sentence.
    attention: list[Tensor]
    #: (B, condition_dim), for the KL term, as logvar.
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
        """The first hidden image (B, width, size, size)."""
        h = F.glu(self.norm(self.linear(torch.cat([c, z], 1))), dim=1)
        return self.upsample(h.view(-1, self.channels, 4, 4))


class RefinementStage(nn.Module):
    """F_2, F_3: h (B, width, s, s) and a text to the next hidden image (B, width, 2s, 2s).

    Kind I reads no text and refines the image alone. Kind S reads the sentence, which the released
    code repeats over the L slots. Slots that are equal are one here, of share 1: every pixel reads
    the same value, and the keys get no gradient. With L slots they get what the softmax's rounding
    leaves, which Adam scales up to full steps: in bfloat16 it drowned the gradient of the first
    stage. Kinds W and J read the words. `model.refinement` says how:

        dmgan   F^DM turns h and the text into a refined h (Eq. 2, 5); its channels are doubled
        attn    beside h stands the context of the words at each pixel
        plain   beside h stands the condition c at every pixel, and a convolution joins them
    """

    def __init__(self, kind: str, config: Config) -> None:
        super().__init__()
        model, mixed_mask = config.model, config.quirks.mixed_memory_mask
        width, text_dim = model.generator_width, model.embedding_dim
        self.kind = kind
        self.memory = self.attention = self.join = None
        if kind != "I" and model.refinement == "dmgan":
            self.memory = DynamicMemory(width, text_dim, mixed_mask)
        elif kind != "I" and model.refinement == "attn":
            self.attention = WordAttention(width, text_dim, mixed_mask)
        elif kind != "I":
            self.join = JoinCondition(width, model.condition_dim)
        # Where nothing stands beside h the released code concatenates it with itself.
        self.doubles = self.attention is None and self.join is None
        first = DoublingResidualBlock if self.doubles else ResidualBlock
        blocks = [first, *[ResidualBlock] * (model.residual_blocks - 1)][: model.residual_blocks]
        self.residual = nn.Sequential(*(block(2 * width) for block in blocks))
        self.upsample = UpBlock(2 * width, width)

    def forward(
        self, h: Tensor, sentence: Tensor, words: Tensor, mask: Tensor, c: Tensor
    ) -> tuple[Tensor, Tensor | None]:
        """sentence (B, E), words (B, E, L), mask (B, L), c (B, condition_dim).

        Returns h and the attention, if any.
        """
        text = words
        if self.kind == "S":
            text, mask = sentence.unsqueeze(2), mask.new_zeros(len(mask), 1)
        attention = None
        if self.memory is not None:
            h, attention = self.memory(h, text, mask)
        elif self.attention is not None:
            context, attention = self.attention(h, text, mask)
            h = torch.cat([h, context], 1)
        elif self.join is not None:
            h = self.join(h, c)
        if self.doubles and not self.residual:  # there is no first block to do it
            h = torch.cat([h, h], 1)
        return self.upsample(self.residual(h)), attention


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
        self.refine = nn.ModuleList(RefinementStage(stage.kind, config) for stage in rest)
        self.to_image = nn.ModuleList(conv3x3(model.generator_width, 3) for _ in model.stages)
        self.apply(initialise)

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
            h, weights = stage(hidden[-1], sentence, words, mask, c)
            hidden.append(h)
            if weights is not None:
                attention.append(weights)
        images = [conv(h).tanh() for conv, h in zip(self.to_image, hidden, strict=True)]
        return GeneratorOutput(images, attention, mu, logvar)
