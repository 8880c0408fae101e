"""A pack: everything that a score follows from, but for the images, in one file of numpy's.

Whoever has it computes the score again, without images and networks (`cmdmetric verify`).
"""

from __future__ import annotations

import itertools
import json
import os
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from cmdmetric.errors import InputError
from cmdmetric.features import digests_of
from cmdmetric.files import check_place, opened as opened_npz, remote, write_npz
from cmdmetric.inputs import Captions
from cmdmetric.metrics import Moments
from cmdmetric.scoring.detail.slices import Labels
from cmdmetric.scoring.family.metric import Seen
from cmdmetric.scoring.references import REFERENCES
from cmdmetric.scoring.side import Side
from cmdmetric.scoring.statistics import digest_of
from cmdmetric.scoring.stored_sets import StoredSet

if TYPE_CHECKING:
    from cmdmetric.scoring.together import Scored

#: Of packs; one of a later release may mean something else.
_FORM = 1
#: What a pack says that is no array: more than captions of millions of images is none.
_LONGEST = 1 << 30
#: The array that has the digests of all others.
_SUMS = "sums"


@dataclass(frozen=True)
class Asked:
    """What the run that wrote a pack was asked for beside CMD.

    Attributes:
        metrics: The metrics, each by one of its numbers and by the network that it is made with.
        notes: Which metrics were left out because their networks could not be had, and why.
        labels: The labels of the images, where the score is told by slices.
        copies: Whether copies of training images were looked for.
    """

    metrics: tuple[tuple[str, str | None], ...]
    notes: tuple[str, ...]
    labels: Labels | None
    copies: bool

    @classmethod
    def of(cls, found: Scored) -> Asked:
        """Take what a score was asked for."""
        metrics = tuple(
            (next(iter(metric.values)), metric.network)
            for metric in found.metrics
            if metric.name not in found.f.scores
        )
        return cls(metrics, found.notes, found.labels, found.copies is not None)

    def told(self) -> dict[str, Any]:
        """Give it for JSON."""
        labels = self.labels
        return {
            "metrics": self.metrics,
            "notes": self.notes,
            "slices": labels and {"by": labels.by, "f": labels.f, "r": labels.r},
            "copies": self.copies,
        }

    @classmethod
    def read(cls, told: Mapping[str, Any], sides: Mapping[str, Side]) -> Asked:
        """The inverse of `told`."""
        metrics = tuple((_text(number), _name(network)) for number, network in told["metrics"])
        labels, sliced = None, told["slices"]
        if sliced is not None:
            r = None if sliced["r"] is None else _labels(sliced["r"], sides["r"])
            labels = Labels(_text(sliced["by"]), _labels(sliced["f"], sides["f"]), r)
        return cls(metrics, tuple(map(_text, told["notes"])), labels, bool(told["copies"]))


@dataclass(frozen=True)
class Pack:
    """What a score follows from.

    Attributes:
        f: The generated images, as features with names; no image is in it.
        r: The real images, or their moments.
        l: The captions, as texts and features.
        seen: What networks beside CLIP make of the images, by the networks' names.
        better: Numbers of single images that others have computed, and which way each is better.
        asked: What the run was asked for; None in packs that do not tell.
        altered: What in the file is not as it was written, in words; None where that is not known,
            because it has no digests of its arrays.
    """

    f: Side
    r: Side
    l: Side
    seen: Mapping[str, Seen]
    better: Mapping[str, Any]
    asked: Asked | None = None
    altered: tuple[str, ...] | None = ()

    @classmethod
    def of(cls, found: Scored) -> Pack:
        """Take what a score was made of."""
        better = {
            name: way
            for metric in found.metrics
            for name, way in metric.values.items()
            if name in found.f.scores
        }
        return cls(found.f, found.r, found.l, found.seen, better, Asked.of(found))

    def write(self, path: str | os.PathLike[str]) -> None:
        """Write it, uncompressed; the file appears whole or not at all.

        Raises:
            InputError: It cannot be written there.
        """
        arrays: dict[str, Any] = {}
        told: dict[str, Any] = {"form": _FORM, "sides": {}, "networks": {}, "scores": self.better}
        if self.asked is not None:
            told["asked"] = self.asked.told()
        for letter, side in (("f", self.f), ("r", self.r), ("l", self.l)):
            stored = StoredSet(
                side.moments,
                features=None if side.features is None else np.asarray(side.features),
                names=side.names,
                skipped=side.skipped,
                truncated=side.truncated,
                empty=side.empty_before,
                contents=side.contents,
                looks=side.looks,
            )
            arrays |= {f"{letter}/{key}": value for key, value in stored.arrays().items()}
            told["sides"][letter] = {
                "source": side.source,
                "reference": side.reference,
                "places": side.places,
                "drawn": side.drawn,
                "kept": side.kept,
                "texts": None
                if side.texts is None
                else [
                    side.texts.texts,
                    side.texts.images,
                    side.texts.source,
                    side.texts.recipe,
                    side.texts.archive,
                ],
            }
        for i, name in enumerate(self.better):
            arrays[f"scores/{i}"] = self.f.scores[name]
        for name, seen in self.seen.items():
            told["networks"][name] = {
                "weights": seen.weights,
                "fields": dict(seen.fields),
                "real": seen.real,
                "apart": seen.apart,
            }
            arrays |= dict(_arrays_of(f"networks/{name}", seen))
        arrays["told"] = _as_array(told)
        arrays = {key: np.asarray(value) for key, value in arrays.items()}
        write_npz(path, {**arrays, _SUMS: _as_array(_sums_of(arrays))})

    @classmethod
    def read(cls, path: str | os.PathLike[str]) -> Pack:
        """Read it; nothing is unpickled, and nothing unpacks to more than it takes.

        Raises:
            InputError: It is no pack, or damaged; the message names the file.
        """
        _refuse_compressed(path)
        with opened_npz(path) as stored:
            if "told" not in stored:
                raise InputError("no pack of a score: `cmd-score ... --pack FILE` makes one")
            told = _told(stored["told"])
            arrays = {key: stored[key] for key in stored}
            sides = {
                letter: _side(letter, _part(arrays, letter), told["sides"][letter])
                for letter in "frl"
            }
            better = {str(name): way for name, way in told["scores"].items()}
            if any(way not in (None, "lower", "higher") for way in better.values()):
                raise ValueError("scores are better lower or higher")
            n = sides["f"].moments.n
            scores = {
                name: _numbers(arrays[f"scores/{i}"], (n,), np.float64)
                for i, name in enumerate(better)
            }
            seen = {
                str(name): _seen(_part(arrays, f"networks/{name}"), of, sides)
                for name, of in told["networks"].items()
            }
            asked = Asked.read(told["asked"], sides) if "asked" in told else None
            altered = _altered(arrays, sides["l"], summed=asked is not None)
            f = replace(sides["f"], scores=scores)
            return cls(f, sides["r"], sides["l"], seen, better, asked, altered)


