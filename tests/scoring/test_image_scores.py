"""Numbers of single images that others have computed, beside a score's own."""

from __future__ import annotations

import json
import warnings
from pathlib import Path

import jsonschema
import numpy as np
import pandas
import pytest
from referencing import Registry, Resource

from cmdmetric import InputError, cmd
from cmdmetric.compare import compare, versus
from cmdmetric.inputs import read_image_scores
from cmdmetric.scoring import CMDScore, fields_of
from tests.conftest import ROOT
from tests.support.commands import run

pytestmark = pytest.mark.usefixtures("remembered_example")
SCHEMAS = {
    name: json.loads((ROOT / "cmdmetric" / path).read_text(encoding="utf-8"))
    for name, path in (
        ("score", "scoring/score.schema.json"),
        ("ranking", "compare/ranking.schema.json"),
    )
}
VALIDATOR = jsonschema.Draft202012Validator(
    SCHEMAS["ranking"],
    registry=Registry().with_resource(
        "score.schema.json", Resource.from_contents(SCHEMAS["score"])
    ),
)


@pytest.fixture(scope="module")
def values(example: Path) -> dict[str, float]:
    """A number for each generated image of the example."""
    names = sorted(path.name for path in (example / "generated").iterdir())
    rng = np.random.default_rng(0)
    return {name: float(value) for name, value in zip(names, rng.random(len(names)), strict=True)}


