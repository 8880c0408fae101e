"""Files at URLs (s3://, gs://, hf://, https://, memory://), through fsspec."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from typing import IO, Any, TypeVar
from urllib.parse import urlsplit

from cmdmetric.errors import InputError
from cmdmetric.files.paths import natural_key

T = TypeVar("T")

#: Two letters at least: C:\ is a drive. fsspec chains protocols by "::".
_URL = re.compile(r"[a-z][a-z0-9+.-]+(?:::[a-z0-9+.-]+)*://", re.IGNORECASE)
GLOB = ("*", "[")


class RemoteError(InputError):
    """What is at a URL cannot be had; the message names it."""


def local(name: str) -> str:
    """A path: a file:// URL is one, everything else stays as it is."""
    if not name.lower().startswith("file://"):
        return name
    from urllib.request import url2pathname  # it brings all of HTTP

    return url2pathname(urlsplit(name).path)


def is_url(name: str | os.PathLike[str]) -> bool:
    """Whether it is a URL of anything but a local file."""
    return isinstance(name, str) and bool(_URL.match(name)) and local(name) == name


def is_glob(url: str) -> bool:
    """Whether it is a pattern; a question mark begins a URL's query."""
    return any(sign in url for sign in GLOB)


def filesystem(url: str) -> tuple[Any, str]:
    """fsspec's file system for a URL, and the path in it.

    Raises:
        RemoteError: What fsspec needs for this kind of URL is not installed.
    """
    import fsspec  # for URLs alone: it takes a while

    try:
        return attempt(url, lambda: fsspec.core.url_to_fs(url))
    except ImportError as error:
        raise RemoteError(
            f"{url}: fsspec needs one more package for {url.partition('://')[0]}://: {error}"
        ) from None


def attempt(url: str, work: Callable[[], T]) -> T:
    """What work returns; whatever a file system raises is a RemoteError that names the URL."""
    try:
        return work()
    except (InputError, ImportError):
        raise
    except FileNotFoundError:
        raise RemoteError(f"{url}: does not exist, or is not shown to you") from None
    except PermissionError as error:
        raise RemoteError(f"{url}: permission denied: {_reason(error)}") from None
    except Exception as error:  # every file system has its own library and its errors
        raise RemoteError(f"{url}: cannot be read: {_reason(error)}") from None


def read_bytes(url: str) -> bytes:
    """The content of a file.

    Raises:
        RemoteError: The file cannot be read.
    """
    fs, path = filesystem(url)
    return attempt(url, lambda: fs.cat_file(path))


def open_stream(url: str) -> IO[bytes]:
    """A file that is read forwards.

    Raises:
        RemoteError: The file cannot be opened.
    """
    fs, path = filesystem(url)
    return attempt(url, lambda: fs.open(path, "rb"))


def check(url: str) -> None:
    """Raise RemoteError where there is no such file."""
    fs, path = filesystem(url)
    attempt(url, lambda: fs.info(path))


def write_bytes(url: str, content: bytes) -> None:
    """Write a file, whole or not at all, as object stores do.

    Raises:
        RemoteError: The file cannot be written.
    """
    fs, path = filesystem(url)
    try:
        fs.pipe_file(path, content)
    except Exception as error:
        raise RemoteError(f"cannot write {url}: {_reason(error)}") from None


def list_files(url: str) -> tuple[str, list[str]]:
    """The folder that a URL or the fixed part of a pattern names, and the files there.

    Their names are relative to it; there are none where there is no such folder.
    """
    fs, path = filesystem(url)
    if is_glob(url):
        first = min(url.find(sign) for sign in GLOB if sign in url)
        folder = url[:first].rpartition("/")[0]
        found = attempt(url, lambda: fs.glob(path))
    else:
        folder = url.rstrip("/")
        found = attempt(url, lambda: fs.find(path.rstrip("/")))
    root = filesystem(folder)[1].rstrip("/")
    return folder, [name[len(root) :].lstrip("/") for name in found if name != root]


def matches(url: str) -> list[str]:
    """The URLs of the files that a glob pattern matches, in natural order."""
    fs, path = filesystem(url)
    found = attempt(url, lambda: fs.glob(path))
    return sorted(map(fs.unstrip_protocol, found), key=natural_key)


def _reason(error: Exception) -> str:
    return " ".join(str(error).split())[:300] or type(error).__name__
