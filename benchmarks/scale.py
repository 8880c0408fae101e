"""What a score costs by stage, and from it what one costs of 30,000, a million, a billion images.

    python benchmarks/scale.py [--out benchmarks/scale.md] [--images 200]

JPEGs of 640x480 pixels in a folder and in tars; ViT-B/32 with random weights, which cost what
trained ones do. What is measured is the CPU time of this process in all its threads, the least of
three runs: it depends much less than the wall clock's on what else the machine does. The estimates
are arithmetic on those figures and on the assumptions that the page states. Some minutes on two
cores. It takes Ray (`cmdmetric[ray]`) and psutil.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import platform
import re
import tarfile
import tempfile
import time
import tracemalloc
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cache
import click
import numpy as np
import open_clip
import scale_ray
import torch
from PIL import Image
from safetensors.torch import save_file
from scale_ray import RayCosts

import cmdmetric
from cmdmetric import Encoder, Moments
from cmdmetric.cache.feature_cache import FeatureCache, Space
from cmdmetric.encoders.preprocess import to_pixels
from cmdmetric.inputs.image_set import decode
from cmdmetric.inputs.images import open_images
from cmdmetric.inputs.shards import Listing, Shard, ShardRecord
from cmdmetric.metrics.cmd import cross_model_distance
from cmdmetric.scoring.stored.merging import merge
from cmdmetric.scoring.stored_sets import StoredSet

ARCHITECTURE = "ViT-B-32-quickgelu"
#: Of one forward pass of ViT-B/32's image tower: 4.4 G multiply-adds (open_clip's model profile).
FLOP = 8.8e9
#: Assumed: an H100's peak in float32 without TF32 and in bf16 (NVIDIA's data sheet, dense), and the
#: share of it that a well fed ViT reaches.
PEAKS = {"fp32": 67e12, "bf16": 990e12}
SHARE = 0.4
GPU_CORES = 16
#: Assumed: what one machine reads from a store, and what object stores answer for one prefix.
STORE = 1e9
#: Assumed: rows of a block of a Ray dataset, whose sums are added one after the other.
RAY_ROWS = 10_000
WORDS = "a red blue small large cat dog bus kite house on under near the grass table of with two"


@dataclass(frozen=True)
class Costs:
    """CPU milliseconds for one image or one action, and bytes for one image."""

    stages: dict[str, float]
    once: dict[str, float]
    sizes: dict[str, float]
    ray: RayCosts

    def decoding(self) -> float:
        return sum(self.stages[stage] for stage in ("read", "decode", "resize"))


def paint(number: int) -> bytes:
    """A JPEG whose spectrum falls as that of photographs does."""
    rng = np.random.default_rng(number)
    image = np.zeros((480, 640, 3))
    for level in range(1, 9):
        few = rng.standard_normal((min(480, 3 * 2**level), min(640, 4 * 2**level), 3))
        layers = [Image.fromarray(few[..., c].astype(np.float32)) for c in range(3)]
        scaled = [np.asarray(x.resize((640, 480), Image.Resampling.BICUBIC)) for x in layers]
        image += np.stack(scaled, axis=2) / 2**level
    pixels = 128 + image / image.std() * 50
    file = io.BytesIO()
    Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(file, "jpeg", quality=90)
    return file.getvalue()


def write_files(folder: Path, count: int) -> None:
    (folder / "images").mkdir()
    with tarfile.open(folder / "s-0.tar", "w") as archive:
        for number in range(count):
            path = folder / "images" / f"{number:06}.jpg"
            path.write_bytes(paint(number % 50))
            archive.add(path, path.name)


def write_network(folder: Path) -> Path:
    folder.mkdir()
    torch.manual_seed(0)
    model = open_clip.create_model(ARCHITECTURE, pretrained=None)
    state = {key: value.contiguous() for key, value in model.state_dict().items()}
    save_file(state, folder / "open_clip_model.safetensors")
    config = {"model_cfg": open_clip.get_model_config(ARCHITECTURE)}
    (folder / "open_clip_config.json").write_text(json.dumps(config))
    return folder


def cpu_ms(work: Callable[[], Any], times: int = 3) -> float:
    """CPU milliseconds of this process, the least of several runs."""
    found = []
    for _ in range(times):
        start = time.process_time()
        work()
        found.append(time.process_time() - start)
    return 1000 * min(found)


def measure(place: Path, count: int) -> Costs:
    write_files(place, count)
    stages: dict[str, float] = {}
    tars = f"{place}/s-*.tar"
    paths = sorted((place / "images").iterdir())
    contents = [path.read_bytes() for path in paths]

    def stage(name: str, work: Callable[[], Any], of: int = count, times: int = 3) -> None:
        stages[name] = cpu_ms(work, times) / of
        click.echo(f"{name}: {stages[name]:.4f} ms", err=True)

    stage("read", lambda: [path.read_bytes() for path in paths])
    stage("stream from a tar", lambda: [i.read and i.read() for i in open_images(tars)])
    stage(
        "digest (for the cache)", lambda: [hashlib.sha256(content).digest() for content in contents]
    )
    stage("decode", lambda: [decode(io.BytesIO(content)) for content in contents])
    images = [decode(io.BytesIO(content)) for content in contents[:100]]
    network = write_network(place / "network")
    encoder = Encoder(network)
    stage("resize", lambda: [to_pixels(i, 224, encoder.protocol) for i in images], of=len(images))
    pixels = np.stack([to_pixels(image, 224, encoder.protocol) for image in images[:32]])
    stage("encode, fp32", lambda: encoder.encode_pixels(pixels), of=len(pixels))
    rng = np.random.default_rng(0)
    texts = [" ".join(rng.choice(WORDS.split(), rng.integers(6, 14))) for _ in range(256)]
    stage("a caption, fp32", lambda: encoder.encode_texts(texts), of=len(texts), times=2)
    bf16 = Encoder(network, dtype="bf16")
    stage("encode, bf16", lambda: bf16.encode_pixels(pixels), of=len(pixels))
    rows = rng.standard_normal((30_000, 512)).astype(np.float32) + 3
    stage("moments", lambda: Moments.from_features(rows), of=len(rows))
    space, keys = Space("benchmark", what="benchmark"), []
    with FeatureCache(place / "cache") as kept:
        keys = [space.key(i.to_bytes(32, "big")) for i in range(len(rows))]

        def store() -> None:
            kept.put_many(space, keys, rows)
            kept.flush()

        stage("cache, store", store, of=len(rows), times=1)
    with FeatureCache(place / "cache") as kept:
        looked_up = [keys[start : start + 4096] for start in range(0, len(keys), 4096)]
        stage("cache, look up", lambda: [kept.get_many(some) for some in looked_up], of=len(rows))
        size = sum(path.stat().st_size for path in (place / "cache").rglob("*") if path.is_file())
    sizes = {"file": sum(map(len, contents)) / count, "cache": size / len(rows)}
    sizes["name"] = name_bytes()
    once = measure_once(place, rows)
    sizes["moments"] = (place / "part-0.npz").stat().st_size
    by_ray = scale_ray.measure(place, cache.write_network(place / "small"), contents[:50])
    return Costs(stages, once, sizes, by_ray)


def measure_once(place: Path, rows: np.ndarray) -> dict[str, float]:
    sides = [Moments.from_features(part) for part in np.array_split(rows, 3)]

    def fresh() -> Iterator[Moments]:
        for side in sides:  # nothing of it computed before
            yield Moments.from_statistics(side.mean, side.cov, side.n)

    once = {"CMD from moments": cpu_ms(lambda: cross_model_distance(*fresh()))}
    listing = Listing("images", len(rows), "0" * 64)
    paths = [place / f"part-{index}.npz" for index in range(16)]
    for index, (path, part) in enumerate(zip(paths, np.array_split(rows, 16), strict=True)):
        record = ShardRecord(Shard(index, 16), listing)
        StoredSet(Moments.from_features(part), record).save(path)
    once["merge, a shard"] = cpu_ms(lambda: merge(paths)) / len(paths)
    return once


def name_bytes(count: int = 50_000) -> float:
    """Of memory, what a name in a listed folder takes."""
    with tempfile.TemporaryDirectory() as folder:
        for number in range(count):
            Path(folder, f"image-{number:010}.jpg").touch()
        tracemalloc.start()
        images = open_images(folder)
        taken, _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return taken / (images.count or 1)


def duration(seconds: float) -> str:
    if seconds < 0.05:
        return "less than 0.1 s"
    for limit, unit, size in ((120, "s", 1), (7200, "min", 60), (172_800, "h", 3600)):
        if seconds < limit:
            return f"{seconds / size:.{0 if seconds / size >= 10 else 1}f} {unit}"
    return f"{seconds / 86400:.1f} days"


def amount(count: float) -> str:
    for size, unit in ((1e15, "PB"), (1e12, "TB"), (1e9, "GB"), (1e6, "MB")):
        if count >= size:
            return f"{count / size:.3g} {unit}"
    return f"{count / 1e3:.3g} kB"


def estimates(costs: Costs) -> dict[str, str]:
    """The figures of the page, in words."""
    s, cores = costs.stages, os.cpu_count() or 1
    size, kept = costs.sizes["file"], costs.sizes["cache"]
    decoding = costs.decoding()
    feeding = 1e6 * (decoding + s["digest (for the cache)"]) / 1000 / GPU_CORES
    reading = 1e6 * size / STORE
    merging = costs.once["merge, a shard"]  # seconds for 1,000 files of as many milliseconds
    by_rows = feeding + 1000 * costs.ray.sums.image / GPU_CORES
    adding = 1e9 / RAY_ROWS * merging / 1000  # at most: a shard is read from its file as well
    found = {
        "share": f"{s['encode, fp32'] / (decoding + s['encode, fp32']):.0%}",
        "feeding": duration(feeding),
        "reading": duration(reading),
        "merging": duration(merging),
        "by_rows": duration(by_rows),
        "adding": duration(adding),
        "warm_here": duration(30 * s["cache, look up"] / cores),
        "warm": duration(1000 * s["cache, look up"]),
        "decoded": f"{1e6 / feeding:,.0f}",
        "names": amount(1e9 * costs.sizes["name"]),
        "moments": amount(costs.sizes["moments"]),
        "ray_alone": f"{costs.ray.alone.image:.2g}",
    }
    for name, more in (("sums", costs.ray.sums), ("bars", costs.ray.bars)):
        found[f"ray_{name}"] = f"{more.image:.2g}"
        found[f"ray_{name}_once"] = f"{more.once:.0f}"
        found[f"ray_{name}_share"] = f"{more.image / (decoding + s['encode, fp32']):.0%}"
    for name, count in (("30k", 30_000), ("1M", 1e6), ("1B", 1e9)):
        found[f"read_{name}"] = amount(count * size)
        found[f"cache_{name}"] = amount(count * kept)
        found[f"features_{name}"] = amount(count * 2048)
    for dtype, peak in PEAKS.items():
        # Captions count as images, which is more than they are.
        gpu = 2e6 * FLOP / (SHARE * peak)
        longest = max(reading, feeding, gpu)
        work = decoding + s["digest (for the cache)"] + s[f"encode, {dtype}"] + s["a caption, fp32"]
        found[f"here_{dtype}"] = duration(30 * work / cores)
        found[f"gpu_{dtype}"] = duration(gpu)
        found[f"rate_{dtype}"] = f"{2e6 / gpu:,.0f}"
        found[f"million_{dtype}"] = duration(longest)
        found[f"billion_{dtype}"] = duration(longest + merging)
        found[f"store_{dtype}"] = amount(1e9 * size / longest)
        found[f"ray_{dtype}"] = duration(max(reading, by_rows, gpu, adding))
        found[f"requests_{dtype}"] = f"{1e9 / longest / 1e6:.1f} million"
    return found


PAGE = """# What a score costs at scale

