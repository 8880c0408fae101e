"""What a preset or a trained model is: configuration, stages and sizes, in text."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from grgan_ref.config import Config, presets
from grgan_ref.errors import GrganError
from grgan_ref.files import manifests, read_json, read_model
from grgan_ref.networks import Generator, build_discriminators

KINDS = {
    "I": "image only: unconditional discriminator, no matching loss",
    "S": "sentence: discriminator and matching loss on the sentence",
    "W": "words: discriminator on the mean word, sentence and word loss",
    "J": "joint: discriminator with and without the sentence; matching losses on the last stage",
}


def describe(what: str, settings: Mapping[str, str], base: str | None = None) -> str:
    """`what` is a preset, a TOML file, a run folder or a model folder.

    Raises GrganError for none of them.
    """
    folder = Path(what)
    if what in presets() or not folder.is_dir():
        return _describe_config(Config.load(what, settings, base))
    if settings or base:
        raise GrganError(f"--set and --base change a preset; {what} is trained already")
    lines = [
        f"checkpoint at step {read_json(path)['step']}: {path.with_suffix('.pt')}"
        for path in manifests(folder / "checkpoints")
    ]
    config = None
    for name in ("itm", "damsm", "generator"):
        for file in (folder / f"{name}.safetensors", folder / "model" / f"{name}.safetensors"):
            if file.is_file():
                state, config = read_model(file)
                count = sum(tensor.numel() for tensor in state.values())
                lines.append(f"{file}: {count:,} numbers, {file.stat().st_size:,} bytes")
    if config is None:
        raise GrganError(f"{what} holds no model: give a preset, a TOML file or a run's folder")
    return "\n".join([*lines, "", _describe_config(config)])


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
    return "\n".join([*lines, "", json.dumps(_flat(config.to_dict()), indent=2)])


def _parameters(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def _flat(table: Mapping[str, Any]) -> dict[str, Any]:
    """Dotted keys, as --set takes them."""
    return {
        f"{section}.{key}": value
        for section, values in table.items()
        for key, value in values.items()
    }
