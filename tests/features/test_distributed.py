"""Several processes that share one command, against one process."""

from __future__ import annotations

import io
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple, cast

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from PIL import Image
from tqdm import tqdm

from cmdmetric import progress
from cmdmetric.cli.main import main
from cmdmetric.encoders.inception import Inception, InceptionFeatures
from cmdmetric.errors import InputError
from cmdmetric.features import captions as features, shared_tally, workers as distributed
from cmdmetric.features.failures import OnError, Undecodable
from cmdmetric.features.shared_encoding import shared_pass
from cmdmetric.features.workers import Workers
from cmdmetric.inputs.images import open_images
from tests.support.commands import BIN, FORK, PROCESSES, run_here, run_installed
from tests.support.scores import printed
from tests.support.systems import needs_proc

if not FORK:
    pytest.skip("this system has no fork server", allow_module_level=True)
#: Captions that stay together: few, so that several processes have some.
TEXT_CHUNK = 16


class Ended(NamedTuple):
    status: int
    out: str
    err: str


def free_port() -> int:
    with socket.socket() as opened:
        opened.bind(("127.0.0.1", 0))
        return opened.getsockname()[1]


def launch(
    folder: Path,
    size: int,
    *arguments: object,
    slurm: bool = False,
    each: Any = None,
    watched: bool = False,
) -> list[Ended]:
    """What each of several processes did; `each` gives the arguments of one, by its rank.

    watched: whether each believes that a person looks at its stderr.
    """
    folder.mkdir()
    port, processes = str(free_port()), []
    for rank in range(size):
        variables = {"RANK": rank, "WORLD_SIZE": size, "LOCAL_RANK": rank}
        if slurm:
            variables = {"SLURM_PROCID": rank, "SLURM_STEP_NUM_TASKS": size, "SLURM_LOCALID": rank}
        variables |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "OMP_NUM_THREADS": 1}
        own = [str(argument) for argument in (each(rank) if each else arguments)]
        environment = {**os.environ, **{key: str(value) for key, value in variables.items()}}
        process = PROCESSES.Process(
            target=_run, args=(folder / str(rank), environment, own, watched)
        )
        process.start()
        processes.append(process)
    for process in processes:
        process.join(timeout=120)
    ended = [
        Ended(process.exitcode, *((folder / f"{rank}.{end}").read_text() for end in ("out", "err")))
        for rank, process in enumerate(processes)
    ]
    assert all(end.status is not None for end in ended), "a process hangs"
    return ended


def _run(
    path: Path, environment: dict[str, str], arguments: list[str], watched: bool = False
) -> None:
    if watched:
        progress.watched = lambda: True
    features.TEXT_CHUNK = TEXT_CHUNK
    out, err = (path.with_name(f"{path.name}.{end}") for end in ("out", "err"))
    run_here([str(BIN / "cmdmetric"), *arguments], environment, out, err)


@pytest.fixture(scope="module")
def sets(tmp_path_factory: pytest.TempPathFactory, tiny_clip: Path) -> Path:
    """f/ of 70 images, r.npy of 50, l.json of captions for f; few/ of 3 images."""
    folder = tmp_path_factory.mktemp("sets")
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (120, 1, 1, 3)) + rng.integers(-40, 40, (120, 32, 32, 3))
    pixels = pixels.clip(0, 255).astype(np.uint8)
    for name, count in (("f", 70), ("few", 3)):
        (folder / name).mkdir()
        for k in range(count):
            Image.fromarray(pixels[k]).save(folder / name / f"{k}.png")
    np.save(folder / "r.npy", pixels[70:])
    words = ("red", "blue", "small", "cat", "bus", "kite")
    texts = {f"{k}.png": " ".join(rng.choice(words, 3)) for k in range(70)}
    (folder / "l.json").write_text(json.dumps(texts))
    (folder / "m").symlink_to(tiny_clip)
    return folder


def score(sets: Path, generated: str = "f", **options: object) -> list[object]:
    named = [f"--{key.replace('_', '-')}={value}" for key, value in options.items()]
    return ["score", sets / generated, sets / "l.json", "--real", sets / "r.npy", "--model",
            sets / "m", "--format", "json", "--no-cache", *named]  # fmt: skip


