"""Checking a score: the function, the pytest helper, and the command's exit statuses."""

from __future__ import annotations

import copy
import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, strategies as st

from cmdmetric import InputError, Moments, cmd, published
from cmdmetric.gate.checks import Tolerance, check
from cmdmetric.gate.expectations import expectation, numbers
from cmdmetric.metrics.moments import Provenance
from cmdmetric.protocol import GRGAN
from cmdmetric.testing import assert_score
from tests.conftest import SHARED, shared
from tests.support.commands import run

WEIGHTS = "40d365715913c9da98579312b702a82c18be219cc2a73407c4526f58eba950af"


def result(**changes: Any) -> dict[str, Any]:
    """What a score of 30,000 images against MS-COCO looks like, CMD and ITDis as Table 2 has."""
    values: dict[str, Any] = {
        "cmd": 9.01, "itdis": 0.96, "dis_fr": 8.05, "dis_fl": 92.72, "dis_rl": 91.76,
        "n": 30000, "n_real": None, "n_captions": 202650, "protocol": "grgan",
        "model": "ViT-B-32/openai", "weights": WEIGHTS, "skipped": 0, "warnings": [],
        "uncertainty": None,
    } | changes  # fmt: skip
    label = {"proto": values["protocol"], "r": "coco2014-val", "l": "202650", "dtype": "fp32"}
    label |= values.pop("signature", {})
    n = values["n"] if values["n"] is not None else "?"
    values["signature"] = (
        f"CMD|proto:{label['proto']}|model:{values['model']}@{values['weights'][:8]}|f:{n}"
        f"|r:{label['r']}|l:{label['l']}|dtype:{label['dtype']}|v:0.1.0"
    )
    return values


ERRORS: dict[str, Any] = {
    key: {"standard_error": 0.05} for key in ("cmd", "itdis", "dis_fr", "dis_fl", "dis_rl")
}
ERRORS["sides"] = ["generated"]


# --- against a stored score and a published row ----------------------------------------------


def test_the_same_score_is_within() -> None:
    verdict = check(result(), result())
    assert verdict.outcome == "within" and verdict.exit_status == 0
    assert [c.metric for c in verdict.checks] == ["cmd", "itdis", "dis_fr", "dis_fl", "dis_rl"]
    assert all(c.difference == 0 for c in verdict.checks)


def test_a_published_row_is_compared_as_far_as_it_is_known() -> None:
    verdict = check(result(), "published:DM-GAN+IT", tolerance="2%")
    assert verdict.outcome == "within"
    assert {c.metric: c.expected for c in verdict.checks} == {
        "itdis": 0.96, "cmd": 9.01, "dis_fr": 8.05,
    }  # fmt: skip
    assert verdict.notes == ("published:DM-GAN+IT has fid 25.33, which this run has not computed",)
    outside = check(result(), "published:gr-gan", tolerance="2%")
    assert outside.exit_status == 1
    assert [c.metric for c in outside.checks] == ["itdis", "cmd", "dis_fr"]
    assert "CMD" in outside.summary and "OUTSIDE" in str(outside)
    # The row of Table 4 that contradicts it, by its table.
    assert check(result(), "published:4/ITM without GRG, lambda 4, 1").outcome == "outside"


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"protocol": "clip"}, "protocol grgan, this score with clip"),
        ({"signature": {"proto": "grgan@12345678"}}, "with grgan@12345678"),
        ({"model": "ViT-L-14/openai"}, "model ViT-B-32/openai, this score with ViT-L-14/openai"),
        ({"signature": {"r": "40504"}}, "real images coco2014-val, this score with 40504"),
        ({"signature": {"r": "?"}}, "this score with one that is not recorded"),
        ({"dis_rl": 90.0, "dis_fl": 90.96}, "other captions"),
        ({"n": 5000}, "30,000 generated images, this score of 5,000"),
        ({"n": None}, "unrecorded number"),
    ],
)
def test_comparisons_with_a_published_row_that_mean_nothing(
    changes: dict[str, Any], reason: str
) -> None:
    verdict = check(result(**changes), "published:DM-GAN+IT")
    assert verdict.outcome == "meaningless" and verdict.exit_status == 2
    assert len(verdict.meaningless) == 1 and reason in verdict.meaningless[0]
    assert verdict.checks == ()


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"protocol": "clip"}, "protocol"),
        ({"weights": "ab" * 32}, "weights 40d36571..., this score with abababab..."),
        ({"signature": {"dtype": "bf16"}}, "arithmetic fp32, this score with bf16"),
        ({"signature": {"r": "500"}}, "real images"),
        ({"signature": {"l": "800"}}, "captions 202650, this score with 800"),
        ({"dis_rl": 91.80}, "Dis(r,l) = 91.7600, this score's 91.8000"),
        ({"n": 29000}, "1% at most"),
    ],
)
def test_comparisons_with_a_stored_score_that_mean_nothing(
    changes: dict[str, Any], reason: str
) -> None:
    verdict = check(result(**changes), result(), tolerance="1%")
    assert verdict.outcome == "meaningless"
    assert any(reason in told for told in verdict.meaningless), verdict.meaningless