{made}

## Measured, CPU seconds for 1,000 images

| stage | seconds |
| --- | --- |
{stages}

("A caption" is 1,000 captions; {bf16_here}.)

Once a score, whatever the number of images: {once}. A file of moments has {moments}; an image
takes {kept} bytes in the cache, and its name {name} bytes of memory while its folder is read.

## Ray, beside encoding

The same rows of a JPEG and a caption, from Parquet, by a network of next to no cost. One process
takes {ray_alone} s of processors for 1,000 images, error bars included. {ray_actors} actors of a
local Ray, all its processes counted, take {ray_sums} s more without error bars, and {ray_bars} s
more with them: {ray_sums_share} and {ray_bars_share} of what ViT-B/32 and decoding take here. To
start, Ray's tasks and the actors, each of which imports torch and builds the encoder, take
{ray_sums_once} s of processors ({ray_bars_once} s with error bars). It is {ray_many:,} images
against {ray_few:,}; what Ray's own processes do while they wait counts too.

## On paper

One caption an image; moments of the real side are there. On a GPU decoding in threads, the network
and reading overlap, so the longest of them counts; on this machine all share the cores, so their
sum does. Assumed, not measured: an H100 at {at} of its data sheet's peak ({fp32} TFLOP/s in fp32
without TF32, {bf16} in bf16; {flop} GFLOP an image), beside {gpu_cores} cores like these; images
are read at {store}/s. Ray's blocks have {ray_rows:,} rows; their sums are added one after the
other, each in less time than a shard is merged.

