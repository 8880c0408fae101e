"""What a test needs of the operating system, with the reason for which it is skipped elsewhere."""

from __future__ import annotations

import ctypes
import os
import sys
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
