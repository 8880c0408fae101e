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
    "said",
    ["could not create a primitive", "std::bad_alloc", "DefaultCPUAllocator: can't allocate"],
)
def test_what_says_that_the_memory_is_used_up(
    said: str, example: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise RuntimeError(said)

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
def test_address_space_of_some_gigabytes(gigabytes: float, example: Path) -> None:
    """A score, or one line: never a traceback, and never status 1, which a failed check has."""

    def limit() -> None:
        size = int(gigabytes * (1 << 30))
        resource.setrlimit(resource.RLIMIT_AS, (size, size))

    done = subprocess.run(
        [str(BIN / "cmd-score"), str(example / "generated"), str(example / "captions.json"),
         "--real", str(example / "real"), "--model", "scenes-toy", "--no-cache", "-q"],
        capture_output=True, text=True, check=False, preexec_fn=limit, timeout=600,
    )  # fmt: skip
    if done.returncode == 0:
        assert done.stdout.startswith("CMD ")
        return
    assert done.returncode == 2, (done.returncode, done.stderr[-2000:])
    assert "Traceback" not in done.stderr
    last = done.stderr.splitlines()[-1]
    assert last.startswith("error: ") and ("memory" in last or "map" in last)
