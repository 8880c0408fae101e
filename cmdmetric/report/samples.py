"""The samples that a report shows one by one: those of the clouds, and images side by side."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from cmdmetric.report.data import Array, Clouds, CopyPair, Example, Point, Similarity
from cmdmetric.report.projection import aligned_view, joint_view
from cmdmetric.report.thumbnails import thumbnails
from cmdmetric.scoring import Copies, Side, caption_texts, groups_of, labels_of
from cmdmetric.uncertainty import Sample, SideLike

#: What bounds the file's size: points of each cloud, images of each extreme, and their pixels.
POINTS, POINT_PIXELS = 320, 96
GRID, GRID_PIXELS = 8, 208


def examples_of(
    f: Side,
    r: Side,
    l: Side,
    share: Array,
    similarity: Similarity | None,
    by: str | None = None,
) -> tuple[Example, ...]:
    """The generated images that fit and matter most and least, the most harmful first.

    Beside each stands a real image of the same caption, where there is one.

    Args:
        f: The generated images, with their features.
        r: The real images.
        l: The captions.
        share: (n,) by how much CMD would be lower without each of them.
        similarity: How they fit their captions.
        by: What the score is sliced by, whose labels the images get.
    """
    order = np.argsort(share, kind="stable")
    chosen = [*order[::-1][:GRID].tolist(), *order[:GRID].tolist()]
    fit: dict[int, float] = {}
    if similarity is not None:
        fit = dict(zip(similarity.rows.tolist(), similarity.f.tolist(), strict=True))
        by_fit = similarity.rows[np.argsort(similarity.f, kind="stable")].tolist()
        chosen += [*by_fit[:GRID], *by_fit[::-1][:GRID]]
    rows = sorted(set(chosen), key=lambda i: (-share[i], i))
    partners = partners_of(f, r, l, rows)
    pictures = pictures_of(f, set(rows), GRID_PIXELS)
    real = pictures_of(r, set(partners.values()), GRID_PIXELS)
    captions, names = caption_texts(f, l), names_of(f)
    labels = None if by is None else labels_of(by, f, l)
    return tuple(
        Example(
            short_name(names[i]), pictures.get(i), captions[i], fit.get(i), -float(share[i]),
            real.get(partners.get(i, -1)), () if labels is None else labels[i],
        )
        for i in rows
    )  # fmt: skip


def copy_pairs(copies: Copies, f: Side) -> tuple[CopyPair, ...]:
    """The generated images that are nearest to training images, each beside that one."""
    rows = np.argsort(copies.found.distance, kind="stable")[:GRID].tolist()
    nearest = [int(copies.found.nearest[row]) for row in rows]
    ours = pictures_of(f, set(rows), GRID_PIXELS)
    theirs = pictures_of(copies.train, set(nearest), GRID_PIXELS)
    pairs = []
    for row, place in zip(rows, nearest, strict=True):
        told = copies.of_image(row)
        names = short_name(told.name), short_name(told.train)
        pairs.append(
            CopyPair(
                names[0],
                ours.get(row),
                names[1],
                theirs.get(place),
                told.distance,
                told.is_authentic,
            )
        )
    return tuple(pairs)


def partners_of(f: Side, r: Side, l: Side, rows: Sequence[int]) -> dict[int, int]:
    """For generated images, by their rows, the row of a real image of the same caption."""
    of_f, of_r = groups_of([f, r], l)
    if of_f is None or of_r is None:
        return {}
    first: dict[Any, int] = {}
    for row, group in enumerate(of_r.tolist()):
        first.setdefault(group, row)
    return {i: first[group] for i in rows if (group := of_f[i].item()) in first}


def pictures_of(side: Side, rows: set[int], pixels: int) -> dict[int, str]:
    """Data URIs of some images of a side, where it has any to look at."""
    if side.images is None or side.names is None:
        return {}
    found = thumbnails(side.images, {side.names[i]: pixels for i in rows})
    return {i: found[side.names[i]] for i in rows if side.names[i] in found}


def clouds(sides: Mapping[str, Side], samples: Mapping[str, SideLike], seed: int) -> Clouds:
    """Choose samples of the three sides and project them for the pictures."""
    moments = {key: side.moments for key, side in sides.items()}
    views = (joint_view(moments), aligned_view(moments))
    chosen, paired = _choose(samples, seed)
    points: list[Point] = []
    for key, rows in chosen.items():
        side = sides[key]
        numbers = [row for row, _ in rows]
        pictures = pictures_of(side, set(numbers), POINT_PIXELS)
        places = [view.points(key, np.asarray(side.features)[numbers]) for view in views]
        for position, (row, group) in enumerate(rows):
            xy = tuple((float(p[position, 0]), float(p[position, 1])) for p in places)
            points.append(Point(key, xy, group, _label(side, row), pictures.get(row)))  # type: ignore[arg-type]
    return Clouds(views, tuple(points), moments, paired)


def _label(side: Side, row: int) -> str:
    if side.texts is not None:
        return side.texts.texts[side.kept[row]]
    return short_name(names_of(side)[row])


def names_of(side: Side) -> Sequence[str]:
    """The images' names, or their places where they have none."""
    return side.names or [f"#{i}" for i in range(side.moments.n or 0)]


def short_name(name: str) -> str:
    """An image's name, of an absolute path its last part."""
    return os.path.basename(name) if os.path.isabs(name) else name


def _choose(
    samples: Mapping[str, SideLike], seed: int
) -> tuple[dict[str, list[tuple[int, int]]], bool]:
    """By side (row, group) of the samples that are drawn, those of one group where there are any.

    The sides are gone through in order: what the first has chosen, the next take the partners of.
    """
    random = np.random.default_rng(seed)
    chosen: dict[str, list[tuple[int, int]]] = {}
    wanted: dict[Any, int] = {}  # group of the samples -> number of the group of points
    paired, count = False, 0
    for key, sample in samples.items():
        if not isinstance(sample, Sample):
            continue
        n = len(sample.features)
        groups = None if sample.groups is None else sample.groups.tolist()
        order = random.permutation(n).tolist()
        rows: list[tuple[int, int]] = []
        seen = set()
        if groups is not None and wanted:
            for row in range(n):
                group = groups[row]
                if group in wanted and group not in seen:
                    seen.add(group)
                    rows.append((row, wanted[group]))
            paired |= bool(rows)
        taken = {row for row, _ in rows}
        for row in order:
            if len(rows) >= min(POINTS, n):
                break
            if row in taken or (groups is not None and groups[row] in seen):
                continue
            rows.append((row, count))
            if groups is not None:
                seen.add(groups[row])
                wanted[groups[row]] = count
            count += 1
        chosen[key] = rows
    return chosen, paired
