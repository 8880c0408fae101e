"""What a run writes about itself: losses as JSON lines, TensorBoard scalars, grids of samples."""

from __future__ import annotations

import importlib
import json
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from grgan_ref.errors import GrganError
from grgan_ref.files import new_file

LINE_HEIGHT = 13
FONT_SIZE = 11
MARGIN = 3


class Log:
    """`metrics.jsonl` in the run's folder, one object a line, and TensorBoard where it is wanted.

    Every line has `step`, `time` (seconds since 1970) and `steps_per_second` (since the line
    before, null in the first). A run that goes on from a checkpoint at `step` first removes the
    lines behind that step, which it is about to write again; so the losses read as if the run had
    never been interrupted.

    Raises:
        InputError: The folder cannot be written.
    """

    def __init__(self, folder: Path, step: int, tensorboard: bool = False) -> None:
        path = folder / "metrics.jsonl"
        kept = [line for line in read_log(path) if line["step"] <= step] if path.exists() else []
        with new_file(path) as file:
            file.write("".join(json.dumps(line) + "\n" for line in kept).encode())
        self._file = path.open("a", encoding="utf-8")
        self._board = _board(folder / "tensorboard", step) if tensorboard else None
        self._before = (step, time.monotonic())

    def write(self, step: int, values: Mapping[str, Any]) -> None:
        """Append one line; numbers also go to TensorBoard."""
        now = time.monotonic()
        made, seconds = step - self._before[0], now - self._before[1]
        rate = round(made / seconds, 3) if made and seconds else None
        if made:
            self._before = (step, now)
        line = {"step": step, "time": round(time.time(), 1), "steps_per_second": rate, **values}
        self._file.write(json.dumps(line) + "\n")
        self._file.flush()
        if self._board is not None:
            for name, value in values.items():
                if isinstance(value, int | float):
                    self._board.add_scalar(name, value, step)

    def close(self) -> None:
        """Close the files."""
        self._file.close()
        if self._board is not None:
            self._board.close()


def read_log(path: Path) -> list[dict[str, Any]]:
    """Read the lines of a log, without a last one that a killed run left half-written."""
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
    path: Path, rows: Sequence[NDArray[np.uint8]], captions: Sequence[str], side: int = 160
) -> None:
    """Write a PNG with one column for each caption, and below it one picture from each row.

    Args:
        path: The file.
        rows: Arrays (n, s, s, 3), such as the images of each stage and the real ones; pictures are
            enlarged without smoothing.
        captions: n strings, written in full: the head is as high as the longest needs.
        side: Pixels that each picture takes.

    Raises:
        InputError: The file cannot be written.
    """
    font = ImageFont.load_default(size=FONT_SIZE)
    wrapped = [_wrapped(caption, font, side - 2 * MARGIN) for caption in captions]
    head = max(map(len, wrapped)) * LINE_HEIGHT + 2 * MARGIN
    canvas = Image.new("RGB", (len(captions) * side, head + len(rows) * side), "white")
    draw = ImageDraw.Draw(canvas)
    for column, lines in enumerate(wrapped):
        for number, line in enumerate(lines):
            place = (column * side + MARGIN, number * LINE_HEIGHT)
            draw.text(place, line, fill="black", font=font)
        for number, row in enumerate(rows):
            picture = Image.fromarray(row[column]).resize((side, side), Image.Resampling.NEAREST)
            canvas.paste(picture, (column * side, head + number * side))
    with new_file(path) as file:
        canvas.save(file, format="PNG")


def _wrapped(text: str, font: Any, width: int) -> list[str]:
    """Lines that are at most `width` pixels long; a longer word is broken."""
    lines = [""]
    for word in text.split():
        joined = f"{lines[-1]} {word}".strip()
        if font.getlength(joined) <= width:
            lines[-1] = joined
            continue
        if lines[-1]:
            lines.append("")
        for letter in word:
            if font.getlength(lines[-1] + letter) > width:
                lines.append("")
            lines[-1] += letter
    return lines
