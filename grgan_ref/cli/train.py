"""The commands `grgan train-itm`, `train-damsm` and `train`."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cmdmetric.cli import completion
from cmdmetric.terminal import say, tell
from grgan_ref.cli.options import (
    PATH,
    base_option,
    complete_presets,
    device_option,
    settings_of,
    settings_option,
)
from grgan_ref.compose import presets
from grgan_ref.config import Config

if TYPE_CHECKING:
    from grgan_ref.data import CaptionedImages


@dataclass(frozen=True)
class Training:
    """What the three trainings are asked for alike, by the options of `_training_options`."""

    preset: str
    base: str | None
    out: Path
    data: Path | None
    val: Path | None
    steps: int | None
    settings: tuple[str, ...]
    device: str | None
    workers: int
    tensorboard: bool

    def config(self, changes: Mapping[str, object]) -> Config:
        """Give the configuration, with the changes of a command upon those of --set.

        Raises:
            GrganError: The preset or a setting is none.
        """
        return Config.load(self.preset, {**settings_of(self.settings), **changes}, self.base)

    def open_data(self, config: Config, smallest: int) -> tuple[CaptionedImages, CaptionedImages]:
        """Open the training data and the held-out data, whose images have this size at least.

        Raises:
            GrganError: The data is not where it should be.
        """
        from grgan_ref.data import open_data

        return (
            open_data(config.data, self.data, "train", smallest),
            open_data(config.data, self.val or self.data, "val", smallest),
        )


def _training_options(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options of every training, which it gets as one `Training`."""

    @functools.wraps(command)
    def collected(**values: Any) -> None:
        shared = {field.name: values.pop(field.name) for field in fields(Training)}
        command(Training(**shared), **values)

    for option in reversed(
        [
            click.option(
                "--preset",
                required=True,
                metavar="NAME|FILE",
                shell_complete=complete_presets,
                help=f"Configuration: {', '.join(presets())}, or a TOML file.",
            ),
            base_option,
            click.option("--out", type=PATH, required=True, help="The run's folder."),
            click.option("--data", type=PATH, help="Folder of the data set (none for scenes)."),
            click.option(
                "--val", type=PATH, help="Folder of the held-out data, where it is another one."
            ),
            click.option(
                "--steps",
                type=click.IntRange(min=1),
                help="Stop after so many steps.  [default: the preset's epochs]",
            ),
            settings_option,
            device_option,
            click.option(
                "--workers",
                type=click.IntRange(min=0),
                default=0,
                show_default=True,
                help="Processes that read data. Changes the speed, never the numbers.",
            ),
            click.option(
                "--tensorboard", is_flag=True, help="Log to TensorBoard as well (an extra)."
            ),
        ]
    ):
        collected = option(collected)
    return collected


def _train_matcher(kind: str, asked: Training) -> None:
    from grgan_ref.training import distributed, of_matcher, train_matcher

    changes: dict[str, object] = {"model.matcher": kind}
    if asked.steps is not None:
        changes[f"{kind}.steps"] = asked.steps
    config = asked.config(changes)
    training, held_out = asked.open_data(config, config.matcher.image_size)
    place, start = distributed.start(asked.device), time.monotonic()
    losses = train_matcher(
        config,
        training,
        held_out,
        asked.out,
        device=place,
        workers=asked.workers,
        tensorboard=asked.tensorboard,
    )
    _done(
        losses, asked.out, lambda: of_matcher(config, losses, asked.out, time.monotonic() - start)
    )


@click.command("train-itm")
@_training_options
def train_itm_command(asked: Training) -> None:
    """Train the Image-Text Matcher on a frozen CLIP.

    \b
    grgan train-itm --preset scenes-small --out runs/itm
    grgan train-itm --preset coco --data ~/coco --out runs/itm --workers 8
    grgan train-itm --preset coco --set data.kind=folder \\
        --data photos/ --out runs/itm --set itm.clip=ViT-B-32-quickgelu \\
        --set itm.weights=ViT-B-32.pt --set itm.region_layer=9

    --data ROOT holds, for data.kind coco: annotations/ and train2014/ as unpacked; for cub:
    CUB_200_2011's files and its captions in text/; for folder: images and a captions.json.

    Killed at any moment, the same command goes on where the last checkpoint left off.
    """
    _train_matcher("itm", asked)


