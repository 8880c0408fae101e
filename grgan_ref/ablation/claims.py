"""What the paper concludes from its ablations, as differences between rows that seeds can decide.

Each conclusion is a set of pairs of rows, one better than the other (Tables 2, 4 and 6). The
differences of CMD have an interval from the spread of the seeds; real images and captions are the
same in all rows, and cancel.
"""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from scipy import stats


@dataclass(frozen=True)
class Claim:
    """A conclusion: in every pair of row keys, the first has the lower CMD."""

    text: str
    pairs: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Difference:
    """A difference of CMD, negative where the claim holds, and half its 95 % interval."""

    value: float
    half: float

    @property
    def verdict(self) -> str:
        """What the interval says of the claim."""
        low, high = self.value - self.half, self.value + self.half
        if high < 0:
            return "shown"
        if low > 0:
            return "the contrary is shown"
        return f"not shown; smaller than {max(-low, high):.1f} either way"


ISW = "dmgan-it-grg"
#: By the number of the table.
CLAIMS = {
    "2": (
        Claim(
            "a matching module is better than none",
            (
                ("attn-da", "attn-none"),
                ("attn-it", "attn-none"),
                ("dmgan-da", "dmgan-none"),
                ("dmgan-it", "dmgan-none"),
            ),
        ),
        Claim(
            "the ITM is better than DAMSM",
            (
                ("attn-it", "attn-da"),
                ("attn-it-grg", "attn-da-grg"),
                ("dmgan-it", "dmgan-da"),
                ("dmgan-it-grg", "dmgan-da-grg"),
            ),
        ),
        Claim(
            "gradual refinement helps",
            tuple((f"{row}-grg", row) for row in ("attn-da", "attn-it", "dmgan-da", "dmgan-it")),
        ),
    ),
    "4": (
        Claim(
            "lambda 4, 1 is the best",
            tuple(
                ("dmgan-it", f"dmgan-it_lambda-{first}-{second}")
                for first, second in ((1, 1), (2, 1), (3, 1), (4, 2), (5, 2))
            ),
        ),
    ),
    "6": (Claim("I-S-W is the best order", ((ISW, f"{ISW}_I-W-S"), (ISW, f"{ISW}_S-W-I"))),),
}


def contrast(weights: Mapping[str, float], values: Mapping[str, Sequence[float]]) -> Difference:
    """Return a weighted sum of the means of rows, with a 95 % interval.

    The rows' seeds are independent draws, and each row has a variance of its own: the interval is
    Welch's, with Satterthwaite's degrees of freedom.

    Args:
        weights: Of the rows, by key.
        values: The numbers of each row's seeds, at least two of them.
    """
    parts = {
        key: (weight**2 * statistics.variance(values[key]) / len(values[key]), len(values[key]) - 1)
        for key, weight in weights.items()
        if weight
    }
    total = sum(variance for variance, _ in parts.values())
    value = sum(weight * statistics.fmean(values[key]) for key, weight in weights.items())
    if total == 0:
        return Difference(value, 0.0)
    freedom = total**2 / sum(variance**2 / df for variance, df in parts.values())
    return Difference(value, float(stats.t.ppf(0.975, freedom)) * total**0.5)


def to_markdown(table: str, rows: Sequence[Mapping[str, Any]]) -> str:
    """Say of each claim of a table, pair by pair and on average, what the seeds decide.

    Pairs whose rows have fewer than two seeds are left out; it is empty where none is left.

    Args:
        table: Its number.
        rows: As `ablate` returns them; the last stage counts.
    """
    values = {
        row["key"]: [run["stages"][-1]["cmd"] for run in row["runs"] if "failed" not in run]
        for row in rows
    }
    names = {row["key"]: row["name"] for row in rows}
    lines: list[str] = []
    for claim in CLAIMS[table]:
        pairs = [p for p in claim.pairs if all(len(values.get(key, ())) > 1 for key in p)]
        for better, worse in pairs:
            found = contrast({better: 1, worse: -1}, values)
            lines.append(_line(claim.text, f"{names[better]} against {names[worse]}", found))
        if len(pairs) > 1:
            weights: Counter[str] = Counter()
            for better, worse in pairs:
                weights[better] += 1
                weights[worse] -= 1
            mean = {key: weight / len(pairs) for key, weight in weights.items()}
            lines.append(_line(claim.text, "**mean of these**", contrast(mean, values)))
    if not lines:
        return ""
    head = [
        "## What the paper concludes, decided by the seeds",
        "",
        "Differences of CMD, negative where the conclusion holds, with 95 % intervals (Welch) from "
        "the spread of the seeds; each line has its own 95 %.",
        "",
        "| conclusion | rows | difference | |",
        "| --- | --- | ---: | --- |",
    ]
    return "\n".join([*head, *lines, ""])


def _line(claim: str, rows: str, found: Difference) -> str:
    return f"| {claim} | {rows} | {found.value:+.2f} ± {found.half:.2f} | {found.verdict} |"
