"""Exponential moving average of the generator: what is sampled and shipped."""

from __future__ import annotations

import copy
from typing import TypeVar

import torch
from torch import nn

M = TypeVar("M", bound=nn.Module)


def average_copy(module: M) -> M:
    """Begin the average: a copy of the module as it is now, in eval mode, without gradients."""
    average = copy.deepcopy(module).eval()
    return average.requires_grad_(False)


@torch.no_grad()
def update(average: nn.Module, module: nn.Module, decay: float) -> None:
    """average <- decay * average + (1 - decay) * module, over the parameters.

    As in the released code: every step from the first, no warm-up, no bias correction. Buffers
    (batch normalisation's running statistics) are not averaged but copied.
    """
    for kept, new in zip(average.parameters(), module.parameters(), strict=True):
        kept.mul_(decay).add_(new, alpha=1 - decay)
    for own, theirs in zip(average.buffers(), module.buffers(), strict=True):
        own.copy_(theirs)