def check_pack(path: str | os.PathLike[str]) -> None:
    """Refuse a place where a pack cannot be written, before the work.

    Raises:
        InputError: It cannot, or its name does not end in .npz.
    """
    if Path(path).suffix.lower() != ".npz":
        raise InputError(f"{path}: a pack is a file of numpy's: let its name end in .npz")
    check_place(path)


def _arrays_of(prefix: str, seen: Seen) -> Iterator[tuple[str, Any]]:
    for key, rows in (("f", seen.f), ("l", seen.l), ("contents", seen.contents)):
        if rows is not None:
            yield f"{prefix}/{key}", np.asarray(rows)
    if isinstance(seen.r, Moments):
        for key, value in seen.r.arrays().items():
            yield f"{prefix}/moments/{key}", value
    elif seen.r is not None:
        yield f"{prefix}/r", np.asarray(seen.r)


def _refuse_compressed(path: str | os.PathLike[str]) -> None:
    """Refuse an archive whose members are not as they are: features hardly compress."""
    if remote.is_url(path):
        return  # it is read into memory as it is, and each member is held against its header
    try:
        with zipfile.ZipFile(remote.local(os.fspath(path))) as archive:
            members = archive.infolist()
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except (OSError, ValueError, NotImplementedError, zipfile.BadZipFile) as error:
        raise InputError(f"{path}: not a readable pack: {error}") from None
    for member in members:
        if member.compress_type != zipfile.ZIP_STORED or member.flag_bits & 1:
            raise InputError(f"{path}: {member.filename[:80]!r} is compressed: a pack never is")
    if len({member.filename for member in members}) != len(members):
        raise InputError(f"{path}: it holds two arrays of one name")


def _sums_of(arrays: Mapping[str, Any]) -> dict[str, str]:
    return {key: digest_of(value).hex() for key, value in arrays.items()}


def _altered(arrays: Mapping[str, Any], captions: Side, *, summed: bool) -> tuple[str, ...] | None:
    """Tell what is not as it was written; None where the pack has no digests.

    Args:
        arrays: All arrays.
        captions: The captions, whose digests are those of their texts.
        summed: Whether digests of the arrays belong to the pack.
    """
    texts, contents, found = captions.texts, captions.contents, []
    if texts is not None and contents is not None and len(contents) == len(captions.kept):
        own = digests_of(texts.texts[i].encode("utf-8", "surrogatepass") for i in captions.kept)
        if not np.array_equal(own, contents):
            found.append("the captions are not those of their digests")
    if _SUMS not in arrays:
        if summed:
            found.append("the digests of its arrays are gone")
        return tuple(found) if found else None
    sums = _json(arrays[_SUMS])
    again = _sums_of({key: value for key, value in arrays.items() if key != _SUMS})
    for key in sorted({*sums, *again}):
        if sums.get(key) != again.get(key):
            found.append(f"{key} is not what was written")
    return tuple(found)


