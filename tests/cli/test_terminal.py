"""What others name and write reaches a terminal, a log and a spreadsheet as text, nothing more."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from hypothesis import given, strategies as st
from PIL import Image
from pyarrow import parquet

from cmdmetric.cli.main import main
from cmdmetric.scoring import PerImage
from cmdmetric.terminal import LINE, as_json, one_line, shown
from tests.support.commands import BIN, run
from tests.support.pictures import scenes

#: A screen that is cleared, a title that is set, a line that is overwritten, a reversed direction
#: of writing, C1's introducer, commands of GitHub's, Azure's and TeamCity's logs.
HOSTILE = (
    "\x1b[2J", "\x1b]0;title\x07", "all is well\r", "\u202egnp.exe", "\x9b31m", "\u2066\u061c",
    "a\n::warning title=pwn::", "##[error]", "##vso[task.complete]", "##teamcity[x]", "\udcff",
)  # fmt: skip
#: What a terminal obeys, what misleads a reader, and what is no text.
OBEYED = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]"
)
COMMAND = re.compile(r"^\s*::|##\w*\[", re.MULTILINE)


def assert_harmless(text: str) -> None:
    assert not OBEYED.search(text), repr(text)
    assert not COMMAND.search(text), text


def call(*arguments: object) -> Result:
    return CliRunner().invoke(main, list(map(str, arguments)))


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two generators and real images whose names, captions and folders mean harm."""
    folder = tmp_path_factory.mktemp("hostile")
    names = [f"{i}{text.replace('/', '')}.png" for i, text in enumerate(HOSTILE)]
    names.append("::error::" + "x" * 200 + ".png")
    for seed, side in enumerate(("\x1b[2Jone\n::notice::", "two", "real")):
        (folder / side).mkdir()
        for name, pixels in zip(names, scenes(range(50 * seed, 50 * seed + 50)), strict=False):
            Image.fromarray(pixels).save(os.fsencode(folder / side / name))
    captions = [f"{text} a red circle {text}" for text in (*HOSTILE[:-1], "plain", "\0 nothing")]
    (folder / "captions.json").write_text(json.dumps(captions))
    return folder


@pytest.fixture(scope="module")
def sides(hostile: Path) -> tuple[list[Path], tuple[object, ...]]:
    """The generators, and the options of a score of them."""
    generators = sorted(path for path in hostile.iterdir() if path.is_dir() and path.name != "real")
    rest = (hostile / "captions.json", "--real", hostile / "real", "--model", "scenes-toy", "-q")
    return generators, rest


@pytest.mark.parametrize("form", ["table", "json"])
def test_every_table_is_harmless(
    form: str, sides: tuple[list[Path], tuple[object, ...]], tmp_path: Path
) -> None:
    (one, two), rest = sides
    stored = [tmp_path / "\x1b[2J\na.json", tmp_path / "b.json"]
    calls = [
        ("score", one, *rest, "--worst", 30, "-o", stored[0], "--check", "cmd>=0"),
        ("score", two, *rest, "-o", stored[1], "--metrics", "prdc"),
        ("score", one, two, *rest, "--metrics", "prdc"),
        ("score", one, *rest, "--versus", two),
        ("doctor", one, *rest, "--no-probe"),
        ("compare", *stored),
        ("cache", "info"),
        ("published",),
    ]
    for arguments in calls:
        if form == "json" and arguments[0] == "published":
            continue
        done = call(*arguments, *([] if arguments[0] == "published" else ["--format", form]))
        assert done.exit_code in (0, 1), done.output
        assert done.stdout
        assert_harmless(done.stdout)
        assert_harmless(done.stderr)
        if form == "json":
            json.loads(done.stdout)
        else:
            assert max(map(len, done.stdout.splitlines())) <= LINE


def test_names_stay_legible(sides: tuple[list[Path], tuple[object, ...]], tmp_path: Path) -> None:
    (one, _), rest = sides
    for form in ("csv", "jsonl", "parquet"):
        table = tmp_path / f"table.{form}"
        done = call("score", one, *rest, "--worst", 30, "--per-image", table)
        assert done.exit_code == 0, done.output
        # A name that is no UTF-8 is written too.
        text = table.read_bytes().decode(errors="replace")
        if form == "parquet":
            text = str(parquet.read_table(table)["image"].to_pylist())
        assert "udcff.png" in text
    assert r"\x1b[2J" in done.stdout and "…" in done.stdout
    assert max(map(len, done.stdout.splitlines())) < 400


@pytest.mark.parametrize("text", HOSTILE[:-1])
def test_errors_are_harmless(text: str, tmp_path: Path) -> None:
    for arguments in (
        ("score", tmp_path / text, "no.json"),
        ("score", "--batch-size", text),
        (text,),
        ("compare", text, text),
        ("score", "a", "b", f"--{text}"),
    ):
        done = call(*arguments)
        assert done.exit_code == 2, done.output
        assert done.stdout == ""
        assert_harmless(done.stderr)
        assert not re.search("^(warning|all is well)", done.stderr, re.MULTILINE)


