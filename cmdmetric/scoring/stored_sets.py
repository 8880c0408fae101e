"""A set of images or captions as one .npz: its moments, and what merging and error bars need."""

from __future__ import annotations

import difflib
import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from cmdmetric.errors import InputError
from cmdmetric.features import Contents, Looks, digests_of, digests_of_rows, summed
from cmdmetric.files import load, missing, opened, reading, remote, write_npz
from cmdmetric.inputs import Captions, ShardRecord, refuse_pickled
from cmdmetric.metrics import Moments, read_count, read_provenance
from cmdmetric.scoring.references import REFERENCES, load_reference
from cmdmetric.scoring.side import Side, Source

#: What may be meant as the name of a reference, and is no path or pattern.
_NAME = re.compile(r"[\w-]+")


@dataclass(frozen=True)
class StoredSet:
    """What a file holds of a set, or of one shard of it."""

    #: None where the shard is empty.
    moments: Moments | None
    #: Which shard it is; None for a whole set.
    record: ShardRecord | None = None
    #: (n, d), where they were kept; the names and captions say what they are of.
    features: NDArray[Any] | None = None
    #: Of images: their names, in order.
    names: tuple[str, ...] | None = None
    #: Of captions: those that the features are of.
    captions: Captions | None = None
    #: Images that could not be decoded (name, reason); captions that were cut.
    skipped: tuple[tuple[str, str], ...] = ()
    truncated: int = 0
    #: Captions without a word, which were left out.
    empty: int = 0
    #: Digests of the samples as in `Side.contents`; None in files of releases that had none.
    contents: Contents | None = None
    #: How the images look, as in `Side.looks`.
    looks: Looks | None = None

    @property
    def n(self) -> int | None:
        """The number of samples; None where it is not known."""
        return 0 if self.moments is None else self.moments.n

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write it, whole or not at all; pytorch-fid reads its `mu` and `sigma`.

        A shard of one sample has a covariance of zero here, an empty one has neither.

        Raises:
            InputError: It cannot be written.
        """
        write_npz(path, self.arrays())

    def arrays(self) -> dict[str, Any]:
        """Give what `save` writes, by the names of the arrays."""
        contents: dict[str, Any] = {"n": np.int64(0)}
        if self.moments is not None:
            contents = self.moments.arrays()
        if self.record is not None:
            contents["shard"] = np.array(self.record.to_json())
        if self.skipped or self.truncated or self.empty:
            contents["left_out"] = _packed([self.skipped, self.truncated, self.empty])
        if self.contents is not None:
            whole = self.features is None
            contents["contents"] = summed(self.contents) if whole else self.contents
        if self.looks is not None:
            contents["looks"] = self.looks
        if self.features is not None:
            contents["features"] = np.asarray(self.features)
            if self.names is not None:
                contents["names"] = _packed(self.names)
            if self.captions is not None:
                own = self.captions
                contents["captions"] = _packed([own.texts, own.images, own.fields])
        return contents

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> StoredSet:
        """Read a file of `save`, or of moments or features alone.

        Nothing is unpickled.

        Raises:
            InputError: It cannot be read; the message names the file and what is wrong with it.
        """
        with opened(path) as arrays:
            return cls.of_arrays(arrays, str(path))

    @classmethod
    def of_arrays(cls, arrays: Mapping[str, Any], source: str) -> StoredSet:
        """Make of arrays what `save` has written as such.

        Args:
            arrays: The contents of a file.
            source: What the captions are called.

        Raises:
            InputError: Something is missing or does not fit together.
        """
        record = ShardRecord.from_json(str(arrays["shard"])) if "shard" in arrays else None
        features = arrays.get("features")
        moments = _moments(arrays, features)
        names = _unpacked(arrays, "names")
        # Files of earlier releases have no fields.
        texts, images, *rest = _unpacked(arrays, "captions") or (None, None)
        fields = _fields(rest[0] if rest else {}, len(texts or ()))
        skipped, truncated, *more = _unpacked(arrays, "left_out") or ((), 0)
        for values in (names, texts, images):
            if values is not None and (features is None or len(values) != len(features)):
                raise InputError("its names or captions are not as many as its features")
            if not all(isinstance(value, str) or value is None for value in values or ()):
                raise InputError("its names or captions are no text: it is damaged")
        return cls(
            moments,
            record,
            features,
            None if names is None else tuple(names),
            None
            if texts is None
            else Captions(tuple(texts), tuple(images or ()), source, fields=fields),
            tuple((name, reason) for name, reason in skipped),
            int(truncated),
            int(more[0]) if more else 0,
            _contents(arrays, moments.n if moments else 0),
            _looks(arrays),
        )


def _moments(arrays: Mapping[str, Any], features: NDArray[Any] | None) -> Moments | None:
    count = read_count(arrays) if "n" in arrays else None
    if count == 0:
        return None
    rows = features
    if "mu" in arrays and count == 1:
        if np.asarray(arrays["sigma"]).any():
            raise InputError("a covariance needs at least 2 samples, the count is 1")
        rows = np.asarray(arrays["mu"])[None]
    if rows is not None and ("mu" not in arrays or len(rows) <= rows.shape[1]):
        # Few samples: distances are exact from them, and round from their singular covariance.
        provenance = read_provenance(arrays["provenance"]) if "provenance" in arrays else None
        moments = Moments.from_features(rows, provenance)
    else:
        moments = Moments.of_arrays(arrays)
    if features is not None and len(features) != moments.n:
        raise InputError(f"it counts {moments.n} samples and holds {len(features)} features")
    return moments


def _contents(arrays: Mapping[str, Any], n: int | None) -> Contents | None:
    contents = arrays.get("contents")
    if contents is None:
        return None
    if contents.dtype != np.uint8 or contents.ndim != 2 or len(contents) not in (n, 1):
        raise InputError("its digests (`contents`) are not as many as its samples: it is damaged")
    return contents


def _fields(fields: Any, count: int) -> dict[str, tuple[Any, ...]]:
    """The fields of captions as `Captions.fields`; lists of texts were tuples."""
    if not isinstance(fields, dict) or any(
        not isinstance(own, list) or len(own) != count for own in fields.values()
    ):
        raise InputError("the fields of its captions are not as many as its captions")
    return {
        name: tuple(tuple(value) if isinstance(value, list) else value for value in own)
        for name, own in fields.items()
    }


def _looks(arrays: Mapping[str, Any]) -> Looks | None:
    looks = arrays.get("looks")
    if looks is not None and (looks.dtype != np.uint16 or looks.shape[1:] != (4,)):
        raise InputError("its record of how images look (`looks`) is damaged")
    return looks


def _packed(value: Any) -> NDArray[np.bytes_]:
    return np.array(json.dumps(value).encode())


def _unpacked(arrays: Mapping[str, Any], key: str) -> Any:
    return json.loads(arrays[key].item()) if key in arrays else None


def read_stored(source: Source, side: Literal["image", "text"]) -> Side | None:
    """Read what needs no encoder.

    Args:
        source: Moments, an .npz of moments (`mu`, `sigma`), features as a float array (n, d), as
            .npy, or as .npz under the key `features`, or the name of a reference. Features are
            taken as they are: scaled as the protocol says.
        side: What it is to hold.

    Returns:
        Its side; None for images and captions, which an encoder has to look at.

    Raises:
        InputError: A file is damaged, or holds the other kind of features; or nothing is there, and
            a reference has a name like that.
    """
    if isinstance(source, Moments):
        return Side(source, "moments in memory", contents=digest_of_moments(source))
    if isinstance(source, np.ndarray):
        if source.ndim == 2 and source.dtype.kind == "f":
            return _of_features(source, "features in memory")
        return None
    if not isinstance(source, (str, os.PathLike)):
        return None
    refuse_pickled(source)
    name = remote.local(os.fspath(source))
    if name in REFERENCES and not os.path.exists(name):
        return Side(load_reference(name, side), name, reference=name)
    near = difflib.get_close_matches(name.lower(), REFERENCES, n=1, cutoff=0.5)
    if near and _NAME.fullmatch(name) and not os.path.exists(name):
        raise missing(name, f"The reference is called {near[0]}.")
    if Path(name).suffix.lower() not in (".npz", ".npy"):
        return None
    if not remote.is_url(name) and not os.path.isfile(name):
        return None
    stored = _read_numpy(name)
    made = stored and stored.moments.provenance
    if made and made.side != side:
        raise InputError(
            f"{name} holds moments of {made.side} features where {side} features belong: "
            "are two arguments swapped?"
        )
    return stored


def _read_numpy(path: str) -> Side | None:
    """Moments or features of a numpy file; None where it holds something else (images)."""
    with reading(path, "numpy file"):
        loaded = load(path)
        if isinstance(loaded, np.ndarray):
            if loaded.ndim != 2 or loaded.dtype.kind != "f":
                return None
            return _of_features(loaded, path)
        with loaded:
            if not {"mu", "sigma", "shard"} & set(loaded) and not _has_features(loaded):
                return None
            stored = StoredSet.of_arrays(loaded, path)
    if stored.record is not None and stored.record.shard.count > 1:
        shard = stored.record.shard
        raise InputError(
            f"{path} is shard {shard} of a set and no set of its own: put all {shard.count} "
            "together first (cmdmetric merge)"
        )
    if stored.moments is None or stored.n == 0:
        raise InputError(f"{path} holds no sample")
    contents = stored.contents
    if contents is None and stored.features is not None:
        contents = digests_of_rows(stored.features)
    if contents is None:
        contents = digest_of_moments(stored.moments)
    return Side(
        stored.moments,
        path,
        features=stored.features,
        names=stored.names,
        texts=stored.captions,
        kept=tuple(range(len(stored.captions))) if stored.captions else (),
        skipped=stored.skipped,
        truncated=stored.truncated,
        empty_before=stored.empty,
        contents=contents,
        looks=stored.looks,
    )


def _of_features(features: NDArray[Any], source: str) -> Side:
    if not len(features):
        raise InputError("the features are of no sample")
    made = Moments.from_features(features)
    return Side(made, source, features=features, contents=digests_of_rows(features))


def digest_of_moments(moments: Moments) -> Contents:
    """What moments alone are known by: themselves."""
    return digests_of([moments.mean.astype("<f8").tobytes() + moments.cov.astype("<f8").tobytes()])


def _has_features(arrays: Mapping[str, NDArray[Any]]) -> bool:
    features = arrays.get("features")
    return features is not None and features.ndim == 2 and features.dtype.kind == "f"
