"""The losses of the steps, on the device until someone looks: no step waits for its numbers."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor

from grgan_ref.training import distributed


class Monitor:
    """Keeps the last step's losses, and the first that were not finite."""

    def __init__(self) -> None:
        self._names: tuple[str, ...] = ()
        self._last = self._bad = self._bad_step = torch.zeros(0)
        self._step = 0

    def add(self, step: int, terms: Mapping[str, Tensor]) -> None:
        """Take the losses of a step, scalars under the same names at every step."""
        values = torch.stack([term.detach().float() for term in terms.values()])
        if not self._names:
            self._names = tuple(terms)
            self._bad, self._bad_step = torch.zeros_like(values), values.new_zeros(())
        first = (self._bad_step == 0) & ~values.isfinite().all()
        self._bad = torch.where(first, values, self._bad)
        self._bad_step = torch.where(first, step, self._bad_step)
        self._last, self._step = values, step

    def finite(self) -> bool:
        """Whether all losses of this process have been finite so far; waits for the device."""
        return not self._names or not bool(self._bad_step)

    def look(self) -> dict[str, float]:
        """Return the last step's losses as numbers, the mean over the processes.

        All processes must look at the same steps.

        Raises:
            FloatingPointError: A loss was infinite or not a number; the message names the first
                step at which one was, and which.
        """
        losses = self._named(distributed.average(self._last))
        if self.finite() and all(map(math.isfinite, losses.values())):
            return losses
        step, values = self._step, losses
        if not self.finite():
            step, values = int(self._bad_step), self._named(self._bad)
        bad = [f"{name} = {value}" for name, value in values.items() if not math.isfinite(value)]
        raise FloatingPointError(
            f"step {step}: {', '.join(bad)}. Training stopped; the last checkpoint is from before. "
            'A smaller learning rate or train.precision = "float32" may help'
        )

    def _named(self, values: Tensor) -> dict[str, float]:
        return dict(zip(self._names, values.tolist(), strict=True))