| | 30,000 on this machine | 1 M on one GPU | 1 B on 1,000 GPUs |
| --- | --- | --- | --- |
| time, fp32 | {here_fp32} | {million_fp32}: GPU {gpu_fp32}, decoding {feeding}, reading \
{reading} | {billion_fp32}, of which {merging} to merge 1,000 files |
| time, bf16 | {here_bf16} | {million_bf16}: GPU {gpu_bf16} | {billion_bf16} |
| by Ray's actors, sums alone | | | {ray_fp32} in fp32, {ray_bf16} in bf16: rows feed a \
GPU in {by_rows}, sums of blocks are added in {adding} |
| again, from the cache | {warm_here} and the start | {warm} and the start | as 1 M, in each job |
| bytes read | {read_30k} | {read_1M} | {read_1B}, {store_fp32}/s in all |
| cache | {cache_30k} | {cache_1M} | {cache_1B}, {cache_1M} in each job (limit: 10 GB) |
| features, in memory or a file | {features_30k} | {features_1M} | {features_1M} in each job |
| what is merged | nothing | nothing | 1,000 files of {moments} (`--no-features`) or {features_1B} |

## What breaks first

- 30,000 on this machine: nothing. The network takes {share} of an image's time in fp32.
- 1 M on one GPU: the slower of the cores and the GPU. {gpu_cores} cores like these decode {decoded}
  images/s; the GPU would take {rate_fp32} in fp32 and {rate_bf16} in bf16, where more cores are due
  before another GPU.
