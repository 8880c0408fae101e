"""The command `cmd-score`, which is also `cmdmetric score`."""

from __future__ import annotations

import json
import shlex
import sys
from typing import TYPE_CHECKING, Any

import click

from cmdmetric.cli_check import Gate, check_options
from cmdmetric.cli_options import check_writable, encoder_options, explain, write
from cmdmetric.tables import score_table, versus_table
from cmdmetric.version import __version__

if TYPE_CHECKING:
    from cmdmetric.comparison import Versus
    from cmdmetric.score import CMDScore


@click.command(
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="""\b
Examples:
  cmd-score samples/ captions_val2014.json            # against MS-COCO, as published
  cmd-score samples/ captions.json --real photos/     # against your own images
  cmd-score a.zip captions.csv --real real.npz --format json -o score.json
  cmd-score samples/ captions.json --check score.json --check 'cmd<=8.5'
""",
)
@click.argument("generated")
@click.argument("captions")
@click.option("--real", metavar="PATH|NAME", help="Real images, their moments (.npz), or "
              "coco2014-val.  [default: what the captions lead to]")  # fmt: skip
@encoder_options
@click.option("--versus", metavar="PATH", help="A second generator's images: is the difference "
              "significant?")  # fmt: skip
@check_options
@click.option("--format", "form", type=click.Choice(["table", "json"]), default="table",
              show_default=True, help="What goes to stdout.")  # fmt: skip
@click.option("-o", "--output", metavar="FILE", help="Write the JSON result to a file as well.")
@click.option("--report", metavar="FILE", help="Write a self-contained HTML report.")
@click.version_option(__version__, prog_name="cmd-score")
@explain
def score(
    generated: str,
    captions: str,
    real: str | None,
    model: str | None,
    weights: str | None,
    protocol: str,
    device: str | None,
    batch_size: int,
    dtype: str,
    on_error: str,
    cache: bool | str,
    quiet: bool,
    versus: str | None,
    check: tuple[str, ...],
    tolerance: str,
    form: str,
    output: str | None,
    report: str | None,
) -> None:
    """Cross Model Distance of generated images: CMD = Dis(f,r) + ITDis; lower is better.

    GENERATED is a folder, glob, archive (zip, tar), array (.npy, .npz of uint8 images), feature
    file or moments (.npz). CAPTIONS is COCO annotations, Karpathy's split, JSON, JSONL, CSV, TSV
    or TXT; captions need not be one an image.
    """
    from cmdmetric.comparison import versus as compare
    from cmdmetric.score import cmd

    check_writable(output)
    gate = Gate(check, tolerance, output)
    if report is not None:
        from cmdmetric.report import check_report

        check_report(report)
        if versus is not None:
            raise click.UsageError("--report is of one generator; leave out --versus")
    options: Any = {  # checked by click.Choice
        "model": model,
        "weights": weights,
        "protocol": protocol,
        "device": device,
        "batch_size": batch_size,
        "dtype": dtype,
        "on_error": on_error,
        "cache": cache,
        "progress": not quiet,
    }
    result: CMDScore | Versus
    if versus is not None:
        result = compare(generated, versus, captions, real, **options)
        table = versus_table(result)
    elif report is not None:
        from cmdmetric.report import report as make_report

        command = shlex.join(["cmd-score", *sys.argv[1:]])
        result = make_report(generated, captions, real, path=report, command=command, **options)
        table = score_table(result)
    else:
        result = cmd(generated, captions, real, **options)
        table = score_table(result)
    content = result.to_dict()
    verdict = gate.verdict(content)
    if verdict is not None:
        content["check"] = verdict.to_dict()
        table += f"\n\n{verdict}"
    text = json.dumps(content, indent=2)
    if output:
        write(output, text + "\n")
    click.echo(text if form == "json" else table)
    gate.leave(verdict)
