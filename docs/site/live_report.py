"""The example's report and comparison as pages of the site, made anew whenever it is built."""

from __future__ import annotations

import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import example_pages
from mkdocs.structure.files import File, Files

#: The site keeps no files of its own but these, as long as `mkdocs serve` runs.
_FOLDER = tempfile.TemporaryDirectory(prefix="cmdmetric-site-")


@cache
def _pages() -> dict[str, Path]:
    return example_pages.write(Path(_FOLDER.name))


def on_files(files: Files, config: Any) -> Files:
    """Add example/report.html and example/compare.html."""
    for name, path in _pages().items():
        files.append(File.generated(config, f"example/{name}.html", abs_src_path=str(path)))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Where a page of docs/ shows the report as a picture, a click leads to the living one."""
    if page.file.src_uri != "report.md":
        return markdown
    for name in _pages():
        before, start, after = markdown.partition(f"](images/{name}.png)")
        opening = before.rindex("![")
        before = f"{before[:opening]}[{before[opening:]}"
        markdown = f"{before}{start}](example/{name}.html){after}"
    return markdown
