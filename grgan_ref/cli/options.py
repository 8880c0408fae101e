"""What several commands of `grgan` share."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING

import click
from click.shell_completion import CompletionItem

from cmdmetric.cli import completion
from grgan_ref.compose import presets
from grgan_ref.errors import GrganError

if TYPE_CHECKING:
    from cmdmetric.cli.completion import Items

PATH = click.Path(path_type=Path)
#: What the shell offers where a preset is meant, or a file of one's own.
complete_presets = completion.names(presets(), files=True)
device_option = click.option(
    "--device",
    shell_complete=completion.devices,
    help="cpu, cuda or cuda:N.  [default: CUDA where there is any]",
)
preset_of_file_option = click.option(
    "--preset",
    shell_complete=complete_presets,
    help="Of a released file, in place of the one that is found from it.",
)
settings_option = click.option(
    "--set",
    "settings",
    multiple=True,
    metavar="KEY=VALUE",
    shell_complete=lambda *given: complete_settings(*given),
    help="Change one key of the configuration, e.g. train.batch=16. Repeatable.",
)
base_option = click.option(
    "--base",
    metavar="PRESET",
    shell_complete=complete_presets,
    help="Put a preset that has a base (grgan info NAME) upon another one.",
)


def complete_settings(ctx: click.Context, param: click.Parameter, incomplete: str) -> Items:
    """The keys of a configuration, for --set."""
    from grgan_ref.config import Config

    keys = [
        f"{section.name}.{field.name}="
        for section in dataclasses.fields(Config)
        for field in dataclasses.fields(getattr(Config(), section.name))
    ]
    return [CompletionItem(key) for key in keys if key.startswith(incomplete)]


def settings_of(pairs: tuple[str, ...]) -> dict[str, str]:
    """Return KEY=VALUE of --set as a dictionary.

    Raises:
        GrganError: An option has another form.
    """
    for pair in pairs:
        if "=" not in pair:
            raise GrganError(f"--set {pair}: write KEY=VALUE")
    return dict(pair.split("=", 1) for pair in pairs)
