"""Model files: the authors' released checkpoints into our modules, and our own format.

Ours is `NAME.safetensors` with the tensors beside `NAME.json` with the configuration. The authors'
are pickles of state dicts; they are opened with `weights_only=True`, which runs no code, and every
key is renamed by the tables below. Loading is strict: a key too many, a key too few and a tensor of
another shape are errors that name the key.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor, nn

from grgan_ref.config import Config
from grgan_ref.errors import GrganError
from grgan_ref.files.state import write_atomically, write_json

State = dict[str, Tensor]

#: Models that come with the package: a folder's name stands for the folder.
BUNDLED = Path(__file__).parents[1] / "bundled"

# The authors' module names to ours, as patterns at the start of a key; the first that fits counts.
GENERATOR_NAMES = [
    (r"ca_net\.fc\.", "conditioning.linear."),
    (r"h_net1\.fc\.0\.", "initial.linear."),
    (r"h_net1\.fc\.1\.", "initial.norm."),
    (r"h_net1\.upsample(\d+)\.1\.", lambda m: f"initial.upsample.{int(m[1]) - 1}.conv."),
    (r"h_net1\.upsample(\d+)\.2\.", lambda m: f"initial.upsample.{int(m[1]) - 1}.norm."),
    (r"h_net(\d+)\.", lambda m: f"refine.{int(m[1]) - 2}."),
    (r"img_net(\d+)\.img\.0\.", lambda m: f"to_image.{int(m[1]) - 1}."),
]
REFINEMENT_NAMES = [
    (r"A\.", "memory.gate_text."),
    (r"B\.", "memory.gate_image."),
    (r"M_w\.0\.", "memory.write_text."),
    (r"M_r\.0\.", "memory.write_image."),
    (r"(key|value|response_gate)\.0\.", r"memory.\1."),
    (r"residual\.(\d+)\.block\.0\.", r"residual.\1.conv1."),
    (r"residual\.(\d+)\.block\.1\.", r"residual.\1.norm1."),
    (r"residual\.(\d+)\.block\.3\.", r"residual.\1.conv2."),
    (r"residual\.(\d+)\.block\.4\.", r"residual.\1.norm2."),
    (r"upsample\.1\.", "upsample.conv."),
    (r"upsample\.2\.", "upsample.norm."),
]
# The trunk's convolutions in the order of the forward pass; a network has a leading part of the
# first row and, of the others, those of its image size (64, 128 or 256 pixels).
TRUNK_NAMES = [
    *(f"img_code_s16.{i}." for i in (0, 2, 4, 6)),
    "img_code_s32.0.",
    "img_code_s64.0.",
    "img_code_s32_1.0.",
    "img_code_s64_1.0.",
    "img_code_s64_2.0.",
]
# The same with batch norm: convolution and norm of each layer, the first without a norm.
BATCH_TRUNK_NAMES = [
    ("img_code_s16.0.", None),
    *((f"img_code_s16.{i}.", f"img_code_s16.{i + 1}.") for i in (2, 5, 8)),
    *((f"{n}.0.", f"{n}.1.") for n in ("img_code_s32", "img_code_s64")),
    *((f"{n}.0.", f"{n}.1.") for n in ("img_code_s32_1", "img_code_s64_1", "img_code_s64_2")),
]
HEAD_NAMES = [
    (r"UNCOND_DNET\.outlogits\.0\.", "unconditional_logits."),
    (r"COND_DNET\.jointConv\.0\.(?=module)", "joint."),
    (r"COND_DNET\.jointConv\.", "joint."),
    (r"COND_DNET\.outlogits\.0\.", "conditional_logits."),
]
SPECTRAL_NAMES = [
    (r"module\.weight_bar$", "weight"),
    (r"module\.weight_(u|v)$", r"\1"),
    (r"module\.bias$", "bias"),
]
# AttnGAN's attention stage in place of the dynamic memory, and batch norm in its discriminators.
ATTENTION_NAMES = [
    (r"att\.conv_context\.", "attention.project."),
]
DAMSM_TEXT_NAMES = [
    (r"encoder\.", "text.embedding."),
    (r"rnn\.", "text.lstm."),
]
DAMSM_IMAGE_NAMES = [
    (r"emb_features\.", "region."),
    (r"emb_cnn_code\.", "image."),
    (r"(Conv2d|Mixed)_", r"network.\1_"),
]
ITM_NAMES = [
    (r"model\.", "clip."),
    (r"MLP\.emb_features\.", "heads.region."),
    (r"MLP\.dense_word\.", "heads.word."),
    (r"MLP\.LayerNorm\.", "heads.word_norm."),
    (r"MLP\.dense_sent\.", "heads.sentence."),
    (r"MLP\.emb_cnn_code\.", "heads.image."),
]


def _substitute(key: str, names: Iterable[tuple[str, Any]]) -> tuple[str, str] | None:
    """(new start, rest) by the first pattern that fits the start of `key`; None if none does."""
    for pattern, name in names:
        found = re.match(pattern, key)
        if found:
            start = name(found) if callable(name) else found.expand(name)
            return start, key[found.end() :]
    return None


def rename_generator(state: Mapping[str, Tensor]) -> State:
    """The authors' `netG` under our names. Raises GrganError for a key that it cannot have."""
    renamed = {}
    for key, value in state.items():
        found = _substitute(key, GENERATOR_NAMES)
        if found and found[0].startswith("refine."):
            inner = _substitute(found[1], [*ATTENTION_NAMES, *REFINEMENT_NAMES])
            found = inner and (found[0] + inner[0], inner[1])
        renamed[_joined(found, key, "generator")] = value
    return renamed


