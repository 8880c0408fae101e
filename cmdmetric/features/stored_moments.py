"""The moments of a set that was encoded before, kept in the cache beside its features."""

from __future__ import annotations

import numpy as np

from cmdmetric.cache import FeatureCache, Space, code_digest
from cmdmetric.metrics import Moments, Provenance

#: Moments are remembered from this many samples for each dimension: they are smaller then than the
#: features, and slower to compute than to read.
WORTH = 4


def recall_moments(
    cache: FeatureCache | None, identity: bytes | None, provenance: Provenance
) -> Moments | None:
    """The moments of features with this identity, to the bit as they were computed."""
    if cache is None or identity is None:
        return None
    content = cache.recall(_space().key(identity))
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
    space = _space()
    cache.remember(space, space.key(identity), content)


def _space() -> Space:
    return Space("moments of sets", what="moments", code=code_digest())
