"""A score by slices of the generated images: where is the model good, and where not?"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cmdmetric.errors import InputError
from cmdmetric.files import named_path
from cmdmetric.inputs import Captions, pair, read_captions
from cmdmetric.scoring.grouping import as_samples, caption_rows, pairing_of
from cmdmetric.scoring.side import Side
from cmdmetric.uncertainty import (
    Groups,
    Measured,
    Sample,
    Variance,
    added_to_cmd,
    mean_of_slice,
    number_of_draws,
    uncertainty,
)

#: The number of words of a caption, as if it were a field of its record.
CAPTION_LENGTH = "caption-length"
#: Numbers of more different values than this are cut into quarters.
_DIFFERENT = 8
#: More slices than this are none: every image would be one.
_MOST = 100


@dataclass(frozen=True)
class SliceValue:
    """A number of one slice; its interval holds in 95 % of cases for all slices together."""

    value: float
    #: None, as what follows, where the slice is a single draw.
    standard_error: float | None = None
    low: float | None = None
    high: float | None = None

    @classmethod
    def of(cls, value: float, variance: Variance | None, slices: int) -> SliceValue:
        """A number with its variance, one of so many slices (Bonferroni)."""
        if variance is None:
            return cls(value)
        return cls(value, variance.standard_error, *variance.interval(value, of=slices))


@dataclass(frozen=True)
class Slice:
    """The generated images that have one label."""

    label: str
    #: Images, and draws among them: images of one caption are one.
    n: int
    draws: int
    #: By how much they raise CMD above what average images would; slices that part the images add
    #: up to zero. None where the draws are too few to tell its error.
    adds: SliceValue | None
    #: Means over the slice of the pair metrics that were asked for, by the names of the numbers.
    metrics: Mapping[str, SliceValue]
    #: The debiased CMD of the slice alone, against real images and captions of the slice.
    #: None where the slice has not the samples for it. Its interval is of this slice alone.
    cmd: SliceValue | None = None


@dataclass(frozen=True)
class Slices:
    """A score by the values of a field."""

    #: The field, or the file of labels.
    by: str
    slices: tuple[Slice, ...]
    #: Generated images without a label.
    unlabelled: int

    def to_dict(self) -> dict[str, Any]:
        """All fields, for JSON."""
        return {**dataclasses.asdict(self), "slices": [dataclasses.asdict(s) for s in self.slices]}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Slices:
        """The inverse of `to_dict`, also of what JSON has made of that."""

        def number(of: Mapping[str, Any] | None) -> SliceValue | None:
            return None if of is None else SliceValue(**of)

        slices = tuple(
            Slice(
                each["label"],
                each["n"],
                each["draws"],
                number(each["adds"]),
                {name: SliceValue(**of) for name, of in each["metrics"].items()},
                number(each.get("cmd")),
            )
            for each in values["slices"]
        )
        return cls(values["by"], slices, values["unlabelled"])


@dataclass(frozen=True)
class Labels:
    """The labels of all images, by which these fall into slices."""

    #: The field, or the file of labels.
    by: str
    #: Those of each generated image; none for an image without any.
    f: Sequence[tuple[str, ...]]
    #: Those of each real image; None where they are moments, or have none.
    r: Sequence[tuple[str, ...]] | None

    @classmethod
    def of(cls, by: str | Path, f: Side, r: Side, l: Side) -> Labels:
        """Read the labels.

        Args:
            by: A field of the captions' records, `CAPTION_LENGTH`, or a file of columns id and
                label, the id being an image's name.
            f: The generated images, with features.
            r: The real images.
            l: The captions.

        Raises:
            InputError: There is no such field or file, or the generated images are moments alone.
        """
        if not f.has_features:
            raise InputError(
                f"{f.source} is moments alone: slices take the images, or their features"
            )
        return cls(str(by), labels_of(by, f, l), _labels_of_real(by, r, l))


def slices_of(
    labels: Labels, f: Side, r: Side, l: Side, measured: Mapping[str, Measured], groups: Groups
) -> Slices:
    """Score each slice of the generated images.

    Args:
        labels: The labels of the images.
        f: The generated images, with features.
        r: The real images.
        l: The captions.
        measured: Numbers of the family; those that are means over pairs are told by slice.
        groups: What was drawn together, of side "f".

    Raises:
        InputError: No image has a label, or there are more than a hundred labels.
    """
    by = labels.by
    names = sorted({label for own in labels.f for label in own}, key=_natural)
    if not names:
        raise InputError(f"no generated image of {f.source} has a label by {by}")
    if len(names) > _MOST:
        raise InputError(f"{by} has {len(names):,} different values: slices are of {_MOST} at most")
    members = _members(names, labels.f)
    (of_f, of_r), of_l = as_samples([f, r], l)
    added = added_to_cmd(of_f, of_r, of_l, members)
    own_captions = caption_rows(f, l)
    found = []
    for i, name in enumerate(names):
        means = {
            number: mean_of_slice(of, members[i], groups)
            for number, of in measured.items()
            if of.weights is not None
        }
        rows = np.flatnonzero(members[i])
        own = groups.get("f")
        found.append(
            Slice(
                name,
                len(rows),
                number_of_draws(len(rows), None if own is None else own[rows]),
                added and SliceValue.of(float(added[0][i]), added[1][i], len(names)),
                {
                    number: SliceValue.of(*mean, len(names))
                    for number, mean in means.items()
                    if mean is not None
                },
                _distance(name, rows, labels.r, own_captions, (of_f, of_r, of_l)),
            )
        )
    return Slices(by, tuple(found), sum(not own for own in labels.f))


def _distance(
    name: str,
    rows: NDArray[np.intp],
    of_real: Sequence[tuple[str, ...]] | None,
    own_captions: Sequence[Sequence[int]],
    sides: Sequence[Any],
) -> SliceValue | None:
    """CMD of a slice alone, where each of its sides has the samples for it."""
    if of_real is None or not all(isinstance(side, Sample) for side in sides):
        return None
    real = np.array([i for i, own in enumerate(of_real) if name in own], int)
    captions = np.unique(np.array([c for i in rows for c in own_captions[i]], int))
    d = sides[0].moments.d
    if min(map(len, (rows, real, captions))) <= d:
        return None
    own = [
        Sample(side.features[of], None if side.groups is None else side.groups[of])
        for side, of in zip(sides, (rows, real, captions), strict=True)
    ]
    try:
        found = uncertainty(*own).cmd
    except InputError:  # all samples of a side are one draw
        return None
    if found.debiased is None:
        return None
    return SliceValue(found.debiased, found.standard_error, found.low, found.high)


def _members(names: Sequence[str], labels: Sequence[tuple[str, ...]]) -> NDArray[np.bool_]:
    """(k, n) which images have each label."""
    place = {name: i for i, name in enumerate(names)}
    members = np.zeros((len(names), len(labels)), bool)
    for image, own in enumerate(labels):
        for label in own:
            members[place[label], image] = True
    return members


def check_by(by: str | Path, texts: Captions | None) -> None:
    """Look for what the slices are to be by, before any work is done.

    Args:
        by: As for `slices_of`.
        texts: The captions, where they are known.

    Raises:
        InputError: There is no such field or file, or the file is no table of labels.
    """
    if not _is_field(by, texts):
        _table(by, texts)


def _is_field(by: str | Path, texts: Captions | None) -> bool:
    return texts is not None and (by in texts.fields or by == CAPTION_LENGTH)


def labels_of(by: str | Path, images: Side, l: Side) -> list[tuple[str, ...]]:
    """The labels of each image: none where it has no caption, or its record no such field.

    Args:
        by: A field, `CAPTION_LENGTH`, or a file of labels, as for `slices_of`.
        images: Generated or real images.
        l: The captions.

    Raises:
        InputError: There is no such field or file.
    """
    n = images.moments.n or 0
    texts = l.texts
    if texts is not None and _is_field(by, texts):
        values = texts.fields.get(str(by)) or tuple(len(text.split()) for text in texts.texts)
        pairing = pairing_of(images, l)
        owned = pairing.caption_of if pairing is not None else [()] * n
    else:
        table = _table(by, texts)
        values = table.texts
        owned = pair(images.names or (), table.images).caption_of if images.names else [()] * n
    return _named([[values[c] for c in own] for own in owned])


def _labels_of_real(by: str | Path, r: Side, l: Side) -> list[tuple[str, ...]] | None:
    """The labels of the real images; None where they are moments, or have none."""
    if not r.has_features:
        return None
    found = labels_of(by, r, l)
    return found if any(found) else None


def _table(by: str | Path, texts: Captions | None) -> Captions:
    """The file of labels, which it is where it is no field of the captions."""
    if not named_path(by).is_file():
        fields = [] if texts is None else [*texts.fields, CAPTION_LENGTH]
        known = ", ".join(map(repr, fields)) or "none"
        raise InputError(
            f"no field or file {str(by)!r} to slice by. The captions have {known}; a file has "
            "columns id and label"
        )
    try:
        return read_captions(by, caption_column="label", image_column="id")
    except InputError as error:
        raise InputError(f"{error} (labels stand in a column `label`, beside `id`)") from None


def _named(values: Sequence[Sequence[Any]]) -> list[tuple[str, ...]]:
    """Values of each image as labels; numbers of many values as quarters of them."""
    known = [v for own in values for v in own if v is not None]
    numbers = [v for v in known if isinstance(v, (int, float)) and not isinstance(v, bool)]
    if numbers and len(numbers) == len(known):
        if any(not np.isfinite(v) for v in numbers):
            raise InputError("a field to slice by holds numbers that are not finite")
        means = [_mean([v for v in own if v is not None]) for own in values]
        if len({m for m in means if m is not None}) > _DIFFERENT:
            return list(_quarters(means))
        return [() if m is None else (f"{m:g}",) for m in means]
    return [tuple(dict.fromkeys(_each(own))) for own in values]


def _mean(values: Sequence[float]) -> float | None:
    return float(np.mean(values)) if values else None


def _quarters(means: Sequence[float | None]) -> Iterator[tuple[str, ...]]:
    edges = np.unique(np.quantile([m for m in means if m is not None], (0, 0.25, 0.5, 0.75, 1)))
    for mean in means:
        if mean is None:
            yield ()
            continue
        i = max(1, int(np.searchsorted(edges, mean)))
        yield (f"{'above ' if i > 1 else ''}{edges[i - 1]:g} to {edges[i]:g}",)


def _each(values: Sequence[Any]) -> Iterator[str]:
    """Every label of an image; a value that is several (tags) has each of them."""
    for value in values:
        if isinstance(value, (tuple, list)):
            yield from (str(each) for each in value)
        elif value is not None:
            yield str(value)


def _natural(label: str) -> tuple[float, str]:
    """Numbers by their size, before words by the alphabet."""
    try:
        return float(label.removeprefix("above ").partition(" to ")[0]), label
    except ValueError:
        return float("inf"), label
