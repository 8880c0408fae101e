"""The family of metrics by name, and their numbers for one score.

docs/metrics.md has a paragraph on each, `cmdmetric.scoring.family` how each is made. CMD, ITDis
and the distances they are made of are part of every score and need not be asked for.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal

from cmdmetric.errors import InputError

if TYPE_CHECKING:
    from cmdmetric.encoders import InceptionFeatures
    from cmdmetric.metrics import Moments
    from cmdmetric.scoring.side import Side
    from cmdmetric.uncertainty import Groups, Measured

#: Which way a number is better.
Better = Literal["lower", "higher"]


@dataclass(frozen=True)
class Metric:
    """A metric by its name in `--metrics`.

    values: the names of its numbers in a result, and which way each is better.
    inception: whether it is made of Inception's features.
    """

    name: str
    values: Mapping[str, Better]
    inception: bool = False


#: What every score has.
ALWAYS = ("cmd", "itdis", "dis_fr", "dis_fl", "dis_rl")

#: The metrics by name, in the order in which they are shown.
METRICS: dict[str, Metric] = {
    metric.name: metric
    for metric in (
        Metric("clipscore", {"clipscore": "higher"}),
        Metric("ref_clipscore", {"ref_clipscore": "higher"}),
        Metric("r_precision", {"r_precision": "higher"}),
        Metric(
            "recall_at_k", {f"{way}_r{k}": "higher" for way in ("i2t", "t2i") for k in (1, 5, 10)}
        ),
        Metric("fjd", {"fjd": "lower"}),
        Metric("cmmd", {"cmmd": "lower", "cmmd_biased": "lower"}),
        Metric("clip_kid", {"clip_kid": "lower"}),
        Metric("prdc", dict.fromkeys(("precision", "recall", "density", "coverage"), "higher")),
        Metric("vendi", {"vendi": "higher"}),
        Metric("fid", {"fid": "lower"}, inception=True),
        Metric("kid", {"kid": "lower"}, inception=True),
        Metric("is", {"is": "higher", "is_std": "lower"}, inception=True),
    )
}

#: Numbers that are right on average whatever the number of samples, where each is one draw.
UNBIASED = ("clipscore", "ref_clipscore", "r_precision", "cmmd", "clip_kid", "kid")
#: Numbers that are means over pairs of an image and a caption.
OF_PAIRS = ("clipscore", "ref_clipscore", "r_precision")
#: Numbers that are made of Inception's features.
INCEPTION = {value for m in METRICS.values() if m.inception for value in m.values}
#: Which way each number of the family is better.
BETTER: dict[str, Better] = {
    name: way for metric in METRICS.values() for name, way in metric.values.items()
}


class Unavailable(InputError):
    """A metric was asked for whose inputs are not all there."""


@dataclass(frozen=True)
class Given:
    """What metrics are made of: generated images f, real images r, captions l.

    real_l: captions of the real images, where those of `l` are of the generated ones only.
    inception_f, inception_r: Inception's features of the images, or its moments of the real ones.
    inception_apart: whether Inception's real images are others than r.
    groups: what was drawn together, of "f" and "r".
    """

    f: Side
    r: Side
    l: Side
    real_l: Side | None = None
    inception_f: InceptionFeatures | None = None
    inception_r: InceptionFeatures | Moments | None = None
    inception_apart: bool = False
    groups: Groups = field(default_factory=dict)


def metric_names(metrics: str | Iterable[str]) -> tuple[tuple[str, ...], bool]:
    """The names in "fid,clipscore" or in a list, each once, and whether "all" was asked for.

    Raises InputError for a name that there is not, with the nearest one.
    """
    if isinstance(metrics, str):
        metrics = [name.strip() for name in metrics.split(",") if name.strip()]
    wanted = dict.fromkeys(name.lower() for name in metrics)
    if "all" in wanted:
        return tuple(METRICS), True
    for name in wanted:
        if name not in METRICS and name not in ALWAYS:
            near = difflib.get_close_matches(name, METRICS, 1)
            hint = f"; did you mean {near[0]}?" if near else "."
            raise InputError(
                f"no metric {name!r}{hint} There is {', '.join((*ALWAYS, *METRICS))}, or all"
            )
    return tuple(name for name in METRICS if name in wanted), False


def measure(name: str, given: Given) -> dict[str, Measured]:
    """The numbers of a metric by the names in `Metric.values`.

    Raises `Unavailable`, an InputError, which says what is missing.
    """
    from cmdmetric.scoring.family import MEASURES
    from cmdmetric.uncertainty import number_of_draws

    n = given.f.moments.n
    try:
        numbers = MEASURES[name](given)
        sizes = (n, number_of_draws(n, given.groups.get("f")))
        sized = [number if number.sizes else replace(number, sizes=sizes) for number in numbers]
        return dict(zip(METRICS[name].values, sized, strict=True))
    except InputError as error:
        raise Unavailable(f"{name}: {error}") from None
