"""Training checkpoints that survive being killed at any moment.

    RUN/checkpoints/step-00001000.pt      every tensor of the run, by torch.save
    RUN/checkpoints/step-00001000.json    step, configuration and the sha256 of the .pt file

Both are written under another name and renamed, the JSON last: a checkpoint exists once its JSON
does. One whose bytes do not match the sha256 is reported and the one before it is used. Random
numbers need no state: every draw of a run follows from its seed and the step.
"""

from __future__ import annotations

import hashlib
import json
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, Protocol

import torch

from cmdmetric.files import sha256_of, whole_file
from grgan_ref.errors import GrganError


class Stateful(Protocol):
    """A model or an optimiser."""

    def state_dict(self) -> dict[str, Any]:
        """Everything that has to be kept, by name."""

    def load_state_dict(self, state_dict: dict[str, Any], /) -> Any:
        """Take over what `state_dict` returned."""


@contextmanager
def new_file(path: Path) -> Iterator[IO[bytes]]:
    """Give a file to write to that becomes `path` when the block ends, its folder made before.

    Raises:
        InputError: The folder cannot be made or the file cannot be written, as on a full disk.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise GrganError(f"cannot write in {path.parent}: {error.strerror}") from None
    with whole_file(path) as file:
        yield file


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write a JSON object, whole or not at all."""
    with new_file(path) as file:
        file.write((json.dumps(content, indent=2) + "\n").encode())


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object.

    Raises:
        GrganError: The file cannot be read or is no JSON object.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise GrganError(f"{path} cannot be read ({error})") from None
    if not isinstance(content, dict):
        raise GrganError(f"{path} is no JSON object")
    return content


def step_of(manifest: Path) -> int:
    """How many steps the run had made that wrote a checkpoint's JSON.

    Raises:
        GrganError: The file cannot be read, or names no step.
    """
    return _step_in(read_json(manifest), manifest)


def _step_in(content: Mapping[str, Any], manifest: Path) -> int:
    step = content.get("step")
    if type(step) is not int or step < 0:
        raise GrganError(f"{manifest}: it names no step")
    return step


def save(
    folder: Path, step: int, parts: Mapping[str, Stateful], config: Mapping[str, Any], keep: int
) -> None:
    """Write the checkpoint of `step` and remove all but the newest `keep`.

    Args:
        folder: The folder of the run's checkpoints.
        step: How many steps the run has made.
        parts: Models and optimisers, all that the next step depends on.
        config: What must be equal for a run to go on from here, as plain JSON values.
        keep: How many checkpoints stay.

    Raises:
        InputError: The disk is full or the folder cannot be written.
    """
    tensors = folder / f"step-{step:08d}.pt"
    states = {name: part.state_dict() for name, part in parts.items()}
    with new_file(tensors) as file:
        write_tensors(states, file)
    manifest = {"step": step, "sha256": sha256_of(tensors), "config": dict(config)}
    write_json(tensors.with_suffix(".json"), manifest)
    for old in manifests(folder)[keep:]:
        old.unlink()  # first: without its JSON a checkpoint does not exist
        old.with_suffix(".pt").unlink(missing_ok=True)


def write_tensors(content: Any, file: IO[bytes]) -> None:
    """torch.save whose failure to write is an OSError, as that of every other writer."""
    try:
        torch.save(content, file)
    except RuntimeError as error:
        if isinstance(error.__context__, OSError):  # which torch's archive writer stumbled over
            raise error.__context__ from None
        raise


def resume(folder: Path, parts: Mapping[str, Stateful], config: Mapping[str, Any]) -> int:
    """Put the newest intact checkpoint into `parts` and return its step; 0 where there is none.

    Raises:
        GrganError: The checkpoint was made with another configuration, all are corrupt
            (`load_latest`), or it holds something else than these parts.
    """
    for partial in folder.glob(".step-*.part"):  # what a killed run was writing
        partial.unlink(missing_ok=True)
    found = load_latest(folder, config)
    if found is None:
        return 0
    step, states = found
    for name, part in parts.items():
        try:
            part.load_state_dict(states[name])
        except Exception as error:  # of what does not fit, networks and optimisers raise anything
            reason = " ".join(str(error).split())[:300]
            raise GrganError(
                f"{folder}: the checkpoint of step {step} does not fit this run ({name}: {reason})"
            ) from None
    return step


def load_latest(
    folder: Path, config: Mapping[str, Any] | None = None
) -> tuple[int, dict[str, Any]] | None:
    """Read the newest intact checkpoint, with a warning for each corrupt one that it passes over.

    Args:
        folder: The folder of the run's checkpoints.
        config: The configuration that it must have been made with; None: any.

    Returns:
        The step and the state dicts by name; None where there is no checkpoint.

    Raises:
        GrganError: A checkpoint was made with another configuration (the message names the keys
            that differ), or all checkpoints are corrupt.
    """
    found = manifests(folder)
    for path in found:
        try:
            manifest = read_json(path)
            step, sha256 = _step_in(manifest, path), manifest["sha256"]
            made_with = manifest["config"]
        except (GrganError, KeyError):
            _warn(f"{path} is corrupt; using the checkpoint before it")
            continue
        different = [] if config is None else differences(made_with, config)
        if different:
            raise GrganError(
                f"{path} was made with another configuration: {'; '.join(different)}. "
                "Give the same one to continue it, or another output folder to start anew"
            )
        tensors = path.with_suffix(".pt")
        if not tensors.is_file() or sha256_of(tensors) != sha256:
            _warn(f"{tensors} is corrupt; using the checkpoint before it")
            continue
        try:
            return step, torch.load(tensors, map_location="cpu", weights_only=True)
        except MemoryError:
            raise
        except Exception:  # junk makes the unpickler raise anything
            _warn(f"{tensors} holds no tensors; using the checkpoint before it")
    if found:
        raise GrganError(
            f"every checkpoint in {folder} is corrupt: "
            + ("take another run" if config is None else "remove the folder to start anew")
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
        digest.update(value.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().data)
    digest.update(text.encode())
    return digest.hexdigest()


def manifests(folder: Path) -> list[Path]:
    """The JSON files of the checkpoints in a folder, newest first."""
    return sorted(folder.glob("step-*.json"), reverse=True)


def _warn(message: str) -> None:
    warnings.warn(message, RuntimeWarning, stacklevel=3)
