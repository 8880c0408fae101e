"""Titles of figures that say what these show, small error bars, and what real images score."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest

from cmdmetric.compare.stored_scores import compare
from cmdmetric.report.compare_page import render_compare
from cmdmetric.report.data import Similarity, Spectrum
from cmdmetric.report.figures.marks import Mark, scale_of, whiskers
from cmdmetric.report.gather import gather
from cmdmetric.report.headlines import ratio_title, similarity_title, slices_title, spectrum_title
from cmdmetric.report.write import render
from cmdmetric.scoring.family.of_real import values_of_real
from cmdmetric.scoring.statistics import score_of
from cmdmetric.uncertainty.estimate import Gap, Value, gap_of
from tests.support.reports import Page, sides


def spectrum(f: list[float], ratio: list[float]) -> Spectrum:
    r = np.ones(len(f))
    return Spectrum(np.array(f), r, r, np.array(ratio))


def test_diversity_is_concluded() -> None:
    assert (
        spectrum_title(spectrum([1.0, 1.05], [1, 1])) == "They vary as much as the real images do"
    )
    assert "less than the real images: 50 % of" in spectrum_title(spectrum([0.5, 0.5], [1, 1]))
    assert "more" in spectrum_title(spectrum([2.0, 2.0], [1, 1]))
    assert ratio_title(spectrum([1, 1], [1, 0.6])) == (
        "Nothing in which real images differ is missing"
    )
    assert ratio_title(spectrum([1, 1], [1, 0.4])).startswith("Along 1 of 2 axes")


def test_fit_is_concluded() -> None:
    chance, rows = np.zeros(3), np.arange(3)

    def title(own: float, real: float | None) -> str:
        of_real = None if real is None else np.full(3, real)
        return similarity_title(Similarity(np.full(3, own), rows, of_real, chance))

    assert "worse than real images" in title(0.2, 0.3)
    assert "better than real images" in title(0.3, 0.2)
    assert "about as well as" in title(0.3, 0.31)
    assert title(0.25, None).endswith("0.250")


def test_slices_are_concluded() -> None:
    def gap(value: float, p: float | None) -> dict[str, Gap]:
        return {"adds": Gap(value, None, None if p is None else 1.0, p_adjusted=p)}

    assert slices_title("b", {"2": gap(1, 0.01), "3": gap(-1, 0.01), "4": gap(1, 0.5)}) == (
        "b is worse in 2, better in 3"
    )
    assert slices_title("b", {"2": gap(1, 0.2)}) == "b is worse in no slice beyond chance"
    assert "not known" in slices_title("b", {"2": gap(1, None)})


def test_intervals_of_many_are_wider() -> None:
    # 2.2414 is the normal quantile of 1 - 0.05 / 4 (tables of Bonferroni's method).
    one, both = gap_of(1.0, 2.0), gap_of(1.0, 2.0, of=2)
    assert one.low == pytest.approx(1 - 2 * 1.95996, abs=1e-4)
    assert both.low == pytest.approx(1 - 2 * 2.24140, abs=1e-4)
    assert one.p_value == both.p_value
    # Student's quantile of 1 - 0.05 / 4 at 10 degrees of freedom.
    assert gap_of(0.0, 1.0, freedom=10, of=2).high == pytest.approx(2.6338, abs=1e-4)


def test_whiskers_lie_on_one_scale() -> None:
    marks = [Mark(1.0, 0.0, 2.0, "m0"), Mark(4.0, None, None, "m1")]
    scale = scale_of(marks, 10.0)
    assert scale[0] < 0 and scale[1] > 10
    svg = str(whiskers(marks, (0.0, 10.0), 'a "label" <b>', 10.0))
    assert Page(svg).mistakes == [] and "<b>" not in svg
    dots = [float(x) for x in re.findall(r'<circle cx="([\d.]+)"', svg)]
    ends = [float(x) for x in re.findall(r'<path d="M([\d.]+) [\d.]+H([\d.]+)', svg)[0]]
    line = float(re.findall(r'class="line" d="M([\d.]+)', svg)[0])
    # A tenth of the scale is the same length anywhere.
    tenth = (line - ends[0]) / 10
    assert ends[1] - ends[0] == pytest.approx(2 * tenth, abs=0.1)
    assert dots == pytest.approx([ends[0] + tenth, ends[0] + 4 * tenth], abs=0.1)
    # Equal numbers have a scale too.
    low, high = scale_of([Mark(0.0, 0.0, 0.0, "")])
    assert low < 0 < high


def test_real_images_have_values_too() -> None:
    _, r, l = sides(60)
    found = values_of_real(["clipscore", "vendi", "precision", "fjd", "unheard of"], r, l, {})
    assert found.keys() == {"clipscore", "vendi", "fjd"} and found["fjd"] == 0
    cosines = np.sum(
        r.features * l.features, axis=1
    ) / (np.linalg.norm(r.features, axis=1) * np.linalg.norm(l.features, axis=1))  # fmt: skip
    # Hessel et al. 2021: 2.5 times the mean of the positive parts; float32 features.
    assert found["clipscore"] == pytest.approx(2.5 * np.maximum(cosines, 0).mean(), rel=1e-5)


def test_the_report_draws_them() -> None:
    import dataclasses

    f, r, l = sides(60)
    score = dataclasses.replace(
        score_of(f, r, l), metrics={"clipscore": Value(1.2, 0.1, low=1.01, high=1.41)}
    )
    text = render(gather(score, f, r, l, of_real={"clipscore": 1.7}))
    assert Page(text).mistakes == []
    assert "CLIPScore 1.2, 95 % interval 1.01 to 1.41; real images 1.7" in text
    assert "1.7000" in text


def test_a_comparison_tells_slices() -> None:
    f, r, l = sides(60)
    content = score_of(f, r, l).to_dict()

    def sliced(shift: float) -> dict[str, Any]:
        number = {"value": shift, "standard_error": 0.1, "low": None, "high": None}
        each = {"n": 30, "draws": 30, "metrics": {}, "cmd": None}
        rows = [
            {"label": "two <objects>", "adds": number, **each},
            {"label": "one", "adds": {**number, "value": 0.0}, **each},
        ]
        return {**content, "slices": {"by": "objects", "slices": rows, "unlabelled": 0}}

    found = compare({"a": sliced(0.0), "b": {**sliced(1.0), "cmd": content["cmd"] + 0.1}})
    text = render_compare(found)
    assert Page(text).mistakes == []
    assert "b is worse in two &lt;objects&gt;" in text and "differs beyond chance" in text
    assert "two <objects>" not in text
    gap = found.against_best[0].slices["two <objects>"]["adds"]
    # Both slices together: 2.2414 standard errors to each side.
    assert gap.high == pytest.approx(1 + 2.2414 * 0.1 * np.sqrt(2), abs=1e-4)
