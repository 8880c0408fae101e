"""What the whole process shares is changed while any thread needs it, and then given back."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import pytest
import torch

from cmdmetric import cmd
from cmdmetric.encoders.device import SharedChange

THREADS = 3


def settings() -> list[object]:
    """torch's precisions and open_clip's logging, as a caller of the library sees them."""
    backends = torch.backends
    found: list[object] = [
        torch.get_float32_matmul_precision(),
        backends.cuda.matmul.allow_tf32,
        backends.cudnn.allow_tf32,
        logging.root.manager.disable,
    ]
    if hasattr(backends.cudnn, "fp32_precision"):  # torch >= 2.9
        for setting in (backends.mkldnn.matmul, backends.cuda.matmul, backends.cudnn.conv):
            found.append(setting.fp32_precision)
    return found


def test_the_first_makes_the_change_and_the_last_undoes_it() -> None:
    happened: list[str] = []

    @contextlib.contextmanager
    def change() -> Iterator[None]:
        happened.append("made")
        yield
        happened.append("undone")

    shared = SharedChange(change)
    with contextlib.ExitStack() as second:
        with shared:
            second.enter_context(shared)
        assert happened == ["made"]  # the other is still inside
    assert happened == ["made", "undone"]
    with pytest.raises(ZeroDivisionError), shared:
        raise ZeroDivisionError
    assert happened == ["made", "undone"] * 2


def test_threads_overlap_as_they_will() -> None:
    """Each of many leaves when it wants to; while one is inside the value is the changed one."""
    value = ["caller's"]

    @contextlib.contextmanager
    def change() -> Iterator[None]:
        before, value[0] = value[0], "ours"
        yield
        value[0] = before

    shared, start = SharedChange(change), Barrier(THREADS)

    def work(_: int) -> bool:
        start.wait()
        seen = []
        for _ in range(2000):
            with shared:
                seen.append(value[0] == "ours")
        return all(seen)

    with ThreadPoolExecutor(THREADS) as pool:
        assert all(pool.map(work, range(THREADS)))
    assert value == ["caller's"]


@pytest.mark.filterwarnings("ignore:.*too few:UserWarning")
@pytest.mark.slow
def test_three_threads_score_alike_and_leave_the_callers_settings(
    small_example: Path,
) -> None:
    before, start = settings(), Barrier(THREADS)

    def score(_: int) -> tuple[float, ...]:
        start.wait()
        result = cmd(
            small_example / "generated", small_example / "captions.json",
            model="scenes-toy", device="cpu", batch_size=8, cache=False,
        )  # fmt: skip
        return result.dis_fr, result.dis_fl, result.dis_rl

    alone = cmd(
        small_example / "generated", small_example / "captions.json",
        model="scenes-toy", device="cpu", batch_size=8, cache=False,
    )  # fmt: skip
    with ThreadPoolExecutor(THREADS) as pool:
        found = list(pool.map(score, range(THREADS)))
    # To the bit: the same library multiplies the same batches.
    assert found == [(alone.dis_fr, alone.dis_fl, alone.dis_rl)] * THREADS
    assert settings() == before
