"""Data sets and training batches."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cmdmetric.lazy import lazy_exports

if TYPE_CHECKING:
    from grgan_ref.data.authors import (
        authors_captions as authors_captions,
        is_authors as is_authors,
    )
    from grgan_ref.data.batches import (
        Augmentation as Augmentation,
        Batch as Batch,
        CaptionedImages as CaptionedImages,
        first_few as first_few,
        middle_square as middle_square,
        to_uint8 as to_uint8,
        to_unit as to_unit,
        training_batches as training_batches,
    )
    from grgan_ref.data.sources import GROUP as GROUP, open_data as open_data
    from grgan_ref.data.text import Tokens as Tokens, clean as clean, tokenise as tokenise

__getattr__, __dir__, __all__ = lazy_exports(
    __name__,
    {
        "authors": "authors_captions is_authors",
        "batches": (
            "Augmentation Batch CaptionedImages first_few middle_square to_uint8 to_unit "
            "training_batches"
        ),
        "sources": "GROUP open_data",
        "text": "Tokens clean tokenise",
    },
)
