"""Sets of images and captions streamed through networks, with a cache and workers beside them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cmdmetric.lazy import lazy_exports

if TYPE_CHECKING:
    from cmdmetric.features.captions import (
        EncodedTexts as EncodedTexts,
        encode_captions as encode_captions,
    )
    from cmdmetric.features.contents import (
        DIGEST_SIZE as DIGEST_SIZE,
        Contents as Contents,
        ImageRecords as ImageRecords,
        Looks as Looks,
        digest_of_set as digest_of_set,
        digests_of as digests_of,
        digests_of_rows as digests_of_rows,
        split_records as split_records,
        summed as summed,
    )
    from cmdmetric.features.failures import OnError as OnError, list_failures as list_failures
    from cmdmetric.features.image_pass import (
        PassedImages as PassedImages,
        pass_images as pass_images,
    )
    from cmdmetric.features.images import (
        EncodedImages as EncodedImages,
        encode_images as encode_images,
    )
    from cmdmetric.features.rows import FeatureRows as FeatureRows, Features as Features
    from cmdmetric.features.shared_encoding import (
        shared_captions as shared_captions,
        shared_images as shared_images,
        shared_pass as shared_pass,
    )
    from cmdmetric.features.workers import Workers as Workers

__getattr__, __dir__, __all__ = lazy_exports(
    __name__,
    {
        "captions": "EncodedTexts encode_captions",
        "contents": (
            "Contents DIGEST_SIZE ImageRecords Looks digest_of_set digests_of digests_of_rows "
            "split_records summed"
        ),
        "failures": "OnError list_failures",
        "image_pass": "PassedImages pass_images",
        "images": "EncodedImages encode_images",
        "rows": "FeatureRows Features",
        "shared_encoding": "shared_captions shared_images shared_pass",
        "workers": "Workers",
    },
)
