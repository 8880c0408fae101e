"""matplotlib's figures as SVG that belongs to the page it stands in.

The page's colours (light, dark, print) are CSS variables and its Content-Security-Policy forbids
style attributes. So colours that stand for variables are replaced, styles become attributes, and
what only a stand-alone file needs (namespaces, metadata, a size) goes.
"""

from __future__ import annotations

import io
import re
import warnings
from contextlib import AbstractContextManager
from typing import Any
from xml.etree import ElementTree

import matplotlib
from matplotlib.figure import Figure

#: What figures are drawn with, and the variable that each becomes.
INK, MUTED, RULE, SURFACE = "#010101", "#020202", "#030303", "#040404"
GENERATED, REAL, CAPTIONS = "#0a0001", "#0a0002", "#0a0003"
#: Of the models of a comparison, the best first; there are no more colours that are told apart.
MODELS = tuple(f"#0b000{i}" for i in range(7))
_VARIABLES = {
    INK: "ink",
    MUTED: "muted",
    RULE: "rule",
    SURFACE: "surface",
    GENERATED: "generated",
    REAL: "real",
    CAPTIONS: "captions",
    **{colour: f"model-{i}" for i, colour in enumerate(MODELS)},
}
_STYLE: Any = {
    "svg.fonttype": "none",  # text stays text: selectable, in the page's font, read aloud
    "svg.hashsalt": "cmdmetric",  # the same figure gives the same file
    "text.parse_math": False,  # a dollar in a name is a dollar
    "font.size": 10,
    "axes.titlesize": 10,
    "axes.edgecolor": RULE,
    "axes.labelcolor": MUTED,
    "axes.facecolor": "none",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.unicode_minus": True,
    "grid.color": RULE,
    "grid.linewidth": 0.6,
    "text.color": INK,
    "xtick.color": RULE,
    "ytick.color": RULE,
    "xtick.labelcolor": MUTED,
    "ytick.labelcolor": MUTED,
    "xtick.labelsize": 9,
    "ytick.labelsize": 9,
    "legend.frameon": False,
    "legend.fontsize": 9,
    "lines.linewidth": 1.8,
    "figure.constrained_layout.use": True,
}
_XLINK = "{http://www.w3.org/1999/xlink}href"
_FONT = re.compile(r"(?:(italic)\s+)?(?:(\d00|bold)\s+)?([\d.]+)px\b")


def style() -> AbstractContextManager[None]:
    """The context in which a figure is to be made and turned into SVG."""
    return matplotlib.rc_context(_STYLE)


def to_svg(figure: Figure, name: str, label: str) -> str:
    """The figure as one <svg> element. name: of the figure on its page; label: read aloud for it.

    Elements that were given a gid keep it as their id, `<name>-<gid>`.
    """
    file = io.StringIO()
    with warnings.catch_warnings():
        # matplotlib's font lacks glyphs that the page's font has.
        warnings.filterwarnings("ignore", message="Glyph")
        nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))
        figure.savefig(file, format="svg", transparent=True, metadata=nothing)
    root = ElementTree.fromstring(file.getvalue())
    for parent in list(root.iter()):
        for child in list(parent):
            if _local(child.tag) in ("metadata", "style"):
                parent.remove(child)
    for element in root.iter():
        _settle(element, name)
    attributes = {
        "viewBox": root.attrib["viewBox"],
        "role": "img",
        "aria-label": label,
        "stroke-linejoin": "round",
        "stroke-linecap": "butt",
        "class": "plot",
    }
    root.attrib.clear()
    root.attrib.update(attributes)
    text = ElementTree.tostring(root, encoding="unicode")
    return re.sub(r">\s*\n\s*<", "><", text)


def _settle(element: ElementTree.Element, name: str) -> None:
    """One element: its tag and attributes without namespaces, its style as attributes."""
    element.tag = _local(element.tag)
    found: dict[str, str] = {}
    for key, value in element.attrib.items():
        if key == "style":
            for part in value.split(";"):
                prop, _, setting = part.partition(":")
                found |= _attribute(prop.strip(), setting.strip())
        elif key == _XLINK:
            found["href"] = f"#{name}-{value[1:]}"
        elif key == "id":
            found["id"] = f"{name}-{value}"
        elif not key.startswith("{"):
            found[key] = value
    element.attrib.clear()
    for key, value in found.items():
        variable = _VARIABLES.get(value.lower())
        value = f"var(--{variable})" if variable else value
        element.set(key, value.replace("url(#", f"url(#{name}-"))


def _attribute(prop: str, setting: str) -> dict[str, str]:
    if prop == "font":
        match = _FONT.search(setting)
        if match is None:
            return {}
        sized = {"font-size": f"{float(match[3]):g}"}
        return {**sized, "font-weight": match[2]} if match[2] else sized
    if prop in ("", "font-family", "font-stretch", "font-style", "font-variant"):
        return {}
    return {prop: setting.removesuffix("px")}


def _local(tag: str) -> str:
    return tag.rpartition("}")[2]
