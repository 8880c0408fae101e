"""The commands `cmd-score` and `cmdmetric`: they parse, call one function each, and print."""

from __future__ import annotations

import functools
import json
import os
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cmdmetric.version import __version__

if TYPE_CHECKING:
    from cmdmetric.comparison import Versus
    from cmdmetric.score import CMDScore

INTERRUPTED = 130  # what a shell reports for Ctrl-C: 128 + SIGINT


def _explain(command: Callable[..., None]) -> Callable[..., None]:
    """Turn a user's mistake into one message and exit status 2, warnings into lines on stderr."""

    @functools.wraps(command)
    def run(*args: Any, **kwargs: Any) -> None:
        from cmdmetric.errors import InputError

        def show(message: Warning | str, *_: Any, **__: Any) -> None:
            click.echo(f"warning: {message}", err=True)

        try:
            with warnings.catch_warnings():
                warnings.simplefilter("default", UserWarning)
                warnings.showwarning = show
                command(*args, **kwargs)
        except InputError as error:
            click.echo(f"error: {error}", err=True)
            sys.exit(2)
        except KeyboardInterrupt:
            click.echo("interrupted", err=True)
            # Threads that still decode must not hold up the exit.
            sys.stdout.flush()
            os._exit(INTERRUPTED)

    return run


def _encoder_options(command: Callable[..., None]) -> Callable[..., None]:
    for option in reversed(
        (
            click.option("--model", metavar="NAME|FOLDER", help="Encoder: a name of open_clip's "
                         "list, NAME/TAG, an open_clip model folder, or scenes-toy (bundled).  "
                         "[default: ViT-B-32/openai]"),
            click.option("--weights", metavar="FILE", help="Its weights: safetensors, state dict, "
                         "or OpenAI's archive.  [default: caches, then an announced download]"),
            click.option("--protocol", default="grgan", show_default=True, metavar="NAME|FILE",
                         help="grgan (published numbers), clip (new work), or a JSON file."),
            click.option("--device", metavar="DEVICE", help="cpu, cuda, cuda:1, mps.  "
                         "[default: a GPU where there is one]"),
            click.option("--batch-size", default=32, show_default=True, help="Changes speed only."),
            click.option("--on-error", type=click.Choice(["raise", "skip"]), default="raise",
                         show_default=True, help="Images that cannot be decoded."),
            click.option("-q", "--quiet", is_flag=True, help="No progress bars."),
        )
    ):  # fmt: skip
        command = option(command)
    return command


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="cmdmetric")
def main() -> None:
    """Reproducible scores for text-to-image models."""


@click.command(
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="""\b
Examples:
  cmd-score samples/ captions_val2014.json            # against MS-COCO, as published
  cmd-score samples/ captions.json --real photos/     # against your own images
  cmd-score a.zip captions.csv --real real.npz --format json -o score.json
""",
)
@click.argument("generated")
@click.argument("captions")
@click.option("--real", metavar="PATH|NAME", help="Real images, their moments (.npz), or "
              "coco2014-val.  [default: what the captions lead to]")  # fmt: skip
@_encoder_options
@click.option("--versus", metavar="PATH", help="A second generator's images: is the difference "
              "significant?")  # fmt: skip
@click.option("--format", "form", type=click.Choice(["table", "json"]), default="table",
              show_default=True, help="What goes to stdout.")  # fmt: skip
@click.option("-o", "--output", metavar="FILE", help="Write the JSON result to a file as well.")
@click.version_option(__version__, prog_name="cmd-score")
@_explain
def score(
    generated: str,
    captions: str,
    real: str | None,
    model: str | None,
    weights: str | None,
    protocol: str,
    device: str | None,
    batch_size: int,
    on_error: str,
    quiet: bool,
    versus: str | None,
    form: str,
    output: str | None,
) -> None:
    """Cross Model Distance of generated images: CMD = Dis(f,r) + ITDis; lower is better.

    GENERATED is a folder, glob, archive (zip, tar), array (.npy, .npz of uint8 images), feature
    file or moments (.npz). CAPTIONS is COCO annotations, Karpathy's split, JSON, JSONL, CSV, TSV
    or TXT; captions need not be one an image.
    """
    from cmdmetric.comparison import versus as compare
    from cmdmetric.score import cmd

    _check_writable(output)
    options: Any = {  # checked by click.Choice
        "model": model,
        "weights": weights,
        "protocol": protocol,
        "device": device,
        "batch_size": batch_size,
        "on_error": on_error,
        "progress": not quiet,
    }
    result: CMDScore | Versus
    if versus is None:
        result = cmd(generated, captions, real, **options)
        table = _table(result)
    else:
        result = compare(generated, versus, captions, real, **options)
        table = _versus_table(result)
    text = json.dumps(result.to_dict(), indent=2)
    if output:
        _write(Path(output), text + "\n")
    click.echo(text if form == "json" else table)


