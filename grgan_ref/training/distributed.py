"""Data-parallel training in a few functions, each of which does nothing in a single process.

Why not `DistributedDataParallel`: one training step runs every discriminator several times before
its backward pass and calls its parts (trunk, heads) separately, and the wrapper supports neither.
Averaging the gradients explicitly, after backward and before the optimiser's step, is the same
computation and can be read in one place.

N processes with B samples each train as one process with N*B samples does, up to the order in which
float32 sums are made: a batch is drawn, sorted and given its noise as a whole and then divided
(`data.batches`, `training.gan.step_noise`); the contrastive losses (Eq. 8) compare every image with
every caption (`gather`); batch norm takes the statistics of the whole batch
(`with_global_statistics`); mismatched pairs are neighbours in the whole batch (`following`). Two
things differ: dropout in DAMSM's pre-training, which every process draws for itself, and the quirk
`mixed_memory_mask`, which mixes the masks of a process.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from cmdmetric.encoders import choose_device

M = TypeVar("M", bound=nn.Module)


def start(device: str | None = None) -> torch.device:
    """Join the processes that torchrun started, if it did, by nccl on CUDA, by gloo on the CPU.

    Args:
        device: "cpu", "cuda" or "cuda:1"; None takes CUDA where there is any.

    Returns:
        This process's device.

    Raises:
        InputError: There is no such device here.
    """
    chosen = choose_device(device)
    if "WORLD_SIZE" in os.environ and not dist.is_initialized():
        if chosen.type == "cuda":
            chosen = torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
            torch.cuda.set_device(chosen)
        dist.init_process_group("cpu:gloo,cuda:nccl" if chosen.type == "cuda" else "gloo")
    return chosen


def stop() -> None:
    """Leave the process group, if there is one."""
    if dist.is_initialized():
        dist.destroy_process_group()


def world_size() -> int:
    """Return how many processes train together."""
    return dist.get_world_size() if dist.is_initialized() else 1


def rank() -> int:
    """Return which of the processes this is, from 0."""
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
    def forward(ctx: Any, local: Tensor) -> Tensor:
        parts = [torch.empty_like(local) for _ in range(world_size())]
        dist.all_gather(parts, local.contiguous())
        return torch.cat(parts)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        gradient = gradient.contiguous()
        dist.all_reduce(gradient)
        return gradient.chunk(world_size())[rank()]


class _Sum(torch.autograd.Function):
    """Sum over processes; what every process computes from the sum sends its gradient back."""

    @staticmethod
    def forward(ctx: Any, local: Tensor) -> Tensor:
        total = local.clone()
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return _Sum.forward(None, gradient.contiguous())


def gather(local: Tensor) -> Tensor:
    """Join the (B, ...) of all processes into (N*B, ...), in rank order, differentiably.

    All processes must pass the same shape. What is on the CPU is exchanged there, so that no device
    is waited for.
    """
    if world_size() == 1:
        return local
    return _Gather.apply(local)


def following(condition: Tensor, apart: int = 1) -> tuple[Tensor, float]:
    """Return what follows each of this process's samples in the batch of all processes.

    Args:
        condition: (B, E), without a gradient; the same B, of at least `apart`, in all processes.
        apart: How many places further.

    Returns:
        (B, E), and in the last process (B - apart, E), since nothing follows its last samples; and
        the factor by which the mean over them counts, so that the mean over the processes is the
        mean over all N*B - apart pairs.
    """
    processes, own = world_size(), condition[apart:]
    if processes > 1:
        firsts = gather(condition[:apart])
        own = torch.cat([own, firsts[(rank() + 1) * apart : (rank() + 2) * apart]])
    return own, len(own) * processes / (len(condition) * processes - apart)


def average_gradients(parameters: Iterable[nn.Parameter]) -> None:
    """Replace every gradient by its mean over the processes; call before the optimiser's step."""
    if world_size() > 1:
        _average([p.grad for p in parameters if p.grad is not None])


class _GlobalBatchNorm(_BatchNorm):
    """Batch norm by the statistics of all processes, on the CPU, where nn.SyncBatchNorm is not."""

    def _check_input_dim(self, input: Tensor) -> None:
        """Any shape (B, C, ...)."""

    def forward(self, x: Tensor) -> Tensor:
        if not self.training:
            return super().forward(x)
        kind, x = x.dtype, x.float() if x.dtype == torch.bfloat16 else x
        over = [d for d in range(x.dim()) if d != 1]
        shape = [1, -1, *[1] * (x.dim() - 2)]
        count = _Sum.apply(x.new_tensor(x.numel() // x.shape[1]))
        mean = _Sum.apply(x.sum(over)) / count
        centred = x - mean.view(shape)
        variance = _Sum.apply(centred.square().sum(over)) / count
        assert self.running_mean is not None and self.running_var is not None
        assert self.num_batches_tracked is not None and self.momentum is not None
        with torch.no_grad():
            self.num_batches_tracked += 1
            self.running_mean.lerp_(mean, self.momentum)
            self.running_var.lerp_(variance * count / (count - 1), self.momentum)
        scale = self.weight / (variance + self.eps).sqrt()
        return (centred * scale.view(shape) + self.bias.view(shape)).to(kind)


def with_global_statistics(module: M) -> M:
    """Make batch norm take the statistics of the whole batch, where several processes train.

    Call it before the module's parameters are given to an optimiser.
    """
    if world_size() == 1:
        return module
    if next(module.parameters()).device.type == "cuda":
        return nn.SyncBatchNorm.convert_sync_batchnorm(module)
    _replace_batch_norm(module)
    return module


def _replace_batch_norm(module: nn.Module) -> None:
    for name, child in module.named_children():
        if isinstance(child, nn.BatchNorm1d | nn.BatchNorm2d):
            norm = _GlobalBatchNorm(child.num_features, child.eps, child.momentum)
            norm.load_state_dict(child.state_dict())
            norm.requires_grad_(child.weight.requires_grad).train(child.training)
            setattr(module, name, norm.to(child.weight.dtype))
        else:
            _replace_batch_norm(child)


def average(value: Tensor) -> Tensor:
    """Return the mean of a tensor over the processes, for logging."""
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
