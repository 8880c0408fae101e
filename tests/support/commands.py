"""The commands, run in processes of their own, with their streams and exit statuses."""

from __future__ import annotations

import multiprocessing
import os
import pkgutil
import re
import subprocess
import sys
import tempfile
from importlib.metadata import entry_points
from pathlib import Path

import cmdmetric
import grgan_ref

#: Where pip has put the commands of this environment.
BIN = Path(sys.executable).parent
#: Whether processes can be forks of one that has imported the libraries, which takes seconds.
FORK = "forkserver" in multiprocessing.get_all_start_methods()
#: What starts processes.
PROCESSES = multiprocessing.get_context("forkserver" if FORK else "spawn")
if FORK:
    # What commands import of their own; the rest brings more libraries than the most need.
    ours = [
        module.name
        for package in (cmdmetric, grgan_ref)
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}.")
        if not re.search(r"\.(__main__|integrations|ablation)\b", module.name)
    ]
    PROCESSES.set_forkserver_preload([*ours, "torch.distributed", "tests.support.warm"])


def run_installed(
    *args: object, cwd: Path | None = None, **env: str
) -> subprocess.CompletedProcess[str]:
    """What a command said and how it ended, started from pip's script as a shell starts it.

    `env` adds to this process's environment.
    """
    command = [str(BIN / str(args[0])), *map(str, args[1:])]
    return subprocess.run(
        command, capture_output=True, text=True, cwd=cwd, env={**os.environ, **env}, check=False
    )


def run(*args: object, cwd: Path | None = None, **env: str) -> subprocess.CompletedProcess[str]:
    """As `run_installed`, in a process that is forked where that can be: there Python has started
    and the libraries are imported.
    """
    if not FORK:
        return run_installed(*args, cwd=cwd, **env)
    command = [str(BIN / str(args[0])), *map(str, args[1:])]
    with tempfile.TemporaryDirectory() as folder:
        out, err = (Path(folder, name) for name in ("out", "err"))
        process = PROCESSES.Process(
            target=run_here, args=(command, {**os.environ, **env}, out, err, cwd)
        )
        process.start()
        process.join()
        assert process.exitcode is not None
        return subprocess.CompletedProcess(
            command, process.exitcode, out.read_text(), err.read_text()
        )


def started(*args: object, folder: Path, **env: str) -> multiprocessing.process.BaseProcess:
    """A command that runs beside the test, which may kill it.

    Its streams are the files `out` and `err` of the folder.
    """
    command = [str(BIN / str(args[0])), *map(str, args[1:])]
    folder.mkdir(parents=True, exist_ok=True)
    process = PROCESSES.Process(
        target=run_here, args=(command, {**os.environ, **env}, folder / "out", folder / "err")
    )
    process.start()
    return process


def run_here(
    command: list[str], environment: dict[str, str], out: Path, err: Path, cwd: Path | None = None
) -> None:
    """Turn this process into a command whose streams are files."""
    os.environ.clear()
    os.environ |= environment
    if "torch" in sys.modules and (threads := environment.get("OMP_NUM_THREADS")):
        sys.modules["torch"].set_num_threads(int(threads))  # a fork does not read it again
    for number, path in ((1, out), (2, err)):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT), number)
    if cwd is not None:
        os.chdir(cwd)
    sys.argv = command
    (entry,) = entry_points(group="console_scripts", name=Path(command[0]).name)
    sys.exit(entry.load()())
