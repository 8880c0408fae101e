"""Images decoded by forks: as by threads, and no fork outlives who made it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
import torch
from PIL import Image

from cmdmetric.cache import FeatureCache, Space
from cmdmetric.errors import InputError
from cmdmetric.features.image_pass import PassedImages, pass_images
from cmdmetric.files import forked, forks, forks_for, losses_told
from cmdmetric.inputs.images import open_images

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="forks are safe on Linux only")


class Colour:
    """A network whose features are the first pixel's colours and who prepared the image."""

    batch_size = 8
    sha256 = ""
    fields: ClassVar[dict[str, str]] = {}
    space = Space("a pixel", what="pixel")

    def prepare(self, image: Image.Image) -> np.ndarray:
        first = np.asarray(image.convert("RGB"))[0, 0]
        return np.concatenate([first, np.frombuffer(os.getpid().to_bytes(4, "big"), np.uint8)])

    def encode(self, pixels: np.ndarray) -> np.ndarray:
        return pixels.astype(np.float32)

    def provenance(self, source: str) -> None:
        return None


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A hundred images, two broken and two equal ones among them."""
    place = tmp_path / "images"
    place.mkdir()
    for i in range(100):
        Image.new("RGB", (4, 4), (i, 20, 30)).save(place / f"{i:03d}.png")
    (place / "017.png").write_bytes(b"no image")
    (place / "093.png").write_bytes((place / "092.png").read_bytes()[:50])
    (place / "099.png").write_bytes((place / "000.png").read_bytes())
    return place


def passed(folder: Path, cache: FeatureCache | None = None) -> PassedImages:
    return pass_images(open_images(folder), [Colour()], on_error="skip", cache=cache)


def test_forks_find_what_threads_find(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    by_threads = passed(folder)
    assert set(map(tuple, by_threads.features[0][:, 3:])) == {_own()}
    monkeypatch.setattr(forks, "WORTH_FORKS", 10)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1, 2})
    state = torch.random.get_rng_state()
    with FeatureCache(tmp_path / "cache") as cache:
        by_forks = passed(folder, cache)
    assert by_forks.skipped == by_threads.skipped and len(by_forks.skipped) == 2
    assert by_forks.names == by_threads.names
    np.testing.assert_array_equal(by_forks.features[0][:, :3], by_threads.features[0][:, :3])
    makers = set(map(tuple, by_forks.features[0][:, 3:]))
    assert len(makers) == 3 and _own() not in makers
    assert torch.equal(torch.random.get_rng_state(), state)
    with FeatureCache(tmp_path / "cache") as cache:
        again = passed(folder, cache)
    assert again.cached == (98,)
    np.testing.assert_array_equal(again.features[0], by_forks.features[0])


def test_large_pixels_are_not_handed_over(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forks, "WORTH_FORKS", 10)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1, 2})
    monkeypatch.setattr("cmdmetric.features.image_pass.HANDED_OVER", 6)
    (folder / "000.png").write_bytes(b"no image")
    assert set(map(tuple, passed(folder).features[0][:, 3:])) == {_own()}


def _own() -> tuple[float, ...]:
    return tuple(map(float, os.getpid().to_bytes(4, "big")))


def test_what_files_were_is_known_by_their_stamps(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Forks tell whether a file was as it is before and after it was read."""
    monkeypatch.setattr(forks, "WORTH_FORKS", 10)
    monkeypatch.setattr("cmdmetric.cache.digests.YOUNG_NS", 0)
    with FeatureCache(tmp_path / "cache") as cache:
        passed(folder, cache)
    with FeatureCache(tmp_path / "cache") as cache:
        known = cache.digests.known(open_images(folder).files or ())
    assert [i for i, digest in enumerate(known) if digest is None] == [17, 93]


def test_a_fork_that_is_killed_is_told() -> None:
    def work(item: int) -> int:
        if item == 40:
            os.kill(os.getpid(), signal.SIGKILL)
        return -item

    found = forked(range(100), work, 2)
    assert found is not None
    with pytest.raises(InputError, match="was killed: memory may have run out"), losses_told():
        list(found)
    with pytest.raises(RuntimeError, match="of another kind"), losses_told():
        raise RuntimeError("of another kind")


def test_where_there_are_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(64)))
    assert forks_for(forks.WORTH_FORKS) == 16 and forks_for(forks.WORTH_FORKS - 1) == 0
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "8")
    assert forks_for(10**6) == 8
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0})
    assert forks_for(10**6) == 0

    def no_memory(*_: object) -> None:
        raise OSError(12, "Cannot allocate memory")

    monkeypatch.setattr(os, "fork", no_memory)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1})
    assert forked(range(100), str, 2) is None


ENDS = """
import os, signal, time
from cmdmetric.files import forked
signal.signal(signal.SIGINT, signal.default_int_handler)  # a job in the background ignores it
def work(item):
    return bytes(10**6), os.getpid()
for item, (_, maker) in forked(range(10**6), work, 2):
    print(maker, flush=True)
    time.sleep(0.01)
"""


@pytest.mark.parametrize("by", [signal.SIGKILL, signal.SIGINT])
def test_no_fork_outlives_who_made_it(by: signal.Signals) -> None:
    """Neither where that is killed, nor where Ctrl-C reaches all of them."""
    command = [sys.executable, "-c", ENDS]
    made = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                            start_new_session=True)  # fmt: skip
    assert made.stdout is not None
    makers = {int(made.stdout.readline()) for _ in range(40)}
    assert len(makers) == 2 and made.pid not in makers
    if by == signal.SIGINT:
        os.killpg(made.pid, by)
    else:
        made.send_signal(by)
    _, said = made.communicate(timeout=60)  # both ends are open as long as a fork lives
    assert "Process " not in said
    limit = time.monotonic() + 30
    while any(_lives(maker) for maker in makers):
        assert time.monotonic() < limit
        time.sleep(0.05)


def _lives(process: int) -> bool:
    try:
        status = Path(f"/proc/{process}/stat").read_text()
    except OSError:
        return False
    return status.rpartition(") ")[2][0] != "Z"
