"""The command `cmd-score`, which is also `cmdmetric score`."""

from __future__ import annotations

import sys
import warnings
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from cmdmetric.cli import completion
from cmdmetric.cli.check import Gate, check_options
from cmdmetric.cli.help import GroupedCommand
from cmdmetric.cli.options import (
    check_writable,
    encoder_options,
    explain,
    give,
    wanted_options,
)
from cmdmetric.terminal import shown, width_of
from cmdmetric.version import __version__

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cmdmetric.scoring import EncodingOptions, Wanted


#: What `--help` shows, and what `--help-all` adds to it; names are those of the parameters.
GROUPS = {
    "Options": (
        "real", "model", "protocol", "metrics", "image_model", "versus", "check", "report",
        "output", "form", "bare", "short", "quiet", "help_all", "help",
    ),
    "Checks": ("tolerance", "junit"),
    "Report": ("title",),
    "For others": ("cite",),
    "Slices and copies": ("by", "train"),
    "Single images": ("worst", "per_image"),
    "To be verified": ("pack",),
    "Inputs": (
        "num", "seed", "caption_column", "image_column", "on_error", "scores", "score_columns",
        "inception_weights", "inception_real", "image_weights",
    ),
    "Encoding": ("weights", "device", "batch_size", "dtype", "cache_dir", "no_cache"),
}  # fmt: skip


@click.command(
    cls=GroupedCommand,
    groups=GROUPS,
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="""\b
Examples:
  cmd-score samples/ captions_val2014.json         # against MS-COCO
  cmd-score samples/ captions.json --real photos/  # against your own
  cmd-score a.zip captions.csv --real real.npz --format json -o score.json
  cmd-score samples/ captions.json --check score.json --check 'cmd<=8.5'
""",
)
@click.argument("generated", nargs=-1, metavar="GENERATED...", shell_complete=completion.paths)
@click.argument("captions", shell_complete=completion.paths)
@click.option("--real", metavar="PATH|NAME", shell_complete=completion.references,
              help="Real images, moments, or coco2014-val.  "
              "[default: what the captions lead to]")  # fmt: skip
@encoder_options
@wanted_options
@click.option("--scores", metavar="FILE", multiple=True, shell_complete=completion.paths,
              help="Numbers of single images (.csv, ...), a file a generator.")  # fmt: skip
@click.option("--score-columns", default="", metavar="NAMES",
              help="Of these: hps=higher,lpips=lower.  [default: all of numbers]")  # fmt: skip
@click.option("--by", metavar="FIELD|FILE",
              help="The score by slices: a field of the captions, caption-length, or a file of "
              "id,label.")  # fmt: skip
@click.option("--train", metavar="PATH", shell_complete=completion.paths,
              help="Training images: are generated ones copies?")  # fmt: skip
@click.option("--versus", metavar="PATH", shell_complete=completion.paths,
              help="A second generator: do they differ?")  # fmt: skip
@check_options
@click.option("--worst", type=click.IntRange(min=1), metavar="N",
              help="List what raises CMD most.", show_default=False)  # fmt: skip
@click.option("--per-image", metavar="FILE", shell_complete=completion.paths,
              help="Write what is known of every image (.csv, .jsonl, .parquet).")  # fmt: skip
@click.option("--pack", metavar="FILE", shell_complete=completion.paths,
              help="Write what the score follows from (.npz), for cmdmetric verify.")  # fmt: skip
@click.option("--format", "form", type=click.Choice(["table", "json"]), default="table",
              show_default=True, help="What goes to stdout.")  # fmt: skip
@click.option("--short", is_flag=True, help="Print the signature in its short form.")
@click.option("-b", "--score-only", "bare", is_flag=True, help="Print CMD alone.")
@click.option("-o", "--output", metavar="FILE", shell_complete=completion.paths,
              help="Write the JSON to a file as well.")  # fmt: skip
@click.option("--report", metavar="FILE", shell_complete=completion.paths,
              help="Write a self-contained HTML report.")  # fmt: skip
