"""Files that appear whole or not at all."""

from __future__ import annotations

import contextlib
import os
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from cmdmetric.errors import InputError
from cmdmetric.files.paths import refuse_foreign_links


@contextlib.contextmanager
def whole_file(path: str | os.PathLike[str]) -> Iterator[IO[bytes]]:
    """A file to write to that takes the path's place when the block ends without an error.

    What is no regular file, such as /dev/stdout, is written to directly.

    Raises:
        InputError: The path cannot be written, or leads through another user's link
            (`refuse_foreign_links`).
    """
    partial: Path | None = None
    try:
        refuse_foreign_links(Path(path))
        target = Path(os.path.realpath(path))  # a link stays one, and leads to the new file
        if target.exists() and not target.is_file():
            with open(target, "wb") as file:
                yield file
            return
        # Of any name a short one: the longest that a file may have leaves no room for an ending.
        mark = f"{zlib.crc32(os.fsencode(target.name)):08x}"
        partial = target.with_name(f".{target.name[:30]}.{mark}.{os.getpid()}.part")
        partial.unlink(missing_ok=True)
        # "x": in a folder that others may write to, never through a link that they laid.
        with open(partial, "xb") as file:
            yield file
        os.replace(partial, target)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"cannot write {path}: {reason}") from None
    finally:
        if partial is not None:
            with contextlib.suppress(OSError):
                partial.unlink(missing_ok=True)
