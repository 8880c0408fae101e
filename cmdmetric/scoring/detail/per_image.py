"""The table of single images: what is known of each generated image, in a file."""

from __future__ import annotations

import io
import json
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from cmdmetric.errors import InputError
from cmdmetric.files import check_place, remote, whole_file
from cmdmetric.grid import csv_text
from cmdmetric.metrics import QUANTITIES
from cmdmetric.scoring.detail.slices import labels_of
from cmdmetric.scoring.grouping import as_sample, caption_texts
from cmdmetric.uncertainty import Array, influences

if TYPE_CHECKING:
    from cmdmetric.scoring.together import Scored

#: The forms of the file, by its ending.
ENDINGS = (".csv", ".jsonl", ".parquet")
#: The distances that an image has an influence on.
_DISTANCES = ("cmd", "itdis", "dis_fr")


@dataclass(frozen=True)
class PerImage:
    """What is known of each generated image.

    Attributes:
        columns: By name the values of all images, in their order: texts, lists of texts, numbers,
            booleans, and None where something is not known of an image.
    """

    columns: Mapping[str, Sequence[Any]]

    def to_csv(self) -> str:
        """Give the table as CSV. Text that a spreadsheet would run begins with an apostrophe."""
        rows = zip(*self.columns.values(), strict=True)
        return csv_text(list(self.columns), ([_joined(value) for value in row] for row in rows))

    def to_jsonl(self) -> str:
        """Give the table as JSON, an object in each line."""
        rows = zip(*self.columns.values(), strict=True)
        return "".join(
            json.dumps(dict(zip(self.columns, row, strict=True)), allow_nan=False) + "\n"
            for row in rows
        )

    def to_parquet(self) -> bytes:
        """Give the table as Parquet.

        Raises:
            InputError: pyarrow is not installed.
        """
        _require_pyarrow()
        import pyarrow
        from pyarrow import parquet

        table = pyarrow.table({name: _utf8(own) for name, own in self.columns.items()})
        file = io.BytesIO()
        parquet.write_table(table, file)
        return file.getvalue()

    def write(self, path: str | os.PathLike[str]) -> None:
        """Write the table in the form that the path's ending names; it appears whole or not at all.

        Names of files need be no UTF-8: what is not is written as in JSON (`\\udcff`).

        Raises:
            InputError: The ending is unknown, pyarrow is missing, or it cannot be written there.
        """
        form = _form(path)
        if form == ".parquet":
            content = self.to_parquet()
        else:
            text = self.to_csv() if form == ".csv" else self.to_jsonl()
            content = text.encode(errors="backslashreplace")
        name = os.fspath(path)
        if remote.is_url(name):
            remote.write_bytes(name, content)
            return
        with whole_file(Path(remote.local(name))) as file:
            file.write(content)


def check_per_image(path: str | os.PathLike[str]) -> None:
    """Refuse a path that no table could be written to, before the work rather than after it.

    Raises:
        InputError: The ending is unknown, pyarrow is missing, or nothing can be written there.
    """
    if _form(path) == ".parquet":
        _require_pyarrow()
    name = os.fspath(path)
    if remote.is_url(name):
        remote.filesystem(name)
    else:
        check_place(remote.local(name))


def per_image_of(found: Scored, by: str | Path | None = None) -> PerImage:
    """Collect what is known of each generated image of a score.

    A number that is a mean over images has a column of its name with the image's own score. Any
    other has a column `<name>_influence`: by how much the image raises the number, that is its
    influence over the number of images; these add up to zero.

    Args:
        found: The score, with what each image does to its numbers (`Scored.measured`).
        by: What the score is told by slices of; None where it is not.

    Raises:
        InputError: The generated images are moments alone.
    """
    f, r, l = found.sides
    if not f.has_features:
        raise InputError(
            f"{f.source} is moments alone: which image did what is not in them. Give the images"
        )
    each = influences(as_sample(f, None), r.moments, l.moments)
    n = len(each.of["f"])
    columns: dict[str, Sequence[Any]] = {
        "image": list(f.names or (f"#{i}" for i in range(n))),
        "caption": [list(own) for own in caption_texts(f, l)],
    }
    if by is not None:
        columns["slice"] = [list(own) for own in labels_of(by, f, l)]
    signed = each.distances.dis_fl - each.distances.dis_rl
    of_parts = {
        "cmd": each.cmd("f"),
        "itdis": math.copysign(1, signed) * each.of["f"][:, 1],
        "dis_fr": each.of["f"][:, 0],
    }
    for name in _DISTANCES:
        assert name in QUANTITIES
        columns[f"{name}_influence"] = _numbers(of_parts[name] / n)
    for name, number in found.measured.items():
        if number.of_each is not None:
            columns[name] = _numbers(number.of_each)
        elif "f" in number.shares:
            columns[f"{name}_influence"] = _numbers(number.shares["f"])
    if found.copies is not None:
        nearest = [found.copies.of_image(row) for row in range(n)]
        columns["nearest_train"] = [own.train for own in nearest]
        columns["train_distance"] = [own.distance for own in nearest]
        columns["is_authentic"] = [own.is_authentic for own in nearest]
    return PerImage(columns)


def _numbers(values: Array) -> list[float | None]:
    return [value if math.isfinite(value) else None for value in np.asarray(values).tolist()]


def _form(path: str | os.PathLike[str]) -> str:
    ending = os.path.splitext(os.fspath(path))[1].lower()
    if ending not in ENDINGS:
        raise InputError(
            f"{os.fspath(path)}: a table of single images is written as {', '.join(ENDINGS)}, not "
            f"as {ending or 'a file without an ending'}"
        )
    return ending


def _require_pyarrow() -> None:
    try:
        import pyarrow  # noqa: F401
    except ImportError:
        raise InputError(
            "a Parquet file is written with pyarrow, which is not installed: "
            "pip install 'cmdmetric[arrow]'; .csv and .jsonl need nothing"
        ) from None


def _joined(value: Any) -> Any:
    """A list of texts as one text; any other value as it is."""
    return " | ".join(value) if isinstance(value, list) else value


def _utf8(values: Sequence[Any]) -> list[Any]:
    """Values whose texts are all UTF-8, as Parquet has them."""
    return [
        _utf8(value)
        if isinstance(value, list)
        else value.encode(errors="backslashreplace").decode()
        if isinstance(value, str)
        else value
        for value in values
    ]
