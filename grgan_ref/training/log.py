"""What a run writes about itself: losses as JSON lines, TensorBoard scalars, grids of samples."""

from __future__ import annotations

import importlib
import json
import math
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from grgan_ref.errors import GrganError
from grgan_ref.files import write_atomically
from grgan_ref.training import distributed

CAPTION_LINES = 6
LINE_HEIGHT = 11


class Log:
    """`metrics.jsonl` in the run's folder, one object a line, and TensorBoard where it is wanted.

    A run that goes on from a checkpoint at `step` first removes the lines behind that step, which
    it is about to write again; so the file reads as if the run had never been interrupted.
    """

    def __init__(self, folder: Path, step: int, tensorboard: bool = False) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / "metrics.jsonl"
        if path.exists():
            kept = [json.dumps(line) + "\n" for line in read_log(path) if line["step"] <= step]
            write_atomically(path, lambda file: file.write("".join(kept).encode()))
        self._file = path.open("a", encoding="utf-8")
        self._board = _board(folder / "tensorboard", step) if tensorboard else None

    def write(self, step: int, values: Mapping[str, Any]) -> None:
        """Append one line; numbers also go to TensorBoard."""
        self._file.write(json.dumps({"step": step, **values}) + "\n")
        self._file.flush()
        if self._board is not None:
            for name, value in values.items():
                if isinstance(value, int | float):
                    self._board.add_scalar(name, value, step)

    def close(self) -> None:
        self._file.close()
        if self._board is not None:
            self._board.close()


def check_finite(terms: Mapping[str, Tensor], step: int) -> dict[str, float]:
    """Losses as numbers, the mean over the processes.

    Raises FloatingPointError, naming step and term, where one is infinite or not a number.
    """
    values = distributed.average(torch.stack([term.float() for term in terms.values()])).tolist()
    losses = dict(zip(terms, values, strict=True))
    bad = [f"{name} = {value}" for name, value in losses.items() if not math.isfinite(value)]
    if bad:
        raise FloatingPointError(
            f"step {step}: {', '.join(bad)}. Training stopped; the last checkpoint is from before. "
            'A smaller learning rate or train.precision = "float32" may help'
        )
    return losses


def read_log(path: Path) -> list[dict[str, Any]]:
    """The complete lines of a log; a last one that a killed run left half-written is dropped."""
    lines = []
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            lines.append(json.loads(line))
        except json.JSONDecodeError:
            break
    return lines


def _board(folder: Path, step: int) -> Any:
    try:
        board = importlib.import_module("torch.utils.tensorboard")
    except ImportError:
        raise GrganError(
            "TensorBoard is not installed: pip install 'cmdmetric[tensorboard]', or leave out "
            "--tensorboard (metrics.jsonl has the same numbers)"
        ) from None
    return board.SummaryWriter(str(folder), purge_step=step + 1)


def write_grid(
    path: Path, rows: Sequence[np.ndarray], captions: Sequence[str], side: int = 128
) -> None:
    """A PNG with one column for each caption, and below it one picture from each row.

    rows: arrays (n, s, s, 3) uint8, such as the images of each stage and the real ones; pictures
        are enlarged without smoothing to `side`. captions: n strings.
    """
    head = CAPTION_LINES * LINE_HEIGHT + 4
    canvas = Image.new("RGB", (len(captions) * side, head + len(rows) * side), "white")
    draw = ImageDraw.Draw(canvas)
    font = ImageFont.load_default(size=9)
    for column, caption in enumerate(captions):
        lines = textwrap.wrap(caption, width=max(10, side // 5))[:CAPTION_LINES]
        for number, line in enumerate(lines):
            draw.text((column * side + 3, number * LINE_HEIGHT), line, fill="black", font=font)
        for number, row in enumerate(rows):
            picture = Image.fromarray(row[column]).resize((side, side), Image.Resampling.NEAREST)
            canvas.paste(picture, (column * side, head + number * side))
    write_atomically(path, lambda file: canvas.save(file, format="PNG"))
