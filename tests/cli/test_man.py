"""The manual pages: complete, and as man reads them."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import click
import pytest

from cmdmetric.cli.main import main as cmdmetric, score
from grgan_ref.cli.main import main as grgan
from tests.conftest import ROOT


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """man1/ with all pages."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(ROOT / "docs" / "man")
        from pages import write

        made = tmp_path_factory.mktemp("man") / "man1"
        write(made)
    return made


def commands(name: str, command: click.Command) -> dict[str, click.Command]:
    found = {name: command}
    if isinstance(command, click.Group):
        for sub, child in command.commands.items():
            found |= commands(f"{name}-{sub}", child)
    return found


COMMANDS = {
    **commands("cmdmetric", cmdmetric),
    **commands("grgan", grgan),
    "cmd-score": score,
}


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_and_option_is_told(folder: Path, name: str) -> None:
    page = folder / f"{name}.1"
    if name.startswith("cmdmetric-cache-"):
        page = folder / "cmdmetric-cache.1"
    text = page.read_text(encoding="utf-8")
    if text.startswith(".so "):
        text = (folder.parent / text.split()[1]).read_text(encoding="utf-8")
    for section in ("NAME", "SYNOPSIS", "DESCRIPTION", "OPTIONS", "EXIT STATUS", "ENVIRONMENT",
                    "FILES", "SEE ALSO"):  # fmt: skip
        assert f".SH {section}\n" in text
    for option in COMMANDS[name].params:
        if isinstance(option, click.Option):
            assert option.help, f"{name} {option.opts[0]} says nothing"
            assert option.opts[0].replace("-", r"\-") in text
    for sub in getattr(COMMANDS[name], "commands", ()):
        assert sub.replace("-", r"\-") in text


@pytest.mark.skipif(not shutil.which("mandoc"), reason="no mandoc")
def test_mandoc_finds_nothing_wrong(folder: Path) -> None:
    pages = [page for page in folder.iterdir() if not page.read_text().startswith(".so")]
    done = subprocess.run(["mandoc", "-Tlint", *pages], capture_output=True, text=True, check=False)
    # A page without a date is the same at every build, and a paragraph is one line.
    told = [
        line
        for line in done.stdout.splitlines()
        if "missing date" not in line and "longer than 80" not in line
    ]
    assert told == []


@pytest.mark.skipif(not shutil.which("man"), reason="no man")
def test_man_shows_the_page(folder: Path) -> None:
    done = subprocess.run(
        ["man", "-l", folder / "cmd-score.1"],
        env={"PATH": "/usr/bin:/bin", "MANWIDTH": "90", "LC_ALL": "C.UTF-8"},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode:
        pytest.skip(f"man cannot show a file here: {done.stderr}")
    assert "cmd-score samples/ captions.json --check score.json --check 'cmd<=8.5'" in done.stdout
    assert "CMDMETRIC_REFERENCES" in done.stdout
