"""Why two scores differ: in words from their files, and step by step with the images at hand."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from cmdmetric import CMDScore, cmd
from cmdmetric.compare import AtHand, Explanation, explain
from cmdmetric.compare.explanation import NUMBERS
from cmdmetric.errors import InputError
from tests.compare.test_stored_scores import SIGNATURE, score
from tests.conftest import ROOT
from tests.support.commands import run

#: Sixty images are quickly encoded, and few for as many dimensions as an encoder may have.
pytestmark = pytest.mark.filterwarnings("ignore:.* are too few")


def adds_up(found: Explanation) -> None:
    """The steps are the gap, number by number."""
    for name in NUMBERS:
        total = sum(getattr(step, name) for step in found.steps)
        # Sums of a dozen differences of float64 numbers below 100.
        assert total == pytest.approx(found.gap[name], abs=1e-9)
        assert found.gap[name] == found.second[name] - found.first[name]


@pytest.fixture(scope="module")
def sets(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Sixty images of the example, thirty of these, thirty others, and other real images."""
    example = Path(__file__).resolve().parents[2] / "examples"
    folder = tmp_path_factory.mktemp("sets")
    content = json.loads((example / "captions.json").read_text())
    names = sorted(path.name for path in (example / "generated").iterdir())
    found = {"captions": folder / "captions.json"}
    shutil.copy(example / "captions.json", found["captions"])
    assert content
    for key, source, chosen in (
        ("many", "generated", names[:60]),
        ("few", "generated", names[60:90]),
        ("real", "real", names[:70]),
        ("other_real", "real", names[70:140]),
    ):
        found[key] = folder / key
        found[key].mkdir()
        for name in chosen:
            shutil.copy(example / source / name, found[key])
    return found


