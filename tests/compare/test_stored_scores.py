"""Stored scores of several models: ranking, refusals, significance, and the page."""

from __future__ import annotations

import html
import json
import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats

from cmdmetric.compare import plan
from cmdmetric.compare.standing import marks_of
from cmdmetric.compare.stored_scores import compare
from cmdmetric.errors import InputError
from cmdmetric.report.compare_page import render_compare
from cmdmetric.report.verdict import of_comparison
from cmdmetric.scoring import Signature
from tests.support.commands import run
from tests.support.reports import Page

SIGNATURE = "CMD|proto:grgan|model:ViT-B-32/openai@40d36571|f:{n}|r:coco2014-val|l:9|dtype:fp32|v:1"


def score(cmd: float, se: float | None = 0.1, n: int = 30_000, **changes: Any) -> dict[str, Any]:
    bars = None
    if se is not None:
        found = {"raw": cmd, "debiased": cmd - 0.3, "standard_error": se}
        found |= {"low": cmd - 0.3 - 2 * se, "high": cmd - 0.3 + 2 * se}
        bars = {"sides": ["generated"], "cmd": found}
    return {
        "cmd": cmd, "itdis": 1.0, "dis_fr": cmd - 1, "dis_fl": 92.0, "dis_rl": 91.0, "n": n,
        "draws": n, "paired": n,
        "signature": SIGNATURE.format(n=n), "protocol": "grgan", "model": "ViT-B-32/openai",
        "weights": "0" * 64, "real": "coco2014-val", "generated": "samples", "uncertainty": bars,
        **changes,
    }  # fmt: skip


def stored(folder: Path, **scores: Any) -> list[Path]:
    for name, content in scores.items():
        (folder / f"{name}.json").write_text(json.dumps(content))
    return [folder / f"{name}.json" for name in scores]


def test_ranking_and_significance(tmp_path: Path) -> None:
    files = stored(tmp_path, b=score(9.0, 0.3), a=score(8.0, 0.4), c=score(12.0, 0.3))
    result = compare(files)
    assert [entry.name for entry in result.entries] == ["a", "b", "c"]
    b, c = result.against_best
    assert b.difference == pytest.approx(1.0) and b.standard_error == pytest.approx(0.5)
    assert b.p_value == pytest.approx(2 * stats.t.sf(2.0, 29_999))
    assert c.p_value == pytest.approx(2 * stats.t.sf(8.0, 29_999))
    # Holm: the smallest counts for two hypotheses, the next for one.
    assert c.p_adjusted == pytest.approx(2 * c.p_value)
    assert b.p_adjusted == pytest.approx(b.p_value)
    assert b.low == pytest.approx(1 - stats.t.ppf(0.975, 29_999) * 0.5, rel=1e-6)
    assert result.warnings == () and result.ranked_by == "cmd"


def test_where_the_tested_difference_turns_the_order_round_it_is_the_order(tmp_path: Path) -> None:
    """Order, verdict and marks say one thing: that of the debiased CMD, which is tested."""
    noisier = score(8.1, 0.1)
    noisier["uncertainty"]["cmd"]["debiased"] = 7.1
    files = stored(tmp_path, a=score(8.0), b=noisier, c=score(12.0))
    result = compare(files)
    assert [entry.name for entry in result.entries] == ["b", "a", "c"]
    assert result.ranked_by == "debiased"
    assert all(each.difference > 0 for each in result.against_best)
    (note,) = result.warnings
    assert "by CMD as scored the order is a, b, c" in note
    assert marks_of(result)["cmd"] == ["best", "", ""]
    assert of_comparison(result) == "b is best, beyond chance."
    two = compare(files[:2])
    assert [entry.name for entry in two.entries] == ["b", "a"]
    assert of_comparison(two).startswith("b is better than a: ")


def test_an_order_that_is_not_what_is_tested_is_told(tmp_path: Path) -> None:
    """Of one model no debiased value is known, so all are ranked by CMD as scored."""
    noisier, bare = score(8.1, 0.1), score(12.0)
    noisier["uncertainty"]["cmd"]["debiased"] = 7.1
    bare["uncertainty"]["cmd"] |= {"debiased": None, "low": None, "high": None}
    result = compare(stored(tmp_path, a=score(8.0), b=noisier, c=bare))
    assert [entry.name for entry in result.entries] == ["a", "b", "c"]
    assert result.against_best[0].difference < 0 and result.against_best[0].p_adjusted < 0.05
    assert any(note.endswith("b would be before it") for note in result.warnings)
    assert marks_of(result)["cmd"][:2] == ["best", "unknown"]
    assert of_comparison(result) == "a has the lowest CMD; it is worse than b, debiased."


