"""Mean and covariance of a set of features, accumulated in float64, with their origin."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cmdmetric.errors import InputError
from cmdmetric.files import blocks_of, opened, write_npz
from cmdmetric.protocol import Protocol
from cmdmetric.version import __version__

Array = NDArray[np.float64]

#: The largest feature of a set is between these: the squares of its squares stay numbers.
SMALLEST, LARGEST = 1e-70, 1e70
#: Asymmetry and negative eigenvalues up to this, relative to the largest entry, are the rounding of
#: a file that was computed in float32 (eps 1.2e-7, some hundred dimensions); beyond it, an error.
ROUNDING = 1e-5


@dataclass(frozen=True)
class Provenance:
    """How a set of features was made. Sets of different provenance never meet in one score."""

    protocol: Protocol
    #: The encoder's name, e.g. "ViT-B-32/openai".
    model: str
    #: sha256 (hex) of the weights file.
    weights: str
    #: sha256 (hex) of the architecture's configuration.
    architecture: str
    #: Arithmetic of the encoder: "fp32" or "bf16".
    dtype: str
    #: "image" or "text".
    side: str
    #: What the user named: a folder, a file, a registered name.
    source: str
    #: The cmdmetric that made it.
    version: str = __version__
    #: The tokeniser of captions ("none" of images), and the Pillow that decoded and resized images;
    #: "?" in files of releases that did not record them.
    tokeniser: str = "?"
    pillow: str = "?"

    def differences(self, other: Provenance) -> dict[str, tuple[Any, Any]]:
        """What forbids that the two sets meet in one score, with both values."""
        found = dict(self.protocol.differences(other.protocol))
        for field in ("model", "weights", "architecture", "dtype"):
            ours, theirs = getattr(self, field), getattr(other, field)
            if ours != theirs:
                found[field] = (ours, theirs)
        if "weights" not in found and "architecture" not in found:
            found.pop("model", None)  # one network under two names is one network
        ours, theirs = self.tokeniser, other.tokeniser
        if self.side == other.side == "text" and "?" not in (ours, theirs) and ours != theirs:
            found["tokeniser"] = ours, theirs
        return found

    def to_json(self) -> str:
        """One JSON object."""
        return json.dumps({**vars(self), "protocol": self.protocol.to_dict()}, sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> Provenance:
        """The inverse of `to_json`; raises ValueError or TypeError where it is not one."""
        values = json.loads(text)
        return cls(**{**values, "protocol": Protocol.from_dict(values["protocol"])})


class _Sums(NamedTuple):
    """Count, mean (d,) and scatter (d, d), the sum of (x - mean)(x - mean)^T."""

    n: int
    mean: Array
    scatter: Array

    @classmethod
    def of(cls, rows: Array) -> _Sums:
        mean = rows.mean(axis=0)
        centred = rows - mean
        return cls(len(rows), mean, centred.T @ centred)

    def __add__(self, other: _Sums) -> _Sums:  # type: ignore[override]
        """Chan, Golub and LeVeque 1979: the sums of two sets are those of their union."""
        n = self.n + other.n
        gap = other.mean - self.mean
        mean = self.mean + gap * (other.n / n)
        scatter = self.scatter + other.scatter + np.outer(gap, gap) * (self.n * other.n / n)
        return _Sums(n, mean, scatter)


class Moments:
    """Count, mean and covariance of a set of feature vectors.

    n is the number of samples, None where a file does not tell. mean is (d,), cov (d, d), both
    float64; cov is the unbiased one (divided by n - 1), as in numpy.cov.

    While a set has at most d samples their features are kept: its covariance is singular, and
    distances from the features are exact where those from the covariance round.

    >>> rng = np.random.default_rng(0)
    >>> x = rng.standard_normal((100, 3))
    >>> whole = Moments.from_features(x)
    >>> parts = Moments(3).update(x[:30]).merge(Moments.from_features(x[30:]))
    >>> bool(np.allclose(whole.cov, parts.cov, rtol=0, atol=1e-12))
    True
    """

    def __init__(self, d: int, provenance: Provenance | None = None) -> None:
        """An empty set of d-dimensional features."""
        self.d = d
        self.n: int | None = 0
        self.provenance = provenance
        self._folded: _Sums | None = None
        self._rows: list[Array] = []  # not yet folded: at most d samples
        self._settled: _Sums | None = None  # cache of everything, folded or not
        self._root: Array | None = None  # cache

    @classmethod
    def from_features(cls, features: ArrayLike, provenance: Provenance | None = None) -> Moments:
        """The moments of features (n, d), any real dtype.

        Raises:
            InputError: The features are no (n, d) array of real, finite numbers.
        """
        features = np.asanyarray(features)  # a memory map stays one
        if features.ndim != 2 or features.shape[1] == 0:
            raise InputError(f"features are an array (n, d), not of shape {features.shape}")
        moments = cls(features.shape[1], provenance)
        for block in blocks_of(features):
            moments.update(block)
        return moments

    @classmethod
    def from_statistics(
        cls,
        mean: ArrayLike,
        cov: ArrayLike,
        n: int | None = None,
        provenance: Provenance | None = None,
    ) -> Moments:
        """Moments from a mean (d,) and an unbiased covariance (d, d).

        Raises:
            InputError: The shapes do not match, values are not finite, the covariance is not
                symmetric or not positive semi-definite (beyond the rounding of float32), or n < 2.
        """
        return cls._checked(
            _float64(mean, "the mean"), _float64(cov, "the covariance"), n, provenance
        )

    @classmethod
    def _checked(
        cls, mean: Array, cov: Array, n: int | None, provenance: Provenance | None
    ) -> Moments:
        if mean.ndim != 1 or len(mean) == 0 or cov.shape != (len(mean), len(mean)):
            raise InputError(
                f"the mean has shape {mean.shape} and the covariance {cov.shape}; "
                "they must be (d,) and (d, d)"
            )
        if n is not None and n < 2:
            raise InputError(f"a covariance needs at least 2 samples, the count is {n}")
        scale = float(np.abs(cov).max())
        _refuse_extremes(float(np.sqrt(scale)), "standard deviations")
        _refuse_extremes(float(np.abs(mean).max()), "means", smallest=0.0)
        asymmetry = float(np.abs(cov - cov.T).max())
        if asymmetry > ROUNDING * scale:
            raise InputError(
                f"the covariance is not symmetric: |C - C^T| is up to {asymmetry:.3g}, "
                f"its entries are up to {scale:.3g}"
            )
        cov = (cov + cov.T) / 2
        lowest = _lowest_eigenvalue(cov, bound=-ROUNDING * scale)
        if lowest < -ROUNDING * scale:
            raise InputError(
                "the covariance is not positive semi-definite: its lowest eigenvalue is "
                f"{lowest:.3g}, its entries are up to {scale:.3g}"
            )
        moments = cls(len(mean), provenance)
        moments.n = n
        # Without a count, a scatter of "two samples" is the covariance itself.
        moments._folded = _Sums(n or 2, mean, cov * ((n or 2) - 1))
        return moments

    @classmethod
    def from_sums(
        cls, n: int, mean: Array, scatter: Array, provenance: Provenance | None = None
    ) -> Moments:
        """The inverse of `sums`, to the bit; for n > d, where no features are kept."""
        moments = cls(len(mean), provenance)
        moments.n, moments._folded = n, _Sums(n, mean, scatter)
        return moments

    @property
    def sums(self) -> tuple[int, Array, Array]:
        """Count, mean (d,) and scatter (d, d).

        Raises:
            InputError: The set is empty.
        """
        return self._sums()

    def __repr__(self) -> str:
        return f"Moments(n={self.n}, d={self.d})"

    @property
    def mean(self) -> Array:
        """(d,) float64.

        Raises:
            InputError: The set is empty.
        """
        return self._sums().mean

    @property
    def cov(self) -> Array:
        """(d, d) float64, unbiased.

        Raises:
            InputError: There are fewer than 2 samples.
        """
        sums = self._sums()
        if sums.n < 2:
            raise InputError("a covariance needs at least 2 samples, there is 1")
        return sums.scatter / (sums.n - 1)

    def update(self, features: ArrayLike) -> Moments:
        """Add features (b, d), any real dtype, in place; returns itself.

        Raises:
            InputError: The shape is another one, values are not finite or their size is beyond
                SMALLEST and LARGEST, or the set has no count.
        """
        rows = _float64(features, "the features")
        if rows.ndim != 2 or rows.shape[1] != self.d:
            raise InputError(f"features of shape {rows.shape} do not fit into a set of d={self.d}")
        self._need_count()
        if len(rows) == 0:
            return self
        _refuse_extremes(float(np.abs(rows).max()), "features")
        self.n = (self.n or 0) + len(rows)
        self._rows.append(rows.copy())
        self._changed()
        return self

    def merge(self, other: Moments) -> Moments:
        """Add another set's samples, in place; returns itself.

        Raises:
            InputError: The dimension or the provenance is another one, or a set has no count.
        """
        if other.d != self.d:
            raise InputError(f"cannot merge moments of d={other.d} into moments of d={self.d}")
        if self.provenance and other.provenance:
            refuse_differences(self.provenance, other.provenance)
        self._need_count()
        other._need_count()
        if other.n:
            self.n = (self.n or 0) + other.n
            if other._folded is not None:
                self._folded = (
                    other._folded if self._folded is None else self._folded + other._folded
                )
            self._rows.extend(other._rows)
            self._changed()
        return self

    def root(self) -> Array:
        """R (k, d) with R^T R = cov: the centred features where they are at hand (k = n <= d).

        Raises:
            InputError: There are fewer than 2 samples.
        """
        if self._root is None:
            cov = self.cov
            if self._folded is None:
                centred = np.concatenate(self._rows) - self.mean
                self._root = centred / np.sqrt(len(centred) - 1)
            else:
                self._root = _matrix_root(cov)
        return self._root

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write an .npz of `mu`, `sigma` (the keys of pytorch-fid), `n` and `provenance`, at once.

        The file appears whole or not at all.
        """
        write_npz(path, self.arrays())

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Moments:
        """Read moments: a file of `save`, of pytorch-fid, or of the released CMD evaluation.

        Nothing is unpickled.

        Raises:
            InputError: The file cannot be read or is wrong. The message names it and says what is
                wrong.
        """
        with opened(path) as arrays:
            return cls.of_arrays(arrays)

    def arrays(self) -> dict[str, Any]:
        """What `save` writes. Of one sample alone the covariance is zero."""
        cov = self.cov if self.n != 1 else np.zeros((self.d, self.d))
        contents: dict[str, Any] = {"mu": self.mean, "sigma": cov}
        if self.n is not None:
            contents["n"] = np.int64(self.n)
        if self.provenance is not None:
            contents["provenance"] = np.array(self.provenance.to_json())
        return contents

    @classmethod
    def of_arrays(cls, arrays: Mapping[str, Any]) -> Moments:
        """The inverse of `arrays`.

        Raises:
            InputError: Something is missing or wrong.
        """
        missing = [key for key in ("mu", "sigma") if key not in arrays]
        if missing:
            raise InputError(
                f"it has no {' and no '.join(missing)}; moments are an .npz with mu (d,) "
                f"and sigma (d, d), this one has {', '.join(sorted(arrays)) or 'nothing'}"
            )
        n = read_count(arrays) if "n" in arrays else None
        provenance = read_provenance(arrays["provenance"]) if "provenance" in arrays else None
        return cls.from_statistics(arrays["mu"], arrays["sigma"], n, provenance)

    def _need_count(self) -> None:
        if self.n is None:
            raise InputError("these moments carry no count, so nothing can be added to them")

    def _changed(self) -> None:
        self._settled = self._root = None
        if sum(map(len, self._rows)) > self.d:
            self._folded = self._sums()
            self._rows = []

    def _sums(self) -> _Sums:
        if self._settled is None:
            if self.n == 0:
                raise InputError("an empty set has no moments")
            sums = self._folded
            if self._rows:
                pending = _Sums.of(np.concatenate(self._rows))
                sums = pending if sums is None else sums + pending
            self._settled = sums
        assert self._settled is not None
        return self._settled


