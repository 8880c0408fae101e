"""The commands that look at what was trained: `grgan retrieval` and `grgan info`."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from cmdmetric.cli import completion
from grgan_ref.cli.options import (
    PATH,
    base_option,
    complete_presets,
    complete_settings,
    device_option,
    settings_of,
)
from grgan_ref.errors import GrganError


@click.command("retrieval")
@click.option(
    "--matcher",
    "--itm",
    "trained",
    type=PATH,
    help="A run folder of grgan train-itm, train-damsm or train.",
)
@click.option(
    "--clip",
    shell_complete=completion.models,
    help="In place of --matcher: any CLIP that cmdmetric knows.",
)
@click.option("--weights", type=PATH, help="A file with the CLIP's weights.")
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
    trained: Path | None,
    clip: str | None,
    weights: Path | None,
    kind: str | None,
    data: Path | None,
    split: Any,
    num: int | None,
    device: str | None,
    form: str,
) -> None:
    """R@1, R@5 and R@10 between images and captions, both ways (Table 3).

    \b
    grgan retrieval --matcher runs/itm --num 1000
    grgan retrieval --clip scenes-toy --kind scenes --num 1000
    grgan retrieval --clip RN101-quickgelu/openai --kind coco --data ~/coco --num 5000
    """
    from grgan_ref.config import Config
    from grgan_ref.data import open_data
    from grgan_ref.matching import load_matcher, matcher_config
    from grgan_ref.retrieval import ClipMatcher, TrainedMatcher, evaluate
    from grgan_ref.training import distributed

    if (trained is None) == (clip is None):
        raise GrganError("give either --matcher FOLDER or --clip MODEL")
    place = distributed.start(device)
    if trained is not None:
        config = matcher_config(trained)
        matcher: Any = TrainedMatcher(load_matcher(trained, config).to(place).eval(), config)
    else:
        config = Config()
        matcher = ClipMatcher(clip, None if weights is None else str(weights), place)
    if kind is not None:
        config = replace(config, data=replace(config.data, kind=kind))
    result = evaluate(matcher, open_data(config.data, data, split), number=num)
    click.echo(json.dumps(result.to_dict()) if form == "json" else result.table())


@click.command("info")
@click.argument("what", metavar="PRESET|FOLDER", shell_complete=complete_presets)
@click.option(
    "--set",
    "settings",
    multiple=True,
    metavar="KEY=VALUE",
    shell_complete=complete_settings,
    help="Change one key.",
)
@base_option
def info_command(what: str, settings: tuple[str, ...], base: str | None) -> None:
    """Show a preset, a configuration file or a trained model: configuration, stages, sizes.

    \b
    grgan info coco
    grgan info attn-da-grg --base scenes-tiny
    grgan info runs/gan
    """
    from grgan_ref.info import describe

    click.echo(describe(what, settings_of(settings), base))
