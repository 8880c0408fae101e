"""The dynamic memory F^DM by which a stage fuses text into its image (section 3.1, Eq. 2 and 5).

Eq. 2 gives it the sentence, in the second stage, Eq. 5 the words, in the third. The four steps are
those of DM-GAN (Zhu et al. 2019): memory writing, key addressing, value reading and response.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


class DynamicMemory(nn.Module):
    """F^DM: refines hidden images h (B, C, s, s) with a text of L slots (B, E, L).

    Args:
        width: C, the channels of the hidden images.
        text_dim: E, the dimensions of the text's slots.
        mixed_mask: Which slots a pixel may read is decided by its own sample's mask. With True the
            b*Q + q-th of all B*Q pixel rows takes the mask of sample (b*Q + q) mod B, as in the
            released code (and in AttnGAN and DM-GAN), which repeats the masks in the wrong order.
            An image then depends on the other captions of its batch, in sampling too.
    """

    def __init__(self, width: int, text_dim: int, mixed_mask: bool = False) -> None:
        super().__init__()
        self.mixed_mask = mixed_mask
        self.gate_text = nn.Linear(text_dim, 1, bias=False)  # A
        self.gate_image = nn.Linear(width, 1, bias=False)  # B
        self.write_text = nn.Conv1d(text_dim, 2 * width, 1)  # M_w
        self.write_image = nn.Conv1d(width, 2 * width, 1)  # M_r
        self.key = nn.Conv1d(2 * width, width, 1)
        self.value = nn.Conv1d(2 * width, width, 1)
        self.response_gate = nn.Conv2d(2 * width, 1, 1)

    def forward(self, h: Tensor, text: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """h (B, C, s, s), text (B, E, L), mask (B, L) bool, True at padding.

        Returns the refined h (B, C, s, s) and the attention (B, L, s, s), which sums to 1 over L.
        """
        memory = self.write(h, text)  # (B, 2C, L)
        keys, values = self.key(memory).relu(), self.value(memory).relu()  # (B, C, L)
        pixels = h.flatten(2).transpose(1, 2)  # (B, Q, C), Q = s * s
        hidden = pixel_mask(mask, pixels.shape[1], self.mixed_mask)
        scores = (pixels @ keys).masked_fill(hidden, -torch.inf)
        attention = scores.softmax(dim=2).transpose(1, 2)  # key addressing (B, L, Q)
        read = (values @ attention).view_as(h)  # value reading
        gate = self.response_gate(torch.cat([h, read], 1)).sigmoid()
        refined = h * (1 - gate) + gate * read
        return refined, attention.unflatten(2, h.shape[2:])

    def write(self, h: Tensor, text: Tensor) -> Tensor:
        """Memory writing: every slot weighs its word against the whole image; (B, 2C, L).

        The image's mean is cut off the graph, as in the released code: writing teaches h nothing.
        """
        average = h.mean(dim=(2, 3)).detach()  # (B, C)
        gate = self.gate_text(text.transpose(1, 2)) + self.gate_image(average).unsqueeze(1)
        gate = gate.sigmoid().transpose(1, 2)  # (B, 1, L)
        from_text = self.write_text(text).relu()
        from_image = self.write_image(average.unsqueeze(2)).relu()  # (B, 2C, 1)
        return from_text * gate + from_image * (1 - gate)


def pixel_mask(mask: Tensor, pixels: int, mixed: bool) -> Tensor:
    """Say which slots each of Q `pixels` must not read: masks (B, L) to (B, Q, L) or (B, 1, L)."""
    if mixed:
        return mask.repeat(pixels, 1).view(mask.shape[0], pixels, mask.shape[1])
    return mask.unsqueeze(1)
