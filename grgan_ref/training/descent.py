"""One step down a loss, with the processes' gradients averaged."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from grgan_ref.training import distributed


def descend(
    loss: Tensor,
    optimiser: Optimizer,
    parameters: Iterable[nn.Parameter],
    clip: Callable[[], object] | None = None,
) -> Tensor:
    """Backward and one step of the optimiser; return the Euclidean norm of the whole gradient.

    A parameter that the loss does not reach counts as zero. `clip` is called between the two, to
    shorten gradients; the norm is that from before.
    """
    parameters = list(parameters)
    optimiser.zero_grad()
    loss.backward()
    distributed.average_gradients(parameters)
    norms = [p.grad.detach().norm() for p in parameters if p.grad is not None]
    if clip is not None:
        clip()
    optimiser.step()
    return torch.stack(norms).norm()