@click.option("--title", metavar="TEXT", help="The report's title.")
@click.option("--cite", is_flag=True, help="Print the BibTeX of what was used as well.")
@click.version_option(__version__, prog_name="cmd-score")
@explain
def score(
    generated: tuple[str, ...],
    captions: str,
    real: str | None,
    options: EncodingOptions,
    metrics: str,
    inception_weights: str | None,
    inception_real: str | None,
    image_model: tuple[str, ...],
    image_weights: tuple[str, ...],
    scores: tuple[str, ...],
    score_columns: str,
    by: str | None,
    train: str | None,
    versus: str | None,
    check: tuple[str, ...],
    tolerance: str,
    worst: int | None,
    per_image: str | None,
    pack: str | None,
    form: str,
    short: bool,
    bare: bool,
    output: str | None,
    report: str | None,
    title: str | None,
    cite: bool,
    junit: str | None,
    num: int | None,
    seed: int | None,
) -> None:
    """Cross Model Distance of generated images, CMD = Dis(f,r) + ITDis.

    GENERATED is a folder, glob, zip, tar, array of images (.npy, .npz), features or moments (.npz);
    several are ranked. CAPTIONS is COCO's or Karpathy's JSON, any JSON, JSONL, CSV, TSV or TXT.
    """
    if not generated:
        raise click.UsageError(
            f"{shown(captions)} alone was given: name the generated images first, then "
            "their captions"
        )
    one = {"--versus": versus, "--check": check, "--worst": worst, "--per-image": per_image,
           "--pack": pack}  # fmt: skip
    for option, value in one.items():
        if value and len(generated) > 1:
            raise click.UsageError(f"{option} is of one generator, {len(generated)} were given")
        if value and versus and option not in ("--versus", "--check"):
            raise click.UsageError(f"{option} is of one generator; leave out --versus")
    if versus and (by or train):
        raise click.UsageError("--by and --train take several GENERATED in place of --versus")
    beside = {"--versus": versus, "--format json": form == "json", "--cite": cite}
    if bare and (more := [option for option, given in beside.items() if given]):
        raise click.UsageError(f"--score-only prints one number alone: leave out {more[0]}")
    if bare and len(generated) > 1:
        raise click.UsageError(f"--score-only is of one generator, {len(generated)} were given")
    if report and versus:
        raise click.UsageError("--report takes several GENERATED in place of --versus")
    check_writable(output)
    gate = Gate(check, tolerance, output, junit)
    if report is not None:
        from cmdmetric.report import check_report

        check_report(report)
    if per_image is not None:
        from cmdmetric.scoring import check_per_image

        check_per_image(per_image)
    if pack is not None:
        from cmdmetric.scoring import check_pack

        check_pack(pack)
    if versus is None:
        from cmdmetric.scoring import Wanted

        wanted = Wanted.of(
            metrics,
            inception_weights,
            inception_real,
            image_model=image_model,
            image_weights=image_weights,
            by=by,
            train=train,
            scores=scores,
            score_columns=score_columns,
            each=per_image is not None,
            num=num,
            seed=seed,
        )
        content, lines = _scores(
            generated,
            captions,
            real,
            options,
            wanted,
            worst,
            per_image,
            pack,
            report,
            title,
            short=short,
        )
    else:
        from cmdmetric.cli.tables import versus_table
        from cmdmetric.compare import versus as compare

        both = compare(
            generated[0],
            versus,
            captions,
            real,
            metrics=metrics,
            inception_weights=inception_weights,
            inception_real=inception_real,
            image_model=image_model,
            image_weights=image_weights,
            scores=scores,
            score_columns=score_columns,
            num=num,
            seed=seed,
            **options,
        )
        content, lines = both.to_dict(), versus_table(both, short=short)
    from cmdmetric.cli.tables import check_lines
    from cmdmetric.scoring import citations, run_record

    verdict = gate.verdict(content)
    if verdict is not None:
        content["check"] = verdict.to_dict()
        lines += ["", *check_lines(verdict)]
    if cite:
        content["citations"] = citations(content)
        lines += ["", *content["citations"].splitlines()]
    content["run"] = run_record(sys.argv)
    give(content, [f"{content['cmd']:.4f}"] if bare else lines, form, output)
    gate.leave(verdict, content)


def _scores(
    generated: Sequence[str],
    captions: str,
    real: str | None,
    options: EncodingOptions,
    wanted: Wanted,
    worst: int | None,
    per_image: str | None,
    pack: str | None,
    report: str | None,
    title: str | None,
    *,
    short: bool,
) -> tuple[dict[str, Any], list[str]]:
    """The result of one generator or of several, for JSON and as lines of text."""
    from cmdmetric.cli.tables import harm_table, score_table
    from cmdmetric.scoring import encoding_of, scored

    encoding = encoding_of(**options)
    found = scored(generated, captions, real, encoding, wanted)
    for note in dict.fromkeys(note for each in found for note in each.score.warnings):
        warnings.warn(note, UserWarning, stacklevel=2)
    if len(found) > 1:
        from cmdmetric.compare import rank

        ranking = rank(found)
        if report is not None:
            from cmdmetric.report import write_compare_report

            write_compare_report(ranking, report, found, title)
        scores = [each.score.to_dict() for each in found]
        lines = ranking.lines(width_of(sys.stdout), short=short)
        return {**ranking.to_dict(), "scores": scores}, lines
    (only,) = found
    result = only.score
    content, lines = result.to_dict(), score_table(result, short=short)
    if worst:
        from cmdmetric.scoring import harm

        rows = harm(*only.sides, only.copies)[:worst]
        content["worst"] = [asdict(row) for row in rows]
        lines += ["", *harm_table(rows, width_of(sys.stdout))]
        bars = result.uncertainty
        if bars is not None and bars.second_order > 1 / 3:
            lines.append("generated and real images hardly differ: this order is mostly chance")
    if per_image:
        from cmdmetric.scoring import per_image_of

        per_image_of(only, wanted.by).write(per_image)
    if pack:
        from cmdmetric.scoring import Pack

        Pack.of(only).write(pack)
    if report is not None:
        from cmdmetric.report import look_at, write_report

        write_report(only, report, look_at(only, encoding), title, encoding.cache)
    return content, lines
