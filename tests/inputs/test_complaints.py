"""What decoders say of damaged images is told once, with their names, and goes nowhere else."""

from __future__ import annotations

import io
import sys
import warnings
from pathlib import Path

import pytest
from PIL import Image, features
from PIL.Image import Image as Picture

from cmdmetric.inputs import Failure, open_images, overheard, prepared
from cmdmetric.inputs.image_set import ImageItem
from tests.support.commands import run
from tests.support.pictures import scenes

libtiff_is_reached = pytest.mark.skipif(
    sys.platform == "win32" or not features.check("libtiff"),
    reason="libtiff is not there, or a part of Pillow itself",
)


def damaged(compression: str, mode: str) -> bytes:
    """A TIFF whose pixels are overwritten in the middle."""
    (pixels,) = scenes([3])
    file = io.BytesIO()
    Image.fromarray(pixels).resize((64, 64)).convert(mode).save(
        file, "TIFF", compression=compression
    )
    content = bytearray(file.getvalue())
    middle = slice(len(content) // 3, len(content) // 3 + 20)
    content[middle] = bytes(range(171, 191))
    return bytes(content)


def outcome(folder: Path) -> dict[str, Picture | Failure]:
    def load(_: int, item: ImageItem) -> Picture:
        return item.load()

    images = open_images(folder)
    return {item.name: made for _, item, made in prepared(enumerate(images), load, 4, "a folder")}


@libtiff_is_reached
def test_libtiff_is_heard_with_the_name_of_the_image(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    for name in ("a.tif", "b.tif"):
        (tmp_path / name).write_bytes(damaged("group4", "1"))
    (tmp_path / "c.tif").write_bytes(damaged("tiff_lzw", "RGB"))
    Image.new("RGB", (8, 8)).save(tmp_path / "d.png")
    with pytest.warns(UserWarning, match=r"complaints about 2 images") as told:
        found = outcome(tmp_path)
    (message,) = (str(one.message) for one in told)
    assert "a.tif: Fax4Decode: Bad code word" in message and "more)" in message
    assert "b.tif: " in message and "c.tif" not in message and "d.png" not in message
    refused = found["c.tif"]
    assert isinstance(refused, Failure) and "decoder error" in refused.reason
    assert "libtiff: " in refused.reason or "LZW" in refused.reason
    assert capfd.readouterr() == ("", "")


@libtiff_is_reached
def test_a_command_says_it_in_few_lines(tmp_path: Path, small_example: Path) -> None:
    for number in range(40):
        (tmp_path / f"{number}.tif").write_bytes(damaged("group4", "1"))
    done = run("cmd-score", tmp_path, small_example / "captions.json", "--model", "scenes-toy",
               "--real", small_example / "real")  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "complaints about 40 images" in done.stderr and "and 37 more" in done.stderr
    assert done.stderr.count("Bad code word") == 3


def test_a_warning_of_pillow_belongs_to_the_image_of_its_thread(tmp_path: Path) -> None:
    """As the command line arranges it: warnings are shown by a function that asks `overheard`."""
    for name in ("a.png", "b.png", "c.png"):
        Image.new("RGB", (8, 8)).save(tmp_path / name)

    def look(_: int, item: ImageItem) -> str:
        if item.name != "b.png":
            assert overheard(f"Tag data larger than file\nin {item.name}")
        return item.name

    with pytest.warns(UserWarning, match="2 complaints about 2 images") as told:
        assert len(list(prepared(enumerate(open_images(tmp_path)), look, 4, "a folder"))) == 3
    assert "a.png: Tag data larger than file in a.png" in str(told[0].message)
    assert not overheard("of no image")
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # no source, no summary
        list(prepared(enumerate(open_images(tmp_path)), look, 4))
