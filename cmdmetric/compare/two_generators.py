"""Two generators on the same captions: is one better, beyond what sampling explains?"""

from __future__ import annotations

import html
import itertools
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from cmdmetric.compare.lines import versus_lines
from cmdmetric.compare.signatures import signed
from cmdmetric.errors import InputError
from cmdmetric.scoring import (
    SCHEMA,
    CMDScore,
    ImageWeights,
    Scored,
    Source,
    Wanted,
    are_same,
    as_samples,
    encoding_of,
    groups_of,
    pairing_is_lost,
    scored,
)
from cmdmetric.uncertainty import (
    Difference,
    Drawn,
    Gap,
    Groups,
    gap,
    holm,
    paired_difference,
    permutation_p,
    replicated,
)

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from cmdmetric.scoring import EncodingOptions


@dataclass(frozen=True)
class Versus:
    """The scores of two generators and their difference."""

    first: CMDScore
    second: CMDScore
    #: CMD of the first minus CMD of the second: negative where the first is better.
    difference: Difference
    #: The same difference of the other metrics that were asked for, by the names of their numbers;
    #: `p_adjusted` is adjusted for there being several metrics, CMD among them (Holm 1979).
    metrics: Mapping[str, Gap] = field(default_factory=dict)

    def __str__(self) -> str:
        scores = ["", "first:", str(self.first), "", "second:", str(self.second)]
        return "\n".join([*self.lines(), *scores])

    def __repr__(self) -> str:
        return f"<Versus {self.lines()[0]}>"

    def lines(self, *, short: bool = False) -> list[str]:
        """Tell whether they differ, and by how much, with the signature's long or short form."""
        names = self.first.generated, self.second.generated
        return versus_lines(names, self.difference, self.metrics, short=short)

    def _repr_html_(self) -> str:
        return f"<pre>{html.escape(str(self))}</pre>"

    def to_dict(self) -> dict[str, Any]:
        """All fields, for JSON."""
        return {
            "schema": SCHEMA,
            "first": self.first.to_dict(),
            "second": self.second.to_dict(),
            "difference": {
                **self.difference.to_dict(),
                "metrics": {name: asdict(gap) for name, gap in self.metrics.items()},
            },
        }


def versus(
    first: Source,
    second: Source,
    captions: Source,
    real: Source | None = None,
    *,
    metrics: str | Iterable[str] = (),
    inception_weights: str | Path | None = None,
    inception_real: Source | None = None,
    image_model: str | Path | Sequence[str | Path] = (),
    image_weights: ImageWeights = None,
    scores: Sequence[Source] = (),
    score_columns: str | Iterable[str] | Mapping[str, str | None] = (),
    num: int | None = None,
    seed: int | None = None,
    **options: Unpack[EncodingOptions],
) -> Versus:
    """Score two sets of generated images against the same captions and real images.

    Images of both that belong to one caption by their names are paired, which takes what they have
    in common out of the error bar.

    Args:
        first: Generated images of one model, in any form that `cmdmetric.cmd` takes.
        second: Generated images of another model.
        captions: What both were made of.
        real: The real images; by default what the captions lead to.
        metrics: Further metrics, as for `cmdmetric.cmd`.
        inception_weights: The file of Inception's weights.
        inception_real: The real side of Inception's metrics.
        image_model: Image networks that look at the images as well, as for `cmdmetric.cmd`.
        image_weights: Their weights, as for `cmd`.
        scores: Numbers of single images that others have computed, of the first and of the second
            set, as for `cmdmetric.cmd`.
        score_columns: Which columns of these, and which way each is better, as for `cmdmetric.cmd`.
        num: How many images of each are scored, those of the same captions, as for `cmdmetric.cmd`.
        seed: Which of the many parts of that size, by default 0.
        **options: How images and captions are encoded.

    Raises:
        InputError: Anything is wrong with the inputs, or either set is given as moments alone.
        TypeError: There is no option of such a name.
    """
    wanted = Wanted.of(
        metrics,
        inception_weights,
        inception_real,
        image_model=image_model,
        image_weights=image_weights,
        scores=scores,
        score_columns=score_columns,
        num=num,
        seed=seed,
    )
    one, two = scored([first, second], captions, real, encoding_of(**options), wanted)
    for side in (one.f, two.f):
        if not side.has_features:
            raise InputError(
                f"{side.source} is moments alone: a difference needs the features of both sets; "
                "give the images, or their features (.npz with `features`)"
            )
    for note in dict.fromkeys([*one.score.warnings, *two.score.warnings, *twins([one, two])]):
        warnings.warn(note, UserWarning, stacklevel=2)
    difference = difference_of(one, two)
    gaps = _adjusted(difference, gaps_of(one, two))
    paired = share_captions(one, two)
    values = [difference.p_value, *(of.p_value for of in gaps.values())]
    tests = sum(p is not None for p in values)
    return Versus(
        one.score,
        two.score,
        signed(difference, one.score.signature, two.score.signature, paired=paired),
        {
            name: signed(
                of,
                one.score.signatures[name],
                two.score.signatures[name],
                paired=paired,
                tests=tests,
            )
            for name, of in gaps.items()
        },
    )