@click.command("train-damsm")
@_training_options
def train_damsm_command(asked: Training) -> None:
    """Train DAMSM, the matcher of AttnGAN and DM-GAN.

    \b
    grgan train-damsm --preset scenes-small --out runs/damsm
    grgan train-damsm --preset attn-da --data ~/coco --out runs/damsm \\
        --set damsm.weights=inception_v3_google-0cc3c7bd.pth

    On photographs its image side is Inception-v3 with torchvision's ImageNet weights, which you
    give as a file; on scenes it is a small network that is trained with the rest.

    Killed at any moment, the same command goes on where the last checkpoint left off.
    """
    _train_matcher("damsm", asked)


@click.command("train")
@_training_options
@click.option(
    "--matcher",
    "--itm",
    "matcher",
    type=PATH,
    required=True,
    help="A run folder of grgan train-itm or train-damsm, whichever the preset names, or what the "
    "authors released: ITM_model149.pth, or the folder of DAMSM's encoders and captions.pickle.",
)
@click.option(
    "--init",
    type=PATH,
    help="A run to go on from with other settings, or a model, with new discriminators.",
)
@click.option(
    "--score-every",
    type=click.IntRange(min=0),
    help="Steps between scores by cmdmetric of samples for held-out captions; 0: none.",
)
@click.option(
    "--score-model",
    shell_complete=completion.models,
    help="Encoder that scores.  [default: scenes-toy for scenes]",
)
@click.option("--score-weights", type=PATH, help="A file with that encoder's weights.")
def train_command(
    asked: Training,
    matcher: Path,
    init: Path | None,
    score_every: int | None,
    score_model: str | None,
    score_weights: Path | None,
) -> None:
    """Train the generator and its discriminators beside a trained matcher.

    \b
    grgan train --preset scenes-small --matcher runs/itm --out runs/gan
    grgan train --preset attn-da --base scenes-small --matcher runs/damsm \\
        --out runs/attngan
    grgan train --preset coco --matcher runs/itm --data ~/coco --out runs/gan
    torchrun --nproc-per-node 4 -m grgan_ref train --preset coco \\
        --matcher runs/itm --data ~/coco --out runs/gan \\
        --workers 4 --set train.precision=bfloat16

    OUT gets metrics.jsonl, samples/ (grids with captions), checkpoints/, and model/, which grgan
    sample reads. The batch of the configuration is that of all processes together, at least two
    for each: coco's 8 feeds four, --set train.batch=16 eight. --set train.accumulate=4 works
    through a batch in four parts, in the memory of one.

    Killed at any moment, the same command goes on where the last checkpoint left off, to the same
    numbers.
    """
    from grgan_ref.matching import load_matcher
    from grgan_ref.training import Beginning, distributed, of_generator, train

    given = {"train.steps": asked.steps, "train.score_every": score_every}
    config = asked.config({key: value for key, value in given.items() if value is not None})
    training, held_out = asked.open_data(config, config.model.stages[-1].size)
    trained = load_matcher(matcher, config)
    first = None if init is None else Beginning.of(init)
    if score_model is None and config.data.kind == "scenes":
        score_model = "scenes-toy"
    place, start = distributed.start(asked.device), time.monotonic()
    losses = train(
        config,
        trained,
        training,
        held_out,
        asked.out,
        device=place,
        workers=asked.workers,
        tensorboard=asked.tensorboard,
        score_with=(score_model, None if score_weights is None else str(score_weights)),
        init=first,
    )
    _done(
        losses,
        asked.out,
        lambda: of_generator(config, losses, asked.out, time.monotonic() - start),
    )


def _done(losses: dict[str, float], out: Path, summary: Callable[[], str]) -> None:
    from grgan_ref.training import distributed

    if not distributed.is_main():
        return
    if losses:
        say(*summary().splitlines())
    else:
        tell(f"{out}: already trained that far; --steps continues it")
