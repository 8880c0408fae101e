"""A lock between processes that the operating system frees when its holder dies."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

POLL = 0.1


@contextlib.contextmanager
def exclusive(path: Path, waiting: Callable[[], None]) -> Iterator[bool]:
    """Hold the lock named by a path, whose file lives as long as the lock.

    It yields whether another process had the lock, after waiting for that one; waiting is called
    once, before the wait. Raises OSError where no lock can be had there.
    """
    waited = False
    path.parent.mkdir(parents=True, exist_ok=True)
    while True:
        file = open(path, "ab")  # noqa: SIM115  # the file stays open as long as the lock is held
        try:
            while not _try_lock(file):
                if not waited:
                    waiting()
                waited = True
                time.sleep(POLL)
            # Who held it before us has removed the file: then another may hold a new one.
            if _is_at(file, path):
                break
        except BaseException:
            file.close()
            raise
        file.close()
    try:
        yield waited
    finally:
        with contextlib.suppress(OSError):  # Windows keeps files that are open
            path.unlink()
        file.close()


def _is_at(file: BinaryIO, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(file.fileno()), os.stat(path))
    except FileNotFoundError:
        return False


if sys.platform == "win32":
    import msvcrt

    def _try_lock(file: BinaryIO) -> bool:
        try:
            file.seek(0)
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True

else:
    import fcntl

    def _try_lock(file: BinaryIO) -> bool:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True
