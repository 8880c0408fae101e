"""Progress is told where a person looks: bars in a terminal and a notebook, lines in a pipe."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from pathlib import Path

import pytest

from cmdmetric import cmd, progress
from tests.support.commands import BIN

termios = (
    pytest.importorskip("termios", reason="no pseudo-terminals") if os.name == "posix" else None
)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_who_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    monkeypatch.delitem(sys.modules, "ipykernel", raising=False)
    assert not progress.watched()
    monkeypatch.setitem(sys.modules, "ipykernel", sys)
    assert progress.watched()
    monkeypatch.delitem(sys.modules, "ipykernel")
    monkeypatch.setattr(sys, "stderr", Terminal())
    assert progress.watched()


@pytest.mark.parametrize(("stream", "drawn"), [(Terminal, True), (io.StringIO, False)])
def test_a_bar_is_drawn_in_a_terminal_alone(
    stream: type[io.StringIO], drawn: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stderr", stream())
    with progress.progress_bar("images a\x1b[2J", 3, "image", wanted=True) as bar:
        bar.update(3)
    told = sys.stderr.getvalue()  # type: ignore[attr-defined]
    assert ("%|" in told) == drawn and "\x1b[2J" not in told
    assert drawn or told == "images a\\x1b[2J: 3 images\n"


def test_nothing_is_told_where_nobody_asked(capsys: pytest.CaptureFixture[str]) -> None:
    with progress.progress_bar("images", 3, "image", wanted=False) as bar:
        bar.update(3)
    assert capsys.readouterr() == ("", "")


def test_python_is_silent_in_a_pipe(example: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cmd(example / "generated", example / "captions.json", model="scenes-toy", device="cpu")
    assert capsys.readouterr() == ("", "")


@pytest.mark.skipif(
    not hasattr(termios, "tcsetwinsize"), reason="no pseudo-terminals with a size on this system"
)
def test_a_terminal_gets_bars(small_example: Path) -> None:
    ours, theirs = os.openpty()
    termios.tcsetwinsize(theirs, (24, 80))
    done = subprocess.run(
        [BIN / "cmd-score", small_example / "generated", small_example / "captions.json",
         "--model", "scenes-toy", "--no-cache"],
        stdout=subprocess.PIPE, stderr=theirs, check=True,
    )  # fmt: skip
    os.close(theirs)
    told = os.read(ours, 1 << 16).decode()
    os.close(ours)
    assert "loading torch and scenes-toy" in told and "%|" in told and "60/60" in told
    assert b"CMD" in done.stdout
