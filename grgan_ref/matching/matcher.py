"""The two matchers, ITM and DAMSM, behind one interface: build, save and load them.

A matcher encodes captions for the generator and the discriminators, and images for the matching
losses. `model.matcher` in the configuration says which one it is; its file is named after it.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

from torch import Tensor, nn

from grgan_ref.config import Config
from grgan_ref.data import CaptionedImages, Tokens
from grgan_ref.errors import GrganError
from grgan_ref.files import (
    load_strictly,
    model_folder,
    read_model,
    read_released_damsm,
    save_model,
)
from grgan_ref.matching.damsm import DAMSM
from grgan_ref.matching.itm import ITM, build_itm
from grgan_ref.matching.vocabulary import build_vocabulary, read_vocabulary

KINDS = ("itm", "damsm")
VOCABULARY = "vocabulary.json"


class Matcher(Protocol):
    """What training, sampling and retrieval ask of `itm.ITM` and `damsm.DAMSM`, both modules."""

    @property
    def stored(self) -> nn.Module:
        """The part that a model folder and a checkpoint keep."""
        ...

    def encode_image(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Images (B, 3, s, s) in [-1, 1] -> regions (B, E, H, H') and image code (B, E)."""
        ...

    def encode_captions(
        self, captions: Sequence[str], slots: int, pretraining: bool = False
    ) -> tuple[Tokens, Tensor, Tensor]:
        """B captions to tokens, sentence (B, E) and words (B, E, slots)."""
        ...

    def fingerprint(self) -> str:
        """sha256 of all weights, in hexadecimal."""
        ...


def new_matcher(config: Config, data: CaptionedImages) -> ITM | DAMSM:
    """The matcher as its pre-training begins; DAMSM's vocabulary is that of the data's captions.

    Raises InputError where the networks below it cannot be had.
    """
    if config.model.matcher == "itm":
        return build_itm(config)
    damsm = DAMSM(config, build_vocabulary(data.captions))
    if damsm.network.frozen:
        if not config.damsm.weights:
            raise GrganError(
                "DAMSM's Inception-v3 is not trained here: give torchvision's weights, "
                "--set damsm.weights=inception_v3_google-0cc3c7bd.pth"
            )
        damsm.network.load_imagenet(config.damsm.weights)
    return damsm


def save_matcher(matcher: ITM | DAMSM, config: Config, folder: Path, half: bool = False) -> None:
    """Write the matcher's file, and DAMSM's vocabulary beside it."""
    if isinstance(matcher, DAMSM):
        matcher.vocabulary.save(folder / VOCABULARY)
    file = folder / f"{config.model.matcher}.safetensors"
    save_model(file, matcher.stored.state_dict(), config, half)


def load_matcher(path: Path, config: Config) -> ITM | DAMSM:
    """The matcher in a model folder or run folder; it must be the one that `config` describes."""
    kind = config.model.matcher
    folder = model_folder(path, f"{kind}.safetensors")
    file = folder / f"{kind}.safetensors"
    weights, made_with = read_model(file)
    for name in _structure(kind):
        _same(kind, name, config.matcher, made_with.matcher, file)
    _same("model", "embedding_dim", config.model, made_with.model, file)
    matcher = (
        build_itm(config) if kind == "itm" else DAMSM(config, read_vocabulary(folder / VOCABULARY))
    )
    load_strictly(matcher.stored, weights, str(file))
    return matcher


def load_released_damsm(text: Path, image: Path, vocabulary: Path, config: Config) -> DAMSM:
    """AttnGAN's public encoders, `text_encoder*.pth` and `image_encoder*.pth`, with the words of
    `vocabulary` (`vocabulary.read_vocabulary`).

    Raises GrganError where the three or the configuration's sizes do not belong together.
    """
    weights, words = read_released_damsm(text, image), read_vocabulary(vocabulary)
    known = weights.get("text.embedding.weight")
    if known is not None and len(known) != len(words):
        raise GrganError(
            f"{text} knows {len(known)} words and {vocabulary} lists {len(words)}, both with the "
            "end of a caption: they do not belong together"
        )
    damsm = DAMSM(config, words)
    load_strictly(damsm, weights, f"{text}, {image}")
    return damsm


def matcher_config(path: Path) -> Config:
    """The configuration that the matcher in a model folder or run folder was trained with."""
    for kind in KINDS:
        for folder in (path, path / "model"):
            if (folder / f"{kind}.safetensors").is_file():
                return read_model(folder / f"{kind}.safetensors")[1]
    return read_model(model_folder(path, "itm.safetensors") / "itm.safetensors")[1]


def _structure(kind: str) -> tuple[str, ...]:
    """The keys on which the weights depend."""
    if kind == "itm":
        return ("clip", "region_layer")
    return ("image_network", "image_size", "word_dim")


def _same(section: str, name: str, wanted: Any, given: Any, file: Path) -> None:
    ours, theirs = getattr(wanted, name), getattr(given, name)
    if ours != theirs:
        raise GrganError(
            f"{file} was trained with {section}.{name} = {theirs!r}, this configuration has "
            f"{ours!r}"
        )
