"""What the preflight check finds in sets that are wrong in known ways, and nothing else in them."""

from __future__ import annotations

import json
import os
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from cmdmetric.errors import InputError
from cmdmetric.inputs.captions import Captions
from cmdmetric.inputs.images import open_images
from cmdmetric.metrics.moments import Moments
from cmdmetric.preflight.caption_findings import caption_findings, pairing_findings
from cmdmetric.preflight.facts import blockiness, facts_of
from cmdmetric.preflight.finding import Finding
from cmdmetric.preflight.look import Inputs, Network, inspect, preflight
from cmdmetric.preflight.result import Preflight
from cmdmetric.protocol import CLIP, GRGAN, Protocol
from cmdmetric.scoring.notes import mixed_endings
from tests.conftest import SHARED, shared
from tests.support import corpus
from tests.support.commands import run
from tests.support.toy import DIMENSIONS, TOY


def noise(seed: int, size: tuple[int, int] = (112, 112)) -> Image.Image:
    """Soft noise, like a photograph's: no edge stands at a certain place."""
    random = np.random.default_rng(seed)
    coarse = Image.fromarray(random.integers(0, 256, (15, 15, 3), dtype=np.uint8))
    values = np.asarray(coarse.resize(size, Image.Resampling.BICUBIC)).astype(float)
    values += random.normal(0, 6, values.shape)
    return Image.fromarray(values.clip(0, 255).astype(np.uint8))


@pytest.fixture
def sets(tmp_path: Path) -> tuple[Path, Path, Path]:
    """generated/, real/ of 12 PNGs each, and their captions: nothing is wrong."""
    for place, side in enumerate(("generated", "real")):
        (tmp_path / side).mkdir()
        for i in range(12):
            noise(100 * place + i).save(tmp_path / side / f"{i}.png")
    captions = tmp_path / "captions.json"
    captions.write_text(json.dumps({f"{i}.png": f"a picture of {i} things" for i in range(12)}))
    return tmp_path / "generated", captions, tmp_path / "real"


def check(sets: tuple[Path, Path, Path], protocol: Protocol | str = "grgan") -> Preflight:
    generated, captions, real = sets
    return preflight(generated, captions, real, model="scenes-toy", protocol=protocol, probe=False)


def only(result: Preflight, check: str) -> Finding:
    (found,) = (found for found in result.findings if found.check == check)
    return found


def test_a_good_set_has_nothing_but_few_samples(sets: tuple[Path, Path, Path]) -> None:
    result = check(sets)
    assert result.ok and {found.check for found in result.findings} == {"samples"}
    assert (result.n, result.n_real, result.n_captions) == (12, 12, 12)
    assert f"too few for {DIMENSIONS} dimensions" in result.findings[0].message


def test_print_shows_what_the_terminal_does(sets: tuple[Path, Path, Path]) -> None:
    generated, captions, real = map(str, sets)
    options = ("--real", real, "--model", "scenes-toy", "--no-probe", "-q")
    threads = str(torch.get_num_threads())  # another test may have changed it: it is told
    done = run("cmdmetric", "doctor", generated, captions, *options, OMP_NUM_THREADS=threads)
    result = check(sets)

    def still(text: str) -> list[str]:  # the speed is measured each time
        return [line for line in text.splitlines() if not line.startswith("speed")]

    assert still(str(result)) == still(done.stdout)
    assert repr(result) == f"<Preflight of {generated}: 3 warnings>"


