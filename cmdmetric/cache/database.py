"""The file of the feature cache: an SQLite database that gives up rather than break a run."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import time
import warnings
import zlib
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from threading import RLock
from typing import Any, NamedTuple, TypeAlias, TypeVar

from cmdmetric.errors import InputError

T = TypeVar("T")

#: Of the tables below; another version is another file.
VERSION = 1
FILE = f"features-{VERSION}.sqlite"
#: Width of a key in bytes: 2^64 entries until two would meet by chance.
KEY = 16
#: Seconds that a process waits for another one's write.
PATIENCE = 60.0
#: Bytes of the file that are kept in memory at most: the index of a million keys fits.
PAGES = 64 << 20
#: Seconds between two notes of the same block's use: reading a warm cache writes nothing.
GRAIN = 3600
#: Of a full cache, what is left after eviction.
KEPT = 0.9
#: Parameters in one query, below SQLite's limit of 32,766.
_MANY = 10_000

# A block holds the values of many keys; `row` is a key's place in it. Blocks are written once, are
# checked by their checksum when they are read, and leave as a whole.
_TABLES = """
CREATE TABLE IF NOT EXISTS spaces (id INTEGER PRIMARY KEY, identity TEXT UNIQUE, label TEXT);
CREATE TABLE IF NOT EXISTS blocks (
    id INTEGER PRIMARY KEY, space INTEGER, keys BLOB, notes BLOB, content BLOB, crc INTEGER,
    used INTEGER);
CREATE TABLE IF NOT EXISTS rows (key BLOB PRIMARY KEY, block INTEGER, row INTEGER) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS digests (
    path TEXT, member TEXT, stamp TEXT, digest BLOB, crc INTEGER, PRIMARY KEY (path, member))
    WITHOUT ROWID;