def test_what_may_differ() -> None:
    # The released evaluation drops the last batch; other machines round otherwise; one network
    # may have two names, and versions move on.
    assert check(result(n=29952), result()).outcome == "within"
    assert check(result(dis_rl=91.7605), result()).outcome == "within"
    assert check(result(model="ViT-B-32-quickgelu/openai"), result()).outcome == "within"
    assert check(result(model="ViT-B-32-quickgelu/openai"), "published:GR-GAN").exit_status == 2


def test_what_neither_side_records_is_told() -> None:
    bare = result(signature={"r": "?", "l": "?"}, n=None)
    verdict = check(bare, bare)
    assert verdict.outcome == "within"
    (note,) = verdict.notes
    assert "real images, captions, number of images not recorded" in note


# --- tolerances --------------------------------------------------------------------------------


def test_percent_absolute_and_rounding() -> None:
    moved = result(cmd=9.10)
    assert check(moved, result(), tolerance="1%").outcome == "within"  # 0.0901
    assert check(moved, result(), tolerance="0.9%").outcome == "outside"
    assert check(moved, result(), tolerance="0.1").outcome == "within"
    assert check(moved, result(), tolerance=0.08).outcome == "outside"
    # A published number is known to half of its last digit.
    known = {"itdis": 0.96, "dis_fr": 8.05}
    assert check(result(cmd=9.015, **known), "published:DM-GAN+IT", tolerance=0).outcome == "within"
    assert check(result(cmd=9.016, **known), "published:DM-GAN+IT", tolerance=0).exit_status == 1
    # Near zero a percentage is nothing; the rounding of the distances it is made of is not.
    tiny = result(itdis=1e-4)
    assert check(result(itdis=6e-4), tiny, tolerance="1%").outcome == "within"
    assert check(result(itdis=2e-3), tiny, tolerance="1%").outcome == "outside"


def test_standard_errors_of_the_difference() -> None:
    expected, got = result(uncertainty=ERRORS), result(cmd=9.14, uncertainty=ERRORS)
    # sqrt(2) 0.05 = 0.0707; 0.13 is 1.84 of it.
    assert check(got, expected, tolerance="2se").outcome == "within"
    assert check(got, expected, tolerance="1.8se").outcome == "outside"
    # A published number has no error bar: it is taken to be as uncertain.
    assert check(got, "published:DM-GAN+IT", tolerance="2se").outcome == "within"
    assert check(got, "published:DM-GAN+IT", tolerance="1.8 se").outcome == "outside"
    bare = check(result(), expected, tolerance="2se")
    assert bare.outcome == "meaningless" and "needs error bars" in bare.meaningless[0]
    moments = result(uncertainty={**ERRORS, "sides": ["captions"]})
    assert check(moments, expected, tolerance="2se").outcome == "meaningless"


@pytest.mark.parametrize("text", ["2x", "", "-1%", "nan", "inf", "%", "two", "1e999%", "2 %%"])
def test_no_tolerance(text: str) -> None:
    with pytest.raises(InputError, match="2se"):
        Tolerance.parse(text)


@given(st.floats(0, 1e6), st.sampled_from(["%", "se", ""]))
def test_tolerances_are_read_as_written(value: float, unit: Any) -> None:
    assert Tolerance.parse(f"{value!r}{unit}") == Tolerance(value, unit)


@given(st.floats(0.01, 100), st.floats(-0.5, 0.5), st.floats(0, 50))
def test_within_is_what_the_tolerance_says(expected: float, share: float, percent: float) -> None:
    base = result(cmd=expected, dis_fr=1e-9, dis_fl=1e-9, dis_rl=1e-9)
    moved = result(cmd=expected * (1 + share), dis_fr=1e-9, dis_fl=1e-9, dis_rl=1e-9)
    if abs(abs(share) - percent / 100) > 1e-9:
        within = check(moved, base, tolerance=f"{percent!r}%").checks[0].within
        assert within == (abs(share) <= percent / 100)


