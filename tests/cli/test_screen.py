"""What a terminal shows: help on one screen, colours, tables that fit, verdicts first, lists."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from cmdmetric.cli.main import main, score
from cmdmetric.cli.tables import harm_table
from cmdmetric.compare import compare
from cmdmetric.scoring import METRICS, Harm
from cmdmetric.terminal import Styled, say
from grgan_ref.cli.main import main as grgan
from tests.conftest import ROOT

BASELINE = json.loads((ROOT / "tests/gate/baselines/scenes-small.json").read_text(encoding="utf-8"))


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def call(*arguments: object) -> str:
    done = CliRunner().invoke(main, list(map(str, arguments)))
    assert done.exit_code == 0, done.output
    return done.output


def on_terminal(monkeypatch: pytest.MonkeyPatch, *lines: str, **env: str) -> str:
    for name in ("NO_COLOR", "COLUMNS"):
        monkeypatch.delenv(name, raising=False)
    for name, value in ({"TERM": "xterm"} | env).items():
        monkeypatch.setenv(name, value)
    stream = Terminal()
    monkeypatch.setattr(sys, "stdout", stream)
    say(*lines)
    return stream.getvalue()


def test_help_fits_a_screen_and_all_of_it_is_in_groups() -> None:
    runner = CliRunner()
    short, everything = (runner.invoke(score, [flag]).output for flag in ("--help", "--help-all"))
    assert len(short.splitlines()) <= 40 and "--help-all" in short and "--batch-size" not in short
    for param in score.params:
        names = [name for name in param.opts if name.startswith("--")]
        assert all(f"{name} " in f"{everything} " or f"{name}\n" in everything for name in names)
    for title in ("Options:", "Checks:", "Inputs:", "Encoding:"):
        assert f"\n{title}\n" in everything


def ways(command: click.Command, name: str = "") -> Iterator[tuple[str, click.Command]]:
    """Every command by the words that call it."""
    yield name, command
    for word, inner in getattr(command, "commands", {}).items():
        yield from ways(inner, f"{name} {word}".strip())


@pytest.mark.parametrize("program", [main, grgan], ids=["cmdmetric", "grgan"])
def test_every_help_fits_a_terminal_of_80_columns(
    program: click.Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    found = dict(ways(program))
    assert len(found) > 8
    for words in found:
        done = CliRunner().invoke(program, [*words.split(), "--help"])
        lines = done.output.splitlines()
        assert done.exit_code == 0 and len(lines) <= 55, words
        assert max(map(len, lines)) <= 80, (words, max(lines, key=len))


def test_styles_are_for_terminals_that_want_them(monkeypatch: pytest.MonkeyPatch) -> None:
    line = Styled("CMD \x1b[2J", "bold")
    assert on_terminal(monkeypatch, line) == "\x1b[1mCMD \\x1b[2J\x1b[0m\n"
    assert on_terminal(monkeypatch, line, NO_COLOR="1") == "CMD \\x1b[2J\n"
    assert on_terminal(monkeypatch, line, TERM="dumb") == "CMD \\x1b[2J\n"
    pipe = io.StringIO()
    monkeypatch.setattr(sys, "stdout", pipe)
    say(line)
    assert pipe.getvalue() == "CMD \\x1b[2J\n"


def test_lines_fit_a_terminal_and_a_signature_stays_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    signature = "signature  CMD|" + "x" * 150
    text = "CMD         2.9718 ± 0.4522  " + "debiased " * 12
    told = on_terminal(monkeypatch, text, signature, COLUMNS="60").splitlines()
    assert max(map(len, told[:-1])) <= 60 and "CMD|" + "x" * 150 in told[-1]
    assert on_terminal(monkeypatch, text, COLUMNS="200") == f"{text}\n"


@pytest.mark.parametrize("width", [60, 200])
def test_a_ranking_fits(width: int, tmp_path: Path) -> None:
    worse = {**BASELINE, "cmd": BASELINE["cmd"] + 3}
    found = compare({"a rather long name of a model " * 2: BASELINE, "b": worse})
    table = found.lines(width)[:3]
    assert max(map(len, table)) <= width and "CMD" in table[0]
    assert ("Dis(f,r)" in table[0]) == (width == 200)
    assert "a rather long name of a model " * 2 in "\n".join(found.lines())


def test_long_captions_are_cut_with_an_ellipsis() -> None:
    rows = [Harm("caption", "#1", 0.1, "a red circle " * 20)]
    (line,) = harm_table(rows, 60)[1:]
    assert len(line) <= 60 and "…" in line


def test_lists_have_the_names_that_options_take() -> None:
    listed = {kind: call("list", kind) for kind in ("metrics", "references", "protocols")}
    assert [line.split()[0] for line in listed["metrics"].splitlines()] == list(METRICS)
    assert "coco2014-val" in listed["references"] and "↑" in listed["metrics"]
    assert [line.split()[0] for line in listed["protocols"].splitlines()] == ["grgan", "clip"]
    name = next(line for line in call("list", "published").splitlines() if "/GR-GAN " in line)
    assert name.startswith("published:") and "CMD " in name
    assert "scenes-toy" in call("list", "models")


@pytest.mark.usefixtures("remembered_example")
def test_the_number_alone(example: Path) -> None:
    arguments = ("score", example / "generated", example / "captions.json", "--model", "scenes-toy")
    assert float(call(*arguments, "-b", "-q")) > 0
    for more, told in (
        (("--format", "json"), "leave out --format json"),
        (("--cite",), "leave out --cite"),
        (("--versus", str(example / "real")), "leave out --versus"),
    ):
        wrong = CliRunner().invoke(main, [*map(str, arguments), "-b", *more])
        assert wrong.exit_code == 2 and "--score-only" in wrong.output and told in wrong.output


@pytest.mark.usefixtures("remembered_example")
def test_versus_says_the_verdict_first(example: Path) -> None:
    lines = call(
        "score", example / "generated", example / "captions.json", "--versus", example / "real",
        "--real", example / "real", "--model", "scenes-toy", "-q",
    ).splitlines()  # fmt: skip
    at = next(i for i, line in enumerate(lines) if " is worse than " in line)
    assert "chance alone parts two equal generators" in lines[at + 2] and "p " in lines[at + 2]
    assert lines[at + 3].startswith("signature ")
    assert lines[at + 5].startswith("first: ")
