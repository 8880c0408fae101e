"""What is computed from features and takes long, remembered under what it was computed from."""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from cmdmetric.cache import FeatureCache, Space
from cmdmetric.moments import Moments, Provenance
from cmdmetric.version import __version__

#: Moments are remembered from this many samples for each dimension: they are smaller then than the
#: features, and slower to compute than to read.
WORTH = 4


@functools.cache
def _code(*modules: str) -> str:
    """sha256 of the code that computes something: what an older one computed is not recalled."""
    digest = hashlib.sha256(f"{__version__} {np.__version__}".encode())
    for module in modules:
        try:
            digest.update(Path(__file__).with_name(f"{module}.py").read_bytes())
        except OSError:  # packed otherwise; then the version has to do
            continue
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
    return Space("moments of sets", what="moments", code=_code("moments"))


def remembered(
    cache: FeatureCache | None,
    modules: Sequence[str],
    sources: Sequence[bytes | None],
    compute: Callable[[], dict[str, Any]],
) -> dict[str, Any]:
    """`compute()`, which the code of `modules` makes of `sources`, or what it was before.

    It holds values of JSON. Where a source is None nothing is known of it, and nothing remembered.
    """
    known = [source for source in sources if source is not None]
    if cache is None or len(known) < len(sources):
        return compute()
    space = Space("statistics of scores", what="statistics", code=_code(*modules))
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