def alone(*arguments: object) -> Any:
    """One process, on one thread as each of several: more threads round float32 otherwise."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(features, "TEXT_CHUNK", TEXT_CHUNK)
            words = [str(argument) for argument in arguments]
            patch.setattr(sys, "argv", [str(BIN / "cmdmetric"), *words])
            done = CliRunner().invoke(main, words)
    finally:
        torch.set_num_threads(threads)
    assert done.exit_code == 0, done.output
    return printed(done.stdout)


def assert_same(ours: Any, theirs: Any) -> None:
    """Equal to 1e-9, whatever is no number exactly."""
    if isinstance(theirs, dict):
        assert ours.keys() == theirs.keys()
        for key in theirs:
            assert_same(ours[key], theirs[key])
    elif isinstance(theirs, float):
        assert ours == pytest.approx(theirs, rel=1e-9, abs=1e-9)
    else:
        assert ours == theirs


@pytest.fixture(scope="module")
def expected(sets: Path) -> Any:
    return alone(*score(sets, batch_size=8))


@pytest.mark.slow
@pytest.mark.parametrize(("size", "slurm"), [(2, False), (3, True)])
def test_a_score_is_that_of_one_process(
    size: int, slurm: bool, sets: Path, expected: Any, tmp_path: Path
) -> None:
    """70 and 50 images in batches of 8, 70 captions in chunks of 16: no shares are even."""
    arguments = score(sets, batch_size=8)
    first, *others = launch(tmp_path / "run", size, *arguments, slurm=slurm)
    assert first.status == 0, first.err
    found = printed(first.out)
    assert found["uncertainty"] is not None and found["paired"] == 70
    assert_same(found, expected)
    assert "/f: 70 images" in first.err and "too few" not in first.err
    # All of the text is the first one's; the libraries' own warnings are not in our hands.
    assert all(end.status == 0 and end.out == "" and " images" not in end.err for end in others)


@pytest.mark.slow
def test_inception_is_shared_too(sets: Path, inception_weights: Path, tmp_path: Path) -> None:
    """Three images in batches of two, and a real side of Inception's own."""
    report = tmp_path / "report.html"
    arguments = score(
        sets, "few", metrics="fid,clipscore", inception_weights=inception_weights,
        inception_real=sets / "few", batch_size=2,
    )  # fmt: skip
    first, *others = launch(tmp_path / "run", 2, *arguments, "--report", report)
    assert first.status == 0, first.err
    page = report.read_text()
    assert "no picture at hand" not in page and page.count('<img src="data:') == 3
    found, theirs = (x["metrics"] for x in (json.loads(first.out), alone(*arguments)))
    assert found.keys() == theirs.keys() == {"fid", "clipscore"}
    # Shares of Inception's own real side are no whole batches: float32, and a FID of about zero.
    assert found["fid"]["value"] == pytest.approx(theirs["fid"]["value"], abs=1e-4)
    ours, alone_ = found["clipscore"], theirs["clipscore"]
    assert ours.keys() == alone_.keys()
    for key, one in alone_.items():  # words and what is not known are the same, numbers to rounding
        exact = not isinstance(one, float)
        assert ours[key] == (one if exact else pytest.approx(one, rel=1e-9)), key
    assert [end.status for end in others] == [0]


def broken(sets: Path, folder: Path, count: int) -> Path:
    """Three images and some files more that are none."""
    shutil.copytree(sets / "few", folder)
    for k in range(3, 3 + count):
        (folder / f"{k}.png").write_bytes(b"no image")
    return folder


@pytest.mark.slow
def test_inception_skips_a_whole_share(sets: Path, inception_weights: Path, tmp_path: Path) -> None:
    """Of a real side of Inception's own the second process can decode nothing."""
    arguments = score(
        sets, "few", metrics="fid", inception_weights=inception_weights, on_error="skip",
        batch_size=3,
        inception_real=broken(sets, tmp_path / "real", 3),
    )  # fmt: skip
    first, other = launch(tmp_path / "run", 2, *arguments)
    assert (first.status, other.status) == (0, 0), first.err
    found, theirs = json.loads(first.out), alone(*arguments)
    assert found["networks"] == theirs["networks"]
    assert found["networks"]["inception"]["n_real"] == 3
    ours, of_one = (x["metrics"]["fid"]["value"] for x in (found, theirs))
    assert ours == pytest.approx(of_one, abs=1e-4)


