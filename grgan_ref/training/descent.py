"""Steps down a loss, with the processes' gradients averaged."""

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
    """Make one step down a loss: no gradients, backward, step. See `step_down`."""
    optimiser.zero_grad()
    loss.backward()
    return step_down(optimiser, parameters, clip)


def step_down(
    optimiser: Optimizer,
    parameters: Iterable[nn.Parameter],
    clip: Callable[[], object] | None = None,
) -> Tensor:
    """Make the optimiser's step by the gradients that are there, averaged over the processes.

    Args:
        optimiser: Of the parameters.
        parameters: Those whose gradients count; one that no loss reached counts as zero.
        clip: Called before the step, to shorten gradients.

    Returns:
        The Euclidean norm of the whole gradient before it was clipped.
    """
    parameters = list(parameters)
    distributed.average_gradients(parameters)
    norms = [p.grad.detach().norm() for p in parameters if p.grad is not None]
    if clip is not None:
        clip()
    optimiser.step()
    return torch.stack(norms).norm()
