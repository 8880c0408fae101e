"""Several networks that look at one image set in one pass."""

from __future__ import annotations

import sqlite3
import tracemalloc
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from cmdmetric.cache.feature_cache import FeatureCache, Space
from cmdmetric.encoders.clip import Encoder
from cmdmetric.errors import InputError
from cmdmetric.features import image_pass as module
from cmdmetric.features.failures import Undecodable
from cmdmetric.features.image_pass import pass_images
from cmdmetric.features.images import encode_images
from cmdmetric.inputs.image_set import ImageItem, ImageSet
from cmdmetric.inputs.images import open_images


class Mean:
    """A whole image network: the mean colour of an image, at its own size, times a factor."""

    def __init__(self, factor: float = 1.0, batch_size: int = 3) -> None:
        self.factor = factor
        self.batch_size = batch_size
        self.space = Space("mean colours", what="mean", factor=factor)
        self.batches: list[int] = []

    def prepare(self, image: Image.Image) -> NDArray[np.uint8]:
        return np.asarray(image.convert("RGB"))

    def encode(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        self.batches.append(len(pixels))
        return (self.factor * pixels.mean(axis=(1, 2))).astype(np.float32)

    def provenance(self, source: str) -> None:
        return None


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Ten images of three sizes; the first channel tells their number."""
    place = tmp_path / "images"
    place.mkdir()
    for i in range(10):
        Image.new("RGB", (8 + i % 3, 8), (i, 20, 30)).save(place / f"{i}.png")
    return place


def counted(images: ImageSet, seen: Counter[str]) -> ImageSet:
    """The set, which counts how often each image is decoded."""

    def item(of: ImageItem) -> ImageItem:
        def parse(content: bytes) -> Image.Image:
            seen[of.name] += 1
            return of.parse(content)

        return replace(of, parse=parse, load=lambda: parse(of.read() if of.read else b""))

    def items() -> Iterator[ImageItem]:
        return map(item, images)

    return ImageSet(images.source, items, images.names, files=lambda: images.files or ())


def test_each_image_is_decoded_once_for_all_networks(folder: Path) -> None:
    seen: Counter[str] = Counter()
    one, two = Mean(), Mean(factor=2.0, batch_size=4)
    passed = pass_images(counted(open_images(folder), seen), [one, two])
    assert set(seen.values()) == {1} and len(seen) == 10
    assert passed.names == tuple(f"{i}.png" for i in range(10))
    for rows, factor in zip(passed.features, (1, 2), strict=True):
        np.testing.assert_array_equal(rows, [[factor * i, factor * 20, factor * 30]
                                             for i in range(10)])  # fmt: skip
    assert sum(one.batches) == sum(two.batches) == 10
    assert max(one.batches) == 3 and max(two.batches) == 4


def test_a_network_encodes_what_the_cache_lacks_for_it(folder: Path, tmp_path: Path) -> None:
    cache, seen = tmp_path / "cache", Counter[str]()
    with FeatureCache(cache) as opened:
        pass_images(open_images(folder), [Mean()], cache=opened)
    (folder / "10.png").write_bytes((folder / "3.png").read_bytes())
    Image.new("RGB", (9, 9), (11, 20, 30)).save(folder / "11.png")
    one, two = Mean(), Mean(factor=2.0)
    with FeatureCache(cache) as opened:
        passed = pass_images(counted(open_images(folder), seen), [one, two], cache=opened)
    assert sum(one.batches) == 1 and sum(two.batches) == 12 and passed.cached == (11, 0)
    assert set(seen.values()) == {1} and len(seen) == 12
    expected = [*range(10), 3, 11]
    assert [rows[:, 0].tolist() for rows in passed.features] == [
        expected, [2 * x for x in expected]
    ]  # fmt: skip
    seen.clear()
    with FeatureCache(cache) as opened:
        again = pass_images(counted(open_images(folder), seen), [one, two], cache=opened)
    assert not seen and again.cached == (12, 12)
    for ours, theirs in zip(again.features, passed.features, strict=True):
        np.testing.assert_array_equal(ours, theirs)


def many(place: Path, numbers: Iterable[int]) -> Path:
    """A folder of images of which the first two channels tell the numbers."""
    place.mkdir(exist_ok=True)
    for i in numbers:
        Image.new("RGB", (4, 4), (i % 200, i // 200, 30)).save(place / f"{i:03d}.png")
    return place


def numbers_of(features: NDArray[np.float32]) -> list[int]:
    return [int(row[0] + 200 * row[1]) for row in features]


def test_images_of_a_copied_folder_are_looked_up_many_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Looked up one by one, in threads that wait for each other, these take longer than reading."""
    networks, seen = [Mean(), Mean(2.0)], Counter[str]()
    folder = many(tmp_path / "images", range(500))
    with FeatureCache(tmp_path / "cache") as cache:
        pass_images(open_images(folder), networks, cache=cache)
    folder = folder.rename(tmp_path / "renamed")
    looks = []
    with FeatureCache(tmp_path / "cache") as cache:
        get_many = cache.get_many
        monkeypatch.setattr(cache, "get_many", lambda keys: looks.append(1) or get_many(keys))
        passed = pass_images(counted(open_images(folder), seen), networks, cache=cache)
    assert passed.cached == (500, 500) and not seen
    assert numbers_of(passed.features[0]) == list(range(500))
    assert len(looks) <= 2 * 2  # the files that are tried, and the others
    with FeatureCache(tmp_path / "cache") as cache:
        again = pass_images(open_images(folder), networks, cache=cache)
    np.testing.assert_array_equal(again.features[1], passed.features[1])


@pytest.mark.parametrize("new", [30, 400])
def test_of_a_copied_folder_only_what_is_new_is_decoded(tmp_path: Path, new: int) -> None:
    """Whether most of the files are known or few of them are."""
    folder, seen = many(tmp_path / "images", range(150)), Counter[str]()
    with FeatureCache(tmp_path / "cache") as cache:
        pass_images(open_images(folder), [Mean()], cache=cache)
    folder = many(folder.rename(tmp_path / "renamed"), range(150, 150 + new))
    (folder / "077.png").write_bytes(b"no image")
    (folder / "080.png").unlink()
    (folder / "080.png").symlink_to(folder / "nowhere.png")
    with FeatureCache(tmp_path / "cache") as cache:
        images = counted(open_images(folder), seen)
        passed = pass_images(images, [Mean()], cache=cache, on_error="skip")
    kept = [i for i in range(150 + new) if i not in (77, 80)]
    assert numbers_of(passed.features[0]) == kept and passed.cached == (148,)
    assert [name for name, _ in passed.skipped] == [name for name in images.names or ()
                                                    if name in ("077.png", "080.png")]  # fmt: skip
    assert set(seen) - {"077.png"} == {f"{i}.png" for i in range(150, 150 + new)}


def test_a_copied_folder_of_which_a_block_is_damaged(tmp_path: Path) -> None:
    """What was in it is computed again; the rest is known."""
    network, folder = Mean(batch_size=50), many(tmp_path / "images", range(200))
    with FeatureCache(tmp_path / "cache") as cache:
        pass_images(open_images(folder), [network], cache=cache)
    with FeatureCache(tmp_path / "cache") as cache:  # others, in a block of their own
        pass_images(open_images(many(tmp_path / "more", range(200, 240))), [network], cache=cache)
        path = cache.database.path
    connection = sqlite3.connect(path)
    connection.execute("UPDATE blocks SET crc = crc + 1 WHERE id = (SELECT max(id) FROM blocks)")
    connection.commit()
    connection.close()
    for image in (tmp_path / "more").iterdir():
        image.rename(folder / image.name)
    folder = folder.rename(tmp_path / "renamed")
    network.batches.clear()
    with FeatureCache(tmp_path / "cache") as cache, pytest.warns(UserWarning, match="is damaged"):
        passed = pass_images(open_images(folder), [network], cache=cache)
    assert numbers_of(passed.features[0]) == list(range(240))
    assert passed.cached == (200,) and sum(network.batches) == 40


def test_a_broken_image_is_left_out_for_all_networks(folder: Path) -> None:
    (folder / "4.png").write_bytes(b"no image")
    with pytest.raises(Undecodable, match=r"1 of 10 images cannot be decoded:\n  4.png: not an"):
        pass_images(open_images(folder), [Mean(), Mean(2.0)])
    passed = pass_images(open_images(folder), [Mean(), Mean(2.0)], on_error="skip")
    assert [name for name, _ in passed.skipped] == ["4.png"]
    kept = [i for i in range(10) if i != 4]
    assert passed.names == tuple(f"{i}.png" for i in kept)
    assert [rows[:, 0].tolist() for rows in passed.features] == [kept, [2 * i for i in kept]]


def test_beside_an_encoder(folder: Path, tmp_path: Path) -> None:
    """Its features do not depend on who looks on; what is recalled later includes all networks."""
    encoder = Encoder("scenes-toy")
    alone = encode_images(open_images(folder), encoder)
    with FeatureCache(tmp_path / "cache") as cache:
        cold = encode_images(open_images(folder), encoder, beside=[Mean()], cache=cache)
    with FeatureCache(tmp_path / "cache") as cache:
        warm = encode_images(open_images(folder), encoder, beside=[Mean()], cache=cache)
    for found in (cold, warm):
        np.testing.assert_array_equal(found.features, alone.features)
        np.testing.assert_array_equal(found.beside[0][:, 0], np.arange(10))
    assert (cold.cached, warm.cached) == (0, 10)


def test_recalled_moments_beside_a_network(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the encoder's moments are recalled, only the other network has work to do."""
    monkeypatch.setattr("cmdmetric.features.stored_moments.WORTH", 0)
    monkeypatch.setattr("cmdmetric.cache.digests.YOUNG_NS", 0)
    encoder, network = Encoder("scenes-toy"), Mean()
    for i in range(10, 50):  # more than dimensions: of few samples no sums are kept
        Image.new("RGB", (8, 8), (i, 20, 30)).save(folder / f"{i}.png")
    with FeatureCache(tmp_path / "cache") as cache:
        first = encode_images(open_images(folder), encoder, cache=cache)
    monkeypatch.setattr(encoder, "encode_pixels", None)
    with FeatureCache(tmp_path / "cache") as cache:
        found = encode_images(open_images(folder), encoder, beside=[network], cache=cache)
        assert sum(network.batches) == 50 and found.cached == 50
        np.testing.assert_array_equal(found.moments.cov, first.moments.cov)
        np.testing.assert_array_equal(found.beside[0][:, 0], np.arange(50))
        np.testing.assert_array_equal(found.features, first.features)


def test_pixels_of_a_long_set_are_never_all_in_memory() -> None:
    """600 images of 196 kB, of 100 sizes: with batches of 3 some 40 of them are there at once."""
    images = (Image.new("RGB", (256 + i % 100, 256), (i % 256, 0, 0)) for i in range(600))
    tracemalloc.start()
    try:
        (rows,) = pass_images(open_images(images), [Mean()]).features
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    np.testing.assert_array_equal(rows[:, 0], np.arange(600) % 256)
    everything = 600 * 256 * 306 * 3
    assert peak < everything / 4
    assert module.WAITING * 3 < 100  # else the sizes would not have had to wait for others


def test_an_error_of_a_network_is_told(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    network = Mean()

    def fail(pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        raise InputError("these weights give features that are not finite")

    monkeypatch.setattr(network, "encode", fail)
    with pytest.raises(InputError, match="not finite"):
        pass_images(open_images(folder), [Mean(), network])
