"""The feature cache: what was encoded once is found again by its content, wherever it lies."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from threading import RLock
from types import TracebackType
from typing import Any

import numpy as np
from filelock import FileLock, Timeout
from numpy.typing import NDArray

from cmdmetric.cache.database import FILE, KEY, Block, CacheDatabase
from cmdmetric.cache.digests import Digests
from cmdmetric.errors import InputError
from cmdmetric.files import cache_folder, expanded, named_path
from cmdmetric.terminal import tell

#: Part of every key: to be raised when a change of this code changes features.
GENERATION = 2
#: Features in a block: what is read at once, and lost at once where it is damaged.
BLOCK = 1024
#: A process that is killed loses what it computed in this time, in seconds.
PATIENCE = 2.0
DEFAULT_LIMIT = "10GB"
_UNITS = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}
#: Seconds between two looks at a lock that another process holds.
POLL = 0.1
#: Of blocks that are read, how many are kept for the next key.
_RECENT = 8
#: Keys that are looked up one by one, in the hope that others stand in the same block.
_PROBES = 8
#: Of fewer keys than this all are looked up at once.
_WORTH_A_PROBE = 64


class Space:
    """Everything but the content that decides on a feature; each has its own keys.

    >>> Space("an example", encoder="0d9f").key(bytes(32)).hex()
    '0a9337010fcdb94a01df44cd5ed13d0e'
    """

    def __init__(self, label: str, **fields: Any) -> None:
        """Name a space.

        Args:
            label: What people are shown; it decides on nothing.
            fields: Values of JSON: the digest of the weights, what the protocol does to this side,
                the arithmetic.
        """
        self.label = label
        #: The fields, in canonical JSON.
        self.identity = json.dumps({"generation": GENERATION, **fields}, sort_keys=True)
        self._prefix = hashlib.sha256(self.identity.encode()).digest()

    def key(self, content: bytes) -> bytes:
        """The key of a content: of its digest, as a rule."""
        return hashlib.sha256(self._prefix + content).digest()[:KEY]


class FeatureCache:
    """Features under content keys, which survive the process. To be closed, or used in `with`.

    >>> import tempfile
    >>> with FeatureCache(tempfile.mkdtemp()) as cache:
    ...     space = Space("an example", encoder="0d9f")
    ...     key = space.key(hashlib.sha256(b"a picture").digest())
    ...     cache.put_many(space, [key], np.ones((1, 3), np.float32))
    ...     cache.flush()
    ...     found = cache.get_many([key, bytes(16)])
    >>> found
    (array([0]), array([[1., 1., 1.]], dtype=float32))
    """

    def __init__(self, folder: str | Path | None = None, limit: int | str | None = None) -> None:
        """Open the cache, or make it.

        The folder is by default `features` in cmdmetric's cache. The limit, in bytes or as "10GB",
        is by default $CMDMETRIC_CACHE_LIMIT, else 10 GB.

        Where nothing can be found or kept in the default folder, that is a warning, and nothing is
        cached.

        Raises:
            InputError: The limit is no size, or the named folder is of no use.
        """
        chosen = os.environ.get("CMDMETRIC_CACHE_LIMIT") or DEFAULT_LIMIT
        self.limit = limit if isinstance(limit, int) else parse_size(limit or chosen)
        self.folder = default_folder() if folder is None else named_path(folder)
        self.database = CacheDatabase(self.folder, self.limit, required=folder is not None)
        self.digests = Digests(self.database)
        self._lock = RLock()
        self._waiting: dict[Space, list[tuple[bytes, NDArray[np.float32], int]]] = {}
        self._since = 0.0
        self._recent: dict[int, Block] = {}

    @staticmethod
    def is_at(folder: str | Path) -> bool:
        """Whether a folder holds a cache."""
        return named_path(expanded(folder) / FILE).is_file()

    def __enter__(self) -> FeatureCache:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Store what waits, and close the file."""
        self.flush()
        self.database.close()

    def get_many(self, keys: Sequence[bytes]) -> tuple[NDArray[np.intp], NDArray[np.float32]]:
        """The positions (k,) among the keys of what is there, and its features (k, d)."""
        positions, features, _ = self.get_noted(keys)
        return positions, features

    def get_noted(
        self, keys: Sequence[bytes]
    ) -> tuple[NDArray[np.intp], NDArray[np.float32], NDArray[np.uint8]]:
        """As `get_many`, with the note (k,) that was put with each."""
        by_block: dict[int, list[tuple[int, int]]] = {}
        located = self._located(keys)
        for position, key in enumerate(keys):
            if key in located:
                number, row = located[key]
                by_block.setdefault(number, []).append((position, row))
        positions, features, notes = [], [], []
        for number, places in by_block.items():
            block = self._block(number)
            # A key that another block has taken over points where it is not.
            own = [(p, r) for p, r in places if block and _key_at(block, r) == keys[p]]
            if not own:
                continue
            assert block is not None
            rows = [row for _, row in own]
            positions += [position for position, _ in own]
            values = np.frombuffer(block.content, np.float32)
            features.append(values.reshape(len(block.notes), -1)[rows])
            notes.append(np.frombuffer(block.notes, np.uint8)[rows])
        if not positions:
            return np.empty(0, np.intp), np.empty((0, 0), np.float32), np.empty(0, np.uint8)
        order = np.argsort(positions)
        found = np.concatenate(features)[order], np.concatenate(notes)[order]
        return np.array(positions)[order], *found

    def put_many(
        self,
        space: Space,
        keys: Sequence[bytes],
        features: NDArray[np.float32],
        notes: Sequence[int] | NDArray[Any] | None = None,
    ) -> None:
        """Store features (n, d) under their keys, with a note of 0 to 255 each.

        They are written together: after some seconds, when there are many, and by `flush`.
        """
        with self._lock:
            if not any(self._waiting.values()):
                self._since = time.monotonic()
            waiting = self._waiting.setdefault(space, [])
            noted = [0] * len(keys) if notes is None else [int(note) for note in notes]
            waiting += zip(keys, np.ascontiguousarray(features, np.float32), noted, strict=True)
            if len(waiting) >= BLOCK or time.monotonic() - self._since > PATIENCE:
                self.flush()

    def flush(self) -> None:
        """Store what waits."""
        with self._lock:
            waiting, self._waiting = self._waiting, {}
        for space, entries in waiting.items():
            for start in range(0, len(entries), BLOCK):
                keys, features, notes = zip(*entries[start : start + BLOCK], strict=True)
                content = np.stack(features).tobytes()
                self._put(space, Block(b"".join(keys), bytes(notes), content))
        self.digests.flush()

    def recall(self, key: bytes) -> bytes | None:
        """What was put by `remember`."""
        place = self.database.locate([key]).get(key)
        block = place and self.database.block(place[0])
        return block.content if block and block.keys == key else None

    def remember(self, space: Space, key: bytes, content: bytes) -> None:
        """Store one value of any kind: statistics of a set that are slow to make."""
        self._put(space, Block(key, b"\0", content))

    @contextlib.contextmanager
    def lock(self, key: bytes, what: str) -> Iterator[bool]:
        """Hold the right to encode something; yields whether another process had it before."""
        folder = self.folder / "locks"
        lock = FileLock(folder / key.hex())
        waited = False
        # Where there is no place for a lock, both do the work.
        with contextlib.suppress(OSError, NotImplementedError):
            folder.mkdir(parents=True, exist_ok=True)
            try:
                lock.acquire(timeout=0)
            except Timeout:
                tell(f"waiting for another run that encodes {what}")
                waited = True
                lock.acquire(poll_interval=POLL)
        try:
            yield waited
        finally:
            lock.release()

    def _located(self, keys: Sequence[bytes]) -> dict[bytes, tuple[int, int]]:
        """(block, row) of the keys that are there.

        What is wanted together was put together, as a rule: the first keys are looked up one by
        one, and those that stand in the same block need no look into the index of the file, which
        takes most of the time where there are very many. The rest is looked up at once.
        """
        left = list(dict.fromkeys(keys))
        located: dict[bytes, tuple[int, int]] = {}
        for _ in range(min(_PROBES, len(left) // _WORTH_A_PROBE)):
            if not left:
                return located
            first, *left = left
            found = self.database.locate([first])
            located |= found
            block = self._block(found[first][0]) if found else None
            if block is not None:
                number, rows = found[first][0], block.rows()
                located |= {key: (number, rows[key]) for key in left if key in rows}
                left = [key for key in left if key not in rows]
        return located | self.database.locate(left)

    def _put(self, space: Space, block: Block) -> None:
        self.database.put(space.identity, space.label, block)

    def _block(self, number: int) -> Block | None:
        with self._lock:
            block = self._recent.pop(number, None) or self.database.block(number)
            if block is not None:
                self._recent[number] = block
                while len(self._recent) > _RECENT:
                    self._recent.pop(next(iter(self._recent)))
            return block


def default_folder() -> Path:
    """Where features are kept unless another place is named."""
    return cache_folder() / "features"


def open_cache(cache: bool | str | Path) -> FeatureCache | None:
    """What a user calls a cache: True is the default place, False none, a path its folder."""
    if cache is False:
        return None
    if cache is not True and not isinstance(cache, (str, os.PathLike)):
        raise InputError(f"cache is {cache!r}: it is True, False, or the folder of a cache")
    return FeatureCache(None if cache is True else cache)


def parse_size(text: str) -> int:
    """Bytes of "10GB", "500 MB", "1e9".

    >>> parse_size("1.5 GB")
    1500000000

    Raises:
        InputError: The text is no size.
    """
    match = re.fullmatch(r"\s*([0-9.e+]+)\s*([KMGT]?)i?B?\s*", text, re.IGNORECASE)
    try:
        return int(float(match[1]) * _UNITS[match[2].upper()]) if match else int("")
    except (ValueError, OverflowError):
        raise InputError(
            f"{text!r} is no size: write the limit of the cache like 10GB or 500MB"
        ) from None


def _key_at(block: Block, row: int) -> bytes:
    return block.keys[row * KEY : (row + 1) * KEY]
