"""The networks: which one a name means, where its weights are, how it is run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cmdmetric.lazy import lazy_exports

if TYPE_CHECKING:
    from cmdmetric.encoders.clip import Encoder as Encoder, build_network as build_network
    from cmdmetric.encoders.device import choose_device as choose_device
    from cmdmetric.encoders.inception import (
        Inception as Inception,
        InceptionFeatures as InceptionFeatures,
        InceptionImages as InceptionImages,
        InceptionStream as InceptionStream,
        rgb_pixels as rgb_pixels,
    )
    from cmdmetric.encoders.preprocess import to_pixels as to_pixels
    from cmdmetric.encoders.rgb import to_rgb as to_rgb
    from cmdmetric.encoders.tokens import CONTEXT as CONTEXT, cut_words as cut_words
    from cmdmetric.encoders.towers import encode_causal_text as encode_causal_text
    from cmdmetric.encoders.weights import (
        BUNDLED as BUNDLED,
        DEFAULT_MODEL as DEFAULT_MODEL,
        Checkpoint as Checkpoint,
        Dtype as Dtype,
        find_checkpoint as find_checkpoint,
        name_of as name_of,
    )

__getattr__, __dir__, __all__ = lazy_exports(
    __name__,
    {
        "clip": "Encoder build_network",
        "device": "choose_device",
        "inception": "Inception InceptionFeatures InceptionImages InceptionStream rgb_pixels",
        "preprocess": "to_pixels",
        "rgb": "to_rgb",
        "tokens": "CONTEXT cut_words",
        "towers": "encode_causal_text",
        "weights": "BUNDLED Checkpoint DEFAULT_MODEL Dtype find_checkpoint name_of",
    },
)
