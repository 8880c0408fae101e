"""The endings of file names: which are images, tars and captions."""

from __future__ import annotations

from functools import lru_cache

#: Those that a message lists.
USUAL_ENDINGS = (".png", ".jpg", ".jpeg", ".webp", ".gif", ".bmp", ".tif")
#: Images to every Pillow that is used: that is known without importing all of its plugins.
_SURE = (".png", ".jpg", ".jpeg")
#: Image endings that are taken off a name to compare it with another: a name such as "scene.v2"
#: has none. Which files are decoded is what `decoded_endings` says.
IMAGE_ENDINGS = frozenset(
    {*USUAL_ENDINGS, ".jpe", ".jfif", ".tiff", ".avif", ".jp2", ".j2k", ".ppm", ".pgm", ".pbm"}
    | {".pnm", ".tga", ".ico"}
)
#: Images whose compression loses something that encoders see.
LOSSY_ENDINGS = (".jpg", ".jpeg", ".jpe", ".jfif", ".webp", ".avif", ".jp2", ".j2k")
TAR_ENDINGS = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz")
#: Files of captions.
CAPTION_ENDINGS = (".json", ".jsonl", ".ndjson", ".csv", ".tsv", ".txt", ".token")
#: Formats that Pillow only identifies and cannot decode by itself, and EPS, for which it would
#: run Ghostscript, a whole interpreter, on the file.
_NOT_DECODED = {"BUFR", "EPS", "GRIB", "HDF5", "MPEG", "WMF"}


@lru_cache(maxsize=1)
def decoded_endings() -> frozenset[str]:
    """The endings, lower case and with the dot, of the files that are taken for images."""
    from PIL import Image  # not for those who read captions alone

    known = Image.registered_extensions().items()
    # Writing SPIDER registers the ending of what is written, of a stream an empty one.
    return frozenset(ending for ending, form in known if ending and form in formats())


@lru_cache(maxsize=1)
def formats() -> tuple[str, ...]:
    """The formats that are decoded, whatever a file's ending says."""
    from PIL import Image

    Image.init()
    return tuple(form for form in Image.OPEN if form not in _NOT_DECODED)


@lru_cache(maxsize=1)
def _endings_to_compare() -> tuple[str, ...]:
    return tuple(decoded_endings())


def is_image_name(name: str) -> bool:
    """Whether a file of this relative name counts as an image: by its ending, and not hidden."""
    lower = name.lower()
    if not (lower.endswith(_SURE) or lower.endswith(_endings_to_compare())):
        return False
    if "/" not in name and "\\" not in name:
        return name[0] != "."
    parts = name.replace("\\", "/").split("/")
    return not any(part == "__MACOSX" or (part[:1] == "." and part.strip(".")) for part in parts)
