"""The feature cache: what is found again, what is not, and what goes wrong with files."""

from __future__ import annotations

import os
import shutil
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cmdmetric import Encoder, file_digests
from cmdmetric.cache import FeatureCache
from cmdmetric.captions import read_captions
from cmdmetric.errors import InputError
from cmdmetric.features import encode_captions, encode_images
from cmdmetric.images import open_images
from cmdmetric.protocol import CLIP, GRGAN, Protocol


class CountingEncoder(Encoder):
    """Counts what it encodes."""

    images = 0
    texts = 0

    def encode_pixels(self, pixels):
        self.images += len(pixels)
        return super().encode_pixels(pixels)

    def encode_tokens(self, tokens):
        self.texts += len(tokens)
        return super().encode_tokens(tokens)


@pytest.fixture(scope="module")
def encoder() -> CountingEncoder:
    return CountingEncoder("scenes-toy")


@pytest.fixture(autouse=True)
def _old_files(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files of a test are seconds old, and would not be trusted to show that they change."""
    monkeypatch.setattr(file_digests, "YOUNG_NS", 0)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return paint(tmp_path / "images", range(12))


def paint(folder: Path, seeds) -> Path:
    folder.mkdir(exist_ok=True)
    for seed in seeds:
        pixels = np.random.default_rng(seed).integers(0, 256, (8, 8, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{seed}.png")
    return folder


def images_encoded(encoder: CountingEncoder, source, place: Path | None = None, **options) -> int:
    """How many of the images are encoded; the features must be those without a cache."""
    with FeatureCache(place) as cache:
        before = encoder.images
        found = encode_images(open_images(source), encoder, cache=cache, **options)
        count = encoder.images - before
    plain = encode_images(open_images(source), encoder, **options)
    np.testing.assert_allclose(found.features, plain.features, rtol=0, atol=2e-5)
    assert found.names == plain.names
    assert found.cached == len(found.names) - count
    return count


def texts_encoded(encoder: CountingEncoder, captions: list[str]) -> int:
    with FeatureCache() as cache:
        before = encoder.texts
        found = encode_captions(read_captions(captions), encoder, cache=cache)
        count = encoder.texts - before
    plain = encode_captions(read_captions(captions), encoder)
    np.testing.assert_allclose(found.features, plain.features, rtol=0, atol=2e-6)
    assert (found.kept, found.truncated) == (plain.kept, plain.truncated)
    return count


def under(encoder: CountingEncoder, protocol: Protocol) -> CountingEncoder:
    return CountingEncoder(encoder.checkpoint, protocol=protocol)


# --- exactly what is touched -----------------------------------------------------------------


def test_only_new_images_are_encoded(encoder: CountingEncoder, folder: Path) -> None:
    assert images_encoded(encoder, folder) == 12
    assert images_encoded(encoder, folder) == 0
    paint(folder, range(20, 25))
    assert images_encoded(encoder, folder) == 5
    (folder / "3.png").unlink()
    assert images_encoded(encoder, folder) == 0


def test_renamed_and_moved_images_are_known(
    encoder: CountingEncoder, folder: Path, tmp_path: Path
) -> None:
    images_encoded(encoder, folder)
    (folder / "3.png").rename(folder / "another.png")
    assert images_encoded(encoder, folder) == 0
    folder.rename(tmp_path / "moved")
    assert images_encoded(encoder, tmp_path / "moved") == 0
    assert images_encoded(encoder, tmp_path / "moved" / "*.png") == 0
    assert images_encoded(encoder, sorted((tmp_path / "moved").iterdir())) == 0
    with zipfile.ZipFile(tmp_path / "all.zip", "w") as archive:
        for path in (tmp_path / "moved").iterdir():
            archive.write(path, path.name)
    assert images_encoded(encoder, tmp_path / "all.zip") == 0
    shutil.make_archive(str(tmp_path / "all"), "gztar", tmp_path / "moved")
    assert images_encoded(encoder, tmp_path / "all.tar.gz") == 0


def test_an_array_file_is_cached_and_memory_is_not(
    encoder: CountingEncoder, tmp_path: Path
) -> None:
    images = np.random.default_rng(0).integers(0, 256, (6, 9, 8, 3), dtype=np.uint8)
    np.save(tmp_path / "a.npy", images)
    np.savez(tmp_path / "a.npz", images)
    assert images_encoded(encoder, tmp_path / "a.npy") == 6
    assert images_encoded(encoder, tmp_path / "a.npy") == 0
    assert images_encoded(encoder, tmp_path / "a.npz") == 0
    assert images_encoded(encoder, images) == 6


def test_one_changed_byte(encoder: CountingEncoder, folder: Path) -> None:
    images_encoded(encoder, folder)
    paint(folder, [99])
    changed = folder / "5.png"
    stat = changed.stat()
    content = (folder / "99.png").read_bytes()
    (folder / "99.png").unlink()
    assert len(content) == stat.st_size, "both are noise of one shape"
    changed.write_bytes(content)
    os.utime(changed, ns=(stat.st_atime_ns, stat.st_mtime_ns))  # as a careless tool leaves it
    assert images_encoded(encoder, folder) == 1


def test_a_young_file_is_read_again(
    encoder: CountingEncoder, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same size within the clock's grain: its times do not tell that it has changed."""
    monkeypatch.setattr(file_digests, "YOUNG_NS", 10**15)
    images_encoded(encoder, folder)
    monkeypatch.setattr(file_digests, "stamp_of", lambda path: "1 2 3 4")
    paint(folder, [99])
    (folder / "99.png").replace(folder / "5.png")
    assert images_encoded(encoder, folder) == 1


def test_what_of_the_protocol_counts(encoder: CountingEncoder, folder: Path) -> None:
    captions = ["A red circle", "a blue square!", "a red circle."]
    assert images_encoded(encoder, folder) == 12
    assert texts_encoded(encoder, captions) == 3
    for protocol, images, texts in (
        (replace(GRGAN, name="another"), 0, 0),
        (replace(GRGAN, text_scale=2.0), 0, 3),
        (replace(GRGAN, captions="as-written"), 0, 3),
        (replace(GRGAN, interpolation="bicubic"), 12, 0),
        (replace(GRGAN, normalise="encoder"), 12, 0),
        (CLIP, 12, 0),  # as-written, at scale 1
    ):
        other = under(encoder, protocol)
        assert images_encoded(other, folder) == images, protocol
        assert texts_encoded(other, captions) == texts, protocol


def test_other_weights_are_another_encoder(
    encoder: CountingEncoder, folder: Path, tmp_path: Path
) -> None:
    from safetensors.torch import load_file, save_file

    images_encoded(encoder, folder)
    model = tmp_path / "copy"
    shutil.copytree(encoder.checkpoint.file.parent, model)
    assert images_encoded(CountingEncoder(model), folder) == 0, "a model by another name"
    file = model / encoder.checkpoint.file.name
    weights = load_file(file)
    weights["logit_scale"] = weights["logit_scale"] + 1
    save_file(weights, file)
    other = CountingEncoder(model)
    assert images_encoded(other, folder) == 12
    assert texts_encoded(other, ["a cat"]) == 1


def test_captions_by_what_is_encoded(encoder: CountingEncoder) -> None:
    long = "word " * 200
    assert texts_encoded(encoder, ["A red circle", "!!", long]) == 2
    assert texts_encoded(encoder, ["a RED circle?", long, "a blue one"]) == 1


def test_undecodable_images_are_not_cached(encoder: CountingEncoder, folder: Path) -> None:
    (folder / "0.png").write_bytes(b"no image")
    with FeatureCache() as cache, pytest.raises(InputError, match=r"0\.png"):
        encode_images(open_images(folder), encoder, cache=cache)
    # What could be decoded before the error was told is kept; the broken one is looked at again.
    with FeatureCache() as cache:
        found = encode_images(open_images(folder), encoder, on_error="skip", cache=cache)
    assert [name for name, _ in found.skipped] == ["0.png"]
    paint(folder, [0])
    assert images_encoded(encoder, folder) == 1
    assert images_encoded(encoder, folder) == 0
