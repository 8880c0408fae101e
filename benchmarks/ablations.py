"""The results of `grgan ablate` as they are committed: JSON, and one picture a table.

    python benchmarks/ablations.py runs/grid --out benchmarks/results

copies RUNS/tableN.json to OUT/ablation-tableN-STEPS.json, and cuts from the sample grids of the
first seed's runs what compares: the last stage of every row, every stage for Table 6.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import click
from PIL import Image, ImageDraw, ImageFont

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


@click.command()
@click.argument("runs", type=click.Path(path_type=Path, exists=True))
@click.option("--out", type=click.Path(path_type=Path), required=True)
def main(runs: Path, out: Path) -> None:
    out.mkdir(parents=True, exist_ok=True)
    for file in sorted(runs.glob("table*.json")):
        table = json.loads(file.read_text(encoding="utf-8"))
        name = f"ablation-{file.stem}-{table['steps']}"
        shutil.copy(file, out / f"{name}.json")
        picture(table, runs / "grids").save(out / f"{name}.png", optimize=True)
        click.echo(out / f"{name}.png", err=True)


if __name__ == "__main__":
    main()
