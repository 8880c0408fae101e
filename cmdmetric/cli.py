"""The commands `cmd-score` and `cmdmetric`: they parse, call one function each, and print."""

from __future__ import annotations

import click

from cmdmetric.cli_cache import cache
from cmdmetric.cli_compare import compare
from cmdmetric.cli_doctor import doctor
from cmdmetric.cli_moments import merge, moments
from cmdmetric.cli_published import published
from cmdmetric.cli_score import score
from cmdmetric.completion_shells import register
from cmdmetric.version import __version__

__all__ = ["main", "score"]

register()


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="cmdmetric")
def main() -> None:
    """Reproducible scores for text-to-image models."""


for command in (score, compare, moments, merge, published, cache, doctor):
    main.add_command(command)
