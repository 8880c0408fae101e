"""The command `cmdmetric doctor`."""

from __future__ import annotations

import sys

import click

from cmdmetric.cli import completion
from cmdmetric.cli.options import COLUMNS, explain, give


@click.command(
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="""\b
Examples:
  cmdmetric doctor samples/ captions_val2014.json
  cmdmetric doctor samples/ captions.json --real photos/ --format json
""",
)
@click.argument("generated", shell_complete=completion.paths)
@click.argument("captions", shell_complete=completion.paths)
@click.option("--real", metavar="PATH|NAME", shell_complete=completion.references,
              help="Real images, their moments (.npz), or coco2014-val.  "
              "[default: what the captions lead to]")  # fmt: skip
@click.option("--model", metavar="NAME|FOLDER", shell_complete=completion.models,
              help="As for cmd-score.")  # fmt: skip
@click.option("--weights", metavar="FILE", shell_complete=completion.paths,
              help="As for cmd-score.")  # fmt: skip
@click.option("--protocol", default="grgan", show_default=True, metavar="NAME|FILE",
              shell_complete=completion.protocols, help="As for cmd-score.")  # fmt: skip
@click.option("--device", metavar="DEVICE", shell_complete=completion.devices,
              help="As for cmd-score.")  # fmt: skip
@click.option("--batch-size", default=32, show_default=True, help="As for cmd-score.")
@COLUMNS[0]
@COLUMNS[1]
@click.option("--no-probe", is_flag=True, help="Do not run the network to measure its speed.")
@click.option("--format", "form", type=click.Choice(["table", "json"]), default="table",
              show_default=True, help="What goes to stdout.")  # fmt: skip
@click.option("-q", "--quiet", is_flag=True, help="No progress bars.")
@explain
def doctor(
    generated: str,
    captions: str,
    real: str | None,
    model: str | None,
    weights: str | None,
    protocol: str,
    device: str | None,
    batch_size: int,
    caption_column: str | None,
    image_column: str | None,
    no_probe: bool,
    form: str,
    quiet: bool,
) -> None:
    """Look at what a score would be computed from, and with what, before computing it.

    Decodes every image and tokenises every caption: unreadable files, duplicates, odd formats,
    captions and images that do not belong together, statistics that do not fit. Downloads nothing.
    The exit status is 1 where something is an error, 0 where there are only warnings and notes.
    """
    from cmdmetric.preflight import preflight

    result = preflight(
        generated,
        captions,
        real,
        model=model,
        weights=weights,
        protocol=protocol,
        device=device,
        batch_size=batch_size,
        caption_column=caption_column,
        image_column=image_column,
        probe=not no_probe,
        progress=not quiet,
    )
    give(result.to_dict(), result.lines(), form)
    if not result.ok:
        sys.exit(1)
