"""WebDataset's tar shards, as images and as captions."""

from __future__ import annotations

import io
import json
import re
import shutil
import sys
import tarfile
from itertools import chain
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cmdmetric import Encoder, InputError, cmd
from cmdmetric.inputs.captions import read_captions
from cmdmetric.inputs.images import open_images
from cmdmetric.inputs.shards import Shard
from cmdmetric.inputs.tars import find_tars
from cmdmetric.scoring.stored.merging import merge
from cmdmetric.scoring.stored.storing import stored_set
from tests.support.shards import picture, write_shards, write_tar

pytestmark = pytest.mark.filterwarnings("ignore:.*too few for:UserWarning")


def test_images_are_those_of_the_files(tmp_path: Path) -> None:
    items = list(open_images(write_shards(tmp_path)))
    assert [item.name for item in items] == [f"s-{k // 8:03}.tar/{k:04}.png" for k in range(24)]
    for k, item in enumerate(items):
        expected = np.asarray(Image.open(io.BytesIO(picture(k))))
        np.testing.assert_array_equal(np.asarray(item.load()), expected)


@pytest.mark.parametrize("form", ["txt", "json"])
def test_captions_are_those_beside_the_images(form: str, tmp_path: Path) -> None:
    captions = read_captions(write_shards(tmp_path, form=form))
    text = "picture" if form == "txt" else "json of"
    assert captions.texts == tuple(f"{text} {k}" for k in range(24))
    assert captions.images == tuple(f"s-{k // 8:03}.tar/{k:04}.png" for k in range(24))


def test_globs_and_braces_name_the_same_tars(tmp_path: Path) -> None:
    braces = write_shards(tmp_path, tars=11, each=1)
    found = find_tars(braces)
    assert found == find_tars(f"{tmp_path}/s-*.tar") == sorted(map(str, tmp_path.glob("*.tar")))
    # A single one is an archive like any other: its images are known at once, in natural order.
    assert find_tars(f"{tmp_path}/s-000.tar") is None
    assert read_captions(f"{tmp_path}/s-003.tar").texts == ("picture 3",)


def test_other_layouts(tmp_path: Path) -> None:
    members = {
        "a/x.y.PNG": picture(1), "a/x.txt": b"one line\nand another\n",  # a stem ends at its dot
        "b/x.png": picture(2), "b/x.caption": "größer".encode(),
        "c.json": json.dumps({"captions": ["first", "second"]}).encode(),
    }  # fmt: skip
    write_tar(tmp_path / "s.tar.gz", members, "w:gz")
    captions = read_captions(tmp_path / "s.tar.gz")
    assert captions.texts == ("one line", "and another", "größer", "first", "second")
    assert captions.images == ("a/x.y.PNG", "a/x.y.PNG", "b/x.png", "c", "c")


def test_a_score_from_tars_alone(tiny_encoder: Encoder, tmp_path: Path) -> None:
    (tmp_path / "f").mkdir()
    pattern = write_shards(tmp_path)
    for k in range(24):
        pixels = 255 - np.asarray(Image.open(io.BytesIO(picture(k))))
        Image.fromarray(pixels).save(tmp_path / "f" / f"{k:04}.png")
    # The real images are those that stand beside the captions; pairs are found by name.
    score = cmd(tmp_path / "f", pattern, encoder=tiny_encoder, cache=False)
    assert (score.n, score.n_real, score.n_captions, score.paired) == (24, 24, 24, 24)
    unpacked = tmp_path / "r"
    unpacked.mkdir()
    for tar in tmp_path.glob("*.tar"):
        shutil.unpack_archive(tar, unpacked)
    captions = {f"{k:04}.png": f"picture {k}" for k in range(24)}
    direct = cmd(tmp_path / "f", captions, unpacked, encoder=tiny_encoder, cache=False)
    assert score.cmd == pytest.approx(direct.cmd, rel=1e-9)
    assert score.uncertainty == direct.uncertainty
    # Tars as the generated side lead to no real side by themselves.
    with pytest.raises(InputError, match="--real"):
        cmd(pattern, pattern, encoder=tiny_encoder, cache=False)


@pytest.mark.parametrize("count", [2, 3, 5])  # whole tars where there are enough of them
def test_shards_of_tars(count: int, tiny_encoder: Encoder, tmp_path: Path) -> None:
    pattern = write_shards(tmp_path)
    whole = open_images(pattern)
    names = [[item.name for item in whole.shard(Shard(i, count))] for i in range(count)]
    assert sorted(chain.from_iterable(names)) == [item.name for item in whole]
    if count <= 3:
        tars = [{name.partition("/")[0] for name in own} for own in names]
        assert sum(map(len, tars)) == 3
    for index in range(count):
        made = stored_set(pattern, shard=Shard(index, count), encoder=tiny_encoder, cache=False)
        made.save(tmp_path / f"{index}.npz")
    merged = merge([tmp_path / f"{index}.npz" for index in range(count)]).moments
    direct = stored_set(pattern, encoder=tiny_encoder, cache=False).moments
    assert merged is not None and direct is not None and merged.n == 24
    np.testing.assert_allclose(merged.cov, direct.cov, atol=1e-5)


