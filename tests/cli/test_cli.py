"""The commands as a user runs them: as subprocesses, with their streams and exit statuses."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from cmdmetric import InputError
from cmdmetric.terminal import as_json
from tests.conftest import SHARED, shared
from tests.support.commands import BIN, run, run_installed
from tests.support.systems import needs_interrupts
from tests.support.toy import DIMENSIONS


@pytest.fixture(scope="module")
def arguments(example: Path) -> tuple[object, ...]:
    return (example / "generated", example / "captions.json", "--model", "scenes-toy")


def test_bundled_example(example: Path, tmp_path: Path) -> None:
    # From another directory, with relative paths, and a file beside.
    relative = os.path.relpath(example, tmp_path)
    output = tmp_path / "score.json"
    done = run_installed("cmd-score", f"{relative}/generated", f"{relative}/captions.json",
                         "--model", "scenes-toy", "-o", output, cwd=tmp_path)  # fmt: skip
    assert done.returncode == 0, done.stderr
    for part in (
        "CMD",
        "ITDis",
        "Dis(f,r)",
        "Dis(f,l)",
        "Dis(r,l)",
        "signature",
        "400 generated images",
    ):
        assert part in done.stdout
    assert "warning" not in done.stderr
    # A pipe gets lines and no bars, and hears at once that torch is loaded (test_progress.py).
    assert "loading torch and scenes-toy" in done.stderr and "%|" not in done.stderr
    assert ": 400 images" in done.stderr and ": 2,000 captions" in done.stderr
    result = json.loads(output.read_text())
    assert result["n"] == result["n_real"] == result["paired"] == 400
    assert result["n_captions"] == 2000
    assert result["signature"].startswith("CMD|proto:grgan|model:scenes-toy@")
    assert result["cmd"] == result["dis_fr"] + result["itdis"] > 0


@pytest.mark.usefixtures("remembered_example")
def test_json_is_one_object_and_repeats(arguments: tuple[object, ...]) -> None:
    first = run("cmd-score", *arguments, "--format", "json")
    second = run("cmdmetric", "score", *arguments, "--format", "json", "--quiet")
    a, b = json.loads(first.stdout), json.loads(second.stdout)
    assert a["signature"] == b["signature"]
    assert a["cmd"] == pytest.approx(b["cmd"], rel=1e-9)
    assert "images" in first.stderr and "%|" not in first.stderr and second.stderr == ""
    known = "from the cache: 800 of 800 images and 2,000 of 2,000 captions"
    assert known in first.stderr, "the fixture saves the tests their time"


@pytest.mark.usefixtures("remembered_example")
def test_moments_stand_for_their_images(example: Path, tmp_path: Path) -> None:
    for source, name in [("real", "r.npz"), ("generated", "f.npz"), ("captions.json", "l.npz")]:
        done = run("cmdmetric", "moments", example / source, "-o", tmp_path / name, "--model",
                   "scenes-toy", "--quiet")  # fmt: skip
        assert done.returncode == 0, done.stderr
    stored = run("cmd-score", "f.npz", "l.npz", "--real", "r.npz", "--format", "json", cwd=tmp_path)
    assert stored.returncode == 0, stored.stderr
    direct = run("cmd-score", example / "generated", example / "captions.json", "--model",
                 "scenes-toy", "--format", "json", "-q")  # fmt: skip
    a, b = json.loads(stored.stdout), json.loads(direct.stdout)
    assert a["cmd"] == pytest.approx(b["cmd"], rel=1e-6)
    assert a["signature"] == b["signature"]


def test_numbers_beyond_range_are_an_error_and_no_infinity(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    np.savez(tmp_path / "huge.npz", mu=np.full(4, 1e300), sigma=np.eye(4))
    np.savez(tmp_path / "text.npz", mu=np.ones(4), sigma=np.eye(4))
    done = run("cmd-score", "huge.npz", "text.npz", "--real", "text.npz", "--format", "json",
               cwd=tmp_path)  # fmt: skip
    assert (done.returncode, done.stdout) == (2, "")
    assert "huge.npz" in done.stderr and "out of range" in done.stderr
    # Of the largest features that are taken every number is one.
    for name in ("f", "r"):
        np.save(tmp_path / f"{name}.npy", 1e60 * rng.standard_normal((40, 4)))
    done = run("cmd-score", "f.npy", "text.npz", "--real", "r.npy", "--metrics",
               "cmmd,clip_kid,prdc,vendi", "--format", "json", cwd=tmp_path)  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "Infinity" not in done.stdout and "NaN" not in done.stdout


def test_what_is_no_number_is_never_written() -> None:
    with pytest.raises(InputError, match="infinite or no number"):
        as_json({"metrics": {"fid": {"value": float("inf")}}})


def test_scores_of_moments_do_not_import_torch(tmp_path: Path) -> None:
    real, text = (shared(f"reference/coco2014-val.{side}.npz") for side in ("real", "text"))
    code = (
        "import sys; from cmdmetric.cli.main import score\n"
        "try: score(sys.argv[1:])\n"
        "finally: assert 'torch' not in sys.modules"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, real, text, "--real", real, "--format", "json"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    result = json.loads(done.stdout)
    assert result["dis_fr"] < 1e-8 and result["itdis"] == 0 and result["cmd"] < 1e-8
    assert result["dis_rl"] == pytest.approx(91.759443969, abs=1e-8)


def test_help_is_quick_and_complete() -> None:
    start = time.perf_counter()
    done = run_installed("cmd-score", "--help")
    seconds = time.perf_counter() - start
    assert done.returncode == 0
    for part in ("GENERATED... CAPTIONS", "--real", "--protocol", "Examples:", "--format"):
        assert part in done.stdout
    assert len(done.stdout.splitlines()) <= 48
    # 0.2 s on an idle core; importing torch would take many times that even on a fast machine.
    assert seconds < 5
    imported = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "cmdmetric", "--help"],
        capture_output=True, text=True, check=False,
    ).stderr  # fmt: skip
    assert "cmdmetric.cli.score" in imported
    assert not any(name in imported for name in (" torch", " numpy", " scipy", " PIL"))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"generated": "absent"}, "absent"),
        ({"generated": "empty"}, "empty"),
        ({"captions": "absent.json"}, "absent.json"),
        ({"captions": "broken.json"}, "line 2"),
        ({"captions": "none.json"}, "none.json"),
        ({"--real": "absent.npz"}, "absent.npz"),
        ({"--model": "scenes-toi"}, "did you mean scenes-toy"),
        ({"--weights": "absent.pt"}, "absent.pt"),
        ({"--protocol": "grgn"}, "it is grgan, clip"),
        ({"--device": "toaster"}, "toaster"),
        ({"--batch-size": "0"}, "batch_size is 0"),
        ({"-o": "absent/score.json"}, "cannot write"),
    ],
)
def test_mistakes(example: Path, tmp_path: Path, changes: dict[str, str], message: str) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "broken.json").write_text('{"a.png":\n "x", }')
    (tmp_path / "none.json").write_text("[]")
    values = {"generated": example / "generated", "captions": example / "captions.json",
              "--model": "scenes-toy", **changes}  # fmt: skip
    options = [part for key, value in values.items() if key[0] == "-" for part in (key, value)]
    done = run("cmd-score", values["generated"], values["captions"], *options, cwd=tmp_path)
    assert done.returncode == 2
    assert done.stdout == ""
    assert message in done.stderr and "error: " in done.stderr
    assert "Traceback" not in done.stderr


def test_one_argument_of_two() -> None:
    alone = run("cmd-score", "samples/")
    assert alone.returncode == 2 and not alone.stdout
    assert "samples/ alone was given: name the generated images first" in alone.stderr


def test_usage_errors() -> None:
    for args in (["only-one"], ["a", "b", "--formt", "json"], ["a", "b", "--format", "xml"]):
        assert run("cmd-score", *args).returncode == 2


def test_offline_without_weights(example: Path) -> None:
    done = run("cmd-score", example / "generated", example / "captions.json")
    assert done.returncode == 2
    for part in ("ViT-B-32/openai", "--weights FILE", "Three ways"):
        assert part in done.stderr


def test_coco_without_the_reference(example: Path, tmp_path: Path) -> None:
    path = tmp_path / "captions.json"
    path.write_text(json.dumps({"COCO_val2014_000000000042.jpg": ["a cat", "a dog"]}))
    done = run("cmd-score", example / "generated", path, "--model", "scenes-toy",
               https_proxy="http://127.0.0.1:9")  # fmt: skip
    assert done.returncode == 2
    assert "coco2014-val is not at hand" in done.stderr and "CMDMETRIC_REFERENCES" in done.stderr


def test_another_encoder_than_the_references(example: Path, tmp_path: Path) -> None:
    shared("reference/coco2014-val.real.npz")
    done = run("cmd-score", example / "generated", example / "captions.json", "--model",
               "scenes-toy", "--real", "coco2014-val",
               CMDMETRIC_REFERENCES=str(SHARED / "reference"))  # fmt: skip
    assert done.returncode == 2
    assert f"{DIMENSIONS} and of 512 dimensions" in done.stderr


@needs_interrupts
def test_interrupt_leaves_no_traceback(tmp_path: Path) -> None:
    # Enough images that the run is still busy when the signal comes.
    np.save(tmp_path / "many.npy", np.zeros((200_000, 8, 8, 3), np.uint8))
    (tmp_path / "l.txt").write_text("a\nb\n")
    process = subprocess.Popen(
        [BIN / "cmd-score", "many.npy", "l.txt", "--real", "many.npy", "--model", "scenes-toy"],
        cwd=tmp_path, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        # A test run in the background of a script has SIGINT ignored, and children inherit that.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )  # fmt: skip
    assert process.stderr is not None
    while "loading torch" not in (line := process.stderr.readline()):
        assert line, "ended before it began to encode"
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=120)
    assert process.returncode == 130
    assert out == "" and "interrupted" in err and "Traceback" not in err


@pytest.mark.usefixtures("remembered_example")
def test_two_generators(example: Path, arguments: tuple[object, ...]) -> None:
    done = run("cmd-score", *arguments, "--versus", example / "real", "--real", example / "real",
               "--format", "json", "-q")  # fmt: skip
    result = json.loads(done.stdout)
    assert result["second"]["cmd"] < 1e-6 < result["first"]["cmd"]
    assert 0 < result["difference"]["p_value"] < 0.05
    table = run("cmd-score", *arguments, "--versus", example / "real", "--real",
                example / "real").stdout  # fmt: skip
    assert (
        "chance alone parts" in table.splitlines()[2] and " is worse than " in table.splitlines()[0]
    )


@pytest.mark.usefixtures("remembered_example")
def test_bf16_is_another_score_and_says_so(arguments: tuple[object, ...], tmp_path: Path) -> None:
    options = ["--format", "json", "-q"]
    full = json.loads(run("cmd-score", *arguments, *options).stdout)
    half = json.loads(run("cmd-score", *arguments, *options, "--dtype", "bf16").stdout)
    assert "|dtype:fp32|" in full["signature"] and "|dtype:bf16|" in half["signature"]
    assert half["cmd"] != full["cmd"]
    # Far within the error bar: the aim is a tenth of it (docs/speed.md).
    for key in ("cmd", "itdis"):
        assert abs(half[key] - full[key]) < full["uncertainty"][key]["standard_error"] / 10
    stored = tmp_path / "f.npz"
    assert run("cmdmetric", "moments", arguments[0], "-o", stored, "--model", "scenes-toy",
               "--dtype", "bf16", "-q").returncode == 0  # fmt: skip
    mixed = run("cmd-score", stored, *arguments[1:], *options)
    assert mixed.returncode == 2 and "dtype: 'bf16' against 'fp32'" in mixed.stderr
