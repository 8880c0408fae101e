"""What several commands of `grgan` share."""

from __future__ import annotations

from pathlib import Path

import click

from grgan_ref.errors import GrganError

PATH = click.Path(path_type=Path)


def settings_of(pairs: tuple[str, ...]) -> dict[str, str]:
    """KEY=VALUE of --set as a dictionary. Raises GrganError for another form."""
    for pair in pairs:
        if "=" not in pair:
            raise GrganError(f"--set {pair}: write KEY=VALUE")
    return dict(pair.split("=", 1) for pair in pairs)
