"""What fuzzing gives to the readers of models: weights, configurations, checkpoints."""

from __future__ import annotations

import hashlib
import io
import json
import pickle
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import open_clip
import torch
from safetensors.torch import save

from cmdmetric.encoders import find_checkpoint
from cmdmetric.encoders.clip import build_network
from cmdmetric.errors import InputError
from grgan_ref.config import Config
from grgan_ref.files.checkpoint import read_released_discriminators
from grgan_ref.files.state import load_latest
from grgan_ref.info import describe
from grgan_ref.matching import matcher_config, read_vocabulary

#: A network that is built in milliseconds and fits into 18 kB.
CLIP = {
    "embed_dim": 4,
    "vision_cfg": {"image_size": 8, "patch_size": 8, "width": 8, "layers": 1, "head_width": 4},
    "text_cfg": {"context_length": 8, "vocab_size": 8, "width": 8, "heads": 2, "layers": 1},
}
ENDINGS = (
    ".safetensors", ".pth", ".pickle", "open_clip_config.json", "generator.json",
    "generator.safetensors", "step-00000001.json", "step-00000001.pt",
)  # fmt: skip


def read_checkpoint(path: Path) -> None:
    """Read a file in every way in which something of its ending is read.

    Raises:
        AssertionError: An error names neither the file nor its folder.
    """
    for attempt in list(attempts(path)):
        try:
            attempt()
        except InputError as error:
            assert str(path.parent) in str(error), f"the file is not named: {error}"


def attempts(path: Path) -> Iterator[Callable[[], Any]]:
    """Lay the file where it belongs, and give what reads it there."""
    content = path.read_bytes()
    ending = path.name.removeprefix("input")
    clip, run = path.parent / "clip", path.parent / "run"
    for folder in (clip, run / "checkpoints"):
        folder.mkdir(parents=True, exist_ok=True)
    if ending in (".safetensors", ".pth"):
        (clip / "open_clip_config.json").write_text(json.dumps({"model_cfg": CLIP}))
        yield lambda: build_network(find_checkpoint(clip, path))
    if ending == "open_clip_config.json":
        (clip / "open_clip_config.json").write_bytes(content)
        (clip / "open_clip_model.safetensors").write_bytes(save(weights()))
        yield lambda: build_network(find_checkpoint(clip))
    if ending == ".pth":
        yield lambda: describe(str(path), {})
        yield lambda: matcher_config(path)
        yield lambda: read_released_discriminators(path)
    if ending == ".pickle":
        yield lambda: read_vocabulary(path)
    if ending.startswith("generator"):
        (run / "generator.safetensors").write_bytes(save({"a": torch.zeros(1)}))
        (run / "generator.json").write_text(json.dumps(Config.load("scenes-tiny", {}).to_dict()))
        (run / ending).write_bytes(content)
        yield lambda: describe(str(run), {})
    if ending.startswith("step"):
        checkpoint = run / "checkpoints" / "step-00000001.pt"
        checkpoint.write_bytes(content)
        manifest = checkpoint.with_suffix(".json")
        manifest.write_text(json.dumps(manifest_of(content)))
        if ending.endswith(".json"):
            manifest.write_bytes(content)
        yield lambda: load_latest(run / "checkpoints", {"a": 1})
        yield lambda: describe(str(run), {})


def weights() -> dict[str, torch.Tensor]:
    """Those of the small network."""
    state = open_clip.CLIP(**CLIP).state_dict()
    return {key: value.contiguous() for key, value in state.items()}


def manifest_of(content: bytes) -> dict[str, Any]:
    """What stands beside a checkpoint that is whole."""
    return {"step": 1, "sha256": hashlib.sha256(content).hexdigest(), "config": {"a": 1}}


def saved(content: Any, *, old: bool = False) -> bytes:
    """What torch.save writes, in its old form or as a zip."""
    file = io.BytesIO()
    torch.save(content, file, _use_new_zipfile_serialization=not old)
    return file.getvalue()


def seeds() -> Iterator[tuple[str, bytes]]:
    """(ending, content)"""
    state, small = weights(), torch.zeros(2, 2)
    yield ".safetensors", save(state)
    yield "generator.safetensors", save({"a": small})
    yield "open_clip_config.json", json.dumps({"model_cfg": CLIP}).encode()
    yield "generator.json", json.dumps(Config.load("scenes-tiny", {}).to_dict()).encode()
    yield "step-00000001.json", json.dumps(manifest_of(b"")).encode()
    yield ".pickle", pickle.dumps([["a"], ["b"], {1: "x"}, {"x": 1}], 2)
    released = (("ca_net.fc.weight", "h_net1.fc.0.weight"), ("MLP.dense_sent.weight",),
                ("rnn.weight_hh_l0",), ("emb_cnn_code.weight",))  # fmt: skip
    for old in (False, True):
        yield ".pth", saved(state, old=old)
        yield "step-00000001.pt", saved({"generator": {"a": small}}, old=old)
        for keys in released:
            part = dict.fromkeys(keys, small)
            yield ".pth", saved(part, old=old)
            yield ".pth", saved({"netG": part, "netD": [part]}, old=old)
