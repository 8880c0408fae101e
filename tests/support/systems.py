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


@contextlib.contextmanager
def modes_hold() -> Iterator[None]:
    """Within it the modes of files hold for root too, where the system is Linux."""
    if not sys.platform.startswith("linux") or os.geteuid() != 0:
        yield
        return
    libc = ctypes.CDLL(None, use_errno=True)
    # Of the third version of the calls: effective, permitted and inheritable, in two words each.
    header, held = (ctypes.c_uint32 * 2)(0x20080522, 0), (ctypes.c_uint32 * 6)()
    libc.capget(header, held)
    fewer = (ctypes.c_uint32 * 6)(*held)
    fewer[0] &= ~0b110  # CAP_DAC_OVERRIDE and CAP_DAC_READ_SEARCH
    libc.capset(header, fewer)
    try:
        yield
    finally:
        libc.capset(header, held)


def without_privileges() -> None:
    """Before a program starts: let the modes of files hold for it though root starts it."""
    if sys.platform.startswith("linux") and os.geteuid() == 0:
        for capability in (1, 2):  # CAP_DAC_OVERRIDE and CAP_DAC_READ_SEARCH
            ctypes.CDLL(None).prctl(24, capability, 0, 0, 0)  # PR_CAPBSET_DROP
