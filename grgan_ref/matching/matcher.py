"""The two matchers, ITM and DAMSM, behind one interface: build, save and load them.

A matcher encodes captions for the generator and the discriminators, and images for the matching
losses. `model.matcher` in the configuration says which one; its file is named after it. What the
authors released loads as what training here wrote does: an ITM's .pth, and a folder with the two
encoders of DAMSM and its captions.pickle.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from torch import Tensor, nn

from grgan_ref.config import Config
from grgan_ref.data import CaptionedImages, Tokens
from grgan_ref.errors import GrganError
from grgan_ref.files import (
    RELEASED,
    load_strictly,
    model_folder,
    read_model,
    read_released,
    read_released_damsm,
    read_released_itm,
    save_model,
)
from grgan_ref.matching.damsm import DAMSM
from grgan_ref.matching.damsm_images import InceptionNetwork
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
        """Encode images (B, 3, s, s) in [-1, 1] as regions (B, E, H, H') and image code (B, E)."""
        ...

    def encode_captions(
        self, captions: Sequence[str], slots: int, pretraining: bool = False
    ) -> tuple[Tokens, Tensor, Tensor]:
        """Encode B captions as tokens, sentence (B, E) and words (B, E, slots)."""
        ...

    def fingerprint(self) -> str:
        """Return the sha256 of all weights, in hexadecimal."""
        ...


def new_matcher(config: Config, data: CaptionedImages) -> ITM | DAMSM:
    """Build the matcher as its pre-training begins; DAMSM's vocabulary is that of the captions.

    Raises:
        InputError: The networks below it cannot be had.
    """
    if config.model.matcher == "itm":
        return build_itm(config)
    damsm = DAMSM(config, build_vocabulary(data.captions))
    if isinstance(damsm.network, InceptionNetwork):
        if not config.damsm.weights:
            raise GrganError(
                "DAMSM's Inception-v3 is not trained here: give torchvision's weights, "
                "--set damsm.weights=inception_v3_google-0cc3c7bd.pth"
            )
        damsm.network.load_imagenet(config.damsm.weights)
    return damsm


def save_matcher(matcher: Matcher, config: Config, folder: Path, half: bool = False) -> None:
    """Write the matcher's file, and DAMSM's vocabulary beside it.

    Raises:
        InputError: The disk is full or the folder cannot be written.
    """
    if isinstance(matcher, DAMSM):
        matcher.vocabulary.save(folder / VOCABULARY)
    file = folder / f"{config.model.matcher}.safetensors"
    save_model(file, matcher.stored.state_dict(), config, half)


def load_matcher(path: Path, config: Config) -> ITM | DAMSM:
    """Load the matcher that a configuration describes.

    Args:
        path: A model folder, a run folder, the authors' ITM_model149.pth, or a folder with their
            text_encoder100.pth, image_encoder100.pth and captions.pickle.
        config: What the matcher must have been trained with, as far as its weights depend on it.

    Raises:
        GrganError: There is no such matcher, or it was trained with another configuration.
    """
    kind = config.model.matcher
    if is_released(path):
        made_with = matcher_config(path)
        if made_with.model.matcher != kind:
            raise GrganError(
                f"{path} holds the matcher {made_with.model.matcher}; {kind} is wanted here"
            )
        _same("model", "embedding_dim", config.model, made_with.model, path)
        return _load_released(path, config)
    others = _files(path)
    if others and kind not in others:
        raise GrganError(f"{path} holds the matcher {next(iter(others))}; {kind} is wanted here")
    folder = model_folder(path, f"{kind}.safetensors")
    file = folder / f"{kind}.safetensors"
    weights, made_with = read_model(file)
    for name in _structure(kind):
        _same(kind, name, config.matcher, made_with.matcher, file)
    _same("model", "embedding_dim", config.model, made_with.model, file)
    matcher: ITM | DAMSM
    if kind == "damsm":
        matcher = DAMSM(config, read_vocabulary(folder / VOCABULARY))
    else:
        brings_clip = any(key.startswith("clip.") for key in weights)
        matcher = build_itm(config, pretrained=not brings_clip)
    load_strictly(matcher.stored, weights, str(file))
    return matcher


def matcher_config(path: Path) -> Config:
    """Return the configuration that a matcher was trained with; `path` is as in `load_matcher`.

    Raises:
        GrganError: There is no matcher.
    """
    if is_released(path):
        kind, state = read_released(_text_encoder(path) if path.is_dir() else path)
        if kind == "itm":
            size = _length(state, "MLP.dense_sent.weight", 0, path)
            return Config.load("coco-released", {"model.embedding_dim": size})
        if kind == "damsm text encoder":
            size = 2 * _length(state, "rnn.weight_hh_l0", 1, path)
            return Config.load("dmgan-released", {"model.embedding_dim": size})
        raise GrganError(f"{path}: holds a released {kind}, and a matcher is wanted here")
    for file in _files(path).values():
        return read_model(file)[1]
    return read_model(model_folder(path, "itm.safetensors") / "itm.safetensors")[1]


def _length(state: Mapping[str, Tensor], key: str, axis: int, path: Path) -> int:
    """The length of one axis of a matrix of a released matcher."""
    if key not in state or state[key].ndim != 2:
        raise GrganError(f"{path}: it has no matrix {key!r}, which a released matcher has")
    return state[key].shape[axis]


def load_released_itm(path: Path, config: Config) -> ITM:
    """Load the authors' ITM_model149.pth; it brings the weights of its CLIP.

    Raises:
        GrganError: It cannot be read, or its sizes are not the configuration's.
    """
    itm = build_itm(config, pretrained=False)
    load_strictly(itm, read_released_itm(path), str(path))
    return itm


def load_released_damsm(text: Path, image: Path, vocabulary: Path, config: Config) -> DAMSM:
    """Load AttnGAN's public encoders, `text_encoder*.pth` and `image_encoder*.pth`.

    Args:
        text: The text encoder's file.
        image: The image encoder's file.
        vocabulary: The words, in the order of their numbers (`vocabulary.read_vocabulary`).
        config: The sizes that they must have.

    Raises:
        GrganError: The three, or the configuration's sizes, do not belong together.
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


def _files(path: Path) -> dict[str, Path]:
    """The files of matchers in a model's or a run's folder, by their kind."""
    places = [path, path / "model"]
    files = [(kind, at / f"{kind}.safetensors") for kind in KINDS for at in places]
    return {kind: file for kind, file in files if file.is_file()}


def is_released(path: Path) -> bool:
    """Whether the path is a file of the authors, or a folder with DAMSM's encoders as they are."""
    if path.is_dir():
        ours = any((path / f"{kind}.safetensors").is_file() for kind in KINDS)
        return not ours and any(path.glob("text_encoder*.pth"))
    return path.suffix in RELEASED


def _load_released(path: Path, config: Config) -> ITM | DAMSM:
    if config.model.matcher == "itm":
        return load_released_itm(path, config)
    text = _text_encoder(path) if path.is_dir() else path
    image = text.with_name(text.name.replace("text_encoder", "image_encoder"))
    vocabulary = next(
        (f for f in (text.with_name("captions.pickle"), text.with_name(VOCABULARY)) if f.is_file()),
        None,
    )
    if vocabulary is None:
        raise GrganError(
            f"{text.parent} lacks the vocabulary: copy the authors' captions.pickle (data/coco/) "
            "beside the encoders, or use grgan import-damsm"
        )
    return load_released_damsm(text, image, vocabulary, config)


def _text_encoder(folder: Path) -> Path:
    found = sorted(folder.glob("text_encoder*.pth"))
    if len(found) != 1:
        names = ", ".join(path.name for path in found)
        raise GrganError(f"{folder} holds {len(found)} text encoders ({names}): name the one")
    return found[0]


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
