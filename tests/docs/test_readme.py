"""The README: five lines of output, no more words than one reads, two set-up commands."""

from __future__ import annotations

import re

import pytest

from tests.conftest import ROOT
from tests.support.commands import run

README = (ROOT / "README.md").read_text(encoding="utf-8")


@pytest.mark.usefixtures("remembered_example")
def test_its_output_is_what_its_command_prints() -> None:
    (shown,) = re.findall(r"```text\n(.*?)```", README, re.S)
    done = run(
        "cmd-score", "examples/generated", "examples/captions.json", "--model", "scenes-toy", "-q",
        cwd=ROOT,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr

    number = re.compile(r"\d+\.\d{4}")

    def words(text: str) -> list[str]:
        """The lines without their numbers and Pillow's release."""
        return number.sub("#", re.sub(r"pillow:[^|]*", "", text)).splitlines()

    assert words(shown) == words(done.stdout) and len(words(shown)) == 5
    expected, found = (list(map(float, number.findall(text))) for text in (shown, done.stdout))
    # Other processors round features otherwise, which a distance shows in its fifth digit.
    assert found == pytest.approx(expected, abs=1e-3)


def test_it_is_short() -> None:
    assert len(README.split()) <= 600


def test_it_has_two_commands_that_set_up() -> None:
    assert len(re.findall(r"^python3 -m venv .*", README, re.M)) == 2
    assert README.count("<!-- test command -->") == 1