def rename_discriminator(state: Mapping[str, Tensor]) -> State:
    """One of the authors' `netD` under our names. Raises GrganError for a key it cannot have."""
    trunk_names = _spectral_trunk(state) or _batch_trunk(state)
    renamed = {}
    for key, value in state.items():
        found = _substitute(key, [*trunk_names, *HEAD_NAMES])
        if found and found[1].startswith("module."):
            inner = _substitute(found[1], SPECTRAL_NAMES)
            found = inner and (found[0] + inner[0], inner[1])
        renamed[_joined(found, key, "discriminator")] = value
    return renamed


def _spectral_trunk(state: Mapping[str, Tensor]) -> list[tuple[str, str]]:
    """Patterns for the trunk's layers; none where its convolutions have no spectral norm."""
    trunk = [name for name in TRUNK_NAMES if any(k.startswith(f"{name}module.") for k in state)]
    return [(re.escape(name), f"trunk.{i}.") for i, name in enumerate(trunk)]


def _batch_trunk(state: Mapping[str, Tensor]) -> list[tuple[str, str]]:
    trunk = [names for names in BATCH_TRUNK_NAMES if f"{names[0]}weight" in state]
    patterns = []
    for i, (conv, norm) in enumerate(trunk):
        patterns.append((re.escape(conv), f"trunk.{i}.0." if norm else f"trunk.{i}."))
        if norm:
            patterns.append((re.escape(norm), f"trunk.{i}.1."))
    return patterns


def rename_damsm(text: Mapping[str, Tensor], image: Mapping[str, Tensor]) -> State:
    """AttnGAN's text and image encoder under our names; counters of batches, which old versions of
    PyTorch did not write, are added. Raises GrganError for a key that they cannot have."""
    names = ((text, DAMSM_TEXT_NAMES, "text encoder"), (image, DAMSM_IMAGE_NAMES, "image encoder"))
    state = {
        _joined(_substitute(key, table), key, what): value
        for part, table, what in names
        for key, value in part.items()
    }
    counters = {
        key.replace("running_mean", "num_batches_tracked"): torch.tensor(0)
        for key in state
        if key.endswith("running_mean")
    }
    return counters | state


def rename_itm(state: Mapping[str, Tensor]) -> State:
    """The authors' ITM under our names. Raises GrganError for a key that it cannot have."""
    return {_joined(_substitute(key, ITM_NAMES), key, "ITM"): v for key, v in state.items()}


def _joined(found: tuple[str, str] | None, key: str, what: str) -> str:
    if found is None:
        raise GrganError(f"key {key!r} does not belong to a released {what}")
    return "".join(found)