def _as_array(value: Any) -> Any:
    return np.frombuffer(json.dumps(value).encode(), np.uint8)


def _json(stored: Any) -> dict[str, Any]:
    """The inverse of `_as_array`, of an object."""
    if stored.dtype != np.uint8 or stored.ndim != 1 or stored.size > _LONGEST:
        raise InputError("its record is damaged")
    value = json.loads(stored.tobytes())
    if not isinstance(value, dict):
        raise InputError("its record is damaged")
    return value


def _told(stored: Any) -> dict[str, Any]:
    """What the pack says that is no array."""
    told = _json(stored)
    if not isinstance(told.get("form"), int):
        raise InputError("its record is damaged")
    if told["form"] > _FORM:
        raise InputError(f"it has form {told['form']}, this cmdmetric reads {_FORM}: update it")
    return told


def _part(arrays: Mapping[str, Any], prefix: str) -> dict[str, Any]:
    return {
        key.removeprefix(f"{prefix}/"): arrays[key]
        for key in arrays
        if key.startswith(f"{prefix}/")
    }


def _numbers(rows: Any, shape: tuple[int | None, ...], dtype: Any) -> Any:
    """An array of this shape, in which None is any size, with finite numbers.

    Raises:
        InputError: It is none.
    """
    fits = rows.ndim == len(shape) and all(
        want is None or has == want for has, want in zip(rows.shape, shape, strict=False)
    )
    if not fits or rows.dtype.kind != "f" or not np.isfinite(rows).all():
        raise InputError(f"an array of shape {rows.shape} and {rows.dtype} is damaged")
    return np.asarray(rows, dtype)


def _side(letter: str, arrays: Mapping[str, Any], told: Mapping[str, Any]) -> Side:
    stored = StoredSet.of_arrays(arrays, str(told["source"]))
    if stored.moments is None:
        raise InputError(f"its side {letter} holds no sample")
    moments = stored.moments
    if stored.features is not None:  # those beside them may be of others
        moments = Moments.from_features(stored.features, moments.provenance)
    n, reference = moments.n, told["reference"]
    if reference is not None and reference not in REFERENCES:
        raise InputError(f"its side {letter} has the reference {reference!r}, which there is not")
    texts, kept = None, tuple(map(_position, told["kept"]))
    if told["texts"] is not None:
        own, images, source, *more = told["texts"]
        recipe, archive, *_ = [*map(_name, more), None, None]  # older packs have neither
        texts = Captions(
            tuple(map(_text, own)),
            tuple(map(_name, images)),
            _text(source),
            archive=archive,
            recipe=recipe,
        )
        ascending = all(a < b for a, b in itertools.pairwise(kept))
        if len(texts.images) != len(texts) or not ascending or len(kept) != n:
            raise InputError("its captions are not as many as their features")
        if kept and kept[-1] >= len(texts):
            raise InputError("it has features of captions that it does not have")
    elif kept:
        raise InputError("it has captions without a text")
    places = None if told["places"] is None else tuple(map(_position, told["places"]))
    if any(own is not None and len(own) != n for own in (places, stored.names)):
        raise InputError(f"the names of its side {letter} are not as many as its samples")
    return Side(
        moments,
        str(told["source"]),
        reference=reference,
        features=stored.features,
        names=stored.names,
        places=places,
        texts=texts,
        kept=kept,
        skipped=stored.skipped,
        truncated=stored.truncated,
        empty_before=stored.empty,
        contents=stored.contents,
        looks=stored.looks,
        drawn=_name(told.get("drawn")),
    )


def _position(value: Any) -> int:
    if type(value) is not int or value < 0:
        raise InputError("a position in it is none: it is damaged")
    return value


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise InputError("its captions are no text: it is damaged")
    return value


def _name(value: Any) -> str | None:
    return None if value is None else _text(value)


def _labels(value: Any, side: Side) -> list[tuple[str, ...]]:
    labels = [tuple(map(_text, own)) for own in value]
    if len(labels) != side.moments.n:
        raise InputError("it has not as many labels as images: it is damaged")
    return labels


def _seen(arrays: Mapping[str, Any], told: Mapping[str, Any], sides: Mapping[str, Side]) -> Seen:
    def rows(key: str, n: int | None) -> Any:
        return _numbers(arrays[key], (n, None), np.float32) if key in arrays else None

    apart = bool(told["apart"])
    r = rows("r", None if apart else sides["r"].moments.n)
    if "moments/mu" in arrays:
        r = Moments.of_arrays(_part(arrays, "moments"))
    contents = arrays.get("contents")
    if contents is not None and (contents.dtype != np.uint8 or contents.ndim != 2):
        raise InputError("its digests are damaged")
    return Seen(
        rows("f", sides["f"].moments.n),
        r,
        apart,
        str(told["weights"]),
        {str(key): str(value) for key, value in told["fields"].items()},
        str(told["real"]),
        contents,
        rows("l", len(sides["l"].kept)),
    )
