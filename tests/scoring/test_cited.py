"""The BibTeX of what a score was made with: in Python, beside a score, and of stored ones."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from cmdmetric.citations import bibtex, entries
from cmdmetric.errors import InputError
from cmdmetric.scoring import METRICS, citations
from cmdmetric.scoring.cited import _ALWAYS, _CLIP, _NETWORKS, _OPEN_CLIP, _TRAINED
from cmdmetric.version import __version__
from tests.support.commands import run

SCORE = {
    "cmd": 1.0, "itdis": 0.5, "dis_fr": 0.5, "dis_fl": 90.0, "dis_rl": 89.5,
    "signature": "CMD|proto:grgan|r:9@00000000|l:9@00000000|v:1", "model": "ViT-B-32/openai",
}  # fmt: skip


def keys(text: str) -> list[str]:
    return re.findall(r"^@\w+\{(.+),$", text, re.M)


def score(**changes: Any) -> dict[str, Any]:
    return {**SCORE, **changes}


def test_entries_are_whole() -> None:
    for key, entry in entries().items():
        assert entry.isascii() and entry.endswith("\n}")
        assert entry.count("{") == entry.count("}")
        # Every line of an entry is a field with its value, the last without a comma.
        first, *fields, last = entry.splitlines()
        assert first.endswith(f"{{{key},") and last == "}"
        assert all(re.fullmatch(r"  \w+ = \{.+\}", line.removesuffix(",")) for line in fields)
        assert all(line.endswith(",") for line in fields[:-1]) and not fields[-1].endswith(",")
        names = [line.split(" = ")[0].strip() for line in fields]
        assert {"title", "author", "year"} <= {*names} and len(names) == len({*names})
    assert f"Version {__version__}" in entries()["cmdmetric"]


def test_every_metric_says_what_it_cites() -> None:
    declared = [*_ALWAYS, _CLIP, _OPEN_CLIP, *_TRAINED.values()]
    declared += [key for of in _NETWORKS.values() for key in of]
    for name, metric in METRICS.items():
        assert metric.cites, f"{name} cites nothing"
        declared += metric.cites
    assert {*declared} <= entries().keys()
    assert keys(bibtex(declared)) == [key for key in entries() if key in {*declared}]
    with pytest.raises(KeyError, match="nothing2020"):
        bibtex(["nothing2020"])


@pytest.mark.parametrize(
    ("changes", "more"),
    [
        ({"model": "scenes-toy"}, {*()}),
        ({}, {_CLIP, _OPEN_CLIP}),
        ({"model": "ViT-H-14/laion2b_s32b"}, {_CLIP, _OPEN_CLIP, "schuhmann2022laion5b"}),
        (
            {"model": None, "signature": "CMD|r:coco2014-val|l:coco2014-val|v:1"},
            {"lin2014coco"},
        ),
        (
            {"model": None, "metrics": {"fid": {}}, "networks": {"inception": {}}},
            {"heusel2017fid", *_NETWORKS["inception"]},
        ),
        ({"model": None, "memorisation": {"authentic": 0.5}}, {"alaa2022faithful"}),
    ],
)
def test_what_was_used(changes: dict[str, Any], more: set[str]) -> None:
    assert {*keys(citations(score(**changes)))} == {*_ALWAYS, *more}


def test_results_of_several_cite_what_any_of_them_used() -> None:
    one, two = score(), score(metrics={"clipscore": {}, "vendi": {}})
    for result in ({"scores": [one, two]}, {"models": [one, two]}, {"first": one, "second": two}):
        assert {"hessel2021clipscore", "friedman2023vendi"} < {*keys(citations(result))}
    assert keys(citations(one, two)) == keys(citations({"scores": [one, two]}))
    for nothing in ({}, [], {"scores": ["a"]}, {"first": 1, "second": one}):
        with pytest.raises(InputError, match="not the JSON of a score"):
            citations(nothing)


@pytest.mark.usefixtures("remembered_example")
def test_commands(example: Path, tmp_path: Path) -> None:
    stored = tmp_path / "score.json"
    done = run(
        "cmd-score", example / "generated", example / "captions.json", "--model", "scenes-toy",
        "--metrics", "clipscore", "--cite", "-q", "-o", stored,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    expected = [*_ALWAYS, "hessel2021clipscore"]
    assert keys(done.stdout) == expected
    content = json.loads(stored.read_text())
    assert content["citations"] in done.stdout
    cited = run("cmdmetric", "cite", stored, stored)
    assert cited.returncode == 0 and cited.stdout == content["citations"]
    assert keys(run("cmdmetric", "cite").stdout) == [*entries()]
    for text in ("{}", "no JSON"):
        (tmp_path / "none.json").write_text(text)
        done = run("cmdmetric", "cite", tmp_path / "none.json")
        assert done.returncode == 2
        assert f"{tmp_path / 'none.json'}: not the JSON of a score" in done.stderr
        assert "Traceback" not in done.stderr and not done.stdout
