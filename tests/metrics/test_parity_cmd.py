"""CMD against the golden numbers of the released evaluation and against 60-digit truth."""

from __future__ import annotations

import numpy as np
import pytest

from cmdmetric import Moments, cross_model_distance, frechet_distance
from tests.conftest import shared


def load(name: str) -> dict[str, np.ndarray]:
    with np.load(shared(name), allow_pickle=False) as file:
        return {key: file[key] for key in file.files}


@pytest.fixture(scope="module")
def golden() -> dict[str, np.ndarray]:
    return load("golden/cmd.npz")


@pytest.fixture(scope="module")
def coco() -> tuple[Moments, Moments]:
    files = ("reference/coco2014-val.real.npz", "reference/coco2014-val.text.npz")
    real, text = (Moments.load(shared(file)) for file in files)
    return real, text


def test_released_coco_statistics(coco: tuple[Moments, Moments]) -> None:
    assert frechet_distance(*coco) == pytest.approx(91.759443969, abs=1e-8)


def check(golden: dict[str, np.ndarray], tag: str, distances: object, tolerance: float) -> None:
    for ours, theirs in {
        "dis_fr": "dis_fr",
        "dis_fl": "dis_fl",
        "dis_rl": "dis_rl",
        "itdis": "itdis_abs",
        "cmd": "cmd_abs",
    }.items():
        expected = float(golden[f"{tag}/{theirs}"])
        assert getattr(distances, ours) == pytest.approx(expected, abs=tolerance), ours


def test_whole_scores(golden: dict[str, np.ndarray], coco: tuple[Moments, Moments]) -> None:
    r, l = coco
    f = Moments.from_statistics(golden["synth_mu"], golden["synth_sigma"])
    # Full rank: sqrtm and the singular values agree to 2e-9 (the golden numbers' own error).
    check(golden, "released_plus_synth", cross_model_distance(f, r, l), 1e-8)
    check(golden, "f_equals_r", cross_model_distance(r, r, l), 1e-8)
    middle = Moments.from_statistics((r.mean + l.mean) / 2, (r.cov + l.cov) / 2)
    check(golden, "halfway", cross_model_distance(middle, r, l), 1e-8)


def test_fewer_samples_than_dimensions(
    golden: dict[str, np.ndarray], coco: tuple[Moments, Moments]
) -> None:
    r, l = coco
    chol = np.linalg.cholesky(r.cov + 1e-8 * np.eye(r.d))
    noise = np.random.default_rng(12345).standard_normal((2000, r.d))
    x = (r.mean + 0.9 * noise @ chol.T + 0.05)[:300]
    # On singular covariances sqrtm is off by about 1e-6.
    check(golden, "synth_n300_singular", cross_model_distance(Moments.from_features(x), r, l), 1e-5)


def test_small_problems_against_sixty_digits(golden: dict[str, np.ndarray]) -> None:
    cases = {key.split("/")[1] for key in golden if key.startswith("case/")}
    assert cases
    for case in cases:
        a, b = (
            Moments.from_statistics(golden[f"case/{case}/mu{i}"], golden[f"case/{case}/sigma{i}"])
            for i in (1, 2)
        )
        truth = float(str(golden[f"case/{case}/truth_mpmath"]))
        # Where a covariance is singular, its stored rounding (1e-16 of the trace) enters by its
        # square root; full rank is exact to a few ulp.
        singular = min(np.linalg.matrix_rank(a.cov), np.linalg.matrix_rank(b.cov)) < a.d
        assert frechet_distance(a, b) == pytest.approx(truth, abs=1e-5 if singular else 1e-9), case
