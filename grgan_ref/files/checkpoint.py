"""The authors' released files, under our names.

They are pickles of state dicts: of GR-GAN `checkpoint_0300.pth` (a dictionary with `netG` and
`netD`) and `ITM_model149.pth`, of AttnGAN and DM-GAN the bare state dict of a generator, of their
DAMSM `text_encoder100.pth` and `image_encoder100.pth`. They are opened with `weights_only=True`,
which runs no code, and every key is renamed by the tables below. Loading is strict: a key too many,
a key too few and a tensor of another shape are errors that name the key. Counters of batches, which
PyTorch before 0.4.1 did not write and which no network here reads, are added as zeros.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from grgan_ref.errors import GrganError

State = dict[str, Tensor]
#: Endings of the authors' files.
RELEASED = (".pth", ".pt")
Kind = Literal["generator", "itm", "damsm text encoder", "damsm image encoder"]

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
    """Put the authors' generator, `netG`, under our names.

    Raises:
        GrganError: A key does not belong to it.
    """
    renamed = {}
    for key, value in state.items():
        found = _substitute(key, GENERATOR_NAMES)
        if found and found[0].startswith("refine."):
            inner = _substitute(found[1], [*ATTENTION_NAMES, *REFINEMENT_NAMES])
            found = inner and (found[0] + inner[0], inner[1])
        renamed[_joined(found, key, "generator")] = value
    return renamed


def rename_discriminator(state: Mapping[str, Tensor]) -> State:
    """Put one of the authors' discriminators, `netD`, under our names.

    Raises:
        GrganError: A key does not belong to it.
    """
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
    """Put AttnGAN's text and image encoder under our names.

    Raises:
        GrganError: A key does not belong to them.
    """
    names = ((text, DAMSM_TEXT_NAMES, "text encoder"), (image, DAMSM_IMAGE_NAMES, "image encoder"))
    return {
        _joined(_substitute(key, table), key, what): value
        for part, table, what in names
        for key, value in part.items()
    }


def rename_itm(state: Mapping[str, Tensor]) -> State:
    """Put the authors' ITM under our names, `clip.*` and `heads.*`.

    Raises:
        GrganError: A key does not belong to it.
    """
    return {_joined(_substitute(key, ITM_NAMES), key, "ITM"): v for key, v in state.items()}


def _joined(found: tuple[str, str] | None, key: str, what: str) -> str:
    if found is None:
        raise GrganError(f"key {key!r} does not belong to a released {what}")
    return "".join(found)


def load_strictly(module: nn.Module, state: Mapping[str, Tensor], origin: str) -> None:
    """Copy a state dict into a module, all of it or nothing.

    Args:
        module: The module that takes the values.
        state: Tensors by the module's own names.
        origin: What an error names as the place that the state comes from.

    Raises:
        GrganError: A key is unknown or missing, or a tensor has another shape.
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


#: What tells a released file's kind: the start of a key that it has.
MARKS: tuple[tuple[str, Kind], ...] = (
    ("ca_net.", "generator"),
    ("h_net1.", "generator"),
    ("MLP.", "itm"),
    ("rnn.", "damsm text encoder"),
    ("emb_cnn_code.", "damsm image encoder"),
)


def read_released(path: str | Path) -> tuple[Kind, State]:
    """Read a released generator, ITM or encoder of DAMSM, whichever the file is.

    The names are those of the file. Of a GAN checkpoint it is the generator.

    Raises:
        GrganError: The file cannot be read, or holds none of them.
    """
    content = read_tensors(path)
    if isinstance(content, Mapping) and "netG" in content:
        content = content["netG"]
    if not isinstance(content, Mapping) or not content or not _all_tensors(content):
        raise GrganError(
            f"{path}: not a released file: expected a state dict of tensors, or a dictionary with "
            "one under 'netG'"
        )
    state = _without_wrapper(content)
    for mark, kind in MARKS:
        if any(key.startswith(mark) for key in state):
            return kind, state
    raise GrganError(
        f"{path}: not a released file: none of its {len(state)} keys ({next(iter(state))!r}, ...) "
        "is of a generator, an ITM or DAMSM's encoders"
    )


