"""Building blocks of the generator (section 3.1), those of StackGAN++, AttnGAN and DM-GAN."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def conv3x3(in_channels: int, out_channels: int) -> nn.Conv2d:
    """3x3 convolution without bias that keeps the size."""
    return nn.Conv2d(in_channels, out_channels, 3, padding=1, bias=False)


def upsampled_conv3x3(x: Tensor, weight: Tensor) -> Tensor:
    """Nearest upsampling by 2, then a 3x3 convolution: (B, C, s, s) -> (B, C', 2s, 2s).

    In plain words `plain_upsampled_conv3x3`, exactly so at the borders too, in 4/9 of the
    multiplications. Of the nine pixels that the kernel
    covers after upsampling only four differ, since it meets every pixel two or three times: what
    these share is added up in the kernel. The kernel spread by the 2x2 square that a pixel becomes
    is that of a transposed convolution with stride 2.
    """
    if x.shape[2] < 16:  # so few pixels that adding up weights costs more than it saves
        return plain_upsampled_conv3x3(x, weight)
    # Sums over 2x2 windows, from (C', C, 3, 3) to (C', C, 4, 4); a transposed convolution holds its
    # kernel the other way round, in channels and in space.
    spread = F.avg_pool2d(weight, 2, stride=1, padding=1, divisor_override=1)
    return F.conv_transpose2d(x, spread.transpose(0, 1).flip(2, 3), stride=2, padding=1)


def plain_upsampled_conv3x3(x: Tensor, weight: Tensor) -> Tensor:
    """What `upsampled_conv3x3` computes, as it is written in the papers."""
    return F.conv2d(F.interpolate(x, scale_factor=2), weight, padding=1)


class UpBlock(nn.Module):
    """(B, C, s, s) -> (B, C', 2s, 2s): nearest upsampling, convolution, batch norm, GLU."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.conv = conv3x3(in_channels, 2 * out_channels)
        self.norm = nn.BatchNorm2d(2 * out_channels)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, s, s) -> (B, C', 2s, 2s)."""
        return F.glu(self.norm(upsampled_conv3x3(x, self.conv.weight)), dim=1)


class ResidualBlock(nn.Module):
    """(B, C, s, s) -> the same: two convolutions around a GLU, and no activation after the sum."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = conv3x3(channels, 2 * channels)
        self.norm1 = nn.BatchNorm2d(2 * channels)
        self.conv2 = conv3x3(channels, channels)
        self.norm2 = nn.BatchNorm2d(channels)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, s, s) -> (B, C, s, s)."""
        return x + self._behind_conv1(self.conv1(x))

    def _behind_conv1(self, x: Tensor) -> Tensor:
        return self.norm2(self.conv2(F.glu(self.norm1(x), dim=1)))


class DoublingResidualBlock(ResidualBlock):
    """(B, C / 2, s, s) -> (B, C, s, s): a residual block of an image h concatenated with itself.

    In plain words `plain`, but cat(h, h) is never formed: a kernel sees the same in both halves, so
    that the sum of its halves does on h what it does on both, in half the multiplications.
    """

    def plain(self, h: Tensor) -> Tensor:
        """What `forward` computes, as the released code writes it."""
        return super().forward(torch.cat([h, h], 1))

    def forward(self, h: Tensor) -> Tensor:
        """(B, C / 2, s, s) -> (B, C, s, s)."""
        first, second = self.conv1.weight.chunk(2, dim=1)
        change = self._behind_conv1(F.conv2d(h, first + second, padding=1))
        return (h.unsqueeze(1) + change.unflatten(1, (2, -1))).flatten(1, 2)


class JoinCondition(nn.Module):
    """(B, C, s, s) and a condition (B, D) -> (B, 2C, s, s).

    The condition stands beside every pixel; convolution, batch norm and GLU follow. This is the
    fusion of StackGAN++ (Zhang et al. 2018, section 3.1).
    """

    def __init__(self, channels: int, condition_dim: int) -> None:
        super().__init__()
        self.conv = conv3x3(channels + condition_dim, 4 * channels)
        self.norm = nn.BatchNorm2d(4 * channels)

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        """(B, C, s, s) and (B, D) -> (B, 2C, s, s)."""
        tiled = condition[:, :, None, None].expand(-1, -1, *x.shape[2:])
        return F.glu(self.norm(self.conv(torch.cat([x, tiled], 1))), dim=1)


def initialise(module: nn.Module) -> None:
    """The released initialisation: orthogonal weights, batch norm around 1."""
    if isinstance(module, nn.Conv1d | nn.Conv2d | nn.Linear):
        nn.init.orthogonal_(module.weight)
        if isinstance(module, nn.Linear) and module.bias is not None:
            nn.init.zeros_(module.bias)
    elif isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
        nn.init.normal_(module.weight, 1.0, 0.02)
        nn.init.zeros_(module.bias)
