"""What pip's scripts `cmd-score` and `cmdmetric` call; `python -m cmdmetric` is the latter."""

import os

from cmdmetric.cli.start import start

# Threads of a network that wait for each other leave the cores to what decodes images meanwhile. It
# is read when torch is imported.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


def cmd_score() -> None:
    """The command `cmd-score`."""
    start("cmdmetric.cli.score", "score", "cmd-score")


def cmdmetric() -> None:
    """The command `cmdmetric`."""
    start("cmdmetric.cli.main", "main", "cmdmetric")


if __name__ == "__main__":
    cmdmetric()
