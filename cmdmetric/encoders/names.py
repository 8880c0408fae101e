"""The encoders that cmdmetric itself names: the default one, and those that come with it."""

from __future__ import annotations

from pathlib import Path

#: The encoder that published CMD numbers were made with.
DEFAULT_MODEL = "ViT-B-32/openai"
#: The second is the forerunner of the first. The bundled generator `scenes-small` was trained with
#: it and reads its captions with it; it goes when the next generator comes.
BUNDLED = {
    name: Path(__file__).parent / "bundled" / name for name in ("scenes-toy", "scenes-toy-1")
}
