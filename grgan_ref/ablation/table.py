"""The results of an ablation as a Markdown table, beside the published numbers."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Mapping
from typing import Any

from cmdmetric import published

COLUMNS = {"cmd": "CMD", "itdis": "ITDis", "dis_fr": "Dis(f,r)"}
PUBLISHED = {"fid": "FID", "itdis": "ITDis", "cmd": "CMD"}
ABSENT = "·"
Z95 = 1.96


def to_markdown(result: Mapping[str, Any]) -> str:
    """One line a row (and a stage, where all are scored); several seeds as mean and range."""
    several = len(result["seeds"]) > 1
    head = ["model", "stage", *COLUMNS.values()]
    if several:
        head.append(f"CMD of seeds {', '.join(map(str, result['seeds']))}")
    head += [f"paper: {name}" for name in PUBLISHED.values()]
    lines = [
        f"# {result['title']}",
        "",
        _how(result),
        "",
        "| " + " | ".join(head) + " |",
        "| --- | --- |" + " ---: |" * (len(head) - 2),
    ]
    for row in result["rows"]:
        lines += ["| " + " | ".join(cells) + " |" for cells in _lines(row, several)]
    floor = result["training_images"]
    cells = ["real images (training set)", "", *(_cell([floor], part) for part in COLUMNS)]
    cells += [""] * (len(head) - len(cells))
    lines += ["| " + " | ".join(cells) + " |", ""]
    return "\n".join(lines)


def _how(result: Mapping[str, Any]) -> str:
    steps = "the preset's number of" if result["steps"] is None else f"{result['steps']:,}"
    seeds = result["seeds"]
    named = ", ".join(map(str, seeds))
    of_seeds = f"seeds {named} (values are means)" if seeds[1:] else f"seed {named}"
    return (
        f"Base `{result['preset']}`, {steps} steps, {of_seeds}; {result['samples']:,} samples "
        f"against as many held-out images. ± is 1.96 standard errors of a run's score: the "
        f"sampling of images and captions, not the training. `{ABSENT}`: not recorded. The paper's "
        "numbers are of MS-COCO and another encoder: only the order of rows compares.\n\n"
        f"`{result['training_images']['signature']}`"
    )


def _lines(row: Mapping[str, Any], several: bool) -> Iterator[list[str]]:
    done = [run for run in row["runs"] if "failed" not in run]
    for run in row["runs"]:
        if "failed" in run:
            yield [f"{row['name']}, seed {run['seed']}", "", run["failed"]]
    for stages in zip(*(run["stages"] for run in done), strict=True):
        cells = [row["name"], f"{stages[0]['stage']} ({stages[0]['size']} px)"]
        cells += [_cell(stages, part) for part in COLUMNS]
        if several:
            cells.append(", ".join(f"{stage['cmd']:.2f}" for stage in stages))
        yield [*cells, *_published(row["published"])]


def _cell(stages: Any, part: str) -> str:
    """The mean over the seeds, and the error bar of one run."""
    mean = statistics.fmean(stage[part] for stage in stages)
    bar = Z95 * statistics.fmean(stage["standard_error"][part] for stage in stages)
    return f"{mean:.2f} ± {bar:.2f}"


def _published(place: Any) -> list[str]:
    values = {} if place is None else published.row(place[1], place[0]).values
    return [f"{values[key]:.2f}" if key in values else ABSENT for key in PUBLISHED]
