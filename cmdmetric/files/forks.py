"""Work done ahead by forks of this process, where threads would wait for each other's Python."""

from __future__ import annotations

import contextlib
import ctypes
import multiprocessing
import os
import signal
import sys
import warnings
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from itertools import islice
from typing import TypeVar

from cmdmetric.errors import InputError

S = TypeVar("S")
T = TypeVar("T")

#: The most items that a process works on before it hands them over, and that all are at work on.
RUN, AT_WORK = 16, 64
#: Such runs that wait of each process.
WAITING = 2
#: Fewer items than this are done before processes have paid for their start.
WORTH_FORKS = 1000
#: With more processes than this the one that takes what they have made is the slowest.
_MOST = 16
#: Linux's number of the wish to be sent a signal when the parent ends.
_PR_SET_PDEATHSIG = 1


def forks_for(items: int) -> int:
    """How many forks should work on so many items; 0 where threads do better, or must do it.

    macOS and Windows have none that are safe, and a process that is itself one of a pool may have
    none. Each has one of the cores that this process may use; where torchrun has started several
    processes on a machine, these share them.
    """
    if sys.platform != "linux" or items < WORTH_FORKS:
        return 0
    started = os.environ.get("LOCAL_WORLD_SIZE", "1")
    cores = len(os.sched_getaffinity(0)) // (max(1, int(started)) if started.isdecimal() else 1)
    alone = cores < 2 or multiprocessing.current_process().daemon
    return 0 if alone else min(cores, _MOST)


def forked(
    items: Iterable[S], work: Callable[[S], T], processes: int
) -> Iterator[tuple[S, T]] | None:
    """Each item and what forks of this process make of it, in order.

    Args:
        items: Every fork has a copy of them as they are now, goes through all, and works on some.
        work: What a fork does with an item, with all that this process knows now. What it makes
            must be fit to be pickled.
        processes: How many forks, as `forks_for` tells.

    Returns:
        None where there can be no more processes of this size.
    """
    import torch
    from torch.utils.data import DataLoader, IterableDataset, get_worker_info

    class Made(IterableDataset[list[T]]):
        def __iter__(self) -> Iterator[list[T]]:
            this = get_worker_info()
            assert this is not None
            for run in islice(runs(), this.id, None, this.num_workers):
                yield [work(item) for item in run]

    def runs() -> Iterator[list[S]]:
        rest = iter(items)
        while run := list(islice(rest, max(1, min(RUN, AT_WORK // processes)))):
            yield run

    loader = DataLoader(
        Made(),
        batch_size=None,
        num_workers=processes,
        prefetch_factor=WAITING,
        multiprocessing_context="fork",
        collate_fn=_as_it_is,
        worker_init_fn=partial(_end_with, os.getpid()),
        generator=torch.Generator(),  # the user's own is left as it was
    )
    with warnings.catch_warnings():
        # Python 3.12 warns of threads, whose locks a fork has as they were: it takes none of them.
        warnings.simplefilter("ignore", DeprecationWarning)
        # A fork keeps what is held back: Ctrl-C is for this process, which ends the others.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            made = iter(loader)
        except OSError:
            return None
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
    both = zip(runs(), made, strict=True)
    return (pair for run, of_run in both for pair in zip(run, of_run, strict=True))


@contextlib.contextmanager
def losses_told() -> Iterator[None]:
    """Within it, that a fork was killed is an InputError, wherever it is noticed."""
    try:
        yield
    except RuntimeError as error:
        if "DataLoader worker" not in str(error):
            raise
        raise InputError(
            "a process that decodes images was killed: memory may have run out, or an image made "
            "its decoder crash. With one core, as under `taskset -c 0`, there are no such processes"
        ) from None


def _as_it_is(made: T) -> T:
    return made


def _end_with(parent: int, _: int) -> None:
    """Let this process, which `parent` has made, end with it, however that ends."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)
