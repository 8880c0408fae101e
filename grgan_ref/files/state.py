"""Training checkpoints that survive being killed at any moment.

    RUN/checkpoints/step-00001000.pt      every tensor of the run, by torch.save
    RUN/checkpoints/step-00001000.json    step, configuration and the sha256 of the .pt file

Both are written under another name, flushed to the disk and renamed, the JSON last: a checkpoint
exists once its JSON does. One whose bytes do not match the sha256 is reported and the one before it
is used. Random numbers need no state: every draw of a run follows from its seed and the step.
"""

from __future__ import annotations

import hashlib
import json
import os
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, BinaryIO, Protocol

import torch

from grgan_ref.errors import GrganError


class Stateful(Protocol):
    """A model or an optimiser."""

    def state_dict(self) -> dict[str, Any]: ...

    def load_state_dict(self, state_dict: dict[str, Any], /) -> Any: ...


def write_atomically(path: Path, write: Callable[[BinaryIO], None]) -> None:
    """Call `write` with a file that becomes `path` only when it is complete and on the disk."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{path.name}.{os.getpid()}.partial")
    partial.unlink(missing_ok=True)
    try:
        with partial.open("xb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    text = json.dumps(content, indent=2) + "\n"
    write_atomically(path, lambda file: file.write(text.encode()))


def read_json(path: Path) -> dict[str, Any]:
    """Raises GrganError where the file is no JSON object."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise GrganError(f"{path} cannot be read ({error})") from None
    if not isinstance(content, dict):
        raise GrganError(f"{path} is no JSON object")
    return content


def save(
    folder: Path, step: int, parts: Mapping[str, Stateful], config: Mapping[str, Any], keep: int
) -> None:
    """Write the checkpoint of `step` and remove all but the newest `keep`.

    parts: models and optimisers, all that the next step depends on.
    config: what must be equal for a run to go on from here, as plain JSON values.
    """
    tensors = folder / f"step-{step:08d}.pt"
    states = {name: part.state_dict() for name, part in parts.items()}
    write_atomically(tensors, lambda file: torch.save(states, file))
    manifest = {"step": step, "sha256": _sha256(tensors), "config": dict(config)}
    write_json(tensors.with_suffix(".json"), manifest)
    for old in manifests(folder)[keep:]:
        old.unlink()  # first: without its JSON a checkpoint does not exist
        old.with_suffix(".pt").unlink(missing_ok=True)


def resume(folder: Path, parts: Mapping[str, Stateful], config: Mapping[str, Any]) -> int:
    """Put the newest intact checkpoint into `parts` and return its step; 0 where there is none.

    Warnings and errors are those of `load_latest`.
    """
    found = load_latest(folder, config)
    if found is None:
        return 0
    step, states = found
    for name, part in parts.items():
        part.load_state_dict(states[name])
    return step


def load_latest(folder: Path, config: Mapping[str, Any]) -> tuple[int, dict[str, Any]] | None:
    """The step and state of the newest intact checkpoint, None where there is no checkpoint.

    Warns for each corrupt checkpoint that it passes over. Raises GrganError where a checkpoint was
    made with another configuration, naming the keys that differ, and where all are corrupt.
    """
    for partial in folder.glob("*.partial"):  # what a killed run was writing
        partial.unlink(missing_ok=True)
    found = manifests(folder)
    for path in found:
        try:
            manifest = json.loads(path.read_text(encoding="utf-8"))
            step, sha256, made_with = manifest["step"], manifest["sha256"], manifest["config"]
        except (ValueError, KeyError, TypeError, RecursionError):
            _warn(f"{path} is corrupt; using the checkpoint before it")
            continue
        different = differences(made_with, config)
        if different:
            raise GrganError(
                f"{path} was made with another configuration: {'; '.join(different)}. "
                "Give the same one to continue it, or another output folder to start anew"
            )
        tensors = path.with_suffix(".pt")
        if not tensors.is_file() or _sha256(tensors) != sha256:
            _warn(f"{tensors} is corrupt; using the checkpoint before it")
            continue
        return step, torch.load(tensors, map_location="cpu", weights_only=True)
    if found:
        raise GrganError(
            f"every checkpoint in {folder} is corrupt: remove the folder to start anew"
        )
    return None


def differences(before: Any, now: Any, key: str = "") -> list[str]:
    """The keys in which two nested configurations differ, each as "key: before -> now"."""
    if isinstance(before, Mapping) and isinstance(now, Mapping):
        return [
            line
            for name in {**before, **now}
            for line in differences(before.get(name), now.get(name), f"{key}.{name}".lstrip("."))
        ]
    return [] if before == now else [f"{key}: {before!r} -> {now!r}"]


def fingerprint_of(tensors: Mapping[str, torch.Tensor], text: str = "") -> str:
    """sha256 of named tensors, in the order of their names, and of a text; in hexadecimal."""
    digest = hashlib.sha256()
    for key, value in sorted(tensors.items()):
        digest.update(key.encode())
        digest.update(value.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy())
    digest.update(text.encode())
    return digest.hexdigest()


def manifests(folder: Path) -> list[Path]:
    """The JSON files of the checkpoints in a folder, newest first."""
    return sorted(folder.glob("step-*.json"), reverse=True)


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def _warn(message: str) -> None:
    warnings.warn(message, RuntimeWarning, stacklevel=3)
