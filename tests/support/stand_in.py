"""An encoder without a network, for tests of what lies round it: small, exact, and fast."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cmdmetric.encoders import Checkpoint
from cmdmetric.metrics import Provenance
from cmdmetric.protocol import GRGAN

SIDE, DIMENSIONS = 8, 6


class StandIn:
    """What `cmdmetric.Encoder` has, with a random projection of pixels and digests of captions."""

    image_size, batch_size, dtype, protocol = SIDE, 64, "fp32", GRGAN

    def __init__(self) -> None:
        config = {"embed_dim": DIMENSIONS, "vision_cfg": {"image_size": SIDE}}
        self.checkpoint = Checkpoint(
            "stand-in", "local-dir:none", config, (0, 0, 0), (1, 1, 1), Path("none"), "0" * 64
        )
        self._weights = np.random.default_rng(0).standard_normal((3 * SIDE * SIDE, DIMENSIONS))

    def build(self) -> StandIn:
        return self

    def provenance(self, side: str, source: str) -> Provenance:
        return self.checkpoint.provenance(self.protocol, side, source, "fp32")

    def encode_pixels(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        features = (pixels.reshape(len(pixels), -1) / 255 - 0.5) @ self._weights
        return self._scaled(features, self.protocol.image_scale)

    def tokenise(self, texts: Sequence[str]) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """Captions are known by what they say: the words of two have nothing in common."""
        digests = (hashlib.sha256(self.protocol.clean(text).encode()).digest() for text in texts)
        tokens = np.array([list(digest[:DIMENSIONS]) for digest in digests], np.int64)
        return tokens, np.zeros(len(texts), bool)

    def encode_tokens(
        self, tokens: NDArray[np.int64]
    ) -> Iterator[tuple[NDArray[np.int64], NDArray[np.float32]]]:
        yield np.arange(len(tokens)), self._scaled(tokens - 127.5, self.protocol.text_scale)

    @staticmethod
    def _scaled(features: NDArray[np.float64], scale: float) -> NDArray[np.float32]:
        unit = features / np.linalg.norm(features, axis=1, keepdims=True)
        return (unit * scale).astype(np.float32)
