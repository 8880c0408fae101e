"""The data of a report, computed from a score and its three sides."""

from __future__ import annotations

import platform
from collections.abc import Mapping, Sequence
from importlib import metadata
from typing import Any

import numpy as np
from scipy import linalg

from cmdmetric import published
from cmdmetric.cache import FeatureCache, remembered
from cmdmetric.metrics import CrossModelDistance, Moments
from cmdmetric.preflight import Finding, by_severity
from cmdmetric.report.data import Example, Published, ReportData, Spectrum
from cmdmetric.report.hashes import content_hash
from cmdmetric.report.projection import scale
from cmdmetric.report.samples import clouds, copy_pairs, examples_of
from cmdmetric.report.similarity import similarity as similarity_of, why_unpaired
from cmdmetric.scoring import CMDScore, Copies, Side, as_samples, identity_of, shares_of_images
from cmdmetric.uncertainty import LEAST, Sample, SideLike, Step, growth

NAMES = {"f": "generated images", "r": "real images", "l": "captions"}


def gather(
    score: CMDScore,
    f: Side,
    r: Side,
    l: Side,
    *,
    command: str = "",
    findings: Sequence[Finding] = (),
    seed: int = 0,
    copies: Copies | None = None,
    of_real: Mapping[str, float] | None = None,
    cache: FeatureCache | None = None,
) -> ReportData:
    """The data of a report on three sides and their score.

    command: how it was called. findings: of a preflight check. seed: of the samples that are shown.
    copies: what is known of copies of training images. of_real: what real images score in place of
    the generated ones, by the numbers' names. cache: where what takes long is looked up and kept.
    """
    sides = {"f": f, "r": r, "l": l}
    missing: dict[str, str] = {}
    bare = [NAMES[key] for key, side in sides.items() if not side.has_features]
    if bare:
        missing["features"] = f"Of the {' and '.join(bare)} only moments were given."
    (of_f, of_r), of_l = as_samples([f, r], l)
    samples: dict[str, SideLike] = {"f": of_f, "r": of_r, "l": of_l}
    similarity = similarity_of(f, r, l)
    if similarity is None:
        missing["similarity"] = why_unpaired(f, l)
    known = [] if cache is None else [identity_of(side) for side in sides.values()]
    steps: tuple[Step, ...] = ()
    if len(bare) < 3:
        steps = _growth(samples, seed, known, cache)
    if len(steps) < 2:
        missing["growth"] = (
            f"It takes the features of at least one side, of {2 * LEAST} independent draws or more."
        )
    examples: tuple[Example, ...] = ()
    if not f.has_features:
        missing["examples"] = "The generated side is moments: which image did what is not in them."
    else:
        by = None if score.slices is None else score.slices.by

        def compute() -> dict[str, Any]:
            return {"shares": shares_of_images(f, r, l).tolist()}

        shares = np.array(remembered(cache, "shares of images", known, compute)["shares"])
        examples = examples_of(f, r, l, shares, similarity, by)
    return ReportData(
        score=score,
        published=comparable(score),
        clouds=clouds(sides, samples, seed),
        spectrum=spectrum(f.moments, r.moments, l.moments),
        growth=steps,
        similarity=similarity,
        examples=examples,
        findings=_findings(score, findings),
        command=command,
        versions=versions(),
        hashes=_hashes(score, sides, cache),
        copies=() if copies is None else copy_pairs(copies, f),
        of_real=of_real or {},
        missing=missing,
    )


def _growth(
    samples: Mapping[str, SideLike],
    seed: int,
    known: list[bytes | None],
    cache: FeatureCache | None,
) -> tuple[Step, ...]:
    """Give `growth` of the samples, whose sides are known by that, from the cache where it is."""

    def compute() -> dict[str, Any]:
        steps = growth(samples["f"], samples["r"], samples["l"], seed=seed)
        return {"n": [step.n for step in steps], "distances": [step.distances for step in steps]}

    groups = (x.groups if isinstance(x, Sample) else None for x in samples.values())
    drawn = [b"" if of is None else of.tobytes() for of in groups]
    sources = [b"%d" % seed, *known, *drawn]
    found = remembered(cache, "growth", sources, compute)
    return tuple(
        Step(n, tuple(CrossModelDistance(*each) for each in distances))
        for n, distances in zip(found["n"], found["distances"], strict=True)
    )


def comparable(score: CMDScore) -> tuple[Published, ...]:
    """The published scores of the same protocol, encoder and reference, best first."""
    return published_of(score.protocol, score.model, score.real, score.signature)


def published_of(
    protocol: str | None, model: str | None, real: str, signature: str
) -> tuple[Published, ...]:
    """The published scores of a setting, best first; none where nothing was published of it.

    A system that several tables have counts once, by the first of them.
    """
    # A reference stands in the signature by its name, a folder of that name by its number.
    setting = (protocol, model, real if f"|r:{real}|" in signature else None)
    found = [
        Published(row.name, table.number, row.values["cmd"], row.values.get("itdis"))
        for table in published.tables()
        for row in table.rows
        if (of := table.setting) is not None
        and "cmd" in row.values
        and row.same_as is None
        and (of.protocol, of.model, of.reference) == setting
    ]
    return tuple(sorted(found, key=lambda each: each.cmd))


def spectrum(f: Moments, r: Moments, l: Moments) -> Spectrum:
    """The eigenvalues of the covariances, and how much of the real variance is generated."""
    values = {}
    for name, moments in (("f", f), ("l", l)):
        values[name] = linalg.eigvalsh(moments.cov)[::-1] / (scale(moments) ** 2 or 1.0)
    of_r, axes = linalg.eigh(r.cov)
    of_r, axes = of_r[::-1], axes[:, ::-1]
    along = np.einsum("di,de,ei->i", axes, f.cov, axes)
    rank = len(of_r) if r.n is None else min(len(of_r), r.n - 1)
    there = np.arange(len(of_r)) < rank
    there &= of_r > 1e-9 * of_r[0]
    ratio = along[there] / of_r[there] * (scale(r) / (scale(f) or 1.0)) ** 2
    of_r = of_r / (scale(r) ** 2 or 1.0)
    return Spectrum(
        np.clip(values["f"], 0, None), np.clip(of_r, 0, None), np.clip(values["l"], 0, None), ratio
    )


def _findings(score: CMDScore, found: Sequence[Finding]) -> tuple[Finding, ...]:
    """Those of the check before the score, and what only the score could tell."""
    # Both begin alike where they tell the same.
    told = {each.message.partition(":")[0] for each in found}
    notes = [
        # What has been left out for want of weights tells nothing of the images.
        Finding("note" if " left out: the weights" in note else "warning", "score", "score", note)
        for note in score.warnings
        if note.partition(":")[0] not in told
    ]
    return by_severity([*notes, *found])


def versions() -> dict[str, str]:
    """Of Python and of the libraries that a number may depend on."""
    found = {"Python": platform.python_version(), "platform": platform.platform(terse=True)}
    for name in ("cmdmetric", "torch", "open_clip_torch", "numpy", "scipy", "pillow"):
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def _hashes(
    score: CMDScore, sides: Mapping[str, Side], cache: FeatureCache | None
) -> dict[str, str]:
    """sha256 of what the score was made of."""
    found = {}
    if score.weights:
        found["weights of the encoder"] = score.weights
    for key, side in sides.items():
        digest = content_hash(side, cache)
        if digest:
            found[NAMES[key]] = digest
    return found