DROP TABLE IF EXISTS files; -- of releases that had no checksum of digests
"""
_COLUMNS = {
    "spaces": ["id", "identity", "label"],
    "blocks": ["id", "space", "keys", "notes", "content", "crc", "used"],
    "rows": ["key", "block", "row"],
    "digests": ["path", "member", "stamp", "digest", "crc"],
}
#: The path of a file, the member of it, its stamp (`cmdmetric.cache.digests.stamp_of`), its sha256.
DigestRow: TypeAlias = tuple[str, str, str, bytes]


class Block(NamedTuple):
    """What was stored at once: keys (n * KEY bytes), a note each (n bytes), and their values."""

    keys: bytes
    notes: bytes
    content: bytes

    @property
    def crc(self) -> int:
        """The checksum of what is stored."""
        return zlib.crc32(self.content, zlib.crc32(self.notes, zlib.crc32(self.keys)))

    def rows(self) -> dict[bytes, int]:
        """The row of each key."""
        return {self.keys[i * KEY : (i + 1) * KEY]: i for i in range(len(self.notes))}


class Use(NamedTuple):
    """What a cache holds of one kind."""

    label: str
    entries: int
    bytes: int


class CacheDatabase:
    """Blocks of values under content keys, and the digests of files.

    Safe for threads and for processes; a process that is killed loses what it has not yet put.
    Whatever goes wrong with the file - no space, no permission, damage - becomes one warning, and
    the cache is then empty, or no longer written to.
    """

    def __init__(self, folder: Path, limit: int, *, required: bool = False) -> None:
        """Open the file in a folder, or make it.

        Args:
            folder: Where it is; it is made where it is not there.
            limit: The most bytes that are kept.
            required: Whether a folder in which nothing can be found or kept is an error.

        Raises:
            InputError: The folder is required, and it is of no use.
        """
        self.path = folder / FILE
        self._required = required
        self.limit = limit
        self._lock = RLock()
        self._connection: sqlite3.Connection | None = None
        self._writable = True
        self._given_up = False
        self._used: set[int] = set()
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            self._give_up(f"{folder}: {error.strerror}")
            return
        self._open()
        self._required = False  # what goes wrong from now on costs time, and no result

    @property
    def writable(self) -> bool:
        """Whether what is computed is kept."""
        return self._writable and not self._given_up

    @property
    def works(self) -> bool:
        """Whether anything is stored or found."""
        return not self._given_up

    def close(self) -> None:
        """Note what was used, and close the file; it is opened again where that is needed."""
        with self._lock:
            if self._used:
                now, used = int(time.time()), list(self._used)
                self._write(lambda c: _in(c, f"UPDATE blocks SET used={now} WHERE id", used))
            self._close()

    # --- values ------------------------------------------------------------------------------

    def locate(self, keys: Sequence[bytes]) -> dict[bytes, tuple[int, int]]:
        """(block, row) of the keys that are there."""

        def look(c: sqlite3.Connection) -> dict[bytes, tuple[int, int]]:
            found = _in(c, "SELECT key, block, row FROM rows WHERE key", keys)
            _refuse_types(found, (bytes, int, int))
            return {key: (block, row) for key, block, row in found}

        return self._run(look, {})

    def block(self, number: int) -> Block | None:
        """A block; None where it has gone. A damaged one is dropped, with a warning."""
        query = "SELECT keys, notes, content, crc, used FROM blocks WHERE id=?"

        def look(c: sqlite3.Connection) -> tuple[Any, ...] | None:
            found = c.execute(query, (number,)).fetchall()
            _refuse_types(found, (bytes, bytes, bytes, int, int))
            return found[0] if found else None

        row = self._run(look, None)
        if row is None:
            return None
        *content, crc, used = row
        block = Block(*content)
        if block.crc != crc or len(block.keys) != KEY * len(block.notes):
            warnings.warn(
                f"{self.path}: a block of {len(block.notes):,} cached features is damaged; it is "
                "dropped, and they are computed again",
                UserWarning,
                stacklevel=2,
            )
            self._write(lambda c: _drop(c, [number]))
            return None
        if time.time() - used > GRAIN:
            self._used.add(number)
        return block

    def put(self, identity: str, label: str, block: Block) -> None:
        """Store a block, whole or not at all. It takes the place of what its keys had.

        That was the same value: a key is a digest of all that its value follows from.

        identity and label are those of its kind, a `cmdmetric.cache.feature_cache.Space`.
        """

        def work(c: sqlite3.Connection) -> None:
            insert = "INSERT OR IGNORE INTO spaces (identity, label) VALUES (?, ?)"
            c.execute(insert, (identity, label))
            (owner,) = c.execute("SELECT id FROM spaces WHERE identity=?", (identity,)).fetchone()
            now = int(time.time())
            number = c.execute(
                "INSERT INTO blocks (space, keys, notes, content, crc, used) VALUES (?,?,?,?,?,?)",
                (owner, *block, block.crc, now),
            ).lastrowid
            rows = [(key, number, row) for key, row in block.rows().items()]
            c.executemany("INSERT OR REPLACE INTO rows VALUES (?,?,?)", rows)
            self._evict(c)

        self._write(work)

    # --- files -------------------------------------------------------------------------------

    def digests(self, files: Iterable[tuple[str, str]]) -> dict[tuple[str, str], tuple[str, bytes]]:
        """(stamp, digest) of those (path, member) that are known; damaged records are not."""
        by_member: dict[str, list[str]] = {}
        by_path: dict[str, list[str]] = {}
        for path, member in files:
            if member:
                by_path.setdefault(path, []).append(member)
            else:
                by_member.setdefault(member, []).append(path)

        def look(c: sqlite3.Connection) -> dict[tuple[str, str], tuple[str, bytes]]:
            what = "SELECT path, member, stamp, digest, crc FROM digests WHERE"
            rows: list[tuple[Any, ...]] = []
            for member, paths in by_member.items():
                rows += _in(c, f"{what} member=? AND path", paths, member)
            for path, members in by_path.items():
                rows += _in(c, f"{what} path=? AND member", members, path)
            return {(path, member): (stamp, digest) for path, member, stamp, digest in _whole(rows)}

        return self._run(look, {})

    def all_digests(self) -> tuple[list[DigestRow], int]:
        """Give what is known of files, and the number of records that were damaged: they go."""

        def look(c: sqlite3.Connection) -> list[tuple[Any, ...]]:
            return c.execute("SELECT path, member, stamp, digest, crc FROM digests").fetchall()

        rows: list[tuple[Any, ...]] = self._run(look, [])
        whole = _whole(rows)
        good = {(path, member) for path, member, *_ in whole}
        self.forget_digests([row[:2] for row in rows if row[:2] not in good])
        return whole, len(rows) - len(whole)

    def forget_digests(self, files: Sequence[tuple[Any, ...]]) -> None:
        """Forget the digests of those (path, member)."""
        delete = "DELETE FROM digests WHERE path=? AND member=?"
        self._write(lambda c: c.executemany(delete, files))

    def put_digests(self, rows: Sequence[DigestRow]) -> None:
        """Note the digests of files."""
        insert = "INSERT OR REPLACE INTO digests VALUES (?,?,?,?,?)"
        self._write(lambda c: c.executemany(insert, [(*row, _crc_of(row)) for row in rows]))

    # --- upkeep ------------------------------------------------------------------------------

    def size(self) -> int:
        """Bytes in use."""
        return self._run(_size, 0)

    def uses(self) -> list[Use]:
        """What is there, by kind."""
        query = (
            "SELECT label, sum(length(keys)) / ?, sum(length(keys) + length(content)) FROM blocks "
            "JOIN spaces ON space = spaces.id GROUP BY label ORDER BY 3 DESC"
        )

        def look(c: sqlite3.Connection) -> list[Use]:
            found = c.execute(query, (KEY,)).fetchall()
            _refuse_types(found, (str, int, int))
            return [Use(*row) for row in found]

        return self._run(look, [])

    def count_files(self) -> int:
        """Files whose digest is known."""
        return self._run(lambda c: c.execute("SELECT count(*) FROM digests").fetchone()[0], 0)

    def verify(self) -> tuple[int, int]:
        """Check every block, dropping those that are damaged: how many were good, and bad."""
        every = "SELECT id FROM blocks ORDER BY id"
        rows: list[tuple[int]] = self._run(lambda c: c.execute(every).fetchall(), [])
        numbers = [n for (n,) in rows]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            good = sum(self.block(number) is not None for number in numbers)
        self._used.clear()  # looking is no use
        return good, len(numbers) - good

    def clear(self) -> None:
        """Forget everything and give the space back."""

        def work(c: sqlite3.Connection) -> None:
            for table in ("rows", "blocks", "spaces", "digests"):
                c.execute(f"DELETE FROM {table}")

        self._write(work)
        self._run(lambda c: c.execute("VACUUM"), None)

    def _evict(self, c: sqlite3.Connection) -> None:
        """Drop what was used longest ago, until the size is within the limit again."""
        excess = _size(c) - self.limit
        if excess <= 0:
            return
        excess += int((1 - KEPT) * self.limit)
        stale = []
        for number, size in c.execute(
            "SELECT id, length(keys) * 3 + length(content) FROM blocks ORDER BY used, id"
        ):
            if excess <= 0:
                break
            stale.append(number)
            excess -= size
        _drop(c, stale)
        if excess > 0:  # what is left are digests of files
            c.execute("DELETE FROM digests")
        c.execute("PRAGMA incremental_vacuum").fetchall()

    # --- the connection ----------------------------------------------------------------------

    def _open(self) -> None:
        there = os.path.exists(self.path)
        writable = os.access(self.path if there else self.path.parent, os.W_OK)
        if not there and not writable:
            self._give_up(f"{self.path.parent}: not yours to write to, and no cache is in it")
            return
        mode = "rwc" if writable else "ro"
        try:
            # A rollback journal, not a write-ahead log, which network file systems cannot share.
            c = sqlite3.connect(
                f"{self.path.absolute().as_uri()}?mode={mode}", uri=True, timeout=PATIENCE,
                check_same_thread=False, isolation_level=None,
            )  # fmt: skip
            self._connection = c
            if mode == "ro":
                self._stop_writing("it is not yours to write")
                _refuse_tables(c)
                return
            if _missing_tables(c):
                c.execute("PRAGMA page_size=8192")
                c.execute("PRAGMA auto_vacuum=INCREMENTAL")
                c.executescript(f"BEGIN IMMEDIATE;{_TABLES}COMMIT;")
            _refuse_tables(c)
            c.execute("PRAGMA synchronous=NORMAL")
            c.execute(f"PRAGMA cache_size=-{PAGES >> 10}")
        except sqlite3.Error as error:
            self._failed(error)

    def _run(self, work: Callable[[sqlite3.Connection], T], otherwise: T) -> T:
        with self._lock:
            if self._connection is None and not self._given_up:
                self._open()
            if self._connection is None:
                return otherwise
            try:
                return work(self._connection)
            except sqlite3.Error as error:
                self._failed(error)
            except UnicodeError:  # a name that no database can hold is not looked up
                pass
            except (TypeError, ValueError, OverflowError) as error:  # of a value of another type
                self._failed(_Malformed(str(error)))
            return otherwise

    def _write(self, work: Callable[[sqlite3.Connection], object]) -> None:
        if self._writable:
            self._run(lambda c: _transact(c, work), None)

    def _failed(self, error: sqlite3.Error) -> None:
        """Go on without what does not work any more."""
        reason = str(error)
        # A column that is not there, or of another type, is damage too.
        damaged = isinstance(error, _Malformed) or "no such" in reason
        if isinstance(error, sqlite3.OperationalError) and not damaged:
            if "locked" in reason or "full" in reason or "readonly" in reason or "I/O" in reason:
                self._stop_writing(reason)
            else:
                self._give_up(f"{self.path}: {reason}")
            return
        if not self._writable:
            self._give_up(f"{self.path} is damaged ({reason})")
            return
        # "malformed", "not a database": what is in it cannot be trusted.
        aside = self.path.with_suffix(".damaged")
        warnings.warn(
            f"{self.path} is damaged ({reason}): it is set aside as {aside.name}, and the feature "
            "cache starts anew",
            UserWarning,
            stacklevel=2,
        )
        self._close()
        try:
            os.replace(self.path, aside)
            with contextlib.suppress(FileNotFoundError):
                os.unlink(f"{self.path}-journal")
        except OSError as failure:
            self._give_up(f"{self.path}: {failure.strerror}")
            return
        self._open()

    def _close(self) -> None:
        if self._connection is not None:
            with contextlib.suppress(sqlite3.Error):
                self._connection.close()
        self._connection = None

    def _stop_writing(self, reason: str) -> None:
        if self._writable:
            warnings.warn(
                f"{self.path} cannot be written ({reason}): what is computed now is not cached",
                UserWarning,
                stacklevel=2,
            )
        self._writable = False

    def _give_up(self, reason: str) -> None:
        self._given_up = True
        self._close()
        if self._required:
            raise InputError(f"no feature cache: {reason}")
        warnings.warn(f"no feature cache: {reason}", UserWarning, stacklevel=2)


class _Malformed(sqlite3.DatabaseError):
    """What is in the database is not what this class has put there."""


def _refuse_types(rows: Iterable[Sequence[Any]], types: Sequence[type]) -> None:
    for row in rows:
        if any(type(value) is not kind for value, kind in zip(row, types, strict=True)):
            raise _Malformed("a value of another type")


def _columns(c: sqlite3.Connection) -> dict[str, list[str]]:
    """The names of the columns of each table of ours that is there."""
    found = {table: c.execute(f"PRAGMA table_info({table})").fetchall() for table in _COLUMNS}
    return {table: [column[1] for column in columns] for table, columns in found.items() if columns}


def _missing_tables(c: sqlite3.Connection) -> bool:
    return not _COLUMNS.keys() <= _columns(c).keys()


def _refuse_tables(c: sqlite3.Connection) -> None:
    """Raise _Malformed for tables of other columns, which no statement here would fit."""
    for table, columns in _columns(c).items():
        if columns != _COLUMNS[table]:
            raise _Malformed(f"the table {table} has other columns")


def _in(
    c: sqlite3.Connection, query: str, values: Sequence[object], *before: object
) -> list[tuple[Any, ...]]:
    """The rows of `query` IN (values), however many values there are."""
    rows: list[tuple[Any, ...]] = []
    for start in range(0, len(values), _MANY):
        part = values[start : start + _MANY]
        marks = ",".join("?" * len(part))
        rows += c.execute(f"{query} IN ({marks})", (*before, *part)).fetchall()
    return rows


def _crc_of(row: DigestRow) -> int:
    """The checksum of a digest with all that it is of."""
    path, member, stamp, digest = row
    return zlib.crc32(digest, zlib.crc32("\0".join((path, member, stamp)).encode()))


def _whole(rows: Sequence[tuple[Any, ...]]) -> list[DigestRow]:
    """Those records of digests whose checksum is right, without it."""
    return [
        (path, member, stamp, digest)
        for path, member, stamp, digest, crc in rows
        if type(stamp) is str
        and type(digest) is bytes
        and _crc_of((path, member, stamp, digest)) == crc
    ]


def _transact(c: sqlite3.Connection, work: Callable[[sqlite3.Connection], T]) -> T:
    c.execute("BEGIN IMMEDIATE")
    try:
        result = work(c)
        c.execute("COMMIT")
        return result
    except BaseException:
        if c.in_transaction:
            c.execute("ROLLBACK")
        raise


def _size(c: sqlite3.Connection) -> int:
    page, pages, free = (
        c.execute(f"PRAGMA {name}").fetchone()[0]
        for name in ("page_size", "page_count", "freelist_count")
    )
    return page * (pages - free)


def _drop(c: sqlite3.Connection, numbers: Sequence[int]) -> None:
    _in(c, "DELETE FROM rows WHERE block", numbers)
    _in(c, "DELETE FROM blocks WHERE id", numbers)
