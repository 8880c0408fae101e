"""The report as a file: self-contained, escaped, accessible in its structure, bounded in size."""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import json
import os
import re
import shutil
import sys
import warnings
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from cmdmetric import cmd
from cmdmetric.errors import InputError
from cmdmetric.inputs.image_set import ImageItem, ImageSet
from cmdmetric.inputs.images import open_images
from cmdmetric.preflight.facts import ImageFacts, facts_of
from cmdmetric.report.gather import gather, published_of
from cmdmetric.report.page import check_report, shown, write_page
from cmdmetric.report.write import render
from cmdmetric.scoring.side import Side
from cmdmetric.scoring.statistics import score_of
from tests.conftest import ROOT, shared
from tests.support.commands import run
from tests.support.reports import Page, sides

ATTACKS = [
    "<script>alert(1)</script>",
    "</script><script>alert(2)</script>",
    '"><img src=x onerror=alert(3)>',
    "' onmouseover='alert(4)",
    "javascript:alert(5)",
    "{{ 7*7 }}{% raw %}{{ config }}",
    "${7*7}`<!--",
    "]]></svg><style>*{display:none}</style>",
    "<!--<script>",
    "&lt;b&gt; &amp; \u2028\u2029",
    "\x00\x1b[31m\x7f",
    "\u202eevil\u202c",
    "x" * 100_000,
    "🐈 漢字 עברית",
]


@pytest.fixture(scope="module")
def attacked() -> str:
    texts = [f"{attack} {i}" for i in range(40) for attack in ATTACKS][:400]
    names = [f"{ATTACKS[i % len(ATTACKS)][:200]}-{i}-\udcff.png" for i in range(400)]
    f, r, l = sides(400, texts=texts, names=names)
    hostile = '<b onclick="alert(6)">/</b></title>'
    f = dataclasses.replace(f, source=hostile, skipped=((hostile, hostile),))
    return render(gather(score_of(f, r, l), f, r, l, command=f"cmd-score '{hostile}' </code>"))


def test_it_is_one_file(attacked: str) -> None:
    page = Page(attacked)
    assert page.mistakes == []
    for tag, attributes in page.elements:
        for key, value in attributes.items():
            if key in ("src", "href", "xlink:href", "action", "data", "srcset", "poster"):
                assert value and value.startswith(("#", "data:image/webp;base64,")), (tag, key)
            assert not key.startswith("on") and key != "style", (tag, key)
    assert {tag for tag, _ in page.elements}.isdisjoint(
        {"link", "iframe", "object", "embed", "form", "base", "foreignobject", "video"}
    )
    css = "".join(page.texts["style"])
    assert "url(" not in css and "@import" not in css


def test_policy_allows_its_own_script_and_styles_alone(attacked: str) -> None:
    page = Page(attacked)
    policy = next(
        m["content"] for m in page.all("meta") if m.get("http-equiv") == "Content-Security-Policy"
    )
    rules = dict(rule.split(" ", 1) for rule in policy.split("; "))
    assert rules["default-src"] == rules["base-uri"] == rules["form-action"] == "'none'"
    assert rules["img-src"] == "data:"
    for directive, tag in (("style-src", "style"), ("script-src", "script")):
        content = re.search(rf"<{tag}>(.*?)</{tag}>", attacked, re.S)[1]
        digest = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
        assert rules[directive] == f"'sha256-{digest}'"


def test_captions_are_text(attacked: str) -> None:
    page = Page(attacked)
    # Two scripts: the page's own and its data; nothing that a caption brought.
    assert [s.get("type") for s in page.all("script")] == ["application/json", None]
    assert len(page.all("style")) == 1 and page.all("b") == [{}] * len(page.all("b"))
    body = "".join(page.texts["p"]) + "".join(page.texts["td"])
    for attack in (
        "<script>alert(1)</script>",
        "{{ 7*7 }}{% raw %}",
        "javascript:alert(5)",
        "漢字",
    ):
        assert attack in body
    data = json.loads("".join(t for t in page.texts["script"] if t.startswith("{")))
    labels = "".join(point["label"] for point in data["points"])
    assert "</script><script>alert(2)" in labels
    for bad in ("\x00", "\x1b", "\u202e", "\udcff"):
        assert bad not in attacked and bad not in labels
    assert max(len(point["label"]) for point in data["points"]) <= 300
    assert len(attacked) < 6_000_000
    attacked.encode("utf-8")


