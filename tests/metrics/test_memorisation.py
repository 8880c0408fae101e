"""Copies of training images are seen, and new images are not taken for copies."""

from __future__ import annotations

import numpy as np
import pytest

from cmdmetric import InputError
from cmdmetric.metrics import memorisation


def test_copies_are_told_from_new_images() -> None:
    rng = np.random.default_rng(0)
    train, new, held_out = (rng.standard_normal((n, 16)) for n in (600, 400, 400))
    copies = train[:100] + 0.01 * rng.standard_normal((100, 16))
    found = memorisation(np.concatenate([copies, new]), 3.0 * train, held_out)
    assert found.nearest[:100].tolist() == list(range(100))
    assert not found.is_authentic[:100].any()
    # A new image is as likely as not to be nearer to its neighbour than that one's own neighbour.
    assert 0.3 < found.is_authentic[100:].mean() < 0.7
    assert found.authentic == found.is_authentic.mean()
    only_new = memorisation(new, train, held_out)
    # 5 % by definition, of two sets of 400: within four standard deviations.
    assert only_new.copied == pytest.approx(0.05, abs=0.06)
    assert found.copied == pytest.approx(0.2 + 0.8 * 0.05, abs=0.06)


def test_against_the_definition_one_image_at_a_time() -> None:
    rng = np.random.default_rng(1)
    f, t = rng.standard_normal((30, 5)), rng.standard_normal((20, 5))
    found = memorisation(f, t)
    f, t = (x / np.linalg.norm(x, axis=1, keepdims=True) for x in (f, t))
    for i, x in enumerate(f):
        distances = np.linalg.norm(t - x, axis=1)
        j = int(distances.argmin())
        others = np.linalg.norm(np.delete(t, j, axis=0) - t[j], axis=1)
        assert found.nearest[i] == j
        assert found.distance[i] == pytest.approx(distances[j], abs=1e-12)
        assert found.is_authentic[i] == (distances[j] > others.min())
    assert found.copied is None


def test_held_out_images_that_were_trained_on_tell_no_chance() -> None:
    rng = np.random.default_rng(3)
    train, held_out, new = (rng.standard_normal((n, 8)) for n in (200, 100, 50))
    found = memorisation(new, train, np.concatenate([held_out, train[:150]]))
    assert found.held_out == 100
    assert found.copied == memorisation(new, train, held_out).copied


def test_what_tells_nothing_is_refused() -> None:
    rng = np.random.default_rng(2)
    train = rng.standard_normal((10, 4))
    assert memorisation(train, train, train[:5]).copied is None  # nothing was held out
    with pytest.raises(InputError, match="training images are too few"):
        memorisation(train, train[:1])
    with pytest.raises(InputError, match="two encoders"):
        memorisation(train, rng.standard_normal((10, 5)))
