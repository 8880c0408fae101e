"""CMD of a Ray dataset, on a local Ray of two workers, against one process."""

from __future__ import annotations

import io
import logging
import os
import pickle
import signal
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from cmdmetric import CMDScore, Encoder, Evaluator, InputError
from cmdmetric.evaluator import Batch
from cmdmetric.inputs import Columns
from cmdmetric.integrations import ray as of_ray
from cmdmetric.integrations.ray import actors, blocks, rows as on_ray
from cmdmetric.integrations.ray.columns import work_on
from cmdmetric.metrics import Moments, blockwise, slices
from cmdmetric.scenes.drawing import draw_scene
from cmdmetric.scoring import EncoderOptions
from cmdmetric.uncertainty import Sample, uncertainty

ray = pytest.importorskip("ray")
pytest.importorskip("ray.data")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:.*too few for:UserWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning:ray"),
]
#: Blocks of the encoder's batches: float32 features round otherwise in batches of other sizes, and
#: then agree to 1e-6 and not 1e-9.
BLOCK, BLOCKS = 96, 3
N = BLOCK * BLOCKS
DISTANCES = ("cmd", "itdis", "dis_fr", "dis_fl", "dis_rl")
MODEL = "scenes-toy"


@pytest.fixture(scope="module", autouse=True)
def cluster() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        # Beside two actors Ray's own tasks need a place. Actors have a thread each.
        patch.setenv("OMP_NUM_THREADS", "1")
        ray.init(num_cpus=4, include_dashboard=False, logging_level=logging.ERROR)
        ray.data.DataContext.get_current().enable_progress_bars = False
        yield
        ray.shutdown()


@pytest.fixture(scope="module")
def rows() -> list[dict[str, Any]]:
    """Encoded images as Hugging Face's Parquet has them, with one or two captions each."""
    found = []
    for seed in range(N):
        scene = draw_scene(seed)
        file = io.BytesIO()
        scene.render(32).save(file, "PNG")
        image = {"bytes": file.getvalue(), "path": f"{seed}.png"}
        found.append({"image": image, "caption": scene.captions(2)})
    return found


@pytest.fixture(scope="module")
def real() -> np.ndarray:
    return np.stack([np.asarray(draw_scene(1000 + seed).render(32)) for seed in range(N)])


@pytest.fixture(scope="module")
def one_process(rows: list[dict[str, Any]], real: np.ndarray) -> CMDScore:
    """The score of the same batches in one process of one thread, as each actor has."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        evaluator = Evaluator(real, encoder=Encoder(MODEL, device="cpu"))
        for start in range(0, N, BLOCK):
            part = rows[start : start + BLOCK]
            images = [np.asarray(of_bytes(row["image"]["bytes"])) for row in part]
            evaluator.update(np.stack(images), [row["caption"] for row in part])
        return evaluator.compute()
    finally:
        torch.set_num_threads(threads)


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """The real side, which this process encodes, rounds as in `one_process`."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def of_bytes(content: bytes) -> Any:
    from PIL import Image

    return Image.open(io.BytesIO(content)).convert("RGB")


def dataset(rows: list[dict[str, Any]]) -> Any:
    return ray.data.from_items(rows, override_num_blocks=BLOCKS)


def score(data: Any, real: Any, **options: Any) -> CMDScore:
    return of_ray.cmd(data, real, model=MODEL, device="cpu", actors=2, **options)


def photographs(real: np.ndarray) -> Any:
    """The real images as a dataset, with columns that might be captions."""
    return ray.data.from_items(
        [{"image": image, "caption": "a", "prompt": "b"} for image in real],
        override_num_blocks=BLOCKS,
    )


def assert_equal(found: CMDScore, expected: CMDScore, *, bars: bool = True) -> None:
    for name in DISTANCES:
        assert getattr(found, name) == pytest.approx(getattr(expected, name), rel=1e-9), name
    assert (found.n, found.n_captions, found.empty, found.truncated) == (
        expected.n, expected.n_captions, expected.empty, expected.truncated,
    )  # fmt: skip
    if not bars:
        assert found.uncertainty is None
        return
    assert found.signature == expected.signature
    assert found.paired == N
    assert found.uncertainty is not None and expected.uncertainty is not None
    size = max(expected.dis_fr, expected.dis_fl, expected.dis_rl)
    assert_same_bars(found.uncertainty.to_dict(), expected.uncertainty.to_dict(), size)


