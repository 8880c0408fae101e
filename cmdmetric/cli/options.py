"""What the commands share: options, how mistakes are told, and files that are written."""

from __future__ import annotations

import functools
import os
import sys
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from cmdmetric.cli import completion
from cmdmetric.cli.entry import WRONG
from cmdmetric.cli.start import INTERRUPTED
from cmdmetric.scoring import DEFAULTS
from cmdmetric.terminal import as_json, say, tell


def explain(command: Callable[..., None]) -> Callable[..., None]:
    """Turn a user's mistake into one message and exit status 2, warnings into lines on stderr.

    Of several processes (`cmdmetric.features.workers`) the first speaks, and all share its status.
    """

    @functools.wraps(command)
    def run(*args: Any, **kwargs: Any) -> None:
        from cmdmetric.errors import InputError
        from cmdmetric.features import workers as distributed

        first = distributed.place()[0] == 0

        told = set()

        def show(message: Warning | str, *_: Any, **__: Any) -> None:
            from cmdmetric.inputs import overheard  # imports Pillow

            text = str(message)
            if not overheard(text) and text not in told and first:
                tell(f"warning: {text}")
            told.add(text)

        status = 0
        try:
            with distributed.command(), warnings.catch_warnings():
                warnings.simplefilter("default", UserWarning)
                # Every one of a decoder's is counted, with the name of its image.
                warnings.filterwarnings("always", category=UserWarning, module=r"PIL\b")
                warnings.showwarning = show
                try:
                    command(*args, **kwargs)
                except InputError as error:
                    if first:
                        tell(f"error: {error}")
                    status = WRONG
                except distributed.Finished as finished:
                    status = finished.workers.told()
                distributed.part(status)
        except distributed.ProcessLost as error:
            tell(f"error: {error}")
            _exit(WRONG)
        except KeyboardInterrupt:
            tell("interrupted")
            _exit(INTERRUPTED)
        if status:
            sys.exit(status)

    return run


def _exit(status: int) -> None:
    """At once: threads that still decode must not hold up the exit."""
    sys.stdout.flush()
    os._exit(status)


def _cache(ctx: click.Context, _: click.Parameter, value: str | bool | None) -> None:
    """--cache-dir and --no-cache are one argument `cache`: as in `cmdmetric.cmd`."""
    chosen = ctx.params.setdefault("cache", True)
    if value not in (None, False) and chosen is not False:
        ctx.params["cache"] = False if value is True else value


#: Where captions and images stand in records and tables.
COLUMNS = (
    click.option("--caption-column", metavar="NAME",
                 help="Of captions; keys or values of a mapping."),
    click.option("--image-column", metavar="NAME", help="Of images, or their names, in records."),
)  # fmt: skip


#: Which encoder, under which protocol.
_ENCODER = (
    click.option("--model", metavar="NAME|FOLDER", shell_complete=completion.models,
                 help="An open_clip name, "
                 "NAME/TAG or folder, or scenes-toy.  [default: ViT-B-32/openai]"),
    click.option("--weights", metavar="FILE", shell_complete=completion.paths,
                 help="Its weights.  [default: caches, else a download]"),
    click.option("--protocol", default=DEFAULTS["protocol"], show_default=True,
                 metavar="NAME|FILE", shell_complete=completion.protocols,
                 help="grgan beside published numbers, clip for anything else, or JSON."),
)  # fmt: skip
_DTYPE = click.option("--dtype", type=click.Choice(["fp32", "bf16"]), default=DEFAULTS["dtype"],
                      show_default=True, help="The network's arithmetic.")  # fmt: skip
