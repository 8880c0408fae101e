"""Downloads that say what they fetch, from where and how large, and check what arrived."""

from __future__ import annotations

import contextlib
import hashlib
import os
import sys
import tempfile
from collections.abc import Iterator
from contextvars import ContextVar
from pathlib import Path

from cmdmetric.errors import InputError
from cmdmetric.files.paths import expanded
from cmdmetric.terminal import tell

CHUNK = 1 << 20


def cache_folder() -> Path:
    """$CMDMETRIC_CACHE, else the platform's folder for caches; it may not exist yet."""
    if chosen := os.environ.get("CMDMETRIC_CACHE"):
        return expanded(chosen)
    if sys.platform == "win32":
        base = os.environ.get("LOCALAPPDATA") or expanded("~") / "AppData" / "Local"
    elif sys.platform == "darwin":
        base = expanded("~") / "Library" / "Caches"
    else:
        base = os.environ.get("XDG_CACHE_HOME") or expanded("~") / ".cache"
    return Path(base) / "cmdmetric"


def sha256_of(path: Path) -> str:
    """The file's sha256 in hex.

    Raises:
        InputError: It cannot be read.
    """
    digest = hashlib.sha256()
    try:
        with open(path, "rb") as file:
            while chunk := file.read(CHUNK):
                digest.update(chunk)
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}") from None
    return digest.hexdigest()


#: Why nothing may be downloaded; None where that is allowed.
_forbidden: ContextVar[str | None] = ContextVar("forbidden", default=None)


@contextlib.contextmanager
def no_downloads(reason: str) -> Iterator[None]:
    """Within it a download is refused with an InputError that gives the reason."""
    token = _forbidden.set(reason)
    try:
        yield
    finally:
        _forbidden.reset(token)


def forbidden() -> str | None:
    """Why nothing may be downloaded, by `no_downloads` or HF_HUB_OFFLINE; None where it may."""
    if os.environ.get("HF_HUB_OFFLINE", "").lower() in ("1", "true", "yes", "on"):
        return "HF_HUB_OFFLINE forbids a download"
    return _forbidden.get()


def download(url: str, target: Path, sha256: str, what: str) -> Path:
    """Fetch `url` into `target` and return it; the file appears only when its sha256 is right.

    Raises:
        InputError: The network does not answer, the disk is full or the content differs.
    """
    # Here, since hardly a run downloads, and these bring all of HTTP and asyncio.
    import http.client
    import urllib.error
    import urllib.request

    from tqdm.auto import tqdm

    if not url.startswith("https://"):
        raise InputError(f"{url}: only https:// is downloaded from")
    if reason := forbidden():
        raise InputError(reason)
    partial: Path | None = None
    try:
        with urllib.request.urlopen(url, timeout=30) as answer:
            if not answer.geturl().startswith("https://"):
                raise InputError(f"{url}: leads to {answer.geturl()}, which is not https://")
            told = answer.headers.get("Content-Length") or ""
            size = int(told) if told.isascii() and told.isdecimal() and len(told) < 20 else 0
            megabytes = f"{size / 1e6:.1f} MB" if size else "of unknown size"
            tell(f"downloading {what} ({megabytes}) from {url} to {target}")
            target.parent.mkdir(parents=True, exist_ok=True)
            handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
            partial, digest = Path(name), hashlib.sha256()
            # None: no bar where stderr is no terminal.
            bar = tqdm(
                total=size or None, unit="B", unit_scale=True, desc=target.name, disable=None
            )
            with os.fdopen(handle, "wb") as file, bar:
                while chunk := answer.read(CHUNK):
                    file.write(chunk)
                    digest.update(chunk)
                    bar.update(len(chunk))
        if digest.hexdigest() != sha256:
            raise InputError(
                f"{url}: what arrived has sha256 {digest.hexdigest()}, expected {sha256}; "
                "nothing was kept"
            )
        os.replace(partial, target)
    except (urllib.error.URLError, TimeoutError, http.client.HTTPException) as error:
        raise InputError(
            f"{url}: cannot be downloaded: {getattr(error, 'reason', error)}"
        ) from None
    except OSError as error:
        raise InputError(f"{target}: cannot be written: {error.strerror or error}") from None
    finally:
        if partial is not None:
            partial.unlink(missing_ok=True)
    return target
