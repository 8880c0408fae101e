"""Every hyperparameter of the model, its losses, its data and its training: one frozen dataclass.

A preset is a TOML file in `presets/`; what it leaves out has the default below. A stage of the
generator is described by what it refines with (`StageConfig.kind`), so that the order of the
stages (Table 6), their number and their sizes are configuration.
"""

from __future__ import annotations

import dataclasses
import difflib
import itertools
import json
import sys
import typing
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any, Literal

from grgan_ref.errors import GrganError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


@dataclass(frozen=True)
class StageConfig:
    """One stage of the gradual refinement generator (section 3.1).

    kind: what the stage refines with. It decides three things at once:
            fused text            discriminator's condition   matching losses
        I   none (only F^ca)      none                        none
        S   sentence, repeated    sentence                    lambda2 * sentence loss
        W   words                 mean word vector            lambda1 * sentence + lambda2 * word
    size: width and height of the stage's image in pixels, twice the size of the stage before.
    """

    kind: Literal["I", "S", "W"]
    size: int


@dataclass(frozen=True)
class ModelConfig:
    """Generator and discriminators (section 3.1)."""

    stages: tuple[StageConfig, ...] = (
        StageConfig("I", 64),
        StageConfig("S", 128),
        StageConfig("W", 256),
    )
    generator_width: int = 64  # channels of every stage's hidden image
    discriminator_width: int = 32  # channels after the first convolution at 64 pixels and above
    noise_dim: int = 100  # z
    condition_dim: int = 100  # c, the output of F^ca
    residual_blocks: int = 3  # per refinement stage
    embedding_dim: int = 512  # common space of words, sentences, regions and images


@dataclass(frozen=True)
class ItmConfig:
    """The Image-Text Matcher (section 3.2) and its pre-training."""

    clip: str = "RN101-quickgelu"  # an open_clip model name, or a folder in open_clip's format
    weights: str = ""  # file with that model's weights; a folder brings its own
    region_layer: int = 3  # regions: ResNet layer 1-4, or transformer block of a ViT, from 1
    words: int = 15  # word slots in pre-training
    learning_rate: float = 2e-4
    decay: float = 0.98  # of the learning rate, per epoch, down to a tenth
    betas: tuple[float, float] = (0.5, 0.999)
    batch: int = 48
    epochs: int = 150
    steps: int = 0  # stop after so many steps; 0: after `epochs`
    image_size: int = 299  # of the crop, before CLIP's own size
    resize: int = 355  # shorter side before the crop


@dataclass(frozen=True)
class LossConfig:
    """Weights and sharpness of the losses (Eq. 3-9)."""

    gamma1: float = 4.0  # attention of a word over the regions
    gamma2: float = 5.0  # pooling of the word scores of a caption
    gamma3: float = 10.0  # temperature of the matching probabilities
    lambda1: float = 4.0  # sentence loss of a W stage
    lambda2: float = 1.0  # sentence loss of an S stage, word loss of a W stage
    kl: float = 1.0  # conditioning augmentation


@dataclass(frozen=True)
class DataConfig:
    """Where images and captions come from, and what training does to the images."""

    kind: Literal["coco", "cub", "folder", "scenes"] = "coco"
    words: int = 12  # L, the word slots in training
    words_sample: int = 20  # L in sampling
    resize: int = 304  # shorter side before the crop to the last stage's size (256 * 76 / 64)
    flip: bool = True
    scenes: int = 20_000  # number of training scenes (kind "scenes")


@dataclass(frozen=True)
class TrainConfig:
    """Optimisation of generator and discriminators."""

    optimiser: Literal["adamax", "adam"] = "adamax"
    generator_rate: float = 2e-5
    discriminator_rate: float = 2e-5
    betas: tuple[float, float] = (0.5, 0.999)
    batch: int = 8
    epochs: int = 300
    steps: int = 0  # stop after so many steps; 0: after `epochs`
    ema: float = 0.999
    precision: Literal["float32", "bfloat16"] = "float32"
    compile: bool = False
    seed: int = 0
    log_every: int = 50
    sample_every: int = 1000
    checkpoint_every: int = 1000
    keep_checkpoints: int = 3
    score_every: int = 0  # CMD of generated against held-out images; 0: never
    score_samples: int = 1000


@dataclass(frozen=True)
class QuirksConfig:
    """What the released code does and the paper does not describe; weights were trained with it.

    All True in `coco-released`, all False elsewhere. Each is explained where it acts.
    """

    mixed_memory_mask: bool = False  # memory.DynamicMemory
    mask_off_by_one: bool = False  # text.tokenise
    shifted_words_in_pretraining: bool = False  # itm.ITM.encode_text
    unnormalised_clip_input: bool = False  # itm.ITM
    mean_word_over_padding: bool = False  # gan_step.condition_of
    power_iteration_in_eval: bool = False  # spectral_norm.SpectralNormConv2d
    shared_power_vectors: bool = False  # spectral_norm.SpectralNormConv2d
    unused_conditional_head: bool = False  # discriminator.build_discriminators


