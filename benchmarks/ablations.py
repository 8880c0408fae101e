"""The results of `grgan ablate` as they are committed: JSON, tables, and one picture a table.

    python benchmarks/ablations.py runs/grid --judge runs/judge.pt --out benchmarks/results

writes RUNS/tableN.json and RUNS/tableN.md to OUT as ablation-tableN-STEPS, with what the
independent judge (benchmarks/judge.py) finds in the images of every run, and cuts from the sample
grids of the first seed's runs what compares: the last stage of every row, every stage for Table 6.
"""

from __future__ import annotations

import json
from pathlib import Path

import click
import judge as judges
from PIL import Image, ImageDraw, ImageFont
from scenes_small import CPU, QUESTIONS, judge_option, verdicts

from grgan_ref.ablation.table import interval
from grgan_ref.files import write_json
from grgan_ref.model import load_model

SIDE, LABEL = 160, 200  # a picture in a grid; the width of the names beside it


def strips(grid: Image.Image, stages: list[int]) -> list[Image.Image]:
    """The rows of a grid that show these stages, counted from 1; 0 is the real images."""
    count, head = divmod(grid.height, SIDE)  # the captions stand above the pictures
    rows = [count - 1 if stage == 0 else stage - 1 for stage in stages]
    return [grid.crop((0, head + r * SIDE, grid.width, head + (r + 1) * SIDE)) for r in rows]


def picture(table: dict, grids: Path) -> Image.Image:
    """The samples of every row for the same captions, and the real images; reduced by half."""
    named: list[tuple[str, Image.Image]] = []
    first = None
    for row in table["rows"]:
        run = row["runs"][0]
        if "failed" in run:
            continue
        grid = Image.open(grids / f"{row['key']}-seed{run['seed']}.png").convert("RGB")
        first = first or grid
        stages = [stage["stage"] for stage in run["stages"]]
        for stage, strip in zip(stages, strips(grid, stages), strict=True):
            named.append((row["name"] + (f", stage {stage}" if stages[1:] else ""), strip))
    if first is None:
        raise click.ClickException("no row of the table was trained to its end")
    named.append(("real", strips(first, [0])[0]))
    half = SIDE // 2
    canvas = Image.new("RGB", (LABEL + first.width // 2, len(named) * half), "white")
    draw, font = ImageDraw.Draw(canvas), ImageFont.load_default(size=11)
    for number, (name, strip) in enumerate(named):
        draw.text((4, number * half + half // 2 - 7), name, fill="black", font=font)
        small = strip.resize((first.width // 2, half), Image.Resampling.BOX)
        canvas.paste(small, (LABEL, number * half))
    return canvas


def ask(judge: judges.Judge, table: dict, runs: Path, images: int) -> None:
    """Put what the judge finds in the images of every run beside the run's scores."""
    for row in table["rows"]:
        for run in row["runs"]:
            if "failed" not in run:
                model = load_model(runs / f"{row['key']}-seed{run['seed']}", CPU)
                run["judge"] = verdicts(judge, model, model.config.model.stages[-1].size, images)


def answers(table: dict, images: int) -> str:
    """The judge's answers as Markdown: the mean over the seeds and its 95 % interval."""
    lines = [
        "",
        "## What the independent judge finds",
        "",
        f"In per cent of {images} images of held-out captions with one object, and of as many with "
        "two. ± is the 95 % interval of the mean from the spread of the seeds (Student's t).",
        "",
        "| model | " + " | ".join(QUESTIONS.values()) + " |",
        "| --- |" + " ---: |" * len(QUESTIONS),
    ]
    for row in table["rows"]:
        found = [run["judge"] for run in row["runs"] if "judge" in run]
        if found:
            means = [interval([one[key] for one in found], ()) for key in QUESTIONS]
            cells = [f"{mean:.1f} ± {half:.1f}" if found[1:] else f"{mean:.1f}"
                     for mean, half in means]  # fmt: skip
            lines.append(f"| {row['name']} | " + " | ".join(cells) + " |")
    return "\n".join([*lines, ""])


@click.command()
@click.argument("runs", type=click.Path(path_type=Path, exists=True))
@judge_option
@click.option("--images", default=400, show_default=True, help="Of each kind, for the judge.")
@click.option("--out", type=click.Path(path_type=Path), required=True)
def main(runs: Path, judge_file: Path, images: int, out: Path) -> None:
    out.mkdir(parents=True, exist_ok=True)
    judge = judges.load(judge_file)
    files = sorted(runs.glob("table*.json"))
    if not files:
        raise click.ClickException(f"{runs} holds no table of grgan ablate")
    for file in files:
        table = json.loads(file.read_text(encoding="utf-8"))
        to = out / f"ablation-{file.stem}-{table['steps']}"
        ask(judge, table, runs / "runs", images)
        write_json(to.with_suffix(".json"), table)
        text = file.with_suffix(".md").read_text(encoding="utf-8") + answers(table, images)
        to.with_suffix(".md").write_text(text, encoding="utf-8")
        picture(table, runs / "grids").save(to.with_suffix(".png"), optimize=True)
        click.echo(to.with_suffix(".md"), err=True)


if __name__ == "__main__":
    main()
