"""What a Ray dataset costs beside reading, decoding and encoding: `scale.py` asks.

The same rows of a JPEG and a caption are scored by one process and by actors of a local Ray,
by a network of next to no cost, so that what remains is everything around it. Processor seconds are
those of all processes: this one, Ray's own, its workers.
"""

from __future__ import annotations

import contextlib
import logging
import os
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import psutil
import pyarrow as pa
import pyarrow.parquet
import ray

import cmdmetric
from cmdmetric import CMDScore
from cmdmetric.integrations.ray import cmd as cmd_on_ray

#: Images of the two runs whose difference is what an image costs; rows of a file and of a block.
FEW, MANY, ROWS = 1_024, 5_120, 256
ACTORS = 2


@dataclass(frozen=True)
class Cost:
    """Of one way of scoring: milliseconds of processors an image, and seconds of them once."""

    image: float
    once: float

    def beside(self, other: Cost) -> Cost:
        """What it costs more than another way."""
        return Cost(self.image - other.image, self.once - other.once)


@dataclass(frozen=True)
class RayCosts:
    """What a score costs beside what it costs in one process with error bars.

    Attributes:
        alone: In one process.
        sums: By actors without error bars, more than in one process.
        bars: By actors with them, more than in one process.
    """

    alone: Cost
    sums: Cost
    bars: Cost


def measure(place: Path, network: Path, jpegs: list[bytes]) -> RayCosts:
    """Score FEW and MANY images in each of the ways."""
    few, many = (_write(place / f"rows-{count}", count, jpegs) for count in (FEW, MANY))
    real = place / "real.npz"
    rng = np.random.default_rng(1)
    cmdmetric.Moments.from_features(rng.standard_normal((2_000, 512))).save(real)

    def alone(data: Path) -> CMDScore:
        table = data.with_suffix(".parquet")
        return cmdmetric.cmd(table, table, real, model=str(network), cache=False)

    def by_actors(data: Path, error_bars: bool) -> CMDScore:
        dataset = ray.data.read_parquet(str(data), override_num_blocks=len(list(data.iterdir())))
        return cmd_on_ray(
            dataset, str(real), model=str(network), actors=ACTORS, error_bars=error_bars
        )

    in_one = _cost(alone, few, many)
    ray.init(
        num_cpus=ACTORS + 2,
        include_dashboard=False,
        logging_level=logging.ERROR,
        runtime_env={"env_vars": {"OMP_NUM_THREADS": "1"}},
    )
    try:
        ray.data.DataContext.get_current().enable_progress_bars = False
        by_actors(few, True)  # Ray's own workers are there from then on
        sums = _cost(lambda data: by_actors(data, False), few, many)
        bars = _cost(lambda data: by_actors(data, True), few, many)
    finally:
        ray.shutdown()
    return RayCosts(in_one, sums.beside(in_one), bars.beside(in_one))


def _write(folder: Path, count: int, jpegs: list[bytes]) -> Path:
    """A file of all rows for one process, and a folder of files of a block each for Ray."""
    folder.mkdir()
    tables = []
    for start in range(0, count, ROWS):
        numbers = range(start, min(start + ROWS, count))
        table = pa.table({
            "image": [jpegs[i % len(jpegs)] for i in numbers],
            "caption": [f"a dog and {i} cats on the grass near a red house" for i in numbers],
        })  # fmt: skip
        pyarrow.parquet.write_table(table, folder / f"{start:07}.parquet")
        tables.append(table)
    pyarrow.parquet.write_table(pa.concat_tables(tables), folder.with_suffix(".parquet"))
    return folder


def _cost(score: Callable[[Path], CMDScore], few: Path, many: Path) -> Cost:
    seconds = []
    for data in (few, many):
        with _ProcessorSeconds() as passed:
            score(data)
        seconds.append(passed.seconds)
    image = (seconds[1] - seconds[0]) / (MANY - FEW)
    return Cost(1000 * image, seconds[0] - FEW * image)


class _ProcessorSeconds:
    """Within it, the processor seconds of this process and of all that it has begun are counted.

    Ray's workers come and go, and what they have used goes with them: it is looked up all the time.
    """

    def __enter__(self) -> _ProcessorSeconds:
        self._before = self._look()
        self._seen: dict[tuple[int, float], float] = {}
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()
        self._seen |= self._look()
        self.seconds = sum(used - self._before.get(at, 0.0) for at, used in self._seen.items())

    def _watch(self) -> None:
        while not self._over.wait(0.1):
            self._seen |= self._look()

    @staticmethod
    def _look() -> dict[tuple[int, float], float]:
        own = psutil.Process(os.getpid())
        found = {}
        for process in (own, *own.children(recursive=True)):
            with contextlib.suppress(psutil.NoSuchProcess):
                times = process.cpu_times()
                found[process.pid, process.create_time()] = times.user + times.system
        return found
