"""The main job: generated images and captions in, a reproducible CMD out."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from cmdmetric.metrics import Moments, frechet_distance
from cmdmetric.scoring import (
    CMDScore,
    ImageWeights,
    Pack,
    Source,
    Wanted,
    check_pack,
    check_per_image,
    common_provenance,
    encoding_of,
    open_image_side,
    open_text_side,
    per_image_of,
    scored,
    side_of,
)

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from cmdmetric.preflight import Finding
    from cmdmetric.scoring import EncodingOptions


def cmd(
    generated: Source,
    captions: Source | None = None,
    real: Source | None = None,
    *,
    metrics: str | Iterable[str] = (),
    inception_weights: str | Path | None = None,
    inception_real: Source | None = None,
    image_model: str | Path | Sequence[str | Path] = (),
    image_weights: ImageWeights = None,
    by: str | Path | None = None,
    train: Source | None = None,
    scores: Source | None = None,
    score_columns: str | Iterable[str] | Mapping[str, str | None] = (),
    per_image: str | Path | None = None,
    pack: str | Path | None = None,
    report: str | Path | None = None,
    num: int | None = None,
    seed: int | None = None,
    **options: Unpack[EncodingOptions],
) -> CMDScore:
    """Compute the Cross Model Distance: CMD = Dis(f, r) + |Dis(f, l) - Dis(r, l)|.

    What a reader of the numbers must know is warned of (`UserWarning`) and stands in the score's
    `warnings`.

    Args:
        generated: The generated images f: a folder, glob, archive, array or tensor (uint8), list or
            iterable of images (`cmdmetric.inputs.images.open_images`), or moments or features of
            them (`cmdmetric.scoring.stored_sets.read_stored`).
        captions: The captions l: a file or list (`cmdmetric.inputs.captions.read_captions`), or
            moments or features of them, or the name of a reference. By default those that come
            along with the generated images, from pairs, records, a table or a benchmark's folder.
            Lists of images and of captions of equal length pair by position.
        real: The real images r, in the same forms as the generated ones, or the name of a
            reference. By default the images that the captions name, where they lie beside the
            captions' file; else "coco2014-val" where the captions are MS-COCO's val2014.
        metrics: What else to compute: names as in "fid,clipscore", a list of them, or "all", of
            which what cannot be had is left out with a warning. The numbers stand in the score's
            `metrics`.
        inception_weights: The file of Inception's weights; by default it is found as
            `cmdmetric.encoders.find_inception_weights` does.
        inception_real: The real side of FID and KID, if it is another than CMD's: images, or an
            .npz of Inception's moments in pytorch-fid's format.
        image_model: Image networks that look at the images as well: "dinov2", names of timm's list
            such as "resnet50", or folders in timm's format. Of each there are the Fréchet distance,
            KID, MIND, precision to coverage and the Vendi score (docs/metrics.md).
        image_weights: The file of such a network's weights; of several a mapping of the networks'
            names to files, or texts as in "resnet50=FILE". By default what timm has on the Hub.
        by: What to tell the score by slices of: a field of the captions' records, "caption-length",
            or a file of columns id (an image's name) and label. It stands in `slices`.
        train: The images that the generator was trained on, in any form that images take. How near
            generated images are to these stands in `memorisation`.
        scores: Numbers of the generated images that others have computed, such as VQAScore: a file
            (.csv, .tsv, .json, .jsonl, .parquet), a DataFrame, or a mapping of the images' names
            (`cmdmetric.inputs.read_image_scores`). Their means stand in the score's `metrics`.
        score_columns: Which columns of these, and which way each is better, as in
            "hps=higher,lpips=lower" or as a mapping; by default all columns of numbers.
        per_image: Where a table of what is known of every image is to be written: .csv, .jsonl or
            .parquet (docs/metrics.md).
        pack: Where everything that the score follows from is to be written, but for the images: an
            .npz, from which anyone computes it again (`cmdmetric.scoring.verify`, docs/verify.md).
        report: Where a report is to be written, a self-contained HTML page (docs/report.md).
        num: How many of the generated images are scored, with their captions (docs/inputs.md); by
            default all. The real images are all taken.
        seed: Which of the many parts of that size, by default 0.
        **options: How images and captions are encoded: `model`, `weights`, `protocol`, `device`,
            `encoder`, `batch_size`, `dtype`, `caption_column`, `image_column`, `on_error`,
            `progress` and `cache`, as
            `cmdmetric.scoring.options.EncodingOptions` says.

    Raises:
        InputError: Anything is wrong with the inputs, or a metric that is named lacks what it
            needs.
        TypeError: There is no option of such a name.

    >>> from cmdmetric.scenes.drawing import draw_scene
    >>> scenes = [draw_scene(seed) for seed in range(160)]
    >>> images = [scene.render(64) for scene in scenes]
    >>> texts = [scene.captions(1)[0] for scene in scenes]
    >>> score = cmd(images[:80], texts[:80], real=images[80:], model="scenes-toy")
    >>> float(score) == score.dis_fr + score.itdis
    True
    """
    if report is not None:
        from cmdmetric.report import check_report

        check_report(report)
    if per_image is not None:
        check_per_image(per_image)
    if pack is not None:
        check_pack(pack)
    encoding = encoding_of(**options)
    wanted = Wanted.of(
        metrics,
        inception_weights,
        inception_real,
        image_model=image_model,
        image_weights=image_weights,
        by=by,
        train=train,
        scores=() if scores is None else (scores,),
        score_columns=score_columns,
        each=per_image is not None,
        num=num,
        seed=seed,
    )
    (found,) = scored([generated], captions, real, encoding, wanted)
    for note in found.score.warnings:
        warnings.warn(note, UserWarning, stacklevel=2)
    if per_image is not None:
        per_image_of(found, by).write(per_image)
    if pack is not None:
        Pack.of(found).write(pack)
    if report is not None:
        from cmdmetric.report import look_at, write_report

        findings: tuple[Finding, ...] = ()
        sources = [source for source in (generated, captions, real) if source is not None]
        if all(isinstance(source, (str, os.PathLike)) for source in sources):
            findings = look_at(found, encoding)  # what is no file may be read only once
        write_report(found, report, findings, cache=encoding.cache)
    return found.score


def itdis(
    generated: Source,
    captions: Source | None = None,
    real: Source | None = None,
    **options: Unpack[EncodingOptions],
) -> float:
    """Compute ITDis = |Dis(f, l) - Dis(r, l)| (Eq. 10), the text-image consistency.

    Arguments and errors are those of `cmd`, and so are the warnings.
    """
    return cmd(generated, captions, real, **options).itdis


def clip_fd(generated: Source, real: Source, **options: Unpack[EncodingOptions]) -> float:
    """Compute Dis(f, r), the Fréchet distance of CLIP features alone.

    Arguments and errors are those of `cmd`.
    """
    with encoding_of(**options) as encoding:
        opened = (open_image_side(source, encoding.columns) for source in (generated, real))
        f, r = (encoding.side(side) for side in opened)
    common_provenance(f, r)
    return frechet_distance(f.moments, r.moments)


def moments_of(
    source: Source,
    side: Literal["image", "text"] | None = None,
    **options: Unpack[EncodingOptions],
) -> Moments:
    """Compute the moments of one set of images or captions, with their provenance.

    Args:
        source: The set, in any form that `cmd` takes.
        side: What it holds; by default "text" for a file that ends like captions do (.json, .csv,
            ...), else "image".
        **options: How it is encoded, as for `cmd`.

    Raises:
        InputError: Anything is wrong with the input.
        TypeError: There is no option of such a name.
    """
    text = (side or side_of(source)) == "text"
    with encoding_of(**options) as encoding:
        opened = (open_text_side if text else open_image_side)(source, encoding.columns)
        return encoding.side(opened).moments
