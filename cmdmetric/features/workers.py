"""Processes that torchrun or srun started and that share the encoding of one command.

Every process runs the same command up to the end of its encoding; from there the first goes on
alone and the others wait for the exit status that they are to share. All talk goes through gloo, on
GPUs too: what is exchanged lies in the memory of the CPU.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from functools import partial
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from cmdmetric.errors import InputError

T = TypeVar("T")
Array = NDArray[np.float64]

#: How long one process may wait for another that has more to do; one that has died is noticed at
#: once, since its connections close.
PATIENCE = timedelta(days=7)
#: The variable that says how many seconds the processes have to find each other, and its default.
RENDEZVOUS, RENDEZVOUS_SECONDS = "CMDMETRIC_RENDEZVOUS_TIMEOUT", 300.0
#: Rows of features that are sent at once.
ROWS = 1 << 16


class ProcessLost(Exception):
    """Another process of this run has ended, or cannot be reached."""


class Finished(Exception):
    """Nothing is left to do for a process that is not the first."""

    def __init__(self, workers: Workers) -> None:
        super().__init__("only the first process goes on")
        self.workers = workers


_enabled = False
_workers: Workers | None = None


def place() -> tuple[int, int]:
    """Rank and number of processes, as torchrun or srun tell them: (0, 1) without either.

    srun sets variables of its own for the step that it starts; a batch script and its plain
    commands do not have these.
    """
    variables = os.environ
    if {"RANK", "WORLD_SIZE", "MASTER_ADDR"} <= variables.keys():
        return int(variables["RANK"]), int(variables["WORLD_SIZE"])
    tasks = variables.get("SLURM_STEP_NUM_TASKS")
    if tasks is None and "MASTER_ADDR" in variables:
        tasks = variables.get("SLURM_NTASKS")
    if tasks is not None and "SLURM_PROCID" in variables:
        return int(variables["SLURM_PROCID"]), int(tasks)
    return 0, 1


@contextmanager
def command() -> Iterator[None]:
    """Within it `workers` joins the other processes; functions of the library never do so alone."""
    global _enabled, _workers
    _enabled = True
    try:
        yield
    finally:
        _enabled, _workers = False, None


def workers() -> Workers | None:
    """The processes that share the command, joined on the first call; None where it is alone."""
    global _workers
    if _enabled and _workers is None and place()[1] > 1:
        _workers = Workers()
    return _workers


def part(status: int) -> None:
    """Leave the others, where any were joined, with the exit status for those that wait for it."""
    if _workers is not None:
        if _workers.awaited:
            _workers.tell(status)
        _workers.leave()


class Workers:
    """This process among those that share a command."""

    def __init__(self) -> None:
        """Join the others.

        Raises:
            ProcessLost: The others do not come.
        """
        # The stacks that torch logs of a lost connection tell no more than its exception.
        os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "FATAL")
        import torch.distributed as dist
        from torch.distributed.rendezvous import rendezvous

        self._dist = dist
        self.rank, self.size = place()
        self.local_rank = int(os.environ.get("LOCAL_RANK", os.environ.get("SLURM_LOCALID", "0")))
        #: Whether all know how it ended; whether the others wait for this process to tell them.
        self.agreed = self.awaited = False
        os.environ.setdefault("MASTER_ADDR", _first_node())
        os.environ.setdefault("MASTER_PORT", _port())
        limit = rendezvous_limit()
        #: Where the processes find each other, and count what they have done.
        self._store: Any = None
        self._counters = 0

        def meet() -> None:
            self._store, *_ = next(rendezvous("env://", self.rank, self.size, timeout=limit))
            self._store.set_timeout(limit)
            dist.init_process_group(
                "gloo", store=self._store, rank=self.rank, world_size=self.size, timeout=limit
            )

        self._talk(
            meet,
            f" All {self.size} must come within {limit.total_seconds():g} s, which "
            f"{RENDEZVOUS} sets.",
        )
        # All are there: only now may one wait long for another.
        self._talk(dist.barrier)
        self._group: Any = self._talk(lambda: dist.new_group(backend="gloo", timeout=PATIENCE))

    def device(self, device: Any) -> Any:
        """Of a device that the user named, or None: this process's own GPU where there are any."""
        import torch

        if device not in (None, "cuda") or not torch.cuda.is_available():
            return device
        return f"cuda:{self.local_rank % torch.cuda.device_count()}"

    def agree(self, error: str | None = None) -> None:
        """All meet here before they go on; raises InputError in all where any has an error."""
        told = self.all_gather(error)
        failed = [rank for rank, message in enumerate(told) if message is not None]
        if failed:
            self.agreed = True
            first = failed[0]
            raise InputError(f"process {first}: {told[first]}" if first else str(told[0]))

    def end(self, error: BaseException | None) -> None:
        """Of encoding, however it ended: the first process goes on alone, the others are finished.

        Raises:
            Finished: In every process but the first one.
            InputError: In all processes, where any of them has an error.
        """
        if self.agreed or not (error is None or isinstance(error, InputError)):
            return
        self.agree(None if error is None else str(error))
        self.agreed = True
        if self.rank:
            raise Finished(self)
        self.awaited = True

    def counter(self) -> str:
        """The name of a new counter; the n-th that a process asks for is the same in all."""
        self._counters += 1
        return f"counter {self._counters}"

    def add(self, counter: str, n: int) -> int:
        """Add n to a counter of all processes, without waiting for them; returns its value."""
        value: int = self._talk(lambda: self._store.add(counter, n))
        return value

    def all_gather(self, value: T) -> list[T]:
        """The values of all processes, in their order."""
        values: list[Any] = [None] * self.size
        self._talk(lambda: self._dist.all_gather_object(values, value, group=self._group))
        return values

    def gather(self, value: T) -> list[T] | None:
        """The values of all processes, in the first; None in the others."""
        values: list[Any] | None = [None] * self.size if self.rank == 0 else None
        self._talk(lambda: self._dist.gather_object(value, values, dst=0, group=self._group))
        return values

    def sum(self, values: Array) -> Array:
        """The sum over all processes of an array of one shape, in float64."""
        import torch

        total = torch.from_numpy(np.array(values, np.float64))
        self._talk(lambda: self._dist.all_reduce(total, group=self._group))
        return total.numpy()

    def send(self, features: NDArray[np.float32]) -> None:
        """Features (n, d) to the first process."""
        import torch

        for start in range(0, len(features), ROWS):
            block = torch.from_numpy(np.array(features[start : start + ROWS], np.float32))
            self._talk(partial(self._dist.send, block, dst=0, group=self._group))

    def receive(self, rank: int, n: int, d: int) -> Iterator[NDArray[np.float32]]:
        """What another process sends, in blocks."""
        import torch

        for start in range(0, n, ROWS):
            block = torch.empty(min(ROWS, n - start), d)
            self._talk(partial(self._dist.recv, block, src=rank, group=self._group))
            yield block.numpy()

    def tell(self, status: int) -> None:
        """In the first process: the exit status for all."""
        self.awaited = False
        self._exchange(status)

    def told(self) -> int:
        """In the others: the exit status, once the first process has it."""
        return self._exchange(0)

    def _exchange(self, status: int) -> int:
        values = [status]
        self._talk(lambda: self._dist.broadcast_object_list(values, src=0, group=self._group))
        return values[0]

    def leave(self) -> None:
        """Part in order."""
        self._dist.destroy_process_group()

    def _talk(self, work: Callable[[], T], advice: str = "") -> T:
        try:
            return work()
        except (RuntimeError, OSError) as error:
            reason = " ".join(str(error).split())[:300]
            raise ProcessLost(
                f"another process of this run has ended or cannot be reached ({reason}); what was "
                f"computed is in the cache, if there is one: start the run again.{advice}"
            ) from None


def rendezvous_limit() -> timedelta:
    """How long the processes wait for each other at the start.

    Raises:
        InputError: The variable holds no number of seconds.
    """
    text = os.environ.get(RENDEZVOUS) or str(RENDEZVOUS_SECONDS)
    try:
        seconds = float(text)
        if not 0 < seconds <= PATIENCE.total_seconds():
            raise ValueError
    except ValueError:
        raise InputError(f"{RENDEZVOUS} is {text!r}, it must be a number of seconds") from None
    return timedelta(seconds=seconds)


def _first_node() -> str:
    """The host of the first task of a Slurm step: the first name in its list of nodes."""
    nodes = os.environ.get("SLURM_STEP_NODELIST", os.environ.get("SLURM_JOB_NODELIST", ""))
    match = re.match(r"([^,\[]+)(?:\[(\d+)[^\]]*\]([^,]*))?", nodes)
    return "".join(part or "" for part in match.groups()) if match else "127.0.0.1"


def _port() -> str:
    """The same port in all tasks of a job's step, another one in other jobs."""
    job = int(os.environ.get("SLURM_JOB_ID", "0"))
    step = int(os.environ.get("SLURM_STEP_ID", "0"))
    return str(20000 + (job * 31 + step) % 20000)