def test_more_shards_than_samples(tiny_encoder: Encoder, tmp_path: Path) -> None:
    pattern = write_shards(tmp_path, tars=1, each=2).replace("{000..000}", "*")
    made = stored_set(pattern, shard="2/3", encoder=tiny_encoder, cache=False)
    assert made.moments is None and made.n == 0
    made.save(tmp_path / "2.npz")
    for index in range(2):
        stored_set(pattern, shard=f"{index}/3", encoder=tiny_encoder, cache=False).save(
            tmp_path / f"{index}.npz"
        )
    merged = merge([tmp_path / f"{i}.npz" for i in range(3)]).moments
    assert merged is not None and merged.n == 2


def test_memory_is_bounded_by_what_is_ahead(tmp_path: Path) -> None:
    """Of a long stream no more is read than is fetched ahead."""
    write_shards(tmp_path, tars=40, each=8)
    images = iter(open_images(f"{tmp_path}/s-*.tar"))
    first = next(images)
    for tar in sorted(tmp_path.glob("*.tar"))[20:]:
        tar.unlink()  # would be missed if it had been read
    assert first.load().size == (32, 32)
    with pytest.raises(InputError, match=r"s-020\.tar: does not exist"):
        list(images)


class TestMistakes:
    @pytest.mark.parametrize(
        ("pattern", "message"),
        [
            ("s-{000..007}.tar", "s-003.tar: does not exist. Near it: s-00"),
            ("t-*.tar", "matches nothing"),
            ("s-{000..002.tar", "do not close"),
        ],
    )
    def test_what_is_not_there(self, pattern: str, message: str, tmp_path: Path) -> None:
        write_shards(tmp_path)
        for read in (open_images, read_captions):
            with pytest.raises(InputError, match=re.escape(message)):
                read(f"{tmp_path}/{pattern}")

    def test_without_the_extra(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        pattern = write_shards(tmp_path)
        monkeypatch.setitem(sys.modules, "braceexpand", None)
        with pytest.raises(InputError, match=r"pip install 'cmdmetric\[webdataset\]'"):
            open_images(pattern)

    def test_a_sample_without_a_caption(self, tmp_path: Path) -> None:
        write_tar(tmp_path / "s-0.tar", {"a.png": picture(0), "a.txt": b"a", "b.png": picture(1)})
        with pytest.raises(InputError, match=r"s-0\.tar: the sample 'b' has no caption"):
            read_captions(f"{tmp_path}/s-*.tar")

    @pytest.mark.parametrize("content", [b"\xff\xfe\xff", b""])
    def test_a_caption_that_is_no_text(self, content: bytes, tmp_path: Path) -> None:
        write_tar(tmp_path / "s-0.tar", {"a.png": picture(0), "a.txt": content})
        with pytest.raises(InputError, match=r"s-0\.tar: the sample 'a'"):
            read_captions(f"{tmp_path}/s-*.tar")

    def test_a_damaged_tar(self, tmp_path: Path) -> None:
        pattern = write_shards(tmp_path)
        damaged = tmp_path / "s-001.tar"
        damaged.write_bytes(damaged.read_bytes()[:3000])
        with pytest.raises(InputError, match=r"s-001\.tar: truncated, damaged"):
            list(open_images(pattern))

    def test_tars_without_images(self, tmp_path: Path) -> None:
        write_tar(tmp_path / "s-0.tar", {"a.txt": b"a"})
        with pytest.raises(InputError, match=r"no images; it holds 1 files: \.txt 1"):
            list(open_images(f"{tmp_path}/s-*.tar"))


@pytest.mark.parametrize("numbers", [b"\xff\n", b"", b"9" * 30 + b"\n", b"2\n0\n5\nx\n"])
def test_sparse_members_with_numbers_that_are_none(tmp_path: Path, numbers: bytes) -> None:
    """As in libarchive's gtar_sparse_1_17_posix10_modified: the map of holes is no map."""
    header = tarfile.TarInfo("GNUSparseFile.0/captions.txt")
    keys = {"major": "1", "minor": "0", "name": "captions.txt", "realsize": "20"}
    header.pax_headers = {f"GNU.sparse.{key}": value for key, value in keys.items()}
    body = numbers + bytes(512 - len(numbers))
    header.size = len(body)
    path = tmp_path / "sparse.tar"
    with tarfile.open(path, "w", format=tarfile.PAX_FORMAT) as archive:
        archive.addfile(header, io.BytesIO(body))
    for read in (read_captions, open_images):
        with pytest.raises(InputError, match=r"sparse\.tar"):
            read(str(path))
