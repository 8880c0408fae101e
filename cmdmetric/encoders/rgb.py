"""From any image to 8-bit RGB: as the released evaluation did, and as a viewer shows it."""

from __future__ import annotations

import io
from functools import lru_cache
from typing import Any, Literal

import numpy as np
from PIL import Image, ImageOps

#: Descriptions of sRGB itself: Pillow's own, the standard one, and the compact one of web sites.
_SRGB = ("sRGB built-in", "sRGB", "c2")


def to_rgb(image: Image.Image, how: Literal["convert", "viewer"]) -> Image.Image:
    """The image in mode RGB, 8 bit; `image` itself is left as it is.

    "convert" is Pillow's `convert("RGB")` and nothing else, as the released evaluation of GR-GAN:
    EXIF orientation and colour profiles are ignored, alpha is dropped (what is under transparent
    pixels shows), 16 bits are clipped to 8.

    "viewer" is what an image viewer shows, on a white page:

    - orientation: EXIF's is applied; EXIF that cannot be read is ignored;
    - 16 bits (modes I;16*, I): 0..65535 becomes 0..255; integers outside that range have no
      agreed white, their least and greatest value become 0 and 255;
    - floats (mode F): the first of 0..1, 0..255, 0..65535 that holds all of them becomes 0..255,
      else the least and greatest value; what is not finite is black;
    - transparency (modes with A or a, and P, L, RGB, I;16 with a transparent colour):
      composited on white;
    - CMYK: as Pillow reads it, which has undone Adobe's inversion, through the embedded ICC
      profile where that works, else by Pillow's formula;
    - RGB, palette and grey: through the embedded ICC profile to sRGB (perceptual) where that
      works and it is not sRGB itself, else as they are;
    - YCbCr, LAB, HSV, 1: Pillow's `convert("RGB")`;
    - an animation: the frame that `image` is at; files are opened at their first.
    """
    if how == "convert":
        return image.convert("RGB")
    profile = image.info.get("icc_profile")
    image = _upright(image)
    if image.mode in ("I", "F") or image.mode.startswith("I;16"):
        image = _to_eight_bits(image)
    alpha = None
    if image.has_transparency_data:
        # Premultiplied modes become plain only by way of their own.
        image = image.convert({"La": "LA", "RGBa": "RGBA"}.get(image.mode, image.mode))
        rgba = image.convert("RGBA")
        alpha = rgba.getchannel("A")
        image = image.convert("L") if image.mode in ("L", "LA") else rgba.convert("RGB")
    elif image.mode == "P":
        image = image.convert("RGB")
    colours = _to_srgb(image, profile)
    if alpha is None:
        return colours
    return Image.composite(colours, Image.new("RGB", image.size, "white"), alpha)


def _upright(image: Image.Image) -> Image.Image:
    try:
        return ImageOps.exif_transpose(image)
    except Exception:  # whatever broken EXIF makes of Pillow's parser
        return image


def _to_eight_bits(image: Image.Image) -> Image.Image:
    values = np.asarray(image).astype(np.float64)
    finite = np.isfinite(values)
    known = values[finite] if finite.any() else np.zeros(1)
    low, high = float(known.min()), float(known.max())
    whites = (1.0, 255.0, 65535.0) if image.mode == "F" else (65535.0,)
    white = next((white for white in whites if low >= 0 and high <= white), None)
    if white is not None:
        low, high = 0.0, white
    scaled = (np.where(finite, values, low) - low) * (255 / ((high - low) or 1))
    grey = Image.fromarray(np.rint(scaled).astype(np.uint8))
    transparent = image.info.get("transparency")
    if isinstance(transparent, int):
        grey.putalpha(Image.fromarray(np.where(values == transparent, 0, 255).astype(np.uint8)))
    return grey


def _to_srgb(image: Image.Image, profile: Any) -> Image.Image:
    if isinstance(profile, bytes) and image.mode in ("RGB", "L", "CMYK"):
        transform = _transform(profile, image.mode)
        if transform is not None:
            try:
                return transform.apply(image)
            except Exception:  # a profile that parses can still not fit the pixels
                pass
    return image.convert("RGB")


@lru_cache(maxsize=16)
def _transform(profile: bytes, mode: str) -> Any:
    """From an embedded profile to sRGB; None where it is sRGB, broken, or of another mode."""
    try:
        from PIL import ImageCms  # Pillow can be built without it

        parsed = ImageCms.getOpenProfile(io.BytesIO(profile))
        name = ImageCms.getProfileDescription(parsed).strip()
        if name in _SRGB or name.startswith("sRGB IEC61966"):
            return None
        return ImageCms.buildTransform(parsed, ImageCms.createProfile("sRGB"), mode, "RGB")
    except Exception:  # ImageCms has one error for everything, and not even that everywhere
        return None
