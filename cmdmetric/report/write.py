"""A score as one self-contained HTML page: no network, no other files, light and dark."""

from __future__ import annotations

import contextlib
import json
import os
import re
from collections.abc import Sequence
from typing import Any

from markupsafe import Markup

from cmdmetric.cache import FeatureCache, remembered
from cmdmetric.inputs import ImageSet
from cmdmetric.metrics import QUANTITIES
from cmdmetric.preflight import (
    Finding,
    ImageFacts,
    Inputs,
    Looked,
    Network,
    by_severity,
    inspect,
    look_over,
)
from cmdmetric.protocol import Protocol
from cmdmetric.report.data import ReportData
from cmdmetric.report.family import drawn as drawn_number, family, title_of
from cmdmetric.report.gather import gather
from cmdmetric.report.page import check_report, command, page, shown, write_page
from cmdmetric.report.verdict import reasons, sentence
from cmdmetric.scoring import CMDScore, Encoding, Scored, Side, values_of_real


def write_report(
    found: Scored,
    path: str | os.PathLike[str],
    findings: Sequence[Finding] = (),
    title: str | None = None,
    cache: FeatureCache | None = None,
) -> None:
    """Write the report of a score and its sides; the file appears whole or not at all.

    Args:
        found: The score and its sides.
        path: Where the page is written.
        findings: Those of a look at the inputs (`look_at`).
        title: The page's title, by default what the generated images are called.
        cache: Where what takes long is looked up and kept; None computes it.

    Raises:
        InputError: It cannot be written there, or matplotlib is not installed.
    """
    check_report(path)
    with cache or contextlib.nullcontext():
        of_real = values_of_real(
            found.score.metrics, found.r, found.real_captions or found.l, found.seen, cache
        )
        data = gather(
            found.score, *found.sides, command=command(), findings=findings, copies=found.copies,
            of_real=of_real, cache=cache,
        )  # fmt: skip
    write_page(render(data, title), path)


def look_at(found: Scored, encoding: Encoding) -> tuple[Finding, ...]:
    """Look for what `cmdmetric doctor` would find in the inputs of a score.

    The inputs are those that the score was made of, as they were opened then. Sets of images that
    the cache knows are not decoded again.

    Args:
        found: The score, of inputs that can be read a second time.
        encoding: What it was made with.
    """
    if found.opened is None:
        return ()
    sides = {"generated": found.f, "real": found.r}
    network = Network(encoding.encoder.protocol, "", None, None, None)
    if any(not isinstance(opened, Side) for opened in found.opened):
        network = Network.of(encoding.encoder)
    with encoding.cache or contextlib.nullcontext() as cache:

        def look(subject: str, images: ImageSet) -> Looked:
            return _recalled(sides[subject], cache, images, network.protocol, encoding.progress)

        return by_severity(
            inspect(Inputs(*found.opened), network, look, found.l.truncated).findings
        )


def _recalled(
    side: Side, cache: FeatureCache | None, images: ImageSet, protocol: Protocol, progress: bool
) -> Looked:
    """Give what `look_over` does, from the cache where it is there; the side is of these images."""

    def compute() -> dict[str, Any]:
        facts, failed = look_over(images, protocol, progress)
        return {"facts": facts, "failed": failed}

    if side.names is None or side.skipped:  # a side is known by the images that it has kept
        return look_over(images, protocol, progress)
    known_by = [side.identity, *(json.dumps(x).encode() for x in (side.names, protocol.to_dict()))]
    found = remembered(cache, "facts of images", known_by, compute)
    return [ImageFacts(*fact) for fact in found["facts"]], [(n, why) for n, why in found["failed"]]


