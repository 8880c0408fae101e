"""Images x captions x real images: every form of each, in every combination, gives one score.

Each form is read and encoded once, as `cmdmetric.cmd` does it; then every triple is scored. An
encoder without a network stands in, which changes nothing of what is tested.
"""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import pytest

from cmdmetric import CMDScore
from cmdmetric.cache import FeatureCache, open_cache
from cmdmetric.scoring import encoding_of, open_image_side, open_text_side, score_of
from cmdmetric.scoring.grouping import with_places
from cmdmetric.scoring.side import Side
from tests.support.forms import Form, caption_forms, image_forms
from tests.support.stand_in import StandIn

for library in ("pandas", "pyarrow", "datasets"):
    pytest.importorskip(library)

COUNT, REAL = 24, 20
#: Letters, so that no number pairs a name by chance.
NAMES = [f"scene_{chr(97 + i)}.png" for i in range(COUNT)]
TEXTS = [f"a {colour} {thing}" for colour in ("red", "blue", "old") for thing in
         ("cat", "dog", "boat", "house", "tree", "kite", "bus", "cup")]  # fmt: skip
NUMBERS = ("cmd", "itdis", "dis_fr", "dis_fl", "dis_rl")
#: Features are the same and only their order differs: float64 sums in another order.
CLOSE = 1e-6


class Encoded(NamedTuple):
    form: Form
    side: Side


class Grid(NamedTuple):
    images: Mapping[str, Encoded]
    captions: Mapping[str, Encoded]
    real: Mapping[str, Encoded]
    cache: FeatureCache
    #: What all triples must give: with pairs, where captions name no images of a list, and where
    #: they name images and those have lost their names. The last has nothing without the excess.
    paired: CMDScore
    apart: CMDScore
    lost: CMDScore

    def score(self, i: str, l: str, r: str) -> CMDScore:
        f, texts = self.images[i].side, self.captions[l].side
        if texts.texts is not None:
            f = with_places(f, texts.texts)
        return score_of(f, self.real[r].side, texts, self.cache)


def known(side: Side) -> Side:
    """With an identity, so that the statistics of equal features are computed once."""
    features = np.asarray(side.features)
    return replace(side, features=features, identity=hashlib.sha256(features.tobytes()).digest())


@pytest.fixture(scope="module")
def grid(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Grid]:
    root, encoder = tmp_path_factory.mktemp("grid"), StandIn()
    blocks = np.random.default_rng(5).integers(0, 256, (COUNT + REAL, 4, 4, 3), np.uint8)
    pixels = blocks.repeat(4, axis=1).repeat(4, axis=2)
    photos = [f"photo_{chr(97 + i)}.png" for i in range(REAL)]
    forms = {
        "images": image_forms(root / "f", NAMES, pixels[:COUNT], encoder),
        "captions": caption_forms(root / "l", NAMES, TEXTS, encoder),
        "real": image_forms(root / "r", photos, pixels[COUNT:], encoder),
    }
    encoding: Any = encoding_of(encoder=encoder, cache=False)
    sides = {
        what: {
            name: Encoded(form, known(encoding.side(
                (open_text_side if what == "captions" else open_image_side)(form.make())
            )))
            for name, form in own.items()
        }
        for what, own in forms.items()
    }  # fmt: skip
    cache = open_cache(root / "cache")
    assert cache is not None
    with cache, warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        made = Grid(**sides, cache=cache, paired=None, apart=None, lost=None)  # type: ignore[arg-type]
        paired = made.score("folder", "map.json", "folder")
        apart = made.score("folder", "lines.txt", "folder")
        lost = made.score("array (N, H, W, C)", "map.json", "folder")
        assert paired.paired == COUNT and apart.paired is None and lost.paired == 0
        assert paired.uncertainty is not None and apart.uncertainty is not None
        gap = paired.uncertainty.dis_fl.standard_error - apart.uncertainty.dis_fl.standard_error
        assert abs(gap) > 1e-3, "pairs are seen in the error bars"
        yield made._replace(paired=paired, apart=apart, lost=lost)


CAPTIONS = [
    "map.json", "lists-of.json", "turned.json", "turned-lists.json", "coco.json", "karpathy.json",
    "records-of.json", "by-id.json", "eval.jsonl", "eval.ndjson", "comma.csv", "semicolon.csv",
    "tab.tsv", "comma.tsv", "bar.csv", "folder with sidecars", "folder with csv",
    "folder with jsonl", "WebDataset's .tar", "cmdmetric moments", "{name: caption}",
    "{caption: name}", "{name: [caption]}", "list of records", "list of (name, caption)",
    "DataFrame", "HF Dataset", "DatasetDict", "Arrow table", ".parquet", "save_to_disk",
    "lines.txt", "list.json", "lists.json", "one.csv", "records.json", "list", "tuple",
    "list of lists", "generator", "array", "Dataset", "rows.npy", "array of features",
]  # fmt: skip


def test_the_list_of_forms_is_whole(grid: Grid) -> None:
    assert sorted(CAPTIONS) == sorted(grid.captions)


def kinds(forms: Mapping[str, Encoded]) -> list[str]:
    """One form of each kind: to a score all others are one of these, down to the bytes.

    What is left out of a kind is what a side is called, what its images look like (which warnings
    tell), and where they can be seen again.
    """
    found: dict[object, str] = {}
    for name, (form, side) in forms.items():
        contents = None if side.contents is None else repr(side.contents)
        ordered = side.images is not None and side.images.ordered
        found.setdefault(
            (
                form.named, form.listed, ordered, side.identity, side.names, side.places,
                side.reference, contents, side.kept, side.skipped, side.truncated,
            ),
            name,
        )  # fmt: skip
    return list(found.values())


@pytest.mark.parametrize("whole", [False, pytest.param(True, marks=pytest.mark.slow)])
@pytest.mark.parametrize("l", CAPTIONS)
def test_every_form_in_every_place(grid: Grid, l: str, whole: bool) -> None:
    """The five numbers always; the error bars and the debiased values wherever pairs are known.

    Any two forms in any two places meet; where slow tests run too, all images of a kind meet all
    real ones of a kind with all captions.
    """
    captions, step = grid.captions[l].form, CAPTIONS.index(l)
    real = kinds(grid.real) if whole else list(grid.real)
    chosen = kinds(grid.images) if whole else list(grid.images)
    for place, i in enumerate(chosen):
        images = grid.images[i]
        both = images.form
        pairs = (both.named and captions.named) or (both.listed and captions.listed)
        unpaired = grid.lost if captions.tells else grid.apart
        expected = grid.paired if pairs else unpaired
        meeting = {(place + step) % len(real), (place + step + len(real) // 2) % len(real)}
        for r in real if whole else [real[k] for k in sorted(meeting)]:
            found = grid.score(i, l, r)
            what = f"{i} x {l} x {r}"
            assert (found.paired or 0) == (COUNT if pairs else 0), what
            assert_same(found, expected, what)


def assert_same(found: CMDScore, expected: CMDScore, what: str) -> None:
    assert found.uncertainty is not None and expected.uncertainty is not None
    for name in NUMBERS:
        assert abs(getattr(found, name) - getattr(expected, name)) < CLOSE, (what, name)
        bar, wanted = (getattr(score.uncertainty, name) for score in (found, expected))
        assert abs(bar.standard_error - wanted.standard_error) < CLOSE, (what, name)
        assert (bar.debiased is None) == (wanted.debiased is None), (what, name)
        if wanted.debiased is not None:
            assert abs(bar.debiased - wanted.debiased) < CLOSE, (what, name)
