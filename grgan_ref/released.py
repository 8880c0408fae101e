"""The authors' released generators, with the configuration that each needs."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from grgan_ref.config import Config
from grgan_ref.errors import GrganError
from grgan_ref.files import read_released_generator

#: What is missing beside a released generator, by its matcher.
MATCHER_FILES = {
    "itm": "ITM_model149.pth",
    "damsm": "DIR with text_encoder100.pth, image_encoder100.pth and captions.pickle",
}


def read_released_model(
    path: Path, preset: str | None = None, settings: Mapping[str, Any] | None = None
) -> tuple[Config, dict[str, Tensor]]:
    """Read a released generator under our names, with the configuration that it needs.

    Args:
        path: The file.
        preset: What the sizes are put upon; by default the one that `released_config` finds.
        settings: Dotted keys with other values.

    Raises:
        GrganError: The file cannot be read or holds no generator.
    """
    state = read_released_generator(path)
    try:
        return released_config(state, preset, settings), state
    except KeyError as error:
        raise GrganError(f"{path}: missing key {error.args[0]!r} of a generator") from None
    except (IndexError, ValueError):  # tensors of other dimensions than a generator's
        raise GrganError(f"{path}: its tensors have not the shapes of a generator's") from None


def released_config(
    state: Mapping[str, Tensor],
    preset: str | None = None,
    settings: Mapping[str, Any] | None = None,
) -> Config:
    """Find the configuration of a released generator, under our names: sizes from its tensors.

    The preset, where none is given, is `attn-released` for one with AttnGAN's attention,
    `coco-released` for one with the dynamic memory and text of 512 dimensions (CLIP's),
    `dmgan-released` for any other.
    """
    condition, dim = state["conditioning.linear.weight"].shape
    if preset is None:
        attention = any(".attention." in key for key in state)
        preset = "attn-released" if attention else f"{'coco' if dim == 512 else 'dmgan'}-released"
    doublings = len({key.split(".")[2] for key in state if key.startswith("initial.upsample.")})
    stages = len({key.split(".")[1] for key in state if key.startswith("to_image.")})
    blocks = {key.split(".")[3] for key in state if key.startswith("refine.0.residual.")}
    kinds = [stage.kind for stage in Config.load(preset).model.stages]
    if len(kinds) != stages:
        kinds = ["J"] * stages
    sizes = {
        "model.stages": [{"kind": k, "size": 4 << (doublings + i)} for i, k in enumerate(kinds)],
        "order": "-".join(kinds),
        "model.generator_width": state["to_image.0.weight"].shape[1],
        "model.condition_dim": condition // 4,
        "model.noise_dim": state["initial.linear.weight"].shape[1] - condition // 4,
        "model.residual_blocks": len(blocks),
        "model.embedding_dim": dim,
    }
    return Config.load(preset, sizes | dict(settings or {}))
