"""Gaussian noise that follows from a text key alone: no generator's state to save or to share."""

from __future__ import annotations

import hashlib

import torch
from torch import Tensor


def seed_of(key: str) -> int:
    """A 63-bit seed that follows from a text."""
    return int.from_bytes(hashlib.sha256(key.encode()).digest()[:8], "little") >> 1


def noise(key: str, *shape: int) -> Tensor:
    """float32 N(0, 1) on the CPU; the same key and shape give the same numbers."""
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed_of(key)))
