"""What pip's scripts `cmd-score` and `cmdmetric` call; `python -m cmdmetric` is the latter."""

from cmdmetric.cli.start import start


def cmd_score() -> None:
    """The command `cmd-score`."""
    start("cmdmetric.cli.score", "score", "cmd-score")


def cmdmetric() -> None:
    """The command `cmdmetric`."""
    start("cmdmetric.cli.main", "main", "cmdmetric")


if __name__ == "__main__":
    cmdmetric()
