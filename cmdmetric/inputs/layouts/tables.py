"""Tables of records: data frames, Arrow and Parquet, Hugging Face datasets in memory or on disk.

Whoever made the table in memory has its library; files are read with pyarrow, an extra.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from cmdmetric.errors import InputError
from cmdmetric.inputs.layouts.columns import Columns
from cmdmetric.inputs.layouts.values import choose_split
from cmdmetric.inputs.places import position

#: The endings of files that hold a table, images included.
TABLE_ENDINGS = (".parquet", ".arrow", ".feather")


@dataclass(frozen=True)
class Table:
    """Rows with named columns, which are read when they are asked for.

    Args:
        source: How the user named it.
        columns: The names of its columns.
        count: How many rows it has.
        rows: Reads the rows with only these columns, in order. Images are not decoded: a column of
            images has what stands in it, a path or a mapping of `bytes` and `path`.
        folder: Where paths in it lead from.
        pixels: The columns whose cells hold images themselves, not their names.
        paths: Reads the path that stands beside the pixels of each row, of a column where the first
            row has one; None or empty for a row without.
    """

    source: str
    columns: tuple[str, ...]
    count: int
    rows: Callable[[Sequence[str]], Iterator[Mapping[str, Any]]]
    folder: Path | None = None
    pixels: frozenset[str] = frozenset()
    paths: Mapping[str, Callable[[], Iterator[Any]]] = field(default_factory=dict)

    def records(self, columns: Columns) -> list[dict[str, Any]]:
        """The rows as records whose images are names, those of `image_names`.

        Raises:
            InputError: A column that the user named is not there.
        """
        chosen = columns.among(self.columns)
        plain = [name for name in self.columns if name not in self.pixels]
        found = [dict(row) for row in self.rows(plain)]
        if chosen.image in self.pixels:
            for name, record in zip(self.image_names(columns), found, strict=True):
                record[chosen.image] = name
        return found

    def image_names(self, columns: Columns) -> list[str]:
        """The name of each row's image: what stands in its cell.

        Cells with pixels have the paths that Hugging Face's datasets keep beside them, where all
        have one and no two the same; else they are called by their places.

        Raises:
            InputError: No column holds images.
        """
        image = self._image_column(columns)
        if image not in self.pixels:
            return [str(row[image]) for row in self.rows([image])]
        if image in self.paths:
            paths = [str(path or "") for path in self.paths[image]()]
            if all(paths) and len({*paths}) == len(paths):
                return paths
        return list(map(position, range(self.count)))

    def images(self, columns: Columns) -> Iterator[Any]:
        """The cell of each row's image.

        Raises:
            InputError: No column holds images.
        """
        image = self._image_column(columns)
        return (row[image] for row in self.rows([image]))

    def _image_column(self, columns: Columns) -> str:
        image = columns.among(self.columns).image
        if image is None:
            raise InputError(
                f"{self.source}: no column of images among {', '.join(self.columns)}; name it by "
                "--image-column (in Python: image_column=...)"
            )
        return image


def as_table(source: Any, split: str | None = None) -> Table | None:
    """The table that a value is; None for one that is none.

    It may be a pandas or polars DataFrame, a pyarrow Table, a Hugging Face Dataset, or a
    DatasetDict, of which a split is taken: `split`, else the only one, else "test".
    """
    libraries = {kind.__module__.partition(".")[0] for kind in type(source).__mro__}
    name = type(source).__name__
    if "datasets" in libraries and isinstance(source, Mapping):
        sizes = {str(own): len(source[own]) for own in source}
        return as_table(source[choose_split(sizes, split, f"{name}: there is not")])
    if "pandas" in libraries and hasattr(source, "iloc") and hasattr(source, "columns"):
        return _of_pandas(source)
    if "polars" in libraries and hasattr(source, "iter_rows"):
        return _of_polars(source)
    if "pyarrow" in libraries and hasattr(source, "to_batches"):
        return _of_arrow(source, f"{name} of {source.num_rows}")
    if "datasets" in libraries and hasattr(source, "with_format") and hasattr(source, "num_rows"):
        return _of_dataset(source)
    return None


def _of_pandas(frame: Any) -> Table:
    columns = tuple(map(str, frame.columns))
    if len(set(columns)) < len(columns):
        raise InputError(f"DataFrame: several columns have one name: {', '.join(columns)}")

    def rows(wanted: Sequence[str]) -> Iterator[dict[str, Any]]:
        own = [frame.iloc[:, columns.index(name)] for name in wanted]
        missing = [column.isna().tolist() for column in own]
        cells = [column.tolist() for column in own]
        for place in range(len(frame)):
            yield {
                name: None if gone[place] else values[place]
                for name, gone, values in zip(wanted, missing, cells, strict=True)
            }

    first: dict[str, Any] = {
        name: next(iter(frame.iloc[:, i].dropna()), None) for i, name in enumerate(columns)
    }
    return _table(f"DataFrame of {len(frame)}", columns, len(frame), rows, first)


def _of_polars(frame: Any) -> Table:
    def rows(wanted: Sequence[str]) -> Iterator[dict[str, Any]]:
        return frame.select(list(wanted)).iter_rows(named=True)

    first: dict[str, Any] = next(frame.iter_rows(named=True), {})
    return _table(f"DataFrame of {len(frame)}", tuple(frame.columns), len(frame), rows, first)


def _of_dataset(data: Any) -> Table:
    """A Hugging Face Dataset, whose images are left undecoded."""
    for name, feature in data.features.items():
        if type(feature).__name__ == "Image":
            data = data.cast_column(name, type(feature)(decode=False))
    data = data.with_format(None)

    def rows(wanted: Sequence[str]) -> Iterator[dict[str, Any]]:
        return iter(data.select_columns(list(wanted))) if wanted else iter([{}] * len(data))

    def paths(name: str) -> Iterator[Any]:
        return iter(data.select_columns([name]).flatten()[f"{name}.path"])

    first: dict[str, Any] = data[0] if len(data) else {}
    columns = tuple(data.column_names)
    return _table(f"Dataset of {len(data)}", columns, len(data), rows, first, paths=paths)


def _of_arrow(table: Any, source: str, folder: Path | None = None) -> Table:
    def rows(wanted: Sequence[str]) -> Iterator[dict[str, Any]]:
        for batch in table.select(list(wanted)).to_batches(max_chunksize=64):
            yield from batch.to_pylist()

    def paths(name: str) -> Iterator[Any]:
        for chunk in table.column(name).chunks:
            yield from chunk.field("path").to_pylist()

    first: dict[str, Any] = next(iter(table.slice(0, 1).to_pylist()), {})
    return _table(source, tuple(table.column_names), table.num_rows, rows, first, folder, paths)


def _table(
    source: str,
    columns: tuple[str, ...],
    count: int,
    rows: Callable[[Sequence[str]], Iterator[Mapping[str, Any]]],
    first: Mapping[str, Any],
    folder: Path | None = None,
    paths: Callable[[str], Iterator[Any]] | None = None,
) -> Table:
    """Make a table whose first row is known; `paths` reads those beside pixels without these."""

    def of_cells(name: str) -> Iterator[Any]:
        return ((row[name] or {}).get("path") for row in rows([name]))

    cells = {name: first.get(name) for name in columns}
    pixels = frozenset(name for name, cell in cells.items() if _holds_pixels(cell))
    with_paths = {
        name: partial(paths or of_cells, name)
        for name, cell in cells.items()
        if name in pixels and isinstance(cell, Mapping) and cell.get("path")
    }
    return Table(source, columns, count, rows, folder, pixels, with_paths)


def _holds_pixels(cell: Any) -> bool:
    """Whether a cell is an image: encoded, decoded, or an array."""
    encoded = isinstance(cell, Mapping) and "bytes" in cell
    return encoded or isinstance(cell, bytes) or hasattr(cell, "getbands") or _is_array(cell)


def _is_array(cell: Any) -> bool:
    return getattr(cell, "ndim", 0) >= 2


# --- files -----------------------------------------------------------------------------------


def is_table_file(path: Path) -> bool:
    """Whether a path is a Parquet or Arrow file, or a folder that `save_to_disk` wrote."""
    if os.path.isdir(path):
        return any((path / name).is_file() for name in ("state.json", "dataset_dict.json"))
    return path.suffix.lower() in TABLE_ENDINGS and os.path.isfile(path)


def open_table(path: Path, split: str | None = None) -> Table:
    """The table of a Parquet or Arrow file, or of a folder of `save_to_disk`.

    Raises:
        InputError: pyarrow is not installed, or the file is damaged.
    """
    try:
        import pyarrow as pa
    except ImportError:
        raise InputError(
            f"{path}: it is read with pyarrow, which is not installed: "
            "pip install 'cmdmetric[arrow]'"
        ) from None
    try:
        if path.is_dir():
            return _open_folder(path, split)
        if path.suffix.lower() == ".parquet":
            return _open_parquet(path)
        return _of_arrow(_read_arrow(path), str(path), path.parent)
    except (pa.ArrowException, OSError, ValueError, KeyError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{path}: truncated, damaged or no table: {error}") from None


def _open_folder(folder: Path, split: str | None) -> Table:
    import pyarrow as pa

    if (listing := folder / "dataset_dict.json").is_file():
        names = json.loads(listing.read_text())["splits"]
        chosen = choose_split(dict.fromkeys(names, 0), split, f"{folder}: there is not")
        return _open_folder(folder / chosen, None)
    state = json.loads((folder / "state.json").read_text())
    parts = [_read_arrow(folder / entry["filename"]) for entry in state["_data_files"]]
    return _of_arrow(pa.concat_tables(parts), str(folder), folder)


def _read_arrow(path: Path) -> Any:
    """An Arrow file, mapped into memory; Hugging Face writes streams, others files."""
    import pyarrow as pa

    try:
        return pa.ipc.open_stream(pa.memory_map(str(path))).read_all()
    except pa.ArrowInvalid:
        return pa.ipc.open_file(pa.memory_map(str(path))).read_all()


def _open_parquet(path: Path) -> Table:
    """A Parquet file, read in batches; of a column only what is asked for."""
    import pyarrow.parquet as pq

    file = pq.ParquetFile(path)
    columns = tuple(file.schema_arrow.names)

    def rows(wanted: Sequence[str]) -> Iterator[dict[str, Any]]:
        for batch in file.iter_batches(64, columns=list(wanted)):
            yield from batch.to_pylist()

    def paths(name: str) -> Iterator[Any]:
        for row in rows([f"{name}.path"]):
            yield (row[name] or {}).get("path")

    first = next(rows(columns), {}) if file.metadata.num_rows else {}
    return _table(str(path), columns, file.metadata.num_rows, rows, first, path.parent, paths)
