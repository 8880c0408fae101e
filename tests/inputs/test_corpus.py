"""Bad and odd input: each file gives the right picture or text, or an error that names it.

The files are those of `corpus.py`; the readers meet them in this process, under a limit of memory
in another, and through the command line. Further findings of `fuzz/fuzz_readers.py` are here too.
"""

from __future__ import annotations

import io
import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from PIL import Image

from cmdmetric.encoders.clip import Encoder
from cmdmetric.encoders.preprocess import to_pixels
from cmdmetric.encoders.tokens import cut_words
from cmdmetric.errors import InputError
from cmdmetric.files.paths import shown
from cmdmetric.inputs.captions import read_captions
from cmdmetric.inputs.image_set import ImageSet, decode, describe_failure
from cmdmetric.inputs.images import open_images
from cmdmetric.metrics.moments import Moments
from cmdmetric.protocol import CLIP, GRGAN, get_protocol
from cmdmetric.score import moments_of
from cmdmetric.scoring.opening import open_image_side
from cmdmetric.scoring.side import Side
from tests.conftest import TINY_CLIP
from tests.support import corpus
from tests.support.commands import run

#: Formats in which every mode that they have comes back as it was.
LOSSLESS = ("BMP", "DIB", "PNG", "TIFF", "PPM", "SGI", "TGA", "QOI", "IM", "DDS", "MSP", "XBM")


@pytest.fixture(scope="module")
def encoder() -> Encoder:
    return Encoder("scenes-toy", protocol="clip")


def put(folder: Path, name: str, content: bytes) -> Path:
    path = folder / name
    path.write_bytes(content)
    return path


def reasons(images: ImageSet) -> Iterator[str | None]:
    """Why each image cannot be made pixels of; None where it can."""
    for item in images:
        try:
            image = item.load()
            for protocol in (GRGAN, CLIP):
                assert to_pixels(image, 32, protocol).shape == (32, 32, 3)
            yield None
        except AssertionError:
            raise
        except Exception as error:  # what Pillow's plugins raise on broken files
            reason = describe_failure(error)
            assert reason and "\n" not in reason and "Error(" not in reason
            yield reason


# --- images ----------------------------------------------------------------------------------


def test_every_mode_of_every_format() -> None:
    found = list(corpus.written())
    assert len({form for form, _, _ in found}) >= 15 and len(found) >= 100
    exact = 0
    for form, mode, content in found:
        image = decode(io.BytesIO(content))
        pixels = to_pixels(image, 16, GRGAN)
        assert to_pixels(image, 16, CLIP).shape == (16, 16, 3)
        if form in LOSSLESS and image.mode == mode:
            assert (pixels == to_pixels(corpus.picture(mode), 16, GRGAN)).all(), (form, mode)
            exact += 1
    assert exact >= 30


def test_every_truncation_and_flipped_bits() -> None:
    whole = {form: content for form, mode, content in corpus.written() if mode in ("1", "L", "RGB")}
    broken = 0
    for form, content in whole.items():
        if form == "ICNS":  # icons of a thousand pixels a side: slow
            continue
        cuts = [*corpus.truncated(content), *corpus.flipped(content, 15)]
        sets = (open_values_of(part) for _, part in cuts)
        broken += sum(reason is not None for images in sets for reason in reasons(images))
    assert broken > 200


def open_values_of(content: bytes) -> ImageSet:
    from cmdmetric.inputs.image_set import ImageItem

    return ImageSet("bytes", lambda: iter([ImageItem("a", lambda: decode(io.BytesIO(content)))]))


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("name", "content"), [*corpus.odd_images()])
def test_odd_images_are_pictures(tmp_path: Path, name: str, content: bytes) -> None:
    images = open_images(put(tmp_path, name, content).parent)
    assert list(reasons(images)) == [None]
    image = next(iter(images)).load()
    if 12 in image.size and 16 in image.size:  # the first frame, upright, in its colours
        pixels = to_pixels(image, 32, CLIP).astype(int)
        turned = name.startswith("turned") and name[7] not in "1"
        if not turned:
            assert np.abs(pixels - to_pixels(corpus.picture(), 32, CLIP)).mean() < 14, name


