"""Every hyperparameter of the model, its losses, its data and its training: one frozen dataclass.

A preset is a TOML file in `presets/` (`compose` reads it); what it leaves out has the default
below. A stage of the generator is described by what it refines with (`StageConfig.kind`), so that
the order of the stages (Table 6), their number and their sizes are configuration.
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
from pathlib import Path
from typing import Annotated, Any, Literal

from grgan_ref.compose import parse_value, presets as presets, read_table
from grgan_ref.errors import GrganError

#: The largest whole number.
_LARGEST = 2**31 - 1


@dataclass(frozen=True)
class Range:
    """What a number of the configuration may be, both ends included."""

    least: float
    most: float

    def __str__(self) -> str:
        if self.most == sys.float_info.max:
            return "finite and not negative"
        return f"from {self.least:,} to {self.most:,}"


#: Layers, channels, pixels; numbers of samples, words and steps, of which there is at least one;
#: those where 0 stands for all, none or never; parts of one; and weights, rates and seconds.
Size = Annotated[int, Range(1, 2**14)]
SizeOrZero = Annotated[int, Range(0, 2**14)]
Count = Annotated[int, Range(1, _LARGEST)]
CountOrZero = Annotated[int, Range(0, _LARGEST)]
Share = Annotated[float, Range(0, 1)]
NonNegative = Annotated[float, Range(0, sys.float_info.max)]


@dataclass(frozen=True)
class StageConfig:
    """One stage of the gradual refinement generator (section 3.1).

    What a stage refines with, its kind, decides three things at once:

            fused text            discriminator's condition   matching losses
        I   none (only F^ca)      none                        none
        S   sentence, repeated    sentence                    lambda2 * sentence loss (Eq. 4)
        W   words                 mean word vector            lambda1 * sentence + lambda2 * word
        J   words                 none, and the sentence      as W, but on the last stage only

    J (joint) is every stage of a generator without gradual refinement: StackGAN++, AttnGAN, DM-GAN.
    A first stage fuses text through F^ca alone, whatever its kind.

    Attributes:
        kind: I, S, W or J.
        size: Width and height of the stage's image in pixels, twice the size of the stage before.
    """

    kind: Literal["I", "S", "W", "J"]
    size: Size


@dataclass(frozen=True)
class ModelConfig:
    """Generator and discriminators (section 3.1)."""

    stages: tuple[StageConfig, ...] = (
        StageConfig("I", 64),
        StageConfig("S", 128),
        StageConfig("W", 256),
    )
    generator_width: Size = 64  # channels of every stage's hidden image
    discriminator_width: Size = 32  # channels after the first convolution at 64 pixels and above
    noise_dim: SizeOrZero = 100  # z
    condition_dim: Size = 100  # c, the output of F^ca
    residual_blocks: SizeOrZero = 3  # per refinement stage
    embedding_dim: Size = 512  # common space of words, sentences, regions and images
    # How a stage fuses its text: DM-GAN's dynamic memory, AttnGAN's attention, or StackGAN++'s
    # plain join of the condition c, which reads no text (stages of kind J).
    refinement: Literal["dmgan", "attn", "plain"] = "dmgan"
    # The discriminators' convolutions: spectral norm (DM-GAN, GR-GAN) or batch norm (AttnGAN).
    discriminator: Literal["spectral", "batch"] = "spectral"
    # Whose text features are fused, and who matches images with captions (lambda1 = lambda2 = 0
    # switches the matching losses off and leaves the text features).
    matcher: Literal["itm", "damsm"] = "itm"


@dataclass(frozen=True)
class ItmConfig:
    """The Image-Text Matcher (section 3.2) and its pre-training."""

    clip: str = "RN101-quickgelu"  # an open_clip model name, or a folder in open_clip's format
    weights: str = ""  # file with that model's weights; a folder brings its own
    region_layer: Count = 3  # regions: ResNet layer 1-4, or transformer block of a ViT, from 1
    words: Count = 15  # word slots in pre-training
    learning_rate: NonNegative = 2e-4
    decay: Share = 0.98  # of the learning rate, per epoch, down to a tenth
    betas: tuple[Share, Share] = (0.5, 0.999)
    batch: Count = 48
    epochs: Count = 150
    steps: CountOrZero = 0  # stop after so many steps; 0: after `epochs`
    image_size: Count = 299  # of the crop, before CLIP's own size
    resize: Count = 355  # shorter side before the crop


@dataclass(frozen=True)
class DamsmConfig:
    """AttnGAN's matcher, DAMSM, and its pre-training; the defaults are those for COCO."""

    # What sees the images: the frozen Inception-v3 of the publication, or a small convolutional
    # network, trained with the rest, where images are few and small (damsm_images.SmallNetwork).
    image_network: Literal["inception-v3", "small"] = "inception-v3"
    weights: str = ""  # file with torchvision's Inception-v3 weights, for pre-training
    word_dim: Count = 300  # of the word embedding; the LSTM's states: embedding_dim
    dropout: Share = 0.5  # of the word embedding, in pre-training
    gradient_clip: NonNegative = 0.25  # largest norm of the text encoder's gradient
    words: Count = 15  # word slots in pre-training
    learning_rate: NonNegative = 2e-3
    decay: Share = 0.98  # of the learning rate, per epoch, down to a tenth
    betas: tuple[Share, Share] = (0.5, 0.999)
    batch: Count = 48
    epochs: Count = 600
    steps: CountOrZero = 0  # stop after so many steps; 0: after `epochs`
    image_size: Count = 299  # of the crop, and of what the network sees
    resize: Count = 355  # shorter side before the crop (299 * 76 / 64)


