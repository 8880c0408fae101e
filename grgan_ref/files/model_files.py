"""Our own model files: tensors in `NAME.safetensors`, the configuration in `NAME.json`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor

from grgan_ref.config import Config
from grgan_ref.errors import GrganError
from grgan_ref.files.state import new_file, write_json

State = dict[str, Tensor]

#: Models that come with the package: a folder's name stands for the folder.
BUNDLED = Path(__file__).parents[1] / "bundled"


def save_model(
    path: str | Path, state: Mapping[str, Tensor], config: Config, half: bool = False
) -> None:
    """Write a model's tensors and, beside them, its configuration, each complete or not at all.

    Args:
        path: NAME.safetensors; the configuration goes to NAME.json.
        state: The tensors by name.
        config: The configuration that the model was made with.
        half: Whether matrices and kernels become float16, for shipping. Vectors (biases, batch
            norm) keep their type, since running variances leave float16's range.

    Raises:
        InputError: The disk is full or the folder cannot be written.
    """
    path = Path(path)
    tensors = {
        key: (value.half() if half and value.ndim > 1 else value).detach().cpu().contiguous()
        for key, value in state.items()
    }
    with new_file(path) as file:
        file.write(save(tensors))
    write_json(path.with_suffix(".json"), config.to_dict())


def read_model(path: str | Path) -> tuple[State, Config]:
    """Read what `save_model` wrote.

    Raises:
        GrganError: One of the two files is missing or cannot be read; the message names it.
    """
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
    """Find the folder with `file`: `path` itself, `path`/model, or the bundled model of that name.

    Raises:
        GrganError: The file is in none of them.
    """
    for folder in (path, path / "model", BUNDLED / path):
        if (folder / file).is_file():
            return folder
    bundled = ", ".join(sorted(folder.name for folder in BUNDLED.iterdir()))
    raise GrganError(
        f"{path} holds no {file}, nor does {path / 'model'}: give a folder that training wrote, or "
        f"a bundled model ({bundled})"
    )
