"""The command `cmdmetric list`: the names that options take."""

from __future__ import annotations

from collections.abc import Iterator

import click

from cmdmetric.cli.options import explain
from cmdmetric.terminal import say

KINDS = ("metrics", "models", "references", "protocols", "published", "prompts")


@click.command("list", context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("kind", type=click.Choice(KINDS))
@explain
def listing(kind: str) -> None:
    """List names: of --metrics, --model, --real, --protocol, --check, prompts."""
    rows = list(_ROWS[kind]())
    width = max(len(name) for name, _ in rows)
    say(*(f"{name:<{width}}  {about}".rstrip() for name, about in rows))


def _metrics() -> Iterator[tuple[str, str]]:
    from cmdmetric.scoring import METRICS

    for name, metric in METRICS.items():
        numbers = ", ".join(
            f"{number} {'↓' if better == 'lower' else '↑'}"
            for number, better in metric.values.items()
        )
        network = f"; network: {metric.network}" if metric.network else ""
        yield name, f"{numbers}{network}"


def _models() -> Iterator[tuple[str, str]]:
    import open_clip

    from cmdmetric.encoders import BUNDLED, DEFAULT_MODEL

    for name in BUNDLED:
        yield name, "bundled, for drawn scenes: its numbers mean nothing elsewhere"
    yield DEFAULT_MODEL, "the default, as published"
    for model, tag in open_clip.list_pretrained():
        if f"{model}/{tag}" != DEFAULT_MODEL:
            yield f"{model}/{tag}", ""


def _references() -> Iterator[tuple[str, str]]:
    from cmdmetric.scoring import REFERENCES

    for name, reference in REFERENCES.items():
        yield name, f"made with protocol {reference.protocol} and {reference.model}"


def _protocols() -> Iterator[tuple[str, str]]:
    yield "grgan", "the default: as CMD was published; what published numbers compare with"
    yield "clip", "CLIP's own preprocessing; for new work that repeats no published number"


def _published() -> Iterator[tuple[str, str]]:
    from cmdmetric import published

    for table in published.tables():
        for row in table.rows:
            if "cmd" in row.values:
                yield f"published:{table.number}/{row.name}", f"CMD {row.values['cmd']:.2f}"


def _prompts() -> Iterator[tuple[str, str]]:
    from cmdmetric.inputs import PROMPT_SETS

    for name, made in PROMPT_SETS.items():
        yield name, made.about


_ROWS = {
    "metrics": _metrics,
    "models": _models,
    "references": _references,
    "protocols": _protocols,
    "published": _published,
    "prompts": _prompts,
}
