"""A configuration's table from its files: a preset or a TOML file, set upon its base.

A file may begin with

    base = "coco"           the preset that it changes; `--base` puts it upon another
    order = "I-S-W"         the kinds of the stages, whose sizes are the base's

and a table that bears a preset's name, as in `[coco.train]`, counts upon that base only: what a
system needs there and nowhere else.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any

from grgan_ref.errors import GrganError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

Table = dict[str, Any]


def presets() -> list[str]:
    """Names of the presets that come with the package."""
    folder = resources.files("grgan_ref") / "presets"
    return sorted(f.name[: -len(".toml")] for f in folder.iterdir() if f.name.endswith(".toml"))


def read_table(name: str, base: str | None = None) -> Table:
    """The table of a preset or TOML file, merged into that of its base; `order` is left in it.

    Raises:
        GrganError: The file cannot be read, its base is unknown, or `base` is given for a file that
            has none.
    """
    table = _parse(name)
    own = table.pop("base", None)
    if base is not None and own is None:
        raise GrganError(f"{name} has no base that {base!r} could replace: leave out --base")
    if own is not None and not isinstance(own, str):
        raise GrganError(f"{name}: base is {own!r}; it must be the name of a preset")
    base = base or own
    only_upon = {key: table.pop(key) for key in list(table) if key in presets()}
    if base is None:
        return table
    return merge(merge(read_table(base), table), only_upon.get(base, {}))


def merge(table: Mapping[str, Any], changes: Mapping[str, Any]) -> Table:
    """`table` with the values of `changes`, tables within tables merged in the same way."""
    result = dict(table)
    for key, value in changes.items():
        both = isinstance(value, Mapping) and isinstance(result.get(key), Mapping)
        result[key] = merge(result[key], value) if both else value
    return result


def parse_value(text: str, where: str) -> Any:
    """A TOML value, as in 16, "adam" or [0.5, 0.9].

    Raises:
        GrganError: It is no such value. The message names `where`.
    """
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        raise GrganError(f"{where}={text}: {text!r} is not a TOML value") from None


def _parse(name: str) -> Table:
    if name in presets():
        origin = f"preset {name}"
        text = (resources.files("grgan_ref") / "presets" / f"{name}.toml").read_text("utf-8")
    else:
        origin = name
        try:
            text = Path(name).read_text("utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise GrganError(
                f"config {name!r}: neither a preset ({', '.join(presets())}) nor a readable TOML "
                f"file: {error}"
            ) from None
    try:
        return tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise GrganError(f"{origin}: not a TOML file: {error}") from None
