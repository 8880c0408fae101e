"""The command `cmdmetric moments`."""

from __future__ import annotations

import click

from cmdmetric.cli_options import check_writable, encoder_options, explain


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("source")
@click.option("-o", "--output", required=True, metavar="FILE", help="The .npz to write.")
@click.option(
    "--side",
    type=click.Choice(["image", "text"]),
    help="What SOURCE holds.  [default: text for .json .jsonl .csv .tsv .txt, else image]",
)
@encoder_options
@explain
def moments(
    source: str,
    output: str,
    side: str | None,
    model: str | None,
    weights: str | None,
    protocol: str,
    device: str | None,
    batch_size: int,
    on_error: str,
    cache: bool | str,
    quiet: bool,
) -> None:
    """Store the moments of a set of images or captions, to score against them later.

    The file also records protocol and encoder, and pytorch-fid's tools can read it.
    """
    from cmdmetric.score import moments_of

    check_writable(output)
    result = moments_of(
        source,
        side,  # type: ignore[arg-type]  # click.Choice has checked it
        model=model,
        weights=weights,
        protocol=protocol,
        device=device,
        batch_size=batch_size,
        on_error=on_error,  # type: ignore[arg-type]
        cache=cache,
        progress=not quiet,
    )
    result.save(output)
    click.echo(f"{output}: {result.n} samples, {result.d} dimensions", err=True)
