"""Convolution with spectral normalisation (Miyato et al. 2018), as in the paper's discriminators.

Why not `torch.nn.utils.parametrizations.spectral_norm`: it cannot reproduce the published model.
It updates u before v, where the released code updates v before u, so that from the same u and v it
normalises by another sigma; it iterates in training mode only and 15 times at construction; the
released code iterates once in every forward pass, in eval mode too, and never at construction.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

EPSILON = 1e-12


class SpectralNormConv2d(nn.Conv2d):
    """Conv2d whose weight W, seen as a matrix (out, rest), is divided by its spectral norm.

    sigma = u^T W v with u (out,) and v (rest,) approximating the first singular vectors: one power
    iteration before each forward pass in training mode, none in eval mode.

    Args:
        in_channels, out_channels, kernel_size, stride, padding: As in torch's Conv2d.
        iterate_in_eval: Whether to iterate once in eval mode too. The released code does so, and
            the discriminator's answer to the same image then changes from call to call.
        shared_vectors: The gradient of sigma with respect to W is u v^T with the u and v of that
            forward pass. With True it takes those of the last forward pass before the backward
            pass, for all passes, as the released code does by overwriting vectors that autograd
            still holds.
    """

    u: Tensor
    v: Tensor

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        stride: int = 1,
        padding: int = 0,
        iterate_in_eval: bool = False,
        shared_vectors: bool = False,
    ) -> None:
        super().__init__(in_channels, out_channels, kernel_size, stride, padding)
        self.iterate_in_eval = iterate_in_eval
        self.shared_vectors = shared_vectors
        matrix = self.weight.flatten(1)
        self.register_buffer("u", F.normalize(torch.randn(matrix.shape[0]), dim=0))
        self.register_buffer("v", F.normalize(torch.randn(matrix.shape[1]), dim=0))

    def forward(self, x: Tensor) -> Tensor:
        """The convolution of x (B, C, s, s) with W / sigma; in training sigma is updated first."""
        # sigma needs full precision: bfloat16 products would be off by about 1 %.
        with torch.autocast(x.device.type, enabled=False):
            matrix = self.weight.flatten(1)
            if self.training or self.iterate_in_eval:
                self._power_iteration(matrix.detach())
            u, v = (self.u, self.v) if self.shared_vectors else (self.u.clone(), self.v.clone())
            sigma = u.dot(matrix.mv(v))
        # conv(x, W / sigma) = conv(x, W) / sigma: here the features are smaller than the kernels.
        features = self._conv_forward(x, self.weight, None)
        features = features / sigma.to(features.dtype)  # which autocast may have made shorter
        if self.bias is None:
            return features
        return features + self.bias.to(features.dtype).view(-1, 1, 1)

    @torch.no_grad()
    def _power_iteration(self, matrix: Tensor) -> None:
        v = matrix.t().mv(self.u)
        v /= v.norm() + EPSILON
        u = matrix.mv(v)
        u /= u.norm() + EPSILON
        # Through .data autograd does not notice that saved vectors change (shared_vectors).
        self.u.data.copy_(u)
        self.v.data.copy_(v)
