"""The networks: which one a name means, where its weights are, how it is run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cmdmetric.lazy import lazy_exports

if TYPE_CHECKING:
    from cmdmetric.encoders.cache_keys import image_space as image_space, text_space as text_space
    from cmdmetric.encoders.catalogue import (
        IMAGE_NETWORKS as IMAGE_NETWORKS,
        build_image_network as build_image_network,
        network_name as network_name,
    )
    from cmdmetric.encoders.clip import Encoder as Encoder, build_network as build_network
    from cmdmetric.encoders.device import choose_device as choose_device
    from cmdmetric.encoders.image_network import ImageNetwork as ImageNetwork
    from cmdmetric.encoders.image_tower import ImageTower as ImageTower
    from cmdmetric.encoders.inception import (
        Inception as Inception,
        InceptionFeatures as InceptionFeatures,
    )
    from cmdmetric.encoders.lazy_encoder import (
        LazyEncoder as LazyEncoder,
        recall_checkpoint as recall_checkpoint,
    )
    from cmdmetric.encoders.names import BUNDLED as BUNDLED, DEFAULT_MODEL as DEFAULT_MODEL
    from cmdmetric.encoders.preprocess import to_pixels as to_pixels
    from cmdmetric.encoders.rgb import to_rgb as to_rgb
    from cmdmetric.encoders.tokens import (
        CONTEXT as CONTEXT,
        NOT_THERE as NOT_THERE,
        cut_words as cut_words,
    )
    from cmdmetric.encoders.towers import (
        encode_causal_text as encode_causal_text,
        encode_text as encode_text,
        reading_order as reading_order,
    )
    from cmdmetric.encoders.weights import (
        Checkpoint as Checkpoint,
        Dtype as Dtype,
        find_checkpoint as find_checkpoint,
        name_of as name_of,
    )

__getattr__, __dir__, __all__ = lazy_exports(
    __name__,
    {
        "cache_keys": "image_space text_space",
        "catalogue": "IMAGE_NETWORKS build_image_network network_name",
        "clip": "Encoder build_network",
        "device": "choose_device",
        "image_network": "ImageNetwork",
        "image_tower": "ImageTower",
        "inception": "Inception InceptionFeatures",
        "lazy_encoder": "LazyEncoder recall_checkpoint",
        "preprocess": "to_pixels",
        "rgb": "to_rgb",
        "tokens": "CONTEXT NOT_THERE cut_words",
        "towers": "encode_causal_text encode_text reading_order",
        "names": "BUNDLED DEFAULT_MODEL",
        "weights": "Checkpoint Dtype find_checkpoint name_of",
    },
)
