"""Procedural captioned scenes, and the encoder that was trained on them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cmdmetric.lazy import lazy_exports

if TYPE_CHECKING:
    from cmdmetric.scenes.drawing import Scene as Scene, draw_scene as draw_scene
    from cmdmetric.scenes.lessons import hard_negatives as hard_negatives

__getattr__, __dir__, __all__ = lazy_exports(
    __name__,
    {
        "drawing": "Scene draw_scene",
        "lessons": "hard_negatives",
    },
)
