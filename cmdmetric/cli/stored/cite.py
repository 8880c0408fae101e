"""The command `cmdmetric cite`."""

from __future__ import annotations

import click

from cmdmetric.cli import completion
from cmdmetric.cli.options import explain


@click.command(
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="""\b
Examples:
  cmdmetric cite score.json >> paper.bib
  cmdmetric cite results/*.json
""",
)
@click.argument("files", nargs=-1, shell_complete=completion.paths)
@explain
def cite(files: tuple[str, ...]) -> None:
    """Print the BibTeX of what scores were made with.

    FILES are what `cmd-score ... -o FILE` or `cmdmetric compare ... -o FILE` wrote; without any,
    everything that a score can be made with is printed.
    """
    from cmdmetric.scoring import citations_of_files

    print(citations_of_files(files), end="")
