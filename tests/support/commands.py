"""The installed commands, run as a user runs them: in processes of their own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

#: Where pip has put the commands of this environment.
BIN = Path(sys.executable).parent


def run(*args: object, cwd: Path | None = None, **env: str) -> subprocess.CompletedProcess[str]:
    """What a command said and how it ended; `env` adds to this process's environment."""
    command = [str(BIN / str(args[0])), *map(str, args[1:])]
    return subprocess.run(
        command, capture_output=True, text=True, cwd=cwd, env={**os.environ, **env}, check=False
    )
