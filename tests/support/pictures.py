"""Pictures that a network tells apart: flat colours with noise, and drawn scenes."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from cmdmetric.scenes.drawing import draw_scene


def noisy_colours(count: int, seed: int = 0) -> np.ndarray:
    """(count, 32, 32, 3) uint8, each of one colour with noise."""
    rng = np.random.default_rng(seed)
    base = rng.integers(0, 256, (count, 1, 1, 3))
    return (base + rng.integers(-40, 40, (count, 32, 32, 3))).clip(0, 255).astype(np.uint8)


def scenes(seeds: Iterable[int]) -> np.ndarray:
    """(number of seeds, 64, 64, 3) uint8, what the bundled encoder was trained on."""
    return np.stack([np.asarray(draw_scene(seed).render(64)) for seed in seeds])