@dataclass(frozen=True)
class Config:
    """The whole configuration; `Config.load("coco")` or `Config.load("my.toml")`."""

    model: ModelConfig = field(default_factory=ModelConfig)
    itm: ItmConfig = field(default_factory=ItmConfig)
    loss: LossConfig = field(default_factory=LossConfig)
    data: DataConfig = field(default_factory=DataConfig)
    train: TrainConfig = field(default_factory=TrainConfig)
    quirks: QuirksConfig = field(default_factory=QuirksConfig)

    def __post_init__(self) -> None:
        stages = self.model.stages
        if not stages:
            raise GrganError("model.stages is empty: give at least one stage")
        first = stages[0].size
        if first < 8 or first & (first - 1):
            raise GrganError(
                f"model.stages: the first size is {first}; it must be a power of two, at least 8"
            )
        for before, stage in itertools.pairwise(stages):
            if stage.size != 2 * before.size:
                raise GrganError(
                    f"model.stages: size {stage.size} follows {before.size}; every stage doubles "
                    f"the size, so write {2 * before.size}"
                )
        if self.train.batch < 2:
            raise GrganError(
                f"train.batch is {self.train.batch}; mismatched pairs (and batch norm) need 2"
            )

    @classmethod
    def load(cls, name_or_path: str | Path, overrides: Mapping[str, Any] | None = None) -> Config:
        """Read a preset by name or a TOML file by path.

        `overrides` maps dotted keys to values, as in {"train.batch": 16}; a string is read as a
        TOML value where its field is no string, so that "16" and 16 mean the same.

        Raises GrganError, naming the key, for an unknown key, a value of the wrong type, an unknown
        preset or an unreadable file.
        """
        text, origin = _read(str(name_or_path))
        try:
            table = tomllib.loads(text)
        except (tomllib.TOMLDecodeError, RecursionError) as error:
            raise GrganError(f"{origin}: not a TOML file: {error}") from None
        for key, value in (overrides or {}).items():
            _override(table, key, value)
        return cls.from_dict(table, origin)

    @classmethod
    def from_dict(cls, table: Mapping[str, Any], origin: str = "config") -> Config:
        """The inverse of `to_dict`; keys that are left out keep their defaults."""
        return _convert(table, cls, "", origin)

    def to_dict(self) -> dict[str, Any]:
        """Plain dictionaries, lists and numbers, ready for JSON."""
        return json.loads(json.dumps(dataclasses.asdict(self)))


def presets() -> list[str]:
    """Names of the presets that come with the package."""
    folder = resources.files("grgan_ref") / "presets"
    return sorted(f.name[: -len(".toml")] for f in folder.iterdir() if f.name.endswith(".toml"))


def _read(name: str) -> tuple[str, str]:
    if name in presets():
        origin = f"preset {name}"
        return (resources.files("grgan_ref") / "presets" / f"{name}.toml").read_text(
            "utf-8"
        ), origin
    try:
        return Path(name).read_text("utf-8"), name
    except (OSError, UnicodeDecodeError) as error:
        raise GrganError(
            f"config {name!r}: neither a preset ({', '.join(presets())}) nor a readable TOML file: "
            f"{error}"
        ) from None


def _override(table: dict[str, Any], key: str, value: Any) -> None:
    """Put `value` at the dotted `key`; `_convert` then judges the whole table."""
    kind: Any = Config
    for name in key.split("."):
        kind = typing.get_type_hints(kind).get(name) if dataclasses.is_dataclass(kind) else None
    if isinstance(value, str) and kind is not str and typing.get_origin(kind) is not Literal:
        try:
            value = tomllib.loads(f"value = {value}")["value"]
        except tomllib.TOMLDecodeError:
            raise GrganError(f"override {key}={value}: {value!r} is not a TOML value") from None
    *sections, name = key.split(".")
    for section in sections:
        table = table.setdefault(section, {})
        if not isinstance(table, dict):
            raise GrganError(f"override {key}: {section!r} is no table")
    table[name] = value


def _unknown(name: str, parent: str, known: Mapping[str, Any], origin: str) -> GrganError:
    path = f"{parent}.{name}" if parent else name
    nearest = difflib.get_close_matches(name, known, 1, cutoff=0.0)
    where = f"{parent}." if parent else ""
    return GrganError(
        f"{origin}: unknown key {path!r}; the nearest known is {where + nearest[0]!r}"
    )


def _convert(value: Any, kind: Any, path: str, origin: str) -> Any:
    """`value` as an instance of the annotated type `kind`, or a GrganError naming `path`."""
    if dataclasses.is_dataclass(kind):
        if not isinstance(value, Mapping):
            raise _wrong(value, "a table", path, origin)
        known = typing.get_type_hints(kind)
        for name in value:
            if name not in known:
                raise _unknown(name, path, known, origin)
        parts = {
            name: _convert(item, known[name], f"{path}.{name}".lstrip("."), origin)
            for name, item in value.items()
        }
        try:
            return kind(**parts)
        except TypeError:  # only StageConfig has fields without a default
            raise GrganError(f"{origin}: {path} needs all of {', '.join(known)}") from None
    if typing.get_origin(kind) is tuple:
        items = typing.get_args(kind)
        if not isinstance(value, list | tuple):
            raise _wrong(value, "a list", path, origin)
        if items[-1] is Ellipsis:
            items = (items[0],) * len(value)
        if len(items) != len(value):
            raise _wrong(value, f"a list of {len(items)}", path, origin)
        return tuple(
            _convert(v, k, f"{path}[{i}]", origin)
            for i, (v, k) in enumerate(zip(value, items, strict=True))
        )
    if typing.get_origin(kind) is Literal:
        if value not in typing.get_args(kind):
            choices = ", ".join(map(repr, typing.get_args(kind)))
            raise _wrong(value, f"one of {choices}", path, origin)
        return value
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if type(value) is not kind:
        raise _wrong(value, f"of type {kind.__name__}", path, origin)
    return value


def _wrong(value: Any, expected: str, path: str, origin: str) -> GrganError:
    return GrganError(f"{origin}: {path} is {value!r}; it must be {expected}")
