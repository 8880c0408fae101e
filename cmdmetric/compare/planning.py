"""How many images tell a difference: a plan from a stored score, or from the released moments."""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from cmdmetric.compare.stored_scores import entry_of, read_score
from cmdmetric.errors import InputError
from cmdmetric.terminal import percent
from cmdmetric.uncertainty import POWER, Spread, detectable, draws_needed, gaussian_spread

#: Numbers of images of which a plan tells the smallest difference, beside the score's own.
SIZES = (1_000, 5_000, 10_000, 30_000)


@dataclass(frozen=True)
class Plan:
    """What numbers of images tell.

    Attributes:
        of: What the variance is taken from.
        metric: The name of the number that is compared.
        power: The chance that the difference is told, by a two-sided test at 5 %.
        detect: The difference to tell; None where none was asked for.
        captions: How many captions (independent draws) of each generator tell it.
        images: How many images that are, as many of a caption as in the score.
        smallest: By number of images of each generator, the smallest difference that they tell.
    """

    of: str
    metric: str
    power: float
    detect: float | None
    captions: int | None
    images: int | None
    smallest: dict[int, float]

    def __str__(self) -> str:
        return "\n".join(self.lines())

    def lines(self) -> list[str]:
        """What a terminal shows: how many images are needed, and what others would tell."""
        lines = [f"{self.metric} of {self.of}; two-sided test at 5 %, power {percent(self.power)}"]
        if self.detect is not None and self.images is not None and self.captions is not None:
            of = f" of {self.captions:,} captions" if self.images != self.captions else ""
            lines.append(f"to tell {self.detect:g}: {self.images:,} images{of} of each generator")
        lines += ["", f"{'images':>8}  smallest difference"]
        return lines + [f"{n:>8,}  {value:.4g}" for n, value in self.smallest.items()]

    def to_dict(self) -> dict[str, Any]:
        """Give all fields, for JSON."""
        return asdict(self)


def plan(
    score: str | os.PathLike[str] | None = None,
    *,
    detect: float | None = None,
    images: int | None = None,
    power: float = POWER,
    metric: str = "cmd",
) -> Plan:
    """Plan a comparison of two generators as of independent images.

    Images of the same captions make the difference sharper than planned.

    Args:
        score: The JSON of a score with error bars; without one a perfect generator against
            MS-COCO is planned for, from the released moments.
        detect: The difference to tell.
        images: A number of images of each generator, of which the smallest difference is told.
        power: The chance to tell it.
        metric: The number that is compared: "cmd", or one of the score's other metrics.

    Raises:
        InputError: The score is none or has no error bar, or a number is out of range.
    """
    if score is None:
        if metric != "cmd":
            raise InputError(f"a plan for {metric} takes a score with its error bar")
        from cmdmetric.scoring import load_reference

        r, l = (load_reference("coco2014-val", side) for side in ("image", "text"))
        of, spread, each = "a perfect generator against coco2014-val", gaussian_spread(r, r, l), 1.0
    else:
        entry = entry_of(Path(score).stem, read_score(Path(score)))
        error = entry.standard_error
        if metric != "cmd":
            if metric not in entry.metrics:
                known = ", ".join(("cmd", *entry.metrics))
                raise InputError(f"{score}: no {metric}; there is {known}")
            error = entry.metrics[metric].standard_error
        draws = entry.draws or entry.n
        if error is None or not draws or "generated" not in entry.sides:
            raise InputError(f"{score}: its {metric} has no error bar of the generated images")
        of, spread = os.fspath(score), Spread.of_error(error, draws)
        each = (entry.n or draws) / draws
    sizes = sorted({*SIZES, *([images] if images is not None else [])})
    smallest = {n: detectable(spread, max(2, round(n / each)), power) for n in sizes}
    captions = None if detect is None else draws_needed(spread, detect, power)
    made = None if captions is None else round(captions * each)
    return Plan(of, metric, power, detect, captions, made, smallest)
