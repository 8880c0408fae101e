"""What a score is: its numbers, and in one line, the signature, what they were made with and of."""

from __future__ import annotations

import dataclasses
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

from cmdmetric.scoring.signature import Signature
from cmdmetric.version import __version__

if TYPE_CHECKING:
    from cmdmetric.scoring.detail.copies import Copying
    from cmdmetric.scoring.detail.slices import Slices
    from cmdmetric.uncertainty import Uncertainty, Value


#: Whose releases may move a number in its last digits.
_LIBRARIES = (
    "torch",
    "torchvision",
    "open_clip_torch",
    "torch-fidelity",
    "numpy",
    "scipy",
    "pillow",
    "transformers",
)
#: Of the JSON that results are written as; docs/json.md says what each version is.
SCHEMA = 2


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
    #: Where some of them are made of the features of networks beside CLIP, by the network's name:
    #: the sha256 of its weights, and the real side by name and number of images.
    networks: Mapping[str, Mapping[str, Any]] = dataclasses.field(default_factory=dict)
    #: By slices of the generated images, and how near these are to training images, where that
    #: was asked for.
    slices: Slices | None = None
    memorisation: Copying | None = None
    #: Signatures of the metrics, by the names of the numbers.
    signatures: Mapping[str, str] = dataclasses.field(default_factory=dict)

    def __float__(self) -> float:
        return self.cmd

    @property
    def short_signature(self) -> str:
        """The form of the signature for a text: protocol, encoder, sets and version."""
        return Signature.read(self.signature).short

    def to_dict(self) -> dict[str, Any]:
        """Give all fields, for JSON: docs/json.md."""
        bars = self.uncertainty and self.uncertainty.to_dict()
        metrics = {
            name: {**dataclasses.asdict(value), **_both_forms(self.signatures.get(name))}
            for name, value in self.metrics.items()
        }
        fields = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        fields.pop("signatures")
        fields["short_signature"] = self.short_signature
        own = {
            "uncertainty": bars,
            "warnings": list(self.warnings),
            "metrics": metrics,
            "slices": self.slices and self.slices.to_dict(),
            "memorisation": self.memorisation and dataclasses.asdict(self.memorisation),
        }
        return {"schema": SCHEMA, **fields, **own}


def _both_forms(signature: str | None) -> dict[str, str | None]:
    short = None if signature is None else Signature.read(signature).short
    return {"signature": signature, "short_signature": short}


def run_record(command: Sequence[str]) -> dict[str, Any]:
    """Record a run, for JSON; no library is imported for it.

    Args:
        command: The command line, a word each.

    Returns:
        The date in UTC, the command, versions by library (None where it is not installed), and the
        platform: system, machine, and Python.
    """
    return {
        "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "command": list(command),
        "versions": {"cmdmetric": __version__, **{name: _version(name) for name in _LIBRARIES}},
        "platform": {
            "system": platform.system(),
            "release": platform.release(),
            "machine": platform.machine(),
            "python": platform.python_version(),
        },
    }


def _version(library: str) -> str | None:
    try:
        return version(library)
    except PackageNotFoundError:
        return None
