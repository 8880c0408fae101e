"""Self-contained HTML pages: nothing is loaded, sent or run but what is in the file."""

from __future__ import annotations

import base64
import hashlib
import os
import shlex
import sys
from importlib.resources import files
from importlib.util import find_spec
from typing import Any

import click
import jinja2
from markupsafe import Markup

from cmdmetric.errors import InputError
from cmdmetric.files import check_place, whole_file
from cmdmetric.terminal import shown as visible
from cmdmetric.version import __version__


def check_report(path: str | os.PathLike[str]) -> None:
    """Refuse a place where no report could be written, before the work rather than after it.

    Raises:
        InputError: It cannot be written there, or matplotlib is not installed.
    """
    if find_spec("matplotlib") is None:
        raise InputError("a report needs matplotlib: pip install 'cmdmetric[report]'")
    check_place(path)


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
    return environment.get_template(template).render(
        css=Markup(css), js=Markup(js), policy=Markup(policy), version=__version__, **values
    )


def command() -> str:
    """The command line, where one of this package's commands is running."""
    context = click.get_current_context(silent=True)
    name = context and context.find_root().info_name
    return shlex.join([name, *sys.argv[1:]]) if name else ""


def write_page(text: str, path: str | os.PathLike[str]) -> None:
    """Write a page so that it appears whole or not at all.

    Raises:
        InputError: It cannot be written.
    """
    with whole_file(path) as file:
        file.write(text.encode("utf-8"))


def shown(text: str, longest: int) -> str:
    """A user's text as it may be shown: what cannot be seen is escaped, and it is not endless."""
    text = visible(str(text)[: longest + 1], keep="\n\t")
    return text if len(text) <= longest else text[: longest - 1] + "…"


def fixed(value: float | None, form: str = "%.4f") -> str:
    """A number with a true minus sign; what rounds to zero has none, and no number is a dash.

    >>> fixed(-0.00001), fixed(-1.5, "%.1f"), fixed(None)
    ('0.0000', '−1.5', '–')
    """
    if value is None:
        return "–"
    text = form % value
    return text.lstrip("-+") if not text.strip("-+0.") else text.replace("-", "−")


def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FunctionLoader(_read),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["shown"] = shown
    environment.globals["zip"] = zip
    environment.globals["fixed"] = fixed
    return environment


def _read(name: str) -> str:
    return files("cmdmetric.report").joinpath(f"templates/{name}").read_text(encoding="utf-8")


def _hash(text: str) -> str:
    return "'sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() + "'"