@pytest.fixture(scope="module")
def cache(seen_example: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return shutil.copytree(seen_example / "features", tmp_path_factory.mktemp("seen") / "cache")


def scored(sets: dict[str, Path], cache: Path, images: str, real: str, **more: Any) -> CMDScore:
    return cmd(
        sets[images], sets["captions"], sets[real], model="scenes-toy", cache=cache,
        progress=False, **more,
    )  # fmt: skip


def test_every_difference_is_said_in_words() -> None:
    first = score(8.0)
    other = SIGNATURE.format(n=900).replace("proto:grgan", "proto:clip").replace("|v:1", "|v:2")
    second = score(9.0, signature=other.replace("dtype:fp32", "dtype:bf16"))
    found = explain(first, second)
    fields = {each.field: (each.first, each.second) for each in found.differences}
    assert fields["dtype"] == ("fp32", "bf16") and fields["v"] == ("1", "2")
    assert fields["f"] == ("30000", "900") and fields["proto.resize"] == ("squash", "crop")
    assert all(len(each.meaning) > 20 for each in found.differences)
    assert found.gap == {"cmd": 1.0, "itdis": 0.0, "dis_fr": 1.0} and found.steps == ()
    assert found.excess == pytest.approx(0.0) and found.unchanged == ()
    assert explain(first, first).differences == ()
    own = score(9.0, signature=SIGNATURE.format(n=9).replace("proto:grgan", "proto:mine@0123"))
    assert {each.field for each in explain(first, own).differences} == {"proto", "f"}


def test_one_thing_at_a_time(sets: dict[str, Path], cache: Path) -> None:
    a = scored(sets, cache, "many", "real")
    b = scored(sets, cache, "few", "other_real", protocol="clip", dtype="bf16")
    found = explain(
        a,
        b,
        AtHand(sets["many"], sets["captions"], sets["real"]),
        AtHand(sets["few"], real=sets["other_real"]),
        cache=cache,
        progress=False,
    )
    changed = [step.change for step in found.steps]
    # Of two numbers that were computed alone: the step of the reference, under clip and bf16.
    before = scored(sets, cache, "many", "real", protocol="clip", dtype="bf16")
    after = scored(sets, cache, "many", "other_real", protocol="clip", dtype="bf16")
    adds_up(found)
    words = ["computed here", "rgb", "resize", "interpolation", "normalise", "captions",
             "image_scale", "arithmetic", "real images", "number of generated", "which generated",
             "what is left"]  # fmt: skip
    assert len(changed) == len(words)
    assert all(word in change for word, change in zip(words, changed, strict=True))
    # Both scores come out again, so that nothing is left at either end.
    for step in (found.steps[0], found.steps[-1]):
        # Encoded in the same order from the same files: the same numbers to float64's rounding.
        assert step.cmd == pytest.approx(0.0, abs=1e-9 * a.dis_rl)
    (reference,) = [step for step in found.steps if "real images" in step.change]
    assert reference.cmd == pytest.approx(after.cmd - before.cmd, abs=1e-9 * a.dis_rl)
    # A third as many images raise CMD by their excess.
    (number,) = [step for step in found.steps if "number of generated" in step.change]
    assert number.dis_fr > 0 and "60 to 30" in number.change
    assert found.unchanged == ()


def test_another_encoder(sets: dict[str, Path], cache: Path, tiny_clip: Path) -> None:
    a = scored(sets, cache, "many", "real")
    b = cmd(sets["many"], sets["captions"], sets["real"], model=tiny_clip, cache=cache,
            progress=False)  # fmt: skip
    images = AtHand(sets["many"], sets["captions"], sets["real"])
    found = explain(a, b, images, AtHand(model=tiny_clip), cache=cache, progress=False)
    adds_up(found)
    (model,) = [each for each in found.differences if each.field == "model"]
    assert (model.first.partition("@")[0], model.second.partition("@")[0]) == (
        "scenes-toy", "tiny-clip"
    )  # fmt: skip
    (step,) = [each for each in found.steps if "encoder" in each.change]
    assert "scenes-toy to tiny-clip" in step.change
    # All of it is the encoder's: both scores come out again.
    assert step.cmd == pytest.approx(found.gap["cmd"], abs=1e-9 * max(a.dis_rl, b.dis_rl))


def test_it_is_as_its_schema_says(sets: dict[str, Path], cache: Path) -> None:
    schema = json.loads((ROOT / "cmdmetric/compare/explanation.schema.json").read_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    a, b = scored(sets, cache, "few", "real"), scored(sets, cache, "many", "real")
    images = AtHand(sets["few"], sets["captions"], sets["real"])
    for found in (explain(a, b), explain(a, b, images, cache=cache, progress=False)):
        jsonschema.validate(json.loads(json.dumps(found.to_dict())), schema)
    wrong = {**json.loads(json.dumps(found.to_dict())), "more": 1}
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(wrong, schema)


def test_what_is_not_at_hand_is_said_so(sets: dict[str, Path], cache: Path) -> None:
    a = scored(sets, cache, "few", "real")
    b = scored(sets, cache, "many", "other_real")
    found = explain(
        a, b, AtHand(sets["few"], sets["captions"], sets["real"]), cache=cache, progress=False
    )
    adds_up(found)
    assert [step.change for step in found.steps] == [
        "the first score, computed here", "what is left to the second score",
    ]  # fmt: skip
    told = "\n".join(found.unchanged)
    assert "--real-b" in told and "--generated-b" in told and "(r)" in told and "(f)" in told


def test_other_images_than_the_scores_are_noticed(sets: dict[str, Path], cache: Path) -> None:
    a = scored(sets, cache, "many", "real")
    found = explain(
        a, a, AtHand(sets["few"], sets["captions"], sets["real"]), cache=cache, progress=False
    )
    adds_up(found)
    assert abs(found.steps[0].cmd) > 1e-6
    assert any("(f)" in each and "first score" in each for each in found.unchanged)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"signature": SIGNATURE.format(n=9).replace("proto:grgan", "proto:x@1")}, "--protocol"),
        ({"model": "my-folder"}, "--model"),
        ({"model": None}, "--model"),
    ],
)
def test_what_is_no_name_has_to_be_given(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        explain(score(8.0, **changes), score(9.0), AtHand("nowhere", "captions.json"))


def test_command(sets: dict[str, Path], cache: Path, tmp_path: Path) -> None:
    scored(sets, cache, "many", "real").save(tmp_path / "a.json")
    scored(sets, cache, "many", "other_real").save(tmp_path / "b.json")
    files = (tmp_path / "a.json", tmp_path / "b.json")
    done = run(
        "cmdmetric", "explain", *files, "--generated", sets["many"], "--captions",
        sets["captions"], "--real", sets["real"], "--real-b", sets["other_real"], "-q",
        "--cache-dir", cache, "-o", tmp_path / "why.json",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    content = json.loads((tmp_path / "why.json").read_text())
    step = next(step for step in content["steps"] if "real images" in step["change"])
    assert f"{step['cmd']:+.4f}" in done.stdout and "all of it" in done.stdout
    words = run("cmdmetric", "explain", *files, "--format", "json")
    assert words.returncode == 0 and json.loads(words.stdout)["steps"] == []
    absent = run("cmdmetric", "explain", files[0], tmp_path / "none.json")
    assert absent.returncode == 2 and "does not exist" in absent.stderr
    assert "Traceback" not in absent.stderr


def test_what_would_not_be_used_is_refused(tmp_path: Path) -> None:
    a, b = score(8.0), score(9.0)
    for first, second, told in (
        (AtHand(captions="c.json", real="photos"), None, "--captions, --real without"),
        (None, AtHand("samples"), "--generated-b without"),
        (AtHand(weights="w.pt"), AtHand(model="m"), "--weights, --model-b without"),
    ):
        with pytest.raises(InputError, match=told):
            explain(a, b, first, second)
    assert explain(a, b, AtHand(protocol="clip")).steps == ()
    for name, content in (("a", a), ("b", b)):
        (tmp_path / f"{name}.json").write_text(json.dumps(content))
    files = tmp_path / "a.json", tmp_path / "b.json"
    done = run("cmdmetric", "explain", *files, "--generated-b", tmp_path)
    assert done.returncode == 2 and "--generated-b without" in done.stderr
