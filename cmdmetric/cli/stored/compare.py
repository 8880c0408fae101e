"""The command `cmdmetric compare`."""

from __future__ import annotations

import sys
from pathlib import PurePath

import click

from cmdmetric.cli import completion
from cmdmetric.cli.options import check_writable, explain, give, write
from cmdmetric.terminal import as_json, tell, width_of

#: How a comparison is printed.
FORMS = ("table", "json", "csv", "md", "latex")
#: By its ending, how a file is written where that is not as JSON.
ENDINGS = {".csv": "csv", ".md": "md", ".tex": "latex"}


@click.command(
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="""\b
Examples:
  cmdmetric compare a.json b.json c.json
  cmdmetric compare results/*.json --report compare.html
  cmdmetric compare results/*.json --format latex  # booktabs, the best marked
""",
)
@click.argument("files", nargs=-1, required=True, shell_complete=completion.paths)
@click.option("--format", "form", type=click.Choice(FORMS), default="table",
              show_default=True, help="What goes to stdout.")  # fmt: skip
@click.option("--short", is_flag=True, help="Print signatures in their short form.")
@click.option("-o", "--output", metavar="FILE", shell_complete=completion.paths,
              help="Write the result to a file as well: JSON, or .csv, .md, .tex.")  # fmt: skip
@click.option("--report", metavar="FILE", shell_complete=completion.paths,
              help="Write a self-contained HTML report.")  # fmt: skip
@click.option("--encoders", is_flag=True,
              help="Is the order the same under every encoder?")  # fmt: skip
@click.option("--title", metavar="TEXT", help="The report's title.")
@explain
def compare(
    files: tuple[str, ...],
    form: str,
    short: bool,
    output: str | None,
    report: str | None,
    encoders: bool,
    title: str | None,
) -> None:
    """Rank the scores of several models, and tell which differ from the best beyond chance.

    FILES are what `cmd-score ... -o FILE` wrote, all of one protocol, encoder and reference; with
    --encoders they are of the same images under several encoders.
    """
    from cmdmetric.compare import across_encoders, compare as compare_files, to_csv, to_grid

    check_writable(output)
    written = ENDINGS.get(PurePath(output or "").suffix.lower(), "json")
    if encoders:
        if report or short or form not in ("table", "json") or written != "json":
            raise click.UsageError("--encoders gives a table or JSON, and no report")
        across = across_encoders(files)
        give(across.to_dict(), across.lines(), form, output)
        return
    if report is not None:
        from cmdmetric.report import check_report

        check_report(report)
    result = compare_files(files)
    for note in result.warnings:
        tell(f"warning: {note}")
    if report is not None:
        from cmdmetric.report import write_compare_report

        write_compare_report(result, report, title=title)
    content = result.to_dict()
    forms = {
        "csv": lambda: to_csv(result),
        "md": lambda: to_grid(result).to_markdown(),
        "latex": lambda: to_grid(result).to_latex(),
    }
    if output:
        write(output, forms[written]() if written in forms else as_json(content) + "\n")
    if form in forms:
        print(forms[form](), end="")
    else:
        give(content, result.lines(width_of(sys.stdout), short=short), form)