@pytest.mark.parametrize(("name", "content"), [*corpus.no_images(), *corpus.image_bombs()])
def test_no_images_and_bombs_have_a_reason(tmp_path: Path, name: str, content: bytes) -> None:
    (reason,) = reasons(open_images(put(tmp_path, name, content).parent))
    expected = {
        "profile-bomb.png": None,  # a profile that is too long is no profile
        "text-bomb.png": None,
        "data-bomb.png": None,  # what is behind the last pixel is not unpacked
    }
    if name in expected and reason is None:
        return
    assert reason is not None
    if name.startswith("bomb") and name not in ("bomb.sgi", "bomb.tga", "bomb.pcx"):
        assert reason.startswith(("a decompression bomb?", "truncated", "not an image")), reason


def test_a_line_of_pixels_fills_no_memory() -> None:
    # The shorter side to 224 as a whole would be 224 x 22,400,000.
    line = Image.linear_gradient("L").resize((1, 100_000)).convert("RGB")
    start = time.perf_counter()
    pixels = to_pixels(line, 224, CLIP)
    # An idle core takes milliseconds; the whole line would take minutes, and 15 GB.
    assert time.perf_counter() - start < 10
    assert pixels.shape == (224, 224, 3) and 120 < pixels.mean() < 136


@pytest.mark.parametrize("size", [(3, 300), (301, 4), (5, 1999), (9, 1999)])
def test_the_middle_alone_is_what_the_whole_would_give(size: tuple[int, int]) -> None:
    # No extremes: Pillow clips between its two passes, whose order depends on the size.
    noise = np.random.default_rng(0).integers(90, 166, (size[1], size[0], 3), dtype=np.uint8)
    image, side = Image.fromarray(noise), 24
    short = min(size)
    whole = image.resize(
        (side * size[0] // short, side * size[1] // short), Image.Resampling.BICUBIC
    )
    left, top = round((whole.width - side) / 2), round((whole.height - side) / 2)
    expected = np.asarray(whole.crop((left, top, left + side, top + side))).astype(int)
    assert max(whole.size) > 64 * side
    # Two levels: each pass rounds.
    assert np.abs(to_pixels(image, side, CLIP) - expected).max() <= 2


def test_a_folder_of_very_many_files(tmp_path: Path) -> None:
    # With CMDMETRIC_MANY=100000 as many as the largest sets; making them takes the time.
    many = int(os.environ.get("CMDMETRIC_MANY", "20000"))
    folder = tmp_path / "many"
    folder.mkdir()
    for number in range(many):
        os.close(os.open(folder / f"{number}.png", os.O_CREAT | os.O_WRONLY))
    start = time.perf_counter()
    images = open_images(folder)
    seconds = time.perf_counter() - start
    shutil.rmtree(folder)  # pytest would keep it
    assert images.count == many and images.names is not None
    assert images.names[:3] == ("0.png", "1.png", "2.png") and images.names[-1] == f"{many - 1}.png"
    # 1.5 s of one core for 100,000.
    assert seconds < 30


def test_odd_names_are_shown_escaped(tmp_path: Path) -> None:
    for name in corpus.ODD_NAMES:
        put(tmp_path, name, b"junk")
    assert set(open_images(tmp_path).names or ()) == set(corpus.ODD_NAMES)
    with pytest.raises(InputError) as caught:
        moments_of(tmp_path, "image", encoder=Encoder("scenes-toy"))
    lines = str(caught.value).splitlines()
    assert len(lines) == 2 + len(corpus.ODD_NAMES)
    for name in (r"two\nlines.png", r"\x1b[31mred.png", r"half\udcff\udc80.png", r"\u202e"):
        assert sum(name in line for line in lines) == 1
    assert shown("猫🐈\u200d⬛\tx", keep="\t") == "猫🐈\u200d⬛\tx"


# --- captions --------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "content"), [*corpus.captions_that_hold()])
def test_odd_captions_are_encoded(
    tmp_path: Path, encoder: Encoder, name: str, content: bytes
) -> None:
    path = put(tmp_path, name, content)
    start = time.perf_counter()
    moments = moments_of(path, "text", encoder=encoder)
    # A megabyte in one word took hours, since byte pair encoding is quadratic; 2 s idle.
    assert time.perf_counter() - start < 60
    assert np.isfinite(moments.mean).all() and moments.n in (1, 2, 3)


@pytest.mark.parametrize(("name", "content"), [*corpus.captions_that_fail()])
def test_no_captions_are_told(tmp_path: Path, name: str, content: bytes) -> None:
    path = put(tmp_path, name, content)
    with pytest.raises(InputError) as caught:
        read_captions(path)
    assert str(path) in str(caught.value)
    assert len(str(caught.value)) < 600 + len(str(path))


@settings(max_examples=15, deadline=None)
@given(
    st.text(st.sampled_from("abetno!.é🐈"), min_size=3, max_size=6),
    st.integers(2_464, 3_500),
)
def test_the_end_of_a_long_word_does_not_matter(part: str, length: int) -> None:
    from open_clip import SimpleTokenizer

    tokenizer = _tokenizers.setdefault("clip", SimpleTokenizer())
    word = (part * length)[:length]
    cut = cut_words(word, 77)
    assert len(cut.encode()) <= 77 * 32
    # Rounds of merging start at the left: 75 tokens of at most 32 bytes cannot see the cut.
    assert tokenizer.encode(cut)[:75] == tokenizer.encode(word)[:75]


_tokenizers: dict[str, object] = {}


def test_short_words_are_not_touched() -> None:
    text = "a red circle " * 5_000 + "x" * 600
    assert cut_words(text, 77) == text


# --- archives --------------------------------------------------------------------------------


def test_archives_never_leave_their_file(tmp_path: Path) -> None:
    inside, outside = tmp_path / "in", tmp_path / "out"
    inside.mkdir()
    outside.mkdir()
    for name, content in corpus.archives_that_hold(str(outside)):
        path = put(inside, name, content)
        images = open_images(path)
        assert list(reasons(images)) == [None], name
        path.unlink()
    assert os.listdir(inside) == os.listdir(outside) == []
    assert sorted(os.listdir(tmp_path)) == ["in", "out"]


def test_broken_archives_have_a_reason(tmp_path: Path) -> None:
    failed = 0
    for name, content in corpus.broken_archives():
        path = put(tmp_path, name, content)
        try:
            failed += sum(reason is not None for reason in reasons(open_images(path)))
        except InputError as error:
            assert str(path) in str(error)
            failed += 1
        path.unlink()
    assert failed > 100


@pytest.mark.parametrize(("name", "content"), [*corpus.archive_bombs()])
def test_archive_bombs_are_refused(tmp_path: Path, name: str, content: bytes) -> None:
    path = put(tmp_path, name, content)
    start = time.perf_counter()
    try:
        found = "; ".join(str(reason) for reason in reasons(open_images(path)))
    except InputError as error:
        assert str(path) in str(error)
        found = str(error)
    # A promise of a terabyte was looked for block by block, for ten minutes.
    assert time.perf_counter() - start < 30
    expected = {
        "claims.zip": "3,221,225,472 bytes, more than any image file",
        "claims.tar": "unexpected end of data",
        "claims.tar.gz": "unexpected end of data",
        "pax.tar.gz": "a header of 67,108,864 bytes",
        "global.tar.gz": "a header of 67,108,864 bytes",
        "name.tar.gz": "a header of 67,108,864 bytes",
    }
    assert expected.get(name, "not an image") in found


def test_large_members_of_a_compressed_tar_are_read_when_they_are_decoded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cmdmetric.inputs.archives._MAX_HELD", 0)
    pictures = [corpus.picture(size=(16 + i, 12)) for i in range(3)]
    members = [corpus.member(f"{i}.png", corpus.encoded(p, "PNG")) for i, p in enumerate(pictures)]
    path = put(tmp_path, "a.tar.gz", corpus.PACKERS[".gz"](corpus.tar_of(members)))
    items = list(open_images(path))
    assert [item.load().width for item in reversed(items)] == [18, 17, 16]


# --- statistics ------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "content"), [*corpus.broken_moments(), *corpus.moments_bombs()])
def test_broken_moments_are_told(tmp_path: Path, name: str, content: bytes) -> None:
    path = put(tmp_path, name, content)
    for read in (open_image_side, *((Moments.load,) if name.endswith(".npz") else ())):
        with pytest.raises(InputError) as caught:
            read(path)
        text = str(caught.value)
        assert str(path) in text and "\n" not in text and len(text) < 700
        assert "allow_pickle" not in text


def test_truncated_and_flipped_moments(tmp_path: Path) -> None:
    good = corpus.good_moments()
    told = 0
    for label, content in [*corpus.truncated(good), *corpus.flipped(good, 300)]:
        path = put(tmp_path, f"{label}.npz", content)
        try:
            side = open_image_side(path)
            assert isinstance(side, Side) and np.isfinite(side.moments.cov).all()
        except InputError as error:
            assert str(path) in str(error)
            told += 1
        path.unlink()
    assert told > 100


# --- bounded memory --------------------------------------------------------------------------


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="limits of memory are Linux's")
def test_bombs_fit_into_little_memory(tmp_path: Path) -> None:
    pytest.importorskip("resource")
    cases = [*corpus.image_bombs(), *corpus.archive_bombs(), *corpus.moments_bombs()]
    for name, content in cases:
        put(tmp_path, name, content)
    code = (
        "import os, resource, sys, warnings\n"
        "from cmdmetric.errors import InputError\n"
        "from cmdmetric.inputs.images import open_images\n"
        "from cmdmetric.scoring.opening import open_image_side\n"
        "from cmdmetric.inputs.image_set import describe_failure\n"
        "resource.setrlimit(resource.RLIMIT_AS, (2 << 30, 2 << 30)); n = 0\n"
        "for name in sorted(os.listdir(sys.argv[1])):\n"
        "    path = os.path.join(sys.argv[1], name)\n"
        "    try:\n"
        "        side = open_image_side(path)\n"
        "        for item in side if hasattr(side, 'names') else ():\n"
        "            item.load()\n"
        "    except Exception as error:\n"
        "        assert 'memory' not in describe_failure(error), (name, error)\n"
        "    n += 1\n"
        "print(n, 'torch' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code, str(tmp_path)],
        capture_output=True, text=True, check=False,
        env={**os.environ, "OPENBLAS_NUM_THREADS": "1"}, timeout=120,
    )  # fmt: skip
    assert done.stdout.split() == [str(len(cases)), "False"], done.stderr[-2000:]


