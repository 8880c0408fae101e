"""Building the wheel puts the manual pages into it, for share/man of the environment."""

from __future__ import annotations

import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class ManualPages(BuildHookInterface):  # type: ignore[type-arg]
    """The pages follow from the commands, so they are made and not kept."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Make them, and tell where each belongs."""
        sys.path[:0] = [self.root, str(Path(self.root) / "docs" / "man")]
        try:
            from pages import write
        finally:
            del sys.path[:2]
        self._folder = tempfile.mkdtemp()
        for path in write(Path(self._folder)):
            build_data["shared_data"][str(path)] = f"share/man/man1/{path.name}"

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        """They are in the wheel now."""
        shutil.rmtree(self._folder, ignore_errors=True)