def test_structure_for_people_who_do_not_see_it(attacked: str) -> None:
    page = Page(attacked)
    assert page.all("html")[0]["lang"] == "en"
    levels = [int(tag[1]) for tag, _ in page.elements if re.fullmatch("h[1-6]", tag)]
    assert levels[0] == 1 and levels.count(1) == 1
    assert all(b <= a + 1 for a, b in pairwise(levels))
    assert len(page.all("main")) == len(page.all("nav")) == len(page.all("header")) == 1
    assert all(image.get("alt", "").strip() for image in page.all("img")) and page.all("img")
    assert all(svg.get("role") == "img" and svg.get("aria-label") for svg in page.all("svg"))
    ids = [a["id"] for _, a in page.elements if "id" in a]
    assert len(ids) == len(set(ids))
    for key in ("aria-labelledby", "for", "data-copy"):
        assert all(a[key] in ids for _, a in page.elements if key in a)
    assert all(a["href"][1:] in ids for a in page.all("a"))
    assert all(u["href"][1:] in ids for u in page.all("use"))
    clips = re.findall(r"url\(#([^)]+)\)", attacked)
    assert clips and set(clips) <= set(ids)
    assert all(th.get("scope") for th in page.all("th"))


@pytest.mark.slow
def test_size_is_bounded_whatever_the_number_of_samples() -> None:
    # Pictures of noise and long captions: the largest that a report can become.
    n = 30_000
    f, r, l = sides(n, texts=[f"{i} " + "long caption " * 40 for i in range(n)])
    text = render(gather(score_of(f, r, l), f, r, l))
    assert 1_000_000 < len(text.encode()) < 10_000_000
    assert "30,000 generated images" in text


def test_the_same_input_gives_the_same_page() -> None:
    f, r, l = sides(80)
    score = score_of(f, r, l)
    assert render(gather(score, f, r, l)) == render(gather(score, f, r, l))


def test_moments_say_what_is_missing() -> None:
    bare = [Side(side.moments, side.source) for side in sides(100)]
    text = render(gather(score_of(*bare), *bare))
    assert Page(text).mistakes == []
    for part in ("only moments were given", "Gaussians to show, but no samples", "No error bar"):
        assert part in " ".join(text.split())
    assert "application/json" not in text


def test_published_numbers_are_not_drawn_on_trust() -> None:
    real, text = (shared(f"reference/coco2014-val.{side}.npz") for side in ("real", "text"))
    out = Path(os.environ["HOME"]) / "coco.html"
    done = run("cmd-score", real, text, "--real", "coco2014-val", "--report", out,
               CMDMETRIC_REFERENCES=str(real.parent))  # fmt: skip
    assert done.returncode == 0, done.stderr
    # The released moments record no protocol: the score is not known to be of their setting.
    assert "DM-GAN" not in out.read_text() and 'id="gauge"' not in out.read_text()
    known = published_of("grgan", "ViT-B-32/openai", "coco2014-val", "|r:coco2014-val|")
    assert "DM-GAN" in [each.name for each in known]  # of their setting it would be drawn


@pytest.mark.usefixtures("remembered_example")
def test_command(tmp_path: Path) -> None:
    example = ROOT / "examples"
    done = run("cmd-score", example / "generated", example / "captions.json", "--model",
               "scenes-toy", "--report", "r.html", "-q", "--metrics", "clipscore", "--format",
               "json", cwd=tmp_path)  # fmt: skip
    assert done.returncode == 0, done.stderr
    score = json.loads(done.stdout)
    assert done.stderr == "" and os.listdir(tmp_path) == ["r.html"]
    text = (tmp_path / "r.html").read_text(encoding="utf-8")
    page = Page(text)
    assert page.mistakes == []
    assert "Further metrics" in text and f"{score['metrics']['clipscore']['value']:.4f}" in text
    assert score["signature"] in text and "--report r.html" in text
    assert f"{score['cmd']:.4f}" in text and score["weights"] in text
    pictures = page.all("img")
    # Every chosen generated image stands beside the real one of its caption.
    assert 2 * 8 < len(pictures) <= 2 * 32 and len(pictures) % 2 == 0