# --- models and protocols --------------------------------------------------------------------


def model_folder(folder: Path, tiny_clip: Path, config: object) -> Path:
    folder.mkdir()
    content = config if isinstance(config, bytes) else json.dumps(config).encode()
    (folder / "open_clip_config.json").write_bytes(content)
    os.link(tiny_clip / "open_clip_model.safetensors", folder / "open_clip_model.safetensors")
    return folder


@pytest.mark.parametrize(
    "config",
    [
        b"[" * 100_000,
        b"\xff\xfe",
        [],
        {"model_cfg": []},
        {"model_cfg": TINY_CLIP, "preprocess_cfg": None},
        {"model_cfg": TINY_CLIP, "preprocess_cfg": {"mean": [1]}},
        {"model_cfg": TINY_CLIP, "preprocess_cfg": {"mean": "abc"}},
        {"model_cfg": TINY_CLIP, "preprocess_cfg": {"std": [1, 1, 0]}},
        {"model_cfg": {**TINY_CLIP, "embed_dim": 10**12}},
        {"model_cfg": {**TINY_CLIP, "embed_dim": -4}},
        {"model_cfg": {**TINY_CLIP, "surprise": 1}},
        {"model_cfg": {**TINY_CLIP, "text_cfg": {**TINY_CLIP["text_cfg"], "context_length": 1}}},
        {"model_cfg": {**TINY_CLIP, "text_cfg": {**TINY_CLIP["text_cfg"], "context_length": 50}}},
        {
            "model_cfg": {
                **TINY_CLIP,
                "vision_cfg": {**TINY_CLIP["vision_cfg"], "image_size": 64},
            }
        },
    ],
    ids=lambda config: str(config)[-40:],
)
def test_broken_configurations_are_told(tmp_path: Path, tiny_clip: Path, config: object) -> None:
    folder = model_folder(tmp_path / "broken-model", tiny_clip, config)
    with pytest.raises(InputError, match="broken-model"):
        Encoder(folder)