@given(st.text() | st.text(alphabet="#:[\n\r\x1b \u202e\u3000w") | st.sampled_from(HOSTILE))
def test_no_text_commands(text: str) -> None:
    line = one_line(text)
    assert "\n" not in line and len(line) <= LINE + 30
    assert_harmless(line)
    assert len(shown(text, 20)) <= 20
    written = as_json({"a": text, text: [text]})
    assert_harmless(written)
    assert written.isascii() and json.loads(written) == {"a": text, text: [text]}


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="the system has no full device")
@pytest.mark.parametrize("arguments", [("--help",), ("published",), ("cache", "info")])
def test_full_device(arguments: tuple[str, ...]) -> None:
    for streams in ({"stdout": "/dev/full"}, {"stderr": "/dev/full"}):
        with open("/dev/full", "w") as full:
            pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
            done = subprocess.run(
                [str(BIN / "cmdmetric"), *arguments],
                text=True, check=False, **{**pipes, **dict.fromkeys(streams, full)},
            )  # fmt: skip
        if "stdout" in streams:
            assert done.returncode == 2
            assert done.stderr == "error: stdout cannot be written: No space left on device\n"
        else:  # there was nothing to say
            assert done.returncode == 0 and done.stdout


@pytest.mark.usefixtures("remembered_example")
@pytest.mark.skipif(not Path("/dev/full").exists(), reason="the system has no full device")
def test_full_stderr_loses_no_score(example: Path) -> None:
    command = [str(BIN / "cmd-score"), str(example / "generated"), str(example / "captions.json")]
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [*command, "--model", "scenes-toy", "--format", "json"],
            stdout=subprocess.PIPE, stderr=full, text=True, check=False,
        )  # fmt: skip
    assert json.loads(done.stdout)["n"] == 400
    assert done.returncode == 2


def test_closed_pipe() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "w") as pipe:
        done = subprocess.run([str(BIN / "cmdmetric"), "published"], stdout=pipe,
                              stderr=subprocess.PIPE, text=True, check=False)  # fmt: skip
    assert done.returncode == 2
    assert done.stderr == "error: stdout cannot be written: Broken pipe\n"


@pytest.mark.skipif(os.name != "posix", reason="a shell closes streams so")
@pytest.mark.parametrize("command", ["cmdmetric", "grgan"])
def test_streams_that_are_closed_from_the_start(command: str, tmp_path: Path) -> None:
    """What is opened then takes the numbers of the streams that are not there."""
    call = f"'{BIN / command}' --version"
    for closed, status, said in (
        (">&-", 2, "error: stdout cannot be written: Bad file descriptor\n"),
        ("2>&-", 0, ""),
        (">&- 2>&- <&-", 2, ""),
    ):
        done = subprocess.run(
            ["sh", "-c", f"{call} {closed}"], capture_output=True, text=True, check=False
        )
        assert (done.returncode, done.stderr) == (status, said), closed
    wrong = f"'{BIN / command}' nosuch 2>&-"
    assert subprocess.run(["sh", "-c", wrong], capture_output=True, check=False).returncode == 2


def test_command_without_arguments_gives_its_help() -> None:
    done = run("cmdmetric")
    assert done.returncode == 2 and done.stderr.startswith("Usage: cmdmetric")


def test_signature_is_not_forged(tmp_path: Path, tiny_clip: Path, example: Path) -> None:
    folder = tmp_path / "pipe|f:30000|x\n100%"
    shutil.copytree(tiny_clip, folder)
    done = call("score", example / "generated", example / "captions.json", "--model", folder,
                "--format", "json", "-q")  # fmt: skip
    assert done.exit_code == 0, done.output
    signature = json.loads(done.stdout)["signature"]
    keys = [field.split(":")[0] for field in signature.split("|")]
    assert keys == [
        "CMD", "proto", "model", "f", "r", "l", "pairs", "se", "debias", "dtype", "tok", "pillow",
        "v",
    ]  # fmt: skip
    assert "|model:pipe%7Cf%3A30000%7Cx\\n100%25@" in signature


def test_cells_are_no_formulas() -> None:
    texts = ["=HYPERLINK(1)", "+1", "-1", "@SUM", "\tx", "\rx", "＝1", "plain, 'quoted'", "a=1"]
    table = PerImage({"image": texts, "x": [-0.5] * len(texts), "caption": [[t] for t in texts]})
    _, *written = csv.reader(io.StringIO(table.to_csv(), newline=""))
    for text, (name, share, caption) in zip(texts, written, strict=True):
        assert share == "-0.5"
        assert name == caption == (text if text in texts[-2:] else f"'{text}")
