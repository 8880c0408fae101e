"""What a look at inputs has found, as lines of text and for JSON."""

from __future__ import annotations

import dataclasses
from collections import Counter
from dataclasses import dataclass
from typing import Any

from cmdmetric.preflight.finding import Finding
from cmdmetric.preflight.setup import Setup
from cmdmetric.terminal import PATH, counted, shown

#: The most names of images or captions that are shown of a finding.
NAMES = 5
_MARKS = {"error": "ERROR  ", "warning": "warning", "note": "note   "}


@dataclass(frozen=True)
class Preflight:
    """What was found, by severity, and what a score would be computed with.

    `print` shows what `cmdmetric doctor` prints.
    """

    generated: str
    real: str | None
    captions: str
    #: Numbers of generated images, real images and captions; None where that is not known.
    n: int | None
    n_real: int | None
    n_captions: int | None
    setup: Setup
    findings: tuple[Finding, ...]

    def __str__(self) -> str:
        return "\n".join(self.lines())

    def __repr__(self) -> str:
        found = Counter(found.severity for found in self.findings)
        told = ", ".join(counted(n, severity) for severity, n in found.items())
        return f"<Preflight of {shown(self.generated, PATH)}: {told or 'nothing found'}>"

    @property
    def ok(self) -> bool:
        """Whether no finding is an error."""
        return all(found.severity != "error" for found in self.findings)

    def to_dict(self) -> dict[str, Any]:
        """Give all fields, for JSON."""
        return {
            "ok": self.ok,
            **{field.name: getattr(self, field.name) for field in dataclasses.fields(self)},
            "setup": self.setup.to_dict(),
            "findings": [found.to_dict() for found in self.findings],
        }

    def lines(self) -> list[str]:
        """What the terminal prints: the inputs, the setup, and a few lines for each finding."""
        found = [line for each in self.findings for line in _finding_lines(each)]
        return [*self._inputs(), *_setup_lines(self.setup), "", *(found or ["nothing found"])]

    def _inputs(self) -> list[str]:
        def side(name: str, source: str | None, n: int | None, noun: str) -> str:
            count = "count not known" if n is None else counted(n, noun)
            return f"{name:<11} {shown(source or 'none', PATH)} ({count})"

        return [
            side("generated", self.generated, self.n, "image"),
            side("real", self.real, self.n_real, "image"),
            side("captions", self.captions, self.n_captions, "caption"),
        ]


def _setup_lines(setup: Setup) -> list[str]:
    weights = "weights not at hand"
    if setup.weights is not None:
        weights = f"{shown(setup.weights, PATH)}, {setup.origin}, sha256 {str(setup.sha256)[:8]}"
    lines = [
        f"encoder     {setup.model}, protocol {setup.protocol}",
        f"weights     {weights}",
    ]
    for name, path in setup.references.items():
        lines.append(f"reference   {name}: {shown(path, PATH) if path else 'not at hand'}")
    lines.append(
        f"device      {setup.device}, {setup.dtype}, torch on {setup.threads} of "
        f"{setup.cores} processors"
    )
    rates = [
        f"{rate:.0f} {what} a second"
        for rate, what in (
            (setup.decoded, "images decoded"),
            (setup.encoded, "images encoded"),
            (setup.captions, "captions encoded"),
        )
        if rate is not None
    ]
    if rates:
        lines.append(f"speed       {', '.join(rates)}")
    if setup.expected is not None:
        lines.append(f"expected    {_duration(setup.expected)} with an empty cache")
    return lines


def _finding_lines(found: Finding) -> list[str]:
    first, *more = (shown(line) for line in found.message.splitlines() or [""])
    lines = [f"{_MARKS[found.severity]}  {found.subject}: {first}"]
    lines += [f"           {line}" for line in more]
    lines += [f"           {shown(name, PATH)}" for name in found.names[:NAMES]]
    if found.count > NAMES and found.names:
        lines.append(f"           and {found.count - NAMES:,} more")
    return lines


def _duration(seconds: float) -> str:
    if seconds < 60:
        return f"{max(1, round(seconds))} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"
