"""What an older code computed is not recalled: every source of the package counts."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT

DIGEST = "from cmdmetric.cache.computed import code_digest; print(code_digest())"
#: Remembers a value of the copy's code, and tells whether it was computed.
REMEMBERED = """
from cmdmetric.cache import FeatureCache, remembered
from cmdmetric.metrics.vectors import BLOCK
def compute():
    print("computed", end=" ")
    return {"value": BLOCK}
with FeatureCache("kept") as cache:
    print(remembered(cache, "a test", [b"its source"], compute)["value"])
"""


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A copy of the package's sources, without its bundled networks."""
    bundled = shutil.ignore_patterns("bundled", "__pycache__")
    shutil.copytree(ROOT / "cmdmetric", tmp_path / "cmdmetric", ignore=bundled)
    return tmp_path


def said(copy: Path, code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-B", "-c", code], cwd=copy, capture_output=True, text=True, check=False,
        env={**os.environ, "PYTHONPATH": str(copy)},
    )  # fmt: skip


def change(file: Path, name: str, value: str) -> None:
    text, count = re.subn(rf"^{name} = .*$", f"{name} = {value}", file.read_text(), flags=re.M)
    assert count == 1
    file.write_text(text)


def test_a_constant_in_any_module_is_another_code(copy: Path) -> None:
    seen = {said(copy, DIGEST).stdout}
    for file, name, value in (
        ("metrics/vectors.py", "BLOCK", "512"),
        ("encoders/tokens.py", "CONTEXT", "78"),
        ("features/stored_moments.py", "WORTH", "5"),
        ("uncertainty/excess.py", "DRAWS_A_DIMENSION", "2.5"),
    ):
        change(copy / "cmdmetric" / file, name, value)
        seen.add(said(copy, DIGEST).stdout)
    assert len(seen) == 5 and all(re.fullmatch(r"[0-9a-f]{64}\n", digest) for digest in seen)
    assert said(copy, DIGEST).stdout in seen


def test_a_number_is_computed_anew_when_a_constant_changes(copy: Path) -> None:
    assert [said(copy, REMEMBERED).stdout for _ in range(2)] == ["computed 1024\n", "1024\n"]
    change(copy / "cmdmetric" / "metrics" / "vectors.py", "BLOCK", "512")
    assert [said(copy, REMEMBERED).stdout for _ in range(2)] == ["computed 512\n", "512\n"]


def test_missing_sources_are_told(copy: Path) -> None:
    code = """
import importlib, pathlib
from cmdmetric.cache import computed
from cmdmetric.errors import InputError
computed.__file__ = str(pathlib.Path("elsewhere/cmdmetric/cache/computed.py").absolute())
try:
    computed.code_digest()
except InputError as error:
    print(error)
"""
    assert "the sources of cmdmetric are not in" in said(copy, code).stdout