class Thread(distributed.Workers):
    """One of two threads that share an encoding."""

    def __init__(self, rank: int, table: list[Any], barrier: threading.Barrier) -> None:
        self.rank, self.size, self.agreed = rank, 2, False
        self._table, self._barrier, self._counters = table, barrier, 0

    def all_gather(self, value: Any) -> list[Any]:
        self._table[self.rank] = value
        self._barrier.wait(timeout=60)
        values = list(self._table)
        self._barrier.wait(timeout=60)
        return values


@pytest.mark.parametrize(
    ("decodable", "on_error", "message"),
    [(3, "raise", "3 of 6 images cannot be decoded"), (0, "skip", "no image could be decoded")],
)
def test_inception_tells_of_all_shares(
    decodable: int, on_error: OnError, message: str, sets: Path, tmp_path: Path
) -> None:
    images = open_images(broken(sets, tmp_path / "real", 3))
    for k in range(decodable, 3):
        (tmp_path / "real" / f"{k}.png").write_bytes(b"no image")
    network = Inception.__new__(Inception)  # what it makes of an image plays no part
    network.batch_size, network.sha256 = 3, "of no file"
    network.encode_pixels = lambda pixels: InceptionFeatures(  # type: ignore[method-assign]
        np.zeros((len(pixels), 2048), np.float32), np.zeros((len(pixels), 1008), np.float32)
    )
    table, barrier = [None, None], threading.Barrier(2)

    def run(rank: int) -> str:
        workers = Thread(rank, table, barrier)
        with pytest.raises(Undecodable) as caught:
            shared_pass(images, [network], workers, on_error=on_error)
        return str(caught.value)

    with ThreadPoolExecutor(2) as pool:
        told = list(pool.map(run, range(2)))
    assert told[0] == told[1] and message in told[0] and "5.png" in told[0]


def test_processes_that_get_nothing(sets: Path, tmp_path: Path) -> None:
    """Three images in one batch: two of three processes have no image and no caption."""
    arguments = score(sets, "few")
    first, *others = launch(tmp_path / "run", 3, *arguments)
    assert first.status == 0, first.err
    assert_same(printed(first.out), alone(*arguments))
    assert [end.status for end in others] == [0, 0]


