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
from cmdmetric.metrics import Moments, Provenance
from cmdmetric.version import __version__

#: Moments are remembered from this many samples for each dimension: they are smaller then than the
#: features, and slower to compute than to read.
WORTH = 4


@functools.cache
def _code() -> str:
    """The sha256 of every source file of cmdmetric: what an older one computed is not recalled.

    Which modules a number follows from is not listed anywhere, so no list can be incomplete.
    Raises InputError where the package lies somewhere without its sources.
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


def recall_moments(
    cache: FeatureCache | None, identity: bytes | None, provenance: Provenance
) -> Moments | None:
    """The moments of features with this identity, to the bit as they were computed."""
    if cache is None or identity is None:
        return None
    content = cache.recall(_moments_space().key(identity))
    if content is None:
        return None
    values = np.frombuffer(content)
    n, d = values[:2].astype(int).tolist()
    return Moments.from_sums(
        n, values[2 : 2 + d].copy(), values[2 + d :].reshape(d, d).copy(), provenance
    )


def remember_moments(cache: FeatureCache | None, identity: bytes | None, moments: Moments) -> None:
    """Keep moments for `recall_moments`, where that pays."""
    if cache is None or identity is None or not moments.n or moments.n < WORTH * moments.d:
        return
    n, mean, scatter = moments.sums
    content = np.concatenate([[n, moments.d], mean, scatter.ravel()]).tobytes()
    space = _moments_space()
    cache.remember(space, space.key(identity), content)


def _moments_space() -> Space:
    return Space("moments of sets", what="moments", code=_code())


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
    space = Space("statistics of scores", what="statistics", of=what, code=_code())
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
