"""What the inputs of a score were, to the byte: digests that anyone can compute again."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from cmdmetric.files import sha256_of
from cmdmetric.scoring import Side


def content_hash(side: Side) -> str | None:
    """sha256 (hex) of the file that a side was read from; of a folder, that of its images' list.

    The list has a line `<sha256>  <name>` for each image, by name (as bytes), which is what
    `sha256sum` prints: see FOLDER_COMMAND. None for what lies in memory or is a registered name.
    """
    if side.reference is not None:
        return None
    source = os.path.expanduser(side.source)
    if os.path.isfile(source):
        return sha256_of(Path(source))
    if side.names is None:
        return None
    root = Path(source) if os.path.isdir(source) else Path()
    total = hashlib.sha256()
    try:
        for name, file in sorted((os.fsencode(name), root / name) for name in side.names):
            total.update(sha256_of(file).encode("ascii") + b"  " + name + b"\n")
    except (OSError, ValueError):  # no files: members of an archive, pictures in memory
        return None
    return total.hexdigest()


#: Gives the digest of a folder that holds nothing but the images.
FOLDER_COMMAND = (
    "find . -type f -printf '%P\\0' | LC_ALL=C sort -z | xargs -0 sha256sum | sha256sum"
)
