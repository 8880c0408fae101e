"""The numbers of a score as rows, which every way of showing them is made of."""

from __future__ import annotations

import math
from dataclasses import dataclass

#: The standard error of a number is given with so many digits, and the number to the same place.
DIGITS = 2


@dataclass(frozen=True)
class Row:
    """One number with its error bar."""

    #: As in JSON, and as people write it.
    name: str
    title: str
    value: float
    #: None, as what follows, where it is not known.
    standard_error: float | None = None
    #: What infinitely many samples would score, and its 95 % interval.
    debiased: float | None = None
    low: float | None = None
    high: float | None = None
    #: "lower" or "higher"; None where neither is.
    better: str | None = None

    @property
    def arrow(self) -> str:
        """Which way is better, as papers write it: ↓, ↑, or nothing."""
        return {"lower": "↓", "higher": "↑"}.get(self.better or "", "")


@dataclass(frozen=True)
class Table:
    """What is shown of a score."""

    #: CMD and its parts.
    rows: tuple[Row, ...]
    #: Of the family, those that were asked for.
    family: tuple[Row, ...]
    #: Counts of generated images, of real images and of captions; None where not recorded.
    counts: tuple[int | None, int | None, int | None]
    #: What the three sets are, in the same order.
    sources: tuple[str, str, str]
    #: Generated images with a caption of their own; None where captions name no images.
    paired: int | None
    signature: str
    short_signature: str
    #: Why there is no debiased value; None where there is one, or no error bar at all.
    withheld: str | None

    def flat(self) -> dict[str, float]:
        """The numbers by one name each, and the counts: what is known of them."""
        found: dict[str, float] = {}
        for row in (*self.rows, *self.family):
            found[row.name] = row.value
            for key in ("standard_error", "debiased", "low", "high"):
                value = getattr(row, key)
                if value is not None:
                    found[f"{row.name}_{key}"] = value
        counts = dict(zip(("n", "n_real", "n_captions"), self.counts, strict=True))
        return {**found, **{name: count for name, count in counts.items() if count is not None}}


def decimals(error: float | None) -> int:
    """How many decimals a number has room for beside its standard error; 4 without one.

    >>> decimals(0.4522), decimals(0.0028), decimals(12.3), decimals(None)
    (2, 4, 0, 4)
    """
    if not error or not math.isfinite(error):
        return 4
    return max(0, DIGITS - 1 - math.floor(math.log10(error)))


def rounded(row: Row, between: str = " ± ") -> str:
    """The number to the place that its error has two digits of, and the error.

    >>> rounded(Row("cmd", "CMD", 2.9718, 0.4522))
    '2.97 ± 0.45'
    """
    places = decimals(row.standard_error)
    # What rounds to zero has no sign.
    text = f"{round(row.value, places) + 0.0:.{places}f}"
    return text if not row.standard_error else f"{text}{between}{row.standard_error:.{places}f}"
