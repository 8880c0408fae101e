"""What is computed from features and takes long, remembered under what it was computed from."""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from cmdmetric.cache.feature_cache import FeatureCache, Space
from cmdmetric.errors import InputError
from cmdmetric.version import __version__


@functools.cache
def code_digest() -> str:
    """The sha256 of every source file of cmdmetric: what an older one computed is not recalled.

    Which modules a number follows from is not listed anywhere, so no list can be incomplete.

    Raises:
        InputError: The package lies somewhere without its sources.
    """
    package = Path(__file__).parents[1]
    sources = {path: path.read_bytes() for path in sorted(package.rglob("*.py"))}
    if Path(__file__) not in sources:
        raise InputError(
            f"the sources of cmdmetric are not in {package}: without them nothing tells whether a "
            "stored result is still right. Install cmdmetric anew, or do without the cache "
            "(--no-cache, in Python cache=False)"
        )
    digest = hashlib.sha256(f"{__version__} {np.__version__} {version('scipy')}".encode())
    for path, content in sources.items():
        digest.update(path.relative_to(package).as_posix().encode())
        digest.update(hashlib.sha256(content).digest())
    return digest.hexdigest()


def remembered(
    cache: FeatureCache | None,
    what: str,
    sources: Sequence[bytes | None],
    compute: Callable[[], dict[str, Any]],
) -> dict[str, Any]:
    """`compute()`, which makes `what` of `sources`, or what it was before.

    It holds values of JSON. Where a source is None nothing is known of it, and nothing remembered.
    """
    known = [source for source in sources if source is not None]
    if cache is None or len(known) < len(sources):
        return compute()
    space = Space("statistics of scores", what="statistics", of=what, code=code_digest())
    digest = hashlib.sha256()
    for source in known:
        digest.update(hashlib.sha256(source).digest())
    key = space.key(digest.digest())
    content = cache.recall(key)
    if content is not None:
        return json.loads(content)
    result = compute()
    cache.remember(space, key, json.dumps(result).encode())
    return result
