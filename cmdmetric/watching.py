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
from cmdmetric.gate import SAME_CAPTIONS, differences_of, setting_of
from cmdmetric.inputs import is_image_name
from cmdmetric.scoring import (
    CMDScore,
    ImageWeights,
    Networks,
    Signature,
    Source,
    Wanted,
    encoding_of,
    find_real,
    open_image_side,
    open_text_side,
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
        name: Its path, as it was found.
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
        """The sets that are in it, as `name_of` names them."""
        return {row["name"] for row in self.rows}

    def name_of(self, path: str | os.PathLike[str]) -> str:
        """Name a set, in whatever way its path is written.

        It is the path from the table's folder, so that both can be moved together; of a set that
        is not below that folder it is the whole path.
        """
        place, folder = (Path(os.path.realpath(each)) for each in (path, self.path.parent))
        return (place.relative_to(folder) if place.is_relative_to(folder) else place).as_posix()

    def differences(self, score: CMDScore) -> list[str]:
        """Tell in what a score was made otherwise than those that it has to compare with."""
        before = self.rows[-1] if self.rows else {}
        if not isinstance(before.get("signature"), str):
            return []
        theirs, ours = _setting(before["signature"]), _setting(score.signature)
        found = [
            f"{what} ({theirs[what]!r} in the table, {ours[what]!r} now)"
            for what in differences_of(ours, theirs)
        ]
        dis_rl = before.get("dis_rl", score.dis_rl)
        if not found and abs(dis_rl - score.dis_rl) > SAME_CAPTIONS * dis_rl:
            found = [f"Dis(r,l) ({dis_rl:.4f} in the table, {score.dis_rl:.4f} now)"]
        return found

    def add(self, path: str, score: CMDScore) -> None:
        """Add the score of a set; the file is whole at any time.

        Raises:
            InputError: It cannot be written.
        """
        now = datetime.now(timezone.utc).isoformat(timespec="seconds")
        row = {"name": self.name_of(path), "scored": now, **score.to_flat_dict()}
        self.rows.append({**row, "signature": score.signature})
        with whole_file(self.path) as file:
            for row in self.rows:
                file.write(json.dumps(row).encode() + b"\n")


def _setting(signature: str) -> dict[str, Any]:
    """What must be equal in the signatures of a table's scores."""
    fields = Signature.read(signature).fields
    model, _, weights = fields.get("model", "?").rpartition("@")
    # How many images had captions to draw from is of the generated set.
    drawn, _, seed = fields.get("num", "all").partition("@")
    setting = setting_of({"signature": signature, "model": model, "weights": weights})
    return {**setting, "part": f"{drawn.partition('/')[0]} {seed}".rstrip()}


def scorer(
    captions: Source,
    real: Source | None = None,
    *,
    metrics: str | Iterable[str] = (),
    inception_weights: str | Path | None = None,
    inception_real: Source | None = None,
    image_model: str | Path | Sequence[str | Path] = (),
    image_weights: ImageWeights = None,
    num: int | None = None,
    seed: int | None = None,
    **options: Unpack[EncodingOptions],
) -> Callable[[str], CMDScore]:
    """Build every network once, and give what scores one set after another for `watch`.

    What a score warns of stands in its `warnings` alone: it would be told with each set.

    Args:
        captions: The captions of every set, as for `cmdmetric.cmd`.
        real: The real images, as for `cmdmetric.cmd`.
        metrics: What else to compute, as for `cmdmetric.cmd`.
        inception_weights: The file of Inception's weights, as for `cmdmetric.cmd`.
        inception_real: The real side of Inception's metrics, as for `cmdmetric.cmd`.
        image_model: Image networks that look at the images as well, as for `cmdmetric.cmd`.
        image_weights: Their weights, as for `cmdmetric.cmd`.
        num: How many images of each set are scored, as for `cmdmetric.cmd`.
        seed: Which of the many parts of that size, by default 0.
        **options: How images and captions are encoded, as for `cmdmetric.cmd`.

    Raises:
        InputError: There are no such captions or real images, a network cannot be had, or an option
            has a value that it cannot have.
        TypeError: There is no option of such a name.
    """
    wanted = Wanted.of(
        metrics,
        inception_weights,
        inception_real,
        image_model=image_model,
        image_weights=image_weights,
        num=num,
        seed=seed,
    )
    with encoding_of(**options) as encoding:
        opened_l = open_text_side(captions, encoding.columns)
        if real is None:
            find_real(opened_l)
        else:
            open_image_side(real, encoding.columns)
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
        table: The file of scores (.jsonl): of each set `name` (`Table.name_of`), the time,
            `CMDScore.to_flat_dict` and the signature.
        every: Seconds between two looks.
        once: Whether to end after what is there now, without waiting for it to settle.
        wait: Waits for so many seconds.

    Yields:
        What became of each set, when it is known.

    Raises:
        InputError: There is no such folder, it is a set itself, the table is none or cannot be
            written, or its scores were made otherwise, so that those of now do not compare.
    """
    known = Table.open(table)
    first = len(known.rows)
    check_runs(runs, table, once=once)
    tried: dict[str, _State] = {}
    before: dict[str, _State] = {}
    while True:
        now = {path: _state(Path(path)) for path in sets_in(runs, table)}
        for path, state in now.items():
            ready = once or before.get(path) == state
            done = known.name_of(path) in known.names
            if done or not ready or not state[0] or tried.get(path) == state:
                continue
            tried[path] = state
            try:
                found = score(path)
            except InputError as error:
                yield Seen(path, None, str(error))
                continue
            if differences := known.differences(found):
                reason = f"this score does not compare with those in {table}: "
                reason += f"it differs in {'; '.join(differences)}"
                if len(known.rows) == first:  # every one of this watch would
                    raise InputError(f"{path}: {reason}. Name another table")
                yield Seen(path, None, reason)
                continue
            known.add(path, found)
            yield Seen(path, found)
        if once:
            return
        before = now
        wait(every)


#: The number of files of a set, their size, and the time of the last change.
_State = tuple[int, int, int]


def check_runs(runs: str | os.PathLike[str], table: str | os.PathLike[str], *, once: bool) -> None:
    """Refuse what would be watched in vain.

    Args:
        runs: A folder of sets, or a glob of them.
        table: The file of scores, which is no set.
        once: Whether nobody waits for sets that are yet to come.

    Raises:
        InputError: There is no such folder, it is a set itself, or it holds none, and none is
            waited for.
    """
    if sets_in(runs, table):
        return
    text = os.fspath(runs)
    if any(is_image_name(os.path.basename(path)) for path in _paths_in(text)):
        raise InputError(
            f"{text}: these are images, which are one set of samples: cmd-score scores it. What is "
            "watched is a folder of sets (subfolders, .zip, .tar, .npz), or a glob of them"
        )
    if once:
        raise InputError(
            f"{text}: no set of samples is there (a folder, .zip, .tar, .npz), and with --once "
            "none is waited for"
        )


def sets_in(runs: str | os.PathLike[str], table: str | os.PathLike[str]) -> Sequence[str]:
    """The sets that are there now, in natural order.

    Args:
        runs: A folder of sets, or a glob of them.
        table: The file of scores, which is no set.

    Raises:
        InputError: There is no such folder, or it is not yours to enter.
    """
    return natural_sorted(
        path
        for path in _paths_in(os.fspath(runs))
        if not os.path.basename(path).startswith(".")
        and (os.path.isdir(path) or path.lower().endswith(_ARCHIVES))
        and os.path.abspath(path) != os.path.abspath(table)
    )


def _paths_in(runs: str) -> list[str]:
    """All that is in a folder, or that a glob matches."""
    if os.path.isdir(runs):
        try:
            return [os.path.join(runs, name) for name in os.listdir(runs)]
        except OSError as error:
            raise InputError(f"{runs}: {error.strerror}") from None
    if any(sign in runs for sign in "*?["):
        return glob(runs)
    if named_path(runs).exists():
        raise InputError(f"{runs}: neither a folder of sets of samples nor a glob of them")
    raise missing(Path(runs), "It is a folder of sets of samples, or a glob of them")


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
