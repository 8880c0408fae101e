"""Sets of samples scored as they come: a training run writes them, a table of scores grows."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from glob import glob
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cmdmetric.errors import InputError
from cmdmetric.files import missing, named_path, natural_sorted, whole_file
from cmdmetric.scoring import (
    CMDScore,
    Networks,
    Source,
    Wanted,
    encoding_of,
    scored,
)

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from cmdmetric.scoring import EncodingOptions

#: What a set of samples may be beside a folder.
_ARCHIVES = (".zip", ".tar", ".npz", ".npy")


@dataclass(frozen=True)
class Seen:
    """What became of a set of samples.

    Attributes:
        name: Its path.
        score: Its score; None where it has none.
        reason: Why it has none.
    """

    name: str
    score: CMDScore | None
    reason: str = ""


@dataclass
class Table:
    """The scores so far, one JSON object in each line of a file, in the order in which they came.

    Attributes:
        path: The file.
        rows: What stands in it.
    """

    path: Path
    rows: list[dict[str, Any]] = field(default_factory=list)

    @classmethod
    def open(cls, path: str | os.PathLike[str]) -> Table:
        """Read a table, which may not be there yet.

        Raises:
            InputError: The file is no table of `watch`.
        """
        table = cls(Path(path))
        if not table.path.exists():
            return table
        try:
            lines = table.path.read_text(encoding="utf-8").splitlines()
            rows = [json.loads(line) for line in lines if line.strip()]
        except OSError as error:
            raise InputError(f"{path}: {error.strerror}") from None
        except (ValueError, RecursionError) as error:
            raise InputError(f"{path}: not a table of scores: {error}") from None
        if not all(isinstance(row, dict) and isinstance(row.get("name"), str) for row in rows):
            raise InputError(f"{path}: not a table of scores: a line of it has no name")
        table.rows = rows
        return table

    @property
    def names(self) -> set[str]:
        """The sets that are in it."""
        return {row["name"] for row in self.rows}

    def add(self, name: str, score: CMDScore) -> None:
        """Add a score; the file is whole at any time.

        Raises:
            InputError: It cannot be written.
        """
        now = datetime.now(timezone.utc).isoformat(timespec="seconds")
        self.rows.append({"name": name, "scored": now, **score.to_flat_dict()})
        with whole_file(self.path) as file:
            for row in self.rows:
                file.write(json.dumps(row).encode() + b"\n")


def scorer(
    captions: Source,
    real: Source | None = None,
    *,
    metrics: str | Iterable[str] = (),
    inception_weights: str | Path | None = None,
    **options: Unpack[EncodingOptions],
) -> Callable[[str], CMDScore]:
    """Build every network once, and give what scores one set after another for `watch`.

    What a score warns of stands in its `warnings` alone: it would be told with each set.

    Args:
        captions: The captions of every set, as for `cmdmetric.cmd`.
        real: The real images, as for `cmdmetric.cmd`.
        metrics: What else to compute, as for `cmdmetric.cmd`.
        inception_weights: The file of Inception's weights, as for `cmdmetric.cmd`.
        **options: How images and captions are encoded, as for `cmdmetric.cmd`.

    Raises:
        InputError: A network cannot be had, or an option has a value that it cannot have.
        TypeError: There is no option of such a name.
    """
    wanted = Wanted.of(metrics, inception_weights)
    with encoding_of(**options) as encoding:
        made: EncodingOptions = {**options, "encoder": encoding.encoder.build()}
        networks = Networks.of(wanted, encoding)

    def score(name: str) -> CMDScore:
        (found,) = scored([name], captions, real, encoding_of(**made), wanted, networks)
        return found.score

    return score


def watch(
    runs: str | os.PathLike[str],
    score: Callable[[str], CMDScore],
    table: str | os.PathLike[str],
    *,
    every: float = 30.0,
    once: bool = False,
    wait: Callable[[float], None] = time.sleep,
) -> Iterator[Seen]:
    """Score sets of samples as they come, each once, and keep a table of their scores.

    A set counts as written where nothing in it has changed between two looks. One that cannot be
    scored is tried again when it has changed. Sets that are in the table already are left alone,
    so that a watch that was ended goes on where it was.

    Args:
        runs: A folder whose subfolders and archives are the sets, or a glob of these.
        score: Gives the score of a set by its path, or raises InputError.
        table: The file of scores (.jsonl): of each set `name`, the time, and
            `CMDScore.to_flat_dict`.
        every: Seconds between two looks.
        once: Whether to end after what is there now, without waiting for it to settle.
        wait: Waits for so many seconds.

    Yields:
        What became of each set, when it is known.

    Raises:
        InputError: There is no such folder, or the table is none or cannot be written.
    """
    known = Table.open(table)
    tried: dict[str, _State] = {}
    before: dict[str, _State] = {}
    while True:
        now = {name: _state(Path(name)) for name in sets_in(runs, table)}
        for name, state in now.items():
            ready = once or before.get(name) == state
            if name in known.names or not ready or not state[0] or tried.get(name) == state:
                continue
            tried[name] = state
            try:
                found = score(name)
            except InputError as error:
                yield Seen(name, None, str(error))
                continue
            known.add(name, found)
            yield Seen(name, found)
        if once:
            return
        before = now
        wait(every)


#: The number of files of a set, their size, and the time of the last change.
_State = tuple[int, int, int]


def sets_in(runs: str | os.PathLike[str], table: str | os.PathLike[str]) -> Sequence[str]:
    """The sets that are there now, in natural order.

    Args:
        runs: A folder of sets, or a glob of them.
        table: The file of scores, which is no set.

    Raises:
        InputError: There is no such folder, or it is not yours to enter.
    """
    text = os.fspath(runs)
    if os.path.isdir(text):
        try:
            found = [os.path.join(text, name) for name in os.listdir(text)]
        except OSError as error:
            raise InputError(f"{text}: {error.strerror}") from None
    elif any(sign in text for sign in "*?["):
        found = glob(text)
    elif named_path(text).exists():
        raise InputError(f"{text}: neither a folder of sets of samples nor a glob of them")
    else:
        raise missing(Path(text), "It is a folder of sets of samples, or a glob of them")
    return natural_sorted(
        path
        for path in found
        if not os.path.basename(path).startswith(".")
        and (os.path.isdir(path) or path.lower().endswith(_ARCHIVES))
        and os.path.abspath(path) != os.path.abspath(table)
    )


def _state(path: Path) -> _State:
    files = [path] if path.is_file() else (p for p in path.rglob("*") if p.is_file())
    count = size = last = 0
    for file in files:
        try:
            found = file.stat()
        except OSError:  # it has gone meanwhile
            continue
        count, size, last = count + 1, size + found.st_size, max(last, found.st_mtime_ns)
    return count, size, last