@pytest.mark.parametrize("change", ["transposed", "scalar", "less", "more", "positions", "empty"])
def test_weights_of_wrong_shapes_are_told(tmp_path: Path, tiny_clip: Path, change: str) -> None:
    import torch
    from safetensors.torch import load_file, save_file

    state = load_file(tiny_clip / "open_clip_model.safetensors")
    changed = {
        "transposed": {k: v.T.contiguous() if v.ndim == 2 else v for k, v in state.items()},
        "scalar": {k: v.sum().reshape(1) for k, v in state.items()},
        "less": dict(list(state.items())[:-3]),
        "more": {**state, "surprise": torch.zeros(3)},
        # open_clip would interpolate them without a word.
        "positions": {**state, "visual.positional_embedding": torch.zeros(10, 32)},
        "empty": {},
    }[change]
    save_file(changed, tmp_path / "wrong.safetensors")
    with pytest.raises(InputError, match=re.escape(str(tmp_path / "wrong.safetensors"))):
        Encoder(tiny_clip, tmp_path / "wrong.safetensors")


def test_weights_in_a_zip_of_a_later_format_are_told(tmp_path: Path, tiny_clip: Path) -> None:
    """Whether it is a TorchScript archive, which can run code, cannot be seen."""
    content = corpus.later_zip(corpus.zip_of([("archive/code/x.py", b""), ("archive/v", b"3")]))
    path = put(tmp_path, "later.pt", content)
    with pytest.raises(InputError, match=re.escape(str(path))):
        Encoder(tiny_clip, path)


