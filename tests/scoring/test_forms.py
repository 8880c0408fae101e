"""Every form of images, captions and real images gives the same numbers and error bars."""

from __future__ import annotations

import json
import shutil
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch

from cmdmetric import CMDScore, InputError, cmd, versus
from cmdmetric.inputs import open_images
from tests.support.commands import run
from tests.support.forms import Elements, Form, caption_forms, delimited, image_forms
from tests.support.stand_in import StandIn

pytestmark = pytest.mark.filterwarnings("ignore:.*taken on trust:UserWarning")

COUNT, REAL = 24, 20
#: Letters, so that no number pairs a name by chance.
NAMES = [f"scene_{chr(97 + i)}.png" for i in range(COUNT)]
TEXTS = [f"a {colour} {thing}" for colour in ("red", "blue", "old") for thing in
         ("cat", "dog", "boat", "house", "tree", "kite", "bus", "cup")]  # fmt: skip
NUMBERS = ("cmd", "itdis", "dis_fr", "dis_fl", "dis_rl")


class Given(NamedTuple):
    encoder: Any
    images: dict[str, Form]
    captions: dict[str, Form]
    real: dict[str, Form]

    def score(self, images: Form, captions: Form | None, real: Form) -> CMDScore:
        own = images.make()
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", ".*(taken on trust|too few)", UserWarning)
            texts = own if captions is images else captions and captions.make()
            return cmd(own, texts, real.make(), encoder=self.encoder, cache=False)


@pytest.fixture(scope="module")
def given(tmp_path_factory: pytest.TempPathFactory) -> Given:
    root, encoder = tmp_path_factory.mktemp("forms"), StandIn()
    blocks = np.random.default_rng(5).integers(0, 256, (COUNT + REAL, 4, 4, 3), np.uint8)
    pixels = blocks.repeat(8, axis=1).repeat(8, axis=2)
    photos = [f"photo_{chr(97 + i)}.png" for i in range(REAL)]
    return Given(
        encoder,
        image_forms(root / "f", NAMES, pixels[:COUNT], encoder),
        caption_forms(root / "l", NAMES, TEXTS, encoder),
        image_forms(root / "r", photos, pixels[COUNT:], encoder),
    )


def assert_same(found: CMDScore, expected: CMDScore, what: str) -> None:
    """The five numbers and their error bars.

    The features are the same, in the same order: only float64 sums may be made in another one.
    """
    close = 1e-6
    assert found.paired == expected.paired, what
    assert found.uncertainty is not None and expected.uncertainty is not None
    for name in NUMBERS:
        assert getattr(found, name) == pytest.approx(getattr(expected, name), abs=close), what
        bar, wanted = (getattr(score.uncertainty, name) for score in (found, expected))
        assert bar.standard_error == pytest.approx(wanted.standard_error, abs=close), (what, name)
        assert bar.debiased == pytest.approx(wanted.debiased, abs=close), (what, name)
    assert found.uncertainty.draws == expected.uncertainty.draws, what


def test_each_form_from_end_to_end(given: Given) -> None:
    """tests/scoring/test_grid.py has all combinations, of sides that are encoded once."""
    real = given.real["folder"]
    expected = given.score(given.images["folder"], given.captions["map.json"], real)
    assert expected.paired == COUNT
    for i, images in given.images.items():
        captions = given.captions["map.json" if images.named else "list"]
        assert_same(given.score(images, captions, real), expected, i)
    for l, captions in given.captions.items():
        if captions.named or captions.listed:
            images = given.images["folder" if captions.named else "array (N, H, W, C)"]
            assert_same(given.score(images, captions, real), expected, l)
    for r, form in given.real.items():
        images, captions = given.images["list of paths"], given.captions["list"]
        assert_same(given.score(images, captions, form), expected, f"real {r}")


def test_each_form_as_the_second_generator(given: Given) -> None:
    real, captions = given.real["folder"], given.captions["map.json"]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        for i, images in given.images.items():
            if not images.named:
                captions = given.captions["list"]
            first = given.images["list of paths"]
            both = versus(
                first.make(), images.make(), captions.make(), real.make(),
                encoder=given.encoder, cache=False,
            )  # fmt: skip
            # The same images are paired with themselves, so that nothing is left to chance.
            assert abs(both.difference.raw) < 1e-6, i
            assert both.difference.standard_error < 1e-6, i