@main.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("source")
@click.option("-o", "--output", required=True, metavar="FILE", help="The .npz to write.")
@click.option(
    "--side",
    type=click.Choice(["image", "text"]),
    help="What SOURCE holds.  [default: text for .json .jsonl .csv .tsv .txt, else image]",
)
@_encoder_options
@_explain
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
    quiet: bool,
) -> None:
    """Store the moments of a set of images or captions, to score against them later.

    The file also records protocol and encoder, and pytorch-fid's tools can read it.
    """
    from cmdmetric.score import moments_of

    _check_writable(output)
    result = moments_of(
        source,
        side,  # type: ignore[arg-type]  # click.Choice has checked it
        model=model,
        weights=weights,
        protocol=protocol,
        device=device,
        batch_size=batch_size,
        on_error=on_error,  # type: ignore[arg-type]
        progress=not quiet,
    )
    result.save(output)
    click.echo(f"{output}: {result.n} samples, {result.d} dimensions", err=True)


main.add_command(score)


def _check_writable(output: str | None) -> None:
    """Tell of a wrong place before the work, not after it."""
    from cmdmetric.errors import InputError

    if output is None:
        return
    folder = Path(output).absolute().parent
    if not folder.is_dir():
        raise InputError(f"cannot write {output}: {folder} is no folder")
    if Path(output).is_dir() or not os.access(folder, os.W_OK):
        raise InputError(f"cannot write {output}: it is a folder, or not yours to write")


def _write(path: Path, text: str) -> None:
    from cmdmetric.errors import InputError

    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror}") from None


def _table(result: CMDScore) -> str:
    def count(n: int | None, noun: str) -> str:
        return "count not recorded" if n is None else f"{n} {noun}"

    paired = "" if result.paired is None else f", {result.paired} of them with a caption"
    bars = result.uncertainty
    rows = [
        ("CMD", result.cmd, bars and bars.cmd, "Dis(f,r) + ITDis, lower is better"),
        ("ITDis", result.itdis, bars and bars.itdis, "|Dis(f,l) - Dis(r,l)|, consistency"),
        ("Dis(f,r)", result.dis_fr, bars and bars.dis_fr, "generated to real"),
        ("Dis(f,l)", result.dis_fl, bars and bars.dis_fl, "generated to captions"),
        ("Dis(r,l)", result.dis_rl, bars and bars.dis_rl, "real to captions"),
    ]
    lines = []
    for name, value, bar, about in rows:
        error = "" if bar is None else f" ± {bar.standard_error:.4f}"
        lines.append(f"{name:<10}{value:>10.4f}{error:<12} {about}")
    if bars is not None:
        lines += ["", f"± one standard error, of the sampling of {', '.join(bars.sides)}"]
    if bars is not None and bars.cmd.debiased is not None:
        lines += [
            f"CMD without the excess of {result.n} samples: {bars.cmd.debiased:.4f} "
            f"(95 %: {bars.cmd.low:.4f} to {bars.cmd.high:.4f})"
        ]
    lines += [
        "",
        f"generated f  {result.generated} ({count(result.n, 'images')}{paired})",
        f"real r       {result.real} ({count(result.n_real, 'images')})",
        f"captions l   {result.captions} ({count(result.n_captions, 'captions')})",
        f"signature    {result.signature}",
    ]
    return "\n".join(lines)


def _versus_table(result: Versus) -> str:
    difference = result.difference
    verdict = "significant" if difference.p_value < 0.05 else "not significant"
    debiased = "" if difference.debiased is None else ", without the excess of finite samples"
    best = difference.raw if difference.debiased is None else difference.debiased
    return "\n".join(
        [
            "first",
            _table(result.first),
            "",
            "second",
            _table(result.second),
            "",
            f"CMD first - second  {difference.raw:.4f} as scored",
            f"                    {best:.4f} ± {difference.standard_error:.4f}{debiased} "
            f"(95 %: {difference.low:.4f} to {difference.high:.4f})",
            f"p-value             {difference.p_value:.3g}, {verdict} at 5 %",
        ]
    )
