"""Paths as anyone may name them: what cannot be looked up is one line, never a traceback."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner
from hypothesis import HealthCheck, given, settings, strategies as st

from cmdmetric.cli.main import main
from cmdmetric.errors import InputError
from cmdmetric.files import check_place, named_path, whole_file
from cmdmetric.terminal import LINE
from tests.support.systems import modes_hold, needs_interrupts

#: More of them where this is set: for the ten minutes of a long search.
EXAMPLES = int(os.environ.get("CMDMETRIC_FUZZ_EXAMPLES", "100"))
#: Paths that cannot be looked up, without any privileges in play.
IMPOSSIBLE = {"long": "x" * 5000, "long part": "a/" + "x" * 300, "no user": "~nosuchuser/x",
              "empty": ""}  # fmt: skip


@pytest.fixture
def closed(tmp_path: Path) -> Iterator[Path]:
    """A folder that is not ours to enter, with files in it."""
    folder = tmp_path / "closed"
    folder.mkdir()
    for name in ("w.safetensors", "p.json", "features-1.sqlite", "a.png", "sent_feature.npz"):
        (folder / name).write_bytes(b"x")
    folder.chmod(0o000)
    with modes_hold():
        if os.path.exists(folder / "p.json"):
            folder.chmod(0o700)
            pytest.skip("here anyone may enter any folder")
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
        "per image": lambda path: [*toy, "--per-image", path],
        "scores": lambda path: [*toy, "--scores", path],
        "cache": lambda path: [*toy, "--cache-dir", path],
        "info": lambda path: ["cache", "info", "--cache-dir", path],
        "clear": lambda path: ["cache", "clear", "--cache-dir", path],
        "verify": lambda path: ["cache", "verify", "--cache-dir", path],
        "compare": lambda path: ["compare", path, path],
        "merge": lambda path: ["merge", path, "-o", "/tmp/none.npz"],
        "watch": lambda path: ["watch", path, str(example / "captions.json"), "--once",
                               "-o", "/tmp/none.jsonl"],
        "doctor": lambda path: ["doctor", path, str(example / "captions.json")],
    }  # fmt: skip


def assert_one_line(arguments: list[str]) -> None:
    done = CliRunner().invoke(main, arguments)
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    assert "Traceback" not in done.stderr
    if arguments[0] == "doctor" and done.exit_code == 1:  # it is one of the findings
        assert "ERROR" in done.stdout
        return
    assert done.exit_code == 2, done.output
    assert re.search("^[eE]rror: ", done.stderr, re.MULTILINE)  # below a warning, at most
    assert max(map(len, done.stderr.splitlines())) <= LINE


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


@needs_interrupts
@pytest.mark.parametrize("place", PLACES)
def test_obstacles_on_the_way(place: str, example: Path, tmp_path: Path) -> None:
    """A file where a folder should be, and links that lead in a circle: whoever looks."""
    (tmp_path / "file").write_bytes(b"x")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    for name in ("file/x", "loop", "loop/x"):
        assert_one_line(uses(example)[place](str(tmp_path / name)))


@pytest.mark.parametrize("variable", ["CMDMETRIC_REFERENCES", "CMDMETRIC_CACHE"])
@pytest.mark.parametrize("value", IMPOSSIBLE.values())
def test_variables(
    variable: str, value: str, example: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, value)
    score = ["score", str(example / "generated"), str(example / "captions.json")]
    assert_one_line([*score, "--real", "coco2014-val", "--model", "scenes-toy", "-q"])


@settings(max_examples=EXAMPLES)
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


@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    parts=st.lists(
        st.text(min_size=1, max_size=300)
        | st.binary(min_size=1, max_size=300).map(os.fsdecode)
        | st.sampled_from(
            ["..", ".", "~", "~root", "x" * 255, "x" * 256, "%", "\udcff", "*", "{0..9}"]
        ),
        min_size=1,
        max_size=4,
    ),
    modes=st.lists(st.sampled_from([0o000, 0o100, 0o400, 0o500, 0o700]), min_size=4, max_size=4),
    ends=st.sampled_from(["nothing", "file", "folder", "link", "loop"]),
)
def test_folders_of_any_mode_and_name(
    tmp_path_factory: pytest.TempPathFactory, parts: list[str], modes: list[int], ends: str
) -> None:
    """Looking and writing give a path, a file or one InputError, whatever stands on the way."""
    root = tmp_path_factory.mktemp("any")
    made = [root]
    with contextlib.suppress(OSError, ValueError):
        for part in parts[:-1]:
            made[-1].joinpath(part).mkdir()
            made.append(made[-1] / part)
        end = made[-1] / parts[-1]
        if ends == "file":
            end.write_bytes(b"x")
        elif ends == "folder":
            end.mkdir()
        elif ends != "nothing":
            end.symlink_to(end if ends == "loop" else root)
    within = [path for path in made if root == path or root in path.resolve().parents]
    name = os.path.join(root, *parts)
    try:
        for folder, mode in zip(within, modes, strict=False):
            folder.chmod(mode)
        with modes_hold():
            for look in (named_path, check_place, write):
                with contextlib.suppress(InputError):
                    look(name)
    finally:
        for folder in within:
            folder.chmod(0o700)


def write(name: str) -> None:
    """Write a file where it may be written."""
    check_place(name)
    with whole_file(Path(name)) as file:
        file.write(b"x")