def assert_same_bars(found: Any, expected: Any, size: float, where: str = "") -> None:
    """Numbers agree to 1e-9 of the distances, whose differences they are; all else is the same."""
    if isinstance(expected, dict):
        assert found.keys() == expected.keys()
        for key in expected:
            assert_same_bars(found[key], expected[key], size, f"{where}.{key}")
    elif isinstance(expected, float):
        assert found == pytest.approx(expected, rel=1e-9, abs=1e-9 * size), where
    else:
        assert found == expected, where


@pytest.fixture
def fetched(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """All that this process gets of Ray, as bytes."""
    seen: list[bytes] = []
    get = ray.get

    def spying(*args: Any, **options: Any) -> Any:
        found = get(*args, **options)
        seen.append(ray.cloudpickle.dumps(found))
        return found

    monkeypatch.setattr(ray, "get", spying)
    return seen


def features_in(fetched: list[bytes], *features: np.ndarray) -> int:
    """How many rows of features are in what was fetched, in either precision, by their starts."""
    whole = b"".join(fetched)
    starts = [row[:8] for rows in features for row in rows]
    return sum(
        row.astype(kind).tobytes() in whole for row in starts for kind in (np.float32, np.float64)
    )


def test_the_score_is_that_of_one_process_and_features_stay_where_they_are(
    rows: list[dict[str, Any]],
    real: np.ndarray,
    one_process: CMDScore,
    fetched: list[bytes],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    photos = photographs(real)
    for module in (blocks, on_ray):  # of which none has the borders of the dataset's
        monkeypatch.setattr(module, "ROWS", 100)
    kept: list[on_ray.RowsOnRay] = []

    class Kept(on_ray.RowsOnRay):
        def __init__(self, *args: Any) -> None:
            super().__init__(*args)
            kept.append(self)

    monkeypatch.setattr(blocks, "RowsOnRay", Kept)
    found = score(dataset(rows), photos)
    assert_equal(found, one_process)
    # The features of the first blocks, as each actor made them, are nowhere in what came here ...
    f, r = in_process(dataset(rows)), in_process(photos, captions=False)
    assert features_in(fetched, f.images, f.captions, r.images) == 0
    # ... where they would have been seen.
    assert [len(x) for x in kept] == [N, N, found.n_captions]
    for x in kept:
        list(blockwise(lambda rows: rows, slices(len(x)), x))
    assert features_in(fetched, f.images, f.captions, r.images) == 2 * BLOCK + len(f.captions)


def test_a_killed_actor_changes_nothing(
    rows: list[dict[str, Any]],
    real: np.ndarray,
    one_process: CMDScore,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    marker = tmp_path / "killed"

    class Mortal(actors.BlockEncoder):  # of a function, so that actors get it by value
        def __call__(self, block: Any) -> Any:
            made = super().__call__(block)
            if not os.path.exists(marker):
                marker.write_text(str(os.getpid()))
                os.kill(os.getpid(), signal.SIGKILL)
            return made

    monkeypatch.setattr(actors, "BlockEncoder", Mortal)
    found = score(dataset(rows), real)
    assert marker.exists(), "no actor was killed"
    assert_equal(found, one_process)


def test_sums_alone_travel_without_error_bars(
    rows: list[dict[str, Any]], real: np.ndarray, one_process: CMDScore, fetched: list[bytes]
) -> None:
    assert_equal(score(dataset(rows), real, error_bars=False), one_process, bars=False)
    f = in_process(dataset(rows))
    assert features_in(fetched, f.images, f.captions) == 0


@pytest.mark.parametrize("case", ["grouped", "apart", "repeated", "alike", "heavy"])
def test_error_bars_of_rows_on_ray_are_those_of_arrays(case: str) -> None:
    rng = np.random.default_rng(0)
    n, d = 5000, 16

    def features(shift: float) -> np.ndarray:
        drawn = rng.standard_normal((n, d)) * np.arange(1, d + 1) ** -0.5 + shift
        return drawn.astype(np.float32)

    f, r, l = features(0.1), features(0.0), np.repeat(features(0.5), 2, axis=0)
    l += 0.1 * rng.standard_normal(l.shape).astype(np.float32)
    of_f, of_l = None, None
    if case == "grouped":  # in an order of their own, and some with another's caption
        of_f = rng.permutation(n) // 3 * 3 % 4000
        of_l = np.repeat(of_f, 2)
        l[:n] += np.repeat(f[: n // 2], 2, axis=0)
    elif case == "repeated":
        f[:100] = f[2000:2100]
    elif case == "alike":
        l[::2] += r
    elif case == "heavy":
        f *= rng.standard_gamma(1.0, (n, 1)).astype(np.float32)
    expected = uncertainty(Sample(f, of_f), r, Sample(l, of_l))
    held = [on_ray.RowsOnRay(_put(x), len(x), d) for x in (f, r, l)]
    sides = zip(held, (f, r, l), (of_f, None, of_l), strict=True)
    found = uncertainty(*(Sample(x, of, Moments.from_features(own)) for x, own, of in sides))
    size = max(expected.dis_fr.raw, expected.dis_fl.raw, expected.dis_rl.raw)
    assert_same_bars(found.to_dict(), expected.to_dict(), size)
    mixed = uncertainty(Sample(held[0], of_f, Moments.from_features(f)), r, Sample(l, of_l))
    assert_same_bars(mixed.to_dict(), expected.to_dict(), size)


def _put(features: np.ndarray) -> list[Any]:
    step = on_ray.ROWS
    return [ray.put(features[start : start + step]) for start in range(0, len(features), step)]


def in_process(data: Any, *, captions: bool = True, **named: str) -> Batch:
    """What an actor would make of the first block of a dataset; an error is raised here."""
    columns = Columns(named.get("caption_column"), named.get("image_column"))
    options = EncoderOptions(model=MODEL, device="cpu")
    work = work_on(data, columns, options, captions=captions, features=True)
    block = next(iter(data.iter_batches(batch_size=None, batch_format="numpy")))
    made = actors.BlockEncoder(work)(block)
    part = pickle.loads(made["part"][0].as_py())
    if isinstance(part, InputError):
        raise part
    images, texts = (
        np.frombuffer(made[side][0].as_py(), np.float32).reshape(rows, -1)
        for side, rows in (("images", len(part.images)), ("captions", max(1, len(part.captions))))
    )
    return replace(part, images=images, captions=texts)


def test_columns_of_webdataset_and_parquet(rows: list[dict[str, Any]], tmp_path: Path) -> None:
    few = rows[:8]
    expected = in_process(ray.data.from_items(few, override_num_blocks=1))
    plain = [{"jpg": row["image"]["bytes"], "txt": row["caption"][0]} for row in few]
    ray.data.from_items(plain).repartition(1).write_parquet(str(tmp_path))
    found = in_process(ray.data.read_parquet(str(tmp_path)))
    assert np.array_equal(found.contents, expected.contents)
    assert np.allclose(found.images, expected.images, rtol=0, atol=1e-5)
    assert found.texts == tuple(row["caption"][0] for row in few)


def test_mistakes_are_told(rows: list[dict[str, Any]], real: np.ndarray) -> None:
    few = [{**row, "caption": row["caption"][0]} for row in rows[:8]]

    def refused(changed: list[dict[str, Any]], message: str, **named: str) -> None:
        with pytest.raises(InputError, match=message):
            in_process(ray.data.from_items(changed, override_num_blocks=1), **named)

    refused([{"image": row["image"]} for row in few], "no column of captions among image")
    refused([{"caption": row["caption"]} for row in few], "no column of images among caption")
    refused(few, "no caption column 'words'; there are image, caption", caption_column="words")
    refused(few, "no image column 'photo'", image_column="photo")
    refused([{**few[0], "caption": None}, *few[1:]], "row 0 .* None where a caption belongs")
    refused([{**row, "caption": None} for row in few], "where a caption belongs")
    broken = {"bytes": b"no image", "path": "x.png"}
    refused([*few[:-1], {**few[-1], "image": broken}], "1 of 8 images cannot be decoded")
    refused([*few[:-1], {**few[-1], "image": None}], "has no image")
    with pytest.raises(InputError, match="at least 1"):
        of_ray.cmd(dataset(rows), real, actors=0)
    with pytest.raises(InputError, match=r"a ray\.data\.Dataset"):
        of_ray.cmd("samples/", real)
    with pytest.raises(InputError, match="empty"):
        of_ray.cmd(ray.data.from_items([]), real, model=MODEL)


def test_a_mistake_in_an_actor_is_told_here(rows: list[dict[str, Any]], real: np.ndarray) -> None:
    wrong = [{**row, "caption": None} for row in rows[:2]]
    with pytest.raises(InputError, match="where a caption belongs"):
        of_ray.cmd(ray.data.from_items(wrong), real, model=MODEL, device="cpu")


def test_without_ray_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    monkeypatch.setitem(sys.modules, "ray.data", None)
    with pytest.raises(InputError, match=r"pip install 'cmdmetric\[ray\]'"):
        of_ray.cmd(None, "photos/")