def load_strictly(module: nn.Module, state: Mapping[str, Tensor], origin: str) -> None:
    """Copy `state` into `module`.

    Raises GrganError, naming `origin` and the key, for an unknown key, a missing key or a tensor of
    another shape; nothing is copied then.
    """
    own = module.state_dict()
    unknown, missing = sorted(state.keys() - own.keys()), sorted(own.keys() - state.keys())
    for keys, what in ((unknown, "unknown"), (missing, "missing")):
        if keys:
            more = f" and {len(keys) - 1} more" if len(keys) > 1 else ""
            raise GrganError(
                f"{origin}: {what} key {keys[0]!r}{more}; is it the file of another model or of "
                "another configuration?"
            )
    for key, value in state.items():
        if value.shape != own[key].shape:
            raise GrganError(
                f"{origin}: {key!r} has shape {tuple(value.shape)}, this configuration needs "
                f"{tuple(own[key].shape)}"
            )
    module.load_state_dict(dict(state))


def read_released_generator(path: str | Path) -> State:
    """`netG` of a released `checkpoint_%04d.pth`: the EMA generator, under our names."""
    return _named(rename_generator, _part(_read_pickle(path), "netG", path), path)


def read_released_discriminators(path: str | Path) -> list[State]:
    """`netD` of a released `checkpoint_%04d.pth`: one state per stage, under our names."""
    states = _part(_read_pickle(path), "netD", path)
    if not isinstance(states, list):
        raise GrganError(f"{path}: 'netD' is no list of state dicts")
    return [_named(rename_discriminator, state, path) for state in states]


def read_released_itm(path: str | Path) -> State:
    """A released `ITM_model149.pth`, under our names: `clip.*` and `heads.*`."""
    return _named(rename_itm, _read_pickle(path), path)


def read_released_damsm(text: str | Path, image: str | Path) -> State:
    """AttnGAN's `text_encoder100.pth` and `image_encoder100.pth`, under the names of `damsm`."""
    encoder = _named(dict, _read_pickle(text), text)

    def rename(state: Mapping[str, Tensor]) -> State:
        return rename_damsm(encoder, state)

    return _named(rename, _read_pickle(image), f"{text}, {image}")


def _named(rename: Any, state: Any, path: str | Path) -> State:
    if not isinstance(state, Mapping) or not all(isinstance(v, Tensor) for v in state.values()):
        raise GrganError(f"{path}: not a released file: expected a state dict of tensors")
    try:
        return rename(state)
    except GrganError as error:
        raise GrganError(f"{path}: {error}") from None


def _part(content: Any, key: str, path: str | Path) -> Any:
    if not isinstance(content, Mapping) or key not in content:
        raise GrganError(f"{path}: missing key {key!r}; a released GAN checkpoint has it")
    return content[key]


def _read_pickle(path: str | Path) -> Any:
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise GrganError(f"{path}: no such file") from None
    except Exception as error:  # junk makes the unpickler raise anything, struct.error included
        reason = str(error).strip().splitlines()[0] if str(error).strip() else "empty file"
        raise GrganError(f"{path}: not readable as a PyTorch checkpoint: {reason}") from None


def save_model(
    path: str | Path, state: Mapping[str, Tensor], config: Config, half: bool = False
) -> None:
    """Write `path` (NAME.safetensors) and NAME.json, each complete or not at all.

    half: matrices and kernels as float16, for shipping; vectors (biases, batch norm) keep their
    type, since running variances leave float16's range.
    """
    path = Path(path)
    tensors = {
        key: (value.half() if half and value.ndim > 1 else value).detach().cpu().contiguous()
        for key, value in state.items()
    }
    write_atomically(path, lambda file: file.write(save(tensors)))
    write_json(path.with_suffix(".json"), config.to_dict())


def read_model(path: str | Path) -> tuple[State, Config]:
    """The inverse of `save_model`. Raises GrganError, naming the file, where it cannot be read."""
    path = Path(path)
    try:
        state = load_file(path)
        table = json.loads(path.with_suffix(".json").read_text("utf-8"))
    except (OSError, SafetensorError, ValueError, RecursionError) as error:
        raise GrganError(
            f"{path}: not a model file with its {path.stem}.json beside it: {error}"
        ) from None
    return state, Config.from_dict(table, str(path.with_suffix(".json")))


def model_folder(path: Path, file: str) -> Path:
    """The folder with `file`: `path` itself, `path`/model, or the bundled model of that name.

    Raises GrganError where it is none of them.
    """
    for folder in (path, path / "model", BUNDLED / path):
        if (folder / file).is_file():
            return folder
    bundled = ", ".join(sorted(folder.name for folder in BUNDLED.iterdir()))
    raise GrganError(
        f"{path} holds no {file}, nor does {path / 'model'}: give a folder that training wrote, or "
        f"a bundled model ({bundled})"
    )
