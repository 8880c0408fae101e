"""A score and its pack: what follows from it, what does not, and packs that are no packs."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest

from cmdmetric import CMDScore, InputError, cmd
from cmdmetric.encoders.catalogue import IMAGE_NETWORKS
from cmdmetric.encoders.clip import Encoder
from cmdmetric.scenes import draw_scene
from cmdmetric.scoring import METRICS, Verification, verify
from cmdmetric.scoring.family.catalogue import METRIC_OF
from cmdmetric.scoring.family.metric import Metric
from cmdmetric.scoring.stored.pack import Pack
from tests.conftest import ROOT
from tests.scoring.test_networks import Colours, colour_distance
from tests.support.commands import run

N = 120
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")


@pytest.fixture(scope="module")
def made(encoder: Encoder, tmp_path_factory: pytest.TempPathFactory) -> tuple[CMDScore, Path]:
    """A score with pairs, a second network, numbers of others, a caption without a word."""
    folder = tmp_path_factory.mktemp("packed")
    for side, first in (("f", 0), ("r", 500)):
        (folder / side).mkdir()
        for i in range(N):
            draw_scene(first + i).render(64).save(folder / side / f"{i:03}.png")
    rows = [{"file_name": f"{i:03}.png", "caption": draw_scene(i).captions(1)[0]} for i in range(N)]
    rows.insert(7, {"file_name": "003.png", "caption": "..."})
    scores = {f"{i:03}.png": i / N for i in range(N)}
    metric = Metric("fd_colours", {"fd_colours": "lower"}, colour_distance, network="colours")
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(IMAGE_NETWORKS, "colours", Colours)
        patch.setitem(METRICS, metric.name, metric)
        patch.setitem(METRIC_OF, metric.name, metric)
        score = cmd(
            folder / "f", rows, folder / "r", encoder=encoder, scores=scores,
            metrics="clipscore,r_precision,fjd,cmmd,prdc,vendi,fd_colours", score_columns="score",
            by="caption-length", train=[draw_scene(i).render(64) for i in range(900, 960)],
            pack=folder / "pack.npz",
        )  # fmt: skip
        assert {"fd_colours", "score"} <= score.metrics.keys()
        score.save(folder / "score.json")
    return score, folder


@pytest.fixture
def colours(monkeypatch: pytest.MonkeyPatch) -> None:
    metric = Metric("fd_colours", {"fd_colours": "lower"}, colour_distance, network="colours")
    monkeypatch.setitem(METRIC_OF, metric.name, metric)


@pytest.mark.usefixtures("colours")
def test_a_score_follows_from_its_pack(made: tuple[CMDScore, Path]) -> None:
    score, folder = made
    found = verify(score, folder / "pack.npz")
    assert found.holds and found.signature == () and found.pack == ()
    assert found.notes == (
        "the copies are not looked for again: training images are not in a pack",
    )
    names = {row.name for row in found.rows}
    assert {"cmd", "dis_rl", "cmd standard error", "fjd", "score", "fd_colours"} <= names
    # It is computed here, on the same machine: what differs is the order of sums.
    assert all(row.found == pytest.approx(row.told, rel=1e-9, abs=1e-9) for row in found.rows)
    assert verify(folder / "score.json", folder / "pack.npz").holds


def changed(score: CMDScore, change: Callable[[dict[str, Any]], None]) -> dict[str, Any]:
    content = json.loads(json.dumps(score.to_dict()))
    change(content)
    return content


@pytest.mark.usefixtures("colours")
@pytest.mark.parametrize(
    ("change", "wrong"),
    [
        (lambda x: x.update(cmd=x["cmd"] * 0.999), "cmd"),
        (lambda x: x.update(dis_rl=x["dis_rl"] + 1e-4), "dis_rl"),
        (lambda x: x["metrics"]["vendi"].update(value=x["metrics"]["vendi"]["value"] + 0.01),
         "vendi"),
        (lambda x: x["metrics"]["score"].update(standard_error=0.001), "score standard error"),
        (lambda x: x["uncertainty"]["cmd"].update(standard_error=1e-3), "cmd standard error"),
        (lambda x: x["metrics"].update(nicest={"value": 1.0}), "nicest"),
    ],
)  # fmt: skip
def test_what_was_changed_is_found(
    made: tuple[CMDScore, Path], change: Callable[[dict[str, Any]], None], wrong: str
) -> None:
    found = verify(changed(made[0], change), made[1] / "pack.npz")
    assert [row.name for row in found.rows if not row.agrees] == [wrong]
    assert not found.holds


@pytest.mark.usefixtures("colours")
def test_signatures_are_held_against_it_too(made: tuple[CMDScore, Path]) -> None:
    score, folder = made
    other = changed(score, lambda x: x.update(signature=x["signature"].replace("f:120", "f:30000")))
    found = verify(other, folder / "pack.npz")
    (name, field, told, again) = found.signature[0]
    assert (name, field) == ("cmd", "f") and told.startswith("30000@") and again.startswith("120@")
    assert not found.holds
    text = json.dumps(score.to_dict()).replace("|v:", "|v:0")
    older = json.loads(text)
    older.pop("draws")
    found = verify(older, folder / "pack.npz")
    assert found.holds and "whose numbers may differ" in found.notes[0]
    assert found.notes[-1] == "an older release's score does not tell draws"
    twice = changed(score, lambda x: x.update(signature=x["signature"] + "|f:120"))
    assert [each[:2] for each in verify(twice, folder / "pack.npz").signature] == [("cmd", "f")]
    named = changed(score, lambda x: x.update(signature=x["signature"].replace("CMD", "BEST")))
    assert [each[:2] for each in verify(named, folder / "pack.npz").signature] == [("cmd", "form")]


def leaves(value: Any, *at: Any) -> Iterator[tuple[Any, ...]]:
    """Where each field stands that is neither an object nor a list."""
    inner = value.items() if isinstance(value, dict) else enumerate(value)
    for key, each in inner:
        if isinstance(each, (dict, list)):
            yield from leaves(each, *at, key)
        else:
            yield (*at, key)


def another(value: Any, key: Any) -> Any:
    """Another value of a field, of a type that it may have."""
    if key == "better":
        return "higher" if value == "lower" else "lower"
    if isinstance(value, bool):
        return not value
    if key == "signature":
        return value.replace("|l:", "|l:9")
    if value is None:
        return {"network": "x", "withheld": "x", "cmd": {"value": 0.5}}.get(key, 0.5)
    return value + "x" if isinstance(value, str) else value * 1.05 + 1


@pytest.mark.usefixtures("colours")
def test_every_field_is_held_against_it(made: tuple[CMDScore, Path]) -> None:
    score, folder = made
    content = json.loads(json.dumps(score.to_dict()))
    # Those of copies are not looked at, and another schema is another form.
    fields = [at for at in leaves(content) if at[0] not in ("memorisation", "schema")]
    for at in fields:
        within = content
        for key in at[:-1]:
            within = within[key]
        if not (at[-1] == "network" and within["network"]):
            within[at[-1]] = another(within[at[-1]], at[-1])
    found = verify(content, folder / "pack.npz")
    agreeing = {row.name for row in (*found.rows, *found.fields) if row.agrees}
    assert agreeing == {"schema", "fd_colours network"}
    assert len(found.rows) > 150 and len(found.fields) > 60


@pytest.mark.usefixtures("colours")
@pytest.mark.parametrize(
    ("change", "wrong"),
    [
        (lambda x: x.update(n=30000, draws=30000), {"n", "draws"}),
        (lambda x: x.update(n_real=30000, n_captions=30000), {"n_real", "n_captions"}),
        (lambda x: x.update(paired=30000, generated="best"), {"paired", "generated"}),
        (lambda x: x.update(model="ViT-L-14/openai", weights="0" * 64), {"model", "weights"}),
        (lambda x: x.update(short_signature="CMD|f:30000"), {"short_signature"}),
        (lambda x: x["uncertainty"]["cmd"].update(low=5.7, high=5.8), {"cmd low", "cmd high"}),
        (lambda x: x["metrics"]["fjd"].update(better="higher", low=0.1), {"fjd better", "fjd low"}),
        (lambda x: x["metrics"]["fjd"].update(p_value=0.01), {"fjd p_value"}),
        (lambda x: x["networks"]["colours"].update(weights="f" * 64), {"networks colours weights"}),
        (lambda x: x["slices"]["slices"][0].update(label="all"), {"slices slices 0 label"}),
        (lambda x: x.update(slices=None), {"slices"}),
        (lambda x: x.pop("uncertainty"), {"uncertainty"}),
        (lambda x: x.pop("memorisation"), {"memorisation"}),
        (lambda x: x["metrics"].pop("vendi"), {"vendi"}),
        (lambda x: x["metrics"].pop("fd_colours"), {"fd_colours"}),
        (lambda x: x["metrics"].pop("score"), {"score"}),
        (lambda x: x.update(warnings=x["warnings"][1:]), {"warnings"}),
        (lambda x: x.update(best_of=100), {"best_of"}),
    ],
)  # fmt: skip
def test_what_is_forged_or_left_out_is_found(
    made: tuple[CMDScore, Path], change: Callable[[dict[str, Any]], None], wrong: set[str]
) -> None:
    found = verify(changed(made[0], change), made[1] / "pack.npz")
    assert {row.name for row in (*found.rows, *found.fields) if not row.agrees} == wrong
    assert not found.holds


@pytest.mark.usefixtures("colours")
def test_a_pack_that_was_altered(made: tuple[CMDScore, Path], tmp_path: Path) -> None:
    score, folder = made
    with np.load(folder / "pack.npz") as arrays:
        content = dict(arrays)

    def of(**changes: Any) -> Verification:
        made_of = {k: v for k, v in {**content, **changes}.items() if v is not None}
        np.savez(tmp_path / "other.npz", **made_of)
        return verify(score, tmp_path / "other.npz")

    # None of these moves a number that is printed.
    for key in ("f/looks", "r/looks", "f/mu"):
        found = of(**{key: content[key] + content[key].dtype.type(1)})
        assert found.pack == (f"{key} is not what was written",) and not found.holds
        assert all(row.agrees for row in (*found.rows, *found.fields))
    found = of(**{"networks/colours/contents": content["r/contents"][::-1] // 2})
    assert found.pack == ("networks/colours/contents is not what was written",)
    assert [row.name for row in found.fields if not row.agrees] == ["networks colours contents"]
    assert of(more=np.zeros(3)).pack == ("more is not what was written",)
    assert of(sums=None).pack == ("the digests of its arrays are gone",)
    told = json.loads(content["told"].tobytes())
    told["sides"]["l"]["texts"][0][3] += " indeed"
    found = of(told=np.frombuffer(json.dumps(told).encode(), np.uint8))
    assert "the captions are not those of their digests" in found.pack and not found.holds


@pytest.mark.usefixtures("colours")
def test_packs_of_earlier_releases(made: tuple[CMDScore, Path], tmp_path: Path) -> None:
    score, folder = made
    with np.load(folder / "pack.npz") as arrays:
        content = dict(arrays)
    del content["sums"]
    told = json.loads(content["told"].tobytes())
    del told["asked"]
    told["sides"]["l"]["texts"] = told["sides"]["l"]["texts"][:3]
    content["told"] = np.frombuffer(json.dumps(told).encode(), np.uint8)
    np.savez(tmp_path / "old.npz", **content)
    found = verify(score, tmp_path / "old.npz")
    assert found.holds
    for what in ("no digests", "the slices", "the warnings", "the copies"):
        assert any(what in note for note in found.notes)
    assert not verify(changed(score, lambda x: x.update(n=30000)), tmp_path / "old.npz").holds


def test_a_pack_of_other_images(made: tuple[CMDScore, Path], tmp_path: Path) -> None:
    score, folder = made
    with np.load(folder / "pack.npz") as arrays:
        content = dict(arrays)
    # Its moments stay as they were: they count for nothing beside features.
    content["f/features"] = content["f/features"] * np.float32(1.01)
    np.savez(tmp_path / "other.npz", **content)
    found = verify(score, tmp_path / "other.npz")
    assert "cmd" in {row.name for row in found.rows if not row.agrees}


def test_reading_gives_back_what_was_written(made: tuple[CMDScore, Path], tmp_path: Path) -> None:
    pack = Pack.read(made[1] / "pack.npz")
    pack.write(tmp_path / "again.npz")
    with np.load(made[1] / "pack.npz") as one, np.load(tmp_path / "again.npz") as two:
        assert set(one) == set(two)
        for key in one:
            if key != "told":
                np.testing.assert_array_equal(one[key], two[key])
        first, second = (json.loads(x["told"].tobytes()) for x in (one, two))
    assert first == second
    assert len(pack.l.texts or ()) == N + 1 and len(pack.l.kept) == N
    assert pack.l.texts is not None and 7 not in pack.l.kept


def test_packs_that_are_refused(made: tuple[CMDScore, Path], tmp_path: Path) -> None:
    score, folder = made
    with np.load(folder / "pack.npz") as arrays:
        content = dict(arrays)

    def refused(message: str, **changes: Any) -> None:
        path = tmp_path / "p.npz"
        np.savez(path, **{k: v for k, v in {**content, **changes}.items() if v is not None})
        with pytest.raises(InputError, match=message) as error:
            verify(score, path)
        assert "p.npz" in str(error.value) and len(str(error.value)) < 500

    told = json.loads(content["told"].tobytes())

    def record(**changes: Any) -> Any:
        return np.frombuffer(json.dumps({**told, **changes}).encode(), np.uint8)

    def of_l(**changes: Any) -> Any:
        sides = {**told["sides"], "l": {**told["sides"]["l"], **changes}}
        return record(sides=sides)

    refused("no pack of a score", told=None)
    refused("record is damaged", told=np.zeros((2, 2), np.uint8))
    refused("not a readable", told=np.frombuffer(b"{", np.uint8))
    refused("not a readable", told=np.frombuffer(b"[" * 100_000, np.uint8))
    refused("update it", told=record(form=99))
    refused("not a readable", told=record(sides={}))
    refused("not as many", told=of_l(kept=[0, 1]))
    refused("not as many", told=of_l(kept=[*range(N - 1), 0]))
    refused("does not have", told=of_l(kept=[*range(N - 1), 5000]))
    refused("none: it is damaged", told=of_l(kept=["0"] * N))
    refused("no text", told=of_l(texts=[[1] * (N + 1), [None] * (N + 1), "x"]))
    key = "networks/colours/f"
    refused("damaged", **{key: content[key][:5]})
    refused("damaged", **{key: np.full_like(content[key], np.nan)})
    refused("damaged|readable", **{key: content[key].astype(object)})
    refused("finite", **{"f/features": np.full_like(content["f/features"], np.nan)})
    np.savez_compressed(tmp_path / "small.npz", **content)
    with pytest.raises(InputError, match="is compressed: a pack never is"):
        verify(score, tmp_path / "small.npz")
    (tmp_path / "junk.npz").write_bytes(b"junk")
    with pytest.raises(InputError, match=r"junk.npz: not a readable pack"):
        verify(score, tmp_path / "junk.npz")
    with zipfile.ZipFile(tmp_path / "twice.npz", "w") as archive, pytest.warns(UserWarning):
        for _ in range(2):
            archive.writestr("told.npy", b"x")
    with pytest.raises(InputError, match="two arrays of one name"):
        verify(score, tmp_path / "twice.npz")
    with pytest.raises(InputError, match="no such file"):
        verify(score, tmp_path / "none.npz")
    with pytest.raises(InputError, match=r"let its name end in .npz"):
        cmd("f", "l", "r", pack=tmp_path / "pack.zip")


@pytest.mark.usefixtures("remembered_example")
def test_commands(example: Path, tmp_path: Path) -> None:
    done = run(
        "cmd-score", example / "generated", example / "captions.json", "--model", "scenes-toy",
        "--metrics", "clipscore,vendi", "--worst", "3", "--cite", "-o", "score.json", "--pack",
        "pack.npz", "-q", cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    told = verify(tmp_path / "score.json", tmp_path / "pack.npz").to_dict()
    schema = json.loads((ROOT / "cmdmetric/scoring/stored/verification.schema.json").read_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate(json.loads(json.dumps(told)), schema)
    good = run("cmdmetric", "verify", "score.json", "pack.npz", cwd=tmp_path)
    assert good.returncode == 0, good.stderr
    assert "numbers follow from the pack" in good.stdout
    assert "not looked at: the date, the command" in good.stdout
    content = json.loads((tmp_path / "score.json").read_text())
    assert len(content["worst"]) == 3 and content["citations"]
    content["worst"][1]["share"] *= 2
    content["citations"] = ""
    content["n"] = 30000
    (tmp_path / "forged.json").write_text(json.dumps(content))
    forged = run("cmdmetric", "verify", "forged.json", "pack.npz", cwd=tmp_path)
    assert forged.returncode == 1, forged.stderr
    assert "  n: the score says 30000, it is 400\n" in forged.stdout
    assert "  worst 1 share: the score says" in forged.stdout
    content["cmd"] += 1
    (tmp_path / "other.json").write_text(json.dumps(content))
    bad = run("cmdmetric", "verify", "other.json", "pack.npz", "--format", "json", cwd=tmp_path)
    assert bad.returncode == 1, bad.stderr
    assert json.loads(bad.stdout)["holds"] is False
    none = run("cmdmetric", "verify", "score.json", "none.npz", cwd=tmp_path)
    assert none.returncode == 2 and "none.npz: no such file" in none.stderr
