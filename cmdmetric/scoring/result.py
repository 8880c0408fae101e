"""What a score is: its numbers, and in one line, the signature, what they were made with and of."""

from __future__ import annotations

import dataclasses
import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cmdmetric.errors import InputError
from cmdmetric.files import whole_file
from cmdmetric.metrics import QUANTITIES
from cmdmetric.scoring.rendering import figure, markup, text
from cmdmetric.scoring.rendering.table import Row, Table
from cmdmetric.scoring.signature import Signature
from cmdmetric.scoring.stored.score_file import SCHEMA, read_json, refuse_malformed
from cmdmetric.terminal import as_json
from cmdmetric.version import __version__

if TYPE_CHECKING:
    import pandas
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from cmdmetric.scoring.detail.copies import Copying
    from cmdmetric.scoring.detail.slices import Slices
    from cmdmetric.uncertainty import Estimate, Uncertainty, Value


#: Whose releases may move a number in its last digits.
_LIBRARIES = (
    "torch",
    "torchvision",
    "open_clip_torch",
    "torch-fidelity",
    "timm",
    "numpy",
    "scipy",
    "pillow",
    "transformers",
)


@dataclass(frozen=True, repr=False)
class CMDScore:
    """CMD, what it is made of, and how it was made; `float()` of it is CMD. Lower is better.

    `print` gives the five lines of the command `cmd-score`, a notebook shows a table.
    """

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
    #: Error bars and debiased values; None where only moments are
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

    def __str__(self) -> str:
        lines = text.score_lines(self.table)
        return "\n".join([*lines, "", *text.family_lines(self.table)] if self.metrics else lines)

    def __repr__(self) -> str:
        return text.line(self.table)

    def _repr_html_(self) -> str:
        return markup.html(self.table)

    @property
    def short_signature(self) -> str:
        """The form of the signature for a text: protocol, encoder, sets and version."""
        return Signature.read(self.signature).short

    @property
    def table(self) -> Table:
        """The numbers as rows: what every way of showing them is made of."""
        bars = self.uncertainty
        family = tuple(
            Row(name, name, value.value, value.standard_error, better=value.better)
            for name, value in self.metrics.items()
        )
        withheld = None
        if bars is not None and bars.cmd.debiased is None:
            withheld = bars.withheld or "the generated images are moments alone"
        return Table(
            rows=tuple(self._row(name, title) for name, title in QUANTITIES.items()),
            family=family,
            counts=(self.n, self.n_real, self.n_captions),
            sources=(self.generated, self.real, self.captions),
            paired=self.paired,
            signature=self.signature,
            short_signature=self.short_signature,
            withheld=withheld,
        )

    def _row(self, name: str, title: str) -> Row:
        value: float = getattr(self, name)
        better = "lower" if name in ("cmd", "itdis", "dis_fr") else None
        bar: Estimate | None = getattr(self.uncertainty, name, None)
        # Between two sides that are moments nothing was sampled.
        if bar is None or not (bar.standard_error > 0 or value == 0):
            return Row(name, title, value, better=better)
        error = bar.standard_error
        return Row(name, title, value, error, bar.debiased, bar.low, bar.high, better)

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

    def to_flat_dict(self) -> dict[str, float]:
        """Give the numbers by one name each, for a logger or as a row of a table of many scores.

        Beside `cmd` stand `cmd_standard_error`, `cmd_debiased`, `cmd_low` and `cmd_high` where they
        are known, and so for every number; then `n`, `n_real` and `n_captions`. The signature is
        text, which loggers take elsewhere.
        """
        return self.table.flat()

    def to_pandas(self) -> pandas.DataFrame:
        """Give the numbers as a DataFrame: a row a number, with its error, interval and direction.

        Raises:
            InputError: pandas is not installed.
        """
        try:
            import pandas
        except ImportError:
            raise InputError(
                "a DataFrame needs pandas: pip install pandas; to_flat_dict needs nothing"
            ) from None
        rows = [dataclasses.asdict(row) for row in (*self.table.rows, *self.table.family)]
        return pandas.DataFrame(rows).set_index("name").drop(columns="title")

    def to_latex(self, numbers: Sequence[str] = ("cmd", "itdis", "dis_fr")) -> str:
        """Give a table for a paper, with the lines of the package booktabs.

        Numbers are rounded to two digits of their standard error; the signature is a comment.

        Args:
            numbers: Which numbers, by their names.

        Raises:
            InputError: The score has no number of such a name.
        """
        rows = {row.name: row for row in (*self.table.rows, *self.table.family)}
        if unknown := [name for name in numbers if name not in rows]:
            raise InputError(f"the score has no {unknown[0]!r}; there is {', '.join(rows)}")
        return markup.latex(self.table, [rows[name] for name in numbers])

    def plot(self, ax: Axes | None = None) -> tuple[Figure, Axes]:
        """Draw CMD, ITDis and Dis(f,r) with their error bars.

        Args:
            ax: Where to draw; by default on new axes.

        Returns:
            The figure and the axes, as the metrics of torchmetrics do.

        Raises:
            InputError: matplotlib is not installed (the extra `report`).
        """
        return figure.plot(self.table, ax)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the score as JSON, as `cmd-score -o` does; the file appears whole or not at all.

        Raises:
            InputError: It cannot be written there.
        """
        content = as_json({**self.to_dict(), "run": run_record(())})
        with whole_file(Path(path)) as file:
            file.write(f"{content}\n".encode(errors="backslashreplace"))

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> CMDScore:
        """Read a score that `save` or `cmd-score -o` wrote, of this release or an older one.

        Raises:
            InputError: There is no such file, or it is no score.
        """
        return cls.from_dict(read_json(Path(path)), os.fspath(path))

    @classmethod
    def from_dict(cls, content: Any, name: str = "the score") -> CMDScore:
        """The inverse of `to_dict`, also of the JSON that older releases wrote.

        Args:
            content: The JSON of a score.
            name: What an error calls it.

        Raises:
            InputError: It is no score.
        """
        from cmdmetric.scoring.detail.copies import Copying
        from cmdmetric.scoring.detail.slices import Slices
        from cmdmetric.scoring.family.catalogue import value_of
        from cmdmetric.uncertainty import Uncertainty

        refuse_malformed(content, name)
        own: dict[str, Any] = {}
        for field in dataclasses.fields(cls):
            counted = field.name in ("skipped", "truncated", "empty")
            named = field.name in ("generated", "real", "captions")
            stored = content.get(field.name)
            missing = 0 if counted else "?" if named else None
            own[field.name] = missing if stored is None else stored
        family = content.get("metrics") or {}
        try:
            bars = content.get("uncertainty")
            own["uncertainty"] = Uncertainty.from_dict(bars) if bars else None
            for key, kind in (("slices", Slices), ("memorisation", Copying)):
                stored = content.get(key)
                own[key] = kind.from_dict(stored) if stored else None
            single = content.get("draws") in (None, content.get("n"))
            own["metrics"] = {
                key: value_of(key, each, single=single) for key, each in family.items()
            }
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise InputError(f"{name}: its error bars or metrics are incomplete: {error}") from None
        own["signatures"] = {
            key: each["signature"] for key, each in family.items() if each.get("signature")
        }
        own["networks"] = content.get("networks") or {}
        own["warnings"] = tuple(map(str, content.get("warnings") or ()))
        return cls(**own)


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
