"""What pip's script `grgan` calls, and `python -m grgan_ref`, so that torchrun can start it."""

from cmdmetric.cli.start import start


def grgan() -> None:
    """The command `grgan`."""
    start("grgan_ref.cli.main", "main", "grgan")


if __name__ == "__main__":
    grgan()