def test_fewer_images_are_ranked_without_the_excess(tmp_path: Path) -> None:
    few = score(9.0, n=1000)
    few["uncertainty"]["cmd"]["debiased"] = 6.0
    result = compare(stored(tmp_path, many=score(8.0), few=few))
    assert [entry.name for entry in result.entries] == ["few", "many"]
    assert result.ranked_by == "debiased" and "1,000 to 30,000" in result.warnings[0]
    bare = compare(stored(tmp_path, many=score(8.0), few=score(9.0, None, n=1000)))
    assert [entry.name for entry in bare.entries] == ["many", "few"]
    assert bare.against_best == () and "may mean nothing" in bare.warnings[0]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"signature": SIGNATURE.format(n=9).replace("proto:grgan", "proto:clip")}, "protocol"),
        ({"weights": "1" * 64}, "weights"),
        ({"signature": SIGNATURE.format(n=9).replace("coco2014-val", "5000")}, "real images"),
        ({"dis_rl": 80.0}, r"Dis\(r,l\): 91.0000 against 80.0000"),
    ],
)
def test_what_was_made_differently_is_refused(
    tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(InputError, match=f"were made differently.*{message}"):
        compare(stored(tmp_path, a=score(8.0), b=score(9.0, **changes)))


def test_one_network_under_two_names_is_one(tmp_path: Path) -> None:
    files = stored(tmp_path, a=score(8.0), b=score(9.0, model="my/copy"))
    assert len(compare(files).entries) == 2


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "nor any"),
        ("[" * 100_000, "nor any"),
        ("[]", "not the JSON of a score"),
        ('{"first": {}, "second": {}}', "the result of several generators"),
        (json.dumps(score(math.nan)), "cmd is nan"),
        (json.dumps({**score(8.0), "dis_fr": "1"}), "dis_fr is '1'"),
        (json.dumps({**score(8.0), "signature": 3}), "not the JSON of a score"),
    ],
)
def test_files_that_are_no_score(tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / "bad.json").write_text(content)
    files = [*stored(tmp_path, a=score(8.0)), tmp_path / "bad.json"]
    with pytest.raises(InputError, match=message) as caught:
        compare(files)
    assert "bad.json" in str(caught.value)


def test_too_few_and_absent(tmp_path: Path) -> None:
    files = stored(tmp_path, a=score(8.0))
    with pytest.raises(InputError, match="two scores or more"):
        compare(files)
    with pytest.raises(InputError, match=r"b\.json: does not exist"):
        compare([*files, tmp_path / "b.json"])


def test_names_are_told_apart(tmp_path: Path) -> None:
    (tmp_path / "x").mkdir()
    files = [*stored(tmp_path, a=score(8.0)), *stored(tmp_path / "x", a=score(9.0))]
    assert [entry.name for entry in compare(files).entries] == list(map(str, files))


def test_page(tmp_path: Path) -> None:
    attack = "</script><script>alert(1)</script>{{7*7}}\x1b\u202e"
    files = stored(tmp_path, a=score(8.0, generated=attack), b=score(9.0), c=score(7.0, None))
    text = render_compare(compare(files))
    page = Page(text)
    assert page.mistakes == [] and len(page.all("script")) == 1
    assert attack not in text and r"{{7*7}}\x1b\u202e" in text
    assert all("href" not in a or a["href"].startswith("#") for _, a in page.elements)
    # The released setting: GR-GAN's published score is drawn beside them.
    assert "GR-GAN (Table 1)" in text and "8.04" in text
    assert all(svg.get("aria-label") for svg in page.all("svg"))
    ids = [a["id"] for _, a in page.elements if "id" in a]
    assert len(ids) == len(set(ids))
    for mention in (
        "no error bar includes the generated images",
        "has the lowest CMD, 7.00 against 8.00",
    ):
        assert mention in text


