"""A set of images or captions as one .npz: its moments, and what merging and error bars need."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cmdmetric.errors import InputError
from cmdmetric.files import opened, write_npz
from cmdmetric.inputs import Captions, ShardRecord
from cmdmetric.metrics import Moments, read_count, read_provenance


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

    @property
    def n(self) -> int | None:
        return 0 if self.moments is None else self.moments.n

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write it, whole or not at all; pytorch-fid reads its `mu` and `sigma`.

        A shard of one sample has a covariance of zero here, an empty one has neither. Raises
        InputError where it cannot be written.
        """
        contents: dict[str, Any] = {"n": np.int64(0)}
        if self.moments is not None:
            contents = self.moments.arrays()
        if self.record is not None:
            contents["shard"] = np.array(self.record.to_json())
        if self.skipped or self.truncated or self.empty:
            contents["left_out"] = _packed([self.skipped, self.truncated, self.empty])
        if self.features is not None:
            contents["features"] = np.asarray(self.features)
            if self.names is not None:
                contents["names"] = _packed(self.names)
            if self.captions is not None:
                contents["captions"] = _packed([self.captions.texts, self.captions.images])
        write_npz(path, contents)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> StoredSet:
        """Read a file of `save`, or of moments or features alone.

        Nothing is unpickled. Raises InputError naming the file and what is wrong with it.
        """
        with opened(path) as arrays:
            return cls.of_arrays(arrays, str(path))

    @classmethod
    def of_arrays(cls, arrays: Mapping[str, Any], source: str) -> StoredSet:
        """The inverse of `save`; source is what the captions are called.

        Raises InputError where something is missing or does not fit together.
        """
        record = ShardRecord.from_json(str(arrays["shard"])) if "shard" in arrays else None
        features = arrays.get("features")
        moments = _moments(arrays, features)
        names = _unpacked(arrays, "names")
        texts, images = _unpacked(arrays, "captions") or (None, None)
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
            None if texts is None else Captions(tuple(texts), tuple(images or ()), source),
            tuple((name, reason) for name, reason in skipped),
            int(truncated),
            int(more[0]) if more else 0,
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


def _packed(value: Any) -> NDArray[np.bytes_]:
    return np.array(json.dumps(value).encode())


def _unpacked(arrays: Mapping[str, Any], key: str) -> Any:
    return json.loads(arrays[key].item()) if key in arrays else None
