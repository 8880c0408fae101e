"""The commands `grgan import-gan`, `import-itm` and `import-damsm`: released files into ours."""

from __future__ import annotations

from pathlib import Path

import click

from cmdmetric.terminal import tell
from grgan_ref.cli.options import (
    PATH,
    complete_presets,
    preset_of_file_option,
    settings_of,
    settings_option,
)
from grgan_ref.config import Config
from grgan_ref.errors import GrganError

OUT = click.option("--out", type=PATH, required=True, help="The folder to write.")


@click.command("import-gan")
@click.argument("generator", type=PATH)
@click.option(
    "--matcher",
    "--itm",
    "matcher",
    type=PATH,
    help="What it was trained beside. Without it grgan sample asks for it.",
)
@OUT
@preset_of_file_option
@settings_option
def import_gan_command(
    generator: Path,
    matcher: Path | None,
    out: Path,
    preset: str | None,
    settings: tuple[str, ...],
) -> None:
    """Bring a released generator into a folder for grgan sample and grgan info.

    \b
    grgan import-gan checkpoint_0300.pth --matcher ITM_model149.pth --out grgan/
    grgan import-gan coco_AttnGAN2.pth --matcher DAMSM/coco/ --out attngan/
    grgan import-gan coco_DMGAN.pth --matcher damsm/ --out dmgan/

    GENERATOR is GR-GAN's checkpoint, with the averaged generator under netG, or the bare file of
    AttnGAN or DM-GAN. Which it is and how large its networks are is read off it. --matcher is an
    imported one, the released ITM, or a folder with the released text_encoder100.pth,
    image_encoder100.pth and captions.pickle. Nothing in these files is executed.

    Of the models for birds set what is not in the file: --set data.words_sample=25.
    """
    from grgan_ref.files import load_strictly, save_model
    from grgan_ref.matching import load_matcher, save_matcher
    from grgan_ref.networks import Generator
    from grgan_ref.released import read_released_model

    config, state = read_released_model(generator, preset, settings_of(settings))
    load_strictly(Generator(config), state, str(generator))
    if matcher is not None:
        save_matcher(load_matcher(matcher, config), config, out)
    save_model(out / "generator.safetensors", state, config)
    more = "" if matcher is not None else " --matcher ..."
    tell(f"{out}: the generator, for grgan sample {out} captions.json images/{more}")


@click.command("import-itm")
@click.argument("itm", type=PATH)
@OUT
def import_itm_command(itm: Path, out: Path) -> None:
    """Bring the released ITM into a folder for --matcher of train, sample and retrieval.

    \b
    grgan import-itm ITM_model149.pth --out itm/

    Its CLIP comes with it: nothing is fetched later.
    """
    from grgan_ref.matching import load_matcher, matcher_config, save_matcher

    config = matcher_config(_file(itm))
    if config.model.matcher != "itm":
        raise GrganError(f"{itm}: an encoder of DAMSM, which grgan import-damsm takes")
    save_matcher(load_matcher(itm, config), config, out)
    tell(f"{out}: the ITM, for --matcher {out}")


@click.command("import-damsm")
@click.argument("text_encoder", type=PATH)
@click.argument("image_encoder", type=PATH)
@click.argument("vocabulary", type=PATH)
@OUT
@click.option(
    "--preset",
    default="dmgan-released",
    show_default=True,
    shell_complete=complete_presets,
    help="Whose sizes the encoders have.",
)
def import_damsm_command(
    text_encoder: Path, image_encoder: Path, vocabulary: Path, out: Path, preset: str
) -> None:
    """Bring the public DAMSM encoders into a folder for --matcher of train, sample and retrieval.

    \b
    grgan import-damsm text_encoder100.pth image_encoder100.pth \\
        captions.pickle --out damsm/

    VOCABULARY is AttnGAN's captions.pickle, of which nothing but lists, numbers and strings is
    read, or a list of its words in the order of their numbers: .txt (a word a line) or .json.
    """
    from grgan_ref.matching import load_released_damsm, save_matcher

    config = Config.load(preset, {"model.matcher": "damsm"})
    save_matcher(load_released_damsm(text_encoder, image_encoder, vocabulary, config), config, out)
    tell(f"{out}: DAMSM, for --matcher {out}")


def _file(path: Path) -> Path:
    if not path.is_file():
        raise GrganError(f"{path}: no such file")
    return path
