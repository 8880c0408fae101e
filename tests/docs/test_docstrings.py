"""The examples in docstrings run, from the repository's root, and give what they say.

pytest's own --doctest-modules would import modules whose extras are not there, and would run beyond
the fixtures that keep tests off the user's caches.
"""

from __future__ import annotations

import doctest
import importlib
from pathlib import Path

import pytest

from tests.conftest import ROOT

#: Modules that need an extra, with what it brings.
EXTRAS = {"cmdmetric.integrations.torchmetrics": "torchmetrics"}


def _name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


SOURCES = {
    _name(path): text
    for package in ("cmdmetric", "grgan_ref")
    for path in sorted((ROOT / package).rglob("*.py"))
    if ">>> " in (text := path.read_text(encoding="utf-8"))
}


@pytest.mark.usefixtures("remembered_example")
@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("name", SOURCES)
def test_examples_run(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "+SKIP" not in SOURCES[name], "an example that does not run goes wrong unseen"
    if name in EXTRAS:
        pytest.importorskip(EXTRAS[name])
    monkeypatch.chdir(ROOT)
    failed, attempted = doctest.testmod(importlib.import_module(name))
    assert attempted > 0
    assert failed == 0, "doctest's report is in the captured stdout"
