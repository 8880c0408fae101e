"""Folders, globs and archives: which files count, in which order, and what goes wrong."""

import bz2
import gzip
import io
import lzma
import os
import re
import struct
import subprocess
import sys
import tarfile
import threading
import zipfile
import zlib
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given, strategies as st
from PIL import Image

from cmdmetric.encoders.rgb import to_rgb
from cmdmetric.errors import InputError
from cmdmetric.files.paths import natural_key
from cmdmetric.inputs.endings import decoded_endings, formats
from cmdmetric.inputs.images import ImageSet, describe_failure, open_images
from tests.conftest import shared
from tests.support.systems import needs_named_pipes


def picture(value=0, size=(8, 6)):
    return Image.new("RGB", size, (value % 256, value // 256, 7))


def encoded(value=0, form="PNG", **options):
    file = io.BytesIO()
    if form == "ICO":  # Pillow before 13 writes no icon of less than 16 pixels unless told to
        options.setdefault("sizes", [picture().size])
    picture(value).save(file, form, **options)
    return file.getvalue()


def value_of(item):
    red, green, _ = item.load().convert("RGB").getpixel((0, 0))
    return red + 256 * green


def fill(folder, names):
    """A folder with these files; images by their ending, whose value is their place."""
    for place, name in enumerate(names):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(encoded(place) if path.suffix.lower() == ".png" else b"no image")


# --- order and folders -----------------------------------------------------------------------

NAMES = st.text(st.sampled_from("ab019-._/é٣"), max_size=8)


@given(st.lists(NAMES, unique=True), st.randoms())
def test_natural_order_is_total(names, random):
    shuffled = random.sample(names, len(names))
    assert sorted(shuffled, key=natural_key) == sorted(names, key=natural_key)


@given(st.lists(st.integers(0, 10**30), unique=True))
def test_natural_order_is_that_of_numbers(numbers):
    names = [f"img{number}.png" for number in numbers]
    assert sorted(names, key=natural_key) == [f"img{number}.png" for number in sorted(numbers)]


def test_natural_order_of_endless_digits():
    assert natural_key("9" * 10_000) < natural_key("1" + "0" * 10_000)


def test_a_folder(tmp_path):
    names = ["img10.png", "img2.PNG", "b/c/img1.png", "b/img1.png", "notes.txt", ".hidden.png"]
    fill(tmp_path, [*names, ".cache/x.png", "__MACOSX/img2.png", "b/._img1.png"])
    images = open_images(tmp_path)
    assert images.names == ("b/c/img1.png", "b/img1.png", "img2.PNG", "img10.png")
    assert images.count == 4
    assert images.source == str(tmp_path)
    assert [item.name for item in images] == list(images.names)
    assert [value_of(item) for item in images] == [2, 3, 1, 0]
    assert [value_of(item) for item in images] == [2, 3, 1, 0]


def test_a_hidden_folder_that_is_asked_for(tmp_path):
    fill(tmp_path / ".cache", ["a.png"])
    assert open_images(tmp_path / ".cache").names == ("a.png",)


@pytest.mark.parametrize(
    ("form", "ending"),
    [
        ("PNG", ".png"),
        ("JPEG", ".JPG"),
        ("JPEG", ".jfif"),
        ("GIF", ".gif"),
        ("WEBP", ".WebP"),
        ("BMP", ".bmp"),
        ("TIFF", ".tif"),
        ("PPM", ".ppm"),
        ("TGA", ".tga"),
        ("ICO", ".ico"),
        ("PNG", ".jpg"),
    ],
)
def test_every_format(tmp_path, form, ending):
    (tmp_path / f"a{ending}").write_bytes(encoded(3, form))
    (item,) = open_images(tmp_path)
    assert to_rgb(item.load(), "viewer").mode == "RGB"
    assert open_images(tmp_path / f"a{ending}").names == (f"a{ending}",)


@pytest.mark.parametrize("ending", [".h5", ".eps", ".pdf", ".mpg"])
def test_what_pillow_only_identifies_is_no_image(tmp_path, ending):
    (tmp_path / f"a{ending}").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n")
    with pytest.raises(InputError, match=rf"holds 1 files: \{ending} 1"):
        open_images(tmp_path)
    with pytest.raises(InputError, match="not an image"):
        open_images(tmp_path / f"a{ending}")


@pytest.mark.parametrize(
    ("form", "mode"), [("GIF", "P"), ("WEBP", "RGB"), ("PNG", "RGB"), ("TIFF", "RGB")]
)
def test_the_first_frame_of_an_animation(tmp_path, form, mode):
    path = tmp_path / f"a.{form.lower()}"
    options = {"lossless": True} if form == "WEBP" else {}
    frames = [picture(1), picture(2)]
    picture(5).save(path, form, save_all=True, append_images=frames, **options)
    (item,) = open_images(tmp_path)
    assert value_of(item) == 5
    for how in ("convert", "viewer"):
        assert to_rgb(item.load(), how).getpixel((0, 0)) == (5, 0, 7)


@needs_named_pipes
def test_links(tmp_path):
    fill(tmp_path / "real", ["a.png", "sub/b.png"])
    fill(tmp_path / "other", ["c.png"])
    (tmp_path / "real" / "loop").symlink_to(tmp_path / "real")
    (tmp_path / "real" / "sub" / "up").symlink_to("..")
    (tmp_path / "real" / "d.png").symlink_to("a.png")
    (tmp_path / "real" / "broken.png").symlink_to("nowhere.png")
    (tmp_path / "real" / "self.png").symlink_to("self.png")
    (tmp_path / "real" / "there").symlink_to(tmp_path / "other")
    os.mkfifo(tmp_path / "real" / "pipe.png")
    images = open_images(tmp_path / "real")
    files = ("a.png", "broken.png", "d.png", "self.png", "sub/b.png", "there/c.png")
    assert images.names == files
    failed = []
    for item in images:
        try:
            item.load()
        except OSError as error:
            failed.append((item.name, describe_failure(error)))
    assert failed == [
        ("broken.png", "does not exist (any more)"),
        ("self.png", "Too many levels of symbolic links"),
    ]
    with pytest.raises(InputError, match="neither a file nor a folder"):
        open_images(tmp_path / "real" / "pipe.png")


def test_names_of_every_kind(tmp_path):
    names = ["with\nline.png", "猫🐈.png", "שלום.png", "a b'\".png", os.fsdecode(b"\xff\xfe.png")]
    fill(tmp_path, names)
    images = open_images(tmp_path)
    assert set(images.names) == set(names)
    assert sorted(value_of(item) for item in images) == list(range(len(names)))


def test_an_empty_folder(tmp_path):
    with pytest.raises(
        InputError, match=r"no images; it holds 0 files\. Images end in \.png, \.jpg"
    ):
        open_images(tmp_path)
    fill(tmp_path, [*(f"{i}.txt" for i in range(10)), "a.json", "b.JSON", "README"])
    with pytest.raises(InputError, match=r"holds 13 files: \.txt 10, \.json 2, no ending 1"):
        open_images(tmp_path)


def test_files_without_an_ending_are_no_images_whatever_was_written():
    """Pillow takes the ending of a SPIDER image that it has written for one of such images."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(Image.EXTENSION, "", "SPIDER")
        assert "SPIDER" in formats()
        assert "" not in decoded_endings.__wrapped__()


def test_missing_paths(tmp_path):
    fill(tmp_path, ["generated/a.png", "generatd.zip"])
    with pytest.raises(InputError, match=r"generate: does not exist\. Near it: generated"):
        open_images(tmp_path / "generate")
    with pytest.raises(InputError, match=f"only the folder {tmp_path} does"):
        open_images(tmp_path / "x" / "y" / "z")
    with pytest.raises(InputError, match=r"^a+…"):
        open_images("a" * 5000)
    with pytest.raises(InputError, match="no path: embedded null byte"):
        open_images("a\0b")


def test_a_folder_that_cannot_be_listed(tmp_path, monkeypatch):
    fill(tmp_path, ["a.png", "secret/b.png"])
    scandir = os.scandir

    def refuse(path):
        if os.fspath(path).rstrip("/").endswith("secret"):
            raise PermissionError(13, "Permission denied")
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(InputError, match="secret: cannot be listed: Permission denied"):
        open_images(tmp_path)


def test_globs(tmp_path):
    fill(tmp_path, ["a1.png", "a10.png", "b.png", "s/a2.png", "s/t/a3.png", "a.txt", ".a4.png"])

    def names(pattern):
        return open_images(f"{tmp_path}/{pattern}").names

    assert names("a*.png") == ("a1.png", "a10.png")
    assert names("**/a*.png") == ("a1.png", "a10.png", "s/a2.png", "s/t/a3.png")
    assert names("*/a*.png") == ("s/a2.png",)
    assert names("s/**") == ("a2.png", "t/a3.png")
    assert names("[ab]?*") == ("a1.png", "a10.png", "b.png")
    assert open_images(f"{tmp_path}/a*.png").source == f"{tmp_path}/a*.png"
    with pytest.raises(InputError, match=r"no images; it matches 1 files: \.txt 1"):
        names("*.txt")
    with pytest.raises(InputError, match=r"x\*\.png: no images; it matches 0 files"):
        names("x*.png")
    with pytest.raises(InputError, match="does not exist"):
        names("nowhere/*.png")


def test_a_glob_relative_to_here(tmp_path, monkeypatch):
    fill(tmp_path, ["a.png", "s/b.png"])
    monkeypatch.chdir(tmp_path)
    assert open_images("*.png").names == ("a.png",)
    assert open_images("**/*.png").names == ("a.png", "s/b.png")


def test_a_path_may_look_like_a_pattern(tmp_path):
    fill(tmp_path / "run[3]", ["img[1].png"])
    assert open_images(tmp_path / "run[3]").names == ("img[1].png",)
    assert open_images(tmp_path / "run[3]" / "img[1].png").names == ("img[1].png",)


def test_a_single_file(tmp_path):
    (tmp_path / "unnamed").write_bytes(encoded(9))
    images = open_images(str(tmp_path / "unnamed"))
    assert images.names == ("unnamed",)
    assert [value_of(item) for item in images] == [9]
    (tmp_path / "notes.txt").write_text("a cat")
    with pytest.raises(InputError, match=r"notes\.txt: not an image.*folders, archives"):
        open_images(tmp_path / "notes.txt")


def test_an_image_set_is_itself(tmp_path):
    fill(tmp_path, ["a.png"])
    images = open_images(tmp_path)
    assert open_images(images) is images
    assert isinstance(images, ImageSet)
    assert "count=1" in repr(images)


def test_many_files_are_only_listed(tmp_path, monkeypatch):
    for i in range(3000):
        (tmp_path / f"{i}.png").touch()
    monkeypatch.setattr(Image, "open", lambda *_, **__: pytest.fail("an image was opened"))
    assert open_images(tmp_path).count == 3000


# --- archives --------------------------------------------------------------------------------

MEMBERS = [
    "b/img10.png",
    "b/img2.png",
    "a.PNG",
    "notes.txt",
    "__MACOSX/a.png",
    ".x.png",
    "/abs.png",
]
NATURAL = ("/abs.png", "a.PNG", "b/img2.png", "b/img10.png")
COMPRESSIONS = {"": bytes, ".gz": gzip.compress, ".bz2": bz2.compress, ".xz": lzma.compress}


def make_zip(path, members, compression=zipfile.ZIP_DEFLATED):
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, data in members:
            archive.writestr(name, data)
    return path


def make_tar(path, members, compress=bytes, extra=()):
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for name, data in members:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
        for info in extra:
            archive.addfile(info)
    path.write_bytes(compress(file.getvalue()))
    return path


def members():
    return [(name, encoded(place)) for place, name in enumerate(MEMBERS)]


@pytest.mark.parametrize(
    "compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_LZMA]
)
def test_a_zip(tmp_path, compression):
    images = open_images(make_zip(tmp_path / "a.ZIP", members(), compression))
    assert images.names == NATURAL
    for _ in range(2):
        assert [value_of(item) for item in images] == [6, 2, 1, 0]
    assert os.listdir(tmp_path) == ["a.ZIP"]


@pytest.mark.parametrize("ending", [".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz"])
def test_a_tar(tmp_path, ending):
    compress = COMPRESSIONS[{".tgz": ".gz"}.get(ending, ending.removeprefix(".tar"))]
    images = open_images(make_tar(tmp_path / f"a{ending}", members(), compress))
    expected = NATURAL if ending == ".tar" else ("b/img10.png", "b/img2.png", "a.PNG", "/abs.png")
    assert images.names == expected
    for _ in range(2):
        assert [item.name for item in images] == list(expected)
        assert [value_of(item) for item in images] == [MEMBERS.index(name) for name in expected]
    assert len(os.listdir(tmp_path)) == 1


def test_a_compressed_tar_under_a_plain_name(tmp_path):
    images = open_images(make_tar(tmp_path / "a.tar", members(), gzip.compress))
    assert len(images.names) == 4


@pytest.mark.parametrize("compression", COMPRESSIONS)
def test_links_and_devices_in_a_tar_are_ignored(tmp_path, compression):
    extra = []
    for kind in (
        tarfile.SYMTYPE,
        tarfile.LNKTYPE,
        tarfile.CHRTYPE,
        tarfile.FIFOTYPE,
        tarfile.DIRTYPE,
    ):
        info = tarfile.TarInfo(f"x{kind.decode()}.png")
        info.type, info.linkname = kind, "/etc/passwd"
        extra.append(info)
    path = tmp_path / f"a.tar{compression}"
    make_tar(path, [("../../up.png", encoded(4))], COMPRESSIONS[compression], extra)
    images = open_images(path)
    assert images.names == ("../../up.png",)
    assert [value_of(item) for item in images] == [4]
    assert os.listdir(tmp_path) == [path.name]


@pytest.mark.parametrize("compression", COMPRESSIONS)
def test_of_equal_names_in_a_tar_the_last_counts(tmp_path, compression):
    doubled = [("a.png", encoded(1)), ("b.png", encoded(2)), ("a.png", encoded(3))]
    path = make_tar(tmp_path / f"a.tar{compression}", doubled, COMPRESSIONS[compression])
    assert sorted((item.name, value_of(item)) for item in open_images(path)) == [
        ("a.png", 3),
        ("b.png", 2),
    ]


@pytest.mark.parametrize("name", ["a.zip", "a.tar", "a.tar.gz"])
def test_an_archive_without_images(tmp_path, name):
    files = [("a.txt", b"x"), ("b.txt", b"y")]
    path = tmp_path / name
    if name == "a.zip":
        make_zip(path, files)
    else:
        make_tar(path, files, COMPRESSIONS[name.removeprefix("a.tar")])
    with pytest.raises(InputError, match=rf"{name}: no images; it holds 2 files: \.txt 2"):
        open_images(path)


@pytest.mark.parametrize(
    "name", ["a.zip", "a.tar", "a.tar.gz", "a.tgz", "a.tar.xz", "a.npy", "a.npz"]
)
@pytest.mark.parametrize("data", [b"", b"no archive", b"x" * 5000])
def test_no_archive_at_all(tmp_path, name, data):
    (tmp_path / name).write_bytes(data)
    with pytest.raises(InputError, match=name):
        open_images(tmp_path / name)


@pytest.mark.parametrize("compression", COMPRESSIONS)
def test_a_truncated_tar(tmp_path, compression):
    files = [(f"{i}.png", os.urandom(3000)) for i in range(5)]
    path = make_tar(tmp_path / f"a.tar{compression}", files, COMPRESSIONS[compression])
    path.write_bytes(path.read_bytes()[:9000])
    with pytest.raises(InputError, match=f"{path.name}: truncated or damaged"):
        open_images(path)


def test_a_damaged_member_of_a_zip(tmp_path):
    path = make_zip(tmp_path / "a.zip", [("a.png", encoded(1)), ("b.png", encoded(2))], 0)
    data = bytearray(path.read_bytes())
    data[60] ^= 0xFF
    path.write_bytes(data)
    first, second = open_images(path)
    with pytest.raises(zipfile.BadZipFile) as caught:
        first.load()
    assert describe_failure(caught.value).startswith("truncated or damaged: Bad CRC-32")
    assert value_of(second) == 2


def test_an_encrypted_member(tmp_path):
    path = make_zip(tmp_path / "a.zip", [("a.png", encoded(1))], 0)
    data = bytearray(path.read_bytes())
    data[6] |= 1
    data[data.index(b"PK\1\2") + 8] |= 1
    path.write_bytes(data)
    (item,) = open_images(path)
    with pytest.raises(RuntimeError) as caught:
        item.load()
    assert describe_failure(caught.value) == "encrypted; give an archive without a password"


def test_a_zip_that_unpacks_to_too_much(tmp_path):
    path = make_zip(tmp_path / "a.zip", [("a.png", encoded(1))])
    data = bytearray(path.read_bytes())
    at = data.index(b"PK\1\2") + 24
    data[at : at + 4] = struct.pack("<I", 3 << 30)
    path.write_bytes(data)
    (item,) = open_images(path)
    with pytest.raises(ValueError, match="has 3,221,225,472 bytes"):
        item.load()


@pytest.mark.parametrize("kind", ["folder", "zip", "tar", "tar.gz"])
def test_items_load_in_any_thread(tmp_path, kind):
    files = [(f"{i}.png", encoded(i)) for i in range(200)]
    path = tmp_path / f"a.{kind}"
    if kind == "folder":
        fill(path, [name for name, _ in files])
    elif kind == "zip":
        make_zip(path, files)
    else:
        make_tar(path, files, COMPRESSIONS[kind.removeprefix("tar")])
    start = threading.Barrier(8)

    def values(item_of_thread):
        start.wait(timeout=60)
        return [value_of(item) for item in item_of_thread]

    items = list(open_images(path))
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(values, [items[i::8] for i in range(8)]))
    assert found == [list(range(i, 200, 8)) for i in range(8)]


# --- what goes wrong with one image ----------------------------------------------------------


def bomb(side):
    """A PNG that says it has side x side pixels."""

    def chunk(kind, data):
        checked = kind + data
        return struct.pack(">I", len(data)) + checked + struct.pack(">I", zlib.crc32(checked))

    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", b"") + chunk(b"IEND", b"")


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("a.png", b"", "not an image that Pillow decodes, or an empty file"),
        ("a.png", b"no image", "not an image that Pillow decodes, or an empty file"),
        ("a.jpg", encoded(1, "JPEG")[:-100], "truncated or damaged"),
        ("a.png", encoded(1)[:50], "truncated or damaged"),
        ("a.png", encoded(1)[:20], "truncated or damaged"),
        ("a.bmp", encoded(1, "BMP")[:60], "truncated or damaged"),
        ("a.tif", encoded(1, "TIFF")[:60], "not an image|truncated or damaged"),
        ("a.png", bomb(40_000), r"a decompression bomb\? Image size \(1600000000 pixels\)"),
    ],
)
def test_why_an_image_fails(tmp_path, name, data, message):
    (tmp_path / name).write_bytes(data)
    (item,) = open_images(tmp_path)
    with pytest.raises(Exception) as caught:
        item.load()
    assert re.match(message, describe_failure(caught.value))


@pytest.mark.parametrize("form", ["PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP"])
def test_every_truncation_is_an_image_or_has_a_reason(tmp_path, form):
    data = encoded(3, form)
    path = tmp_path / f"a.{form.lower()}"
    for part in range(0, 100, 5):
        path.write_bytes(data[: len(data) * part // 100])
        (item,) = open_images(tmp_path)
        try:
            assert item.load().size == (8, 6)
        except Exception as error:  # whatever Pillow raises
            reason = describe_failure(error)
            assert "\n" not in reason
            assert reason.startswith(("truncated or damaged", "not an image")), repr(error)


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (PermissionError(13, "Permission denied"), "permission denied"),
        (FileNotFoundError(2, "No such file"), "does not exist (any more)"),
        (IsADirectoryError(21, "Is a directory"), "Is a directory"),
        (MemoryError(), "too large for the memory that is left"),
        (
            NotImplementedError("That compression method"),
            "compressed in a way that is not supported: That compression method",
        ),
        (SyntaxError("broken\nPNG file"), "truncated or damaged: broken PNG file"),
        (KeyError(7), "truncated or damaged: 7"),
        (InputError("two words"), "two words"),
        (RuntimeError(), "RuntimeError: RuntimeError"),
    ],
)
def test_reasons(error, reason):
    assert describe_failure(error) == reason


def test_a_file_that_vanishes(tmp_path):
    fill(tmp_path, ["a.png"])
    images = open_images(tmp_path)
    (tmp_path / "a.png").unlink()
    (item,) = images
    with pytest.raises(FileNotFoundError):
        item.load()


def test_reading_images_does_not_load_torch():
    code = (
        "import sys, cmdmetric.inputs.images, cmdmetric.encoders.rgb;"
        "print([m for m in ('torch', 'scipy', 'open_clip') if m in sys.modules])"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"


def test_photos():
    images = open_images(shared("data/photos"))
    assert images.count == 21 and "captions.json" not in images.names
    for item in images:
        image = item.load()
        plain = np.asarray(to_rgb(image, "convert")).astype(int)
        shown = np.asarray(to_rgb(image, "viewer")).astype(int)
        # None is rotated or has alpha, and their profiles are all sRGB.
        assert (shown == plain).all(), item.name


@pytest.mark.parametrize(
    ("source", "title"),
    [("samples/", "images samples/"),
     ("the images that c.json names", "the images that c.json names")],
)  # fmt: skip
def test_what_progress_calls_a_set(source: str, title: str) -> None:
    assert ImageSet(source, lambda: iter(())).title == title
