"""What several models made of the same captions, as pictures side by side."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from cmdmetric.compare import Comparison
from cmdmetric.report.data import ComparedImages, Example
from cmdmetric.report.samples import names_of, pictures_of, short_name
from cmdmetric.report.similarity import similarity as similarity_of
from cmdmetric.scoring import Scored, caption_texts, groups_of, labels_of, shares_of_images

#: What bounds the file's size: rows, columns beside the real images, and pixels of a picture.
ROWS, MODELS, PIXELS = 24, 4, 192


def compared_images(data: Comparison, found: Sequence[Scored]) -> tuple[ComparedImages, ...]:
    """The captions of which all models have an image, those first on which they differ most.

    Half of the rows are those on which the models' effects on CMD differ most, half those on which
    their fits to the caption do.

    Args:
        data: The comparison, whose order the models keep.
        found: Their scores with the sides. Without any there is nothing to show.
    """
    of_name = {each.score.generated: each for each in found}
    ranked = [of_name[e.name] for e in data.entries[:MODELS] if e.name in of_name]
    if len(ranked) < 2 or any(not each.f.has_features for each in ranked):
        return ()
    r, l = ranked[0].r, ranked[0].l
    groups = groups_of([*(each.f for each in ranked), r], l)
    if any(own is None for own in groups[:-1]):
        return ()
    rows_of = [_first_rows(own) for own in groups]
    shared = [g for g in rows_of[0] if all(g in rows for rows in rows_of[1:-1])]
    shares, fits = [], []
    for each in ranked:
        shares.append(shares_of_images(*each.sides).tolist())
        fit = similarity_of(each.f, each.r, each.l)
        fits.append(
            {} if fit is None else dict(zip(fit.rows.tolist(), fit.f.tolist(), strict=True))
        )

    def spread(of: Sequence[Any], group: Any) -> float:
        values = [each[rows[group]] for each, rows in zip(of, rows_of, strict=False)]
        return float(np.ptp(values))

    chosen = sorted(shared, key=lambda g: -spread(shares, g))[: ROWS // 2]
    fitted = [g for g in shared if all(rows[g] in fit for fit, rows in zip(fits, rows_of))]  # noqa: B905
    chosen += [
        g for g in sorted(fitted, key=lambda g: -spread(fits, g)) if g not in chosen
    ][: ROWS - len(chosen)]  # fmt: skip
    pictures = [
        pictures_of(side, {rows[g] for g in chosen if g in rows}, PIXELS)
        for side, rows in zip([*(each.f for each in ranked), r], rows_of, strict=True)
    ]
    texts = caption_texts(ranked[0].f, l)
    names = [names_of(each.f) for each in ranked]
    by = data.entries[0].by
    labels = None if by is None else labels_of(by, ranked[0].f, l)
    found_rows = []
    for g in chosen:
        images = []
        for i, rows in enumerate(rows_of[:-1]):
            row = rows[g]
            images.append(
                Example(
                    short_name(names[i][row]), pictures[i].get(row), texts[rows_of[0][g]],
                    fits[i].get(row), -float(shares[i][row]),
                )
            )  # fmt: skip
        cosines = [image.similarity for image in images]
        best = None
        if all(cosine is not None for cosine in cosines):
            best = int(np.argmax([cosine or 0.0 for cosine in cosines]))
        own = texts[rows_of[0][g]]
        real = pictures[-1].get(rows_of[-1].get(g, -1))
        found_rows.append(
            ComparedImages(
                own[0] if own else "", real, tuple(images), best,
                () if labels is None else labels[rows_of[0][g]],
            )
        )  # fmt: skip
    return tuple(found_rows)


def _first_rows(groups: Any) -> dict[Any, int]:
    """By group its first row."""
    found: dict[Any, int] = {}
    for row, group in enumerate([] if groups is None else groups.tolist()):
        found.setdefault(group, row)
    return found
