"""The results of an ablation as a Markdown table, beside the published numbers."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from scipy import stats

from cmdmetric import published
from cmdmetric.uncertainty import Z95
from grgan_ref.ablation import claims

COLUMNS = {"cmd": "CMD", "itdis": "ITDis", "dis_fr": "Dis(f,r)", "fid": "FID"}
PUBLISHED = {"fid": "FID", "itdis": "ITDis", "cmd": "CMD"}
ABSENT = "-"


def to_markdown(result: Mapping[str, Any]) -> str:
    """Write one line for each row, and for each stage where all are scored.

    Several seeds stand as their mean with a 95 % interval that has their spread in it, and CMD of
    each seed beside it.
    """
    several = len(result["seeds"]) > 1
    floor = result["training_images"]
    columns = {key: name for key, name in COLUMNS.items() if key in floor}
    head = ["model", "stage", *columns.values()]
    if several:
        head.append(f"CMD of seeds {', '.join(map(str, result['seeds']))}")
    head += [f"paper: {name}" for name in PUBLISHED.values()]
    lines = [
        f"# {result['title']}",
        "",
        _how(result, columns),
        "",
        "| " + " | ".join(head) + " |",
        "| --- | --- |" + " ---: |" * (len(head) - 2),
    ]
    for row in result["rows"]:
        lines += ["| " + " | ".join(cells) + " |" for cells in _lines(row, columns, several)]
    cells = ["real images (training set)", "", *(_cell([floor], part) for part in columns)]
    cells += [""] * (len(head) - len(cells))
    lines += ["| " + " | ".join(cells) + " |", ""]
    decided = claims.to_markdown(result["table"], result["rows"])
    return "\n".join([*lines, decided] if decided else lines)


def interval(values: Sequence[float], standard_errors: Sequence[float]) -> tuple[float, float]:
    """Return the mean of the seeds' numbers and the half width of its 95 % interval.

    Two parts are added as variances: the spread of the seeds, by Student's t of their mean, which
    holds what training and the drawing of the generated images do; and the standard error of a
    score, since all seeds meet the same real images and captions. What the generated images do is
    in both, so that the interval is rather too wide. One seed has the second part alone.
    """
    mean, count = statistics.fmean(values), len(values)
    half = Z95 * statistics.fmean(standard_errors) if standard_errors else 0.0
    if count > 1:
        t = float(stats.t.ppf(0.975, count - 1))
        half = (half**2 + (t * statistics.stdev(values)) ** 2 / count) ** 0.5
    return mean, half


def _how(result: Mapping[str, Any], columns: Mapping[str, str]) -> str:
    steps = "the preset's number of" if result["steps"] is None else f"{result['steps']:,}"
    seeds = result["seeds"]
    named = ", ".join(map(str, seeds))
    of_seeds = f"seeds {named} (values are means)" if seeds[1:] else f"seed {named}"
    bar = (
        "95 % intervals of the mean: the spread of the seeds and the sampling of images and "
        "captions."
        if seeds[1:]
        else "1.96 standard errors: the sampling of images and captions, not the training, whose "
        "spread only several seeds (--seeds) tell."
    )
    fid = " FID is without an error bar where there is one seed." if "fid" in columns else ""
    return (
        f"Base `{result['preset']}`, {steps} steps, {of_seeds}; {result['samples']:,} samples "
        f"against as many held-out images. ± is {bar}{fid} `{ABSENT}`: none. The paper's "
        "numbers are of MS-COCO and another encoder: only the order of rows compares.\n\n"
        f"`{result['training_images']['signature']}`"
    )


def _lines(
    row: Mapping[str, Any], columns: Mapping[str, str], several: bool
) -> Iterator[list[str]]:
    done = [run for run in row["runs"] if "failed" not in run]
    for run in row["runs"]:
        if "failed" in run:
            yield [f"{row['name']}, seed {run['seed']}", "", run["failed"]]
    for stages in zip(*(run["stages"] for run in done), strict=True):
        cells = [row["name"], f"{stages[0]['stage']} ({stages[0]['size']} px)"]
        cells += [_cell(stages, part) for part in columns]
        if several:
            cells.append(", ".join(f"{stage['cmd']:.2f}" for stage in stages))
        yield [*cells, *_published(row, stages[0]["stage"], len(done[0]["stages"]))]


def _cell(stages: Sequence[Mapping[str, Any]], part: str) -> str:
    errors = [stage["standard_error"].get(part) for stage in stages]
    known = [error for error in errors if error is not None]
    mean, half = interval([stage[part] for stage in stages], known)
    return f"{mean:.2f} ± {half:.2f}" if known or len(stages) > 1 else f"{mean:.2f}"


def _published(row: Mapping[str, Any], stage: int, stages: int) -> list[str]:
    """The paper's numbers of a row; of Table 6 those after the same stage."""
    if row["published"] is None:
        return [ABSENT] * len(PUBLISHED)
    values = published.row(row["name"], row["published"]).values
    after = ("_64", "_128")[stage - 1] if stages == 3 and stage < 3 else ""
    found = [values.get(f"{key}{after}") for key in PUBLISHED]
    return [ABSENT if value is None else f"{value:.2f}" for value in found]
