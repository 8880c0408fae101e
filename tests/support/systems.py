"""What a test needs of the operating system, with the reason for which it is skipped elsewhere."""

from __future__ import annotations

import contextlib
import ctypes
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
needs_named_pipes = pytest.mark.skipif(
    not hasattr(os, "mkfifo"), reason="this system has no pipes that are files"
)
needs_proc = pytest.mark.skipif(
    not Path("/proc/self/environ").exists(),
    reason="this system does not tell of processes in /proc",
)
needs_interrupts = pytest.mark.skipif(
    os.name != "posix", reason="here one process cannot interrupt another as Ctrl-C does"
)


def without_privileges() -> None:
    """Before a program starts: let the modes of files hold for it though root starts it."""
    if sys.platform.startswith("linux") and os.geteuid() == 0:
        for capability in (1, 2):  # CAP_DAC_OVERRIDE and CAP_DAC_READ_SEARCH
            ctypes.CDLL(None).prctl(24, capability, 0, 0, 0)  # PR_CAPBSET_DROP


@contextlib.contextmanager
def modes_hold() -> Iterator[None]:
    """Within it the modes of files hold for this thread and those that it starts, also for root.

    Skips the test where they do not hold all the same.
    """
    if not sys.platform.startswith("linux") or os.geteuid() != 0:
        yield
        return
    header = (ctypes.c_uint32 * 2)(0x20080522, 0)  # _LINUX_CAPABILITY_VERSION_3, this thread
    sets = (ctypes.c_uint32 * 6)()  # effective, permitted and inheritable, in two words each
    system = ctypes.CDLL(None)
    if system.capget(header, sets):
        pytest.skip("this system does not tell the capabilities of root")
    before = sets[0]
    sets[0] &= ~0b110  # CAP_DAC_OVERRIDE and CAP_DAC_READ_SEARCH
    if system.capset(header, sets):
        pytest.skip("this system does not let root put its capabilities aside")
    try:
        yield
    finally:
        sets[0] = before
        assert not system.capset(header, sets)
