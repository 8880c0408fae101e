"""The bundled encoder of drawn scenes, as it is found without loading it."""

from __future__ import annotations

from cmdmetric.encoders import find_checkpoint

TOY = find_checkpoint("scenes-toy")
#: The length of its features.
DIMENSIONS: int = TOY.config["embed_dim"]
