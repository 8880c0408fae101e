"""Ctrl-C at any moment of a command is one line and status 130, never a traceback."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from tests.support.systems import needs_interrupts

#: Sends itself SIGINT when a module is looked for, as it was pressed in the midst of the imports.
AT_IMPORT = """
class Finder:
    def find_spec(self, name, *_):
        if name == {moment!r}:
            sys.meta_path.remove(self)
            try: os.kill(os.getpid(), signal.SIGINT)
            except BaseException: pass  # as some libraries do
sys.meta_path.insert(0, Finder())
"""
#: Sends itself SIGINT when the command is over and Python ends. Python 3.10 looks for signals in
#: loops of Python's own code.
AT_EXIT = """
import atexit
def last():
    os.kill(os.getpid(), signal.SIGINT)
    for _ in range(100): pass
atexit.register(last)
"""
#: The first modules of a command's own, and libraries that it waits for, some in mid-run.
MOMENTS = {
    "cmd-score": ("cmdmetric.cli.score", "click", "cmdmetric.scoring", "numpy", "atexit"),
    "cmdmetric": ("cmdmetric.cli.main", "cmdmetric.cli.stored.verify", "atexit"),
    "grgan": ("grgan_ref.cli.main", "click", "grgan_ref.config", "atexit"),
}
MODULES = {"cmd-score": "cmdmetric", "cmdmetric": "cmdmetric", "grgan": "grgan_ref"}
ARGUMENTS = {"cmd-score": ("x", "y"), "cmdmetric": ("--version",), "grgan": ("--version",)}


def interrupted(
    program: str, moment: str, handler: signal.Handlers = signal.SIG_DFL
) -> subprocess.CompletedProcess[str]:
    """A command as pip's script starts it, that interrupts itself at a moment."""
    code = (
        "import os, signal, sys\n"
        "if signal.getsignal(signal.SIGINT) is signal.SIG_DFL:\n"
        "    signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        f"sys.argv = {[program, *ARGUMENTS[program]]}\n"
        f"{AT_EXIT if moment == 'atexit' else AT_IMPORT.format(moment=moment)}\n"
        f"from {MODULES[program]}.__main__ import {program.replace('-', '_')} as run\n"
        "run()\n"
    )
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False,
        # A test run in the background of a script has SIGINT ignored, and children inherit that.
        preexec_fn=lambda: signal.signal(signal.SIGINT, handler),
    )  # fmt: skip


@needs_interrupts
@pytest.mark.parametrize(
    ("program", "moment"), [(name, moment) for name, them in MOMENTS.items() for moment in them]
)
def test_at_any_moment_it_is_one_line(program: str, moment: str) -> None:
    done = interrupted(program, moment)
    assert done.returncode == 130, done.stderr
    assert done.stderr.splitlines()[-1] == "interrupted" and "Traceback" not in done.stderr


@needs_interrupts
def test_behind_the_sign_of_a_script_it_stays_ignored() -> None:
    """As in `cmd-score ... &`, where the shell lets Ctrl-C reach others only."""
    done = interrupted("cmdmetric", "click", signal.SIG_IGN)
    assert done.returncode == 0 and done.stderr == "" and "version" in done.stdout


def test_pip_makes_scripts_of_what_is_there() -> None:
    project = (Path(__file__).parents[2] / "pyproject.toml").read_text()
    scripts = re.findall(r'^(\S+) = "(\S+:\w+)"$', project, re.MULTILINE)
    assert sorted(dict(scripts)) == sorted(MODULES)
    for name, value in scripts:
        assert callable(EntryPoint(name, value, "console_scripts").load())
