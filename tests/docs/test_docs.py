"""Every command and Python block of README and docs runs, in a folder with a small data set.

The bundled encoder stands in for the default one, whose weights cannot be had without a network.
What a comment before a block says:

    <!-- parsed only: REASON -->   the options of these commands are checked, nothing more
    <!-- not run: REASON -->       nothing is checked
"""

from __future__ import annotations

import re
import shlex
import shutil
from pathlib import Path

import click
import pytest
from click.testing import CliRunner
from sybil import Document, Example, Sybil
from sybil.parsers.markdown import CodeBlockParser, PythonCodeBlockParser

from cmdmetric.cli.main import main, score
from grgan_ref.cli.main import main as grgan
from tests.conftest import ROOT
from tests.support.example import EXAMPLE, part_of_example

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
COMMANDS = {"cmd-score": score, "cmdmetric": main, "grgan": grgan}
#: Of the data that pages call the reader's own: enough for the bundled encoder's dimensions.
IMAGES = 240
#: Commands that `.ci/run` and the release workflow run, or that install something.
ELSEWHERE = ("python3 -m venv", "pip install")


@pytest.fixture(scope="module")
def features(seen_example: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The feature cache that the pages share: none is about what it has in it."""
    return shutil.copytree(seen_example, tmp_path_factory.mktemp("docs-features") / "cache")


@pytest.fixture(scope="module")
def prepared(features: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what the pages speak of: samples/, photos/, captions.json, real.npz ..."""
    folder = tmp_path_factory.mktemp("docs")
    shutil.copytree(EXAMPLE, folder / "examples")
    # Of the reader's own data the pages give no numbers: a part of the example will do.
    part_of_example(folder, IMAGES, "samples", "photos")
    shutil.make_archive(str(folder / "a"), "zip", folder / "samples")
    make = ["moments", "photos", "-o", "real.npz", "--model", "scenes-toy", "-q"]
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("CMDMETRIC_CACHE", str(features))
        made = CliRunner().invoke(main, make)
    assert made.exit_code == 0, made.output
    return folder


@pytest.fixture
def sandbox(
    prepared: Path, features: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Path:
    """The prepared folder, for one page alone."""
    for entry in prepared.iterdir():
        (tmp_path / entry.name).symlink_to(entry)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CMDMETRIC_CACHE", str(features))
    monkeypatch.setattr("cmdmetric.encoders.weights.DEFAULT_MODEL", "scenes-toy")
    return tmp_path


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_blocks_run(page: Path, sandbox: Path) -> None:
    sybil = Sybil([PythonCodeBlockParser(), CodeBlockParser(language="sh", evaluator=_run_block)])
    document = sybil.parse(page)
    for example in document.examples():
        if _instruction(document, example) != "not run":
            example.evaluate()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_commands_are_in_blocks_that_run(page: Path) -> None:
    indented = re.findall(
        r"^ {4,}(?:cmd-score|cmdmetric|grgan|torchrun|python3?|pip|from|import) .*",
        re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.S),
        flags=re.M,
    )
    assert not indented, "fence these as ```sh or ```python"


def _instruction(document: Document, example: Example) -> str | None:
    before = document.text[: example.region.start].rstrip()
    found = re.search(r"<!-- (parsed only|not run): [^\n]+ -->\Z", before)
    return found and found[1]


def _run_block(example: Example) -> None:
    only_parse = _instruction(example.document, example) == "parsed only"
    for line in example.parsed.replace("\\\n", " ").splitlines():
        words = shlex.split(line, comments=True)
        if words and not line.startswith(ELSEWHERE):
            _run_command(words, only_parse)


def _run_command(words: list[str], only_parse: bool) -> None:
    program, *arguments = words
    if program == "torchrun":  # its own options take a value each
        program, arguments = "python", arguments[arguments.index("-m") :]
    if program == "python" and arguments[0] == "-m":
        program = {"cmdmetric": "cmdmetric", "grgan_ref": "grgan"}.get(arguments[1], arguments[1])
        arguments = arguments[2:]
    assert program in COMMANDS, f"{program}: mark the block as not run, with the reason"
    with pytest.MonkeyPatch.context() as patch:
        if only_parse:
            patch.setattr(click.Command, "invoke", lambda *_: None)
        result = CliRunner().invoke(COMMANDS[program], arguments, prog_name=program)
    assert result.exit_code == 0, f"{shlex.join(words)}\n{result.output}\n{result.exception!r}"
