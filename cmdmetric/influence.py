"""How much each sample moves the distances: the influence function of the Fréchet distance."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cmdmetric.errors import InputError
from cmdmetric.feature_rows import release
from cmdmetric.frechet import frechet_distance
from cmdmetric.metrics import CrossModelDistance
from cmdmetric.moments import Moments
from cmdmetric.pairing import Pairing

Array = NDArray[np.float64]

#: Rows of features that are transformed at once: keeps the temporary in the processor's cache.
_ROWS = 2048
#: Columns of a quadratic form that are applied at once.
_COLUMNS = 128
#: Error of a sample's influence, in standard deviations of influences, that changes no error bar.
ENOUGH = 1e-4


@dataclass(frozen=True, eq=False)
class Sample:
    """One side whose features are at hand.

    Args:
        features: (n, d), any real dtype.
        groups: (n,) integers or strings, or None. What has the same group, on this side or another,
            was drawn together: an image and its captions, the captions of one image, the images
            that two models made of one caption. Without groups every sample is a draw of its own.
        moments: those of the features, where they are already there.

    Raises InputError for features that are no (n, d) array of at least 2 finite samples, and for
    groups of another length.
    """

    features: NDArray[Any]
    groups: NDArray[Any] | None = None
    moments: Moments = None  # type: ignore[assignment]  # filled below

    def __post_init__(self) -> None:
        features = np.asanyarray(self.features)  # a memory map stays one
        moments = Moments.from_features(features) if self.moments is None else self.moments
        if features.shape != (moments.n, moments.d):
            raise InputError(f"features of shape {features.shape} do not belong to {moments}")
        if len(features) < 2:
            raise InputError("an error bar needs at least 2 samples, there is 1")
        if self.groups is not None:
            groups = np.asarray(self.groups)
            if groups.shape != (len(features),):
                raise InputError(
                    f"{len(features)} samples need as many groups, not shape {groups.shape}"
                )
            object.__setattr__(self, "groups", groups)
        object.__setattr__(self, "features", features)
        object.__setattr__(self, "moments", moments)


#: A side as a user has it: features (n, d), with groups if known, or no more than moments.
SideLike: TypeAlias = Sample | Moments | ArrayLike


class Sides(NamedTuple):
    """The three sides, those with features as Sample: f generated, r real, l captions."""

    f: Sample | Moments
    r: Sample | Moments
    l: Sample | Moments  # noqa: E741

    @classmethod
    def of(cls, f: SideLike, r: SideLike, l: SideLike) -> Sides:  # noqa: E741
        """From what a user has. Raises InputError where no side has its features."""
        sides = cls(
            *(s if isinstance(s, (Sample, Moments)) else Sample(np.asarray(s)) for s in (f, r, l))
        )
        if not sides.samples:
            raise InputError(
                "an error bar needs the features of at least one side, there are only moments"
            )
        if len({moments.d for moments in sides.moments}) > 1:
            raise InputError(f"the sides have different dimensions: {sides.moments}")
        return sides

    @property
    def moments(self) -> tuple[Moments, Moments, Moments]:
        f, r, l = (s.moments if isinstance(s, Sample) else s for s in self)  # noqa: E741
        return f, r, l

    @property
    def samples(self) -> dict[str, Sample]:
        """The sides whose features are at hand, by their names "f", "r", "l"."""
        return {
            name: side
            for name, side in zip(self._fields, self, strict=True)
            if isinstance(side, Sample)
        }


def groups_of_pairing(
    pairing: Pairing, n_captions: int
) -> tuple[NDArray[np.int_], NDArray[np.int_]]:
    """The groups (n_images,) and (n_captions,) of images and captions that were paired by name.

    An image and its captions are one group; so are several images made of the same captions.
    """
    captions = np.arange(n_captions)
    images = -1 - np.arange(len(pairing.caption_of))  # unpaired: each a group of its own
    for image, own in enumerate(pairing.caption_of):
        if own:
            images[image] = captions[list(own)] = own[0]
    return images, captions


def units(samples: list[Sample]) -> tuple[list[NDArray[np.intp]], int]:
    """Which independent draw every sample of every side belongs to, and how many there are."""
    named = [sample.groups for sample in samples if sample.groups is not None]
    labels, codes = np.unique(np.concatenate(named), return_inverse=True) if named else ((), None)
    count, seen, found = len(labels), 0, []
    for sample in samples:
        n = len(sample.features)
        if sample.groups is None:
            found.append(np.arange(count, count + n))
            count += n
        else:
            assert codes is not None
            found.append(codes[seen : seen + n])
            seen += n
    return found, count


@dataclass(frozen=True, eq=False)
class Influences:
    """The influence of each sample on the three distances, for the sides with features.

    of: by side "f", "r", "l" an array (n, 3), columns Dis(f,r), Dis(f,l), Dis(r,l). Each column
    has mean zero; leaving sample k out lowers the distance by about of[side][k] / n.
    """

    distances: CrossModelDistance
    of: dict[str, Array]
    #: (3,) by distance, the variance of the second-order term under Gaussian noise.
    second_order: Array
    #: (3,) by distance, the finite-sample excess to second order, of all sides with features.
    bias: Array

    def cmd(self, side: str = "f") -> Array:
        """(n,) influence on CMD of each sample of a side; the largest are the worst samples.

        Raises InputError for a side without features.
        """
        if side not in self.of:
            raise InputError(f"the features of side {side} are not at hand")
        return self.of[side] @ cmd_weights(self.distances.dis_fl - self.distances.dis_rl)


def cmd_weights(signed_itdis: float) -> Array:
    """(3,) the derivative of CMD = Dis(f,r) + |Dis(f,l) - Dis(r,l)| by the three distances."""
    sign = 1.0 if signed_itdis >= 0 else -1.0
    return np.array([1.0, sign, -sign])


class _Gaussian(NamedTuple):
    """mean (d,), root R (k, d) with R^T R = cov, and its pseudo-inverse, transposed (k, d)."""

    mean: Array
    root: Array
    inverse: Array

    @classmethod
    def of(cls, moments: Moments) -> _Gaussian:
        values, vectors = np.linalg.eigh(moments.cov)
        kept = values > values[-1] * len(values) * np.finfo(np.float64).eps
        if not kept.any():  # a collapsed set: no direction in which anything could be moved
            kept[-1:], values = True, np.maximum(values, np.finfo(np.float64).tiny)
        root = np.sqrt(values[kept])[:, None]
        return cls(moments.mean, root * vectors.T[kept], vectors.T[kept] / root)


def influences(f: SideLike, r: SideLike, l: SideLike) -> Influences:  # noqa: E741
    """The influence of every sample at hand on Dis(f,r), Dis(f,l) and Dis(r,l).

    The derivative of Dis(a, b) by mean_a is 2 (mean_a - mean_b) and by cov_a it is I - T, where T
    is the optimal transport map from N_a to N_b (T cov_a T = cov_b). A sample x = mean_a + y thus
    has the influence 2 y.(mean_a - mean_b) + n / (n - 1) y.(I - T) y, less its mean over the set.

    With R_a R_b^T = U S V^T, the decomposition that the distance itself is made of, y.T y is
    |S^(1/2) U^T R_a^(-T) y|^2. Where cov_a is singular (n <= d) the inverse is the pseudo-inverse:
    y lies in the span of R_a, so this is still the exact derivative by the weight of a sample.

    f, r, l are Sample, features (n, d) or Moments; only the first two have influences. Raises
    InputError where no side has features or the dimensions differ.
    """
    sides = Sides.of(f, r, l)
    moments = dict(zip("frl", sides.moments, strict=True))
    gaussians = {name: _Gaussian.of(m) for name, m in moments.items()}
    samples = sides.samples
    units_of, _ = units(list(samples.values()))
    counts = {n: len(np.unique(u)) for n, u in zip(samples, units_of, strict=True)}
    of = {name: np.zeros((len(sample.features), 3)) for name, sample in samples.items()}
    distances, noise, bias = np.zeros(3), np.zeros(3), np.zeros(3)
    for column, (a, b) in enumerate((("f", "r"), ("f", "l"), ("r", "l"))):
        if a not in samples and b not in samples:
            distances[column] = frechet_distance(moments[a], moments[b])
            continue
        one, two = gaussians[a], gaussians[b]
        gap = one.mean - two.mean
        left, s, right = np.linalg.svd(one.root @ two.root.T, full_matrices=False)
        traces = np.sum(one.root**2) + np.sum(two.root**2)
        distances[column] = max(0.0, gap @ gap + traces - 2 * s.sum())
        for name, this, basis, sign in ((a, one, left.T, 1), (b, two, right, -1)):
            if name in samples:
                half = np.sqrt(s)[:, None] * (basis @ this.inverse)
                of[name][:, column] = _influence(samples[name], half, sign * gap)
                n = len(samples[name].features)
                bias[column] += np.sum(this.root**2) / n + curvature(s) / (n - 1)
        noise[column] = _second_order(one, two, s, counts.get(a), counts.get(b))
    return Influences(CrossModelDistance(*distances.tolist()), of, noise, bias)


def _influence(sample: Sample, half: Array, gap: Array) -> Array:
    """(n,) 2 y.gap + n / (n - 1) (|y|^2 - |half y|^2), centred."""
    n = len(sample.features)
    form = np.eye(half.shape[1]) - half.T @ half
    found = np.empty(n)
    for start in range(0, n, _ROWS):
        rows = sample.features[start : start + _ROWS] - sample.moments.mean
        excess = quadratic(rows.astype(form.dtype, copy=False), form)
        found[start : start + _ROWS] = 2 * rows @ gap + excess * (n / (n - 1))
        if start == 0 and n > _ROWS:  # float32 is twice as fast; is it enough for the others?
            with np.errstate(over="ignore", invalid="ignore"):
                rough = quadratic(rows.astype(np.float32), form.astype(np.float32))
                if np.abs(rough - excess).max() < ENOUGH * found[:_ROWS].std():
                    form = form.astype(np.float32)
        release(sample.features)
    return found - found.mean()


def quadratic(rows: NDArray[Any], form: NDArray[Any]) -> NDArray[Any]:
    """(n,) y.A y of rows y (n, d) and a symmetric form A (d, d), both of one type.

    By blocks of columns, of which those left of the diagonal count twice and those right of it are
    not computed: that is nearly half of the products.
    """
    found = np.zeros(len(rows), rows.dtype)
    for start in range(0, len(form), _COLUMNS):
        block = slice(start, start + _COLUMNS)
        moved = rows[:, :start] @ (2 * form[:start, block]) + rows[:, block] @ form[block, block]
        found += np.einsum("ij,ij->i", moved, rows[:, block])
    return found


def curvature(s: Array) -> float:
    """Half the trace of the Hessian of -2 Tr (cov_a cov_b)^(1/2) times Gaussian noise of cov_a.

    s (m,) are the singular values of R_a R_b^T. In the basis where cov_b^(1/2) cov_a cov_b^(1/2)
    is diagonal, noise H of that matrix adds 1/2 sum_ij H_ij^2 / (s_i s_j (s_i + s_j)) to the
    distance, and (n - 1) E H_ij^2 = s_i^2 s_j^2 (1 + [i = j]). By symmetry it is the same for b.
    """
    return float(_harmonic(s).sum() / 2 + s.sum() / 4)


def _harmonic(s: Array) -> Array:
    """(m, m) s_i s_j / (s_i + s_j)."""
    return np.outer(s, s) / np.maximum(s[:, None] + s, np.finfo(np.float64).tiny)


def _second_order(a: _Gaussian, b: _Gaussian, s: Array, n_a: int | None, n_b: int | None) -> float:
    """The variance of the distance's second-order term under Gaussian noise of the moments.

    That is all the variance there is where the two sets are draws of one distribution.
    """
    per_a, per_b = 1 / n_a if n_a else 0.0, 1 / n_b if n_b else 0.0
    covs = per_a * np.sum((a.root @ a.root.T) ** 2) * per_a
    covs += 2 * per_a * per_b * np.sum(s**2) + per_b * np.sum((b.root @ b.root.T) ** 2) * per_b
    curved = np.sum(_harmonic(s) ** 2) + np.sum(s**2) / 4
    return float(2 * covs + curved * (per_a + per_b) ** 2)
