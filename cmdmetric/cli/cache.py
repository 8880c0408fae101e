"""The commands `cmdmetric cache info`, `clear` and `verify`."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import click

from cmdmetric.cli import completion
from cmdmetric.cli.options import explain, give
from cmdmetric.terminal import say

if TYPE_CHECKING:
    from cmdmetric.cache import FeatureCache

_CONTEXT = {"help_option_names": ["-h", "--help"]}
_folder = click.option(
    "--cache-dir",
    metavar="DIR",
    shell_complete=completion.paths,
    help="The cache's folder.  [default: in $CMDMETRIC_CACHE or the user's cache folder]",
)


@click.group(context_settings=_CONTEXT)
def cache() -> None:
    """What is kept of images and captions that were encoded before."""


@cache.command(context_settings=_CONTEXT)
@_folder
@click.option("--format", "form", type=click.Choice(["table", "json"]), default="table",
              show_default=True, help="What goes to stdout.")  # fmt: skip
@explain
def info(cache_dir: str | None, form: str) -> None:
    """Where the cache is, how large it may be, and what is in it."""
    with _open(cache_dir) as features:
        database = features.database
        uses = database.uses()
        report: dict[str, Any] = {
            "folder": str(features.folder),
            "bytes": database.size(),
            "limit": features.limit,
            "files": database.count_files(),
            "contents": [use._asdict() for use in uses],
        }
    lines = [
        f"folder  {report['folder']}",
        f"size    {_readable(report['bytes'])} of at most {_readable(features.limit)}",
        f"files   {report['files']} whose content is known without reading them again",
        *(f"{use.entries:>10}  {_readable(use.bytes):>9}  {use.label}" for use in uses),
    ]
    give(report, lines, form)


@cache.command(context_settings=_CONTEXT)
@_folder
@explain
def clear(cache_dir: str | None) -> None:
    """Forget everything in it."""
    from cmdmetric.errors import InputError

    with _open(cache_dir) as features:
        if not features.database.writable:
            raise InputError(f"{features.folder}: not yours to write to; nothing was freed")
        size = features.database.size()
        features.database.clear()
        left = features.database.size()
    say(f"{features.folder}: {_readable(max(0, size - left))} freed")


@cache.command(context_settings=_CONTEXT)
@_folder
@explain
def verify(cache_dir: str | None) -> None:
    """Check every checksum, and read the files again whose content is known.

    What is damaged or wrong is dropped, and the exit status is then 1.
    """
    with _open(cache_dir) as features:
        good, damaged = features.database.verify()
        right, wrong = features.digests.verify()
    say(f"{features.folder}: {good} blocks are whole, {damaged} were damaged and dropped")
    say(f"{right} files hold what is noted of them, {wrong} notes were wrong and dropped")
    if damaged or wrong:
        sys.exit(1)


def _open(folder: str | None) -> FeatureCache:
    """The cache there; a wrong folder is a mistake here, where a score only goes on without."""
    from cmdmetric.cache import FeatureCache, default_folder
    from cmdmetric.errors import InputError

    place = default_folder() if folder is None else folder
    # `is_at` refuses a place that is not yours to look at.
    if FeatureCache.is_at(place) or folder is None:
        return FeatureCache(place)
    raise InputError(f"{folder}: no feature cache is there")


def _readable(size: int) -> str:
    """Bytes with a unit, in powers of 1000.

    >>> _readable(1_234_567)
    '1.2 MB'
    """
    value, units = float(size), iter(("B", "kB", "MB", "GB", "TB"))
    unit = next(units)
    while value >= 1000 and unit != "TB":
        value, unit = value / 1000, next(units)
    return f"{size} B" if unit == "B" else f"{value:.1f} {unit}"