def read_released_generator(path: str | Path) -> State:
    """Read a released generator, under our names.

    That is `netG` of GR-GAN's `checkpoint_%04d.pth`, which holds the averaged weights, or the bare
    file of AttnGAN or DM-GAN.

    Raises:
        GrganError: The file cannot be read, or is not one of a generator.
    """
    return _named(rename_generator, _of_kind("generator", path), path)


def read_released_discriminators(path: str | Path) -> list[State]:
    """Read `netD` of a released `checkpoint_%04d.pth`: one state per stage, under our names.

    Raises:
        GrganError: The file cannot be read, or has no list of discriminators.
    """
    content = read_tensors(path)
    if not isinstance(content, Mapping) or "netD" not in content:
        raise GrganError(f"{path}: missing key 'netD'; a released GAN checkpoint has it")
    states = content["netD"]
    if not isinstance(states, list) or not all(_all_tensors(state) for state in states):
        raise GrganError(f"{path}: 'netD' is no list of state dicts")
    return [_named(rename_discriminator, state, path) for state in states]


def read_released_itm(path: str | Path) -> State:
    """Read a released `ITM_model149.pth`, under our names: `clip.*` and `heads.*`.

    Raises:
        GrganError: The file cannot be read, or is not one of an ITM.
    """
    return _named(rename_itm, _of_kind("itm", path), path)


def read_released_damsm(text: str | Path, image: str | Path) -> State:
    """Read AttnGAN's `text_encoder100.pth` and `image_encoder100.pth`, under the names of `damsm`.

    Raises:
        GrganError: A file cannot be read, or is not one of such an encoder.
    """
    encoder = _of_kind("damsm text encoder", text)

    def rename(state: Mapping[str, Tensor]) -> State:
        return rename_damsm(encoder, state)

    return _named(rename, _of_kind("damsm image encoder", image), f"{text}, {image}")


def _of_kind(wanted: Kind, path: str | Path) -> State:
    kind, state = read_released(path)
    if kind != wanted:
        raise GrganError(f"{path}: holds a released {kind}, and a {wanted} is wanted here")
    return state


def _named(
    rename: Callable[[Mapping[str, Tensor]], State], state: Mapping[str, Tensor], path: str | Path
) -> State:
    try:
        renamed = rename(state)
    except GrganError as error:
        raise GrganError(f"{path}: {error}") from None
    counters = {
        key.replace("running_mean", "num_batches_tracked"): torch.tensor(0)
        for key in renamed
        if key.endswith("running_mean")
    }
    return counters | renamed


def _all_tensors(content: Any) -> bool:
    return isinstance(content, Mapping) and all(
        isinstance(key, str) and isinstance(value, Tensor) for key, value in content.items()
    )


def _without_wrapper(state: Mapping[str, Tensor]) -> State:
    """The state dict without `module.` before every key, which DataParallel puts there."""
    if all(key.startswith("module.") for key in state):
        return {key.removeprefix("module."): value for key, value in state.items()}
    return dict(state)


def read_tensors(path: str | Path) -> Any:
    """Open a file of torch.save, old or new, without executing anything in it.

    Raises:
        GrganError: There is no such file, it is not one of PyTorch, it is cut, or it asks for
            something other than tensors, containers, strings and numbers.
    """
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        reason = error.strerror or "it cannot be opened"
        raise GrganError(f"{path}: {reason[0].lower()}{reason[1:]}") from None
    except Exception as error:  # junk makes the unpickler raise anything, struct.error included
        raise GrganError(f"{path}: {_why_unreadable(Path(path), str(error))}") from None


def _why_unreadable(path: Path, message: str) -> str:
    """What is wrong with a file that torch.load refuses, in the words of its owner."""
    asked = re.search(r"(?:GLOBAL|Global|Unsupported global: GLOBAL) ([\w.]+)", message)
    if asked:
        return (
            f"refused, since it asks for {asked[1]}: a file of weights holds tensors and plain "
            "values, and anything else could run code"
        )
    if path.stat().st_size == 0:
        return "the file is empty"
    with path.open("rb") as file:
        start = file.read(2)
    if start == b"PK":
        return "a PyTorch file that is cut short or damaged: fetch it again"
    if start == b"\x80\x02":
        return "a pickle that is cut short or holds no tensors of PyTorch: fetch it again"
    if start in (b"<!", b"<h", b"<H"):
        return "a web page, not a PyTorch file: the download asked for a confirmation"
    return "not a PyTorch file (torch.save wrote none of it)"
