"""What the site shows beyond docs/: its first pages, README, CONTRIBUTING, and the results.

On disk these are linked as files of the repository (`../benchmarks/results/x.md`); here every link
becomes one within the site.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

#: What a page is called in a sentence, where that is not its file's name.
TITLES = {
    "architecture": "the architecture",
    "ci": "a gate for CI",
    "caching": "the feature cache",
    "cli": "the commands",
    "grgan": "the page on GR-GAN",
    "metrics": "the metrics",
    "preflight": "before a score",
    "report": "the report",
    "scale": "past one machine",
    "scenes-toy": "the bundled encoder",
    "uncertainty": "error bars",
}
ROOT = Path(__file__).resolve().parents[2]
#: Pages that lie outside docs/, or that only the site has.
PAGES = {
    "index.md": "docs/site/landing.md",
    "example.md": "docs/site/example.md",
    "overview.md": "README.md",
    "contributing.md": "CONTRIBUTING.md",
}


def on_files(files: Files, config: Any) -> Files:
    """Add the pages of `PAGES`, benchmarks/ and the schemas of JSON results."""
    for page, source in PAGES.items():
        files.append(File.generated(config, page, abs_src_path=str(ROOT / source)))
    beside = [
        path
        for path in (ROOT / "benchmarks").rglob("*")
        if path.suffix in (".md", ".png", ".jpg", ".json", ".jsonl", ".py")
    ]
    for path in sorted([*beside, *(ROOT / "cmdmetric").rglob("*.schema.json")]):
        name = path.relative_to(ROOT).as_posix()
        files.append(File.generated(config, name, abs_src_path=str(path)))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Links between docs/ and the rest of the repository, as the site lays them out."""
    if page.file.src_uri == "index.md":
        command, output = _first_command()
        return re.sub(
            "<!-- the README's first .* -->", lambda _: f"{command}\n\n{output}", markdown
        )
    if page.file.src_uri == "overview.md":
        # Where the README names a file, the site names the page.
        markdown = re.sub(
            r"\[docs/([\w-]+)\.md\]",
            lambda named: f"[{TITLES.get(named[1], named[1].replace('_', ' '))}]",
            markdown,
        )
        markdown = markdown.replace("](CONTRIBUTING.md", "](contributing.md")
        return re.sub(r"\]\(docs/", "](", markdown)
    if page.file.src_uri == "contributing.md":
        return re.sub(r"\]\(docs/", "](", markdown).replace("](README.md", "](overview.md")
    if page.file.src_uri.startswith("benchmarks/"):
        return re.sub(r"\]\(((?:\.\./)+)docs/", r"](\1", markdown)
    return re.sub(r"\]\(\.\./", "](", markdown.replace("](../README.md", "](overview.md"))


def _first_command() -> tuple[str, str]:
    """The README's first block of commands, and the output below it, as fenced blocks."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    command, output = re.findall(r"^```(?:sh|text)\n.*?^```$", readme, re.M | re.S)[:2]
    return command, output