def render(data: ReportData, title: str | None = None) -> str:
    """Give the report as HTML, with a title of one's own. It needs matplotlib (`report`)."""
    from cmdmetric.report import figures as plots, headlines
    from cmdmetric.report.hashes import FOLDER_COMMAND

    score, bars = data.score, data.score.uncertainty
    gauge = plots.gauge_bars(score, data.published)
    drawn = len(data.growth) > 1
    figures = {
        "gauge": plots.gauge(gauge),
        "clouds": [plots.clouds(data.clouds, view, f"clouds{view}") for view in (0, 1)],
        "labels": [plots.clouds_label(data.clouds, view) for view in (0, 1)],
        "spectrum": plots.spectra(data.spectrum),
        "ratio": plots.ratios(data.spectrum),
        "growth": plots.growth(data.growth, score) if drawn else "",
        "similarity": plots.similarity(data.similarity) if data.similarity else "",
    }
    texts = {
        "spectrum": headlines.spectrum_text(data.spectrum),
        "ratio": headlines.ratio_text(data.spectrum),
        "growth": headlines.growth_text(data.growth) if drawn else "",
        "similarity": headlines.similarity_text(data.similarity) if data.similarity else "",
    }
    titles = {
        "gauge": headlines.published_title(score, data.published),
        "clouds": headlines.clouds_title(score, data.clouds),
        "spectrum": headlines.spectrum_title(data.spectrum),
        "ratio": headlines.ratio_title(data.spectrum),
        "growth": headlines.growth_title(data.growth, score) if drawn else "Sample size",
        "similarity": headlines.similarity_title(data.similarity)
        if data.similarity
        else "Fit to the captions",
    }
    quantities = [
        (title, getattr(score, name), bars and getattr(bars, name))
        for name, title in QUANTITIES.items()
    ]
    of_family = family(data)
    sections = [
        ("score", "Score"),
        *([("metrics", "Metrics")] if of_family else []),
        *([("samples", "Images")] if data.examples else []),
        *([("findings", "Findings")] if data.findings else []),
        *([("gauge", "Published")] if data.published else []),
        ("clouds", "Clouds"),
        ("diversity", "Diversity"),
        ("samples-n", "Sample size and fit"),
        *([("copies", "Copies")] if score.memorisation else []),
        ("reproduce", "Reproduce"),
    ]
    sides = {"f": "Generated", "r": "Real", "l": "Caption"}
    points = [
        {"side": p.side, "group": p.group, "label": shown(p.label, 300), "image": p.image}
        for p in data.clouds.points
    ]
    return page(
        "report.html",
        data=data,
        title=title or _title(score.generated),
        verdict=sentence(score),
        reasons=reasons(data),
        family=of_family,
        drawn=drawn_number,
        headlines=titles,
        pairs=any(example.real for example in data.examples),
        score=score,
        bars=bars,
        gauge=gauge,
        unsplit=any(bar.itdis is None for bar in gauge),
        figures=_markup(figures),
        texts=texts,
        quantities=quantities,
        titles=QUANTITIES,
        slice_numbers=_slice_numbers(score),
        title_of=title_of,
        slice_places={
            each.label: i for i, each in enumerate(score.slices.slices if score.slices else ())
        },
        sections=sections,
        names=sides,
        points={"points": points, "names": sides},
        dimensions=len(data.spectrum.r),
        folder_command=FOLDER_COMMAND,
    )


def _slice_numbers(score: CMDScore) -> list[str]:
    """The pair metrics that slices have."""
    slices = score.slices.slices if score.slices is not None else ()
    return list(dict.fromkeys(name for each in slices for name in each.metrics))


def _title(source: str) -> str:
    """The last part of a path, or what else the source is called."""
    return re.split(r"[/\\]", source.rstrip("/\\"))[-1] or source


def _markup(figures: dict[str, Any]) -> dict[str, Any]:
    """The figures, which are markup already; their labels stay text."""
    marked: dict[str, Any] = {k: Markup(v) for k, v in figures.items() if isinstance(v, str)}
    return {**marked, "clouds": [Markup(v) for v in figures["clouds"]], "labels": figures["labels"]}
