"""The main job: generated images and captions in, a reproducible CMD out."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, get_args

import numpy as np
from numpy.typing import NDArray

from cmdmetric.cache import FeatureCache, open_cache, remembered
from cmdmetric.encoders import Checkpoint, Dtype
from cmdmetric.errors import InputError
from cmdmetric.features import LazyEncoder, recall_checkpoint, workers as distributed
from cmdmetric.inputs import Captions, ImageSet, Pairing, pair
from cmdmetric.metrics import (
    CrossModelDistance,
    Moments,
    Provenance,
    cross_model_distance,
    frechet_distance,
    refuse_differences,
)
from cmdmetric.preflight import mixed_endings
from cmdmetric.protocol import CLIP, GRGAN, Protocol, get_protocol
from cmdmetric.report import check_report
from cmdmetric.scoring import (
    REFERENCES,
    Encoding,
    Side,
    Source,
    find_real,
    left_out,
    open_image_side,
    open_text_side,
)
from cmdmetric.uncertainty import (
    Sample,
    SideLike,
    Uncertainty,
    groups_of_images,
    number_of_draws,
    replicated,
    uncertainty,
)
from cmdmetric.version import __version__

if TYPE_CHECKING:
    import torch

    from cmdmetric.encoders import Encoder
    from cmdmetric.features import OnError
    from cmdmetric.preflight import Finding
    from cmdmetric.uncertainty import Value


#: The groups of image sides and of captions (`cmdmetric.uncertainty.draws.Drawn`).
DrawnTogether: TypeAlias = tuple[Sequence[NDArray[Any] | None], NDArray[Any] | None]
#: Files that hold captions rather than images.
CAPTION_ENDINGS = (".json", ".jsonl", ".csv", ".tsv", ".txt")


@dataclass(frozen=True)
class CMDScore:
    """CMD, what it is made of, and how it was made; `float()` of it is CMD. Lower is better."""

    cmd: float
    itdis: float
    dis_fr: float
    dis_fl: float
    dis_rl: float
    #: Numbers of generated images and of draws among them (images of one caption are one), of real
    #: images and of captions; None where moments carry no count.
    n: int | None
    draws: int | None
    n_real: int | None
    n_captions: int | None
    #: Two scores compare only if their signatures differ in nothing but f.
    signature: str
    #: The protocol's name, the encoder's, and the sha256 of its weights; None if not recorded.
    protocol: str | None
    model: str | None
    weights: str | None
    #: What the three sides are: paths or registered names.
    generated: str
    real: str
    captions: str
    #: Generated images with a caption of their own; None where captions name no images.
    paired: int | None
    #: Images that could not be decoded, captions that were cut or had no word.
    skipped: int
    truncated: int
    empty: int
    #: Error bars and values without the excess of finite samples; None where only moments are
    #: at hand on every side.
    uncertainty: Uncertainty | None
    #: What a reader of the numbers must know.
    warnings: tuple[str, ...]
    #: Of the family (docs/metrics.md), those that were asked for.
    metrics: Mapping[str, Value] = dataclasses.field(default_factory=dict)
    #: Where some of them are made of Inception's features: the sha256 of its weights, and the real
    #: side by name and number of images.
    inception: Mapping[str, Any] | None = None

    def __float__(self) -> float:
        return self.cmd

    def to_dict(self) -> dict[str, Any]:
        """All fields, for JSON."""
        bars = self.uncertainty and self.uncertainty.to_dict()
        metrics = {name: dataclasses.asdict(value) for name, value in self.metrics.items()}
        fields = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        own = {"uncertainty": bars, "warnings": list(self.warnings), "metrics": metrics}
        return {**fields, **own}


def cmd(
    generated: Source,
    captions: Source,
    real: Source | None = None,
    *,
    model: str | Path | None = None,
    weights: str | Path | None = None,
    protocol: Protocol | str | Path = "grgan",
    device: str | torch.device | None = None,
    batch_size: int = 32,
    dtype: Dtype = "fp32",
    on_error: OnError = "raise",
    progress: bool = False,
    cache: bool | str | Path = True,
    metrics: str | Iterable[str] = (),
    inception_weights: str | Path | None = None,
    inception_real: Source | None = None,
    encoder: Encoder | None = None,
    report: str | Path | None = None,
) -> CMDScore:
    """The Cross Model Distance of generated images: CMD = Dis(f, r) + |Dis(f, l) - Dis(r, l)|.

    generated, real: a folder, glob, archive, array or tensor (uint8), list or iterable of images
        (`cmdmetric.inputs.images.open_images`), or moments or features of them
        (`cmdmetric.scoring.side.read_stored`), or the name of a reference.
    captions: a file or list of captions (`cmdmetric.inputs.captions.read_captions`), or as above.
    real: by default the images that the captions name, where they lie beside the captions' file;
        else "coco2014-val" where the captions are MS-COCO's val2014.
    model, weights, protocol, device, batch_size, dtype: as for `cmdmetric.Encoder`; an `encoder`
        that is already there takes their place.
    on_error: "skip" scores the rest where images cannot be decoded.
    progress: bars on stderr.
    cache: whether features of files and captions are looked up in the feature cache and kept there,
        or the folder of another cache (docs/caching.md).
    metrics, inception_weights, inception_real: what else to compute, as in
        `cmdmetric.scoring.together.Wanted`; it stands in the score's `metrics`.
    report: where a report of it is to be written, a self-contained HTML page (docs/report.md).

    Raises InputError for anything wrong with the inputs. What a reader of the numbers must know
    is warned of (`UserWarning`) and stands in the score's `warnings`.

    >>> from cmdmetric.scenes.drawing import draw_scene
    >>> scenes = [draw_scene(seed) for seed in range(120)]
    >>> images = [scene.render(64) for scene in scenes]
    >>> texts = [scene.captions(1)[0] for scene in scenes]
    >>> score = cmd(images[:60], texts[:60], real=images[60:], model="scenes-toy")
    >>> float(score) == score.dis_fr + score.itdis
    True
    """
    from cmdmetric.scoring import Wanted, scored

    if report is not None:
        check_report(report)
    encoding = encoding_of(
        model, weights, protocol, device, batch_size, dtype, on_error, progress, cache, encoder
    )
    wanted = Wanted(metrics, inception_weights, inception_real, device, batch_size)
    (found,) = scored([generated], captions, real, encoding, wanted)
    for note in found.score.warnings:
        warnings.warn(note, UserWarning, stacklevel=2)
    if report is not None:
        from cmdmetric.report import look_at, write_report

        findings: tuple[Finding, ...] = ()
        if encoder is None:
            findings = look_at(
                found,
                generated,
                captions,
                real,
                model,
                weights,
                protocol,
                batch_size,
                progress,
                cache,
            )
        write_report(found, report, findings)
    return found.score


def open_sides(
    generated: Sequence[Source], captions: Source, real: Source | None
) -> tuple[list[Side | ImageSet], Side | ImageSet, Side | Captions]:
    """The inputs, looked up before any network is built: a wrong path is told at once."""
    opened_f = [open_image_side(source) for source in generated]
    opened_l = open_text_side(captions)
    opened_r = find_real(opened_l, opened_f[0]) if real is None else open_image_side(real)
    return opened_f, opened_r, opened_l


def score_of(
    f: Side,
    r: Side,
    l: Side,
    cache: FeatureCache | None = None,
    real_captions: Side | None = None,
) -> CMDScore:
    """The score of three sides that are encoded or were stored; where the cache knows what they are
    made of, their statistics are looked up there.

    real_captions: those of the real images, where `l` are others, of the generated ones.

    Raises InputError where they were made differently or have fewer than 2 samples.
    """
    made, kept = _common_provenance(f, r, l), set(l.kept)
    pairing = pairing_of(f, l)
    groups = drawn_together(pairing, r, l, real_captions)
    distances, bars = _statistics(f, r, l, groups, cache)
    notes = [*_notes(f, r, l, made)]
    if bars is None and any(side.has_features for side in (f, r, l)):
        notes.append(
            "all images of a side are of one caption, which tells nothing of other captions: "
            "there are no error bars"
        )
    return CMDScore(
        cmd=distances.cmd,
        itdis=distances.itdis,
        **distances._asdict(),
        n=f.moments.n,
        draws=number_of_draws(f.moments.n, groups[0][0]),
        n_real=r.moments.n,
        n_captions=l.moments.n,
        signature=_signature(f, r, l, made),
        protocol=made.protocol.name if made else None,
        model=made.model if made else None,
        weights=made.weights if made else None,
        generated=f.source,
        real=r.source,
        captions=l.source,
        paired=None if pairing is None else sum(not kept.isdisjoint(x) for x in pairing.caption_of),
        skipped=len(f.skipped) + len(r.skipped),
        truncated=l.truncated,
        empty=l.empty,
        uncertainty=bars,
        warnings=tuple(notes),
    )


def itdis(
    generated: Source,
    captions: Source,
    real: Source | None = None,
    *,
    model: str | Path | None = None,
    weights: str | Path | None = None,
    protocol: Protocol | str | Path = "grgan",
    device: str | torch.device | None = None,
    batch_size: int = 32,
    dtype: Dtype = "fp32",
    on_error: OnError = "raise",
    progress: bool = False,
    cache: bool | str | Path = True,
    encoder: Encoder | None = None,
) -> float:
    """ITDis = |Dis(f, l) - Dis(r, l)| (Eq. 10): image-text consistency. Arguments as for `cmd`."""
    score = cmd(
        generated,
        captions,
        real,
        model=model,
        weights=weights,
        protocol=protocol,
        device=device,
        batch_size=batch_size,
        dtype=dtype,
        on_error=on_error,
        progress=progress,
        cache=cache,
        encoder=encoder,
    )
    return score.itdis


def clip_fd(
    generated: Source,
    real: Source,
    *,
    model: str | Path | None = None,
    weights: str | Path | None = None,
    protocol: Protocol | str | Path = "grgan",
    device: str | torch.device | None = None,
    batch_size: int = 32,
    dtype: Dtype = "fp32",
    on_error: OnError = "raise",
    progress: bool = False,
    cache: bool | str | Path = True,
    encoder: Encoder | None = None,
) -> float:
    """Dis(f, r), the Fréchet distance of CLIP features alone. Arguments as for `cmd`."""
    with encoding_of(
        model, weights, protocol, device, batch_size, dtype, on_error, progress, cache, encoder
    ) as encoding:
        opened = open_image_side(generated), open_image_side(real)
        f, r = (encoding.side(side) for side in opened)
    _common_provenance(f, r)
    return frechet_distance(f.moments, r.moments)


def moments_of(
    source: Source,
    side: Literal["image", "text"] | None = None,
    *,
    model: str | Path | None = None,
    weights: str | Path | None = None,
    protocol: Protocol | str | Path = "grgan",
    device: str | torch.device | None = None,
    batch_size: int = 32,
    dtype: Dtype = "fp32",
    on_error: OnError = "raise",
    progress: bool = False,
    cache: bool | str | Path = True,
    encoder: Encoder | None = None,
) -> Moments:
    """The moments of one set of images or captions, with their provenance; arguments as for `cmd`.

    side is by default "text" for a file that ends like captions do (.json, .csv, ...), else
    "image".
    """
    text = (side or side_of(source)) == "text"
    with encoding_of(
        model, weights, protocol, device, batch_size, dtype, on_error, progress, cache, encoder
    ) as encoding:
        opened = open_text_side(source) if text else open_image_side(source)
        return encoding.side(opened).moments


def side_of(source: Source) -> Literal["image", "text"]:
    """What a source holds, by the ending of its name."""
    ending = Path(source).suffix.lower() if isinstance(source, (str, os.PathLike)) else ""
    return "text" if ending in CAPTION_ENDINGS else "image"


def encoding_of(
    model: str | Path | None,
    weights: str | Path | None,
    protocol: Protocol | str | Path,
    device: str | torch.device | None,
    batch_size: int,
    dtype: Dtype,
    on_error: OnError,
    progress: bool,
    cache: bool | str | Path,
    encoder: Encoder | None,
) -> Encoding:
    """How images and captions are encoded; arguments as for `cmd`, checked here."""
    if on_error not in ("raise", "skip"):
        raise InputError(f"on_error is {on_error!r}, it must be 'raise' or 'skip'")
    if dtype not in get_args(Dtype):
        raise InputError(f"dtype is {dtype!r}, it must be one of {', '.join(get_args(Dtype))}")
    chosen = get_protocol(protocol)
    features = open_cache(cache)
    workers = distributed.workers()
    if workers is not None:
        device = workers.device(device)
        progress = progress and workers.rank == 0
    if encoder is not None:
        return Encoding(encoder, on_error, progress, features, workers)

    def build(checkpoint: Checkpoint) -> Encoder:
        from cmdmetric.encoders import (
            Encoder as Build,  # imports torch: not before it is needed
        )

        return Build(checkpoint, None, chosen, device=device, batch_size=batch_size, dtype=dtype)

    lazy = LazyEncoder(
        lambda: recall_checkpoint(model, weights, features), chosen, batch_size, build, dtype
    )
    return Encoding(lazy, on_error, progress, features, workers)


def _common_provenance(*sides: Side) -> Provenance | None:
    """How the sides were made, where any of them tells; they must agree."""
    made = [side.moments.provenance for side in sides if side.moments.provenance is not None]
    for other in made[1:]:
        refuse_differences(made[0], other)
    return made[0] if made else None


def pairing_of(images: Side, captions: Side) -> Pairing | None:
    """Which image each caption belongs to, where both sides have names."""
    if images.names is None or captions.texts is None or not captions.texts.image_names:
        return None
    return pair(images.names, captions.texts)


def _statistics(
    f: Side,
    r: Side,
    l: Side,
    groups: DrawnTogether,
    cache: FeatureCache | None,
) -> tuple[CrossModelDistance, Uncertainty | None]:
    """The distances and, from the sides whose features are at hand, the error bars."""
    sides = (f, r, l)

    def compute() -> dict[str, Any]:
        distances = cross_model_distance(*(side.moments for side in sides))
        bars = None
        if any(side.has_features for side in sides):
            of_f, of_r, of_l = map(_as_sample, sides, (*groups[0], groups[1]))
            drawn = [x.drawn for x in (of_f, of_r, of_l) if isinstance(x, Sample)]
            bars = uncertainty(of_f, of_r, of_l).to_dict() if replicated(drawn) else None
        return {"distances": distances._asdict(), "uncertainty": bars}

    sources = [identity_of(side) for side in sides]
    sources += [b"" if g is None else g.tobytes() for g in (*groups[0], groups[1])]
    found = remembered(cache, "statistics", sources, compute)
    bars = found["uncertainty"]
    return (
        CrossModelDistance(**found["distances"]),
        None if bars is None else Uncertainty.from_dict(bars),
    )


def identity_of(side: Side) -> bytes | None:
    """What the numbers of a side follow from; None where that is not known."""
    if side.has_features:
        return side.identity
    moments = side.moments
    return f"{moments.n} ".encode() + moments.mean.tobytes() + moments.cov.tobytes()


def _groups(
    pairings: Sequence[Pairing | None],
    l: Side,
) -> DrawnTogether:
    """What was drawn together, of image sides and of captions: an image and its captions."""
    if l.texts is None:
        return [None] * len(pairings), None
    prompts, count = l.texts.prompts, len(pairings)
    of_images = [_groups_of(pairing, prompts, i, count) for i, pairing in enumerate(pairings)]
    return of_images, np.array(prompts, int)[list(l.kept)]


def drawn_together(
    of_f: Pairing | None,
    r: Side,
    l: Side,
    real_captions: Side | None = None,
) -> DrawnTogether:
    """What was drawn together of generated images, real images and captions.

    of_f is the pairing of the generated images with the captions, where there is one.
    real_captions tell it of real images that `l` does not name: images were then painted from
    captions that read like those of a real image.
    """
    of_real = pairing_of(r, l)
    named = of_real is not None and any(of_real.caption_of)
    if named or l.texts is None or real_captions is None or real_captions.texts is None:
        return _groups([of_f, of_real], l)
    real = real_captions.texts
    prompts = l.texts.prompts_of(real)
    of_images = [
        _groups_of(of_f, prompts, 0, 2),
        _groups_of(pairing_of(r, real_captions), real.prompts, 1, 2),
    ]
    return of_images, np.array(prompts, int)[list(l.kept)]


def _groups_of(
    pairing: Pairing | None, prompts: Sequence[int], side: int, sides: int
) -> NDArray[np.int_] | None:
    """The groups of the images of one of several sides; None where none has a caption."""
    if pairing is None or not any(pairing.caption_of):
        return None
    groups = groups_of_images(pairing, prompts)
    # Unpaired images are numbered from -1 down: those of two sides must not meet.
    return np.where(groups < 0, (groups + 1) * sides - 1 - side, groups)


def groups_of(images: Sequence[Side], l: Side) -> list[NDArray[Any] | None]:
    """What was drawn together, of several image sides: images of the same captions."""
    return list(_groups([pairing_of(side, l) for side in images], l)[0])


def as_samples(
    images: Sequence[Side],
    l: Side,
) -> tuple[list[SideLike], SideLike]:
    """Image sides and captions with what was drawn together; without features their moments."""
    groups, of_captions = _groups([pairing_of(side, l) for side in images], l)
    samples = [_as_sample(side, own) for side, own in zip(images, groups, strict=True)]
    return samples, _as_sample(l, of_captions)


def _as_sample(side: Side, groups: NDArray[Any] | None) -> SideLike:
    return Sample(side.features, groups, side.moments) if side.has_features else side.moments


def _notes(f: Side, r: Side, l: Side, made: Provenance | None) -> Iterator[str]:
    yield from mixed_endings(f.names, r.names)
    for what, side in (("generated images", f), ("real images", r), ("captions", l)):
        moments = side.moments
        if moments.n is not None and moments.n <= moments.d:
            yield (
                f"{moments.n} {what} are too few for {moments.d} dimensions: their covariance is "
                "singular and the distances are biased upwards; compare only scores of the same "
                "number of samples"
            )
        spread, size = float(np.trace(moments.cov)), float(moments.mean @ moments.mean)
        if spread <= 1e-9 * size:
            why = "is it one prompt?" if side is l else "has a model collapsed?"
            yield f"the {what} ({side.source}) all have the same features: {why}"
        if side.reference:
            reference = REFERENCES[side.reference]
            recorded = (reference.protocol, reference.model)
            if made and (made.protocol.name, made.model) != recorded:
                yield (
                    f"{side.reference} was made with protocol {recorded[0]} and {recorded[1]}, "
                    f"the rest with {made.protocol.name} and {made.model}: this is not a "
                    "published number's setting"
                )
        elif moments.provenance is None:
            yield (
                f"{side.source} does not record how it was made: that its protocol and encoder "
                "are the same as the rest's is taken on trust"
            )
    yield from left_out(f, r, l)


def _signature(f: Side, r: Side, l: Side, made: Provenance | None) -> str:
    if made is None:
        proto, model, dtype = "?", "?", "?"
    else:
        proto, dtype = _protocol_label(made.protocol), made.dtype
        model = f"{made.model}@{made.weights[:8]}"
    return (
        f"CMD|proto:{proto}|model:{model}|f:{f.label}|r:{r.label}|l:{l.label}"
        f"|dtype:{dtype}|v:{__version__}"
    )


def _protocol_label(protocol: Protocol) -> str:
    """The name; a user's own protocol also shows a digest of its fields."""
    if protocol in (GRGAN, CLIP):
        return protocol.name
    fields = json.dumps(protocol.to_dict(), sort_keys=True)
    return f"{protocol.name}@{hashlib.sha256(fields.encode()).hexdigest()[:8]}"