@pytest.fixture(scope="module")
def tables(values: dict[str, float], tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Two tables of two numbers, in other orders, and by stems: the second is better by 0.05."""
    folder = tmp_path_factory.mktemp("scores")
    rows = [f"{name},{i},a caption,{v},{-v}" for i, (name, v) in enumerate(values.items())]
    head = "file_name,image_id,caption,VQA Score,lpips"
    (folder / "one.csv").write_text("\n".join([head, *rows[::-1]]) + "\n")
    frame = pandas.DataFrame(
        {
            "image": [Path(name).stem for name in values],
            "vqa_score": [v + 0.05 for v in values.values()],
            "lpips": [-v for v in values.values()],
        }
    )
    frame.to_parquet(folder / "two.parquet")
    return folder / "one.csv", folder / "two.parquet"


def scored(example: Path, **more: object) -> CMDScore:
    return cmd(
        example / "generated", example / "captions.json", example / "real",
        model="scenes-toy", progress=False, **more,
    )  # fmt: skip


def test_means_have_the_error_bar_of_a_mean(
    example: Path, values: dict[str, float], tables: tuple[Path, Path], tmp_path: Path
) -> None:
    score = scored(example, scores=tables[0], score_columns="VQA Score=higher,lpips=lower")
    own = np.array(list(values.values()))
    found = score.metrics["vqa_score"]
    assert found.value == pytest.approx(own.mean())
    assert found.standard_error == pytest.approx(own.std(ddof=1) / np.sqrt(len(own)), rel=1e-6)
    assert (found.better, score.metrics["lpips"].better) == ("higher", "lower")
    assert set(score.metrics) == {"vqa_score", "lpips"}
    fields = fields_of(score.signatures["vqa_score"])
    assert fields["model"].startswith("given@") and fields["proto"] == "none"
    assert fields["model"] != fields_of(score.signatures["lpips"])["model"]
    score.save(tmp_path / "score.json")
    content = json.loads((tmp_path / "score.json").read_text())
    jsonschema.validate(content, SCHEMAS["score"])
    assert CMDScore.load(tmp_path / "score.json").metrics == score.metrics
    # In any order, under any form of the names, from any kind of table.
    frame = pandas.DataFrame({"image": list(values)[::-1], "vqa_score": own[::-1]})
    for source in (
        frame,
        {name: {"vqa_score": value} for name, value in values.items()},
        [{"name": name, "vqa_score": value} for name, value in values.items()],
    ):
        again = scored(example, scores=source)
        assert again.metrics["vqa_score"].value == pytest.approx(own.mean())
        assert again.signatures["vqa_score"] == score.signatures["vqa_score"]
    unnamed = scored(example, scores=values).metrics["score"]
    assert unnamed.better is None
    assert "which way is better was not said" in "\n".join(
        line for line in _family_lines(scored(example, scores=values))
    )


def _family_lines(score: CMDScore) -> list[str]:
    from cmdmetric.scoring import family_lines

    return family_lines(score.table)


def test_slices_the_gate_the_report_and_other_scores(
    example: Path, values: dict[str, float], tables: tuple[Path, Path], tmp_path: Path
) -> None:
    (tmp_path / "labels.csv").write_text(
        "id,label\n" + "".join(f"{name},{'ab'[i % 2]}\n" for i, name in enumerate(values))
    )
    call = ("cmd-score", example / "generated", example / "captions.json", "--model", "scenes-toy",
            "--score-columns", "vqa_score=higher", "-q")  # fmt: skip
    done = run(*call, "--scores", tables[0], "--by", tmp_path / "labels.csv", "-o",
               tmp_path / "one.json", "--report", tmp_path / "page.html",
               "--check", "vqa_score>=0.9")  # fmt: skip
    assert done.returncode == 1 and "vqa_score" in done.stderr, done.stderr
    content = json.loads((tmp_path / "one.json").read_text())
    own = np.array(list(values.values()))
    by = {each["label"]: each["metrics"]["vqa_score"] for each in content["slices"]["slices"]}
    assert by["a"]["value"] == pytest.approx(own[::2].mean())
    assert by["b"]["value"] == pytest.approx(own[1::2].mean())
    assert by["a"]["low"] < by["a"]["value"] < by["a"]["high"]
    assert "vqa score&nbsp;↑" in (tmp_path / "page.html").read_text()
    done = run(*call, "--scores", tables[1], "-o", tmp_path / "two.json")
    assert done.returncode == 0, done.stderr
    found = compare([tmp_path / "one.json", tmp_path / "two.json"])
    (against,) = found.against_best
    assert abs(against.metrics["vqa_score"].value) == pytest.approx(0.05)
    assert found.entries[0].metrics["vqa_score"].better == "higher"
    VALIDATOR.validate(json.loads(json.dumps(found.to_dict())))


def test_two_generators_are_paired(example: Path, tables: tuple[Path, Path]) -> None:
    generated = example / "generated"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # a set held against itself is told of
        both = versus(
            generated, generated, example / "captions.json", example / "real",
            model="scenes-toy", progress=False, scores=tables, score_columns="vqa_score=higher",
        )  # fmt: skip
    gap = both.metrics["vqa_score"]
    # Every image of the second is better by the same: paired, nothing of the spread is left.
    assert gap.value == pytest.approx(-0.05)
    assert gap.standard_error == pytest.approx(0.0, abs=1e-9)
    assert gap.p_value is not None and gap.p_value < 1e-3
    with pytest.raises(InputError, match="scores were given of 1 generators, and 2 are scored"):
        versus(
            generated, generated, example / "captions.json", example / "real",
            model="scenes-toy", progress=False, scores=tables[:1],
        )  # fmt: skip


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda v: {**v, "other.png": 1.0}, r"1 rows name no image \(such as 'other.png'\)"),
        (lambda v: dict(list(v.items())[2:]), r"2 images have no row \(such as"),
        (lambda v: [{"image": n, "x": x} for n, x in [*v.items(), *list(v.items())[:1]]],
         r"1 images have several rows"),
        (lambda v: {**v, next(iter(v)): float("nan")}, r"1 of 400 cells of 'score' hold no finite"),
        (lambda v: {n: {"fid": x} for n, x in v.items()}, r"'fid' has the name of a number"),
        (lambda v: {n: {"note": "x"} for n in v}, r"no column holds numbers"),
        (lambda v: [{"x": x} for x in v.values()], r"no column names the images"),
        (lambda v: {}, r"it holds no row"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_counted(
    example: Path, values: dict[str, float], change: object, message: str
) -> None:
    with pytest.raises(InputError, match=message):
        scored(example, scores=change(values))  # type: ignore[operator]


def test_directions_and_columns_are_checked(example: Path, values: dict[str, float]) -> None:
    with pytest.raises(InputError, match="it is lower or higher, as in score=higher"):
        scored(example, scores=values, score_columns="score=up")
    with pytest.raises(InputError, match="no column 'hps'; there is image, score"):
        scored(example, scores=values, score_columns="hps=higher")
    with pytest.raises(InputError, match="no scores were given"):
        scored(example, score_columns="hps=higher")


def test_files_are_refused_in_a_line(tmp_path: Path) -> None:
    cases = {
        "a.csv": ("image,x\na.png,1\nb.png\n", "1 of 3 lines have another number of cells"),
        "b.csv": ("image,x,x\na.png,1,2\n", "several columns have one name"),
        "c.json": ("{", "broken JSON"),
        "d.csv": ('image,x\n"a.png,1\n', "broken quoting"),
        "e.csv": ("image,x\na.png,1\nb.png,2\nc.png,n/a\n", r"1 of 3 cells of 'x' hold no finite"),
        "f.txt": ("a.png 1\n", "scores of images are read from"),
        "g.csv": ("image,HPS 2,hps-2\na.png,1,2\n", "several columns are called hps_2"),
    }
    for name, (text, message) in cases.items():
        (tmp_path / name).write_text(text)
        with pytest.raises(InputError, match=message):
            read_image_scores(tmp_path / name)
    (tmp_path / "semi.csv").write_text("image;x\na.png;1\nb.png;2.5\n")
    found = read_image_scores(tmp_path / "semi.csv")
    assert found.images == ("a.png", "b.png") and found.values["x"].tolist() == [1.0, 2.5]
    with pytest.raises(InputError, match="does not exist"):
        read_image_scores(tmp_path / "absent.csv")
