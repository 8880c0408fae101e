"""The command `cmdmetric published`."""

from __future__ import annotations

import click

from cmdmetric.cli.options import explain
from cmdmetric.terminal import as_json, say


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--table", "number", type=int, metavar="N", help="One table.  [default: all]")
@click.option("--format", "form", default="md", show_default=True,
              type=click.Choice(["table", "json", "csv", "md", "latex"]),
              help="What goes to stdout.")  # fmt: skip
@explain
def published(number: int | None, form: str) -> None:
    """The numbers of the paper that CMD was published in: Tables 1, 2, 3, 4 and 6.

    `cmd-score ... --check published:GR-GAN` compares a score with one of the rows.
    """
    from cmdmetric import published as data

    tables = data.tables() if number is None else (data.table(number),)
    if form == "json":
        print(as_json(data.to_dict(data.load(), tables)))
    elif form == "csv":
        print(data.to_csv(tables), end="")
    elif form == "latex":
        print(data.to_latex(tables), end="")
    elif form == "table":
        say(*data.to_text(tables))
    else:
        print(data.to_markdown(data.load(), tables))
