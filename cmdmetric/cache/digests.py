"""Digests of files' contents.

The sha256 of a file is known without reading it again while its place, size, times, inode and
device are what they were, and its times can be trusted to tell of a change.
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING

from cmdmetric.errors import InputError
from cmdmetric.files import sha256_of

if TYPE_CHECKING:
    from cmdmetric.cache.database import CacheDatabase

#: A file whose change is younger than this may change again without a trace in its times.
YOUNG_NS = 2 * 10**9
#: Files that programs map into memory: what is written there may leave size and times as they were.
MAPPED = (".npy", ".npz")


def stamp_of(path: str | Path, read_only: dict[int, bool] | None = None) -> str | None:
    """What tells that a file is as it was: its size, times, inode and device.

    The time of the inode's change is among the times: a tool that sets back a file's own time
    leaves that one. The device tells one disk from another that is mounted at the same place.

    Args:
        path: The file.
        read_only: Which devices are read-only, as far as was seen: for many files looked at in
            one go. It is added to.

    Returns:
        None where there is no file, or where its times cannot be trusted: an array, which may be
        written through a memory map, and a file of a read-only file system (squashfs, a mounted
        image), whose times and inodes whoever made it has chosen.
    """
    if str(path).lower().endswith(MAPPED):
        return None
    try:
        stat = os.stat(path)
        seen = {} if read_only is None else read_only
        if stat.st_dev not in seen:
            seen[stat.st_dev] = _on_read_only(path)
        if seen[stat.st_dev]:
            return None
    except OSError:
        return None
    return f"{stat.st_size} {stat.st_mtime_ns} {stat.st_ctime_ns} {stat.st_ino} {stat.st_dev}"


def settled_stamp(
    path: str | Path, before: str | None, read_only: dict[int, bool] | None = None
) -> str | None:
    """The stamp of a file that bore it before it was read, or None.

    None where the file has changed since, or may do so unnoticed. Devices are those of `stamp_of`.
    """
    if before is None or stamp_of(path, read_only) != before:
        return None
    newest = max(map(int, before.split()[1:3]))
    return before if time.time_ns() - newest > YOUNG_NS else None


def _on_read_only(path: str | Path) -> bool:
    return hasattr(os, "statvfs") and bool(os.statvfs(path).f_flag & os.ST_RDONLY)


def _is_text(file: tuple[str, str]) -> bool:
    """Whether a database can hold the name: bytes that are no UTF-8 it cannot."""
    try:
        return bool("".join(file).encode())
    except UnicodeEncodeError:
        return False


def _read_digest(path: str) -> bytes | None:
    try:
        return bytes.fromhex(sha256_of(Path(path)))
    except (OSError, InputError):
        return None


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
        devices: dict[int, bool] = {}
        stamps = {path: stamp_of(path, devices) for path in {path for path, _ in stored}}
        found: list[bytes | None] = []
        for file in files:
            known = stored.get(file) if file is not None else None
            fresh = file is not None and known is not None and stamps[file[0]] == known[0]
            found.append(known[1] if fresh and known is not None else None)
        return found

    def verify(self) -> tuple[int, int]:
        """Read every file again whose digest is known, and forget the digests that are wrong.

        What is known of members of archives is forgotten too: the next run reads them.

        Returns:
            How many digests were right, and how many were wrong or had a damaged record.
        """
        rows, damaged = self._database.all_digests()
        wrong, unknown, good = 0, [], 0
        for path, member, stamp, digest in rows:
            if member or stamp_of(path) != stamp:
                unknown.append((path, member))
            elif _read_digest(path) == digest:
                good += 1
            elif stamp_of(path) == stamp:  # it has not changed while it was read
                unknown.append((path, member))
                wrong += 1
        self._database.forget_digests(unknown)
        return good, wrong + damaged

    def read(self, paths: Sequence[str]) -> list[bytes | None]:
        """sha256 (32 bytes) of each file, which is read for it and noted; None of no such file."""
        devices: dict[int, bool] = {}
        found: list[bytes | None] = []
        for path in paths:
            stamp, digest = stamp_of(path, devices), _read_digest(path)
            if digest is not None:
                self.note((path, ""), settled_stamp(path, stamp, devices), digest)
            found.append(digest)
        return found

    def note(self, file: tuple[str, str], stamp: str | None, digest: bytes) -> None:
        """The digest of what was read from a file that bore a stamp, `settled_stamp`."""
        if stamp is not None and _is_text(file):
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
        self.note(file, settled_stamp(path, stamp), bytes.fromhex(digest))
        self.flush()
        return digest
