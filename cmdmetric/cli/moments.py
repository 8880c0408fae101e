"""The commands `cmdmetric moments` and `cmdmetric merge`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from cmdmetric.cli import completion
from cmdmetric.cli.options import check_writable, encoder_options, explain
from cmdmetric.terminal import say

if TYPE_CHECKING:
    from cmdmetric.scoring import EncodingOptions, StoredSet


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("source", shell_complete=completion.paths)
@click.option("-o", "--output", required=True, metavar="FILE", shell_complete=completion.paths,
              help="The .npz to write.")  # fmt: skip
@click.option(
    "--side",
    type=click.Choice(["image", "text"]),
    help="What SOURCE holds.  [default: text for .json .jsonl .csv .tsv .txt, else image]",
)
@click.option("--shard", metavar="I/K", help="Only this share of SOURCE, for one job of K; "
              "counted from 0: 0/64 to 63/64.")  # fmt: skip
@click.option("--features/--no-features", default=True, show_default=True,
              help="Keep features, names and captions too: error bars, the debiased CMD and other "
              "metrics need them. Without, the file is small.")  # fmt: skip
@encoder_options
@explain
def moments(
    source: str,
    output: str,
    side: str | None,
    shard: str | None,
    features: bool,
    options: EncodingOptions,
) -> None:
    """Store the moments of a set of images or captions, to score against them later.

    The file also records protocol and encoder, and pytorch-fid's tools can read it. Jobs that
    share a large set each make a --shard of it; cmdmetric merge puts these together.
    """
    from cmdmetric.scoring import stored_set

    check_writable(output)
    result = stored_set(
        source,
        side,  # type: ignore[arg-type]  # click.Choice has checked it
        shard=shard,
        features=features,
        **options,
    )
    result.save(output)
    _tell(output, result)


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("parts", nargs=-1, required=True, shell_complete=completion.paths)
@click.option("-o", "--output", required=True, metavar="FILE", shell_complete=completion.paths,
              help="The .npz to write.")  # fmt: skip
@click.option("--allow-gaps", is_flag=True, help="Merge what is there where shards are missing.")
@explain
def merge(parts: tuple[str, ...], output: str, allow_gaps: bool) -> None:
    """Merge moments: of the shards of a set, or of several sets that are to count as one.

    Equal to one pass over all of it. Shards that are missing, that overlap, or that were made
    under another protocol or encoder are told.
    """
    from cmdmetric.scoring import merge as merge_files

    check_writable(output)
    result = merge_files(parts, allow_gaps=allow_gaps)
    result.save(output)
    _tell(output, result)


def _tell(output: str, result: StoredSet) -> None:
    dimensions = f", {result.moments.d} dimensions" if result.moments else ""
    place = ""
    if result.record:
        place = f", shard {result.record.shard} of {result.record.listing.total}"
        place += f" {result.record.listing.unit}"
    say(f"{output}: {result.n} samples{dimensions}{place}", err=True)
