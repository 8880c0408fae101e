"""Help on one screen: `--help` has what most people need, `--help-all` everything, in groups."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import click

from cmdmetric.cli.entry import Command

#: What an option that is in no group stands under.
_OTHERS = "Further options"


class GroupedCommand(Command):
    """A command with more options than a screen has lines.

    Args:
        groups: By title, the options' names (of their parameters). `--help` shows the first group,
            `--help-all` shows all, and what is in none at the end.
    """

    def __init__(self, *args: Any, groups: Mapping[str, Sequence[str]], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.groups = groups
        everything = click.Option(
            ["--help-all"], is_flag=True, is_eager=True, expose_value=False,
            help="Show every option and exit.", callback=_show_all,
        )  # fmt: skip
        self.params.append(everything)

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the options of `--help`, or all of them, a section a group."""
        of_name = {param.name: param for param in self.get_params(ctx)}
        first, *others = self.groups
        titles = {name: title for title, names in self.groups.items() for name in names}
        shown = (first, *others, _OTHERS) if ctx.meta.get(_OTHERS) else (first,)
        for title in shown:
            names = self.groups.get(title, [name for name in of_name if name not in titles])
            records = [of_name[name].get_help_record(ctx) for name in names if name in of_name]
            if rows := [record for record in records if record is not None]:
                with formatter.section(title):
                    formatter.write_dl(rows)


def _show_all(ctx: click.Context, _: click.Parameter, value: bool) -> None:
    if value and not ctx.resilient_parsing:
        ctx.meta[_OTHERS] = True
        click.echo(ctx.get_help(), color=ctx.color)
        ctx.exit()
