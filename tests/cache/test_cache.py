"""The feature cache: what is found again, what is not, and what goes wrong with files."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import subprocess
import sys
import warnings
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from filelock import FileLock
from PIL import Image

from cmdmetric import Encoder, cmd
from cmdmetric.cache import database as cache_database, digests as file_digests
from cmdmetric.cache.feature_cache import FeatureCache, Space, parse_size
from cmdmetric.cli.main import main
from cmdmetric.encoders.lazy_encoder import LazyEncoder
from cmdmetric.errors import InputError
from cmdmetric.features.captions import encode_captions
from cmdmetric.features.images import encode_images
from cmdmetric.features.rows import Features
from cmdmetric.inputs.captions import read_captions
from cmdmetric.inputs.images import open_images
from cmdmetric.protocol import CLIP, GRGAN, Protocol
from cmdmetric.scoring import statistics as scoring_statistics
from cmdmetric.uncertainty import uncertainty
from tests.support.commands import BIN, run as run_command
from tests.support.scores import printed

SPACE = Space("of a test", what="test")


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


#: Features of length 10 in float32: batches of other sizes are summed in another order, which moved
#: them by 8e-5 on a processor without vector instructions. Those of two images are 1 apart.
ROUNDING = 1e-3


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
    np.testing.assert_allclose(found.features, plain.features, rtol=0, atol=ROUNDING)
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


def test_an_array_written_through_a_memory_map_is_seen(
    encoder: CountingEncoder, tmp_path: Path
) -> None:
    """Size, inode and both times are as before: only the bytes tell."""
    path = tmp_path / "a.npy"
    images = np.random.default_rng(0).integers(0, 256, (6, 9, 8, 3), dtype=np.uint8)
    np.save(path, images)
    before = path.stat()
    assert images_encoded(encoder, path) == 6
    mapped = np.lib.format.open_memmap(path, "r+")
    mapped[2:4] = 255 - mapped[2:4]
    mapped.flush()
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert images_encoded(encoder, path) == 2
    assert images_encoded(encoder, path) == 0
    assert file_digests.stamp_of(path) is None


@pytest.mark.skipif(not hasattr(os, "statvfs"), reason="nothing tells of read-only file systems")
def test_files_of_a_read_only_mount_are_read_again(
    encoder: CountingEncoder, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two squashfs images mounted in turn: same paths, sizes, times and inodes, other bytes."""
    real = os.statvfs

    def read_only(path: str) -> os.statvfs_result:
        found = list(real(path))
        found[8] |= os.ST_RDONLY
        return os.statvfs_result(found)

    same = os.stat(folder / "5.png")
    monkeypatch.setattr(os, "statvfs", read_only)
    images_encoded(encoder, folder)
    paint(folder, [99])
    (folder / "5.png").write_bytes((folder / "99.png").read_bytes())
    (folder / "99.png").unlink()
    own = os.stat

    def as_mounted(path: str, **more: object) -> os.stat_result:
        return same if str(path).endswith("5.png") else own(path, **more)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(file_digests.os, "stat", as_mounted)
        assert images_encoded(encoder, folder) == 1


