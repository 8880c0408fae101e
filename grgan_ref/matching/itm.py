"""The Image-Text Matcher, ITM (section 3.2; Fig. 4 and Sec. 8.1): a frozen CLIP and four heads.

It encodes captions for the generator and the discriminators, and images for the matching losses
(`losses.sentence_loss`, `losses.word_loss`) by which it is itself trained first. As in Sec. 8.1 the
regions begin as what the third layer of CLIP's ResNet-101 gives, through a 1x1 convolution, and the
words as the text tower's tokens, through a linear layer and LayerNorm.
"""

from __future__ import annotations

from collections.abc import Sequence

import open_clip
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cmdmetric.encoders import build_network, find_checkpoint
from grgan_ref.config import Config, QuirksConfig
from grgan_ref.data import Tokens, tokenise
from grgan_ref.errors import GrganError
from grgan_ref.files import fingerprint_of
from grgan_ref.matching.clip_features import (
    feature_widths,
    image_features,
    image_normalisation,
    image_size,
    text_features,
)


class MatchingHeads(nn.Module):
    """The trainable part: four projections of CLIP's features to one space of E dimensions.

    The paper describes those of regions and words; the released code also has those of the image
    and the sentence embedding.
    """

    def __init__(self, region_dim: int, word_dim: int, clip_dim: int, embedding_dim: int) -> None:
        super().__init__()
        self.region = nn.Conv2d(region_dim, embedding_dim, 1, bias=False)
        self.word = nn.Linear(word_dim, embedding_dim)
        self.word_norm = nn.LayerNorm(embedding_dim, eps=1e-12)
        self.sentence = nn.Linear(clip_dim, embedding_dim)
        self.image = nn.Linear(clip_dim, embedding_dim)
        nn.init.uniform_(self.region.weight, -0.1, 0.1)
        nn.init.uniform_(self.image.weight, -0.1, 0.1)

    def encode_image(self, regions: Tensor, embedding: Tensor) -> tuple[Tensor, Tensor]:
        """CLIP's (B, W, H, H') and (B, D) -> regions (B, E, H, H') and image code (B, E)."""
        return self.region(regions), self.image(embedding)

    def encode_text(self, words: Tensor, embedding: Tensor) -> tuple[Tensor, Tensor]:
        """CLIP's (B, W, L) and (B, D) -> sentence (B, E) and words (B, E, L)."""
        words = self.word_norm(self.word(words.transpose(1, 2))).transpose(1, 2)
        return self.sentence(embedding), words


class ITM(nn.Module):
    """CLIP, never trained and always in eval mode, with the heads on it.

    Args:
        clip: The network below the heads.
        embedding_dim: E, the dimensions of the common space.
        region_layer: Whose output the regions are (`clip_features.image_features`).
        quirks: With `unnormalised_clip_input` images reach the CLIP in [-1, 1], as in the released
            code, in place of with the mean and deviation that the CLIP was trained with. Those of
            the text are `mask_off_by_one` and `shifted_words_in_pretraining`.
        brings_clip: Whether a model folder keeps the CLIP too, as for the released ITM, whose file
            has one; by default the configuration's name of it is enough.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        clip: open_clip.CLIP,
        embedding_dim: int,
        region_layer: int,
        quirks: QuirksConfig | None = None,
        brings_clip: bool = False,
    ) -> None:
        super().__init__()
        self.brings_clip = brings_clip
        # A processor convolves a third faster where the channels of a pixel stand together.
        self.clip = clip.eval().requires_grad_(False).to(memory_format=torch.channels_last)
        self.region_layer = region_layer
        self.quirks = quirks or QuirksConfig()
        self.image_size = image_size(clip)
        self.heads = MatchingHeads(*feature_widths(clip, region_layer), embedding_dim)
        mean, std = image_normalisation(clip)
        self.register_buffer("mean", mean, persistent=False)
        self.register_buffer("std", std, persistent=False)

    @property
    def stored(self) -> nn.Module:
        """What a model folder and a checkpoint keep: the heads, unless the CLIP came with them."""
        return self if self.brings_clip else self.heads

    @property
    def context_length(self) -> int:
        """Tokens that the text tower takes."""
        return self.clip.positional_embedding.shape[0]

    def train(self, mode: bool = True) -> ITM:
        """Training mode for the heads; the CLIP's batch norm and dropout stay in eval mode."""
        super().train(mode)
        self.clip.eval()
        return self

    def encode_image(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Images (B, 3, s, s) in [-1, 1] -> regions (B, E, H, H') and image code (B, E).

        Differentiable with respect to the images: this is how the ITM teaches the generator.
        """
        size = (self.image_size, self.image_size)
        if images.shape[2:] != size:
            images = F.interpolate(images, size, mode="bilinear", align_corners=False)
        if not self.quirks.unnormalised_clip_input:
            images = ((images + 1) / 2 - self.mean) / self.std
        return self.heads.encode_image(*image_features(self.clip, images, self.region_layer))

    def encode_text(self, tokens: Tensor, slots: int, first: int = 1) -> tuple[Tensor, Tensor]:
        """Tokens (B, T) of `text.tokenise` -> sentence (B, E) and words (B, E, slots).

        Slot i is token i + `first`: 1 skips the start of text. The released code does so in GAN
        training and sampling but not in pre-training, where slot 0 is the start of text (`first`
        0) and every word stands one slot later (quirk `shifted_words_in_pretraining`).
        """
        with torch.no_grad():
            words, embedding = text_features(self.clip, tokens, first + slots)
        return self.heads.encode_text(words[:, :, first:], embedding)

    def encode_captions(
        self, captions: Sequence[str], slots: int, pretraining: bool = False
    ) -> tuple[Tokens, Tensor, Tensor]:
        """B captions to tokens, sentence (B, E) and words (B, E, slots)."""
        quirks = self.quirks
        tokens = tokenise(captions, slots, self.context_length, quirks.mask_off_by_one)
        first = 0 if pretraining and quirks.shifted_words_in_pretraining else 1
        encoded = self.encode_text(tokens.tokens, slots, first)
        return tokens.to(self.mean.device), *encoded

    def fingerprint(self) -> str:
        """sha256 of all weights, in hexadecimal."""
        return fingerprint_of(self.state_dict())


def build_itm(config: Config, pretrained: bool = True) -> ITM:
    """Build the ITM of a configuration, its heads as initialised.

    `itm.clip` is a bundled model, a folder in open_clip's format or a name of open_clip's list;
    `itm.weights` replaces its weights by a file's.

    Args:
        config: The configuration.
        pretrained: False leaves the CLIP's weights random, for a state dict that brings them; such
            an ITM is stored with its CLIP.

    Raises:
        InputError: The model is unknown, or its weights cannot be had.
    """
    itm = config.itm
    if pretrained:
        clip = build_network(find_checkpoint(itm.clip, itm.weights or None))
    elif itm.clip in open_clip.list_models():
        clip = open_clip.CLIP(**open_clip.get_model_config(itm.clip))
    else:
        raise GrganError(f"itm.clip: open_clip has no model {itm.clip!r}")
    return ITM(
        clip,
        config.model.embedding_dim,
        itm.region_layer,
        config.quirks,
        brings_clip=not pretrained,
    )
