"""What the feature cache saves, and how much memory a score takes.

    python benchmarks/cache.py [--out benchmarks/results/cache.md] [--images 30000]

Synthetic images of 64x64 pixels, a caption each, against stored moments of real images; networks
that cost next to nothing, so that what is measured is everything around them: with a real encoder
the warm times stay and the cold ones grow. Each time is of the command as a user runs it, the start
of Python included; processor seconds tell what a busy machine hides. Peaks are the resident memory
of the process at its highest. About five minutes on two idle cores.
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import click
import numpy as np
import open_clip
import torch
from PIL import Image
from safetensors.torch import save_file

import cmdmetric

NETWORK = {
    "embed_dim": 512,
    "vision_cfg": {"image_size": 32, "patch_size": 16, "width": 32, "layers": 1, "head_width": 16},
    "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 1},
    "quick_gelu": True,
}
WORDS = "a the red blue circle square large small left right of on grey below next to cat"
SCORE = "from cmdmetric.cli.main import score; score()"
MOMENTS = "from cmdmetric.cli.main import main; main()"
#: Linux counts the peak of a new program from its start; a parent sees its own in a child's.
PEAK = """
import atexit, sys
def tell(place=sys.argv.pop()):
    with open("/proc/self/status") as status, open(place, "w") as out:
        out.write(next(line for line in status if line.startswith("VmHWM")).split()[1])
atexit.register(tell)
"""


@dataclass(frozen=True)
class Run:
    """One process: seconds, those of processors, peak resident memory in MB, what it printed."""

    seconds: float
    processor: float
    peak: float
    out: str


def paint(folder: Path, numbers: range) -> Path:
    """Smooth noise, one file a number."""
    folder.mkdir(exist_ok=True)
    for number in numbers:
        few = np.random.default_rng(number).integers(0, 256, (4, 4, 3), dtype=np.uint8)
        image = Image.fromarray(few).resize((64, 64), Image.Resampling.BICUBIC)
        image.save(folder / f"{number:06d}.png", compress_level=1)
    return folder


def write_captions(path: Path, count: int) -> Path:
    rng = np.random.default_rng(0)
    texts = {
        f"{i:06d}.png": " ".join(rng.choice(WORDS.split(), 12)) + f" {i}" for i in range(count)
    }
    path.write_text(json.dumps(texts))
    return path


def write_network(folder: Path) -> Path:
    """A CLIP of 512 dimensions and next to no layers, in open_clip's format."""
    folder.mkdir()
    torch.manual_seed(0)
    state = {k: v.contiguous() for k, v in open_clip.CLIP(**NETWORK).state_dict().items()}
    save_file(state, folder / "open_clip_model.safetensors")
    (folder / "open_clip_config.json").write_text(json.dumps({"model_cfg": NETWORK}))
    return folder


def run(code: str, *arguments: object) -> Run:
    with tempfile.NamedTemporaryFile("r") as told:
        command = [sys.executable, "-c", PEAK + code, *map(str, arguments), "-q", told.name]
        before, start = os.times(), time.perf_counter()
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True)
        seconds, after = time.perf_counter() - start, os.times()
        processor = sum(after[2:4]) - sum(before[2:4])  # of children
        if done.returncode:
            raise click.ClickException(f"{' '.join(command[3:])} failed")
        return Run(seconds, processor, int(told.read()) / 1024, done.stdout)


def best(code: str, *arguments: object, times: int = 3) -> Run:
    return min((run(code, *arguments) for _ in range(times)), key=lambda r: r.seconds)


def scored(made: Run) -> dict[str, object]:
    """The score that a run has printed, without when and how it ran."""
    return {name: value for name, value in json.loads(made.out).items() if name != "run"}


def measure_times(place: Path, images: int, model: Path) -> list[str]:
    """Cold, warm, and what is between them."""
    folder = paint(place / "generated", range(images))
    captions = write_captions(place / "captions.json", images)
    real = place / "real.npz"
    cache = ("--cache-dir", place / "cache")
    run(MOMENTS, "moments", folder, "-o", real, "--model", model, "--no-cache")
    rows, score = [], (captions, "--real", real, "--model", model, "--format", "json")

    def row(what: str, made: Run) -> None:
        ratio = cold.seconds / made.seconds
        rows.append(f"| {what} | {made.seconds:.2f} | {made.processor:.2f} | {ratio:.1f}x |")

    plain = run(SCORE, folder, *score, "--no-cache")
    cold = run(SCORE, folder, *score, *cache)
    row("no cache", plain)
    row("cold: the cache is filled", cold)
    time.sleep(2)
    run(SCORE, folder, *score, *cache)
    warm = best(SCORE, folder, *score, *cache)
    row(f"warm: {images:,} images, {images:,} captions", warm)
    assert scored(plain) == scored(cold) == scored(warm), "the score is not the same"
    folder = folder.rename(place / "renamed")
    row("the folder renamed: files are read, none is decoded", run(SCORE, folder, *score, *cache))
    paint(folder, range(images, images + 100))
    row("100 images added", run(SCORE, folder, *score, *cache))
    row("and again", best(SCORE, folder, *score, *cache))
    row("of which Python and `import numpy`", best("import numpy"))
    return ["| | seconds | of processors | against cold |", "| --- " * 4 + "|", *rows]


def measure_memory(place: Path, images: int, models: dict[str, str | Path]) -> list[str]:
    """Peaks at a tenth and at all of the images."""
    rows = [f"| | d | {images // 10:,} images | {images:,} images | ratio |", "| --- " * 5 + "|"]
    folders = {}
    for count in (images // 10, images):
        folder = paint(place / f"memory-{count}", range(count))
        folders[count] = folder, write_captions(place / f"memory-{count}.json", count)
    for d, model in models.items():
        real = place / f"real-{d}.npz"
        run(
            MOMENTS, "moments", folders[images // 10][0], "-o", real, "--model", model, "--no-cache"
        )
        for what in ("no cache", "cold", "warm", "warm, statistics forgotten"):
            peaks = []
            for count, (folder, captions) in folders.items():
                cache = place / f"cache-{d}-{count}"
                options = ("--no-cache",) if what == "no cache" else ("--cache-dir", cache)
                code = SCORE
                if "forgotten" in what:
                    code = (
                        "from cmdmetric.cache import computed; computed.__version__ = 'x'; " + SCORE
                    )
                made = run(code, folder, captions, "--real", real, "--model", model, *options)
                peaks.append(made.peak)
            small, large = peaks
            rows.append(f"| {what} | {d} | {small:.0f} MB | {large:.0f} MB | {large / small:.2f} |")
    return rows


@click.command()
@click.option("--out", type=click.Path(path_type=Path), help="A file for the tables.")
@click.option("--images", default=30_000, show_default=True)
@click.option("--only", type=click.Choice(["times", "memory"]))
def main(out: Path | None, images: int, only: str | None) -> None:
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        model = write_network(place / "network")
        lines = [
            "# The feature cache",
            "",
            f"cmdmetric {cmdmetric.__version__}, Python {platform.python_version()}, "
            f"torch {torch.__version__}, numpy {np.__version__}, {platform.machine()}, "
            f"{os.cpu_count()} CPUs. Made by `benchmarks/cache.py`.",
            "",
        ]
        if only != "memory":
            lines += ["## Time", "", *measure_times(place, images, model), ""]
        if only != "times":
            models = {"64": "scenes-toy", "512": model}
            lines += ["## Peak memory", "", *measure_memory(place, images, models), ""]
    text = "\n".join(lines)
    click.echo(text)
    if out is not None:
        out.write_text(text)


if __name__ == "__main__":
    main()