def difference_of(one: Scored, two: Scored) -> Difference:
    """Compute CMD of one minus CMD of two, which were scored together and have their features.

    Where either score has no debiased value, the difference has none.
    """
    (of_one, of_two, of_r), of_l = as_samples([one.f, two.f, one.r], one.l)
    why = _withheld(one) or _withheld(two)
    found = paired_difference(of_one, of_two, of_r, of_l, debiasing=None if why is None else "none")
    return found if why is None else replace(found, withheld=why)


def twins(found: Sequence[Scored]) -> Iterator[str]:
    """Tell of generators whose images are the same ones, pixel by pixel."""
    for one, two in itertools.combinations(found, 2):
        if are_same(one.f, two.f):
            yield (
                f"the images of {one.score.generated} and of {two.score.generated} are the same "
                "ones: nothing sets these generators apart"
            )


def share_captions(one: Scored, two: Scored) -> bool:
    """Tell whether some images of both are of one caption, by their names or places."""
    ours, theirs = groups_of([one.f, two.f], one.l)
    return ours is not None and theirs is not None and bool(np.isin(ours, theirs).any())


def _withheld(of: Scored) -> str | None:
    """Why a score has no debiased value; None where it has one."""
    bars = of.score.uncertainty
    return "there are no error bars" if bars is None else bars.withheld


def gaps_of(one: Scored, two: Scored) -> dict[str, Gap]:
    """Compute the family's numbers of one minus those of two, which were scored together.

    Where it is lost what was drawn together, none is debiased.
    """
    groups = dict(zip(("f1", "f2", "r"), groups_of([one.f, two.f, one.r], one.l), strict=True))
    gaps = {
        name: gap(measured, two.measured[name], groups)
        for name, measured in one.measured.items()
        if name in two.measured
    }
    gaps = _exchanged(one, two, gaps, groups)
    if pairing_is_lost(one.f, one.l) or pairing_is_lost(two.f, two.l):
        gaps = {
            name: of if of.debiased is None else Gap(of.value, None, of.standard_error)
            for name, of in gaps.items()
        }
    return gaps


def _exchanged(one: Scored, two: Scored, gaps: Mapping[str, Gap], groups: Groups) -> dict[str, Gap]:
    """Give metrics whose images may change places the p-value of that, beside Student's."""
    found = dict(gaps)
    if one.given is None or two.given is None:
        return found
    for metric in one.metrics:
        names = [name for name in metric.values if name in gaps]
        if metric.exchanged is None or not names:
            continue
        values, drawn = [], []
        for side, of in zip(("f1", "f2"), metric.exchanged(one.given, two.given), strict=True):
            there, own = ~np.isnan(of), groups.get(side)
            values.append(of[there])
            drawn.append(Drawn(int(there.sum()), None if own is None else own[there]))
        if not replicated(drawn):
            continue
        p = permutation_p(values[0], values[1], (drawn[0], drawn[1]))
        found |= {name: replace(gaps[name], p_value=p, test="permutation") for name in names}
    return found


def _adjusted(difference: Difference, gaps: Mapping[str, Gap]) -> dict[str, Gap]:
    """Adjust the p-values of the metrics for there being several, CMD among them (Holm)."""
    tested = [name for name, of in gaps.items() if of.p_value is not None]
    values = [gaps[name].p_value or 0.0 for name in tested]
    adjusted = holm([*values, *([difference.p_value] if difference.p_value is not None else [])])
    return {
        **gaps,
        **{
            name: replace(gaps[name], p_adjusted=p)
            for name, p in zip(tested, adjusted, strict=False)
        },
    }
