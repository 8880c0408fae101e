"""Generators scored together: one model load, one real side, every image decoded once."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from cmdmetric.cache import FeatureCache
from cmdmetric.errors import InputError
from cmdmetric.inputs import ImageScores, ImageSet, captions_along
from cmdmetric.scoring.detail.copies import Copies, copies_of
from cmdmetric.scoring.detail.slices import Labels, check_by, slices_of
from cmdmetric.scoring.encoding import Encoding
from cmdmetric.scoring.family.catalogue import share_a_pass
from cmdmetric.scoring.family.computed import family_of
from cmdmetric.scoring.family.metric import Given, Metric, Seen
from cmdmetric.scoring.family.scores import metrics_of_scores
from cmdmetric.scoring.family.wanted import Wanted
from cmdmetric.scoring.grouping import drawn_together, pairing_of, with_places
from cmdmetric.scoring.networks import Networks, with_generated
from cmdmetric.scoring.opening import Opened, open_image_side, open_sides
from cmdmetric.scoring.result import CMDScore
from cmdmetric.scoring.side import Side, Source
from cmdmetric.scoring.signature import Signature, fields_of_network, fields_of_scores
from cmdmetric.scoring.statistics import common_provenance, score_of
from cmdmetric.scoring.subsets import drawn_of
from cmdmetric.uncertainty import Groups, Measured

#: No metric beside CMD.
NOTHING = Wanted()


@dataclass(frozen=True, eq=False)
class Scored:
    """A score and the three sides that it is of."""

    score: CMDScore
    f: Side
    r: Side
    l: Side
    #: What the sides were made of; None where a score was made of sides that were there already.
    opened: Opened | None = None
    #: The metrics that the family's numbers are of.
    metrics: tuple[Metric, ...] = ()
    #: The family's numbers with what samples do to them, where several generators are scored.
    measured: Mapping[str, Measured] = field(default_factory=dict)
    #: What networks beside CLIP make of the images, by the networks' names.
    seen: Mapping[str, Seen] = field(default_factory=dict)
    #: What the family's numbers are made of, where several generators are scored.
    given: Given | None = None
    #: What was found of copies of training images, where these were given.
    copies: Copies | None = None
    #: Captions of the real images, where the score's are of the generated ones only.
    real_captions: Side | None = None
    #: Which metrics are left out because their networks cannot be had, and why.
    notes: tuple[str, ...] = ()
    #: The labels of the images, where the score is told by slices.
    labels: Labels | None = None

    @property
    def sides(self) -> tuple[Side, Side, Side]:
        """Generated images, real images, captions."""
        return self.f, self.r, self.l


def scored(
    generated: Sequence[Source],
    captions: Source | None,
    real: Source | None,
    encoding: Encoding,
    wanted: Wanted = NOTHING,
    networks: Networks | None = None,
) -> list[Scored]:
    """Score several generators against the same captions and real images.

    Without captions, those that come along with the first generator's images count.

    Args:
        generated: The images of each generator.
        captions: The captions.
        real: The real images.
        encoding: How images and captions are encoded.
        wanted: What is wanted beside CMD.
        networks: The networks of what is wanted, where they have been built; by default they are
            built here.

    Raises:
        InputError: Anything is wrong with the inputs, or a metric that is named lacks what it
            needs.
    """
    if wanted.scores and len(wanted.scores) != len(generated):
        raise InputError(
            f"scores were given of {len(wanted.scores)} generators, and {len(generated)} are "
            "scored: give one file of scores for each, in their order"
        )
    with encoding:
        opened_f, opened_r, opened_l = open_sides(generated, captions, real, encoding.columns)
        for opened, scores in zip(opened_f, wanted.scores, strict=False):
            if isinstance(opened, ImageSet) and opened.names is not None:
                scores.of(opened.names)  # what does not fit is told before the work
        if wanted.by is not None and not isinstance(opened_l, ImageSet):
            check_by(wanted.by, opened_l.texts if isinstance(opened_l, Side) else opened_l)
        opened_train = None
        if wanted.train is not None:
            opened_train = open_image_side(wanted.train, encoding.columns)
        if wanted.subset is not None:
            opened_f[:], opened_l = drawn_of(opened_f, opened_l, wanted.subset)
        networks = networks or Networks.of(wanted, encoding)
        f, rows = zip(*(networks.encoded(opened, encoding) for opened in opened_f), strict=True)
        r, seen = networks.encoded_real(opened_r, encoding)
        if isinstance(opened_l, ImageSet):  # its images have been read, and its captions are known
            opened_l = captions_along(opened_l)
        l = encoding.side(opened_l)
        seen = networks.with_captions(seen, l, encoding)
        train = None if opened_train is None else encoding.side(opened_train)
    if l.texts is not None:
        f = tuple(with_places(side, l.texts) for side in f)
        if _is_one(real, captions) or r.source == l.texts.archive:
            r = with_places(r, l.texts)
    if wanted.scores:
        f = tuple(map(_with_scores, f, wanted.scores))
    found = [
        Scored(
            score_of(side, r, l, encoding.cache), side, r, l,
            opened=(opened, opened_r, opened_l), seen=with_generated(seen, of_f),
        )
        for side, opened, of_f in zip(f, opened_f, rows, strict=True)
    ]  # fmt: skip
    keep = len(found) > 1 or wanted.by is not None or wanted.each
    found = [
        with_family(
            each,
            networks,
            more=metrics_of_scores(each.f.scores, wanted.better),
            cache=encoding.cache,
            keep=keep,
        )
        for each in found
    ]
    return [_with_detail(each, wanted.by, train) for each in found]


def _with_scores(f: Side, scores: ImageScores) -> Side:
    """Join numbers of single images with the generated images, by their names."""
    if f.names is None:
        raise InputError(
            f"{f.source} holds no names of images, by which {scores.source} would be joined"
        )
    undrawn = () if f.images is None else f.images.undrawn
    return replace(f, scores=scores.of(f.names, [*(name for name, _ in f.skipped), *undrawn]))


def _with_detail(found: Scored, by: str | Path | None, train: Side | None) -> Scored:
    """Add what is told of slices and of copies, where that is wanted."""
    if by is not None:
        found = with_slices(found, Labels.of(by, *found.sides))
    if train is None:
        return found
    common_provenance(found.f, train)
    copies = copies_of(found.f, found.r, train, _groups(found), found.score.signature)
    return replace(found, score=replace(found.score, memorisation=copies.told), copies=copies)


def with_slices(found: Scored, labels: Labels) -> Scored:
    """Tell a score by slices, with the numbers of the family that were kept (`with_family`).

    Raises:
        InputError: No image has a label, or there are too many labels.
    """
    slices = slices_of(labels, *found.sides, found.measured, _groups(found))
    return replace(found, score=replace(found.score, slices=slices), labels=labels)


def _groups(found: Scored) -> Groups:
    """What was drawn together of the generated and of the real images."""
    pairing = pairing_of(found.f, found.l)
    of_images, _ = drawn_together(pairing, found.r, found.l, found.real_captions)
    return dict(zip("fr", of_images, strict=True))


def _is_one(a: Source | None, b: Source | None) -> bool:
    """Whether two inputs are one: one value, or one path."""
    if isinstance(a, (str, os.PathLike)) and isinstance(b, (str, os.PathLike)):
        return os.fspath(a) == os.fspath(b)
    return a is not None and a is b


def with_family(
    found: Scored,
    networks: Networks,
    *,
    more: Sequence[Metric] = (),
    cache: FeatureCache | None = None,
    keep: bool = False,
) -> Scored:
    """Add metrics to a score.

    Args:
        found: The score, its sides, and what networks make of them.
        networks: Which metrics are wanted, and which networks they are made with.
        more: Metrics of this generator alone, which take no network.
        cache: Where numbers are looked up that were made of the same features before.
        keep: Whether what each sample does to the numbers is kept too, for differences; then
            nothing is looked up.

    Raises:
        InputError: A metric lacks what it needs, and not "all" were asked for.
    """
    metrics = (*networks.metrics, *more)
    if not metrics and not networks.notes:
        return found
    f, r, l = found.sides
    given = Given(
        f, r, l, found.real_captions, found.seen, _groups(found), in_one_pass=share_a_pass(metrics)
    )
    family = family_of(metrics, given, lenient=networks.lenient, cache=cache, keep=keep)
    metric_of = {number: metric for metric in metrics for number in metric.values}
    used = {value.network for value in family.values.values()}
    made = Signature.read(found.score.signature)
    signatures = {}
    for number in family.values:
        metric = metric_of[number]
        network = {}
        if metric.network is not None:
            network = fields_of_network(metric.network, found.seen[metric.network])
        elif number in f.scores:
            network = fields_of_scores(f, number)
        signatures[number] = str(made.of_metric(number, {**network, **metric.parameters}))
    score = replace(
        found.score,
        metrics=family.values,
        networks={name: seen.record() for name, seen in found.seen.items() if name in used},
        signatures=signatures,
        warnings=(*found.score.warnings, *networks.notes, *family.notes),
    )
    return replace(
        found,
        score=score,
        metrics=metrics,
        measured=family.measured,
        given=given if keep else None,
        notes=networks.notes,
    )
