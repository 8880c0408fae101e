"""The evaluator, built once to score many times; other libraries' metrics are made of its parts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cmdmetric.lazy import lazy_exports

if TYPE_CHECKING:
    from cmdmetric.evaluator.batch import (
        Batch as Batch,
        encode_batch as encode_batch,
        refuse_captions as refuse_captions,
    )
    from cmdmetric.evaluator.encoding import (
        CAPTIONS as CAPTIONS,
        IMAGES as IMAGES,
        build_encoder as build_encoder,
        encode_side as encode_side,
    )
    from cmdmetric.evaluator.evaluator import Evaluator as Evaluator

__getattr__, __dir__, __all__ = lazy_exports(
    __name__,
    {
        "batch": "Batch encode_batch refuse_captions",
        "encoding": "CAPTIONS IMAGES build_encoder encode_side",
        "evaluator": "Evaluator",
    },
)
