"""Coverage-guided fuzzing of what reads files.

    python tests/fuzz/fuzz_readers.py TARGET -max_total_time=600

TARGET is images, archives, captions, moments, scores or checkpoints. Needs atheris
(`pip install atheris`). What follows the target are options of libFuzzer. The seeds are the corpus
of `tests/support/corpus.py`, a score's JSON, and small models. Any exception that is no InputError
with the file's name is a finding; so are hangs (`-timeout`) and memory (`-rss_limit_mb`). What was
found so far is in `tests/inputs/test_corpus.py` and in the tests of the room that reads it.
"""

from __future__ import annotations

import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import atheris

INSTRUMENTED = ["cmdmetric", "grgan_ref", "json", "csv", "zipfile", "tarfile", "PIL"]
with atheris.instrument_imports(include=INSTRUMENTED):  # before anything else imports these
    import csv  # noqa: F401
    import json
    import tarfile  # noqa: F401
    import zipfile  # noqa: F401

    from PIL import Image

    Image.init()  # imports every reader

import open_clip  # noqa: E402, F401  # torch and what stands upon it are too large to be instrumented

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

with atheris.instrument_imports(include=INSTRUMENTED):
    from cmdmetric.compare import compare, explain
    from cmdmetric.encoders.preprocess import to_pixels
    from cmdmetric.errors import InputError
    from cmdmetric.inputs.captions import read_captions
    from cmdmetric.inputs.image_set import describe_failure
    from cmdmetric.inputs.images import open_images
    from cmdmetric.protocol import CLIP, GRGAN
    from cmdmetric.scoring import CMDScore
    from cmdmetric.scoring.opening import open_image_side
    from tests.fuzz import checkpoints
    from tests.gate.test_stored import everything
    from tests.support import corpus

#: No larger file is a seed.
LARGEST = 1 << 16


def read_texts(path: Path) -> None:
    found = read_captions(path)
    assert len(found) and all(text.strip() for text in found.texts)


def read_moments(path: Path) -> None:
    side = open_image_side(path)
    moments = getattr(side, "moments", None)
    if moments is not None and moments.n != 1:
        assert moments.cov.shape == (moments.d, moments.d)
        return
    read_images(path)


def read_images(path: Path) -> None:
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


def read_score(path: Path) -> None:
    score = CMDScore.load(path)
    str(score), repr(score), score._repr_html_(), score.to_latex(), score.to_dict()
    explain(path, everything()).to_dict()
    compare([path, path]).to_dict()


def cases(*makers: Callable[[], Iterator[corpus.Case]]) -> Iterator[tuple[str, bytes]]:
    """(ending, content) of all that the makers make."""
    for make in makers:
        for name, content in make():
            yield "." + name.split(".", 1)[1], content


def image_seeds() -> Iterator[tuple[str, bytes]]:
    yield from ((f".{form.lower()}", content) for form, _, content in corpus.written())
    yield from cases(corpus.odd_images, corpus.image_bombs)


def archive_seeds() -> Iterator[tuple[str, bytes]]:
    yield from cases(
        lambda: corpus.archives_that_hold("x"), corpus.broken_archives, corpus.archive_bombs
    )


def moment_seeds() -> Iterator[tuple[str, bytes]]:
    yield ".npz", corpus.good_moments()
    yield from cases(corpus.broken_moments, corpus.moments_bombs)


def score_seeds() -> Iterator[tuple[str, bytes]]:
    yield ".json", json.dumps(everything()).encode()


class Target(NamedTuple):
    """What is fuzzed: a reader, the endings of the files that it is given, and their seeds."""

    read: Callable[[Path], None]
    endings: tuple[str, ...]
    seeds: Callable[[], Iterator[tuple[str, bytes]]]


TARGETS = {
    "images": Target(
        read_images,
        (".png", ".jpg", ".webp", ".gif", ".bmp", ".tif", ".ico", ".avif", ".jp2", ".tga", ".pcx",
         ".sgi", ".psd", ".dds", ".icns", ".qoi"),
        image_seeds,
    ),
    "archives": Target(
        read_images, (".zip", ".tar", ".tar.gz", ".tar.bz2", ".tar.xz", ".tgz"), archive_seeds
    ),
    "captions": Target(
        read_texts,
        (".json", ".jsonl", ".csv", ".tsv", ".txt", ".tar", ".pickle"),
        lambda: cases(corpus.captions_that_hold, corpus.captions_that_fail),
    ),
    "moments": Target(read_moments, (".npz", ".npy"), moment_seeds),
    "scores": Target(read_score, (".json",), score_seeds),
    "checkpoints": Target(checkpoints.read_checkpoint, checkpoints.ENDINGS, checkpoints.seeds),
}  # fmt: skip


def main() -> None:
    target = TARGETS[sys.argv.pop(1)]
    folder = Path(tempfile.mkdtemp(prefix="fuzz-"))
    (folder / "seeds").mkdir()
    for number, (ending, content) in enumerate(target.seeds()):
        first = target.endings.index(ending) if ending in target.endings else 0
        if len(content) < LARGEST:
            (folder / "seeds" / str(number)).write_bytes(bytes([first]) + content)
    warnings.simplefilter("ignore")

    def one(data: bytes) -> None:
        """The first byte chooses the ending, the rest is the file."""
        if not data:
            return
        path = folder / f"input{target.endings[data[0] % len(target.endings)]}"
        path.write_bytes(data[1:])
        try:
            target.read(path)
        except InputError as error:
            assert str(path) in str(error), f"the file is not named: {error}"

    atheris.Setup([*sys.argv, str(folder / "seeds"), f"-max_len={LARGEST}"], one)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
