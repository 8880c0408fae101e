"""Data as AttnGAN, DM-GAN and GR-GAN have it, and pickles that are never executed."""

import json
import os
import pickle

import numpy as np
import pytest
from PIL import Image

from grgan_ref.config import DataConfig
from grgan_ref.data import authors_captions, open_data
from grgan_ref.errors import GrganError
from grgan_ref.files import read_plain_pickle
from tests.support.grgan_runs import gan_run, grgan, succeed

TRAIN = ["COCO_train2014_000000000009", "COCO_train2014_000000000025"]
TEST = ["COCO_val2014_000000000042", "COCO_val2014_000000000007", "COCO_val2014_000000000100"]


def dump(content, path, protocol=2):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(pickle.dumps(content, protocol=protocol))


@pytest.fixture
def coco(tmp_path):
    """data/coco: names in an order of their own, six captions each, images of both splits flat."""
    root = tmp_path / "coco"
    for folder, names in (("train", TRAIN), ("test", TEST)):
        dump(names, root / folder / "filenames.pickle")
        for name in names:
            for place in ("text", "images"):
                (root / place).mkdir(exist_ok=True)
            lines = [f"caption {k} of {name[-3:]}, a dog\n" for k in range(6)]
            (root / "text" / f"{name}.txt").write_text("\n".join(lines))  # with blank lines
            Image.new("RGB", (40, 30), "red").save(root / "images" / f"{name}.jpg")
    return root


def test_coco_as_the_authors_have_it(coco):
    config = DataConfig(kind="coco", captions_per_image=5)
    data = open_data(config, coco, "val")
    assert list(data.names) == TEST
    assert [len(own) for own in data.captions] == [5, 5, 5]
    assert data.captions[1][0] == "caption 0 of 007, a dog"
    assert data.images.load(2, 30).size == (40, 30)
    assert list(open_data(config, coco, "train").names) == TRAIN
    assert [len(own) for own in open_data(DataConfig(), coco, "train").captions] == [6, 6]
    (coco / "images" / f"{TEST[1]}.jpg").unlink()
    with pytest.raises(GrganError, match=f"1 of 3 image files are missing: .*{TEST[1]}"):
        open_data(config, coco, "val")


def test_numbered_captions_where_there_is_no_text(coco):
    words = {0: "<end>", 1: "a", 2: "red", 3: "dog"}
    numbers = [[1, 3], [1, 2, 3], [2, 3], [3], [1, 2, 3], [3, 2]]
    content = [[[1], [2]], numbers, words, {word: n for n, word in words.items()}]
    for path in (coco / "text").iterdir():
        path.unlink()
    (coco / "text").rmdir()
    with pytest.raises(GrganError, match=r"neither text/ .* nor captions\.pickle"):
        open_data(DataConfig(), coco, "val")
    dump(content, coco / "captions.pickle")
    data = open_data(DataConfig(), coco, "val")
    assert data.captions == [["a dog", "a red dog"], ["red dog", "dog"], ["a red dog", "dog red"]]
    dump([[[1]], [*numbers, [1]], words], coco / "captions.pickle")
    with pytest.raises(GrganError, match="7 captions do not divide over 3 names"):
        open_data(DataConfig(), coco, "val")


def test_birds_as_the_authors_have_them(tmp_path):
    root, name = tmp_path / "birds", "001.Black_footed_Albatross/Black_0001"
    for folder in ("train", "test"):
        dump([name], root / folder / "filenames.pickle")
        dump([7], root / folder / "class_info.pickle")
    (root / "text" / "001.Black_footed_Albatross").mkdir(parents=True)
    (root / "text" / f"{name}.txt").write_text("a black bird\n")
    birds = root / "CUB_200_2011"
    (birds / "images" / "001.Black_footed_Albatross").mkdir(parents=True)
    pixels = np.zeros((100, 100, 3), np.uint8)
    pixels[40:60, 30:50] = 255
    Image.fromarray(pixels).save(birds / "images" / f"{name}.jpg", quality=95)
    (birds / "images.txt").write_text(f"1 {name}.jpg\n")
    (birds / "bounding_boxes.txt").write_text("1 30.0 40.0 20.0 20.0\n")
    data = open_data(DataConfig(kind="cub"), root, "train")
    assert (list(data.names), list(data.classes)) == ([name], [7])
    cut = np.asarray(data.images.load(0, 30)).mean(axis=2)
    assert cut.shape == (30, 30)  # 15 pixels to either side of the box's centre
    assert cut[15, 15] > 250 and cut[1, 1] < 5
    dump([7, 8], root / "train" / "class_info.pickle")
    with pytest.raises(GrganError, match="2 classes for 1 names"):
        open_data(DataConfig(kind="cub"), root, "train")


def test_sampling_follows_the_test_split(coco, tmp_path):
    read = authors_captions(coco, 5)
    assert len(read.texts) == 15 and read.images[5] == f"{TEST[1]}.jpg"
    for path in (coco / "images").iterdir():
        path.unlink()  # sampling needs none
    out = tmp_path / "out"
    succeed("sample", gan_run(), coco, out, "--num=2", "--device=cpu")
    chosen = json.loads((out / "captions.json").read_text())
    assert list(chosen) == [f"{name}.png" for name in TEST[:2]]
    assert {path.stem for path in out.glob("*.png")} == set(TEST[:2])


class Malicious:
    def __reduce__(self):
        return os.mkdir, ("owned",)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_pickles_are_never_executed(coco, tmp_path, monkeypatch, protocol):
    monkeypatch.chdir(tmp_path)
    plain = {"a": [1, 2.5, (None, True)], 3: {"b"} if protocol > 3 else ["b"]}
    dump(plain, tmp_path / "plain.pickle", protocol)
    assert read_plain_pickle(tmp_path / "plain.pickle") == plain
    dump([TEST[0], Malicious()], coco / "test" / "filenames.pickle", protocol)
    result = grgan("sample", gan_run(), coco, tmp_path / "out")
    assert result.exit_code == 2
    assert "filenames.pickle" in result.stderr and "mkdir" in result.stderr
    dump(np.arange(3), coco / "test" / "filenames.pickle", protocol)
    with pytest.raises(GrganError, match="it asks for numpy"):
        authors_captions(coco, 5)
    assert not (tmp_path / "owned").exists()


@pytest.mark.parametrize("content", [b"", b"junk", b"\x80\x04junk", pickle.dumps("names")])
def test_wrong_name_lists_are_told(coco, content):
    (coco / "test" / "filenames.pickle").write_bytes(content)
    with pytest.raises(GrganError, match=r"filenames\.pickle"):
        authors_captions(coco, 5)