def test_command(tmp_path: Path) -> None:
    stored(tmp_path, a=score(8.0), b=score(9.0, 0.2))
    command = ["cmdmetric", "compare", "a.json"]
    done = run(*command, "b.json", "--report", "c.html", "--format", "json", cwd=tmp_path)
    assert done.returncode == 0 and done.stderr == ""
    result = json.loads(done.stdout)
    assert [model["name"] for model in result["models"]] == ["a", "b"]
    assert (tmp_path / "c.html").read_text().startswith("<!doctype html>")
    table = run(*command, "b.json", cwd=tmp_path).stdout
    assert "against a, as independent samples" in table and "chance alone parts" in table
    wrong = run(*command, "d.json", cwd=tmp_path)
    assert wrong.returncode == 2 and "d.json: does not exist" in wrong.stderr
    assert wrong.stdout == "" and "Traceback" not in wrong.stderr


@pytest.mark.usefixtures("remembered_example")
def test_page_of_generators_scored_together(example: Path, tmp_path: Path) -> None:
    real = example / "real"
    done = run("cmd-score", example / "generated", real, example / "captions.json", "--real", real,
               "--model", "scenes-toy", "-q", "--report", tmp_path / "c.html")  # fmt: skip
    assert done.returncode == 0, done.stderr
    text = " ".join((tmp_path / "c.html").read_text().split())
    assert "2 models side by side" in text and "images of one caption are paired" in text
    assert Page(text).mistakes == []
    # The line of the difference in the terminal, and the short one beside the number.
    lines = [line.split()[1] for line in done.stdout.splitlines() if line.startswith("signature")]
    assert f"<code>{lines[-1]}</code>" in text and "|paired:caption|" in lines[-1]
    short = Signature.read(lines[-1]).short
    assert f"<code>{short}</code>" in text


def test_the_family_of_stored_scores(tmp_path: Path) -> None:
    def family(clipscore: float) -> dict[str, Any]:
        return {
            "clipscore": {"value": clipscore, "standard_error": 0.03},
            "is_std": {"value": 0.1, "standard_error": None},
            "precision": {"value": clipscore / 2, "standard_error": 0.001},
        }

    files = stored(
        tmp_path,
        a=score(8, metrics=family(1.0)),
        b=score(9, metrics=family(1.2)),
        c=score(10, metrics=family(1.01)),
    )
    found = compare(files)
    gaps = [each.metrics["clipscore"] for each in found.against_best]
    assert gaps[0].value == pytest.approx(0.2)
    assert gaps[0].standard_error == pytest.approx(0.03 * math.sqrt(2))
    assert gaps[0].p_value is not None and gaps[0].p_value < 1e-5
    assert gaps[0].p_adjusted == pytest.approx(2 * gaps[0].p_value)
    assert gaps[1].p_adjusted == gaps[1].p_value
    assert found.against_best[0].metrics["is_std"].p_value is None
    precision = found.against_best[0].metrics["precision"]
    assert precision.standard_error is not None, "of halves of the sets, which tell no difference"
    assert precision.p_value is None and precision.low is None
    assert found.to_dict()["models"][1]["metrics"]["clipscore"]["value"] == 1.2
    page = html.unescape(render_compare(found))
    # Of both differences, whose signatures are alike.
    for line in (found.against_best[0].signature, found.against_best[0].short_signature):
        assert page.count(f"<code>{line}</code>") == 2
    assert "1.2000 ± 0.0300 *" in page and "1.0100 ± 0.0300<" in page


def test_errors_without_the_generated_side_test_nothing(tmp_path: Path) -> None:
    """Moments alone: their error bar is of the captions' sampling, which both have in common."""
    moments = score(9.0)
    moments["uncertainty"]["sides"] = ["real", "captions"]
    found = compare(stored(tmp_path, a=score(8.0), b=moments, c=score(12.0)))
    assert [row.name for row in found.against_best] == ["c"]
    assert any("not tested against a: b." in note for note in found.warnings)
    found = compare(stored(tmp_path, a=score(10.0), b=moments, c=score(12.0)))
    assert found.against_best == () and any(
        "not tested against b: a, c" in x for x in found.warnings
    )