@dataclass(frozen=True)
class LossConfig:
    """Weights and sharpness of the losses (Eq. 3-9)."""

    gamma1: NonNegative = 4.0  # attention of a word over the regions
    gamma2: NonNegative = 5.0  # pooling of the word scores of a caption
    gamma3: NonNegative = 10.0  # temperature of the matching probabilities
    lambda1: NonNegative = 4.0  # sentence loss of a W or last J stage
    lambda2: NonNegative = 1.0  # sentence loss of an S stage, word loss of a W or last J stage
    kl: NonNegative = 1.0  # conditioning augmentation


@dataclass(frozen=True)
class DataConfig:
    """Where images and captions come from, and what training does to the images."""

    kind: Literal["coco", "cub", "folder", "scenes"] = "coco"
    captions_per_image: CountOrZero = 0  # so many of each image count (the paper: 5); 0: all
    words: Count = 12  # L, the word slots in training
    words_sample: Count = 20  # L in sampling
    resize: Count = 304  # shorter side before the crop to the last stage's size (256 * 76 / 64)
    flip: bool = True
    scenes: Count = 20_000  # number of training scenes (kind "scenes")
    shapes: Count = 4  # the most shapes of a scene
    fewest_shapes: Count = 1  # of a training scene; each has these to the most
    hard_negatives: bool = False  # training scenes in fours of a batch that differ in little


@dataclass(frozen=True)
class TrainConfig:
    """Optimisation of generator and discriminators."""

    optimiser: Literal["adamax", "adam"] = "adamax"
    generator_rate: NonNegative = 2e-5
    discriminator_rate: NonNegative = 2e-5
    betas: tuple[Share, Share] = (0.5, 0.999)
    discriminators_alone: CountOrZero = 0  # first steps that leave the generator as it is
    batch: Count = 8  # samples of a step, of all processes together
    accumulate: Count = 1  # parts that a process works through its samples of a step in
    epochs: Count = 300
    steps: CountOrZero = 0  # stop after so many steps; 0: after `epochs`
    ema: Share = 0.999
    precision: Literal["float32", "bfloat16"] = "float32"
    compile: bool = False
    seed: CountOrZero = 0
    log_every: Count = 50
    sample_every: Count = 1000
    checkpoint_every: CountOrZero = 0  # steps; 0: by time alone
    checkpoint_seconds: NonNegative = 60.0  # a killed run loses at most so much work
    keep_checkpoints: Count = 3
    score_every: CountOrZero = 0  # CMD of generated against held-out images; 0: never
    score_samples: Count = 1000