def test_another_device_is_another_file(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = folder / "5.png"
    values, before = os.stat(file), file_digests.stamp_of(file)
    other = os.stat_result((*values[:2], values.st_dev + 1, *values[3:10]), {
        "st_mtime_ns": values.st_mtime_ns, "st_ctime_ns": values.st_ctime_ns,
    })  # fmt: skip
    monkeypatch.setattr(file_digests.os, "stat", lambda path: other)
    assert before is not None and file_digests.stamp_of(file) not in (None, before)


def test_a_young_file_is_read_again(
    encoder: CountingEncoder, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same size within the clock's grain: its times do not tell that it has changed."""
    monkeypatch.setattr(file_digests, "YOUNG_NS", 10**15)
    images_encoded(encoder, folder)
    monkeypatch.setattr(file_digests, "stamp_of", lambda *_: "1 2 3 4")
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


def test_half_precision_is_another_encoder(encoder: CountingEncoder, folder: Path) -> None:
    images_encoded(encoder, folder)
    half = CountingEncoder("scenes-toy", dtype="bf16")
    assert images_encoded(half, folder) == 12
    assert images_encoded(half, folder) == 0
    promise = LazyEncoder(lambda: half.checkpoint, half.protocol, 32, lambda _: half)
    with FeatureCache() as cache, pytest.raises(AssertionError, match="mistaken"):
        paint(folder, [50])
        encode_images(open_images(folder), promise, cache=cache)


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


@pytest.mark.parametrize("broken", [0, 5, 11])
def test_a_broken_image_is_skipped_wherever_it_stands(
    encoder: CountingEncoder, folder: Path, broken: int
) -> None:
    names = list(open_images(folder).names or ())
    whole = encode_images(open_images(folder), encoder).features
    (folder / names[broken]).write_bytes(b"no image")
    found = encode_images(open_images(folder), encoder, on_error="skip")
    assert list(found.names) == names[:broken] + names[broken + 1 :]
    # Batches differ, and round float32 differently.
    np.testing.assert_allclose(
        found.features, np.delete(whole, broken, axis=0), rtol=0, atol=ROUNDING
    )


# --- statistics ------------------------------------------------------------------------------


def test_the_score_is_the_same_to_the_bit(small_example: Path) -> None:
    """Cold, warm, and without a cache."""
    sides = small_example / "generated", small_example / "captions.json"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # few samples
        plain, cold, warm = (
            cmd(*sides, model="scenes-toy", cache=cache).to_dict() for cache in (False, True, True)
        )
    assert plain == cold == warm


def test_features_that_came_by_no_encoder_are_known_by_themselves(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Stored sets and arrays: the numbers of the same ones are recalled, of others computed."""
    rng = np.random.default_rng(0)
    f, r, l = (rng.normal(size=(150, 64)).astype(np.float32) for _ in range(3))
    computed = 0

    def counted(*sides: Any, **how: Any) -> Any:
        nonlocal computed
        computed += 1
        return uncertainty(*sides, **how)

    monkeypatch.setattr(scoring_statistics, "uncertainty", counted)

    def scored(f: Any, **how: Any) -> dict[str, Any]:
        score = cmd(f, l, r, metrics="cmmd", **how)
        return score.to_dict()

    first = scored(f)
    assert scored(f) == first
    assert computed == 1
    np.savez(tmp_path / "kept.npz", features=f)
    assert scored(tmp_path / "kept.npz")["cmd"] == first["cmd"]
    assert computed == 1  # the same features by another way
    for other in (f[::-1], f.astype(np.float64), np.where(np.arange(64) == 3, f * 1.01, f)):
        before = computed
        assert scored(other) == scored(other, cache=False)
        assert computed == before + 2


def test_statistics_are_recalled_and_features_read_on_demand(
    encoder: CountingEncoder, tmp_path: Path
) -> None:
    folder = paint(tmp_path / "many", range(260))  # more than 4 d
    captions = read_captions([f"picture {i}" for i in range(260)] + ["word " * 200])
    for made in ("computed", "recalled"):
        with FeatureCache() as cache:
            images = encode_images(open_images(folder), encoder, cache=cache)
            texts = encode_captions(captions, encoder, cache=cache)
        if made == "computed":
            first = images, texts
            continue
        for ours, theirs in zip((images, texts), first, strict=True):
            assert isinstance(ours.features, Features), "not recalled"
            assert ours.identity == theirs.identity
            assert (ours.moments.n, ours.moments.provenance) == (
                theirs.moments.n,
                theirs.moments.provenance,
            )
            np.testing.assert_array_equal(ours.moments.cov, theirs.moments.cov)
            np.testing.assert_array_equal(ours.moments.mean, theirs.moments.mean)
            np.testing.assert_array_equal(ours.features, theirs.features)
        assert texts.truncated == 1
        assert images.names == first[0].names


# --- what goes wrong with files --------------------------------------------------------------


def put(cache: FeatureCache, numbers: range, d: int = 8) -> None:
    features = np.stack([np.full(d, i, np.float32) for i in numbers])
    cache.put_many(SPACE, [key(i) for i in numbers], features)


def key(number: int) -> bytes:
    return SPACE.key(b"%d" % number)


def held(cache: FeatureCache, numbers: range) -> list[int]:
    positions, features = cache.get_many([key(i) for i in numbers])
    assert all((row == numbers[p]).all() for p, row in zip(positions, features, strict=True))
    return [numbers[p] for p in positions]


def flip(path: Path) -> None:
    """Change one bit in the first block's features."""
    file = sqlite3.connect(path)
    (features,) = file.execute("SELECT content FROM blocks ORDER BY id").fetchone()
    file.close()
    content = bytearray(path.read_bytes())
    content[content.index(features[:64]) + 5] ^= 1
    path.write_bytes(content)


def flip_digest(path: Path, name: str) -> None:
    """Change one bit in the record of a file's digest."""
    file = sqlite3.connect(path)
    query = "SELECT digest FROM digests WHERE path LIKE ?"
    (digest,) = file.execute(query, (f"%{name}",)).fetchone()
    file.close()
    content = bytearray(path.read_bytes())
    assert content.count(digest) == 1
    content[content.index(digest) + 5] ^= 1
    path.write_bytes(content)


def test_a_flipped_bit_in_a_digest_is_no_digest(folder: Path) -> None:
    """As of a weights file, whose digest stands in every signature."""
    with FeatureCache() as cache:
        true = cache.digests.sha256(folder / "5.png")
        path = cache.database.path
    flip_digest(path, "5.png")
    with FeatureCache() as cache:
        assert cache.digests.known([(str(folder / "5.png"), "")]) == [None]
        assert cache.digests.sha256(folder / "5.png") == true  # read, and noted again
        assert cache.digests.verify() == (1, 0)
    flip_digest(path, "5.png")
    with FeatureCache() as cache:
        assert cache.digests.verify() == (0, 1)
        assert cache.digests.verify() == (0, 0)


def test_verify_reads_the_files_again(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(file_digests, "stamp_of", lambda *_: "1 2 3 4 5")
    with FeatureCache() as cache:
        before = [cache.digests.sha256(folder / f"{i}.png") for i in range(3)]
        (folder / "1.png").write_bytes((folder / "7.png").read_bytes())  # nothing tells of it
        assert cache.digests.sha256(folder / "1.png") == before[1]
        assert cache.digests.verify() == (2, 1)
        assert cache.digests.sha256(folder / "1.png") != before[1]


def test_a_cache_of_an_older_release_is_taken_over(encoder: CountingEncoder, folder: Path) -> None:
    """Its features stay; its digests, which had no checksum, are read again."""
    images_encoded(encoder, folder)
    with FeatureCache() as cache:
        path = cache.database.path
    with sqlite3.connect(path) as file:
        file.execute("DROP TABLE digests")
        file.execute("CREATE TABLE files (path TEXT, member TEXT, stat TEXT, digest BLOB)")
    file.close()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert images_encoded(encoder, folder) == 0
    with FeatureCache() as cache:
        assert cache.database.count_files() == 12


def test_a_damaged_block_is_dropped_and_computed_again(
    encoder: CountingEncoder, folder: Path
) -> None:
    images_encoded(encoder, folder)
    paint(folder, range(20, 24))
    images_encoded(encoder, folder)
    with FeatureCache() as cache:
        path = cache.database.path
    flip(path)
    with pytest.warns(UserWarning, match="block of 12 cached features is damaged"):
        assert images_encoded(encoder, folder) == 12
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert images_encoded(encoder, folder) == 0


@pytest.mark.parametrize("junk", [b"", b"no database at all" * 100])
def test_a_file_that_is_no_database(encoder: CountingEncoder, folder: Path, junk: bytes) -> None:
    with FeatureCache() as cache:
        path = cache.database.path
    path.write_bytes(junk)
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        assert images_encoded(encoder, folder) == 12
    assert [("starts anew" in str(w.message)) for w in told] == [True] * bool(junk)
    assert images_encoded(encoder, folder) == 0


def test_damage_anywhere_never_gives_a_wrong_feature(tmp_path: Path) -> None:
    """Every page of the file overwritten in turn: right features, or none."""
    with FeatureCache(tmp_path) as cache:
        put(cache, range(300))
        path = cache.database.path
    good = path.read_bytes()
    page = 8192
    for start in range(0, len(good), page):
        path.write_bytes(good[:start] + b"\xa5" * page + good[start + page :])
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            with FeatureCache(tmp_path) as cache:
                held(cache, range(300))
                put(cache, range(300, 310))
                cache.flush()
                held(cache, range(310))


def test_a_full_disk_ends_the_caching_and_not_the_run(
    encoder: CountingEncoder, folder: Path, tmp_path: Path
) -> None:
    """A real one where a small file system can be mounted, else SQLite's own limit."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=128k", "tmpfs", str(disk)]
    mounted = shutil.which("mount") and not subprocess.run(mount, capture_output=True).returncode
    try:
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always")
            with FeatureCache(disk) as cache:
                if not mounted:
                    cache.database._run(lambda c: c.execute("PRAGMA max_page_count=16"), None)
                put(cache, range(1000), d=512)
                cache.flush()
                put(cache, range(1000, 2000), d=512)
                found = encode_images(open_images(folder), encoder, cache=cache)
        assert found.cached == 0
        assert len(found.names) == 12
        assert ["full" in str(w.message) for w in told] == [True], [str(w.message) for w in told]
    finally:
        if mounted:
            subprocess.run(["umount", str(disk)], check=True)


def test_a_read_only_cache_is_read_and_not_written(
    encoder: CountingEncoder, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    images_encoded(encoder, folder)
    paint(folder, [50])
    monkeypatch.setattr(os, "access", lambda path, mode: mode != os.W_OK)  # root may all
    for _ in range(2):
        with pytest.warns(UserWarning, match="cannot be written"):
            assert images_encoded(encoder, folder) == 1


def test_a_folder_that_cannot_be_made(
    encoder: CountingEncoder, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The default one is gone without, one that was named is a mistake."""
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match=r"^no feature cache: .*file"):
        FeatureCache(tmp_path / "file" / "below")
    monkeypatch.setenv("CMDMETRIC_CACHE", str(tmp_path / "file" / "below"))
    with pytest.warns(UserWarning, match="no feature cache") as told:
        assert images_encoded(encoder, folder, None) == 12
    assert len(told) == 1


def test_keys_of_one_block_need_few_looks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A look into the index of a million keys is most of what reading them takes."""
    space = Space("of a test", what="looks")
    keys = [space.key(b"%d" % i) for i in range(3000)]
    values = np.random.default_rng(0).standard_normal((3000, 2)).astype(np.float32)
    with FeatureCache(tmp_path) as cache:
        for start in range(0, 3000, 100):
            cache.put_many(space, keys[start : start + 100], values[start : start + 100])
    order = np.random.default_rng(1).permutation(3000)
    wanted = [keys[i] for i in order]
    wanted[1:1] = [space.key(b"absent"), wanted[0]]  # and one twice
    expected = values[[order[0], *order]]
    with FeatureCache(tmp_path) as cache:
        looked_up: list[bytes] = []
        locate = cache.database.locate
        monkeypatch.setattr(
            cache.database, "locate", lambda some: looked_up.extend(some) or locate(some)
        )
        positions, features = cache.get_many(wanted)
    assert positions.tolist() == [0, *range(2, 3002)]
    np.testing.assert_array_equal(features, expected)
    assert len(looked_up) <= 10


def test_an_empty_folder_that_is_not_ours_to_write(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "access", lambda path, mode: mode != os.W_OK)  # root may all
    with pytest.raises(InputError, match="not yours to write to, and no cache is in it"):
        FeatureCache(tmp_path)


WRITER = """
import time
import numpy as np
from cmdmetric.cache.feature_cache import FeatureCache, Space
space, cache = Space("of a test", what="test"), FeatureCache({place!r})
for start in range(0, {end}, 50):
    keys = [space.key(b"%d" % i) for i in range(start, start + 50)]
    cache.put_many(space, keys, np.repeat(np.arange(start, start + 50.0), 8).reshape(50, 8))
    time.sleep({pause})
    print(start, flush=True)
cache.close()
"""


@pytest.mark.slow
def test_a_killed_process_loses_the_last_seconds_at_most(tmp_path: Path) -> None:
    """At 50 features in 20 ms and a flush every 2 s, or every 1024."""
    script = WRITER.format(place=str(tmp_path / "cache"), end=10**6, pause=0.02)
    for _ in range(2):
        with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            for line in process.stdout:
                if int(line) >= 3000:
                    break
            process.kill()
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            with FeatureCache(tmp_path / "cache") as cache:
                found = held(cache, range(6000))
                assert found == list(range(len(found)))
                assert len(found) >= 3050 - 1024
                assert cache.database.verify()[1] == 0


RUN = """
import sys, time
import numpy as np
from cmdmetric.cache.feature_cache import FeatureCache
from cmdmetric.features.images import encode_images
from cmdmetric.inputs.images import open_images
from cmdmetric.encoders.lazy_encoder import LazyEncoder
from cmdmetric.protocol import GRGAN
from cmdmetric.encoders.weights import find_checkpoint
class Slow:
    count = 0
    provenance = lambda self, side, source: lazy.provenance(side, source)
    def encode_pixels(self, pixels):
        time.sleep(0.2)
        self.count += len(pixels)
        return pixels.reshape(len(pixels), -1)[:, :40].astype(np.float32)
slow = Slow()
lazy = LazyEncoder(lambda: find_checkpoint("scenes-toy"), GRGAN, 4, lambda _: slow)
print("ready", flush=True)
sys.stdin.readline()
with FeatureCache({place!r}) as cache:
    found = encode_images(open_images({folder!r}), lazy, cache=cache)
print(slow.count, len(found.names), float(abs(found.features).sum()))
"""


def test_two_processes_share_the_work(folder: Path, tmp_path: Path) -> None:
    script = RUN.format(place=str(tmp_path / "cache"), folder=str(folder))
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    runs = [subprocess.Popen([sys.executable, "-c", script], text=True, **pipes) for _ in range(2)]
    for run in runs:
        assert run.stdout is not None
        assert run.stdout.readline() == "ready\n"
    results, chatter = [], ""
    for run in runs:
        assert run.stdin is not None
        run.stdin.write("\n")
        run.stdin.flush()
    for run in runs:
        out, told = run.communicate(timeout=120)
        assert run.returncode == 0, told
        results.append(out.split())
        chatter += told
    counts = sorted(int(encoded) for encoded, _, _ in results)
    assert counts == [0, 12]
    assert len({features for _, _, features in results}) == 1
    assert "waiting for another run" in chatter
    (left,) = (tmp_path / "cache" / "locks").iterdir()
    with FileLock(left, timeout=0):  # it is free
        assert left.stat().st_size == 0


def test_two_processes_may_write_at_once(tmp_path: Path) -> None:
    script = WRITER.format(place=str(tmp_path / "cache"), end=3000, pause=0)
    runs = [
        subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.DEVNULL)
        for _ in range(2)
    ]
    assert [run.wait(120) for run in runs] == [0, 0]
    with FeatureCache(tmp_path / "cache") as cache:
        assert held(cache, range(3000)) == list(range(3000))
        assert cache.database.verify()[1] == 0


# --- its size --------------------------------------------------------------------------------


def test_what_was_used_longest_ago_leaves_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cache_database, "GRAIN", 0)
    now = [1_000_000.0]
    monkeypatch.setattr(cache_database.time, "time", lambda: now[0])
    limit = 2_000_000
    for block in range(7):  # of 240 kB each
        now[0] += 10
        with FeatureCache(tmp_path, limit) as cache:
            put(cache, range(100 * block, 100 * block + 100), d=600)
    now[0] += 10
    with FeatureCache(tmp_path, limit) as cache:
        assert held(cache, range(100)) == list(range(100)), "used again"
    for block in range(7, 9):
        now[0] += 10
        with FeatureCache(tmp_path, limit) as cache:
            put(cache, range(100 * block, 100 * block + 100), d=600)
    with FeatureCache(tmp_path, limit) as cache:
        assert cache.database.size() <= limit
        left = held(cache, range(900))
        assert left[:100] == list(range(100))
        assert left[-200:] == list(range(700, 900))
        assert 100 not in left
    assert cache.database.path.stat().st_size <= 1.1 * limit, "space goes back to the disk"


@pytest.mark.parametrize(
    ("text", "size"),
    [("10GB", 10**10), ("1.5 mb", 1_500_000), ("1e6", 10**6), ("2TiB", 2 * 10**12), ("7", 7)],
)
def test_sizes(text: str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "GB", "ten", "10 PB", "-3MB", "e", "1e400"])
def test_what_is_no_size(text: str) -> None:
    with pytest.raises(InputError, match="no size"):
        parse_size(text)


# --- commands --------------------------------------------------------------------------------


def run(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(main, ["cache", *arguments])
    return result.exit_code, result.output


def test_the_commands(encoder: CountingEncoder, folder: Path, tmp_path: Path) -> None:
    place = tmp_path / "place"
    images_encoded(encoder, folder, place)
    status, out = run("info", "--cache-dir", str(place), "--format", "json")
    report = json.loads(out)
    assert (status, report["folder"], report["files"]) == (0, str(place), 12)
    assert [(c["label"], c["entries"]) for c in report["contents"]] == [
        ("images, scenes-toy, protocol grgan, fp32", 12)
    ]
    assert report["limit"] == 10**10
    assert 12 * 4 * 40 < report["bytes"] < 200_000
    assert "12" in run("info", "--cache-dir", str(place))[1]
    assert run("verify", "--cache-dir", str(place))[0] == 0
    with FeatureCache(place) as cache:
        file = cache.database.path
    flip(file)
    assert run("verify", "--cache-dir", str(place)) == (
        1,
        f"{place}: 0 blocks are whole, 1 were damaged and dropped\n"
        "12 files hold what is noted of them, 0 notes were wrong and dropped\n",
    )
    assert run("verify", "--cache-dir", str(place))[0] == 0
    images_encoded(encoder, folder, place)
    assert run("clear", "--cache-dir", str(place))[0] == 0
    assert images_encoded(encoder, folder, place) == 12
    status, out = run("clear", "--cache-dir", str(tmp_path / "elsewhere"))
    assert status == 2
    assert "no feature cache is there" in out
    assert not (tmp_path / "elsewhere").exists()


@pytest.mark.slow
def test_a_warm_run_imports_no_torch_and_opens_no_image(
    small_example: Path, tmp_path: Path
) -> None:
    """The command itself, with imports and images forbidden the second time."""
    script = """
import sys
from cmdmetric.cli.main import score
from PIL import Image
for slow in ("torch", "open_clip", "huggingface_hub", "scipy"):  # scipy alone takes 0.3 s
    sys.modules[slow] = None  # an import fails
Image.open = None
sys.argv = sys.argv[1:]  # a score tells by which command it was made
score(sys.argv[1:])
"""
    arguments = [str(small_example / "generated"), str(small_example / "captions.json"), "--model",
                 "scenes-toy", "--cache-dir", str(tmp_path), "--format", "json"]  # fmt: skip
    warm = [sys.executable, "-c", script, str(BIN / "cmd-score")]
    results = []
    for made in ("cold", "warm"):
        ran = (
            run_command("cmd-score", *arguments)
            if made == "cold"
            else subprocess.run([*warm, *arguments], capture_output=True, text=True)
        )
        assert ran.returncode == 0, ran.stderr
        results.append(ran.stdout)
        told = "from the cache: 120 of 120 images and 300 of 300 captions" in ran.stderr
        assert told == (made == "warm")
    assert printed(results[0]) == printed(results[1])
    ran = subprocess.run(
        [*warm, *arguments, "--no-cache"],
        capture_output=True,
        text=True,
    )
    assert ran.returncode != 0, "this test could not fail"
