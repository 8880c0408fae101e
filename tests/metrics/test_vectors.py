"""What every metric refuses, and the vectors it works with."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from cmdmetric import InputError
from cmdmetric.metrics.vectors import as_owner, as_vectors, blocks, unit


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (np.zeros(3), r"vectors \(n, d\)"),
        (np.zeros((2, 0)), r"vectors \(n, d\)"),
        (np.zeros((2, 3), dtype=complex), "real numbers"),
        (np.array([["a", "b"]]), "real numbers"),
        (np.zeros((1, 3)), "1 photos are too few: it takes at least 2"),
        (np.array([[1.0, np.nan], [np.inf, 2.0], [0.0, 1.0]]), "2 of 3 photos .* NaN"),
    ],
)
def test_what_is_no_set_of_vectors_is_refused(values: np.ndarray, message: str) -> None:
    with pytest.raises(InputError, match=message):
        as_vectors(values, "photos", at_least=2)


@pytest.mark.parametrize("scale", [1e-300, 1e-3, 1.0, 10.0, 1e300])
def test_unit_vectors_of_any_scale(scale: float) -> None:
    x = np.random.default_rng(0).standard_normal((5, 7))
    expected = x / np.sqrt((x**2).sum(axis=1))[:, None]
    np.testing.assert_allclose(unit(x * scale, "photos"), expected, rtol=1e-14)


def test_a_zero_vector_has_no_direction() -> None:
    with pytest.raises(InputError, match="1 of 2 photos are zero vectors"):
        unit(np.array([[1.0, 0.0], [0.0, 0.0]]), "photos")


def test_float16_is_read_exactly() -> None:
    x = np.array([[0.1, 2.5]], dtype=np.float16)
    np.testing.assert_array_equal(as_vectors(x, "photos"), x.astype(np.float64))


@pytest.mark.parametrize(
    ("owner", "message"),
    [
        (None, "3 images and 4 captions are not pairs"),
        ([0, 1, 2], "one whole number for each of the 4"),
        ([0.0, 1.0, 2.0, 2.0], "one whole number"),
        ([0, 1, 2, 3], "rows from 0 to 3 of 3"),
        ([0, 1, 2, -1], "rows from -1"),
        ([0, 0, 1, 1], "1 of 3 images have none of the captions"),
    ],
)
def test_owners_that_own_nothing_or_do_not_exist(owner: list[int] | None, message: str) -> None:
    with pytest.raises(InputError, match=message):
        as_owner(owner, 3, 4, "images", "captions")


def test_blocks_cover_everything_once() -> None:
    for n in (0, 1, 7, 8, 9):
        covered = [i for block in blocks(n, 4) for i in range(block.start, block.stop)]
        assert covered == list(range(n))


def test_the_metrics_import_no_torch() -> None:
    family = (
        "clipscore kernels.cmmd fid joint.fjd joint.cfid inception kernels.kid neighbours.prdc "
        "retrieval vendi"
    )
    modules = ", ".join(f"cmdmetric.metrics.{name}" for name in family.split())
    modules += ", cmdmetric.encoders.inception"
    code = f"import sys; sys.modules['torch'] = None; import {modules}"
    subprocess.run([sys.executable, "-c", code], check=True)
