"""Paths as anyone may name them: what cannot be looked up is one line, never a traceback."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner
from hypothesis import given, strategies as st

from cmdmetric.cli.main import main
from cmdmetric.errors import InputError
from cmdmetric.files import check_place, named_path, whole_file
from cmdmetric.terminal import LINE

#: Paths that cannot be looked up, without any privileges in play.
IMPOSSIBLE = {"long": "x" * 5000, "long part": "a/" + "x" * 300, "no user": "~nosuchuser/x"}


@pytest.fixture
def closed(tmp_path: Path) -> Iterator[Path]:
    """A folder that is not ours to enter, with files in it."""
    folder = tmp_path / "closed"
    folder.mkdir()
    for name in ("w.safetensors", "p.json", "features-1.sqlite", "a.png", "sent_feature.npz"):
        (folder / name).write_bytes(b"x")
    folder.chmod(0o000)
    if os.path.exists(folder / "p.json"):
        folder.chmod(0o700)
        pytest.skip("whoever runs this may enter any folder")
    yield folder
    folder.chmod(0o700)


def uses(example: Path) -> dict[str, Callable[[str], list[str]]]:
    """Each place where a command takes a path, as the arguments of a call with it."""
    score = ["score", str(example / "generated"), str(example / "captions.json"), "-q"]
    toy = [*score, "--model", "scenes-toy", "--real", str(example / "real")]
    return {
        "generated": lambda path: ["score", path, str(example / "captions.json")],
        "captions": lambda path: ["score", str(example / "generated"), path],
        "real": lambda path: [*score, "--model", "scenes-toy", "--real", path],
        "weights": lambda path: [*toy, "--weights", path],
        "model": lambda path: [*score, "--model", path],
        "report": lambda path: [*toy, "--report", path],
        "check": lambda path: [*toy, "--check", path],
        "protocol": lambda path: [*toy, "--protocol", path],
        "inception": lambda path: [*toy, "--metrics", "fid", "--inception-weights", path],
        "inception real": lambda path: [*toy, "--metrics", "fid", "--inception-real", path],
        "versus": lambda path: [*toy, "--versus", path],
        "output": lambda path: [*toy, "-o", path],
        "csv": lambda path: [*toy, "--worst-csv", path],
        "cache": lambda path: [*toy, "--cache-dir", path],
        "info": lambda path: ["cache", "info", "--cache-dir", path],
        "clear": lambda path: ["cache", "clear", "--cache-dir", path],
        "verify": lambda path: ["cache", "verify", "--cache-dir", path],
        "compare": lambda path: ["compare", path, path],
        "merge": lambda path: ["merge", path, "-o", "/tmp/none.npz"],
        "doctor": lambda path: ["doctor", path, str(example / "captions.json")],
    }


def assert_one_line(arguments: list[str]) -> None:
    done = CliRunner().invoke(main, arguments)
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    if arguments[0] == "doctor":  # of which it is a finding
        assert done.exit_code == 1 and "ERROR" in done.stdout
        return
    assert done.exit_code == 2, done.output
    assert re.search("^[eE]rror: ", done.stderr, re.MULTILINE)  # below a warning, at most
    assert max(map(len, done.stderr.splitlines())) <= LINE
    assert "Traceback" not in done.stderr


PLACES = list(uses(Path()))


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("kind", IMPOSSIBLE)
def test_impossible_paths(place: str, kind: str, example: Path) -> None:
    assert_one_line(uses(example)[place](IMPOSSIBLE[kind]))


@pytest.mark.parametrize("place", PLACES)
def test_closed_folders(place: str, example: Path, closed: Path) -> None:
    shallow, deep = str(closed), str(closed / "w.safetensors")
    assert_one_line(uses(example)[place](deep))
    if place not in ("generated", "doctor", "versus", "real"):
        assert_one_line(uses(example)[place](shallow))


@pytest.mark.parametrize("variable", ["CMDMETRIC_REFERENCES", "CMDMETRIC_CACHE"])
@pytest.mark.parametrize("value", IMPOSSIBLE.values())
def test_variables(
    variable: str, value: str, example: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, value)
    score = ["score", str(example / "generated"), str(example / "captions.json")]
    assert_one_line([*score, "--real", "coco2014-val", "--model", "scenes-toy", "-q"])


@given(
    st.text(min_size=1)
    | st.text(alphabet="/~.x\0", min_size=1)
    | st.integers(1, 6000).map(lambda n: "x/" * (n // 2) + "y")
    | st.binary(min_size=1).map(os.fsdecode)
)
def test_any_name_is_a_path_or_an_error(name: str) -> None:
    for look in (named_path, check_place):
        try:
            found = look(name)
        except InputError:
            continue
        if isinstance(found, Path):
            found.is_file(), found.is_dir(), found.exists()


@pytest.mark.parametrize("name", ["x" * 255, "é" * 127, "\udcff.json"])
def test_the_longest_and_oddest_names_can_be_written(name: str, tmp_path: Path) -> None:
    try:
        (tmp_path / name).touch()
    except OSError:
        pytest.skip("the file system takes no such name")
    with whole_file(tmp_path / name) as file:
        file.write(b"x")
    assert (tmp_path / name).read_bytes() == b"x" and len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize("value", [3, b"x", None, [], {}])
def test_what_is_no_path(value: object) -> None:
    with pytest.raises(InputError, match="a path is text"):
        named_path(value)  # type: ignore[arg-type]
