"""Moments: accumulation, merging, files, and what they refuse."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from cmdmetric import InputError, Moments, Protocol, frechet_distance
from cmdmetric.metrics.moments import Provenance
from cmdmetric.scoring.stored_sets import read_stored

PROVENANCE = Provenance(
    protocol=Protocol(name="grgan"),
    model="tiny",
    weights="ab" * 32,
    architecture="cd" * 32,
    dtype="fp32",
    side="image",
    source="a folder",
)


@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 2**32 - 1),
    st.lists(st.integers(0, 30), min_size=1, max_size=6),
    st.integers(1, 12),
    st.floats(-1e3, 1e3),
)
def test_shards_merge_to_one_pass(seed: int, sizes: list[int], d: int, offset: float) -> None:
    sizes = [*sizes, 2]
    x = np.random.default_rng(seed).standard_normal((sum(sizes), d)) + offset
    whole = Moments.from_features(x)
    merged, streamed = Moments(d), Moments(d)
    for part in np.split(x, np.cumsum(sizes)[:-1]):
        merged.merge(Moments(d).update(part))
        streamed.update(part)
    for moments in (merged, streamed, whole):
        assert moments.n == len(x)
        np.testing.assert_allclose(moments.mean, x.mean(0), rtol=0, atol=1e-10 * (1 + abs(offset)))
        expected = np.cov(x, rowvar=False).reshape(d, d)
        np.testing.assert_allclose(moments.cov, expected, rtol=0, atol=1e-10 * (1 + abs(offset)))


def test_float16_features_are_summed_in_float64() -> None:
    x = np.random.default_rng(0).standard_normal((5000, 3)).astype(np.float16)
    np.testing.assert_allclose(
        Moments.from_features(x).mean, x.astype(np.float64).mean(0), rtol=0, atol=1e-14
    )


def test_later_changes_of_the_array_do_not_matter() -> None:
    x = np.random.default_rng(0).standard_normal((4, 8))
    moments = Moments(8).update(x)
    before = moments.mean.copy()
    x[:] = 0
    np.testing.assert_array_equal(moments.mean, before)


@pytest.mark.parametrize("n", [5, 50])
def test_own_file_keeps_everything(tmp_path: Path, n: int) -> None:
    x = np.random.default_rng(1).standard_normal((n, 8))
    saved = Moments.from_features(x, PROVENANCE)
    saved.save(tmp_path / "m.npz")
    loaded = Moments.load(tmp_path / "m.npz")
    assert (loaded.n, loaded.d, loaded.provenance) == (n, 8, PROVENANCE)
    np.testing.assert_array_equal(loaded.mean, saved.mean)
    np.testing.assert_allclose(loaded.cov, saved.cov, rtol=0, atol=1e-15)
    loaded.update(x[:2])
    assert loaded.n == n + 2
    assert [p.name for p in tmp_path.iterdir()] == ["m.npz"]


def test_pytorch_fid_file(tmp_path: Path) -> None:
    x = np.random.default_rng(2).standard_normal((50, 8))
    mu, sigma = x.mean(0), np.cov(x, rowvar=False)
    np.savez(tmp_path / "fid.npz", mu=mu.astype(np.float32), sigma=sigma.astype(np.float32))
    loaded = Moments.load(tmp_path / "fid.npz")
    assert loaded.n is None and loaded.provenance is None
    np.testing.assert_allclose(loaded.cov, sigma, atol=1e-6)  # stored in float32
    with pytest.raises(InputError, match="no count"):
        loaded.update(x)


@pytest.mark.parametrize(
    ("mu", "sigma", "message"),
    [
        (np.zeros(3), np.eye(4), r"\(3,\) and the covariance \(4, 4\)"),
        (np.zeros((1, 3)), np.eye(3), r"must be \(d,\) and \(d, d\)"),
        (np.array([0, np.nan, 0]), np.eye(3), "the mean must be finite: 1 of 3"),
        (np.zeros(2), np.array([[1, np.inf], [np.inf, 1]]), "the covariance must be finite"),
        (np.zeros(2), np.array([[1, 0.5], [0.2, 1]]), "not symmetric"),
        (np.zeros(2), np.array([[1, 2.0], [2, 1]]), "not positive semi-definite"),
        (np.zeros(2), np.eye(2) * 1j, "real numbers"),
        (np.array(["a", "b"]), np.eye(2), "real numbers"),
    ],
)
def test_wrong_statistics_are_refused(
    tmp_path: Path, mu: np.ndarray, sigma: np.ndarray, message: str
) -> None:
    path = tmp_path / "wrong.npz"
    np.savez(path, mu=mu, sigma=sigma)
    with pytest.raises(InputError, match=message) as caught:
        Moments.load(path)
    assert str(caught.value).startswith(str(path))


def test_rounding_is_not_refused() -> None:
    x = np.random.default_rng(3).standard_normal((5, 200)).astype(np.float32)
    sigma = np.cov(x, rowvar=False).astype(np.float32)  # singular: eigenvalues down to about -1e-7
    assert np.linalg.eigvalsh(sigma)[0] < 0
    sigma[0, 1] += 1e-7
    assert Moments.from_statistics(x.mean(0), sigma).d == 200


def test_files_that_are_none(tmp_path: Path) -> None:
    path = tmp_path / "m.npz"
    with pytest.raises(InputError, match="no such file"):
        Moments.load(path)
    np.savez(path, mu=np.zeros(2))
    with pytest.raises(InputError, match=r"no sigma.*this one has mu"):
        Moments.load(path)
    np.savez(path, mu=np.array([object()]), sigma=np.eye(1))
    with pytest.raises(InputError, match=re.escape(str(path))):
        Moments.load(path)
    good = tmp_path / "good.npz"
    Moments.from_features(np.random.default_rng(0).standard_normal((9, 3)), PROVENANCE).save(good)
    content = good.read_bytes()
    for cut in range(0, len(content) - 1, 40):
        path.write_bytes(content[:cut])
        with pytest.raises(InputError, match=re.escape(str(path))):
            Moments.load(path)


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot write"):
        Moments.from_features(np.eye(3)).save(tmp_path / "absent" / "m.npz")


def test_sets_made_differently_do_not_merge() -> None:
    other = Provenance(**{**vars(PROVENANCE), "weights": "ff" * 32})
    a = Moments.from_features(np.eye(3), PROVENANCE)
    with pytest.raises(InputError, match="weights: 'abab"):
        a.merge(Moments.from_features(np.eye(3), other))


def test_wrong_features_are_refused() -> None:
    moments = Moments(3)
    with pytest.raises(InputError, match=r"\(2, 4\) do not fit into a set of d=3"):
        moments.update(np.zeros((2, 4)))
    with pytest.raises(InputError, match="1 of 3 values are NaN"):
        moments.update(np.array([[0, np.nan, 0]]))
    with pytest.raises(InputError, match="empty set"):
        _ = moments.mean


def test_damaged_record_and_objects_are_named(tmp_path: Path) -> None:
    np.savez(tmp_path / "m.npz", mu=np.zeros(2), sigma=np.eye(2), provenance=np.array("junk"))
    np.savez(tmp_path / "f.npz", features=np.eye(2), provenance=np.array("junk"))
    np.save(tmp_path / "one.npy", np.zeros(2))
    objects = np.array([{"a": 1}], dtype=object)
    np.savez(tmp_path / "o.npz", mu=objects, sigma=objects)
    with pytest.raises(InputError, match=r"m\.npz: its record of how it was made .* is damaged"):
        Moments.load(tmp_path / "m.npz")
    with pytest.raises(InputError, match=r"f\.npz: its record of how it was made .* is damaged"):
        read_stored(tmp_path / "f.npz", "image")
    with pytest.raises(InputError, match=r"one\.npy: it is no \.npz but one array"):
        Moments.load(tmp_path / "one.npy")
    with pytest.raises(InputError, match=r"o\.npz: .*never unpickled"):
        Moments.load(tmp_path / "o.npz")


@pytest.mark.parametrize("scale", [1e100, 1e-150])
def test_extreme_scales_are_refused(scale: float) -> None:
    x = scale * np.random.default_rng(0).standard_normal((50, 3))
    with pytest.raises(InputError, match="out of range"):
        Moments.from_features(x)
    with pytest.raises(InputError, match="out of range"):
        Moments.from_statistics(np.zeros(3), scale**2 * np.eye(3))


@pytest.mark.parametrize("scale", [1e-60, 1e60])
def test_scales_that_are_taken_are_right(scale: float) -> None:
    rng = np.random.default_rng(1)
    a, b = rng.standard_normal((50, 3)), rng.standard_normal((40, 3)) + 1
    expected = frechet_distance(Moments.from_features(a), Moments.from_features(b))
    found = frechet_distance(Moments.from_features(scale * a), Moments.from_features(scale * b))
    assert found == pytest.approx(scale**2 * expected, rel=1e-9)


@pytest.mark.parametrize("mean, size", [(1e300, 1.0), (0.0, 1e300), (1e80, 1.0), (0.0, 1e150)])
def test_moments_whose_distances_would_be_infinite(mean: float, size: float) -> None:
    with pytest.raises(InputError, match="out of range"):
        Moments.from_statistics(np.full(3, mean), size * np.eye(3), 10)
