"""What the inputs of a score were, to the byte: digests that anyone can compute again."""

from __future__ import annotations

import hashlib
import os
from operator import itemgetter
from pathlib import Path

from cmdmetric.cache import FeatureCache
from cmdmetric.files import sha256_of
from cmdmetric.scoring import Side


def content_hash(side: Side, cache: FeatureCache | None = None) -> str | None:
    """sha256 (hex) of the file that a side was read from; of a folder, that of its images' list.

    The list has a line `<sha256>  <name>` for each image, by name (as bytes), which is what
    `sha256sum` prints: see FOLDER_COMMAND. None for what lies in memory or is a registered name.
    What was read while it was encoded is not read again.
    """
    if side.reference is not None:
        return None
    source = os.path.expanduser(side.source)
    if os.path.isfile(source):
        return sha256_of(Path(source)) if cache is None else cache.digests.sha256(Path(source))
    if side.names is None:
        return None
    total = hashlib.sha256()
    try:
        root = os.path.abspath(source if os.path.isdir(source) else "")
        known = side.digests or [None] * len(side.names)
        files = zip(map(os.fsencode, side.names), side.names, known, strict=True)
        for name, file, digest in sorted(files, key=itemgetter(0)):
            found = sha256_of(Path(root, file)) if digest is None else digest.hex()
            total.update(found.encode("ascii") + b"  " + name + b"\n")
    except (OSError, ValueError):  # no files: members of an archive, pictures in memory
        return None
    return total.hexdigest()


#: Gives the digest of a folder that holds nothing but the images.
FOLDER_COMMAND = (
    "find . -type f -printf '%P\\0' | LC_ALL=C sort -z | xargs -0 sha256sum | sha256sum"
)
