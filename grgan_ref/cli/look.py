"""The commands that look at what was trained: `grgan retrieval` and `grgan info`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from cmdmetric.cli import completion
from cmdmetric.terminal import as_json, say
from grgan_ref.cli.options import (
    PATH,
    base_option,
    complete_presets,
    device_option,
    settings_of,
    settings_option,
)
from grgan_ref.config import DataConfig
from grgan_ref.errors import GrganError


@click.command("retrieval")
@click.option(
    "--matcher",
    "--itm",
    "matchers",
    type=PATH,
    multiple=True,
    help="A run folder of grgan train-itm, train-damsm or train, or what the authors released. "
    "Repeatable.",
)
@click.option(
    "--clip",
    "clips",
    multiple=True,
    shell_complete=completion.models,
    help="Any CLIP that cmdmetric knows; NAME=FILE gives it the weights of a file. Repeatable.",
)
@click.option("--kind", type=click.Choice(["coco", "cub", "folder", "scenes"]), help="Of the data.")
@click.option("--data", type=PATH, help="Folder of the data set (none for scenes).")
@click.option(
    "--split",
    type=click.Choice(["train", "val"]),
    default="val",
    show_default=True,
    help="Of the data.",
)
@click.option("--num", type=int, help="Images, from the first on.  [default: all]")
@device_option
@click.option(
    "--format",
    "form",
    type=click.Choice(["text", "json"]),
    default="text",
    show_default=True,
    help="What goes to stdout.",
)
def retrieval_command(
    matchers: tuple[Path, ...],
    clips: tuple[str, ...],
    kind: Any,
    data: Path | None,
    split: Any,
    num: int | None,
    device: str | None,
    form: str,
) -> None:
    """R@1, R@5 and R@10 between images and captions, both ways, beside Table 3.

    \b
    grgan retrieval --matcher runs/itm --num 1000
    grgan retrieval --clip scenes-toy --kind scenes --num 1000
    Table 3, as the released code has it (1,000 images of five captions each):
    grgan retrieval --matcher damsm/ --clip ViT-B-32-quickgelu/openai \\
        --clip RN101-quickgelu/openai --matcher ITM_model149.pth \\
        --data ~/coco --num 1000

    Every --matcher and --clip gives a row. Of COCO's images the published one, if there is one,
    stands below it.
    """
    from grgan_ref.data import open_data
    from grgan_ref.matching import load_matcher, matcher_config
    from grgan_ref.retrieval import evaluate, of_clip, of_matcher, to_markdown
    from grgan_ref.training import distributed

    if not matchers and not clips:
        raise GrganError("give --matcher FOLDER, --clip MODEL, or several of them")
    place = distributed.start(device)
    configs = [matcher_config(path) for path in matchers]
    config = configs[0].data if configs else DataConfig()
    if kind is not None:
        config = replace(config, kind=kind)
    images = open_data(config, data, split)
    results = []
    for path, own in zip(matchers, configs, strict=True):
        embedder = of_matcher(load_matcher(path, own).to(place).eval(), own)
        results.append((embedder, evaluate(embedder, images, number=num)))
    for clip in clips:
        model, _, weights = clip.partition("=")
        embedder = of_clip(model, weights or None, place)
        results.append((embedder, evaluate(embedder, images, number=num)))
    # In the order of Table 3.
    order = ["DAMSM", "CLIP-ViT", "CLIP-Res", None, "ITM"]
    results.sort(key=lambda each: order.index(each[0].published))
    if form == "json":
        rows = [{"model": embedder.name, **found.to_dict()} for embedder, found in results]
        print(as_json(rows[0] if len(rows) == 1 else rows))
    else:
        coco = all(name.startswith("COCO_") for name in images.names)
        say(*to_markdown(results, beside_paper=coco).splitlines())


@click.command("info")
@click.argument("what", metavar="PRESET|FOLDER|FILE", shell_complete=complete_presets)
@settings_option
@base_option
def info_command(what: str, settings: tuple[str, ...], base: str | None) -> None:
    """Show a preset, a configuration file or a trained or released model: configuration, sizes.

    \b
    grgan info coco
    grgan info attn-da-grg --base scenes-tiny
    grgan info runs/gan
    grgan info coco_DMGAN.pth
    """
    from grgan_ref.info import describe

    say(*describe(what, settings_of(settings), base).splitlines())
