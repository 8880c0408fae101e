"""The encoders that cmdmetric itself names: the default one, and those that come with it."""

from __future__ import annotations

from pathlib import Path

#: The encoder that published CMD numbers were made with.
DEFAULT_MODEL = "ViT-B-32/openai"
#: Encoders that come with the package: their folders by name.
BUNDLED = {"scenes-toy": Path(__file__).parent / "bundled" / "scenes-toy"}
