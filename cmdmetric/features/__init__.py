"""Sets of images and captions streamed through networks, with a cache and workers beside them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cmdmetric.lazy import lazy_exports

if TYPE_CHECKING:
    from cmdmetric.features.cache_keys import image_space as image_space
    from cmdmetric.features.images import (
        OnError as OnError,
        Undecodable as Undecodable,
        encode_captions as encode_captions,
        encode_images as encode_images,
        list_failures as list_failures,
    )
    from cmdmetric.features.inception_pass import InceptionPass as InceptionPass
    from cmdmetric.features.inception_sides import InceptionSides as InceptionSides
    from cmdmetric.features.lazy_encoder import (
        LazyEncoder as LazyEncoder,
        recall_checkpoint as recall_checkpoint,
    )
    from cmdmetric.features.rows import (
        Features as Features,
    )
    from cmdmetric.features.shared_encoding import shared_side as shared_side
    from cmdmetric.features.workers import Workers as Workers

__getattr__, __dir__, __all__ = lazy_exports(
    __name__,
    {
        "cache_keys": "image_space",
        "images": "OnError Undecodable encode_captions encode_images list_failures",
        "inception_pass": "InceptionPass",
        "inception_sides": "InceptionSides",
        "lazy_encoder": "LazyEncoder recall_checkpoint",
        "rows": "Features",
        "shared_encoding": "shared_side",
        "workers": "Workers",
    },
)
