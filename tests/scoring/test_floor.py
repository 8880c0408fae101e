"""Scores that are too good: nearer to the real images than other real images would be."""

from __future__ import annotations

import numpy as np
import pytest

from cmdmetric import CMDScore, cmd

N, D = 500, 24


def draw(rng: np.random.Generator, n: int) -> np.ndarray:
    """(n, D) vectors with a spectrum that falls, as features have."""
    return (rng.standard_normal((n, D)) / np.sqrt(np.arange(1, D + 1)) + 1).astype(np.float32)


def score(f: np.ndarray, r: np.ndarray, l: np.ndarray) -> CMDScore:
    with pytest.warns(UserWarning):  # features do not tell how they were made
        return cmd(f, l, real=r)


def is_told(found: CMDScore) -> bool:
    return any("was the generator trained or chosen" in note for note in found.warnings)


def test_copies_are_told_and_perfect_generators_are_not() -> None:
    rng = np.random.default_rng(0)
    r, l = draw(rng, N), draw(rng, N)
    copies = rng.permutation(r) + 0.01 * draw(rng, N)
    assert is_told(score(copies, r, l))
    half = np.concatenate([r[: N // 2], draw(rng, N // 2)])
    assert is_told(score(half, r, l))
    for _ in range(10):
        assert not is_told(score(draw(rng, N), r, l))
    worse = draw(rng, N) * np.float32(1.2)
    assert not is_told(score(worse, r, l))
