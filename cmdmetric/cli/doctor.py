"""The command `cmdmetric doctor`."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from cmdmetric.cli import completion
from cmdmetric.cli.options import COLUMNS, explain, give
from cmdmetric.terminal import counted, shown

if TYPE_CHECKING:
    from cmdmetric.preflight import Preflight

_MARKS = {"error": "ERROR  ", "warning": "warning", "note": "note   "}


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
    give(result.to_dict(), _table(result), form)
    if not result.ok:
        sys.exit(1)


def _table(result: Preflight) -> list[str]:
    from cmdmetric.cli.tables import PATH

    def count(n: int | None, noun: str) -> str:
        return "count not known" if n is None else counted(n, noun)

    setup = result.setup
    weights = "weights not at hand"
    if setup.weights is not None:
        weights = f"{shown(setup.weights, PATH)}, {setup.origin}, sha256 {str(setup.sha256)[:8]}"
    lines = [
        f"generated   {shown(result.generated, PATH)} ({count(result.n, 'image')})",
        f"real        {shown(result.real or 'none', PATH)} ({count(result.n_real, 'image')})",
        f"captions    {shown(result.captions, PATH)} ({count(result.n_captions, 'caption')})",
        f"encoder     {setup.model}, protocol {setup.protocol}",
        f"weights     {weights}",
    ]
    for name, path in setup.references.items():
        lines.append(f"reference   {name}: {shown(path, PATH) if path else 'not at hand'}")
    lines.append(
        f"device      {setup.device}, {setup.dtype}, torch on {setup.threads} of "
        f"{setup.cores} processors"
    )
    rates = [
        f"{rate:.0f} {what} a second"
        for rate, what in (
            (setup.decoded, "images decoded"),
            (setup.encoded, "images encoded"),
            (setup.captions, "captions encoded"),
        )
        if rate is not None
    ]
    if rates:
        lines.append(f"speed       {', '.join(rates)}")
    if setup.expected is not None:
        lines.append(f"expected    {_duration(setup.expected)} with an empty cache")
    lines.append("")
    for found in result.findings:
        first, *more = (shown(line) for line in found.message.splitlines() or [""])
        lines.append(f"{_MARKS[found.severity]}  {found.subject}: {first}")
        lines += [f"           {line}" for line in more]
        lines += [f"           {shown(name, PATH)}" for name in found.names[:5]]
        if found.count > 5 and found.names:
            lines.append(f"           and {found.count - 5} more")
    if not result.findings:
        lines.append("nothing found")
    return lines


def _duration(seconds: float) -> str:
    if seconds < 60:
        return f"{max(1, round(seconds))} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"
