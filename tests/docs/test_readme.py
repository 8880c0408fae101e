"""The README: five lines of output, no more words than one reads, two set-up commands."""

from __future__ import annotations

import re

from tests.conftest import ROOT
from tests.support.commands import run

README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_its_output_is_what_its_command_prints() -> None:
    (shown,) = re.findall(r"```text\n(.*?)```", README, re.S)
    done = run(
        "cmd-score", "examples/generated", "examples/captions.json", "--model", "scenes-toy", "-q",
        cwd=ROOT,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr

    def settled(text: str) -> list[str]:
        """Without Pillow's release, and to three decimals: others' CPUs round otherwise."""
        text = re.sub(r"pillow:[^|]*", "", text)
        return re.sub(r"(\d\.\d{3})\d", r"\1", text).splitlines()

    assert settled(shown) == settled(done.stdout) and len(settled(shown)) == 5


def test_it_is_short() -> None:
    assert len(README.split()) <= 600


def test_it_has_two_commands_that_set_up() -> None:
    assert len(re.findall(r"^python3 -m venv .*", README, re.M)) == 2
    assert README.count("<!-- test command -->") == 1
