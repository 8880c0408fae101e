"""The notebook runs from its first cell to its last, in IPython."""

from __future__ import annotations

import json
import runpy
import shutil
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.support.commands import BIN

NOTEBOOK = json.loads((ROOT / "examples/ten_minutes.ipynb").read_text(encoding="utf-8"))


def test_it_is_what_its_script_writes() -> None:
    written = runpy.run_path(str(ROOT / "examples/make_notebook.py"))["notebook"]()
    assert written == NOTEBOOK


@pytest.mark.slow
@pytest.mark.usefixtures("remembered_example")
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_it_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shell_class = pytest.importorskip("IPython.core.interactiveshell").InteractiveShell
    shutil.copytree(ROOT / "examples", tmp_path / "examples")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", str(BIN), prepend=":")
    monkeypatch.setenv("MPLBACKEND", "agg")
    shell = shell_class()
    for cell in NOTEBOOK["cells"]:
        if cell["cell_type"] == "code":
            result = shell.run_cell("".join(cell["source"]))
            result.raise_error()
    assert shell.user_ns["ours"].cmd < shell.user_ns["blurred"].cmd
    assert shell.user_ns["_exit_code"] == 0 and (tmp_path / "report.html").exists()
