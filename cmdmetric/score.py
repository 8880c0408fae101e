"""The main job: generated images and captions in, a reproducible CMD out."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from cmdmetric.encoders import Dtype
from cmdmetric.metrics import Moments, frechet_distance
from cmdmetric.protocol import Protocol
from cmdmetric.scoring import (
    CMDScore,
    Source,
    Wanted,
    common_provenance,
    encoding_of,
    open_image_side,
    open_text_side,
    scored,
    side_of,
)

if TYPE_CHECKING:
    import torch

    from cmdmetric.encoders import Encoder
    from cmdmetric.features import OnError
    from cmdmetric.preflight import Finding


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
        (`cmdmetric.scoring.stored_sets.read_stored`), or the name of a reference.
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
    if report is not None:
        from cmdmetric.report import check_report

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
    common_provenance(f, r)
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
