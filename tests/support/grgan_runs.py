"""What several tests of grgan_ref share: a tiny random CLIP and one short run of each training."""

from __future__ import annotations

import atexit
import json
import shutil
import tempfile
from functools import cache
from pathlib import Path

import open_clip
import torch
from click.testing import CliRunner, Result
from safetensors.torch import save_file

from grgan_ref.cli.main import main
from grgan_ref.training.log import read_log

CLIP = {
    "embed_dim": 16,
    "vision_cfg": {
        "image_size": 32,
        "patch_size": 8,
        "width": 16,
        "layers": 2,
        "head_width": 8,
    },
    "text_cfg": {
        "context_length": 77,
        "vocab_size": 49408,
        "width": 16,
        "heads": 2,
        "layers": 2,
    },
}


@cache
def folder() -> Path:
    """A folder that is removed when the tests end."""
    path = Path(tempfile.mkdtemp(prefix="grgan-tests-"))
    atexit.register(shutil.rmtree, path, ignore_errors=True)
    return path


@cache
def clip_folder() -> Path:
    """A random CLIP in open_clip's folder format, its own weights the same in every process."""
    path = folder() / "clip"
    path.mkdir()
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = open_clip.CLIP(**CLIP)
    state = {key: value.contiguous() for key, value in model.state_dict().items()}
    save_file(state, path / "open_clip_model.safetensors")
    (path / "open_clip_config.json").write_text(json.dumps({"model_cfg": CLIP}))
    return path


def settings(**more: object) -> dict[str, object]:
    """Overrides of scenes-tiny for runs of a second or two; `train__steps=3` is train.steps."""
    own = {
        "itm.clip": str(clip_folder()),
        "itm.region_layer": 1,
        "itm.image_size": 32,
        "itm.resize": 32,
        "itm.batch": 8,
        "data.scenes": 40,
        "train.batch": 4,
        "train.log_every": 1,
        "train.checkpoint_every": 4,
        "train.sample_every": 1000,
        "train.score_samples": 40,
        "model.generator_width": 8,
        "model.discriminator_width": 4,
        "model.embedding_dim": 16,
    }
    return own | {key.replace("__", "."): value for key, value in more.items()}


def flags(**more: object) -> list[str]:
    """The same for the command line."""
    return [f"--set={key}={value}" for key, value in settings(**more).items()]


def grgan(*arguments: object) -> Result:
    """Run the command line in this process."""
    torch.set_num_threads(1)
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def read_numbers(out: Path) -> list[dict[str, float]]:
    """The lines of a run's log without what the clock tells."""
    clock = ("time", "steps_per_second")
    lines = read_log(out / "metrics.jsonl")
    return [{key: value for key, value in line.items() if key not in clock} for line in lines]


def succeed(*arguments: object) -> Result:
    result = grgan(*arguments)
    assert result.exit_code == 0, (result.output, result.exception)
    return result


@cache
def itm_run() -> Path:
    """A run of train-itm, three steps long."""
    out = folder() / "itm"
    succeed("train-itm", "--preset=scenes-tiny", "--out", out, "--steps=3", *flags())
    return out


@cache
def gan_run() -> Path:
    """A run of train, twelve steps long, never interrupted."""
    out = folder() / "gan"
    train(out, "--steps=12")
    return out


def train_arguments(out: Path, *more: object, **changes: object) -> list[object]:
    start = ["train", "--preset=scenes-tiny", "--itm", itm_run(), "--out", out, "--device=cpu"]
    return [*start, *flags(**changes), *more]


def train(out: Path, *more: object, **changes: object) -> Result:
    return succeed(*train_arguments(out, *more, **changes))
