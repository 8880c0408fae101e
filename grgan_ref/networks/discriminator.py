"""The discriminators D_1, D_2, D_3 (section 3.1): is this image real, and does it fit its text?

Each judges the images of one stage. The convolutions of the trunk and of the joint layer are
spectrally normalised, as in DM-GAN, or followed by batch norm, as in AttnGAN. The kind of the stage
decides the condition: none (I), the sentence (S), the mean word vector (W), or both none and the
sentence (J).
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from grgan_ref.config import Config
from grgan_ref.networks.layers import initialise
from grgan_ref.networks.spectral_norm import SpectralNormConv2d


class Discriminator(nn.Module):
    """Trunk (B, 3, size, size) -> (B, 8 width, 4, 4), and one or two heads on its features.

    Up to 64 pixels the trunk halves the size and doubles the channels up to 8 width; above it goes
    on doubling and comes back to 8 width by 3x3 convolutions at 4x4.

    Args:
        size: Width and height of the images.
        width: Channels after the first convolution at 64 pixels and above.
        embedding_dim: E, the dimensions of the condition.
        unconditional: Whether there is a head that judges the image alone.
        conditional: Whether there is a head that judges image and condition.
        batch_norm: AttnGAN's kind. Its convolutions have no bias and, but for the first, batch norm
            in place of spectral norm; all weights begin orthogonal.
        iterate_in_eval, shared_vectors: Of the spectral norm, `spectral_norm.SpectralNormConv2d`.
    """

    def __init__(
        self,
        size: int,
        width: int,
        embedding_dim: int,
        unconditional: bool,
        conditional: bool,
        batch_norm: bool = False,
        iterate_in_eval: bool = False,
        shared_vectors: bool = False,
    ) -> None:
        super().__init__()

        def conv(into: int, out: int, kernel: int) -> nn.Module:
            stride = 2 if kernel == 4 else 1
            if not batch_norm:
                return SpectralNormConv2d(
                    into, out, kernel, stride, 1, iterate_in_eval, shared_vectors
                )
            plain = nn.Conv2d(into, out, kernel, stride, 1, bias=False)
            return plain if into == 3 else nn.Sequential(plain, nn.BatchNorm2d(out))

        halvings = (size // 4).bit_length() - 1
        features = 8 * width
        # 8 width at 4x4 whatever the size: images below 64 pixels start with more channels.
        start = features >> min(halvings - 1, 3)
        channels = [3, *(start << i for i in range(halvings))]
        down = [conv(a, b, 4) for a, b in itertools.pairwise(channels)]
        back = []
        while channels[-1] > features:
            channels.append(channels[-1] // 2)
            back.append(conv(channels[-2], channels[-1], 3))
        self.trunk = nn.ModuleList([*down, *back])
        self.unconditional_logits = nn.Conv2d(features, 1, 4) if unconditional else None
        self.joint = conv(features + embedding_dim, features, 3) if conditional else None
        self.conditional_logits = nn.Conv2d(features, 1, 4) if conditional else None
        if batch_norm:
            self.apply(initialise)

    def features(self, images: Tensor) -> Tensor:
        """(B, 3, size, size) in [-1, 1] -> (B, 8 width, 4, 4)."""
        h = images
        for conv in self.trunk:
            h = F.leaky_relu(conv(h), 0.2)
        return h

    def unconditional(self, features: Tensor) -> Tensor:
        """Logits (B,) of D(x): is the image real?"""
        assert self.unconditional_logits is not None
        return self.unconditional_logits(features).flatten()

    def conditional(self, features: Tensor, condition: Tensor) -> Tensor:
        """Logits (B,) of D(x, s): is it real and does it fit the condition (B, E)?"""
        assert self.joint is not None and self.conditional_logits is not None
        tiled = condition[:, :, None, None].expand(-1, -1, *features.shape[2:])
        joint = F.leaky_relu(self.joint(torch.cat([features, tiled], 1)), 0.2)
        return self.conditional_logits(joint).flatten()


class Discriminators(nn.ModuleList):
    """One discriminator per stage."""

    def __iter__(self) -> Iterator[Discriminator]:
        return cast(Iterator[Discriminator], super().__iter__())


def build_discriminators(config: Config) -> Discriminators:
    """Build one discriminator per stage: of I unconditional, of S and W conditional, of J both.

    With the quirk `unused_conditional_head` that of an I stage also has the conditional head which
    the released code constructs, saves and never uses.
    """
    quirks = config.quirks
    return Discriminators(
        Discriminator(
            stage.size,
            config.model.discriminator_width,
            config.model.embedding_dim,
            unconditional=stage.kind in "IJ",
            conditional=stage.kind != "I" or quirks.unused_conditional_head,
            batch_norm=config.model.discriminator == "batch",
            iterate_in_eval=quirks.power_iteration_in_eval,
            shared_vectors=quirks.shared_power_vectors,
        )
        for stage in config.model.stages
    )
