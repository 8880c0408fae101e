"""The commands `cmd-score` and `cmdmetric`: they parse, call one function each, and print."""

from __future__ import annotations

import click

from cmdmetric.cli.cache import cache
from cmdmetric.cli.doctor import doctor
from cmdmetric.cli.entry import Group
from cmdmetric.cli.listing import listing
from cmdmetric.cli.moments import merge, moments
from cmdmetric.cli.prompts import prompts
from cmdmetric.cli.score import score
from cmdmetric.cli.stored.cite import cite
from cmdmetric.cli.stored.compare import compare
from cmdmetric.cli.stored.explain import explain
from cmdmetric.cli.stored.plan import plan
from cmdmetric.cli.stored.published import published
from cmdmetric.cli.stored.verify import verify
from cmdmetric.cli.watch import watch
from cmdmetric.version import __version__

__all__ = ["main", "score"]


@click.group(cls=Group, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="cmdmetric")
def main() -> None:
    """Reproducible scores for text-to-image models."""


for command in (
    score,
    compare,
    plan,
    moments,
    merge,
    published,
    prompts,
    listing,
    cache,
    doctor,
    cite,
    explain,
    verify,
    watch,
):
    main.add_command(command)
