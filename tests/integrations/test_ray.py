"""CMD of a Ray dataset, on a local Ray of two workers, against one process."""

from __future__ import annotations

import io
import logging
import os
import pickle
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from cmdmetric import CMDScore, Encoder, Evaluator, InputError
from cmdmetric.inputs import Columns
from cmdmetric.integrations import ray as of_ray
from cmdmetric.scenes.drawing import draw_scene
from cmdmetric.scoring import EncoderOptions

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


def assert_equal(found: CMDScore, expected: CMDScore) -> None:
    for name in DISTANCES:
        assert getattr(found, name) == pytest.approx(getattr(expected, name), rel=1e-9), name
    assert (found.n, found.n_captions, found.empty, found.truncated) == (
        expected.n, expected.n_captions, expected.empty, expected.truncated,
    )  # fmt: skip


def test_the_score_is_that_of_one_process(
    rows: list[dict[str, Any]], real: np.ndarray, one_process: CMDScore
) -> None:
    found = score(dataset(rows), real)
    assert_equal(found, one_process)
    assert found.signature == one_process.signature
    assert found.paired == N
    bars, expected = found.uncertainty, one_process.uncertainty
    assert bars is not None and expected is not None
    for name in DISTANCES:
        of, wanted = getattr(bars, name), getattr(expected, name)
        assert of.standard_error == pytest.approx(wanted.standard_error, rel=1e-9), name
        assert of.debiased == pytest.approx(wanted.debiased, rel=1e-9), name


def test_a_killed_actor_changes_nothing_and_sums_alone_travel_without_error_bars(
    rows: list[dict[str, Any]],
    real: np.ndarray,
    one_process: CMDScore,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    marker = tmp_path / "killed"

    class Mortal(of_ray.BlockEncoder):  # of a function, so that actors get it by value
        def __call__(self, block: Any) -> Any:
            made = super().__call__(block)
            if not os.path.exists(marker):
                marker.write_text(str(os.getpid()))
                os.kill(os.getpid(), signal.SIGKILL)
            return made

    monkeypatch.setattr(of_ray, "BlockEncoder", Mortal)
    photos = ray.data.from_items(
        [{"image": image, "caption": "a", "prompt": "b"} for image in real],
        override_num_blocks=BLOCKS,
    )
    found = score(dataset(rows), photos, error_bars=False)
    assert marker.exists(), "no actor was killed"
    assert_equal(found, one_process)
    assert found.uncertainty is None


def in_process(data: Any, **named: str) -> Any:
    """What an actor would make of the first block of a dataset."""
    columns = Columns(named.get("caption_column"), named.get("image_column"))
    options = EncoderOptions(model=MODEL, device="cpu")
    work = of_ray._work_on(data, columns, options, captions=True, features=True)
    block = next(iter(data.iter_batches(batch_size=None, batch_format="numpy")))
    (part,) = of_ray.BlockEncoder(work)(block)["part"]
    return pickle.loads(part)


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
            found = in_process(ray.data.from_items(changed, override_num_blocks=1), **named)
            raise found

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