def test_numbers_of_images_decide_what_is_tested(tmp_path: Path) -> None:
    few = score(9.0, n=1000)
    few["uncertainty"]["cmd"] |= {"debiased": None, "low": None, "high": None}
    (row,) = compare(stored(tmp_path, a=score(8.0), b=few)).against_best
    assert row.difference == 1.0 and row.p_value is None and row.p_adjusted is None
    text = render_compare(compare([tmp_path / "a.json", tmp_path / "b.json"]))
    assert "not known: the numbers of images differ" in text and Page(text).mistakes == []
    # As many images, of fewer captions: only what is debiased or a mean over pairs compares.
    family = {x: {"value": 1.0, "standard_error": 0.1} for x in ("cmmd", "vendi", "clipscore")}
    passes = score(9.0, draws=3000, metrics=family)
    found = compare(stored(tmp_path, a=score(8.0, metrics=family), b=passes))
    assert found.ranked_by == "debiased"
    assert any("of different numbers of captions" in note for note in found.warnings)
    gaps = found.against_best[0].metrics
    assert {name for name, gap in gaps.items() if gap.p_value is not None} == {"clipscore"}
    # R@k depends on how many images have a caption.
    family = {"i2t_r1": {"value": 0.5, "standard_error": 0.1}}
    part = score(9.0, paired=10_000, metrics=family)
    found = compare(stored(tmp_path, a=score(8.0, metrics=family), b=part))
    assert found.against_best[0].metrics["i2t_r1"].p_value is None


def test_what_does_not_compare_is_not_tested(tmp_path: Path) -> None:
    family = {name: {"value": 1.0, "standard_error": 0.1} for name in ("fid", "vendi", "cmmd")}
    real = {"weights": "a", "real": "coco", "n_real": 30_000}
    scores = {
        "a": score(8, metrics=family, networks={"inception": real}),
        "b": score(9, metrics=family, networks={"inception": {**real, "n_real": 5000}}),
        "c": score(10, n=5000, metrics=family, networks={"inception": real}),
    }
    found = compare(stored(tmp_path, **scores))
    tested = {
        each.name: {name for name, gap in each.metrics.items() if gap.p_value is not None}
        for each in found.against_best
    }
    assert tested == {"b": {"vendi", "cmmd"}, "c": {"cmmd"}}
    assert any(
        "several real sides or weights of inception" in note and note.endswith(": fid")
        for note in found.warnings
    )


def test_plans(tmp_path: Path) -> None:
    (path,) = stored(tmp_path, a=score(8.0, 0.1, n=10_000))
    found = plan(path, detect=0.2, images=40_000, power=0.8)
    # (1.960 + 0.842)^2 times two variances of 100 an image, over 0.2^2.
    assert found.images == found.captions == pytest.approx(7.849 * 2 * 100 / 0.04, rel=1e-3)
    assert found.smallest[10_000] == pytest.approx(2.8016 * np.sqrt(2) * 0.1, rel=1e-3)
    assert found.smallest[40_000] == pytest.approx(found.smallest[10_000] / 2)
    with pytest.raises(InputError, match="no clipscore; there is cmd"):
        plan(path, metric="clipscore")
    (bare,) = stored(tmp_path, b=score(8.0, None))
    with pytest.raises(InputError, match="no error bar"):
        plan(bare)


def test_plans_on_the_command_line(tmp_path: Path) -> None:
    (path,) = stored(tmp_path, a=score(8.0, 0.1, n=10_000))
    command = [sys.executable, "-m", "cmdmetric", "plan", str(path)]
    done = subprocess.run([*command, "--detect", "0.2"], capture_output=True, text=True)
    assert done.returncode == 0 and "to tell 0.2: 52,5" in done.stdout
    wrong = subprocess.run([*command, "--detect", "-1"], capture_output=True, text=True)
    assert wrong.returncode == 2 and wrong.stderr.count("\n") == 1, wrong.stderr


def test_print_and_notebook() -> None:
    """What the terminal shows, not fields of a class; a name is no markup in a notebook."""
    found = compare({"<b>a": score(8.0), "b": score(9.0)})
    shown = str(found).splitlines()
    assert shown[0].startswith("model") and shown[1].startswith("<b>a") and len(str(found)) < 1500
    assert "b  +1.0000 ± 0.1414: differs" in str(found)
    assert repr(found) == "<Comparison '<b>a' 8.0000 before 1 more>"
    assert found._repr_html_().startswith("<pre>model") and "&lt;b&gt;a" in found._repr_html_()


def test_a_plan_prints_as_the_terminal_shows_it(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(json.dumps(score(8.0)))
    shown = str(plan(tmp_path / "a.json", detect=0.3)).splitlines()
    assert shown[0].endswith("two-sided test at 5 %, power 90 %")
    assert shown[1].startswith("to tell 0.3: ") and "smallest difference" in shown[3]