@pytest.mark.slow
def test_images_are_looked_at_once(
    tmp_path: Path, small_example: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, captions = tmp_path / "generated", small_example / "captions.json"
    shutil.copytree(small_example / "generated", folder)
    one, two = sorted(folder.iterdir())[:2]
    shutil.copy(one, two)  # something to be found: a duplicate
    looked: list[str] = []

    def counted(item: ImageItem, *rest: Any, **options: Any) -> ImageFacts:
        looked.append(item.name)
        return facts_of(item, *rest, **options)

    monkeypatch.setattr("cmdmetric.preflight.facts.facts_of", counted)

    def findings() -> list[str]:
        looked.clear()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            cmd(folder, captions, model="scenes-toy", report=tmp_path / "r.html",
                cache=tmp_path / "cache")  # fmt: skip
        text = (tmp_path / "r.html").read_text(encoding="utf-8")
        return re.findall(r'<li class="(?:error|warning|note)">.*?</li>', text, re.S)

    opened: list[Any] = []

    def open_once(source: Any, *rest: Any, **options: Any) -> ImageSet:
        opened.append(source)
        return open_images(source, *rest, **options)

    monkeypatch.setattr("cmdmetric.scoring.opening.open_images", open_once)
    first = findings()
    assert len(opened) == 2, "generated and real, once for the score and the report together"
    assert len(looked) == 2 * len(list(folder.iterdir())), "generated and real"
    assert any(two.name in each for each in first)
    assert findings() == first and looked == []
    one.write_bytes(two.with_name(sorted(os.listdir(folder))[5]).read_bytes())
    findings()
    assert two.name in looked, "a set with another image is another set"
    two.write_bytes(b"broken")
    with pytest.raises(InputError, match="cannot be decoded"):
        findings()


def test_a_second_report_is_the_same_and_draws_nothing_anew(
    tmp_path: Path, small_example: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, captions = tmp_path / "generated", small_example / "captions.json"
    shutil.copytree(small_example / "generated", folder)
    # Of files that have just been written digests are not kept: they may change unnoticed.
    monkeypatch.setattr("cmdmetric.cache.digests.YOUNG_NS", 0)

    def page(cache: Path | bool = tmp_path / "cache") -> str:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            cmd(folder, captions, model="scenes-toy", report=tmp_path / "r.html",
                metrics="vendi,clipscore", cache=cache)  # fmt: skip
        return (tmp_path / "r.html").read_text(encoding="utf-8")

    first = page()
    assert page(False) == first
    for module, name in (
        ("gather", "growth"),
        ("gather", "shares_of_images"),
        ("hashes", "sha256_of"),
    ):
        monkeypatch.setattr(f"cmdmetric.report.{module}.{name}", None)
    assert page() == first
    another = sorted(folder.iterdir())[0]
    another.write_bytes(sorted(folder.iterdir())[7].read_bytes())
    with pytest.raises(TypeError, match="not callable"):
        page()


@pytest.mark.parametrize(
    ("target", "message"), [("absent/r.html", "is no folder"), ("folder", "it is a folder")]
)
def test_a_wrong_place_is_told_before_the_work(tmp_path: Path, target: str, message: str) -> None:
    (tmp_path / "folder").mkdir()

    class Untouched:
        def __getattr__(self, name: str) -> None:
            raise AssertionError("the encoder was used")

    with pytest.raises(InputError, match=message):
        cmd(["a"], ["b"], report=tmp_path / target, encoder=Untouched())  # type: ignore[arg-type]


def test_the_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(InputError, match=r"needs matplotlib: pip install 'cmdmetric\[report\]'"):
        check_report(tmp_path / "r.html")


def test_pages_appear_whole_or_not_at_all(tmp_path: Path) -> None:
    target = tmp_path / "r.html"
    target.write_text("before")
    with pytest.raises(InputError, match="cannot write"):
        write_page("half \ud800", target)
    assert target.read_text() == "before" and os.listdir(tmp_path) == ["r.html"]
    write_page("after", target)
    assert target.read_text() == "after"


def test_shown() -> None:
    assert shown("a\x00b\u202ec\ud83d", 99) == r"a\x00b\u202ec\ud83d"
    assert shown("abcdef", 4) == "abc…" and shown("abcd", 4) == "abcd"
    assert shown("two\nlines\t!", 40) == "two\nlines\t!"
