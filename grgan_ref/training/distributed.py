"""Data-parallel training in four functions, each of which does nothing in a single process.

Why not `DistributedDataParallel`: one training step runs every discriminator several times before
its backward pass and calls its parts (trunk, heads) separately, and the wrapper supports neither.
Averaging the gradients explicitly, after backward and before the optimiser's step, is the same
computation and can be read in one place.

The contrastive losses (Eq. 8, 9) compare every image with every caption of the batch, so they need
the batch of all processes: `gather`. With it, N processes with B samples each compute the losses
and gradients of one process with N*B samples.
"""

from __future__ import annotations

import os
from collections.abc import Iterable

import torch
import torch.distributed as dist
from torch import Tensor, nn

from grgan_ref.errors import GrganError


def start(device: str | None = None) -> torch.device:
    """Join the processes that torchrun started, if it did; return this process's device.

    `device` is "cpu", "cuda" or "cuda:1"; None takes CUDA where there is any. The backend is nccl
    on CUDA and gloo on the CPU.
    """
    available = torch.cuda.is_available()
    if device is None:
        device = "cuda" if available else "cpu"
    if device.startswith("cuda") and not available:
        raise GrganError(f"device {device!r}: no CUDA device is available here; use --device cpu")
    chosen = torch.device(device)
    if "WORLD_SIZE" in os.environ and not dist.is_initialized():
        if chosen.type == "cuda":
            chosen = torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
            torch.cuda.set_device(chosen)
        dist.init_process_group("nccl" if chosen.type == "cuda" else "gloo")
    return chosen


def stop() -> None:
    """Leave the process group, if there is one."""
    if dist.is_initialized():
        dist.destroy_process_group()


def world_size() -> int:
    return dist.get_world_size() if dist.is_initialized() else 1


def rank() -> int:
    return dist.get_rank() if dist.is_initialized() else 0


def is_main() -> bool:
    """Whether this process writes the files and prints."""
    return rank() == 0


class _Gather(torch.autograd.Function):
    """Concatenate over processes along dim 0; the gradient sums over processes.

    Every process then computes the same loss of the whole batch, so that sum counts it
    `world_size` times; `average_gradients` divides by `world_size` again.
    """

    @staticmethod
    def forward(ctx, local: Tensor) -> Tensor:  # type: ignore[override]
        parts = [torch.empty_like(local) for _ in range(world_size())]
        dist.all_gather(parts, local.contiguous())
        return torch.cat(parts)

    @staticmethod
    def backward(ctx, gradient: Tensor) -> Tensor:  # type: ignore[override]
        gradient = gradient.contiguous()
        dist.all_reduce(gradient)
        return gradient.chunk(world_size())[rank()]


def gather(local: Tensor) -> Tensor:
    """(B, ...) of this process -> (N*B, ...) of all, in rank order, differentiable.

    All processes must pass the same shape.
    """
    if world_size() == 1:
        return local
    return _Gather.apply(local)


def average_gradients(parameters: Iterable[nn.Parameter]) -> None:
    """Replace every gradient by its mean over the processes; call before the optimiser's step."""
    if world_size() > 1:
        _average([p.grad for p in parameters if p.grad is not None])


def average_buffers(module: nn.Module) -> None:
    """Make running statistics (batch normalisation) the mean over the processes.

    On CUDA `nn.SyncBatchNorm` already keeps them equal; on the CPU it does not exist, each process
    normalises by its own samples, and this keeps the processes' models identical.
    """
    if world_size() > 1:
        _average([b for b in module.buffers() if b.is_floating_point()])


def average(value: Tensor) -> Tensor:
    """The mean of a scalar over the processes, for logging."""
    if world_size() == 1:
        return value
    value = value.detach().clone()
    _average([value])
    return value


def barrier() -> None:
    """Wait for the other processes."""
    if world_size() > 1:
        dist.barrier()


def _average(tensors: list[Tensor]) -> None:
    if not tensors:
        return
    flat = torch.cat([t.reshape(-1) for t in tensors])
    dist.all_reduce(flat)
    flat /= world_size()
    for tensor, part in zip(tensors, flat.split([t.numel() for t in tensors]), strict=True):
        tensor.copy_(part.view_as(tensor))
