"""What a shell offers for the arguments of the commands: names, where they are known, and files.

A key press waits for it, so nothing here imports torch, open_clip or scipy.
"""

from __future__ import annotations

import ast
import importlib.util
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import click
from click.shell_completion import CompletionItem

if TYPE_CHECKING:
    Items: TypeAlias = list[CompletionItem[str]]
    Completer: TypeAlias = Callable[[click.Context, click.Parameter, str], Items]

BUNDLED_MODEL = "scenes-toy"


def paths(ctx: click.Context, param: click.Parameter, incomplete: str) -> Items:
    """Files and folders; the shell looks for them."""
    return [CompletionItem(incomplete, type="file")]


def names(known: Iterable[str], *, files: bool = False) -> Completer:
    """Some names, and files too where those are meant as well."""
    values = tuple(known)

    def complete(ctx: click.Context, param: click.Parameter, incomplete: str) -> Items:
        return _of(values, incomplete) + (paths(ctx, param, incomplete) if files else [])

    return complete


def listed(known: Iterable[str]) -> Completer:
    """A list of names separated by commas, each at most once."""
    values = tuple(known)

    def complete(ctx: click.Context, param: click.Parameter, incomplete: str) -> Items:
        done, comma, last = incomplete.rpartition(",")
        left = [name for name in values if name not in done.split(",")]
        return [
            CompletionItem(f"{done}{comma}{name}", nospace=True)
            for name in left
            if name.startswith(last)
        ]

    return complete


def models(ctx: click.Context, param: click.Parameter, incomplete: str) -> Items:
    """The bundled encoder, NAME/TAG of open_clip's list (NAME beside --weights), folders."""
    known = open_clip_models()
    if ctx.params.get("weights"):
        values = list(known)
    else:
        values = [f"{name}/{tag}" for name, tags in known.items() for tag in tags]
    return _of([BUNDLED_MODEL, *values], incomplete) + paths(ctx, param, incomplete)


def protocols(ctx: click.Context, param: click.Parameter, incomplete: str) -> Items:
    """The named protocols, and files."""
    from cmdmetric.protocol import CLIP, GRGAN

    return _of((GRGAN.name, CLIP.name), incomplete) + paths(ctx, param, incomplete)


def references(ctx: click.Context, param: click.Parameter, incomplete: str) -> Items:
    """The named references, and files."""
    from cmdmetric.scoring import REFERENCES

    return _of(REFERENCES, incomplete) + paths(ctx, param, incomplete)


def checks(ctx: click.Context, param: click.Parameter, incomplete: str) -> Items:
    """published:NAME for every row that a score can be checked against, and files."""
    from cmdmetric.published import tables

    rows = [
        f"published:{row.name}"
        for table in tables()
        if table.setting is not None
        for row in table.rows
        if row.values
    ]
    found = _of(dict.fromkeys(rows), incomplete)
    return found if incomplete.startswith("published:") else found + paths(ctx, param, incomplete)


devices = names(("cpu", "cuda", "mps"))


def open_clip_models() -> dict[str, list[str]]:
    """The models of the installed open_clip with the tags of their weights: as its source says.

    Importing open_clip imports torch, seconds too late. Where its source no longer looks like this,
    nothing is offered.
    """
    spec = importlib.util.find_spec("open_clip")
    if spec is None or not spec.submodule_search_locations:
        return {}
    folder = Path(spec.submodule_search_locations[0])
    try:
        tree = ast.parse((folder / "pretrained.py").read_text(encoding="utf-8"))
        tables = {
            statement.targets[0].id: statement.value
            for statement in tree.body
            if isinstance(statement, ast.Assign) and isinstance(statement.targets[0], ast.Name)
        }
        found = _tags_by_model(tables["_PRETRAINED"], tables)
    except (OSError, SyntaxError, ValueError, KeyError):
        return {}
    built = {path.stem for path in (folder / "model_configs").glob("*.json")}
    return {name: tags for name, tags in found.items() if name in built}


def _tags_by_model(table: ast.expr, tables: dict[str, ast.expr]) -> dict[str, list[str]]:
    """What pretrained.py states, with the -quickgelu names that it derives."""
    found: dict[str, list[str]] = {}
    quick: dict[str, list[str]] = {}
    for name, entry in _entries(table):
        weights = tables[entry.id] if isinstance(entry, ast.Name) else entry
        found[name] = [tag for tag, _ in _entries(weights)]
        if tags := [tag for tag, config in _entries(weights) if _is_quick(config)]:
            quick[f"{name}-quickgelu"] = tags
    return found | quick


def _entries(table: ast.expr) -> list[tuple[str, ast.expr]]:
    """Of {"a": x}, or of dict(a=x)."""
    if isinstance(table, ast.Dict):
        return [
            (str(ast.literal_eval(key)), value)
            for key, value in zip(table.keys, table.values, strict=True)
            if key is not None
        ]
    if not isinstance(table, ast.Call):
        raise ValueError("neither a dictionary nor a call of dict")
    return [(word.arg, word.value) for word in table.keywords if word.arg is not None]


def _is_quick(config: ast.expr) -> bool:
    return any(
        key == "quick_gelu" and isinstance(value, ast.Constant) and value.value is True
        for key, value in _entries(config)
    )


def _of(values: Iterable[str], incomplete: str) -> Items:
    return [CompletionItem(value) for value in values if value.startswith(incomplete)]
