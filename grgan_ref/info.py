"""What a preset or a trained model is: configuration, stages and sizes, in text."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from grgan_ref.compose import presets
from grgan_ref.config import Config
from grgan_ref.errors import GrganError
from grgan_ref.files import RELEASED, manifests, read_model, read_released, step_of
from grgan_ref.matching import is_released, matcher_config, read_vocabulary
from grgan_ref.networks import Generator, build_discriminators
from grgan_ref.released import read_released_model

KINDS = {
    "I": "image only: unconditional discriminator, no matching loss",
    "S": "sentence: discriminator and matching loss on the sentence",
    "W": "words: discriminator on the mean word, sentence and word loss",
    "J": "joint: discriminator with and without the sentence; matching losses on the last stage",
}


def describe(what: str, settings: Mapping[str, str], base: str | None = None) -> str:
    """Tell what a preset, a TOML file, a run's or a model's folder, or a released file is.

    Args:
        what: Its name or path.
        settings: Dotted keys of a preset with other values.
        base: What the preset is put upon.

    Raises:
        GrganError: It is none of them.
    """
    folder = Path(what)
    if folder.suffix in RELEASED:
        return _describe_released(folder)
    if folder.suffix == ".pickle":
        return f"{what}: a vocabulary of {len(read_vocabulary(folder)) - 1:,} words"
    if what in presets() or not folder.is_dir():
        return _describe_config(Config.load(what, settings, base))
    if settings or base:
        raise GrganError(f"--set and --base change a preset; {what} is trained already")
    if is_released(folder):  # DAMSM's
        return "\n".join(_describe_released(path) for path in sorted(folder.glob("*_encoder*.pth")))
    lines = [
        f"checkpoint at step {step_of(path)}: {path.with_suffix('.pt')}"
        for path in manifests(folder / "checkpoints")
    ]
    models: dict[str, Config] = {}
    for name in ("itm", "damsm", "generator"):
        for file in (folder / f"{name}.safetensors", folder / "model" / f"{name}.safetensors"):
            if file.is_file():
                state, models[name] = read_model(file)
                count = sum(tensor.numel() for tensor in state.values())
                lines.append(f"{file}: {count:,} numbers, {file.stat().st_size:,} bytes")
    if not models:
        raise GrganError(f"{what} holds no model: give a preset, a TOML file or a run's folder")
    if "generator" in models:
        return "\n".join([*lines, "", _describe_config(models["generator"])])
    (kind, config), *_ = models.items()
    told = f"{kind}: text of {config.model.embedding_dim} dimensions"
    return "\n".join([*lines, "", told, "", _settings(config)])


def _describe_released(path: Path) -> str:
    kind, state = read_released(path)
    count = sum(tensor.numel() for tensor in state.values())
    line = f"{path}: a released {kind}, {len(state)} tensors, {count:,} numbers"
    if kind == "generator":
        config, _ = read_released_model(path)
        return f"{line}\n\n{_describe_config(config)}"
    if kind == "damsm image encoder":
        return f"{line}; import it with its text encoder"
    return f"{line}, text of {matcher_config(path).model.embedding_dim} dimensions"


def _describe_config(config: Config) -> str:
    with torch.device("meta"):  # shapes only
        generator, discriminators = Generator(config), build_discriminators(config)
    model, weights = config.model, config.loss
    matching = "" if weights.lambda1 or weights.lambda2 else " for its text features only"
    lines = [
        f"generator: {_parameters(generator):,} parameters, refinement {model.refinement}; "
        f"matcher {model.matcher}{matching}"
    ]
    for k, (stage, network) in enumerate(
        zip(config.model.stages, discriminators, strict=True), start=1
    ):
        lines.append(
            f"stage {k}: {stage.size}x{stage.size}, {KINDS[stage.kind]}; "
            f"discriminator {_parameters(network):,} parameters"
        )
    return "\n".join([*lines, "", _settings(config)])


def _settings(config: Config) -> str:
    return json.dumps(_flat(config.to_dict()), indent=2)


def _parameters(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def _flat(table: Mapping[str, Any]) -> dict[str, Any]:
    """Dotted keys, as --set takes them."""
    return {
        f"{section}.{key}": value
        for section, values in table.items()
        for key, value in values.items()
    }
