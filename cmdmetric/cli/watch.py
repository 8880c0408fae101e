"""The command `cmdmetric watch`."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import click

from cmdmetric.cli import completion
from cmdmetric.cli.options import check_writable, encoder_options, explain, wanted_options
from cmdmetric.terminal import say, shown, tell

if TYPE_CHECKING:
    from cmdmetric.scoring import EncodingOptions


@click.command(
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="""\b
Examples:
  cmdmetric watch runs/samples/ captions.json --real photos/ -o scores.jsonl
  cmdmetric watch 'runs/*/samples' captions.json --real real.npz \\
    -o scores.jsonl --once
""",
)
@click.argument("runs", shell_complete=completion.paths)
@click.argument("captions", shell_complete=completion.paths)
@click.option("--real", metavar="PATH|NAME", shell_complete=completion.references,
              help="Real images, moments, or coco2014-val.")  # fmt: skip
@click.option("-o", "--output", required=True, metavar="FILE", shell_complete=completion.paths,
              help="The table of scores (.jsonl), which goes on where it was.")  # fmt: skip
@click.option("--every", type=click.FloatRange(min=0.1), default=30.0, show_default=True,
              metavar="SECONDS", help="Between two looks.")  # fmt: skip
@click.option("--once", is_flag=True, help="Score what is there now, and end.")
@wanted_options
@encoder_options
@explain
def watch(
    runs: str,
    captions: str,
    real: str | None,
    output: str,
    every: float,
    once: bool,
    options: EncodingOptions,
    **wanted: Any,
) -> None:
    """Score sets of samples as a run writes them, into one table.

    RUNS is a folder whose subfolders (or .zip, .tar, .npz) are sets of samples, or a glob of
    these; CAPTIONS are those of every set. A set is scored once nothing in it has changed between
    two looks; those that are in the table already are left alone.
    """
    from cmdmetric.watching import check_runs, scorer, watch as watched

    check_writable(output)
    check_runs(runs, output, once=once)  # a wrong place is told before networks are built
    score = scorer(captions, real, **wanted, **options)
    failed = False
    for seen in watched(runs, score, output, every=every, once=once):
        if seen.score is None:
            failed = True
            tell(f"{shown(seen.name)}: {seen.reason}")
        else:
            say(f"{shown(seen.name)}  {seen.score!r}")
    if failed:
        sys.exit(2)
