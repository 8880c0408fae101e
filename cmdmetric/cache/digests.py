"""Digests of files' contents.

The sha256 of a file is known without reading it again while its place, size, times and inode are
what they were.
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING

from cmdmetric.files import sha256_of

if TYPE_CHECKING:
    from cmdmetric.cache.database import CacheDatabase

#: A file whose change is younger than this may change again without a trace in its times.
YOUNG_NS = 2 * 10**9


def stamp_of(path: str | Path) -> str | None:
    """What tells that a file is as it was: size, time of its change, inode; None if there is none.

    The time of the inode's change is among them: a tool that sets back a file's own time leaves
    that one.
    """
    try:
        stat = os.stat(path)
    except OSError:
        return None
    return f"{stat.st_size} {stat.st_mtime_ns} {stat.st_ctime_ns} {stat.st_ino}"


def _is_text(file: tuple[str, str]) -> bool:
    """Whether a database can hold the name: bytes that are no UTF-8 it cannot."""
    try:
        return bool("".join(file).encode())
    except UnicodeEncodeError:
        return False


class Digests:
    """The digests of files and of members of archives, as a cache's database knows them.

    A file is (path, member): an absolute path, and the member's name for one of an archive, whose
    own times then count, else "".
    """

    def __init__(self, database: CacheDatabase) -> None:
        self._database = database
        self._lock = Lock()
        self._waiting: list[tuple[str, str, str, bytes]] = []

    def known(self, files: Sequence[tuple[str, str] | None]) -> list[bytes | None]:
        """sha256 (32 bytes) of each file, None where it is not known or has changed."""
        named = [file for file in files if file is not None and _is_text(file)]
        stored = self._database.digests(named)
        stamps = {path: stamp_of(path) for path in {path for path, _ in stored}}
        found: list[bytes | None] = []
        for file in files:
            known = stored.get(file) if file is not None else None
            fresh = file is not None and known is not None and stamps[file[0]] == known[0]
            found.append(known[1] if fresh and known is not None else None)
        return found

    def note(self, file: tuple[str, str], stamp: str | None, digest: bytes) -> None:
        """The digest of what was read from a file that bore a stamp before it was read.

        Not kept where the file has changed since, or may do so unnoticed.
        """
        if stamp is None or not _is_text(file) or stamp_of(file[0]) != stamp:
            return
        newest = max(map(int, stamp.split()[1:3]))
        if time.time_ns() - newest > YOUNG_NS:
            with self._lock:
                self._waiting.append((*file, stamp, digest))

    def flush(self) -> None:
        """Store what was noted."""
        with self._lock:
            waiting, self._waiting = self._waiting, []
        if waiting:
            self._database.put_digests(waiting)

    def sha256(self, path: Path) -> str:
        """`cmdmetric.files.downloads.sha256_of`, from memory where the file is as it was."""
        file = (os.path.abspath(path), "")
        (known,) = self.known([file])
        if known is not None:
            return known.hex()
        stamp, digest = stamp_of(path), sha256_of(path)
        self.note(file, stamp, bytes.fromhex(digest))
        self.flush()
        return digest
