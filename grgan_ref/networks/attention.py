"""AttnGAN's fusion of text into a hidden image: attention of every pixel over the words.

It is F^attn of AttnGAN (Xu et al. 2018, section 3.1; its equation 2, not that of GR-GAN), which
DM-GAN and GR-GAN replaced by the dynamic memory.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from grgan_ref.networks.memory import pixel_mask


class WordAttention(nn.Module):
    """A context vector of the words for every pixel of the hidden image h (B, C, s, s).

    One projection of the words is both key and value. mixed_mask: as in `memory.DynamicMemory`.
    """

    def __init__(self, width: int, text_dim: int, mixed_mask: bool = False) -> None:
        super().__init__()
        self.mixed_mask = mixed_mask
        self.project = nn.Conv2d(text_dim, width, 1, bias=False)

    def forward(self, h: Tensor, text: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """h (B, C, s, s), text (B, E, L), mask (B, L) bool, True at padding.

        Returns the context (B, C, s, s) and the attention (B, L, s, s), which sums to 1 over L.
        """
        words = self.project(text.unsqueeze(3)).squeeze(3)  # (B, C, L)
        pixels = h.flatten(2).transpose(1, 2)  # (B, Q, C), Q = s * s
        hidden = pixel_mask(mask, pixels.shape[1], self.mixed_mask)
        attention = (pixels @ words).masked_fill(hidden, -torch.inf).softmax(dim=2).transpose(1, 2)
        return (words @ attention).view_as(h), attention.unflatten(2, h.shape[2:])
