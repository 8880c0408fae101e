"""A difference has a signature of its own: both scores', the pairing, the test and its seed."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

from cmdmetric import Encoder, cmd, versus
from cmdmetric.compare import compare, rank
from cmdmetric.scenes.drawing import draw_scene
from cmdmetric.scoring import encoding_of, fields_of, scored
from tests.support.commands import run
from tests.support.pictures import scenes

N = 60
PERMUTED = {"test": "permutation", "permutations": "2000", "seed": "0"}

pytestmark = pytest.mark.filterwarnings("ignore:.*too few for:UserWarning")


@pytest.fixture(scope="module")
def sides() -> tuple[np.ndarray, np.ndarray, list[str], np.ndarray]:
    """Two generators, captions, real images."""
    good, real = scenes(range(N)), scenes(range(500, 500 + N))
    texts = [draw_scene(seed).captions(1)[0] for seed in range(N)]
    return (good * 0.6).astype(np.uint8), good, texts, real


def test_of_two_generators(encoder: Encoder, sides: tuple) -> None:
    dark, good, texts, real = sides
    found = versus(dark, good, texts, real, encoder=encoder, metrics="clipscore,cmmd")
    fields = fields_of(found.difference.signature)
    first, second = (fields_of(score.signature) for score in (found.first, found.second))
    assert found.difference.signature.startswith("CMD-DIFFERENCE|")
    assert (fields["f1"], fields["f2"]) == (first["f"], second["f"])
    assert first["f"] != second["f"]
    assert fields["paired"] == "caption" and PERMUTED.items() <= fields.items()
    assert {key: fields[key] for key in ("proto", "model", "r", "l", "dtype", "tok", "v")} == {
        key: first[key] for key in ("proto", "model", "r", "l", "dtype", "tok", "v")
    }
    assert list(fields)[-1] == "v"
    short = found.difference.short_signature
    assert list(fields_of(short)) == ["proto", "model", "f1", "f2", "r", "l", "test", "v"]
    tests = sum(gap.p_value is not None for gap in (found.difference, *found.metrics.values()))
    assert tests > 2
    for name, gap in found.metrics.items():
        of = fields_of(gap.signature)
        assert gap.signature.startswith(f"{name.upper()}-DIFFERENCE|")
        assert of["holm"] == str(tests) and "debias" not in of
    assert PERMUTED.items() <= fields_of(found.metrics["clipscore"].signature).items()
    back = versus(good, dark, texts, real, encoder=encoder).difference
    assert fields_of(back.signature)["f1"] == fields["f2"]


def test_pairing_and_contents_are_in_it(encoder: Encoder, sides: tuple) -> None:
    dark, good, texts, real = sides

    def signature(*args: object) -> str:
        return str(versus(*args, encoder=encoder).difference.signature)

    paired = signature(dark, good, texts, real)
    assert signature(dark, good, texts, real) == paired
    apart = signature(dark, good, texts[:-1], real)
    assert fields_of(apart)["paired"] == "none"
    assert signature(dark, good[::-1].copy(), texts, real) != paired, "other pairs of one set"
    assert signature(dark, real, texts, real) != paired


def test_the_same_set_twice_is_tested_by_permutations(encoder: Encoder, sides: tuple) -> None:
    """The p-value is one then, as Student's would be, and the signature tells which was taken."""
    _, good, texts, real = sides
    found = versus(good, good, texts, real, encoder=encoder).difference
    assert found.p_value == 1
    assert fields_of(found.signature)["test"] == "permutation"


def test_of_a_ranking_and_of_stored_scores(encoder: Encoder, sides: tuple, tmp_path: Path) -> None:
    dark, good, texts, real = sides
    darker = (good * 0.3).astype(np.uint8)
    found = scored([dark, good, darker], texts, real, encoding_of(encoder=encoder, cache=False))
    together = rank(found).against_best
    assert len(together) == 2
    both = versus(dark, good, texts, real, encoder=encoder).difference
    mine = [fields_of(each.signature) for each in together]
    assert {**fields_of(both.signature), "holm": "2"} in mine
    stored = compare({"a": found[0].score, "b": found[1].score, "c": found[2].score})
    for each in stored.against_best:
        fields = fields_of(each.signature)
        # Of so few images nothing is told without the excess, and a difference is not tested.
        assert fields["test"] == (each.test or "none") and fields["paired"] == "none"
        assert "seed" not in fields and "permutations" not in fields


def test_metrics_of_stored_scores(encoder: Encoder, sides: tuple) -> None:
    dark, good, texts, real = sides
    scores = {
        name: cmd(of, texts, real, encoder=encoder, metrics="clipscore")
        for name, of in (("dark", dark), ("good", good))
    }
    (against,) = compare(scores).against_best
    line = against.metrics["clipscore"].signature
    assert line.startswith("CLIPSCORE-DIFFERENCE|") and fields_of(line)["test"] == "student"
    (old,) = compare(
        {
            name: {
                **(content := json.loads(json.dumps(score.to_dict()))),
                "metrics": {
                    key: {k: v for k, v in value.items() if "signature" not in k}
                    for key, value in content["metrics"].items()
                },
            }
            for name, score in scores.items()
        }
    ).against_best
    assert old.metrics["clipscore"].signature is None, "scores of old versions have none"
    assert dataclasses.replace(old.metrics["clipscore"]).value == against.metrics["clipscore"].value


@pytest.mark.usefixtures("remembered_example")
@pytest.mark.slow
def test_on_the_command_line(example: Path, tmp_path: Path) -> None:
    call = ["cmd-score", example / "generated", example / "captions.json", "--model", "scenes-toy",
            "--versus", example / "real", "-q"]  # fmt: skip
    output = tmp_path / "versus.json"
    long, short = run(*call, "-o", output), run(*call, "--short")
    difference = json.loads(output.read_text())["difference"]
    assert f"signature  {difference['signature']}\n" in long.stdout
    assert f"signature  {difference['short_signature']}\n" in short.stdout
    files = [tmp_path / "a.json", tmp_path / "b.json"]
    for file, side in zip(files, ("first", "second"), strict=True):
        file.write_text(json.dumps(json.loads(output.read_text())[side]))
    for option in ("signature", "short_signature"):
        more = ["--short"] if option == "short_signature" else []
        printed = run("cmdmetric", "compare", *files, *more).stdout
        content = json.loads(run("cmdmetric", "compare", *files, "--format", "json").stdout)
        assert f"signature  {content['against_best'][0][option]}\n" in printed
