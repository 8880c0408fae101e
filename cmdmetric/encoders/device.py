"""Where torch computes, and in which arithmetic."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterator
from threading import Lock
from typing import Any

import torch

from cmdmetric.errors import InputError


@contextlib.contextmanager
def exact_float32(device: torch.device) -> Iterator[None]:
    """No gradients, and float32 that stays float32, also inside a training loop's autocast.

    Nor does the loop's default device reach into it.
    """
    # Not every device type knows autocast; where it does not, none can be on.
    kind = device.type if device.type in ("cuda", "xpu") else "cpu"
    products = _ON_CPU if device.type == "cpu" else _ON_CUDA
    # A default device is a mode of torch's functions, and attention rounds otherwise in any mode.
    unmoded = torch._C.DisableTorchFunction()
    with unmoded, torch.inference_mode(), torch.autocast(kind, enabled=False), products:
        yield


class SharedChange:
    """A change of what the whole process shares, which holds while any thread is in `with`.

    The first thread that enters makes the change and the last one that leaves undoes it, so that no
    thread loses it half way, and none takes what another has set for what was there before.
    """

    def __init__(self, change: Callable[[], contextlib.AbstractContextManager[None]]) -> None:
        """Nothing is changed yet.

        Args:
            change: Gives what makes the change where it is entered, and undoes it where it is left.
        """
        self._change = change
        self._lock = Lock()
        self._inside = 0
        self._made: contextlib.AbstractContextManager[None] = contextlib.nullcontext()

    def __enter__(self) -> None:
        with self._lock:
            if not self._inside:
                made = self._change()
                made.__enter__()
                self._made = made
            self._inside += 1

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._inside -= 1
            if not self._inside:
                self._made.__exit__(None, None, None)


@contextlib.contextmanager
def _exact_on_cuda() -> Iterator[None]:
    """CUDA would take TF32 for convolutions."""
    cudnn: Any = torch.backends.cudnn
    matmul = torch.backends.cuda.matmul
    if hasattr(matmul, "fp32_precision"):
        # The older flags raise where the newer ones were used, and a trainer may use either.
        with _precision(matmul, "ieee"), _precision(cudnn.conv, "ieee", default="tf32"):
            yield
        return
    before = cudnn.allow_tf32, matmul.allow_tf32  # torch < 2.9
    cudnn.allow_tf32 = matmul.allow_tf32 = False
    try:
        yield
    finally:
        cudnn.allow_tf32, matmul.allow_tf32 = before


@contextlib.contextmanager
def _exact_on_cpu() -> Iterator[None]:
    """oneDNN multiplies, where it is exact: on some processors it is twice as fast as MKL."""
    products = getattr(torch.backends.mkldnn, "matmul", None)
    if products is None:  # torch < 2.9
        yield
        return
    with _precision(products, "bf16" if _onednn_is_exact() else "ieee"):
        yield


@contextlib.contextmanager
def _precision(setting: Any, precision: str, default: str = "none") -> Iterator[None]:
    """One of torch's settings at a precision; default is what torch itself starts it with."""
    before = setting.fp32_precision
    setting.fp32_precision = precision
    try:
        yield
    finally:
        # What is read may be inherited from a wider setting, and should go on following that.
        setting.fp32_precision = default
        if setting.fp32_precision != before:
            setting.fp32_precision = before


_ON_CPU, _ON_CUDA = SharedChange(_exact_on_cpu), SharedChange(_exact_on_cuda)


@functools.cache
def _onednn_is_exact() -> bool:
    """Whether products that may be computed in bfloat16 are exact on this CPU nevertheless.

    Not every CPU has bfloat16; where it is not used, all that allowing it changes is the library
    that multiplies (docs/speed.md).
    """
    generator = torch.Generator().manual_seed(0)
    a, b = (torch.randn(256, 256, generator=generator) for _ in range(2))
    exact = a.double() @ b.double()
    products: Any = torch.backends.mkldnn.matmul  # type: ignore[attr-defined]
    with _precision(products, "bf16"):
        # Both a plain product and one with a bias: they may take different ways.
        found = [a @ b, torch.nn.functional.linear(a, b.t().contiguous(), torch.zeros(256))]
    # float32 is off by 3e-7 here, bfloat16 by 3e-3.
    return all(bool((x - exact).norm() < 1e-5 * exact.norm()) for x in found)


def has_bfloat16() -> bool:
    """Whether this CPU multiplies bfloat16 itself; True where torch does not tell."""
    supported = getattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", None)
    return supported is None or bool(supported())


def choose_device(device: str | torch.device | None) -> torch.device:
    """The named device, or a GPU where there is one.

    Raises:
        InputError: The device is not there.
    """
    if device is None:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        chosen = torch.device(device)
        # A tensor of the device "meta" has no values, and one of another may not come back.
        torch.zeros(1, device=chosen).cpu()
    except (TypeError, ImportError, RuntimeError, AssertionError, NotImplementedError) as error:
        raise InputError(f"no device {str(device)!r}: {str(error).splitlines()[0]}") from None
    return chosen