@dataclass(frozen=True)
class QuirksConfig:
    """What the released code does and the paper does not describe; weights were trained with it.

    All True in `coco-released`, those that AttnGAN and DM-GAN share in `attn-released` and
    `dmgan-released`, all False elsewhere. Each is explained where it acts.
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
    damsm: DamsmConfig = field(default_factory=DamsmConfig)
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
        if self.model.refinement == "plain" and any(s.kind in "SW" for s in stages[1:]):
            raise GrganError(
                'model.refinement "plain" reads no text: use stages of kind I or J behind the first'
            )
        batch, parts = self.train.batch, self.train.accumulate
        if parts > 1 and self.train.discriminators_alone:
            raise GrganError("train.discriminators_alone and train.accumulate do not go together")
        if batch < 2:
            raise GrganError(f"train.batch is {batch}; mismatched pairs (and batch norm) need 2")
        if parts < 1 or batch % parts or batch < 2 * parts:
            raise GrganError(
                f"train.accumulate is {parts} and train.batch {batch}: the batch must divide into "
                "so many parts of at least 2 samples"
            )

    @property
    def matcher(self) -> ItmConfig | DamsmConfig:
        """The section of the matcher that `model.matcher` names."""
        return self.damsm if self.model.matcher == "damsm" else self.itm

    @classmethod
    def load(
        cls,
        name_or_path: str | Path,
        overrides: Mapping[str, Any] | None = None,
        base: str | None = None,
    ) -> Config:
        """Read a preset or a TOML file.

        Args:
            name_or_path: The preset's name or the file's path.
            overrides: Dotted keys to values, as in {"train.batch": 16}; a string is read as a TOML
                value where its field is no string, so that "16" and 16 mean the same. The key
                "order", as in {"order": "I-W-S"}, gives the stages of the base other kinds.
            base: The preset that it is put upon, in place of its own base.

        Raises:
            GrganError: A key is unknown or a value has the wrong type (the message names it), there
                is no such preset, or the file cannot be read.
        """
        name = str(name_or_path)
        origin = f"preset {name}" if name in presets() else name
        table = read_table(name, base)
        for key, value in (overrides or {}).items():
            if key == "order":
                table["order"] = value
            else:
                _override(table, key, value)
        if "order" in table:
            _reorder(table, origin)
        return cls.from_dict(table, origin)

    @classmethod
    def from_dict(cls, table: Mapping[str, Any], origin: str = "config") -> Config:
        """Build a configuration from what `to_dict` gave, with defaults for what is left out."""
        return _convert(table, cls, "", origin)

    def to_dict(self) -> dict[str, Any]:
        """Return plain dictionaries, lists and numbers, ready for JSON."""
        return json.loads(json.dumps(dataclasses.asdict(self)))


def _override(table: dict[str, Any], key: str, value: Any) -> None:
    """Put `value` at the dotted `key`; `_convert` then judges the whole table."""
    kind: Any = Config
    for name in key.split("."):
        kind = typing.get_type_hints(kind).get(name) if dataclasses.is_dataclass(kind) else None
    if isinstance(value, str) and kind is not str and typing.get_origin(kind) is not Literal:
        value = parse_value(value, f"override {key}")
    *sections, name = key.split(".")
    for section in sections:
        table = table.setdefault(section, {})
        if not isinstance(table, dict):
            raise GrganError(f"override {key}: {section!r} is no table")
    table[name] = value


def _reorder(table: dict[str, Any], origin: str) -> None:
    """Replace `order` by stages of those kinds, with the sizes of the stages that are there."""
    order, model = table.pop("order"), table.setdefault("model", {})
    stages = model.get("stages", Config().to_dict()["model"]["stages"])
    kinds = order.split("-") if isinstance(order, str) else []
    if len(kinds) != len(stages):
        raise GrganError(
            f"{origin}: order is {order!r}; it must name a kind for each of the {len(stages)} "
            "stages, as in I-S-W"
        )
    model["stages"] = [{**stage, "kind": kind} for stage, kind in zip(stages, kinds, strict=True)]


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
        known = typing.get_type_hints(kind, include_extras=True)
        for name in value:
            if name not in known:
                raise _unknown(name, path, known, origin)
        parts = {
            name: _convert(item, known[name], f"{path}.{name}".lstrip("."), origin)
            for name, item in value.items()
        }
        build: Any = kind
        try:
            return build(**parts)
        except GrganError as error:  # of values that do not go together
            raise GrganError(f"{origin}: {error}") from None
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
    kind, allowed = typing.get_args(kind) if typing.get_origin(kind) is Annotated else (kind, None)
    if kind is float and type(value) is int and abs(value) <= _LARGEST:
        value = float(value)
    if type(value) is not kind:
        raise _wrong(value, f"of type {kind.__name__}", path, origin)
    if allowed is not None and not allowed.least <= value <= allowed.most:
        raise _wrong(value, str(allowed), path, origin)
    return value


def _wrong(value: Any, expected: str, path: str, origin: str) -> GrganError:
    return GrganError(f"{origin}: {path} is {value!r}; it must be {expected}")
