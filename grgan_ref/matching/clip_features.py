"""What the ITM reads off a frozen CLIP (section 3.2): regions, words, and the two embeddings.

The models are open_clip's; the released code uses a copy of OpenAI's that returns the same tensors.
"""

from __future__ import annotations

import open_clip
import torch
from torch import Tensor

from grgan_ref.errors import GrganError


def image_features(clip: open_clip.CLIP, images: Tensor, layer: int) -> tuple[Tensor, Tensor]:
    """Preprocessed images (B, 3, s, s) -> regions (B, W, H, H') and the embedding (B, D).

    Regions are the output of residual layer `layer` (1-4) of a ResNet, or the patch tokens behind
    transformer block `layer` (from 1) of a ViT, normalised by its last LayerNorm.
    """
    if hasattr(clip.visual, "layer4"):  # open_clip counts the stem as block 0
        block, last = layer, 4
    else:
        block, last = layer - 1, len(clip.visual.transformer.resblocks) - 1
    if layer < 1 or block > last:
        raise GrganError(
            f"itm.region_layer is {layer}; this CLIP's image tower has layers 1 to "
            f"{layer - block + last}"
        )
    output = clip.visual.forward_intermediates(
        images, indices=[block, last], normalize_intermediates=True
    )
    return output["image_intermediates"][0], output["image_features"]


def text_features(clip: open_clip.CLIP, tokens: Tensor, slots: int) -> tuple[Tensor, Tensor]:
    """Encode tokens (B, T) as their features (B, W, slots) and the caption's embedding (B, D).

    Token features are those behind the last LayerNorm, without the projection. The tower is causal:
    a word's feature knows the words before it, and the embedding is read off the end of text (the
    highest index), so that what comes behind both is left out of the computation. Tokens on the CPU
    tell where that is without waiting for the device.
    """
    device = clip.positional_embedding.device
    ends = tokens.argmax(dim=1)
    length = max(int(ends.max()) + 1, slots)
    if length > tokens.shape[1]:
        raise GrganError(f"{slots} token slots wanted, but the captions have {tokens.shape[1]}")
    tokens, ends = (x.to(device, non_blocking=True) for x in (tokens, ends))
    x = clip.token_embedding(tokens[:, :length]) + clip.positional_embedding[:length]
    x = clip.transformer(x, attn_mask=clip.attn_mask[:length, :length])
    x = clip.ln_final(x)
    embedding = x[torch.arange(len(x), device=x.device), ends]
    if isinstance(clip.text_projection, torch.nn.Linear):
        embedding = clip.text_projection(embedding)
    else:
        embedding = embedding @ clip.text_projection
    return x[:, :slots].transpose(1, 2), embedding


def feature_widths(clip: open_clip.CLIP, layer: int) -> tuple[int, int, int]:
    """Channels of regions, of token features, and of the embeddings."""
    size = image_size(clip)
    weight = next(clip.visual.parameters())
    with torch.no_grad():
        regions, embedding = image_features(clip, weight.new_zeros(1, 3, size, size), layer)
    return regions.shape[1], clip.token_embedding.weight.shape[1], embedding.shape[1]


def image_size(clip: open_clip.CLIP) -> int:
    """Width and height of the images that the CLIP takes."""
    size = clip.visual.image_size
    return size if isinstance(size, int) else size[0]


def image_normalisation(clip: open_clip.CLIP) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation (1, 3, 1, 1) of the images in [0, 1] that the CLIP takes."""
    mean = getattr(clip.visual, "image_mean", None) or open_clip.OPENAI_DATASET_MEAN
    std = getattr(clip.visual, "image_std", None) or open_clip.OPENAI_DATASET_STD
    return torch.tensor(mean).view(1, 3, 1, 1), torch.tensor(std).view(1, 3, 1, 1)