# --- bounds ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("bound", "holds"),
    [
        ("cmd<=9.01", True), ("cmd<9.01", False), ("cmd >= 9.02", False), ("n==30000", True),
        ("dis_rl<=100", True), ("skipped<1", True), ("uncertainty.cmd.standard_error>0.1", False),
        ("cmd<=1e1", True),
    ],
)  # fmt: skip
def test_bounds(bound: str, holds: bool) -> None:
    verdict = check(result(uncertainty=ERRORS), bound)
    assert verdict.exit_status == (0 if holds else 1)
    assert bound in str(verdict)


@pytest.mark.parametrize(
    ("bound", "message"),
    [
        ("cmdd<=9", "there is cmd"),
        ("nosuch>=0.7", "there is cmd, itdis, dis_fr, dis_fl, dis_rl, n, "),
        ("shcema<=9", "there is cmd, itdis"),
        ("n_real<=9", "not known for this score"),
        ("model<=9", "no number 'model'"),
        ("uncertainty.cmd.debiased<9", "no number"),
    ],
)
def test_bounds_on_numbers_that_are_not_there(bound: str, message: str) -> None:
    verdict = check(result(), bound, "cmd<=1")
    assert verdict.exit_status == 2 and message in verdict.meaningless[0]


@pytest.mark.parametrize("text", ["cmd=<3", "cmd<=x", "cmd<=", "<=3", "cmd<=nan", "cmd!=3"])
def test_no_bound(text: str) -> None:
    with pytest.raises(InputError):
        expectation(text)


# --- wrong expectations ------------------------------------------------------------------------


def test_expectations_that_cannot_be(tmp_path: Path) -> None:
    broken, other = tmp_path / "broken.json", tmp_path / "other.json"
    broken.write_text("{")
    other.write_text('{"first": {}, "second": {}}')
    for against, message in [
        (tmp_path / "absent.json", "does not exist"),
        (broken, "not the JSON of a score"),
        (other, "without --versus"),
        (tmp_path, "not the JSON of a score"),
        ("published:GRAN", "'GR-GAN'"),
        ("published:CLIP-ViT", "none of its numbers"),
        ("published:5/GR-GAN", "no table 5"),
        (result() | {"cmd": None}, "cmd is None"),
    ]:
        with pytest.raises(InputError, match=message):
            expectation(against)
    # Only one generator's score can repeat another's.
    assert check({"first": result()}, result()).outcome == "meaningless"
    assert check({"first": result()}, "first.cmd<=10").outcome == "within"


# --- the pytest helper -------------------------------------------------------------------------


def test_assert_score(example: Path) -> None:
    assert_score(result(), result(), "cmd<=9.5")
    with pytest.raises(AssertionError) as failure:
        assert_score(result(cmd=10.0), result(), "n>=1")
    for part in ("expected", "9.0100", "10.0000", "+0.9900", "OUTSIDE", "verdict: outside, 1 of 6"):
        assert part in str(failure.value)
    with pytest.raises(AssertionError, match=r"meaningless: .*5,000"):
        assert_score(result(n=5000), "published:GR-GAN")
    with pytest.raises(TypeError):
        assert_score(result())
    # Scores as they are, not only their JSON.
    rng = np.random.default_rng(0)
    f, r, l = (rng.standard_normal((50, 4)) for _ in range(3))
    score = cmd(f, l, r)
    assert_score(score, score)
    assert_score(score, score.to_dict(), tolerance="1se")
    worse = dataclasses.replace(score, cmd=2 * score.cmd)
    with pytest.raises(AssertionError, match="CMD"):
        assert_score(worse, score)


