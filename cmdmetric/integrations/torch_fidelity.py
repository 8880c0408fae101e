"""The `grgan` protocol's features inside torch-fidelity (0.4 or newer).

In Python, `register()` once; then name the extractor:

    calculate_metrics(input1=..., input2=..., fid=True, feature_extractor="cmdmetric-grgan")

torch-fidelity's command line loads no extensions; this module runs it with the extractor in it:

    python -m cmdmetric.integrations.torch_fidelity --fid --feature-extractor cmdmetric-grgan ...

Its "FID" of these features is Dis(f, r) of `cmdmetric`, to torch-fidelity's rounding.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch_fidelity.feature_extractor_base import FeatureExtractorBase
from torch_fidelity.registry import FEATURE_EXTRACTORS_REGISTRY, register_feature_extractor

from cmdmetric.encoders import Encoder, find_checkpoint, image_space, to_pixels
from cmdmetric.errors import InputError
from cmdmetric.protocol import GRGAN

NAME = "cmdmetric-grgan"
#: The one kind of features that it provides.
LAYER = "clip"


class GrganFeatureExtractor(FeatureExtractorBase):
    """CLIP's image features, scaled as the `grgan` protocol says: (N, 3, H, W) uint8 to (N, d)."""

    def __init__(
        self,
        name: str,
        features_list: Sequence[str],
        feature_extractor_weights_path: str | Path | None = None,
        **_: Any,
    ) -> None:
        """torch-fidelity calls this, with all of its own options as further keywords.

        Args:
            name: The name that torch-fidelity knows it by.
            features_list: The features that are asked for.
            feature_extractor_weights_path: A file of weights for ViT-B/32, or any model that
                `cmdmetric.Encoder` takes (a name, a folder); by default OpenAI's ViT-B/32.

        Raises:
            InputError: The weights cannot be had.
        """
        is_file = Path(feature_extractor_weights_path or "").is_file()
        model = None if is_file else feature_extractor_weights_path
        weights = feature_extractor_weights_path if is_file else None
        found = find_checkpoint(model, weights)
        # torch-fidelity caches features under this name: those of another network, even of the same
        # weights, must not be found there.
        space = image_space(found, GRGAN, "fp32").key(b"").hex()
        super().__init__(f"{name}-{found.sha256[:8]}-{space[:8]}", features_list)
        self._source = model, weights
        self._encoder: Encoder | None = None

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """Features (N, d) float32, on the images' device."""
        if images.dtype != torch.uint8 or images.dim() != 4 or images.shape[1] != 3:
            raise InputError(
                f"images are uint8 of shape (N, 3, H, W), not {images.dtype} of {images.shape}"
            )
        if self._encoder is None:  # only now is it known where torch-fidelity computes
            self._encoder = Encoder(*self._source, GRGAN, device=images.device)
        rows = images.permute(0, 2, 3, 1).contiguous().cpu().numpy()
        size = self._encoder.image_size
        pixels = np.stack([to_pixels(Image.fromarray(row), size, GRGAN) for row in rows])
        features = torch.from_numpy(self._encoder.encode_pixels(pixels))
        return (features.to(images.device),)

    @staticmethod
    def get_provided_features_list() -> tuple[str, ...]:
        """The names of the features."""
        return (LAYER,)

    @staticmethod
    def get_default_feature_layer_for_metric(metric: str) -> str:
        """The features that a metric of torch-fidelity takes."""
        if metric == "isc":
            raise InputError(f"the Inception score needs class logits, and {NAME} has none")
        return LAYER

    @staticmethod
    def can_be_compiled() -> bool:
        """Pillow resizes the images, which torch.compile cannot see through."""
        return False


def register() -> str:
    """Make the extractor known to torch-fidelity, and return its name; again is no error."""
    if NAME not in FEATURE_EXTRACTORS_REGISTRY:
        register_feature_extractor(NAME, GrganFeatureExtractor)
    return NAME


if __name__ == "__main__":
    from torch_fidelity.fidelity import main

    from cmdmetric.cli.options import explain

    register()
    explain(main)()
