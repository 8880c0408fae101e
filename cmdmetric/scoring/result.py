"""What a score is: its numbers, how they were made, and what a reader of them must know."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cmdmetric.uncertainty import Uncertainty, Value


@dataclass(frozen=True)
class CMDScore:
    """CMD, what it is made of, and how it was made; `float()` of it is CMD. Lower is better."""

    cmd: float
    itdis: float
    dis_fr: float
    dis_fl: float
    dis_rl: float
    #: Numbers of generated images and of draws among them (images of one caption are one), of real
    #: images and of captions; None where moments carry no count.
    n: int | None
    draws: int | None
    n_real: int | None
    n_captions: int | None
    #: Two scores compare only if their signatures differ in nothing but f.
    signature: str
    #: The protocol's name, the encoder's, and the sha256 of its weights; None if not recorded.
    protocol: str | None
    model: str | None
    weights: str | None
    #: What the three sides are: paths or registered names.
    generated: str
    real: str
    captions: str
    #: Generated images with a caption of their own; None where captions name no images.
    paired: int | None
    #: Images that could not be decoded, captions that were cut or had no word.
    skipped: int
    truncated: int
    empty: int
    #: Error bars and values without the excess of finite samples; None where only moments are
    #: at hand on every side.
    uncertainty: Uncertainty | None
    #: What a reader of the numbers must know.
    warnings: tuple[str, ...]
    #: Of the family (docs/metrics.md), those that were asked for.
    metrics: Mapping[str, Value] = dataclasses.field(default_factory=dict)
    #: Where some of them are made of Inception's features: the sha256 of its weights, and the real
    #: side by name and number of images.
    inception: Mapping[str, Any] | None = None

    def __float__(self) -> float:
        return self.cmd

    def to_dict(self) -> dict[str, Any]:
        """Give all fields, for JSON."""
        bars = self.uncertainty and self.uncertainty.to_dict()
        metrics = {name: dataclasses.asdict(value) for name, value in self.metrics.items()}
        fields = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        own = {"uncertainty": bars, "warnings": list(self.warnings), "metrics": metrics}
        return {**fields, **own}