# --- the command -------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def coco(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A generator that scores exactly what GR-GAN did, as moments: real ones, their mean moved by
    v, so that Dis(f,r) = |v|^2 and, with a = mean_r - mean_l, ITDis = |v|^2 + 2 v a."""
    folder = tmp_path_factory.mktemp("coco")
    real, text = (
        Moments.load(shared(f"reference/coco2014-val.{side}.npz")) for side in ("real", "text")
    )
    across = real.mean - text.mean
    axis = across / np.linalg.norm(across)
    aside = np.random.default_rng(0).standard_normal(real.d)
    aside -= axis * (aside @ axis)
    aside /= np.linalg.norm(aside)
    made = Provenance(GRGAN, "ViT-B-32/openai", WEIGHTS, "0" * 64, "fp32", "image", "synthetic")
    for name, cmd_, n in [("as", 8.04, 30000), ("worse", 8.5, 30000), ("few", 8.04, 5000)]:
        itdis = 0.8
        dis_fr = cmd_ - itdis
        along = (itdis - dis_fr) / 2 / np.linalg.norm(across)
        mean = real.mean + along * axis + np.sqrt(dis_fr - along**2) * aside
        Moments.from_statistics(mean, real.cov, n, made).save(folder / f"{name}.npz")
    return folder


def against_coco(*args: object, cwd: Path) -> Any:
    return run("cmd-score", *args, cwd=cwd, CMDMETRIC_REFERENCES=str(SHARED / "reference"))


def test_gate_against_the_published_row(coco: Path) -> None:
    gate = ["coco2014-val", "--check", "published:GR-GAN", "--tolerance", "2%"]
    fine = against_coco("as.npz", *gate, cwd=coco)
    assert fine.returncode == 0, fine.stderr
    assert "CMD" in fine.stdout and "verdict: within, all 3" in fine.stdout
    assert "check failed" not in fine.stderr
    worse = against_coco("worse.npz", *gate, "--format", "json", cwd=coco)
    assert worse.returncode == 1
    found = json.loads(worse.stdout)
    assert found["check"]["outcome"] == "outside"
    line = next(line for line in found["check"]["checks"] if line["metric"] == "cmd")
    assert line["expected"] == 8.04 and line["difference"] == pytest.approx(0.46)
    assert line["tolerance"] == pytest.approx(0.1608) and line["within"] is False
    assert "check failed: outside, 2 of 3: CMD, Dis(f,r)" in worse.stderr
    few = against_coco("few.npz", *gate, cwd=coco)
    assert few.returncode == 2
    assert "30,000 generated images, this score of 5,000" in few.stderr
    assert "30,000 generated images" not in few.stdout
    assert "CMD " in few.stdout  # the score is told nevertheless


def test_gate_against_a_baseline_and_bounds(coco: Path, tmp_path: Path) -> None:
    args = [coco / "as.npz", "coco2014-val", "-o", "baseline.json"]
    assert against_coco(*args, cwd=tmp_path).returncode == 0
    args = ["coco2014-val", "--check", "baseline.json", "--check", "dis_rl<=100"]
    fine = against_coco(coco / "as.npz", *args, cwd=tmp_path)
    assert fine.returncode == 0 and "verdict: within, all 6" in fine.stdout
    worse = against_coco(coco / "worse.npz", *args, cwd=tmp_path)
    assert worse.returncode == 1 and "verdict: outside\n" in worse.stdout
    both = worse.stdout + worse.stderr  # as on a terminal: a reason stands there once
    assert both.count("outside, 2 of 6: CMD, Dis(f,r)") == 1
    bound = against_coco(coco / "as.npz", "coco2014-val", "--check", "cmd<=8", cwd=tmp_path)
    assert bound.returncode == 1 and "OUTSIDE" in bound.stdout


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--check", "published:GRAN"], "'GR-GAN'"),
        (["--check", "bseline.json"], "Near it: baseline.json"),
        (["--check", "cmd=<8"], "is no bound"),
        (["--check", "cmd<=8", "--tolerance", "2x"], "the tolerance is '2x'"),
        (["--check", "baseline.json", "-o", "./baseline.json"], "would replace"),
    ],
)
def test_wrong_checks_are_told_before_the_work(
    options: list[str], message: str, tmp_path: Path
) -> None:
    (tmp_path / "baseline.json").write_text(json.dumps(result()))
    done = run("cmd-score", "absent-images", "absent.json", *options, cwd=tmp_path)
    assert done.returncode == 2
    assert message in done.stderr and "Traceback" not in done.stderr and done.stdout == ""
    assert "absent-images" not in done.stderr


def test_the_baseline_is_not_changed_by_a_check() -> None:
    base, got = result(), result(cmd=10.0)
    before = copy.deepcopy((base, got))
    check(got, base, "published:GR-GAN")
    assert (base, got) == before
    assert published.row("GR-GAN").values["cmd"] == 8.04


def test_a_comparison_has_no_number_of_a_metric_alone() -> None:
    """Two generators' result holds their difference: a bound on it must say so."""
    both = {
        "first": {"signature": "CMD", "metrics": {"fid": {"value": 50.0}}},
        "second": {"signature": "CMD", "metrics": {"fid": {"value": 48.0}}},
        "difference": {"metrics": {"fid": {"value": 2.0}}},
    }
    known = numbers(both)
    assert "fid" not in known
    assert known["first.metrics.fid.value"] == 50.0
    assert known["difference.metrics.fid.value"] == 2.0
    assert numbers(both["first"])["fid"] == 50.0