#: Where and how much at once; none of these moves a number.
_MACHINE = (
    click.option("--device", metavar="DEVICE", shell_complete=completion.devices,
                 help="cpu, cuda:1, mps.  [default: a GPU]"),
    click.option("--batch-size", default=DEFAULTS["batch_size"], show_default=True,
                 help="Changes speed only."),
)  # fmt: skip
#: How sets are read and passed on.
_PASS = (
    *COLUMNS,
    click.option("--on-error", type=click.Choice(["raise", "skip"]),
                 default=DEFAULTS["on_error"], show_default=True,
                 help="Undecodable images."),
    click.option("--cache-dir", metavar="DIR", expose_value=False, callback=_cache,
                 shell_complete=completion.paths, help="Where computed features are kept."),
    click.option("--no-cache", is_flag=True, expose_value=False, callback=_cache,
                 help="Compute every feature, keep none."),
    click.option("-q", "--quiet", is_flag=True, help="No progress bars."),
)  # fmt: skip

#: What is computed beside CMD, and of which images.
_WANTED = (
    click.option("--metrics", default="", metavar="NAMES", shell_complete=completion.metrics,
                 help="More metrics: fid,clipscore,... or all."),
    click.option("--image-model", metavar="NAME|FOLDER", multiple=True,
                 shell_complete=completion.paths,
                 help="More image networks: dinov2, or any of timm."),
    click.option("--image-weights", metavar="[NAME=]FILE", multiple=True,
                 shell_complete=completion.paths,
                 help="Weights of --image-model.  [default: caches, else a download]"),
    click.option("--inception-weights", metavar="FILE", shell_complete=completion.paths,
                 help="For fid, kid and is."),
    click.option("--inception-real", metavar="PATH", shell_complete=completion.paths,
                 help="Their real side: images, or an .npz."),
    click.option("--num", type=int, metavar="N",
                 help="Score N generated images, with their captions.  [default: all]"),
    click.option("--seed", type=int, metavar="S", help="Which N.  [default: 0]"),
)  # fmt: skip


def wanted_options(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options of what is computed beside CMD, and of which images."""
    for option in reversed(_WANTED):
        command = option(command)
    return command


def encoder_options(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options of encoding, which it gets as one argument `options`."""
    return _collected(command, (*_ENCODER, *_MACHINE, _DTYPE, *_PASS))


def pass_options(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the same, without those that say which encoder."""
    return _collected(command, (*_MACHINE, *_PASS))


def _collected(
    command: Callable[..., None], options: Sequence[Callable[..., Any]]
) -> Callable[..., None]:
    names: set[str] = set()

    @functools.wraps(command)
    def collected(**params: Any) -> None:
        params["progress"] = not params.pop("quiet")
        found = {name: params.pop(name) for name in names if name in params}
        command(**params, options=found)

    decorated: Callable[..., None] = collected
    for option in reversed(options):
        decorated = option(decorated)
    # The columns of a mapping and the cache come under names of their own.
    own = {param.name for param in getattr(decorated, "__click_params__", ())}
    names |= {name for name in DEFAULTS if name in own or name in ("cache", "progress")}
    return decorated


def check_writable(output: str | None) -> None:
    """Tell of a wrong place before the work, not after it; a URL's only where it is unknown."""
    from cmdmetric.files import check_place, remote

    if output is None:
        return
    if remote.is_url(output):
        remote.filesystem(output)
        return
    check_place(remote.local(output))


def give(
    content: Mapping[str, Any], lines: Sequence[str], form: str, output: str | None = None
) -> None:
    """A result: as JSON to the file that -o names, and to stdout as JSON or as lines of text."""
    text = as_json(content)
    if output:
        write(output, text + "\n")
    if form == "json":
        print(text)
    else:
        say(*lines)


def write(path: str | Path, text: str) -> None:
    """Write a text to a file or a URL; a file appears whole or not at all."""
    from cmdmetric.files import remote, whole_file

    # Names of files need be no UTF-8: what is not is written as in JSON (\udcff).
    content = text.encode(errors="backslashreplace")
    if remote.is_url(path):
        remote.write_bytes(str(path), content)
        return
    with whole_file(remote.local(str(path))) as file:
        file.write(content)
