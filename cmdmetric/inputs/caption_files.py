"""Files of captions: their bytes as Python values."""

from __future__ import annotations

import codecs
import csv
import io
import json
import os
from collections import Counter
from pathlib import Path
from typing import Any

from cmdmetric.errors import InputError
from cmdmetric.files import missing, remote

#: The names under which a record states its image and its text; the first that is there counts.
IMAGE_KEYS = ("file_name", "filename", "image", "image_id", "id")
TEXT_KEYS = ("caption", "text", "sentence", "raw", "captions", "sentences")


def parse_file(name: str) -> Any:
    """What a file of captions holds, as lists, dictionaries and strings, by its ending.

    name is a path or a URL. Raises InputError: no such file, an unknown ending, or broken, with the
    place where it is.
    """
    ending = os.path.splitext(name)[1].lower()
    parse = _PARSERS.get(ending)
    known = ", ".join(_PARSERS)
    path = Path(name).expanduser()
    if not remote.is_url(name):
        if os.path.isdir(path):
            inside = sorted(p.name for p in path.iterdir() if p.suffix.lower() in _PARSERS)
            hint = f"it holds {', '.join(inside[:5])}" if inside else f"no {known} file is in it"
            raise InputError(f"{path}: a folder; name the captions file ({hint})")
        if not os.path.exists(path):
            raise missing(path, "To give captions themselves, pass them as a list.")
    if parse is None:
        raise InputError(f"{name}: captions are read from {known}, not from {ending or 'this'}")
    content = remote.read_bytes(name) if remote.is_url(name) else _read(path)
    try:
        return parse(_decode(content))
    except InputError as error:
        raise InputError(f"{name}: {error}") from None
    except RecursionError:
        raise InputError(f"{name}: nested too deeply to be captions") from None


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror or error}") from None


def _decode(data: bytes) -> str:
    encoding = "utf-8-sig"
    # UTF-32's little-endian mark begins with UTF-16's.
    for mark, name in (
        (codecs.BOM_UTF32_LE, "utf-32"),
        (codecs.BOM_UTF32_BE, "utf-32"),
        (codecs.BOM_UTF16_LE, "utf-16"),
        (codecs.BOM_UTF16_BE, "utf-16"),
    ):
        if data.startswith(mark):
            encoding = name
            break
    try:
        return data.decode(encoding)
    except UnicodeDecodeError as error:
        # The decoder of utf-8-sig counts from behind the mark.
        start = error.start + len(data) - len(error.object)
        name = encoding.removesuffix("-sig").upper()
        raise InputError(f"not {name}: byte {start} cannot be decoded; save it as UTF-8") from None


def _parse_json(text: str, line: int = 1) -> Any:
    try:
        return json.loads(text, object_pairs_hook=_unique)
    except json.JSONDecodeError as error:
        raise InputError(
            f"broken JSON at line {error.lineno + line - 1}, column {error.colno}: {error.msg}"
        ) from None
    except InputError:
        raise
    except ValueError as error:  # a number with more digits than Python converts
        raise InputError(f"broken JSON: {error}") from None


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Python would keep the last of equal keys, and drop captions without a word."""
    values = dict(pairs)
    if len(values) < len(pairs):
        twice = Counter(key for key, _ in pairs).most_common(1)[0][0]
        raise InputError(
            f"the key {twice!r} occurs twice in one JSON object; use a list of captions"
        )
    return values


def _parse_jsonl(text: str) -> list[Any]:
    lines = enumerate(io.StringIO(text, newline=None), start=1)
    return [_parse_json(line, number) for number, line in lines if line.strip()]


def _parse_txt(text: str) -> list[str]:
    lines = (line.removesuffix("\n") for line in io.StringIO(text, newline=None))
    return [line for line in lines if line.strip()]


def _parse_csv(text: str, delimiter: str = ",") -> list[Any]:
    """Records if the first row is a header with a known name for the caption, else strings."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    try:
        rows = [(reader.line_num, row) for row in reader if any(cell.strip() for cell in row)]
    except csv.Error as error:
        raise InputError(f"broken quoting or field at line {reader.line_num}: {error}") from None
    if not rows:
        return []
    header = [cell.strip().lower() for cell in rows[0][1]]
    has_header = any(key in header for key in TEXT_KEYS)
    if not has_header and len(header) > 1:
        raise InputError(
            f"line 1 is no header: one of {', '.join(TEXT_KEYS)} must name the column of the "
            f"captions, and one of {', '.join(IMAGE_KEYS)} that of the images, if there is one"
        )
    for line, row in rows:
        if len(row) != len(header):
            raise InputError(
                f"line {line} has {len(row)} cells, the first line has {len(header)}; put double "
                "quotes around captions that hold the delimiter"
            )
    if not has_header:
        return [row[0] for _, row in rows]
    return [dict(zip(header, row, strict=True)) for _, row in rows[1:]]


def _parse_tsv(text: str) -> list[Any]:
    return _parse_csv(text, delimiter="\t")


_PARSERS = {
    ".json": _parse_json,
    ".jsonl": _parse_jsonl,
    ".ndjson": _parse_jsonl,
    ".csv": _parse_csv,
    ".tsv": _parse_tsv,
    ".txt": _parse_txt,
}