def read_provenance(stored: NDArray[Any]) -> Provenance:
    """What a file holds under `provenance`.

    Raises:
        InputError: The provenance is damaged.
    """
    try:
        return Provenance.from_json(str(stored))
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise InputError(
            f"its record of how it was made (`provenance`) is damaged: {error!r}; make it anew"
        ) from None


def read_count(arrays: Mapping[str, Any]) -> int:
    """The number of samples under `n`.

    Raises:
        InputError: It is no whole number.
    """
    stored = np.asarray(arrays["n"])
    if stored.shape != () or stored.dtype.kind not in "iu":
        raise InputError(f"its count n is no whole number: {stored.dtype} of shape {stored.shape}")
    return int(stored)


def refuse_differences(a: Provenance, b: Provenance, names: tuple[str, str] | None = None) -> None:
    """Raise InputError, naming every field, where two sets must not meet in one score.

    names are what the user calls the two; by default what they were made from.
    """
    differences = a.differences(b)
    if differences:
        x_name, y_name = names or (a.source, b.source)
        fields = "; ".join(f"{field}: {x!r} against {y!r}" for field, (x, y) in differences.items())
        raise InputError(
            f"{x_name} and {y_name} were made differently and cannot meet in one score: "
            f"{fields}. Make both under the same protocol and encoder."
        )


