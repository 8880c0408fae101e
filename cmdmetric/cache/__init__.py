"""The store of what was computed before, found again by its content."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cmdmetric.lazy import lazy_exports

if TYPE_CHECKING:
    from cmdmetric.cache.computed import code_digest as code_digest, remembered as remembered
    from cmdmetric.cache.digests import settled_stamp as settled_stamp, stamp_of as stamp_of
    from cmdmetric.cache.feature_cache import (
        FeatureCache as FeatureCache,
        Space as Space,
        default_folder as default_folder,
        open_cache as open_cache,
    )

__getattr__, __dir__, __all__ = lazy_exports(
    __name__,
    {
        "computed": "code_digest remembered",
        "digests": "settled_stamp stamp_of",
        "feature_cache": "FeatureCache Space default_folder open_cache",
    },
)
