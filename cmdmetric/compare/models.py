"""One model of a comparison: its own numbers, and what sets it apart from the best."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from cmdmetric.uncertainty import Gap, Sizes, Test, Value


@dataclass(frozen=True)
class Entry:
    """One model's stored score."""

    #: The file's name without its ending; the whole path where two have the same.
    name: str
    cmd: float
    itdis: float
    dis_fr: float
    dis_fl: float
    dis_rl: float
    #: Generated images, the draws among them, and those with a caption; None if not recorded.
    n: int | None
    draws: int | None
    paired: int | None
    signature: str
    protocol: str | None
    model: str | None
    real: str
    generated: str
    #: Of CMD; None where the score has no error bars, or too few samples for the last three.
    standard_error: float | None
    debiased: float | None
    low: float | None
    high: float | None
    #: Whose sampling the standard error includes.
    sides: tuple[str, ...] = ()
    #: What CMD is made of, ITDis and Dis(f,r), with their standard errors.
    parts: Mapping[str, Value] = field(default_factory=dict)
    #: Of the family, those that were asked for.
    metrics: Mapping[str, Value] = field(default_factory=dict)
    #: By metric its signature, where the score has one.
    signatures: Mapping[str, str] = field(default_factory=dict)
    #: Weights and real side of the networks beside CLIP that metrics are made with, by name.
    networks: Mapping[str, Any] = field(default_factory=dict)
    #: What the slices are by, and of each its numbers: what it adds to CMD ("adds") and means of
    #: pair metrics. None and empty where the score has no slices.
    by: str | None = None
    slices: Mapping[str, Mapping[str, Value]] = field(default_factory=dict)

    @property
    def sizes(self) -> Sizes:
        """What the excess of a finite sample depends on."""
        return self.n, self.draws

    @property
    def has_errors(self) -> bool:
        """Whether its error bar tells what other generated images would score."""
        return self.standard_error is not None and "generated" in self.sides


@dataclass(frozen=True)
class Against:
    """One model against the best."""

    name: str
    #: CMD of the model minus that of the best, debiased where that is
    #: known of both.
    difference: float
    standard_error: float | None
    #: None, as what follows, where numbers of images differ and what that does is not known.
    low: float | None
    high: float | None
    #: Two-sided, of equal CMD; the second adjusted for there being several models (Holm 1979).
    p_value: float | None
    p_adjusted: float | None
    #: The same for the family's numbers that both have.
    metrics: Mapping[str, Gap] = field(default_factory=dict)
    #: Whether images of one caption are paired in it: what they have in common cancels.
    paired: bool = False
    #: By slice the differences of its numbers, as of independent samples, where both have slices by
    #: the same field. Intervals hold for all slices of a number together, and `p_adjusted` is
    #: adjusted for them.
    slices: Mapping[str, Mapping[str, Gap]] = field(default_factory=dict)
    #: What `p_value` is of: "permutation" or "student"; None where there is none.
    test: Test | None = None
    #: What the difference of CMD follows from, and how it was tested, in the long and short form.
    signature: str | None = None
    short_signature: str | None = None
