"""Where torch computes, and in which arithmetic."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch

from cmdmetric.errors import InputError


@contextlib.contextmanager
def exact_float32(device: torch.device) -> Iterator[None]:
    """No gradients, and float32 that stays float32, also inside a training loop's autocast.

    CUDA would take TF32 for convolutions.
    """
    # Not every device type knows autocast; where it does not, none can be on.
    kind = device.type if device.type in ("cuda", "xpu") else "cpu"
    cudnn, matmul = torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False
    try:
        with torch.inference_mode(), torch.autocast(kind, enabled=False):
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