def test_everything_wrong_with_images(sets: tuple[Path, Path, Path]) -> None:
    generated, _, real = sets
    good = noise(1)
    whole = (generated / "1.png").read_bytes()
    (generated / "x-cut.png").write_bytes(whole[: len(whole) // 2])
    (generated / "x-empty.png").write_bytes(b"")
    shutil.copy(generated / "2.png", generated / "x-again.png")
    Image.open(real / "3.png").save(generated / "x-copy.bmp")
    Image.new("RGB", (112, 112), "white").save(generated / "x-blank.png")
    good.resize((120, 112)).save(generated / "x-odd.png")
    good.convert("CMYK").save(generated / "x-cmyk.tif")
    noise(50).convert("P").save(generated / "x-palette.png")
    veiled = noise(51).convert("RGBA")
    veiled.putalpha(100)
    veiled.save(generated / "x-veiled.png")
    noise(52).convert("RGBA").save(generated / "x-opaque.png")
    corpus.picture("I;16", (112, 112)).save(generated / "x-deep.png")
    noise(53).convert("L").save(generated / "x-grey.png")
    result = check(sets)
    expected = {
        "unreadable": ("error", ["x-cut.png: truncated", "x-empty.png: not an image"]),
        "duplicates": ("warning", ["x-again.png"]),
        "copies": ("warning", ["x-copy.bmp"]),
        "blank": ("warning", ["x-blank.png"]),
        "size": ("warning", ["x-odd.png"]),
        "cmyk": ("warning", ["x-cmyk.tif"]),
        "palette": ("note", ["x-palette.png"]),
        "transparent": ("warning", ["x-veiled.png"]),
        "deep": ("warning", ["x-deep.png"]),
        "grey": ("note", ["x-grey.png"]),
    }
    for name, (severity, names) in expected.items():
        found = only(result, name)
        assert (found.severity, found.subject, found.count) == (severity, "generated", len(names))
        for got, start in zip(found.names, names, strict=True):
            assert got.startswith(start)
    # The captions are of twelve images; x-cut and x-empty were no images.
    assert only(result, "pairing").count == 10
    assert not result.ok and result.findings[0].severity == "error"
    assert "clipped" in only(result, "deep").message
    assert "clipped" not in only(check(sets, CLIP), "deep").message


def test_sixteen_bits_in_colours_are_told_by_the_header(tmp_path: Path) -> None:
    # Pillow reads such a PNG as 8 bits, and cannot write one.
    content = bytearray(corpus.png(2, 2, b"\0" + bytes(range(12)) + b"\0" + bytes(range(12))))
    content[24] = 16
    import struct
    import zlib

    content[29:33] = struct.pack(">I", zlib.crc32(content[12:29]))
    (tmp_path / "a.png").write_bytes(content)
    (item,) = open_images(tmp_path)
    facts = facts_of(item, GRGAN, blocks=False)
    assert facts.deep and facts.mode == "RGB"


def test_jpeg_on_one_side(sets: tuple[Path, Path, Path]) -> None:
    _, _, real = sets
    for path in sorted(real.iterdir()):
        image = Image.open(path).convert("RGB")
        path.unlink()
        image.save(path.with_suffix(".jpg"), quality=75)
    result = check(sets)
    formats = only(result, "formats")
    assert formats.severity == "warning" and formats.subject == "real"
    assert "generated: PNG 12; real: JPEG 12" in formats.message
    assert only(result, "jpeg").subject == "real"
    # The same pixels as PNG have no such format any more, and still the blocks.
    for path in sorted(real.iterdir()):
        Image.open(path).save(path.with_suffix(".png"))
        path.unlink()
    result = check(sets)
    assert only(result, "jpeg").subject == "real"
    assert "formats" not in {found.check for found in result.findings}


def test_what_the_endings_tell() -> None:
    jpegs, pngs = [f"{i}.JPG" for i in range(5)], [f"{i}.png" for i in range(5)]
    (note,) = mixed_endings(pngs, jpegs)
    assert note.startswith("most real images are JPEG or alike, most generated ones are not")
    for pair in ((pngs, pngs), (jpegs, jpegs), (None, jpegs), (["#0"], jpegs), ([], jpegs)):
        assert not list(mixed_endings(*pair))


def test_blocks_of_jpeg_in_photographs() -> None:
    files = sorted(shared("data/photos").glob("*.jpg"))
    plain, pressed = [], []
    for path in files:
        image = Image.open(path).convert("RGB").resize((256, 256), Image.Resampling.BICUBIC)
        plain.append(blockiness(image))
        pressed.append(blockiness(Image.open(_as_jpeg(image, 75))))
    assert 0.95 < np.median(plain) < 1.015 and np.median(pressed) > 1.1
    assert blockiness(Image.new("RGB", (64, 64))) is None
    assert blockiness(noise(0, (63, 200))) is None


def _as_jpeg(image: Image.Image, quality: int):
    import io

    return io.BytesIO(corpus.encoded(image, "JPEG", quality=quality))


def test_captions() -> None:
    texts = ("a red circle " * 40, "!!!", "a dog", "a dog", "the end")
    captions = Captions(texts, ("a.png", "b.png", "c.png", "c.png", "d.png"))
    found = {
        f.check: f for f in caption_findings(captions, GRGAN, lambda t: [len(x) > 77 for x in t])
    }
    assert set(found) == {"wordless", "long", "repeated"}
    assert found["wordless"].names == ("!!!",) and found["repeated"].names == ("a dog",)
    assert found["long"].count == 1 and len(found["long"].names[0]) == 60
    assert not any(
        f.check == "wordless" for f in caption_findings(captions, CLIP, lambda t: [False] * len(t))
    )


def test_long_captions_are_told_by_the_real_tokeniser(sets: tuple[Path, Path, Path]) -> None:
    generated, captions, real = sets
    # 75 tokens are read beside start and end; "a" is one.
    texts = {f"{i}.png": "a " * (74 + i) for i in range(12)}
    captions.write_text(json.dumps(texts))
    for model in ("scenes-toy", None):  # None: there are no weights here, but a tokeniser
        result = preflight(generated, captions, real, model=model, probe=False)
        assert only(result, "long").count == 10


def test_captions_that_a_score_has_not_cut_are_not_tokenised_again() -> None:
    class Refuses:
        def provenance(self, side: str, source: str) -> None:
            return None

        def build(self) -> None:
            raise AssertionError("the network is not needed")

    captions = Captions(("a cat", "the second of two cats"), (None, None))
    network = Network(GRGAN, "scenes-toy", None, None, Refuses())  # type: ignore[arg-type]
    inputs = Inputs(Moments(4), Moments(4), captions)  # type: ignore[arg-type]
    with pytest.raises(AssertionError, match="not needed"):
        inspect(inputs, network, lambda *_: ([], []))
    found = inspect(inputs, network, lambda *_: ([], []), cut=0).findings
    assert all(finding.check != "long" for finding in found)


def test_pairs() -> None:
    captions = Captions(("x", "y", "z"), ("a.png", "b.png", "c.png"))
    images, texts = pairing_findings(["a.png", "b.png", "d.png"], captions)
    assert (images.subject, images.names) == ("generated", ("d.png",))
    assert (texts.subject, texts.names) == ("captions", ("c.png",))
    (alone,) = pairing_findings(["x.png", "y.png"], captions)
    assert "no image has a name that the captions name" in alone.message and alone.count == 2
    (unnamed,) = pairing_findings(["x.png"], Captions(("a cat",), (None,)))
    assert unnamed.severity == "note"
    assert not list(pairing_findings(["a.jpg", "b.jpg", "c.jpg"], captions))


def test_stored_sides(sets: tuple[Path, Path, Path], tmp_path: Path) -> None:
    generated, captions, real = sets
    from cmdmetric.score import moments_of

    moments_of(real, model="scenes-toy").save(tmp_path / "same.npz")
    moments_of(real, model="scenes-toy", protocol="clip").save(tmp_path / "other.npz")
    Moments.from_features(np.random.default_rng(0).standard_normal((99, 7))).save(
        tmp_path / "unknown.npz"
    )
    result = check((generated, captions, tmp_path / "same.npz"))
    assert result.ok and result.n_real == 12
    wrong = only(check((generated, captions, tmp_path / "other.npz")), "reference")
    assert wrong.severity == "error" and "resize: 'crop', not 'squash'" in wrong.message
    unknown = check((generated, captions, tmp_path / "unknown.npz"))
    messages = [found.message for found in unknown.findings if found.check == "reference"]
    assert any(f"has 7 dimensions, scenes-toy has {DIMENSIONS}" in message for message in messages)
    assert any("taken on trust" in message for message in messages)


def test_a_reference_of_another_encoder(
    sets: tuple[Path, Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    shared("reference/coco2014-val.real.npz")
    monkeypatch.setenv("CMDMETRIC_REFERENCES", str(SHARED / "reference"))
    generated, captions, _ = sets
    result = preflight(generated, captions, "coco2014-val", model="scenes-toy", probe=False)
    assert not result.ok and "ViT-B-32/openai" in str(result.findings)
    assert str(result.setup.references["coco2014-val image"]).endswith("coco2014-val.real.npz")


def test_nothing_is_downloaded(
    sets: tuple[Path, Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    import urllib.request

    monkeypatch.setattr(urllib.request, "urlopen", lambda *_, **__: pytest.fail("a connection"))
    monkeypatch.delenv("HF_HUB_OFFLINE")
    generated, captions, _ = sets
    result = preflight(generated, captions, "coco2014-val")
    assert not result.ok and result.setup.weights is None  # a score would end with status 2
    messages = {found.check: found for found in result.findings if found.check != "samples"}
    assert "a check downloads nothing" in messages["weights"].message
    assert messages["weights"].severity == "error"
    assert messages["reference"].severity == "warning"
    assert result.setup.references == {"coco2014-val image": None, "coco2014-val text": None}


def test_what_raises(sets: tuple[Path, Path, Path]) -> None:
    generated, captions, real = sets
    for wrong in (
        {"generated": generated / "absent"},
        {"captions": "absent.json"},
        {"real": "absent"},
        {"model": "scenes-toi"},
        {"protocol": "grgn"},
        {"device": "toaster"},
        {"batch_size": 0},
    ):
        arguments = {"generated": generated, "captions": captions, "real": real,
                     "model": "scenes-toy", **wrong}  # fmt: skip
        with pytest.raises(InputError):
            preflight(**arguments)


def test_no_real_side_and_broken_captions_are_findings(sets: tuple[Path, Path, Path]) -> None:
    generated, captions, _ = sets
    captions.write_text('{"elsewhere.png": "a dog", "too.png": "a cat"}')
    result = preflight(generated, captions, model="scenes-toy", probe=False)
    assert [f.subject for f in result.findings if f.severity == "error"] == ["real"]
    captions.write_text('{"a": ')
    result = preflight(generated, captions, model="scenes-toy", probe=False)
    (error,) = (found for found in result.findings if found.severity == "error")
    assert error.subject == "captions" and "broken JSON at line 1" in error.message


def test_arrays_and_lists(sets: tuple[Path, Path, Path]) -> None:
    images = np.stack([np.asarray(noise(i)) for i in range(5)])
    pictures = [noise(i) for i in range(9)]
    result = preflight(images, ["a", "b", "c"], pictures, model="scenes-toy", probe=False)
    assert result.ok and (result.n, result.n_real, result.n_captions) == (5, 9, 3)
    # The arrays are among the pictures.
    assert only(result, "copies").names == ("#0", "#1", "#2", "#3", "#4")


# --- the command -----------------------------------------------------------------------------


def test_the_command_on_the_example(example: Path) -> None:
    done = run("cmdmetric", "doctor", example / "generated", example / "captions.json", "--model",
               "scenes-toy", "--format", "json", "-q")  # fmt: skip
    assert done.returncode == 0 and done.stderr == ""
    result = json.loads(done.stdout)
    assert result["ok"] and result["n"] == result["n_real"] == 400
    setup = result["setup"]
    assert setup["origin"] == "bundled with cmdmetric" and setup["sha256"] == TOY.sha256
    assert setup["expected"] == pytest.approx(
        800 / min(setup["encoded"], setup["decoded"]) + 2000 / setup["captions"]
    )
    assert all(found["severity"] == "note" for found in result["findings"])


def test_the_command_on_a_bad_set(sets: tuple[Path, Path, Path]) -> None:
    generated, captions, real = sets
    (generated / "bad\x1b[31m\n.png").write_bytes(b"junk")
    done = run("cmdmetric", "doctor", generated, captions, "--real", real, "--model", "scenes-toy",
               "--no-probe")  # fmt: skip
    assert done.returncode == 1
    assert "ERROR    generated: 1 of 13 images: cannot be decoded" in done.stdout
    assert r"bad\x1b[31m\n.png: not an image" in done.stdout and "\x1b" not in done.stdout
    assert "looking at" in done.stderr and os.listdir(generated.parent) != []


def test_the_tokeniser_of_other_towers_is_part_of_the_setup(
    sets: tuple[Path, Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A SigLIP-like tower counts by its own tokeniser, and one that is not there is an error."""
    pytest.importorskip("transformers")
    from tests.encoders.test_tokenisers import TOWERS, folder_of

    generated, captions, real = sets
    captions.write_text(json.dumps({f"{i}.png": "cat " * (6 + i) for i in range(12)}))
    folder = folder_of(tmp_path / "siglip", TOWERS["siglip"])
    options: dict = {"protocol": "clip", "probe": False}
    found = preflight(generated, captions, real, model=folder, **options)
    # Eleven words and the end fill a context of twelve.
    assert found.ok and only(found, "long").count == 6
    file = tmp_path / "weights.safetensors"
    file.write_bytes((folder / "open_clip_model.safetensors").read_bytes())
    name = "ViT-B-16-SigLIP"
    lost = preflight(generated, captions, real, model=name, weights=file, **options)
    message = only(lost, "weights").message
    assert not lost.ok and "needs the tokeniser at https://huggingface.co/timm" in message
    assert not any(each.check == "long" for each in lost.findings), "nothing counts their tokens"
    monkeypatch.setitem(sys.modules, "transformers", None)
    missing = preflight(generated, captions, real, model=folder, **options)
    assert not missing.ok and "pip install 'cmdmetric[transformers]'" in only(
        missing, "weights"
    ).message  # fmt: skip