@pytest.mark.parametrize(
    "content",
    [
        b"", b"[]", b"\xff", b"[" * 100_000, b'{"name": 3}', b'{"name": "x", "rgb": {}}',
        b'{"name": "x", "image_scale": NaN}', b'{"name": "x", "image_scale": ' + b"9" * 5000 + b"}",
    ],
    ids=lambda content: str(content[:30]),
)  # fmt: skip
def test_broken_protocols_are_told(tmp_path: Path, content: bytes) -> None:
    path = put(tmp_path, "mine.json", content)
    with pytest.raises(InputError, match=re.escape(str(path))):
        get_protocol(str(path))


# --- through the command line ----------------------------------------------------------------


def test_the_command_on_a_folder_of_everything_bad(tmp_path: Path) -> None:
    folder = tmp_path / "bad \x1b[31m\n\udcff"
    folder.mkdir()
    named = ((name, b"junk") for name in corpus.ODD_NAMES)
    cases = [*corpus.no_images(), *corpus.image_bombs(), *named]
    for name, content in cases:
        put(folder, name, content)
    (tmp_path / "l.json").write_bytes(b'["a red circle", "b"]')
    done = run("cmd-score", folder, "l.json", "--real", folder, "--model", "scenes-toy", "-q",
               cwd=tmp_path, PYTHONIOENCODING="utf-8:strict")  # fmt: skip
    assert done.returncode == 2 and done.stdout == ""
    assert re.search(rf"\d+ of {len(cases)} images cannot be decoded", done.stderr)
    assert "and " in done.stderr and "Traceback" not in done.stderr
    assert "\x1b" not in done.stderr and r"\x1b[31m" in done.stderr


def test_the_command_with_an_output_that_cannot_show_the_name(
    small_example: Path, tmp_path: Path
) -> None:
    # A path of bytes that are no UTF-8, printed to an ASCII stream.
    folder = tmp_path / "\udcff猫"
    folder.symlink_to(small_example / "generated")
    done = run("cmd-score", folder, small_example / "captions.json", "--real",
               small_example / "real", "--model", "scenes-toy", "-q",
               PYTHONIOENCODING="ascii:strict")  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert str(tmp_path) in done.stdout and "signature" in done.stdout


def test_the_command_on_broken_captions_and_moments(example: Path, tmp_path: Path) -> None:
    name, content = next(corpus.captions_that_fail())
    captions = put(tmp_path, name, content)
    moments_name, content = next(corpus.moments_bombs())
    stored = put(tmp_path, moments_name, content)
    for arguments in ((example / "generated", captions), (stored, example / "captions.json")):
        done = run("cmd-score", *arguments, "--real", example / "real", "--model", "scenes-toy")
        assert done.returncode == 2 and done.stdout == "" and "Traceback" not in done.stderr
        assert str(arguments[0] if arguments[0] == stored else captions) in done.stderr
