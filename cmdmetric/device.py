"""Where torch computes, and in which arithmetic."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch

from cmdmetric.errors import InputError


@contextlib.contextmanager
def exact_float32() -> Iterator[None]:
    """No gradients, and float32 that stays float32: CUDA would take TF32 for convolutions."""
    cudnn, matmul = torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False
    try:
        with torch.inference_mode():
            yield
    finally:
        torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32 = cudnn, matmul


def choose_device(device: str | torch.device | None) -> torch.device:
    """The named device, or a GPU where there is one.

    Raises InputError for a device that is not there.
    """
    if device is None:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        chosen = torch.device(device)
        torch.empty(1, device=chosen)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise InputError(f"no device {str(device)!r}: {str(error).splitlines()[0]}") from None
    return chosen
