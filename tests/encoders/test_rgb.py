"""The stated conversion to RGB, mode by mode, on files that Pillow wrote and read back."""

import io

import numpy as np
import pytest
from PIL import Image, ImageCms, TiffImagePlugin

from cmdmetric.encoders.rgb import to_rgb

RED, WHITE = (255, 0, 0), (255, 255, 255)


def reread(image, form, **options):
    file = io.BytesIO()
    image.save(file, form, **options)
    return Image.open(io.BytesIO(file.getvalue()))


def pixels(image):
    assert image.mode == "RGB"
    return np.asarray(image)


def noise(*shape):
    return np.random.default_rng(0).integers(0, 256, shape, np.uint8)


MODES = ["1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBa", "La", "CMYK", "YCbCr", "HSV", "I", "F"]
MODES += ["I;16", "LAB"]


# Pillow's convert knows no way from La, which no file is read as.
@pytest.mark.parametrize(
    ("mode", "how"),
    [(m, h) for m in MODES for h in ("convert", "viewer") if (m, h) != ("La", "convert")],
)
def test_every_mode_becomes_rgb_of_the_same_size(mode, how):
    image = Image.new(mode, (5, 3))
    before = image.tobytes()
    converted = to_rgb(image, how)
    assert (converted.mode, converted.size) == ("RGB", (5, 3))
    assert image.mode == mode and image.tobytes() == before


@pytest.mark.parametrize(
    "mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr", "HSV", "I", "F"]
)
def test_convert_is_pillows(mode):
    image = Image.fromarray(noise(6, 4, 3)).convert(mode)
    assert (pixels(to_rgb(image, "convert")) == pixels(image.convert("RGB"))).all()


def test_plain_rgb_is_untouched():
    array = noise(6, 4, 3)
    assert (pixels(to_rgb(Image.fromarray(array), "viewer")) == array).all()
    grey = noise(6, 4)
    assert (pixels(to_rgb(Image.fromarray(grey), "viewer")) == grey[..., None]).all()


@pytest.mark.parametrize("form", ["PNG", "WEBP", "TIFF"])
def test_alpha_is_composited_on_white(form):
    array = np.zeros((1, 3, 4), np.uint8)
    array[0] = [(255, 0, 0, 255), (255, 0, 0, 0), (0, 0, 0, 128)]
    options = {"lossless": True} if form == "WEBP" else {}
    shown = pixels(to_rgb(reread(Image.fromarray(array), form, **options), "viewer"))
    assert tuple(shown[0, 0]) == RED
    assert tuple(shown[0, 1]) == WHITE
    assert tuple(shown[0, 2]) == (127, 127, 127)


def test_convert_drops_alpha():
    image = Image.new("RGBA", (1, 1), (255, 0, 0, 0))
    assert to_rgb(image, "convert").getpixel((0, 0)) == RED


def test_grey_with_alpha():
    image = reread(Image.new("LA", (1, 1), (0, 51)), "PNG")
    assert to_rgb(image, "viewer").getpixel((0, 0)) == (204, 204, 204)


@pytest.mark.parametrize("mode", ["RGBa", "La"])
def test_premultiplied_alpha(mode):
    image = Image.new(mode[:-1] + "A", (1, 1), (100,) * (len(mode) - 1) + (51,)).convert(mode)
    assert to_rgb(image, "viewer").getpixel((0, 0)) == (224, 224, 224)


@pytest.mark.parametrize("form", ["GIF", "PNG"])
@pytest.mark.parametrize("transparent", [0, 1])
def test_a_transparent_palette_entry_is_white(form, transparent):
    image = Image.new("P", (2, 1))
    image.putpalette([255, 0, 0, 0, 0, 255])
    image.putpixel((1, 0), 1)
    image = reread(image, form, transparency=transparent)
    shown = pixels(to_rgb(image, "viewer"))[0].tolist()
    assert shown[transparent] == list(WHITE)
    assert shown[1 - transparent] == [[255, 0, 0], [0, 0, 255]][1 - transparent]


def test_a_palette_with_partial_transparency():
    image = Image.new("P", (2, 1))
    image.putpalette([0, 0, 0, 0, 0, 0])
    image.putpixel((1, 0), 1)
    image = reread(image, "PNG", transparency=bytes([128, 255]))
    assert pixels(to_rgb(image, "viewer"))[0].tolist() == [[127] * 3, [0] * 3]


def test_a_transparent_colour_is_white():
    image = Image.new("RGB", (2, 1), (255, 0, 0))
    image.putpixel((1, 0), (0, 255, 0))
    shown = to_rgb(reread(image, "PNG", transparency=(0, 255, 0)), "viewer")
    assert [shown.getpixel((x, 0)) for x in (0, 1)] == [RED, WHITE]
    grey = reread(Image.new("L", (1, 1), 9), "PNG", transparency=9)
    assert to_rgb(grey, "viewer").getpixel((0, 0)) == WHITE


@pytest.mark.parametrize("form", ["PNG", "TIFF"])
def test_sixteen_bits_are_scaled_not_clipped(form):
    image = Image.fromarray(np.array([[0, 257, 32768, 65535]], np.uint16))
    read = reread(image, form)
    assert pixels(to_rgb(read, "viewer"))[0, :, 0].tolist() == [0, 1, 128, 255]


