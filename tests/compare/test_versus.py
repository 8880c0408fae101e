"""Two generators on the same captions."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from cmdmetric import Encoder, InputError, cmd, versus
from cmdmetric.scenes.drawing import draw_scene
from cmdmetric.score import moments_of
from tests.support import pictures

pytestmark = pytest.mark.filterwarnings(
    "ignore:.*too few for:UserWarning", "ignore:.*taken on trust:UserWarning"
)


@pytest.fixture(scope="module")
def scenes() -> tuple[np.ndarray, list[str], np.ndarray]:
    """Images of 100 scenes, a caption of each, and the images of 100 others."""
    captions = [draw_scene(seed).captions(1)[0] for seed in range(100)]
    return pictures.scenes(range(100)), captions, pictures.scenes(range(100, 200))


def test_difference_of_the_scores(
    encoder: Encoder, scenes: tuple[np.ndarray, list[str], np.ndarray]
) -> None:
    good, captions, real = scenes
    dark = (good * 0.3).astype(np.uint8)
    result = versus(dark, good, captions, real, encoder=encoder)
    assert result.first.cmd == cmd(dark, captions, real, encoder=encoder).cmd
    assert result.difference.raw == pytest.approx(result.first.cmd - result.second.cmd, abs=1e-9)
    assert result.difference.p_value == pytest.approx(1 / 2001), "the least of 2,000 permutations"
    assert result.difference.low is None, "too few images for an interval"
    assert " is worse than " in str(result).splitlines()[0]  # the verdict first
    assert str(result.first) in str(result) and repr(result).startswith("<Versus ")
    back = versus(good, dark, captions, real, encoder=encoder).difference
    assert back.raw == pytest.approx(-result.difference.raw, abs=1e-9)


def test_a_generator_is_no_better_than_itself(
    encoder: Encoder, scenes: tuple[np.ndarray, list[str], np.ndarray], tmp_path: Path
) -> None:
    from PIL import Image

    good, captions, real = scenes
    for k, picture in enumerate(good):
        Image.fromarray(picture).save(tmp_path / f"{k}.png")
    named = {f"{k}.png": caption for k, caption in enumerate(captions)}
    # The same images under the same names are paired: nothing is left to chance.
    with pytest.warns(UserWarning, match="are the same ones: nothing sets these generators apart"):
        paired = versus(tmp_path, tmp_path, named, real, encoder=encoder).difference
    assert paired.raw == 0 and paired.standard_error < 1e-6
    # Unpaired, two sets that happen to be equal could as well have differed.
    unpaired = versus(good, good, captions[:-1], real, encoder=encoder).difference
    assert unpaired.standard_error > 0.01 and unpaired.p_value > 0.99


def test_moments_alone_do_not_do(
    encoder: Encoder, scenes: tuple[np.ndarray, list[str], np.ndarray]
) -> None:
    good, captions, real = scenes
    stored = moments_of(good, encoder=encoder)
    with pytest.raises(InputError, match="needs the features of both"):
        versus(good, stored, captions, real, encoder=encoder)


def test_the_family_is_compared_too(
    encoder: Encoder, scenes: tuple[np.ndarray, list[str], np.ndarray]
) -> None:
    good, captions, real = scenes
    named = {f"#{i}": caption for i, caption in enumerate(captions)}
    dim = (good * 0.8).astype(np.uint8)
    result = versus(good, dim, named, real, metrics="clipscore,cmmd,prdc", encoder=encoder)
    assert list(result.metrics) == list(result.first.metrics)
    for name, gap in result.metrics.items():
        values = [score.metrics[name].value for score in (result.first, result.second)]
        assert gap.value == values[0] - values[1]
    own = result.first.metrics["clipscore"], result.metrics["clipscore"]
    assert own[1].standard_error < own[0].standard_error, "images of one caption are paired"
    assert own[1].p_value < 0.05 and own[1].low > 0, "what is dimmed fits its caption less"
    assert result.to_dict()["difference"]["metrics"]["cmmd"]["high"] == result.metrics["cmmd"].high


@pytest.mark.filterwarnings("ignore:.*(no generated image|is not given):UserWarning")
def test_a_lost_pairing_takes_the_debiased_difference_with_it(encoder: Encoder) -> None:
    """As of one score: what a finite sample adds follows from what was drawn together."""
    scenes = [draw_scene(seed) for seed in range(170)]
    good, real = pictures.scenes(range(170)), pictures.scenes(range(200, 370))
    dim = (good * 0.8).astype(np.uint8)
    named = {f"scene-{i:03}.png": scene.captions(1)[0] for i, scene in enumerate(scenes)}
    renamed = [f"other{chr(97 + i // 26)}{chr(97 + i % 26)}.png" for i in range(170)]

    def difference(names: list[str]) -> tuple:
        first, second = (dict(zip(names, images, strict=True)) for images in (dim, good))
        found = versus(first, second, named, real, encoder=encoder, metrics="cmmd,vendi")
        return found.difference, found.metrics

    kept, _ = difference(list(named))
    assert kept.debiased is not None and kept.low is not None and kept.withheld is None
    lost, family = difference(renamed)
    assert lost.raw == pytest.approx(kept.raw, abs=1e-6)
    assert lost.debiased is None and lost.low is None and lost.p_student is None
    assert "drawn together is lost" in str(lost.withheld) and lost.p_value is not None
    assert all(gap.debiased is None for gap in family.values())
    assert lost.standard_error > kept.standard_error, "what both have in common no longer cancels"
