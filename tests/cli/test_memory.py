"""Where the memory does not suffice a command says so in a line and ends with status 2."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from cmdmetric.cli.main import main
from tests.support.commands import BIN

resource = pytest.importorskip("resource")


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        (RuntimeError, "could not create a primitive"),
        (RuntimeError, "std::bad_alloc"),
        (RuntimeError, "DefaultCPUAllocator: can't allocate"),
        (ImportError, "x.so: failed to map segment from shared object"),
        (SystemError, "error return without exception set"),
        (MemoryError, "MemoryError"),
    ],
)
def test_what_says_that_the_memory_is_used_up(
    kind: type[Exception], said: str, example: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise kind(said)

    monkeypatch.setattr("cmdmetric.scoring.encoding.encode_images", fail)
    done = CliRunner().invoke(
        main, ["score", str(example / "generated"), str(example / "captions.json"),
               "--real", str(example / "real"), "--model", "scenes-toy", "--no-cache", "-q"],
    )  # fmt: skip
    assert done.exit_code == 2, done.output
    assert done.stderr == f"error: the memory is used up ({said}): allow more of it\n"


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="limits of memory are Linux's")
@pytest.mark.parametrize("gigabytes", [0.5, 1, 1.5, 2, 3, 4])
def test_address_space_of_some_gigabytes(gigabytes: float, small_example: Path) -> None:
    """A score, or one line: never a traceback, and never status 1, which a failed check has."""

    def limit() -> None:
        size = int(gigabytes * (1 << 30))
        resource.setrlimit(resource.RLIMIT_AS, (size, size))

    done = subprocess.run(
        [str(BIN / "cmd-score"), str(small_example / "generated"),
         str(small_example / "captions.json"), "--real", str(small_example / "real"),
         "--model", "scenes-toy", "--no-cache", "-q"],
        capture_output=True, text=True, check=False, preexec_fn=limit, timeout=600,
    )  # fmt: skip
    if done.returncode == 0:
        assert done.stdout.startswith("CMD ")
        return
    assert done.returncode == 2, (done.returncode, done.stderr[-2000:])
    assert "Traceback" not in done.stderr
    last = done.stderr.splitlines()[-1]
    assert last.startswith("error: ") and ("memory" in last or "map" in last)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="limits of memory are Linux's")
@pytest.mark.parametrize("command", [("cmdmetric", "list", "metrics"), ("grgan", "info", "x")])
def test_address_space_that_no_library_fits_into(command: tuple[str, ...], tmp_path: Path) -> None:
    """What is imported when a command runs fails in its own ways."""

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_AS, (60 << 20, 60 << 20))

    bare = [sys.executable, "-c", "import click"]
    if subprocess.run(bare, capture_output=True, check=False, preexec_fn=limit).returncode:
        pytest.skip("here Python itself takes more")
    program, *arguments = command
    done = subprocess.run(
        [str(BIN / program), *arguments], capture_output=True, text=True, check=False,
        preexec_fn=limit, cwd=tmp_path, timeout=600,
    )  # fmt: skip
    assert done.returncode == 2, done.stderr[-2000:]
    (line,) = done.stderr.splitlines()
    assert line.startswith("error: the memory is used up (")