def along_forms(root: Path, pixels: np.ndarray) -> Iterator[tuple[str, Callable[[], Any]]]:
    """What holds images and their captions at once."""
    pairs = list(zip(pixels, TEXTS, strict=True))
    records = [{"image": image, "text": text} for image, text in pairs]
    tensors = [(torch.from_numpy(image).permute(2, 0, 1), text) for image, text in pairs]
    yield "list of pairs", lambda: pairs
    yield "list of records", lambda: records
    yield "Dataset", lambda: Elements(pairs)
    yield "generator", lambda: iter(records)
    for size in (1, 5, COUNT):
        loader: Any = Elements(tensors)
        yield f"DataLoader of {size}", lambda d=loader, s=size: torch.utils.data.DataLoader(d, s)
    (root / "metadata.csv").write_text(
        delimited(",", NAMES, TEXTS, header=("file_name", "caption"))
    )
    yield "imagefolder", lambda: root
    lines = [{"prompt": t, "image_path": n} for n, t in zip(NAMES, TEXTS, strict=True)]
    (root / "eval.jsonl").write_text("\n".join(map(json.dumps, lines)))
    yield "evalscope", lambda: root / "eval.jsonl"
    yield "GenEval 2", lambda: {line["prompt"]: str(root / line["image_path"]) for line in lines}
    by_prompt = root.parent / "samples"
    by_prompt.mkdir()
    for i, (name, text) in enumerate(zip(NAMES, TEXTS, strict=True)):
        shutil.copy(root / name, by_prompt / f"{text}_{i:06}.png")
    yield "T2I-CompBench", lambda: by_prompt
    geneval = root.parent / "geneval"
    for i, (name, text) in enumerate(zip(NAMES, TEXTS, strict=True)):
        (geneval / f"{i:05}" / "samples").mkdir(parents=True)
        shutil.copy(root / name, geneval / f"{i:05}" / "samples" / "0000.png")
        (geneval / f"{i:05}" / "metadata.jsonl").write_text(json.dumps({"prompt": text}))
    yield "GenEval", lambda: geneval


def tables(root: Path, pixels: np.ndarray) -> Iterator[tuple[str, Callable[[], Any]]]:
    """Those that take a library more."""
    pandas = pytest.importorskip("pandas")
    pyarrow = pytest.importorskip("pyarrow")
    import pyarrow.parquet as pq

    paths = [str(root / name) for name in NAMES]
    yield "DataFrame", lambda: pandas.DataFrame({"path": paths, "prompt": TEXTS})
    cells = [{"bytes": Path(path).read_bytes(), "path": None} for path in paths]
    table = pyarrow.table({"image": cells, "text": TEXTS})
    pq.write_table(table, root.parent / "t.parquet")
    yield "Arrow table", lambda: table
    yield "Parquet", lambda: root.parent / "t.parquet"


@pytest.mark.parametrize("forms", [along_forms, tables])
def test_captions_that_come_along(
    given: Given, forms: Callable[[Path, np.ndarray], Any], tmp_path: Path
) -> None:
    real = given.real["folder"]
    expected = given.score(given.images["folder"], given.captions["map.json"], real)
    pixels = np.load(given.images["i.npy"].make())
    root = tmp_path / "images"
    shutil.copytree(given.images["folder"].make(), root)
    for name, make in forms(root, pixels):
        form = Form(make, True, True)
        assert_same(given.score(form, None, real), expected, name)
        assert_same(given.score(form, form, real), expected, f"{name}, named twice")


def test_captions_of_nameless_images_in_a_table_are_told(given: Given, tmp_path: Path) -> None:
    """They pair by their order, which nobody but the user knows to be that of the images."""
    pyarrow = pytest.importorskip("pyarrow")
    import pyarrow.parquet as pq

    real = given.real["folder"].make()
    others = sorted(given.images["folder"].make().iterdir(), reverse=True)
    cells = [{"bytes": path.read_bytes(), "path": None} for path in others]
    table = tmp_path / "table.parquet"
    pq.write_table(pyarrow.table({"image": cells, "text": TEXTS}), table)
    images = given.images["list of PIL images"].make()
    with pytest.warns(UserWarning, match="table.parquet have no names: its captions are taken"):
        score = cmd(images, table, real, encoder=given.encoder, cache=False)
    assert_same(score, given.score(given.images["folder"], given.captions["map.json"],
                                   given.real["folder"]), "by place")  # fmt: skip
    with warnings.catch_warnings():
        warnings.filterwarnings("error", ".*have no names")
        cmd(table, table, real, encoder=given.encoder, cache=False)


