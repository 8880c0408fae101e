"""What a shell offers for the arguments of the commands: names, where they are known, and files.

click has the scripts for bash, zsh and fish. A key press waits for the answer, so nothing here
imports torch, open_clip, numpy or Pillow.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, TypeAlias

import click
from click.shell_completion import (
    BashComplete,
    CompletionItem,
    add_completion_class,
    split_arg_string,
)

if TYPE_CHECKING:
    Items: TypeAlias = list[CompletionItem[str]]
    Completer: TypeAlias = Callable[[click.Context, click.Parameter, str], Items]


@add_completion_class
class Bash(BashComplete):
    """bash takes a colon for the end of a word, and replaces what stands behind the last one."""

    #: What of the word is before that.
    _before = ""

    def get_completion_args(self) -> tuple[list[str], str]:
        """Give the words before the one that is completed, and that one, both with their colons."""
        words = split_arg_string(os.environ["COMP_WORDS"])
        at = int(os.environ["COMP_CWORD"])
        whole: list[str] = []
        joined = False
        for word in [*words[:at], words[at] if at < len(words) else ""]:
            colon = word != "" and not word.strip(":")
            if whole and (colon or joined):
                whole[-1] += word
            else:
                whole.append(word)
            joined = colon
        self._before = whole[-1][: whole[-1].rfind(":") + 1]
        return whole[1:-1], whole[-1]

    def format_completion(self, item: CompletionItem[str]) -> str:
        """Give the line that click's script for bash reads."""
        return f"{item.type},{item.value.removeprefix(self._before)}"


def paths(ctx: click.Context, param: click.Parameter, incomplete: str) -> Items:
    """Offer files and folders; the shell looks for them."""
    return [CompletionItem(incomplete, type="file")]


def names(known: Iterable[str], *, files: bool = False) -> Completer:
    """Make a completer that offers some names, and files too where those are meant as well."""
    values = tuple(known)

    def complete(ctx: click.Context, param: click.Parameter, incomplete: str) -> Items:
        return _offered(values, incomplete, files=files)

    return complete


def listed(known: Iterable[str]) -> Completer:
    """Make a completer for names separated by commas, each of which comes at most once."""
    values = tuple(known)

    def complete(ctx: click.Context, param: click.Parameter, incomplete: str) -> Items:
        done, comma, _ = incomplete.rpartition(",")
        left = [name for name in values if name not in done.split(",")]
        return _offered([f"{done}{comma}{name}" for name in left], incomplete)

    return complete


def metrics(ctx: click.Context, param: click.Parameter, incomplete: str) -> Items:
    """Offer the metrics, several of them separated by commas, and all."""
    from cmdmetric.scoring import METRICS

    return listed((*METRICS, "all"))(ctx, param, incomplete)


def models(ctx: click.Context, param: click.Parameter, incomplete: str) -> Items:
    """Offer the bundled encoder, the default one, and folders.

    open_clip's list of all models can only be had together with torch, seconds after the key press.
    """
    from cmdmetric.encoders import BUNDLED, DEFAULT_MODEL

    return _offered([*BUNDLED, DEFAULT_MODEL], incomplete, files=True)


def protocols(ctx: click.Context, param: click.Parameter, incomplete: str) -> Items:
    """Offer the named protocols, and files."""
    from cmdmetric.protocol import CLIP, GRGAN

    return _offered((GRGAN.name, CLIP.name), incomplete, files=True)


def references(ctx: click.Context, param: click.Parameter, incomplete: str) -> Items:
    """Offer the named references, and files."""
    from cmdmetric.scoring import REFERENCES

    return _offered(REFERENCES, incomplete, files=True)


def prompt_sets(ctx: click.Context, param: click.Parameter, incomplete: str) -> Items:
    """Offer the named sets of prompts."""
    from cmdmetric.inputs import PROMPT_SETS

    return _offered(PROMPT_SETS, incomplete)


devices = names(("cpu", "cuda", "mps"))


def _offered(values: Iterable[str], incomplete: str, *, files: bool = False) -> Items:
    # Files come first: bash, which cannot offer both, then offers files where no name fits.
    items = [CompletionItem(incomplete, type="file")] if files else []
    return items + [CompletionItem(value) for value in values if value.startswith(incomplete)]
