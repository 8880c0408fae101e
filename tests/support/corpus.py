"""Bad and odd input, made by code: images, captions, archives, statistics.

Every maker yields `(name, content)`; the names are file names, unique within one maker. What each
file must become is for the tests to say.
"""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import pickle
import struct
import tarfile
import warnings
import zipfile
import zlib
from collections.abc import Iterator

import numpy as np
from PIL import Image, ImageCms

Case = tuple[str, bytes]

MODES = (
    "1", "L", "LA", "La", "P", "PA", "RGB", "RGBA", "RGBa", "RGBX", "CMYK", "YCbCr", "LAB", "HSV",
    "I", "F", "I;16", "I;16L", "I;16B",
)  # fmt: skip
#: Formats that Pillow writes and does not read, or writes for other ends than pictures.
NOT_PICTURES = ("PDF", "PALM", "BUFR", "EPS", "GRIB", "HDF5", "WMF")
#: What a photograph or a generated image is stored as.
USUAL = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF")


# --- images ----------------------------------------------------------------------------------


def picture(mode: str = "RGB", size: tuple[int, int] = (16, 12)) -> Image.Image:
    """Four flat quarters (formats that lose something lose little of it) in any mode."""
    image = Image.new("RGB", size, (200, 40, 60))
    width, height = size
    image.paste((40, 180, 90), (width // 2, 0, width, height // 2))
    image.paste((50, 70, 210), (0, height // 2, width // 2, height))
    image.paste((230, 230, 220), (width // 2, height // 2, width, height))
    if mode in ("La", "RGBa"):
        return image.convert("LA" if mode == "La" else "RGBA").convert(mode)
    if mode in ("I", "F") or mode.startswith("I;16"):
        grey = np.asarray(image.convert("L"))
        if mode == "F":
            return Image.fromarray(grey.astype(np.float32))
        wide = grey.astype(np.uint16) * 257
        if mode == "I":
            return Image.fromarray(wide.astype(np.int32))
        data = wide.astype(">u2" if mode == "I;16B" else "<u2").tobytes()
        return Image.frombytes(mode, size, data)
    if mode == "LAB":
        profiles = ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB")
        converted = ImageCms.profileToProfile(image, *profiles, outputMode="LAB")
        assert converted is not None
        return converted
    return image.convert("P").convert("PA") if mode == "PA" else image.convert(mode)


def encoded(image: Image.Image, form: str, **options: object) -> bytes:
    """The image as a file; raises whatever Pillow raises where it cannot be one."""
    file = io.BytesIO()
    if form == "ICO":  # Pillow before 13 writes no icon of less than 16 pixels unless told to
        options.setdefault("sizes", [image.size])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        image.save(file, form, **options)
    return file.getvalue()


def written() -> Iterator[tuple[str, str, bytes]]:
    """(format, mode, content) of everything that Pillow writes as a picture."""
    Image.init()
    for form in sorted(set(Image.SAVE) & set(Image.OPEN) - set(NOT_PICTURES)):
        for mode in MODES:
            try:
                content = encoded(picture(mode), form)
                Image.open(io.BytesIO(content)).load()  # before 13, not so for TIFF in YCbCr
            except Exception:  # this format has no such mode: every plugin says so in its own way
                continue
            yield form, mode, content


def truncated(content: bytes) -> Iterator[tuple[int, bytes]]:
    """The content cut at every 5 %."""
    for percent in range(0, 100, 5):
        yield percent, content[: len(content) * percent // 100]


def flipped(content: bytes, count: int, seed: int = 0) -> Iterator[tuple[int, bytes]]:
    """The content with one bit flipped, `count` times at places drawn from the seed."""
    random = np.random.default_rng(seed)
    for place in random.integers(0, 8 * len(content), count):
        changed = bytearray(content)
        changed[place // 8] ^= 1 << (place % 8)
        yield int(place), bytes(changed)


def png(width: int, height: int, data: bytes = b"", extra: bytes = b"", colour: int = 2) -> bytes:
    """A PNG that says it has these sides, whatever its data hold."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        checked = kind + content
        return struct.pack(">I", len(content)) + checked + struct.pack(">I", zlib.crc32(checked))

    header = struct.pack(">IIBBBBB", width, height, 8, colour, 0, 0, 0)
    body = chunk(b"IHDR", header) + extra + chunk(b"IDAT", zlib.compress(data))
    return b"\x89PNG\r\n\x1a\n" + body + chunk(b"IEND", b"")


def png_chunk(kind: bytes, content: bytes) -> bytes:
    checked = kind + content
    return struct.pack(">I", len(content)) + checked + struct.pack(">I", zlib.crc32(checked))


def image_bombs() -> Iterator[Case]:
    """Small files whose headers promise 40,000 x 40,000 pixels, or much beside the pixels."""
    side = 40_000
    small = {form: encoded(picture(), form) for form in ("BMP", "JPEG", "TIFF", "WEBP", "ICO")}
    yield "bomb.png", png(side, side)
    yield (
        "bomb.gif",
        b"GIF89a"
        + struct.pack("<HHBBB", side, side, 0x80, 0, 0)
        + bytes(6)
        + (b"," + struct.pack("<HHHHB", 0, 0, side, side, 0) + b"\x02\x02\x44\x01\x00;"),
    )
    bmp = bytearray(small["BMP"])
    struct.pack_into("<ii", bmp, 18, side, side)
    yield "bomb.bmp", bytes(bmp)
    jpeg = bytearray(small["JPEG"])
    struct.pack_into(">HH", jpeg, jpeg.index(b"\xff\xc0") + 5, side, side)
    yield "bomb.jpg", bytes(jpeg)
    tiff = bytearray(small["TIFF"])
    (first,) = struct.unpack_from("<I", tiff, 4)
    (entries,) = struct.unpack_from("<H", tiff, first)
    for entry in range(entries):
        at = first + 2 + 12 * entry
        if struct.unpack_from("<H", tiff, at)[0] in (256, 257):
            struct.pack_into("<HII", tiff, at + 2, 4, 1, side)
    yield "bomb.tif", bytes(tiff)
    yield "bomb.ppm", b"P6 40000 40000 255\n"
    yield "bomb.pgm", b"P2 40000 40000 255\n1 2 3"
    yield "bomb.tga", struct.pack("<BBBHHBHHHHBB", 0, 0, 2, 0, 0, 0, 0, 0, side, side, 24, 0)
    yield "bomb.qoi", b"qoif" + struct.pack(">IIBB", side, side, 3, 0) + b"\xfe\x01\x02\x03"
    yield "bomb.sgi", struct.pack(">HBBHHHH", 474, 0, 1, 3, side, side, 3) + bytes(500)
    yield (
        "bomb.psd",
        b"8BPS\0\1" + bytes(6) + struct.pack(">HIIHH", 3, side, side, 8, 3) + bytes(14),
    )
    yield "bomb.pcx", struct.pack("<BBBBHHHH", 10, 5, 1, 8, 0, 0, side, side) + bytes(200)
    inner = png(side, side)
    header = struct.pack("<HHH", 0, 1, 1) + struct.pack("<BBBBHHII", 0, 0, 0, 0, 1, 24, 0, 22)
    yield "bomb.ico", header[:14] + struct.pack("<II", len(inner), 22) + inner
    icon = b"ic10" + struct.pack(">I", len(inner) + 8) + inner
    yield "bomb.icns", b"icns" + struct.pack(">I", len(icon) + 8) + icon
    zeros = zlib.compress(bytes(64 << 20))
    pixels = bytes([0, 1, 2, 3])
    yield "profile-bomb.png", png(1, 1, pixels, png_chunk(b"iCCP", b"x\0\0" + zeros))
    yield "text-bomb.png", png(1, 1, pixels, png_chunk(b"zTXt", b"x\0\0" + zeros))
    # The data hold far more than the header promises.
    yield "data-bomb.png", png(1, 1, bytes(64 << 20))


def odd_images() -> Iterator[Case]:
    """Files that do hold a picture, in an unusual way."""
    yield "one.png", encoded(picture(size=(1, 1)), "PNG")
    yield "tall.png", encoded(picture(size=(1, 20_000)), "PNG")
    yield "wide.png", encoded(picture(size=(20_000, 1)), "PNG")
    yield "tall.jpg", encoded(picture(size=(1, 20_000)), "JPEG")
    yield "wrong-ending.png", encoded(picture(), "JPEG", quality=95)
    yield "wrong-ending.jpg", encoded(picture(), "GIF")
    yield "upper.PNG", encoded(picture(), "PNG")
    others = [Image.new("RGB", (16, 12), colour) for colour in ("black", "white")]
    for form in ("GIF", "PNG", "WEBP", "TIFF"):
        options = {"lossless": True} if form == "WEBP" else {}
        yield (
            f"animated.{form.lower()}",
            encoded(picture(), form, save_all=True, append_images=others, **options),
        )
    for turn in range(1, 9):
        exif = Image.Exif()
        exif[0x0112] = turn
        yield f"turned-{turn}.jpg", encoded(picture(), "JPEG", exif=exif, quality=95)
    yield "exif-junk.jpg", encoded(picture(), "JPEG", exif=b"Exif\0\0junk" * 100, quality=95)
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    for name, data in (("good", profile), ("cut", profile[:300]), ("junk", b"junk" * 99)):
        for form, ending in (("PNG", "png"), ("JPEG", "jpg"), ("WEBP", "webp"), ("TIFF", "tif")):
            yield f"profile-{name}.{ending}", encoded(picture(), form, icc_profile=data, quality=95)


def no_images() -> Iterator[Case]:
    """Files with the ending of an image that hold none."""
    yield "empty.png", b""
    yield "zeros.jpg", bytes(5000)
    yield "text.png", b"a red circle"
    yield "page.webp", b"<!DOCTYPE html><script>alert(1)</script>"
    yield "vector.png", b'<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>'
    yield "script.png", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n"
    yield "pickle.png", pickle.dumps({"a": 1})
    yield "archive.png", zip_of([("a.png", encoded(picture(), "PNG"))])
    yield "endless.xpm", b"/* XPM */\n" * 3000


#: Names that file systems allow and programs trip over.
ODD_NAMES = (
    "two\nlines.png", "tab\there.png", "\x1b[31mred.png", "猫🐈\u200d⬛.png",
    "\u202eשלום.png", "é" * 80 + ".png", "half\udcff\udc80.png", " blank .png", "-rf.png",
    "a;b|c&d$(e)`f`.png", "%s%n{0}.png", "quote'\".png", "<script>.png", "CON.png", "a..b.png",
)  # fmt: skip


# --- captions --------------------------------------------------------------------------------


def captions_that_hold() -> Iterator[Case]:
    """Files whose captions are unusual, and captions."""
    yield "nul.json", json.dumps({"a.png": "a red\0circle"}).encode()
    yield "nul.jsonl", b'{"image": "a.png", "caption": "a red\\u0000circle"}\n'
    yield "nul.txt", b"a red\0circle\n"
    yield "long.json", json.dumps(["a red circle " * 80_000, "x"]).encode()
    yield "long-word.json", json.dumps([_letters(1_000_000), "x"]).encode()
    yield "one-letter.json", json.dumps(["a" * 1_000_000, "x"]).encode()
    yield "marks.txt", b"!" * 1_000_000 + b"\nx\n"
    yield "long.txt", b"a red circle " * 80_000 + b"\nx\n"
    yield "marked.txt", "\ufeffa red circle\n".encode()
    yield "rtl.json", json.dumps(["\u202eעיגול אדום a", "\u200fx", "e\u0301" * 500 + " x"]).encode()
    yield (
        "markup.json",
        json.dumps(["<script>alert('\"x\"')</script>", "&lt;b&gt; \x1b[31m"]).encode(),
    )
    yield "controls.json", json.dumps(["a \x07\x1b]0;x\x07 b", "\x85\u2028x"]).encode()
    yield "tokens.json", json.dumps(["<|endoftext|> a <|startoftext|>", "<start_of_text>"]).encode()
    yield (
        "names.json",
        json.dumps({"../../a.png": "a", "/etc/passwd": "b", "a\0.png": "c"}).encode(),
    )
    yield "half-name.json", b'{"\\ud83d.png": "a cat", "b.png": "a dog"}'
    yield "long-name.json", json.dumps({"a" * 100_000: "a cat", "b": "a dog"}).encode()
    yield "big-id.json", b'[{"image_id": ' + b"9" * 4000 + b', "caption": "a cat"}, "x"]'


def captions_that_fail() -> Iterator[Case]:
    """Files that hold no captions, or something else among them."""
    deep = b"[" * 10_000 + b"]" * 10_000
    yield "deep.json", deep
    yield "deep-objects.json", b'{"a":' * 10_000 + b"1" + b"}" * 10_000
    yield "deep-below.json", b'[{"caption": ' + b"[" * 5_000 + b"]" * 5_000 + b"}]"
    yield "deep.jsonl", b'"a cat"\n' + deep + b"\n"
    yield "unclosed.json", b"[" * 1_000_000
    yield "half.json", b'["a cat", "\\ud83d"]'
    yield "half.jsonl", b'{"caption": "\\udc00"}\n'
    yield "twice.json", b'{"a.png": "x", "a.png": "y"}'
    yield "nan.json", b'["a", NaN]'
    yield "infinity.json", b'{"a.png": -Infinity}'
    yield "number.json", b"17"
    yield "null.json", b"null"
    yield "true.json", b'[{"caption": true}]'
    yield "nested.json", b'{"a.png": {"b": {"c": 3}}}'
    yield "digits.json", b"[" + b"9" * 100_000 + b"]"
    yield "float-id.json", b'[{"image_id": 1e400, "caption": "a"}]'
    yield "bad-coco.json", b'{"images": 3, "annotations": [{"caption": 4, "image_id": []}]}'
    yield "bytes.json", b"\xff\xfe\xfd\xfc"
    yield "half-utf16.txt", b"\xff\xfea\x00\x00\xd8"
    yield "empty.json", b""
    yield "empty.txt", b""
    yield "blank.txt", b" \n\t\n\r\n"
    yield "blank-caption.json", b'["a cat", "  "]'
    yield "wide.csv", b"image,caption\na.png,a,b\n"
    yield "quote.csv", b'caption\n"a cat\n'
    yield "field.csv", b"caption\n" + b"a" * 200_000 + b"\n"
    yield "long.csv", b'image,caption\na.png,"' + b"a red circle " * 80_000 + b'"\nb.png,x\n'
    yield "header.csv", b"a.png,a cat\n"
    yield "pickle.json", pickle.dumps(["a cat"])
    yield "picture.json", encoded(picture(), "PNG")


def _letters(count: int) -> str:
    random = np.random.default_rng(0)
    return bytes(random.integers(97, 123, count, dtype=np.uint8)).decode()


# --- archives --------------------------------------------------------------------------------

PACKERS = {"": bytes, ".gz": gzip.compress, ".bz2": bz2.compress, ".xz": lzma.compress}


def zip_of(members: list[Case], compression: int = zipfile.ZIP_DEFLATED) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", compression) as archive:
        for name, content in members:
            archive.writestr(name, content)
    return file.getvalue()


def tar_of(members: list[tuple[tarfile.TarInfo, bytes]], form: int = tarfile.PAX_FORMAT) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w", format=form) as archive:
        for info, content in members:
            archive.addfile(info, io.BytesIO(content) if content else None)
    return file.getvalue()


def member(name: str, content: bytes = b"", kind: bytes = tarfile.REGTYPE, link: str = ""):
    info = tarfile.TarInfo(name)
    info.size, info.type, info.linkname = len(content), kind, link
    return info, content


def archives_that_hold(outside: str) -> Iterator[Case]:
    """Archives with one picture and with names that would lead out of a folder, to `outside`."""
    good = encoded(picture(), "PNG")
    names = ["../../up.png", f"{outside}/absolute.png", "C:\\windows\\a.png", "a/../../b.png"]
    for name in names:
        label = "".join(c if c.isalnum() else "-" for c in name)[-20:]
        yield f"{label}.zip", zip_of([(name, good)])
        for ending, pack in PACKERS.items():
            yield f"{label}.tar{ending}", pack(tar_of([member(name, good)]))
    links = [
        member("link.png", kind=tarfile.SYMTYPE, link="/etc/passwd"),
        member("hard.png", kind=tarfile.LNKTYPE, link="../../secret.png"),
        member("loop.png", kind=tarfile.SYMTYPE, link="loop.png"),
        member("pipe.png", kind=tarfile.FIFOTYPE),
        member("device.png", kind=tarfile.CHRTYPE),
    ]
    for ending, pack in PACKERS.items():
        yield f"links.tar{ending}", pack(tar_of([*links, member("a.png", good)]))
    info = zipfile.ZipInfo("link.txt")
    info.external_attr = 0o120777 << 16
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr(info, "/etc/passwd")
        archive.writestr("a.png", good)
    yield "link.zip", file.getvalue()


def archive_bombs() -> Iterator[Case]:
    """Small archives that unpack to very much; each also holds something called an image."""
    yield "zeros.zip", zip_of([("a.png", bytes(64 << 20))])
    claims = bytearray(zip_of([("a.png", encoded(picture(), "PNG"))]))
    struct.pack_into("<I", claims, claims.index(b"PK\1\2") + 24, 3 << 30)
    yield "claims.zip", bytes(claims)
    inner = zip_of([("b.zip", zip_of([("a.png", bytes(1 << 20))]))])
    yield "nested.zip", zip_of([("a.png", inner)])
    sparse = tarfile.TarInfo("a.png")
    sparse.size = 1 << 40
    yield "claims.tar", sparse.tobuf() + bytes(10_240)
    yield "claims.tar.gz", gzip.compress(sparse.tobuf() + bytes(10_240))
    for label, kind in (("pax", b"x"), ("global", b"g"), ("name", b"L")):
        head = tarfile.TarInfo("a.png")
        head.type, head.size = kind, 64 << 20
        compressor = zlib.compressobj(9, wbits=31)
        content = compressor.compress(head.tobuf())
        block = b"19 path=aaaaaaa.png\n" * 50_000  # a megabyte
        for _ in range(8):
            content += compressor.compress(block)
        yield f"{label}.tar.gz", content + compressor.flush()


def broken_archives() -> Iterator[Case]:
    good = encoded(picture(), "PNG")
    for percent, content in truncated(zip_of([(f"{i}.png", good) for i in range(3)])):
        yield f"cut-{percent}.zip", content
    whole = tar_of([member(f"{i}.png", good) for i in range(3)])[:6000]
    for ending, pack in PACKERS.items():
        for percent, content in truncated(pack(whole)):
            yield f"cut-{percent}.tar{ending}", content
        for place, content in flipped(pack(whole), 30):
            yield f"flip-{place}.tar{ending}", content
    for place, content in flipped(zip_of([("a.png", good)]), 200):
        yield f"flip-{place}.zip", content


# --- statistics ------------------------------------------------------------------------------


def npz_of(**arrays: object) -> bytes:
    file = io.BytesIO()
    np.savez(file, **arrays)  # type: ignore[arg-type]
    return file.getvalue()


def npy_header(shape: str, dtype: str = "<f8", fortran: bool = False) -> bytes:
    """The head of a .npy file of any shape, with no data behind it."""
    text = f"{{'descr': '{dtype}', 'fortran_order': {fortran}, 'shape': {shape}, }}".encode()
    text += b" " * (-(len(text) + 11) % 64) + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text


def good_moments() -> bytes:
    x = np.random.default_rng(0).standard_normal((30, 4))
    return npz_of(mu=x.mean(0), sigma=np.cov(x, rowvar=False), n=np.int64(30))


def later_zip(content: bytes) -> bytes:
    """A zip that says that it takes a version of the format to unpack which there is none of."""
    changed = bytearray(content)
    changed[changed.index(b"PK\x01\x02") + 6] = 100
    return bytes(changed)


def broken_moments() -> Iterator[Case]:
    """.npz files with a mean and a covariance that are none."""
    mu, sigma = np.zeros(3), np.eye(3)
    objects = np.array([object()], dtype=object)
    yield "objects.npz", npz_of(mu=np.array([{"a": 1}], dtype=object), sigma=np.eye(1))
    yield "objects-n.npz", npz_of(mu=mu, sigma=sigma, n=np.array(["x", 1], dtype=object))
    del objects
    yield "pickle.npz", pickle.dumps({"mu": mu, "sigma": sigma})
    yield "pickle-inside.npz", zip_of([("mu.npy", pickle.dumps(mu)), ("sigma.npy", b"cos\nsystem")])
    yield "text.npz", npz_of(mu=np.array(["a", "b", "c"]), sigma=sigma)
    yield "complex.npz", npz_of(mu=mu, sigma=sigma * 1j)
    yield "dates.npz", npz_of(mu=np.zeros(3, "datetime64[s]"), sigma=sigma)
    yield "bool.npz", npz_of(mu=np.zeros(3, bool), sigma=sigma)
    yield "records.npz", npz_of(mu=np.zeros(3, [("a", "f8")]), sigma=sigma)
    yield "nan.npz", npz_of(mu=mu * np.nan, sigma=sigma)
    yield "infinite.npz", npz_of(mu=mu, sigma=sigma * np.inf)
    yield "huge.npz", npz_of(mu=mu, sigma=np.array([[1, 1e308, 0], [-1e308, 1, 0], [0, 0, 1]]))
    yield "negative.npz", npz_of(mu=mu, sigma=-sigma)
    yield "indefinite.npz", npz_of(mu=np.zeros(2), sigma=np.array([[1, 2.0], [2, 1]]))
    yield "lopsided.npz", npz_of(mu=np.zeros(2), sigma=np.array([[1, 0.5], [0.2, 1]]))
    yield "scalar.npz", npz_of(mu=np.float64(1), sigma=np.float64(1))
    yield "empty.npz", npz_of(mu=np.zeros(0), sigma=np.zeros((0, 0)))
    yield "shapes.npz", npz_of(mu=np.zeros(4), sigma=sigma)
    yield "no-sigma.npz", npz_of(mu=mu)
    yield "no-mu.npz", npz_of(sigma=sigma)
    yield "one.npz", npz_of(mu=mu, sigma=sigma, n=np.int64(1))
    yield "minus.npz", npz_of(mu=mu, sigma=sigma, n=np.int64(-5))
    yield "many.npz", npz_of(mu=mu, sigma=sigma, n=np.arange(3))
    yield "half.npz", npz_of(mu=mu, sigma=sigma, n=np.float64(2.5))
    yield "nan-n.npz", npz_of(mu=mu, sigma=sigma, n=np.float64("nan"))
    yield "infinite-n.npz", npz_of(mu=mu, sigma=sigma, n=np.float64("inf"))
    for label, made in (
        ("junk", "{"),
        ("list", "[]"),
        ("null", "null"),
        ("other", '{"protocol": {"name": "grgan"}, "surprise": 1}'),
        ("types", '{"protocol": 3}'),
        ("fields", '{"protocol": {"name": "x", "evil": 1}}'),
        ("deep", "[" * 10_000),
    ):
        yield f"made-{label}.npz", npz_of(mu=mu, sigma=sigma, provenance=np.array(made))
    # The end of one of several disks: `zipfile.is_zipfile` raises.
    disks = b"PK\x06\x07" + (1).to_bytes(4, "little") + bytes(8) + (2).to_bytes(4, "little")
    yield "disks.npz", npz_of(mu=mu, sigma=sigma)[:-22] + disks + b"PK\x05\x06" + bytes(18)
    yield "later.npz", later_zip(npz_of(mu=mu, sigma=sigma))
    yield "made-bytes.npz", npz_of(mu=mu, sigma=sigma, provenance=np.arange(5))


def moments_bombs() -> Iterator[Case]:
    """Headers that promise arrays larger than any memory, and zeros that unpack to much."""
    good = io.BytesIO()
    np.save(good, np.zeros(3))
    for label, shape in (
        ("square", "(1000000, 1000000)"),
        ("long", "(1099511627776,)"),
        ("overflow", "(4611686018427387904, 4)"),
        ("beyond", "(99999999999999999999999,)"),
        ("negative", "(-5,)"),
        ("many", "(" + "1," * 70 + ")"),
    ):
        members = [("mu.npy", good.getvalue()), ("sigma.npy", npy_header(shape) + bytes(64))]
        yield f"claims-{label}.npz", zip_of(members)
        yield f"claims-mu-{label}.npz", zip_of([("mu.npy", npy_header(shape)), members[1]])
        yield f"claims-{label}.npy", npy_header(shape) + bytes(64)
        yield f"claims-images-{label}.npz", zip_of([("arr_0.npy", npy_header(shape, "|u1"))])
        fortran = npy_header(shape, "|u1", fortran=True)
        yield f"claims-fortran-{label}.npz", zip_of([("arr_0.npy", fortran)])
        features = npy_header(shape)
        yield f"claims-features-{label}.npz", zip_of([("features.npy", features)])
    zeros = npy_header("(4096, 4096)") + bytes(4096 * 4096 * 8)
    yield "zeros.npz", zip_of([("mu.npy", good.getvalue()), ("sigma.npy", zeros)])
    yield "text-head.npy", b"\x93NUMPY\x01\x00" + struct.pack("<H", 60_000) + b"(" * 60_000
    yield "deep-head.npy", b"\x93NUMPY\x02\x00" + struct.pack("<I", 9_000) + b"[" * 9_000
    yield "version.npy", b"\x93NUMPY\x09\x00" + bytes(100)


def encrypted(content: bytes) -> bytes:
    """A zip whose first member says that it is encrypted."""
    changed = bytearray(content)
    changed[6] |= 1
    changed[changed.index(b"PK\1\2") + 8] |= 1
    return bytes(changed)