def test_one_image_for_every_caption_has_no_error_bars(given: Given) -> None:
    """How other images of it would vary is not known: an error of zero would be wrong."""
    images = given.images["array (N, H, W, C)"].make()
    with pytest.warns(UserWarning, match="has a model collapsed"):
        score = cmd(
            images[:1].repeat(COUNT, axis=0), TEXTS, given.real["folder"].make(),
            encoder=given.encoder, cache=False,
        )  # fmt: skip
    assert score.uncertainty is None and score.paired == COUNT
    assert any("there are no error bars" in note for note in score.warnings)
    assert np.isfinite([getattr(score, name) for name in NUMBERS]).all()


def test_columns_of_any_name(given: Given) -> None:
    pandas = pytest.importorskip("pandas")
    paths = map(str, given.images["list of paths"].make())
    frame = pandas.DataFrame({"shot": list(paths), "what": TEXTS, "caption": "no"})
    real = given.real["folder"].make()
    score = cmd(
        frame, None, real, encoder=given.encoder, caption_column="what", image_column="shot"
    )
    named = given.score(given.images["folder"], given.captions["map.json"], given.real["folder"])
    assert_same(score, named, "columns by name")


def test_lists_of_other_lengths_are_no_pairs(given: Given) -> None:
    images, real = (
        given.images["array (N, H, W, C)"].make(),
        given.real["array (N, H, W, C)"].make(),
    )
    score = cmd(images, TEXTS[:-1], real, encoder=given.encoder)
    assert score.paired is None
    with pytest.raises(InputError, match=r"lists captions of 24 images, and .* has 23"):
        cmd(images[:-1], [[text] for text in TEXTS], real, encoder=given.encoder)
    with pytest.raises(InputError, match="captions that come with its images: no captions"):
        cmd(images, real=real, encoder=given.encoder)
    with pytest.raises(InputError, match="leads to no real images"):
        cmd(list(zip(images, TEXTS, strict=True)), encoder=given.encoder)


def test_an_image_that_is_skipped_moves_no_other(given: Given, tmp_path: Path) -> None:
    paths = [shutil.copy(p, tmp_path) for p in given.images["list of paths"].make()]
    Path(paths[3]).write_bytes(b"no image")
    score = cmd(
        paths, TEXTS, given.real["folder"].make(), encoder=given.encoder,
        on_error="skip", metrics="clipscore", cache=False,
    )  # fmt: skip
    kept = [i for i in range(COUNT) if i != 3]
    rest = cmd(
        [paths[i] for i in kept], [TEXTS[i] for i in kept], given.real["folder"].make(),
        encoder=given.encoder, metrics="clipscore", cache=False,
    )  # fmt: skip
    assert score.metrics["clipscore"].value == pytest.approx(rest.metrics["clipscore"].value)


def test_what_captions_name_outside_their_folder_is_no_real_side(
    given: Given, tmp_path: Path
) -> None:
    """evalscope's files name generated images by absolute paths."""
    made = given.images["folder"].make()
    for names in ([str(made / name) for name in NAMES], [f"../{made.name}/{n}" for n in NAMES]):
        place = (tmp_path if names[0].startswith("/") else made.parent / "below") / "c.json"
        place.parent.mkdir(exist_ok=True)
        place.write_text(json.dumps(dict(zip(names, TEXTS, strict=True))))
        with pytest.raises(InputError, match=r"lies beside it \(paths that are absolute or lead"):
            cmd(given.images["array (N, H, W, C)"].make(), place, encoder=given.encoder)
        assert len(list(open_images(place))) == COUNT, "named by hand, they are taken"
    beside = made.parent / "c.json"
    beside.write_text(
        json.dumps({f"{made.name}/{n}": t for n, t in zip(NAMES, TEXTS, strict=True)})
    )
    with pytest.raises(InputError, match="are the generated ones themselves"):
        cmd(beside, beside, encoder=given.encoder)


@pytest.mark.parametrize("empty", ["generated", "captions", "--real"])
def test_an_empty_argument_is_no_current_folder(given: Given, empty: str) -> None:
    """--real "$UNSET" would score the current folder."""
    folder = given.images["folder"].make()
    words = {"generated": str(folder), "captions": str(given.captions["map.json"].make()),
             "--real": str(folder), empty: ""}  # fmt: skip
    done = run(
        "cmd-score", words["generated"], words["captions"], "--real", words["--real"],
        "--model", "scenes-toy", cwd=folder,
    )  # fmt: skip
    assert done.returncode == 2 and done.stdout == ""
    assert "is a variable of the shell not set?" in done.stderr
