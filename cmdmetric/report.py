"""A score as one self-contained HTML page: no network, no other files, light and dark."""

from __future__ import annotations

import base64
import hashlib
import os
import re
import sys
import warnings
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cmdmetric.errors import InputError
from cmdmetric.paths import shown as visible
from cmdmetric.protocol import Protocol
from cmdmetric.report_data import ReportData
from cmdmetric.report_gather import gather
from cmdmetric.score import CMDScore, encode_sides, encoding_of, score_of
from cmdmetric.sources import Source
from cmdmetric.version import __version__
from cmdmetric.whole_file import whole_file

if TYPE_CHECKING:
    import jinja2
    import torch

    from cmdmetric.encoder import Encoder
    from cmdmetric.features import OnError


def check_report(path: str | os.PathLike[str]) -> None:
    """Raise InputError if no report could be written there: told before the work, not after it."""
    absent = [name for name in ("jinja2", "matplotlib") if find_spec(name) is None]
    if absent:
        raise InputError(f"a report needs {' and '.join(absent)}: pip install 'cmdmetric[report]'")
    folder = Path(path).absolute().parent
    if not folder.is_dir():
        raise InputError(f"cannot write {path}: {folder} is no folder")
    if Path(path).is_dir():
        raise InputError(f"cannot write {path}: it is a folder")
    if not os.access(folder, os.W_OK):
        raise InputError(f"cannot write {path}: {folder} is not yours to write to")


def report(
    generated: Source,
    captions: Source,
    real: Source | None = None,
    *,
    path: str | os.PathLike[str],
    command: str = "",
    model: str | Path | None = None,
    weights: str | Path | None = None,
    protocol: Protocol | str | Path = "grgan",
    device: str | torch.device | None = None,
    batch_size: int = 32,
    on_error: OnError = "raise",
    progress: bool = False,
    cache: bool | str | Path = True,
    encoder: Encoder | None = None,
) -> CMDScore:
    """Score generated images as `cmdmetric.cmd` does, and write a report of it to `path`.

    command: how it was called, for the report's readers. Other arguments and errors as for `cmd`;
    InputError too where no report could be written, which is found out before anything is encoded.
    """
    check_report(path)
    with encoding_of(
        model, weights, protocol, device, batch_size, on_error, progress, cache, encoder
    ) as encoding:
        (f,), r, l = encode_sides([generated], captions, real, encoding)  # noqa: E741
    score = score_of(f, r, l, encoding.cache)
    for note in score.warnings:
        warnings.warn(note, UserWarning, stacklevel=2)
    if progress:
        print(f"report: drawing {path}", file=sys.stderr)
    write_report(gather(score, f, r, l, command=command), path)
    return score


def write_report(data: ReportData, path: str | os.PathLike[str]) -> None:
    """Write the page of `render`; the file appears whole or not at all. Raises InputError."""
    check_report(path)
    write_page(render(data), path)


def render(data: ReportData) -> str:
    """The report as HTML. Needs jinja2 and matplotlib (the extra `report`)."""
    from cmdmetric import report_plots as plots
    from cmdmetric.report_hashes import FOLDER_COMMAND

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
        "spectrum": plots.spectrum_text(data.spectrum),
        "ratio": plots.ratio_text(data.spectrum),
        "growth": plots.growth_text(data.growth) if drawn else "",
        "similarity": plots.similarity_text(data.similarity) if data.similarity else "",
    }
    names = ("cmd", "itdis", "dis_fr", "dis_fl", "dis_rl")
    titles = ("CMD", "ITDis", "Dis(f,r)", "Dis(f,l)", "Dis(r,l)")
    quantities = [
        (title, getattr(score, name), bars and getattr(bars, name))
        for title, name in zip(titles, names, strict=True)
    ]
    sections = [
        ("score", "Score"),
        *([("findings", "Findings")] if data.findings else []),
        ("gauge", "Published"),
        ("clouds", "Clouds"),
        ("diversity", "Diversity"),
        ("samples-n", "Sample size and fit"),
        ("samples", "Images"),
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
        title=_title(score.generated),
        score=score,
        bars=bars,
        gauge=gauge,
        unsplit=any(bar.itdis is None for bar in gauge),
        figures=_markup(figures),
        texts=texts,
        quantities=quantities,
        sections=sections,
        names=sides,
        points={"points": points, "names": sides},
        dimensions=len(data.spectrum.r),
        folder_command=FOLDER_COMMAND,
    )


def page(template: str, **values: Any) -> str:
    """A template of this package filled in, its styles and script inline and allowed by hash."""
    environment = _environment()
    css, js = (_read(name) for name in ("page.css", "page.js"))
    # Nothing is loaded, sent or run but what is in this file: not even what a caption smuggles in.
    policy = "; ".join(
        (
            "default-src 'none'",
            "img-src data:",
            f"style-src {_hash(css)}",
            f"script-src {_hash(js)}",
            "base-uri 'none'",
            "form-action 'none'",
        )
    )
    from markupsafe import Markup

    return environment.get_template(template).render(
        css=Markup(css), js=Markup(js), policy=Markup(policy), version=__version__, **values
    )


def write_page(text: str, path: str | os.PathLike[str]) -> None:
    """Write a page so that it appears whole or not at all. Raises InputError."""
    with whole_file(path) as file:
        file.write(text.encode("utf-8"))


def shown(text: str, longest: int) -> str:
    """A user's text as it may be shown: what cannot be seen is escaped, and it is not endless."""
    text = visible(str(text)[: longest + 1], keep="\n\t")
    return text if len(text) <= longest else text[: longest - 1] + "…"


def _title(source: str) -> str:
    """The last part of a path, or what else the source is called."""
    return re.split(r"[/\\]", source.rstrip("/\\"))[-1] or source


def _environment() -> jinja2.Environment:
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.FunctionLoader(_read),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["shown"] = shown
    environment.globals["zip"] = zip
    return environment


def _read(name: str) -> str:
    return files("cmdmetric").joinpath("templates").joinpath(name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    return "'sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() + "'"


def _markup(figures: dict[str, Any]) -> dict[str, Any]:
    """The figures, which are markup already; their labels stay text."""
    from markupsafe import Markup

    marked: dict[str, Any] = {k: Markup(v) for k, v in figures.items() if isinstance(v, str)}
    return {**marked, "clouds": [Markup(v) for v in figures["clouds"]], "labels": figures["labels"]}
