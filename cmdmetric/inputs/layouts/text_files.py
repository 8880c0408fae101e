"""Files of captions: their bytes as Python values."""

from __future__ import annotations

import codecs
import json
import os
import re
from collections import Counter
from pathlib import Path
from typing import Any

from cmdmetric.errors import InputError
from cmdmetric.files import missing, named_path, remote
from cmdmetric.inputs.layouts.columns import IMAGE_KEYS, Columns, is_text_key
from cmdmetric.inputs.layouts.delimited import parse_delimited
from cmdmetric.inputs.layouts.lines import lines_of
from cmdmetric.inputs.layouts.tables import is_table_file, open_table
from cmdmetric.inputs.pairing import has_image_ending

#: What to do about a name of no file.
NO_FILE = "To give captions themselves, pass them as a list."


def parse_file(name: str, columns: Columns) -> Any:
    """What a file of captions holds, as lists, dictionaries and strings, by its ending.

    Args:
        name: A path or a URL.
        columns: The columns that the user named.

    Raises:
        InputError: There is no such file, its ending is unknown, or it is broken, with the place
            where it is.
    """
    ending = os.path.splitext(name)[1].lower()
    if is_table_file(Path(name)):
        return open_table(Path(name)).records(columns)
    endings = (*_PARSERS, *_DELIMITED, *_LINES)
    known = ", ".join(endings)
    if not remote.is_url(name):
        path = named_path(name, NO_FILE)
        if os.path.isdir(path):
            inside = sorted(p.name for p in path.iterdir() if p.suffix.lower() in endings)
            hint = f"it holds {', '.join(inside[:5])}" if inside else f"no {known} file is in it"
            raise InputError(f"{path}: a folder; name the captions file ({hint})")
        if not os.path.exists(path):
            raise missing(path, NO_FILE)
    if ending not in endings:
        raise InputError(f"{name}: captions are read from {known}, not from {ending or 'this'}")
    text = read_text(name)
    try:
        if ending in _DELIMITED:
            return parse_delimited(text, _DELIMITED[ending], columns)
        if ending in _LINES:
            return _parse_txt(text, columns)
        return _PARSERS[ending](text)
    except InputError as error:
        raise InputError(f"{name}: {error}") from None
    except RecursionError:
        raise InputError(f"{name}: nested too deeply to be captions") from None


def read_text(name: str) -> str:
    """Read a text file, in whichever Unicode encoding its first bytes tell of, else UTF-8.

    Args:
        name: A path or a URL.

    Raises:
        InputError: It is not there, cannot be read, or is in another encoding.
    """
    if remote.is_url(name):
        content = remote.read_bytes(name)
    else:
        path = named_path(name)
        try:
            content = path.read_bytes()
        except FileNotFoundError:
            raise missing(path, "") from None
        except OSError as error:
            raise InputError(f"{path}: cannot be read: {error.strerror or error}") from None
    try:
        return _decode(content)
    except InputError as error:
        raise InputError(f"{name}: {error}") from None


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
        return _JSON.decode(text)
    except json.JSONDecodeError as error:
        hint = "; if it has an object a line, call it .jsonl" if error.msg == "Extra data" else ""
        raise InputError(
            f"broken JSON at line {error.lineno + line - 1}, column {error.colno}: {error.msg}"
            f"{hint}"
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


#: One for all lines: `json.loads` would make one for each.
_JSON = json.JSONDecoder(object_pairs_hook=_unique)


def _parse_jsonl(text: str) -> list[Any]:
    lines = enumerate(lines_of(text), start=1)
    return [_parse_json(line, number) for number, line in lines if line.strip()]


def _parse_txt(text: str, columns: Columns) -> list[Any]:
    """A caption a line; Flickr's `name.jpg#0<tab>caption`; Flickr8k's table, of a header alone.

    Raises InputError where lines begin with the names of images in some other way.
    """
    lines = [line.rstrip("\r\n") for line in lines_of(text) if line.strip()]
    tokens = [_TOKEN.fullmatch(line) for line in lines]
    if tokens and None not in tokens:
        return [{"image": match[1], "caption": match[2]} for match in tokens if match]
    first = [cell.strip().lower() for cell in re.split("[,;|\t]", lines[0])] if lines else []
    if set(first) & {*IMAGE_KEYS} and any(map(is_text_key, first)):
        return parse_delimited(text, ",", columns)
    named = sum(has_image_ending(re.split("[,;|\t]", line)[0].strip()) for line in lines)
    if named > len(lines) / 2:
        raise InputError(
            f"{named} of {len(lines)} lines begin with the name of an image: name the columns in a "
            "first line, such as image,caption, and call the file .csv; or give {file: caption} in "
            "a .json"
        )
    return lines


#: The usual delimiters of files with these endings.
_DELIMITED = {".csv": ",", ".tsv": "\t"}
_PARSERS = {
    ".json": _parse_json,
    ".jsonl": _parse_jsonl,
    ".ndjson": _parse_jsonl,
}
#: A caption a line; the second as Flickr30k's results_20130124.token.
_LINES = (".txt", ".token")
_TOKEN = re.compile(r"(.+\.\w+)#\d+\t(.*)")
