"""What a test needs of the operating system, with the reason for which it is skipped elsewhere."""

from __future__ import annotations

import os
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