- 1 B: the folder. Its names take {names} in every job that lists it; tars of 10,000 images leave
  100,000 names, and are handed out whole. Then the store: {requests_fp32} requests a second for
  loose files, against a few thousand long reads at a time for tars, of {store_fp32}/s together.
- 1 B under one `torchrun`: the {features_1B} of features that go to the first process for the error
  bars. Jobs with `--shard` and `--no-features` have no such place, and neither have Ray's actors
  with `error_bars=False`. What they give has no error bars, which at that size are far below what
  the choice of captions does. With error bars Ray keeps the features in its store, on all
  machines, but the process that asks gets a caption's text and some numbers of each image.
- Not float64: the moments of any number of shards merge to 1e-10.
"""


def report(costs: Costs, images: int) -> str:
    return PAGE.format(
        made=f"cmdmetric {cmdmetric.__version__}, Python {platform.python_version()}, torch "
        f"{torch.__version__}, {platform.machine()}, {os.cpu_count()} CPUs, load "
        f"{os.getloadavg()[0]:.0f} from other work. Made by `benchmarks/scale.py`: {images} JPEGs "
        f"of 640x480 pixels and {amount(costs.sizes['file'])} each, ViT-B/32 with random weights, "
        "d = 512. CPU time of one process in all its threads, the least of three runs (of Ray: "
        "of all processes, one run).",
        bf16_here="this CPU has bf16 instructions"
        if re.search("avx512_bf16|amx_bf16", Path("/proc/cpuinfo").read_text())
        else "this CPU has no bf16 instructions, so that torch emulates them",
        stages="\n".join(f"| {name} | {value:.3g} |" for name, value in costs.stages.items()),
        once=", ".join(f"{name} {value / 1000:.3g} s" for name, value in costs.once.items()),
        kept=f"{costs.sizes['cache']:,.0f}",
        name=f"{costs.sizes['name']:.0f}",
        at=f"{SHARE:.0%}",
        fp32=f"{PEAKS['fp32'] / 1e12:.0f}",
        bf16=f"{PEAKS['bf16'] / 1e12:.0f}",
        flop=FLOP / 1e9,
        gpu_cores=GPU_CORES,
        store=amount(STORE),
        ray_actors=scale_ray.ACTORS,
        ray_few=scale_ray.FEW,
        ray_many=scale_ray.MANY,
        ray_rows=RAY_ROWS,
        **estimates(costs),
    )


@click.command()
@click.option("--out", type=click.Path(path_type=Path), help="A file for the page.")
@click.option("--images", default=200, show_default=True)
def main(out: Path | None, images: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        costs = measure(Path(folder), images)
    page = report(costs, images)
    click.echo(page)
    if out is not None:
        out.write_text(page)


if __name__ == "__main__":
    main()
