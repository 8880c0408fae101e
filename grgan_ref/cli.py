"""The command `grgan`: it parses, calls one function, and prints."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from cmdmetric.captions import read_captions
from cmdmetric.errors import InputError
from cmdmetric.version import __version__
from grgan_ref import distributed
from grgan_ref.cli_ablate import ablate_command
from grgan_ref.cli_options import PATH, settings_of
from grgan_ref.config import Config, presets
from grgan_ref.errors import GrganError
from grgan_ref.info import describe
from grgan_ref.matcher import load_matcher, load_released_damsm, matcher_config, save_matcher
from grgan_ref.model import load_model, load_released
from grgan_ref.retrieval import ClipMatcher, TrainedMatcher, evaluate
from grgan_ref.sample import choose, sample
from grgan_ref.sources import open_data
from grgan_ref.train import train
from grgan_ref.train_matcher import train_matcher


class Group(click.Group):
    """Turns a user's mistake into one line and exit code 2, a failed training into 1."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except InputError as error:
            raise _stop(str(error), 2) from None
        except FloatingPointError as error:
            raise _stop(str(error), 1) from None
        finally:
            distributed.stop()


def _stop(message: str, code: int) -> click.ClickException:
    error = click.ClickException(message)
    error.exit_code = code
    return error


@click.group(cls=Group, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__)
def main() -> None:
    """GR-GAN, gradual refinement text-to-image generation: train it, sample it, look into it.

    \b
    The whole loop, on a laptop, from nothing:
      grgan train-itm --preset scenes-small --out runs/itm
      grgan train --preset scenes-small --matcher runs/itm --out runs/gan
      grgan sample runs/gan captions.json images/ --num 1000 --seed 1
      cmd-score images/ captions.json

    Any training runs on several devices under torchrun:
    torchrun --nproc-per-node 4 -m grgan_ref train ...
    """