class TestProgress:
    """The first process alone tells of it, and counts what all have done."""

    def test_in_a_pipe(self, sets: Path, tmp_path: Path) -> None:
        first, second = launch(tmp_path / "run", 2, *score(sets, batch_size=8))
        assert first.status == 0, first.err
        lines = first.err.splitlines()
        assert f"images {sets / 'f'}: 70 images" in lines and "%|" not in first.err
        assert f"captions {sets / 'l.json'}: 70 captions" in lines and second.err == ""

    def test_where_a_person_looks(self, sets: Path, tmp_path: Path) -> None:
        first, second = launch(tmp_path / "run", 2, *score(sets, batch_size=8), watched=True)
        assert first.status == 0, first.err
        assert "| 70/70 [" in first.err and "| 50/50 [" in first.err and second.err == ""

    def test_counts_while_others_are_at_work(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """The bar goes on when the first process has done its share, until all have theirs."""
        counters: dict[str, int] = {}

        class Joined:
            def __init__(self, rank: int) -> None:
                self.rank = rank

            def counter(self) -> str:
                return "counter 1"

            def add(self, counter: str, n: int) -> int:
                counters[counter] = counters.get(counter, 0) + n
                return counters[counter]

        bar = tqdm(total=10, file=io.StringIO())
        monkeypatch.setattr(shared_tally, "PAUSE", 0.01)
        monkeypatch.setattr(shared_tally, "progress_bar", lambda *_, **__: bar)
        first, other = (
            shared_tally.shared_tally(cast(Workers, Joined(rank)), "", 10, "image", wanted=True)
            for rank in (0, 1)
        )
        with first as own, other as share:
            assert not isinstance(own, bool) and not isinstance(share, bool)
            own.update(4)
            share.update(3)
            time.sleep(0.02)
            share.update(2)
            deadline = time.monotonic() + 10
            while bar.n < 9:
                assert time.monotonic() < deadline, f"the bar stands at {bar.n}"
                time.sleep(0.01)
        assert bar.n == 10


def test_moments_are_written_by_one(sets: Path, tmp_path: Path) -> None:
    output = tmp_path / "f.npz"
    command = ["moments", sets / "f", "-o", output, "--model", sets / "m", "--features", "-q",
               "--batch-size", 8, "--no-cache"]  # fmt: skip
    ended = launch(tmp_path / "run", 2, *command)
    assert [end.status for end in ended] == [0, 0]
    with np.load(output) as file:
        rows = file["features"].astype(np.float64)
        assert file["n"] == len(rows) == 70
        np.testing.assert_allclose(file["mu"], rows.mean(axis=0), rtol=0, atol=1e-12)
        covariance = np.cov(rows, rowvar=False)
        np.testing.assert_allclose(file["sigma"], covariance, rtol=0, atol=1e-12)
        assert json.loads(file["names"].item()) == [f"{k}.png" for k in range(70)]


class TestMistakes:
    def test_are_told_once(self, sets: Path, tmp_path: Path) -> None:
        ended = launch(tmp_path / "run", 2, *score(sets, "absent"))
        assert [end.status for end in ended] == [2, 2]
        assert ended[0].err.count("absent: does not exist") == 1
        assert ended[1].err == ended[0].out == ended[1].out == ""

    def test_of_one_process_alone(self, sets: Path, tmp_path: Path) -> None:
        ended = launch(
            tmp_path / "run", 2, each=lambda rank: score(sets, ["f", "absent"][rank], batch_size=8)
        )
        assert [end.status for end in ended] == [2, 2]
        assert "process 1: " in ended[0].err and "absent: does not exist" in ended[0].err
        assert ended[1].err == ""

    def test_different_sets(self, sets: Path, tmp_path: Path) -> None:
        ended = launch(tmp_path / "run", 2, each=lambda rank: score(sets, ["f", "few"][rank]))
        assert [end.status for end in ended] == [2, 2]
        assert "process 0 sees 70 images" in ended[0].err and "sees 3 images" in ended[0].err

    def test_images_of_any_process(self, sets: Path, tmp_path: Path) -> None:
        folder = tmp_path / "f"
        folder.mkdir()
        for path in (sets / "f").iterdir():
            (folder / path.name).write_bytes(path.read_bytes())
        for broken in ("3.png", "66.png"):
            (folder / broken).write_bytes(b"no image")
        arguments = score(sets, batch_size=8)
        arguments[1] = folder
        ended = launch(tmp_path / "raise", 2, *arguments)
        assert [end.status for end in ended] == [2, 2]
        assert "2 of 70 images cannot be decoded" in ended[0].err
        assert "3.png" in ended[0].err and "66.png" in ended[0].err and ended[1].err == ""
        first, _ = launch(tmp_path / "skip", 2, *arguments, "--on-error", "skip")
        assert first.status == 0 and json.loads(first.out)["skipped"] == 2
        assert first.err.count("2 images could not be decoded") == 1

    def test_after_the_encoding(self, sets: Path, tmp_path: Path) -> None:
        """What only the first process does can fail as well."""
        one = tmp_path / "one"
        one.mkdir()
        (one / "0.png").write_bytes((sets / "f" / "0.png").read_bytes())
        arguments = score(sets)
        arguments[1] = one
        ended = launch(tmp_path / "run", 2, *arguments)
        assert [end.status for end in ended] == [2, 2]
        assert "at least 2" in ended[0].err and ended[1].err == ""


@pytest.mark.slow
@needs_proc
def test_a_process_that_dies(sets: Path, tmp_path: Path) -> None:
    """One of two processes of torchrun is killed while it encodes: the run ends with an error."""
    np.save(tmp_path / "many.npy", np.zeros((100_000, 8, 8, 3), np.uint8))
    arguments = score(sets)
    arguments[1] = tmp_path / "many.npy"
    run = subprocess.Popen(
        [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node=2",
         f"--master-port={free_port()}", "-m", "cmdmetric", *map(str, arguments)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert run.stderr is not None
    while "loading " not in (line := run.stderr.readline()):
        assert line, "ended before it began to encode"
    (victim,) = (pid for pid in children(run.pid) if b"\0RANK=1\0" in environ(pid))
    os.kill(victim, signal.SIGKILL)
    out, err = run.communicate(timeout=120)
    assert run.returncode != 0 and out == ""
    assert "SIGKILL" in err or "-9" in err


def children(pid: int) -> list[int]:
    return [int(p) for p in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def environ(pid: int) -> bytes:
    return b"\0" + Path(f"/proc/{pid}/environ").read_bytes()


def test_the_rest_notices_without_a_launcher(sets: Path, tmp_path: Path) -> None:
    """The first process is killed; the other finds out when it wants to talk."""
    folder = tmp_path / "run"
    folder.mkdir()
    np.save(tmp_path / "many.npy", np.zeros((40_000, 8, 8, 3), np.uint8))
    port, processes = str(free_port()), []
    for rank, name in enumerate(("many.npy", "few")):
        # The second has seen another set: it waits to hear that from the first.
        arguments = [str(argument) for argument in score(sets)]
        arguments[1] = str(tmp_path / name if rank == 0 else sets / name)
        variables = {"RANK": str(rank), "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1",
                     "MASTER_PORT": port, "PAUSE": "" if rank else "1"}  # fmt: skip
        process = PROCESSES.Process(
            target=_run_paused, args=(folder / str(rank), {**os.environ, **variables}, arguments)
        )
        process.start()
        processes.append(process)
    while not (folder / "0.joined").exists():
        assert processes[0].is_alive()
        time.sleep(0.02)
    processes[0].kill()
    processes[1].join(timeout=60)
    assert processes[1].exitcode == 2
    assert "another process of this run has ended" in (folder / "1.err").read_text()


def _run_paused(path: Path, environment: dict[str, str], arguments: list[str]) -> None:
    """As `_run`; one that pauses does so when it has joined the others."""
    if environment["PAUSE"]:
        agree = distributed.Workers.agree

        def pause(self: distributed.Workers, error: str | None = None) -> None:
            Path(f"{path}.joined").touch()
            time.sleep(300)
            agree(self, error)

        distributed.Workers.agree = pause  # type: ignore[method-assign]
    _run(path, environment, arguments)


@pytest.mark.parametrize(
    ("variables", "place", "node"),
    [
        ({}, (0, 1), "127.0.0.1"),
        ({"RANK": "2", "WORLD_SIZE": "4", "MASTER_ADDR": "x"}, (2, 4), "127.0.0.1"),
        ({"SLURM_PROCID": "1", "SLURM_STEP_NUM_TASKS": "8",
          "SLURM_STEP_NODELIST": "gpu[007-009,12]"}, (1, 8), "gpu007"),
        ({"SLURM_PROCID": "1", "SLURM_STEP_NUM_TASKS": "2",
          "SLURM_STEP_NODELIST": "a1-b,c2"}, (1, 2), "a1-b"),
        ({"SLURM_PROCID": "3", "SLURM_NTASKS": "4", "MASTER_ADDR": "x"}, (3, 4), "127.0.0.1"),
        # A plain command in a batch script of four tasks is alone.
        ({"SLURM_PROCID": "0", "SLURM_NTASKS": "4"}, (0, 1), "127.0.0.1"),
    ],
)  # fmt: skip
def test_who_started_it(
    variables: dict[str, str], place: tuple[int, int], node: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for key in list(os.environ):
        if key.startswith("SLURM_") or key in ("RANK", "WORLD_SIZE", "MASTER_ADDR"):
            monkeypatch.delenv(key)
    for key, value in variables.items():
        monkeypatch.setenv(key, value)
    assert distributed.place() == place
    assert distributed._first_node() == node
    # Only commands join: a function of the library may well be called in one process alone.
    assert distributed.workers() is None


@pytest.mark.parametrize("rank", ["0", "1"])
def test_a_process_whose_others_never_come_ends(rank: str, example: Path) -> None:
    start = time.monotonic()
    # What torch writes itself is decided before it is imported.
    done = run_installed(
        "cmd-score", example / "generated", example / "captions.json", "-q", "--model",
        "scenes-toy", RANK=rank, WORLD_SIZE="2", MASTER_ADDR="127.0.0.1",
        MASTER_PORT=str(free_port()), CMDMETRIC_RENDEZVOUS_TIMEOUT="1",
    )  # fmt: skip
    assert done.returncode == 2 and done.stdout == ""
    assert "CMDMETRIC_RENDEZVOUS_TIMEOUT" in done.stderr and "frame #" not in done.stderr
    assert time.monotonic() - start < 100  # torch tries thrice


@pytest.mark.parametrize("value", ["x", "0", "-1", "nan", "inf", "1e9"])
def test_limits_of_the_rendezvous(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert distributed.rendezvous_limit().total_seconds() == 300
    monkeypatch.setenv("CMDMETRIC_RENDEZVOUS_TIMEOUT", value)
    with pytest.raises(InputError, match="number of seconds"):
        distributed.rendezvous_limit()
