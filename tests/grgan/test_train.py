import json
import os
import shutil
import subprocess
import sys
import time

import numpy as np
import pytest
import torch
from PIL import Image

from grgan_ref.config import Config
from grgan_ref.files.checkpoint import read_model
from grgan_ref.matching.itm import build_itm
from grgan_ref.noise import noise
from grgan_ref.training import ema
from grgan_ref.training.gan import step_noise
from grgan_ref.training.log import Log, check_finite, read_log, write_grid
from tests.support.grgan_runs import (
    clip_folder,
    flags,
    gan_run,
    grgan,
    itm_run,
    settings,
    succeed,
    train,
    train_arguments,
)


def losses(out):
    return (out / "metrics.jsonl").read_text()


# --- interrupted and resumed -----------------------------------------------------------------


def kill_after(checkpoint, arguments, more_lines):
    """Start `grgan`, wait for a checkpoint and then some more log lines, kill -9."""
    command = [sys.executable, "-m", "grgan_ref", *map(str, arguments)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(
        command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    log = checkpoint.parents[1] / "metrics.jsonl"
    deadline = time.monotonic() + 120
    while not (checkpoint.exists() and len(log.read_text().splitlines()) >= more_lines):
        assert process.poll() is None, "the run ended before it could be killed"
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.kill()
    process.wait()


@pytest.mark.slow
def test_killed_and_resumed_gan_training_continues_bitwise(tmp_path):
    arguments = train_arguments(tmp_path, "--steps=12")
    kill_after(tmp_path / "checkpoints" / "step-00000004.json", arguments, 6)
    interrupted = read_log(tmp_path / "metrics.jsonl")
    assert 6 <= len(interrupted) <= 12
    succeed(*arguments)
    assert losses(tmp_path) == losses(gan_run())
    ours, theirs = (
        read_model(p / "model" / "generator.safetensors")[0] for p in (tmp_path, gan_run())
    )
    assert all(torch.equal(ours[key], theirs[key]) for key in theirs)


def test_resumed_itm_training_continues_bitwise_across_epochs(tmp_path):
    # 40 scenes in batches of 8: an epoch, and a new Adam, every 5 steps.
    def run(out, steps):
        succeed("train-itm", "--preset=scenes-tiny", "--out", out, f"--steps={steps}", *flags())

    run(tmp_path / "straight", 12)
    for steps in (3, 5, 12):
        run(tmp_path / "parts", steps)
    straight, parts = (
        [line for line in read_log(tmp_path / name / "metrics.jsonl") if "total" in line]
        for name in ("straight", "parts")
    )
    assert len(straight) == 12
    assert straight == parts


def test_a_corrupt_checkpoint_costs_steps_but_changes_nothing(tmp_path):
    shutil.copytree(gan_run(), tmp_path, dirs_exist_ok=True)
    (tmp_path / "checkpoints" / "step-00000012.pt").write_bytes(b"junk")
    with pytest.warns(RuntimeWarning, match=r"step-00000012\.pt is corrupt"):
        train(tmp_path, "--steps=12")
    assert losses(tmp_path) == losses(gan_run())


def test_workers_and_logging_change_no_number(tmp_path):
    train(tmp_path, "--steps=4", "--workers=2", train__log_every=2)
    wanted = [line for line in read_log(gan_run() / "metrics.jsonl") if line["step"] in (2, 4)]
    assert read_log(tmp_path / "metrics.jsonl") == wanted


def test_a_finished_run_is_left_alone(tmp_path):
    result = train(gan_run(), "--steps=12")
    assert "already trained" in result.stderr


def test_a_run_killed_behind_its_last_checkpoint_gets_its_model(tmp_path):
    shutil.copytree(gan_run(), tmp_path, dirs_exist_ok=True)
    shutil.rmtree(tmp_path / "model")
    train(tmp_path, "--steps=12")
    for name in ("generator", "itm"):
        ours, theirs = (p / "model" / f"{name}.safetensors" for p in (tmp_path, gan_run()))
        assert ours.read_bytes() == theirs.read_bytes()


# --- what stops a run ------------------------------------------------------------------------


def test_a_loss_that_is_not_finite_stops_the_run_and_is_named(tmp_path):
    result = grgan(*train_arguments(tmp_path, "--steps=4", train__generator_rate=1e30))
    assert result.exit_code == 1
    assert "step " in result.stderr
    assert "adversarial_" in result.stderr or "discriminator_" in result.stderr


def test_check_finite_names_step_and_term():
    terms = {"kl": torch.tensor(1.0), "word_3": torch.tensor(float("nan"))}
    with pytest.raises(FloatingPointError, match=r"step 7: word_3 = nan\. Training stopped"):
        check_finite(terms, 7)
    assert check_finite({"kl": torch.tensor(0.5)}, 1) == {"kl": 0.5}


def test_a_run_of_another_configuration_is_refused(tmp_path):
    shutil.copytree(gan_run(), tmp_path, dirs_exist_ok=True)
    result = grgan(*train_arguments(tmp_path, "--steps=20", train__batch=8))
    assert result.exit_code == 2
    assert "train.batch: 4 -> 8" in result.stderr


def test_another_itm_is_refused(tmp_path):
    out = tmp_path / "itm"
    succeed("train-itm", "--preset=scenes-tiny", "--out", out, "--steps=1", *flags())
    run = tmp_path / "gan"
    shutil.copytree(gan_run(), run)
    arguments = ["train", "--preset=scenes-tiny", "--itm", out, "--out", run, *flags()]
    result = grgan(*arguments, "--steps=20")
    assert result.exit_code == 2
    assert "matcher: " in result.stderr
    result = grgan(*arguments, "--set=model.embedding_dim=24")
    assert result.exit_code == 2
    assert "trained with model.embedding_dim = 16, this configuration has 24" in result.stderr


# --- what a run leaves -----------------------------------------------------------------------


def test_a_run_leaves_models_grids_and_a_log():
    lines = read_log(gan_run() / "metrics.jsonl")
    assert [line["step"] for line in lines] == list(range(1, 13))
    assert {"discriminator_1", "adversarial_3", "sentence_2", "word_3", "kl"} <= lines[0].keys()
    with Image.open(gan_run() / "samples" / "step-00000012.png") as grid:
        assert grid.width == 8 * 128
    assert sorted(path.name for path in (gan_run() / "model").iterdir()) == [
        "generator.json",
        "generator.safetensors",
        "itm.json",
        "itm.safetensors",
    ]


def test_training_scores_itself_with_cmdmetric(tmp_path):
    train(
        tmp_path,
        "--steps=2",
        "--score-every=1",
        f"--score-model={clip_folder()}",
        train__score_samples=20,
    )
    scores = [line for line in read_log(tmp_path / "metrics.jsonl") if "cmd" in line]
    assert [line["step"] for line in scores] == [1, 2]
    for line in scores:
        assert line["cmd"] == pytest.approx(line["dis_fr"] + line["itdis"])
        assert line["dis_fr"] > 0


def test_the_itm_learns_to_match(tmp_path):
    out = tmp_path / "itm"
    changes = {"itm__learning_rate": 1e-2, "train__score_every": 100, "train__score_samples": 50}
    succeed("train-itm", "--preset=scenes-tiny", "--out", out, "--steps=60", *flags(**changes))
    lines = read_log(out / "metrics.jsonl")
    curve = [line["total"] for line in lines if "total" in line]
    # Chance is 4 log 8 = 8.3 for exact ties; random heads begin above it.
    assert np.mean(curve[-5:]) < np.mean(curve[:5]) - 1
    assert lines[-1]["images"] == 50


@pytest.mark.parametrize("option", ["train__precision=bfloat16", "train__optimiser=adamax"])
def test_options_of_training(tmp_path, option):
    key, value = option.split("=")
    train(tmp_path, "--steps=2", **{key: value})
    other = read_log(tmp_path / "metrics.jsonl")[1]
    usual = read_log(gan_run() / "metrics.jsonl")[1]
    assert other["generator"] != usual["generator"]
    # bfloat16 has 8 bits: a few per cent after two steps; the optimisers differ by their steps.
    assert other["generator"] == pytest.approx(usual["generator"], rel=0.25)


def test_tensorboard_is_an_extra(tmp_path):
    pytest.importorskip("tensorboard")
    train(tmp_path, "--steps=1", "--tensorboard")
    assert list((tmp_path / "tensorboard").iterdir())


# --- parts -----------------------------------------------------------------------------------


def test_average_follows_parameters_and_copies_buffers():
    model = torch.nn.BatchNorm1d(2)
    average = ema.average_copy(model)
    with torch.no_grad():
        model.weight.fill_(3.0)
    model.running_mean.fill_(5.0)
    ema.update(average, model, 0.9)
    # 0.9 * 1 + 0.1 * 3
    assert torch.allclose(average.weight, torch.tensor(1.2))
    assert torch.equal(average.running_mean, torch.tensor([5.0, 5.0]))
    assert not average.training
    assert not average.weight.requires_grad


def test_noise_follows_from_its_key():
    assert torch.equal(noise("1 step 2", 4, 3), noise("1 step 2", 4, 3))
    assert not torch.equal(noise("1 step 2", 4, 3), noise("1 step 3", 4, 3))
    many = noise("many", 100_000)
    # Mean and deviation of 1e5 draws: standard errors 0.003 and 0.002, five of them.
    assert abs(float(many.mean())) < 0.016
    assert abs(float(many.std()) - 1) < 0.012
    config = Config.load("scenes-tiny", settings())
    z, eps = step_noise(config, 3, torch.device("cpu"))
    assert (z.shape, eps.shape) == ((4, 16), (4, 16))
    assert not torch.equal(z, eps)


def test_log_drops_what_a_resumed_run_writes_again(tmp_path):
    log = Log(tmp_path, 0)
    for step in (1, 2, 3):
        log.write(step, {"loss": step / 3})
    log.close()
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write('{"step": 4, "lo')
    Log(tmp_path, 2).close()
    kept = (tmp_path / "metrics.jsonl").read_text().splitlines()
    assert kept == [json.dumps({"step": s, "loss": s / 3}) for s in (1, 2)]


def test_grid_shows_every_picture_below_its_caption(tmp_path):
    rows = [np.full((3, 8, 8, 3), level, np.uint8) for level in (50, 150)]
    write_grid(tmp_path / "grid.png", rows, ["a", "b", "a long caption " * 9], side=64)
    with Image.open(tmp_path / "grid.png") as grid:
        assert grid.width == 192
        assert grid.getpixel((100, grid.height - 100)) == (50, 50, 50)
        assert grid.getpixel((100, grid.height - 10)) == (150, 150, 150)
        assert grid.crop((0, 0, 60, 20)).getextrema()[0][0] < 100  # ink


def test_the_clip_below_the_itm_is_never_trained():
    config = Config.load("scenes-tiny", settings())
    before = build_itm(config)
    trained = read_model(itm_run() / "model" / "itm.safetensors")[0]
    assert not any(key.startswith("clip") for key in trained)
    assert all(p.requires_grad == name.startswith("heads") for name, p in before.named_parameters())