def _training_options(command: Callable[..., None]) -> Callable[..., None]:
    for option in reversed(
        [
            click.option(
                "--preset",
                required=True,
                metavar="NAME|FILE",
                help=f"Configuration: {', '.join(presets())}, or a TOML file.",
            ),
            click.option(
                "--base",
                metavar="PRESET",
                help="Put a preset that has a base (grgan info NAME) upon another one.",
            ),
            click.option("--out", type=PATH, required=True, help="The run's folder."),
            click.option("--data", type=PATH, help="Folder of the data set (none for scenes)."),
            click.option(
                "--val", type=PATH, help="Folder of the held-out data, where it is another one."
            ),
            click.option("--steps", type=click.IntRange(min=1), help="Stop after so many steps."),
            click.option(
                "--set",
                "settings",
                multiple=True,
                metavar="KEY=VALUE",
                help="Change one key of the configuration, e.g. train.batch=16. Repeatable.",
            ),
            click.option(
                "--device", help="cpu, cuda or cuda:N.  [default: CUDA where there is any]"
            ),
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
        command = option(command)
    return command


def _train_matcher(
    kind: str,
    preset: str,
    base: str | None,
    out: Path,
    data: Path | None,
    val: Path | None,
    steps: int | None,
    settings: tuple[str, ...],
    device: str | None,
    workers: int,
    tensorboard: bool,
) -> None:
    config = Config.load(preset, settings_of(settings) | {"model.matcher": kind}, base)
    if steps is not None:
        config = replace(config, **{kind: replace(config.matcher, steps=steps)})
    smallest = config.matcher.image_size
    training = open_data(config.data, data, "train", smallest)
    held_out = open_data(config.data, val or data, "val", smallest)
    place = distributed.start(device)
    losses = train_matcher(
        config,
        training,
        held_out,
        out,
        device=place,
        workers=workers,
        tensorboard=tensorboard,
    )
    _done(losses, out)


@main.command("train-itm")
@_training_options
def train_itm_command(
    preset: str,
    base: str | None,
    out: Path,
    data: Path | None,
    val: Path | None,
    steps: int | None,
    settings: tuple[str, ...],
    device: str | None,
    workers: int,
    tensorboard: bool,
) -> None:
    """Train the Image-Text Matcher on a frozen CLIP.

    \b
    grgan train-itm --preset scenes-small --out runs/itm
    grgan train-itm --preset coco --data ~/coco --out runs/itm --workers 8
    grgan train-itm --preset coco --set data.kind=folder --data photos/ --out runs/itm \\
        --set itm.clip=ViT-B-32-quickgelu --set itm.weights=ViT-B-32.pt --set itm.region_layer=9

    --data ROOT holds, for data.kind coco: annotations/ and train2014/ as unpacked; for cub:
    CUB_200_2011's files and its captions in text/; for folder: images and a captions.json.

    Killed at any moment, the same command goes on where the last checkpoint left off.
    """
    _train_matcher(
        "itm", preset, base, out, data, val, steps, settings, device, workers, tensorboard
    )


@main.command("train-damsm")
@_training_options
def train_damsm_command(
    preset: str,
    base: str | None,
    out: Path,
    data: Path | None,
    val: Path | None,
    steps: int | None,
    settings: tuple[str, ...],
    device: str | None,
    workers: int,
    tensorboard: bool,
) -> None:
    """Train DAMSM, the matcher of AttnGAN and DM-GAN.

    \b
    grgan train-damsm --preset scenes-small --out runs/damsm
    grgan train-damsm --preset attn-da --data ~/coco --out runs/damsm --workers 8 \\
        --set damsm.weights=inception_v3_google-0cc3c7bd.pth

    On photographs its image side is Inception-v3 with torchvision's ImageNet weights, which you
    give as a file; on scenes it is a small network that is trained with the rest.

    Killed at any moment, the same command goes on where the last checkpoint left off.
    """
    _train_matcher(
        "damsm", preset, base, out, data, val, steps, settings, device, workers, tensorboard
    )


@main.command("import-damsm")
@click.argument("text_encoder", type=PATH)
@click.argument("image_encoder", type=PATH)
@click.argument("vocabulary", type=PATH)
@click.option("--out", type=PATH, required=True, help="The folder that --matcher then takes.")
@click.option(
    "--preset", default="dmgan-da", show_default=True, help="Whose sizes the encoders have."
)
def import_damsm_command(
    text_encoder: Path, image_encoder: Path, vocabulary: Path, out: Path, preset: str
) -> None:
    """Bring the public DAMSM encoders into a folder for grgan train --matcher.

    \b
    grgan import-damsm text_encoder100.pth image_encoder100.pth captions.pickle --out damsm/

    VOCABULARY is AttnGAN's captions.pickle, of which nothing but lists, numbers and strings is
    read, or a list of its words in the order of their numbers: .txt (a word a line) or .json.
    """
    config = Config.load(preset, {"model.matcher": "damsm"})
    save_matcher(load_released_damsm(text_encoder, image_encoder, vocabulary, config), config, out)
    click.echo(f"{out}: DAMSM, for grgan train --matcher {out}", err=True)


@main.command("train")
@_training_options
@click.option(
    "--matcher",
    "--itm",
    "matcher",
    type=PATH,
    required=True,
    help="A run folder of grgan train-itm or train-damsm, whichever the preset names.",
)
@click.option(
    "--score-every",
    type=click.IntRange(min=0),
    help="Steps between scores by cmdmetric of samples for held-out captions; 0: none.",
)
@click.option("--score-model", help="Encoder that scores.  [default: scenes-toy for scenes]")
@click.option("--score-weights", type=PATH, help="A file with that encoder's weights.")
def train_command(
    preset: str,
    base: str | None,
    out: Path,
    data: Path | None,
    val: Path | None,
    steps: int | None,
    settings: tuple[str, ...],
    device: str | None,
    workers: int,
    tensorboard: bool,
    matcher: Path,
    score_every: int | None,
    score_model: str | None,
    score_weights: Path | None,
) -> None:
    """Train the generator and its discriminators beside a trained matcher.

    \b
    grgan train --preset scenes-small --matcher runs/itm --out runs/gan --score-every 2000
    grgan train --preset attn-da --base scenes-small --matcher runs/damsm --out runs/attngan
    grgan train --preset coco --matcher runs/itm --data ~/coco --out runs/gan --workers 8
    torchrun --nproc-per-node 8 -m grgan_ref train --preset coco --matcher runs/itm \\
        --data ~/coco --out runs/gan --workers 4 --set train.precision=bfloat16

    OUT gets metrics.jsonl, samples/ (grids with captions), checkpoints/, and model/, which grgan
    sample reads. The batch of the configuration is that of all processes together.

    Killed at any moment, the same command goes on where the last checkpoint left off, to the same
    numbers.
    """
    config = Config.load(preset, settings_of(settings), base)
    changes = {"steps": steps, "score_every": score_every}
    changes = {key: value for key, value in changes.items() if value is not None}
    config = replace(config, train=replace(config.train, **changes))
    smallest = config.model.stages[-1].size
    training = open_data(config.data, data, "train", smallest)
    held_out = open_data(config.data, val or data, "val", smallest)
    trained = load_matcher(matcher, config)
    if score_model is None and config.data.kind == "scenes":
        score_model = "scenes-toy"
    place = distributed.start(device)
    losses = train(
        config,
        trained,
        training,
        held_out,
        out,
        device=place,
        workers=workers,
        tensorboard=tensorboard,
        score_with=(score_model, None if score_weights is None else str(score_weights)),
    )
    _done(losses, out)


def _done(losses: dict[str, float], out: Path) -> None:
    if not distributed.is_main():
        return
    if losses:
        click.echo(json.dumps(losses))
    else:
        click.echo(f"{out}: already trained that far; --steps continues it", err=True)


@main.command("sample")
@click.argument("checkpoint", type=PATH)
@click.argument("captions", type=PATH)
@click.argument("out", type=PATH)
@click.option("--num", type=int, help="Images to make.  [default: one for each in CAPTIONS]")
@click.option("--seed", type=int, default=0, show_default=True, help="Of captions and noise.")
@click.option(
    "--stage",
    default="last",
    show_default=True,
    help="Whose images: last, a number from 1, or all (folders OUT/stage-1, ...).",
)
@click.option("--batch", type=click.IntRange(min=1), default=16, show_default=True)
@click.option("--itm", type=PATH, help="The released ITM_model149.pth, with a released .pth.")
@click.option(
    "--preset",
    default="coco-released",
    show_default=True,
    help="Configuration of a released .pth; other checkpoints bring their own.",
)
@click.option("--device", help="cpu, cuda or cuda:N.  [default: CUDA where there is any]")
def sample_command(
    checkpoint: Path,
    captions: Path,
    out: Path,
    num: int | None,
    seed: int,
    stage: str,
    batch: int,
    itm: Path | None,
    preset: str,
    device: str | None,
) -> None:
    """Make images for the captions of a file, named after the images that the file names.

    \b
    grgan sample scenes-small examples/captions.json images/
    grgan sample runs/gan captions_val2014.json images/ --num 30000 --seed 100
    cmd-score images/ captions_val2014.json
    grgan sample checkpoint_0300.pth captions_val2014.json images/ --itm ITM_model149.pth

    CHECKPOINT is a run folder of grgan train, its model/ folder, the bundled scenes-small, or the
    authors' released file.
    CAPTIONS is anything that cmd-score reads. Each of its images gives one caption, drawn by the
    seed, as in the published evaluation.

    An image follows from seed and caption, whatever the batch size and whatever else is in the
    file (a caption that comes again gets another image). Not so with the preset coco-released: the
    released code mixes the masks of a batch, so that an image depends on its neighbours, and
    batches are made whole.

    Interrupted, the same command makes what is missing.
    """
    place = distributed.start(device)
    jobs = choose(read_captions(captions), num, seed)
    if checkpoint.suffix in (".pth", ".pt"):
        if itm is None:
            raise GrganError(f"{checkpoint}: a released checkpoint needs --itm ITM_model149.pth")
        model = load_released(checkpoint, itm, Config.load(preset), place)
    else:
        model = load_model(checkpoint, place)
    identity = {"model": model.fingerprint(), "seed": seed}
    if model.config.quirks.mixed_memory_mask:
        click.echo("note: images depend on their batch (released mask bug); see --help", err=True)
    made = sample(model, jobs, out, identity, stage, batch)
    click.echo(f"{made} images made, {len(jobs) - made} were there: {out}", err=True)


@main.command("retrieval")
@click.option(
    "--matcher",
    "--itm",
    "trained",
    type=PATH,
    help="A run folder of grgan train-itm, train-damsm or train.",
)
@click.option("--clip", help="In place of --matcher: any CLIP that cmdmetric knows.")
@click.option("--weights", type=PATH, help="A file with the CLIP's weights.")
@click.option("--kind", type=click.Choice(["coco", "cub", "folder", "scenes"]), help="Of the data.")
@click.option("--data", type=PATH, help="Folder of the data set (none for scenes).")
@click.option("--split", type=click.Choice(["train", "val"]), default="val", show_default=True)
@click.option("--num", type=int, help="Images, from the first on.  [default: all]")
@click.option("--device", help="cpu, cuda or cuda:N.  [default: CUDA where there is any]")
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text")
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


@main.command("info")
@click.argument("what", metavar="PRESET|FOLDER")
@click.option("--set", "settings", multiple=True, metavar="KEY=VALUE", help="Change one key.")
@click.option("--base", metavar="PRESET", help="Put a preset that has a base upon another one.")
def info_command(what: str, settings: tuple[str, ...], base: str | None) -> None:
    """Show a preset, a configuration file or a trained model: configuration, stages, sizes.

    \b
    grgan info coco
    grgan info attn-da-grg --base scenes-tiny
    grgan info runs/gan
    """
    click.echo(describe(what, settings_of(settings), base))


main.add_command(ablate_command)