def _float64(values: ArrayLike, what: str) -> Array:
    values = np.asarray(values)
    if values.dtype.kind not in "fiu":
        raise InputError(f"{what} must be real numbers, not {values.dtype}")
    values = values.astype(np.float64, copy=False)
    if not np.isfinite(values).all():
        bad = int((~np.isfinite(values)).sum())
        raise InputError(
            f"{what} must be finite: {bad:,} of {values.size:,} values are NaN or infinite"
        )
    return values


def _refuse_extremes(largest: float, what: str, smallest: float = SMALLEST) -> None:
    """Raise InputError where squares of squares would be infinite, or lost below the smallest."""
    if largest > LARGEST or 0 < largest < smallest:
        raise InputError(
            f"{what} of up to {largest:.3g} are out of range: distances are made of the squares of "
            f"their squares. Rescale them, to between {SMALLEST:g} and {LARGEST:g}"
        )


def _lowest_eigenvalue(cov: Array, bound: float) -> float:
    """The lowest eigenvalue, or just `bound` where a cheap Cholesky proves it to be higher."""
    try:
        np.linalg.cholesky(cov - bound * np.eye(len(cov)))
        return bound
    except np.linalg.LinAlgError:
        return float(np.linalg.eigvalsh(cov)[0])


def _matrix_root(cov: Array) -> Array:
    try:
        return np.linalg.cholesky(cov).T
    except np.linalg.LinAlgError:  # singular: negative eigenvalues are rounding, hence zero
        values, vectors = np.linalg.eigh(cov)
        return np.sqrt(np.clip(values, 0, None))[:, None] * vectors.T
