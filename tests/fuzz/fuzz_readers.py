"""Coverage-guided fuzzing of what reads files.

    python tests/fuzz/fuzz_readers.py captions|moments|images -max_total_time=600

Needs atheris (`pip install atheris`). What follows the target are options of libFuzzer. The seeds
are the corpus of `tests/support/corpus.py`. Any exception that is no InputError with the file's
name is a finding; so are hangs (`-timeout`) and memory (`-rss_limit_mb`). What was found so far is
in `tests/inputs/test_corpus.py`.
"""

from __future__ import annotations

import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import atheris

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

with atheris.instrument_imports(include=["cmdmetric", "json", "csv", "zipfile", "tarfile", "PIL"]):
    from cmdmetric.encoders.preprocess import to_pixels
    from cmdmetric.errors import InputError
    from cmdmetric.inputs.captions import read_captions
    from cmdmetric.inputs.image_set import describe_failure
    from cmdmetric.inputs.images import open_images
    from cmdmetric.protocol import CLIP, GRGAN
    from cmdmetric.scoring.opening import open_image_side
    from tests.support import corpus

CAPTIONS = (".json", ".jsonl", ".csv", ".tsv", ".txt")
IMAGES = (".png", ".jpg", ".webp", ".gif", ".bmp", ".tif", ".zip", ".tar", ".tar.gz", ".ico",
          ".avif", ".jp2", ".tga", ".pcx", ".sgi", ".psd", ".dds", ".icns", ".qoi")  # fmt: skip
NUMPY = (".npz", ".npy")


def captions(path: Path) -> None:
    found = read_captions(path)
    assert len(found) and all(text.strip() for text in found.texts)


def moments(path: Path) -> None:
    side = open_image_side(path)
    moments = getattr(side, "moments", None)
    if moments is not None and moments.n != 1:
        assert moments.cov.shape == (moments.d, moments.d)
        return
    images(path)


def images(path: Path) -> None:
    for item, _ in zip(open_images(path), range(3), strict=False):
        try:
            image = item.load()
            if image.width * image.height < 1 << 22:  # the rest takes its time
                for protocol in (GRGAN, CLIP):
                    assert to_pixels(image, 32, protocol).shape == (32, 32, 3)
        except InputError:
            raise
        except Exception as error:
            reason = describe_failure(error)
            assert reason and "\n" not in reason


def seeds(target: str) -> Iterator[tuple[str, bytes]]:
    """(ending, content)"""
    if target == "captions":
        for make in (corpus.captions_that_hold, corpus.captions_that_fail):
            yield from ((Path(name).suffix, content) for name, content in make())
    elif target == "moments":
        yield ".npz", corpus.good_moments()
        for make in (corpus.broken_moments, corpus.moments_bombs):
            yield from ((Path(name).suffix, content) for name, content in make())
    else:
        for form, _, content in corpus.written():
            yield f".{form.lower()}", content
        for make in (corpus.odd_images, corpus.image_bombs, corpus.archive_bombs):
            yield from ((Path(name).suffix, content) for name, content in make())


def main() -> None:
    target = sys.argv.pop(1)
    run: Callable[[Path], None] = {"captions": captions, "moments": moments, "images": images}[
        target
    ]
    endings = {"captions": CAPTIONS, "moments": NUMPY, "images": IMAGES}[target]
    folder = Path(tempfile.mkdtemp(prefix="fuzz-"))
    (folder / "seeds").mkdir()
    for number, (ending, content) in enumerate(seeds(target)):
        first = endings.index(ending) if ending in endings else 0
        if len(content) < 1 << 16:
            (folder / "seeds" / str(number)).write_bytes(bytes([first]) + content)
    warnings.simplefilter("ignore")

    def one(data: bytes) -> None:
        """The first byte chooses the ending, the rest is the file."""
        if not data:
            return
        path = folder / f"input{endings[data[0] % len(endings)]}"
        path.write_bytes(data[1:])
        try:
            run(path)
        except InputError as error:
            assert str(path) in str(error), f"the file is not named: {error}"

    atheris.Setup([*sys.argv, str(folder / "seeds")], one)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