def test_sixteen_bits_with_a_transparent_grey():
    image = Image.fromarray(np.array([[0, 700]], np.uint16))
    image.info["transparency"] = 700
    assert pixels(to_rgb(image, "viewer"))[0, :, 0].tolist() == [0, 255]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (np.array([[0, 65535]], np.int32), [0, 255]),
        (np.array([[0, 257]], np.int32), [0, 1]),
        (np.array([[-100, -60, 100]], np.int32), [0, 51, 255]),
        (np.array([[0, 1 << 30]], np.int32), [0, 255]),
        (np.array([[0.0, 0.5, 1.0]], np.float32), [0, 128, 255]),
        (np.array([[0.0, 1.5, 255.0]], np.float32), [0, 2, 255]),
        (np.array([[0.0, 65535.0, 257.0]], np.float32), [0, 255, 1]),
        (np.array([[-1.0, 1.0]], np.float32), [0, 255]),
        (np.array([[np.nan, 1.0, np.inf]], np.float32), [0, 255, 0]),
        (np.array([[np.nan, np.nan]], np.float32), [0, 0]),
        (np.array([[-5.0, -5.0]], np.float32), [0, 0]),
    ],
)
def test_integers_and_floats(values, expected):
    read = reread(Image.fromarray(values), "TIFF")
    assert read.mode in "IF"
    assert pixels(to_rgb(read, "viewer"))[0, :, 0].tolist() == expected


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP"])
def test_exif_orientation(form, orientation):
    blocks = np.zeros((16, 32, 3), np.uint8)
    blocks[:8, :16] = RED
    stored = {
        1: blocks,
        2: blocks[:, ::-1],
        3: blocks[::-1, ::-1],
        4: blocks[::-1],
        5: blocks.transpose(1, 0, 2),
        6: np.rot90(blocks, 1),
        7: blocks.transpose(1, 0, 2)[::-1, ::-1],
        8: np.rot90(blocks, -1),
    }[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    image = reread(Image.fromarray(np.ascontiguousarray(stored)), form, exif=exif, quality=95)
    shown = pixels(to_rgb(image, "viewer")).astype(int)
    assert np.abs(shown - blocks)[2:6, 2:14].max() < 16 and np.abs(shown - blocks).mean() < 16
    plain = pixels(to_rgb(image, "convert"))
    assert plain.shape == stored.shape


def test_broken_exif_is_ignored():
    image = reread(Image.new("RGB", (8, 4), RED), "PNG", exif=b"Exif\0\0II*\0\xff\xff\xff\xff")
    assert to_rgb(image, "viewer").size == (8, 4)


def test_cmyk_of_adobe():
    # Pillow writes CMYK as Adobe does, inverted and with their marker.
    image = reread(Image.new("CMYK", (8, 8), (0, 255, 255, 0)), "JPEG", quality=100)
    assert image.mode == "CMYK" and "adobe" in image.info
    shown = np.array(to_rgb(image, "viewer").getpixel((4, 4)))
    assert np.abs(shown - RED).max() < 8


def test_cmyk_tiff():
    image = reread(Image.new("CMYK", (2, 2), (255, 0, 0, 0)), "TIFF")
    assert to_rgb(image, "viewer").getpixel((0, 0)) == (0, 255, 255)


def swapped_profile():
    """A matrix profile that takes red for blue and blue for red: nobody's sRGB."""
    data = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    count = int.from_bytes(data[128:132], "big")
    entry = {bytes(data[i : i + 4]): i for i in range(132, 132 + 12 * count, 12)}
    red, blue = entry[b"rXYZ"], entry[b"bXYZ"]
    data[red : red + 4], data[blue : blue + 4] = b"bXYZ", b"rXYZ"
    name = "sRGB built-in".encode("utf-16-be")
    at = data.index(name)
    data[at : at + len(name)] = "swapped prim.".encode("utf-16-be")
    return bytes(data)


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_an_icc_profile_is_applied(form):
    profile = swapped_profile()
    image = reread(Image.new("RGB", (8, 8), RED), form, icc_profile=profile, quality=95)
    shown = np.array(to_rgb(image, "viewer").getpixel((4, 4)))
    assert np.abs(shown - (0, 0, 255)).max() < 16
    plain = np.array(to_rgb(image, "convert").getpixel((4, 4)))
    assert np.abs(plain - RED).max() < 16


def test_an_icc_profile_of_a_transparent_image():
    image = reread(Image.new("RGBA", (1, 1), (255, 0, 0, 0)), "PNG", icc_profile=swapped_profile())
    assert to_rgb(image, "viewer").getpixel((0, 0)) == WHITE
    image = reread(
        Image.new("RGBA", (1, 1), (255, 0, 0, 255)), "PNG", icc_profile=swapped_profile()
    )
    assert np.abs(np.array(to_rgb(image, "viewer").getpixel((0, 0))) - (0, 0, 255)).max() < 4


@pytest.mark.parametrize(
    "profile",
    [b"no profile", b"", ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()],
)
@pytest.mark.parametrize("mode", ["L", "RGB", "CMYK"])
def test_a_profile_that_does_not_work_is_ignored(profile, mode):
    image = Image.fromarray(noise(4, 4, 3)).convert(mode)
    image.info["icc_profile"] = profile
    assert (pixels(to_rgb(image, "viewer")) == pixels(image.convert("RGB"))).all()


def test_srgb_is_left_to_the_last_bit():
    array = noise(16, 16, 3)
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    image = reread(Image.fromarray(array), "PNG", icc_profile=profile)
    assert (pixels(to_rgb(image, "viewer")) == array).all()


def test_tiff_orientation():
    tags = TiffImagePlugin.ImageFileDirectory_v2()
    tags[0x0112] = 6
    image = reread(Image.new("RGB", (8, 4), RED), "TIFF", tiffinfo=tags)
    image.load()
    assert to_rgb(image, "viewer").size == (4, 8)
