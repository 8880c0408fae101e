import os
import re
import shutil
import signal
import time

import numpy as np
import pytest
import torch
from PIL import Image

from grgan_ref.config import Config
from grgan_ref.files import load_latest, read_model
from grgan_ref.matching.itm import build_itm
from grgan_ref.noise import noise
from grgan_ref.training import distributed, ema
from grgan_ref.training.gan import step_noise
from grgan_ref.training.log import Log, read_log, write_grid
from grgan_ref.training.monitor import Monitor
from grgan_ref.training.steps import Steps
from tests.support.commands import BIN, PROCESSES, run_here, started
from tests.support.grgan_runs import (
    clip_folder,
    flags,
    gan_run,
    grgan,
    itm_run,
    read_numbers,
    settings,
    succeed,
    train,
    train_arguments,
)

# --- interrupted and resumed -----------------------------------------------------------------


def kill_after(checkpoint, arguments, more_lines):
    """Start `grgan`, wait for a checkpoint and then some more log lines, kill -9."""
    said = checkpoint.parents[1] / "said"
    process = started("grgan", *arguments, folder=said, OMP_NUM_THREADS="1")  # as `grgan` has
    log = checkpoint.parents[1] / "metrics.jsonl"
    deadline = time.monotonic() + 120
    while not (checkpoint.exists() and len(log.read_text().splitlines()) >= more_lines):
        assert process.is_alive(), "the run ended before it could be killed"
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.kill()
    process.join()


@pytest.mark.slow
def test_killed_and_resumed_gan_training_continues_bitwise(tmp_path):
    arguments = train_arguments(tmp_path, "--steps=12")
    kill_after(tmp_path / "checkpoints" / "step-00000004.json", arguments, 6)
    interrupted = read_log(tmp_path / "metrics.jsonl")
    assert 6 <= len(interrupted) <= 12
    succeed(*arguments)
    assert read_numbers(tmp_path) == read_numbers(gan_run())
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
        [line for line in read_numbers(tmp_path / name) if "total" in line]
        for name in ("straight", "parts")
    )
    assert len(straight) == 12
    assert straight == parts


def test_a_corrupt_checkpoint_costs_steps_but_changes_nothing(tmp_path):
    shutil.copytree(gan_run(), tmp_path, dirs_exist_ok=True)
    (tmp_path / "checkpoints" / "step-00000012.pt").write_bytes(b"junk")
    with pytest.warns(RuntimeWarning, match=r"step-00000012\.pt is corrupt"):
        train(tmp_path, "--steps=12")
    assert read_numbers(tmp_path) == read_numbers(gan_run())


def test_workers_and_logging_change_no_number(tmp_path):
    result = train(tmp_path, "--steps=4", "--workers=2", train__log_every=2)
    # Nobody looks: the first and the last line, and no bar.
    told = [line for line in result.stderr.splitlines() if line.startswith("GAN: ")]
    assert [line.partition(", generator ")[0] for line in told] == [
        "GAN: step 2 of 4", "GAN: step 4 of 4"
    ]  # fmt: skip
    assert "it/s" not in result.stderr
    wanted = [line for line in read_numbers(gan_run()) if line["step"] in (2, 4)]
    assert read_numbers(tmp_path) == wanted


def test_steps_are_told_where_somebody_looks(monkeypatch, capsys):
    for looks in (False, True):
        monkeypatch.setattr("grgan_ref.training.steps.watched", lambda looks=looks: looks)
        for wanted in (False, True):
            steps = Steps("ITM", 2, 1000, wanted=wanted)
            for step, _ in enumerate(steps.over("abc"), 3):
                steps.tell(step, loss=0.5)
            said = capsys.readouterr().err
            assert (said == "ITM: step 3 of 1,000, loss 0.500\n") == (wanted and not looks)
            assert ("5/1000" in said and "loss=0.500" in said) == (wanted and looks)


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
    assert result.exit_code == 2
    assert re.match(r"Error: step [1-4]: ", result.stderr.splitlines()[-1])
    assert "adversarial_" in result.stderr or "discriminator_" in result.stderr


def test_the_first_loss_that_is_not_finite_is_named_whenever_one_looks():
    monitor, nan = Monitor(), float("nan")
    for step, word in ((6, 0.5), (7, nan), (8, 0.25), (9, nan)):
        assert monitor.finite() == (step <= 7)
        monitor.add(step, {"kl": torch.tensor(1.0), "word_3": torch.tensor(word)})
        if step == 6:
            assert monitor.look() == {"kl": 1.0, "word_3": 0.5}
    with pytest.raises(FloatingPointError, match=r"step 7: word_3 = nan\. Training stopped"):
        monitor.look()
    assert not monitor.finite()


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


def test_a_training_goes_on_from_a_model(tmp_path):
    arguments = ["--init", gan_run(), "--steps=1"]
    still = {"train__generator_rate": 0, "train__batch": 4}
    train(tmp_path / "still", *arguments, **still)
    ours, theirs = (
        read_model(p / "model" / "generator.safetensors")[0]
        for p in (tmp_path / "still", gan_run())
    )
    learnt = [key for key in theirs if "running" not in key and "batches" not in key]
    # A step of rate zero moves nothing; the average of two equal numbers is rounded once.
    for key in learnt:
        torch.testing.assert_close(ours[key], theirs[key], rtol=1e-6, atol=0)
    result = grgan(*train_arguments(tmp_path / "still", "--steps=2", **still))
    assert result.exit_code == 2
    assert "init: " in result.stderr  # without it, it would be another training
    wider = {"model__generator_width": 16}
    result = grgan(*train_arguments(tmp_path / "wider", *arguments, **wider))
    assert result.exit_code == 2
    assert "the generator to begin with" in result.stderr


def test_a_run_brings_its_discriminators_and_a_model_none(tmp_path):
    still = {"train__discriminator_rate": 0, "train__batch": 4}
    _, theirs = load_latest(gan_run() / "checkpoints")
    alike = []
    for name, first in (("run", gan_run()), ("model", gan_run() / "model")):
        train(tmp_path / name, "--init", first, "--steps=1", **still)
        _, ours = load_latest(tmp_path / name / "checkpoints")
        pairs = [
            (ours["discriminators"][key], value)
            for key, value in theirs["discriminators"].items()
            if not key.endswith((".u", ".v"))  # which every forward pass moves
        ]
        alike.append(all(torch.equal(one, two) for one, two in pairs))
    assert alike == [True, False]
    shutil.copytree(gan_run() / "model", tmp_path / "lost" / "model")
    result = grgan(*train_arguments(tmp_path / "from-lost", "--init", tmp_path / "lost", **still))
    assert result.exit_code == 2
    assert "has no checkpoint, and so no discriminators" in result.stderr
    (tmp_path / "lost" / "checkpoints").mkdir()
    (tmp_path / "lost" / "checkpoints" / "step-00000001.json").write_text("[]")
    with pytest.warns(RuntimeWarning, match="is corrupt"):
        result = grgan(
            *train_arguments(tmp_path / "from-lost", "--init", tmp_path / "lost", **still)
        )
    assert result.exit_code == 2
    assert "is corrupt: take another run" in result.stderr
    wider = {"model__discriminator_width": 16}
    result = grgan(*train_arguments(tmp_path / "wider", "--init", gan_run(), **wider))
    assert result.exit_code == 2
    assert "the discriminators to begin with" in result.stderr


def test_discriminators_may_learn_alone_first(tmp_path):
    alone = {"train__discriminators_alone": 2, "train__batch": 8, "data__hard_negatives": "true"}
    train(tmp_path / "run", "--init", gan_run(), "--steps=3", **alone)
    log = read_log(tmp_path / "run" / "metrics.jsonl")
    assert [("generator" in line, "kl" in line) for line in log] == [(False, False)] * 2 + [
        (True, True)
    ]
    assert all("discriminator_3" in line for line in log)
    train(tmp_path / "short", "--init", gan_run(), "--steps=2", **alone)
    ours, theirs = (
        read_model(p / "model" / "generator.safetensors")[0]
        for p in (tmp_path / "short", gan_run())
    )
    for key, value in theirs.items():
        if "running" not in key and "batches" not in key:
            torch.testing.assert_close(ours[key], value, rtol=0, atol=0, msg=key)
    result = grgan(*train_arguments(tmp_path / "parts", train__accumulate=2, **alone))
    assert result.exit_code == 2
    assert "do not go together" in result.stderr


@pytest.mark.parametrize("more", [{"train__batch": 4}, {"train__batch": 8, "train__accumulate": 2}])
def test_hard_negatives_take_a_batch_of_two_fours(tmp_path, more):
    arguments = train_arguments(tmp_path / "run", data__hard_negatives="true", **more)
    result = grgan(*arguments)
    assert result.exit_code == 2
    assert "leaves 4 samples" in result.stderr
    assert "which takes 8" in result.stderr


def test_mismatched_pairs_are_some_places_apart():
    condition = torch.arange(6.0)[:, None]
    for apart in (1, 4):
        others, share = distributed.following(condition, apart)
        assert (others[:, 0].tolist(), share) == ([*range(apart, 6)], 1)


# --- what a run leaves -----------------------------------------------------------------------


def test_a_run_leaves_models_grids_and_a_log():
    lines = read_log(gan_run() / "metrics.jsonl")
    assert [line["step"] for line in lines] == list(range(1, 13))
    assert {"discriminator_1", "adversarial_3", "sentence_2", "word_3", "kl"} <= lines[0].keys()
    with Image.open(gan_run() / "samples" / "step-00000012.png") as grid:
        assert grid.width == 8 * 160
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
    assert read_numbers(tmp_path) == [{"step": s, "loss": s / 3} for s in (1, 2)]


def test_the_log_has_time_and_rate(monkeypatch, tmp_path):
    clock = iter([100.0, 104.0, 104.5])
    monkeypatch.setattr("grgan_ref.training.log.time.monotonic", lambda: next(clock))
    log = Log(tmp_path, 10)
    log.write(18, {"loss": 0.5})
    log.write(18, {"cmd": 2.0})
    log.close()
    losses, score = read_log(tmp_path / "metrics.jsonl")
    assert losses["steps_per_second"] == 2.0  # 8 steps in 4 seconds
    assert score["steps_per_second"] is None  # no step since
    assert abs(losses["time"] - time.time()) < 60


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


# --- gradient accumulation, the disk, compiled networks ----------------------------------------


def test_equal_parts_accumulate_to_the_step_of_one(tmp_path):
    """Parts of equal content have the losses and gradients of the whole.

    So it is where nothing depends on the number of samples or of passes: matching losses have fewer
    rivals in a part, and spectral norm iterates in every pass, so that both are off here.
    """
    from grgan_ref.training.gan import build_models
    from grgan_ref.training.gan_step import Batch, gan_step

    def step(accumulate):
        own = settings(train__accumulate=accumulate, model__discriminator="batch")
        own |= {"loss.lambda1": 0.0, "loss.lambda2": 0.0}
        config = Config.load("scenes-tiny", own)
        model = config.model
        models = build_models(config, torch.device("cpu"))
        random = torch.Generator().manual_seed(0)

        def twice(*shape):
            half = torch.randn(2, *shape, generator=random)
            return torch.cat([half, half])

        batch = Batch(
            [twice(3, s.size, s.size).tanh() for s in model.stages],
            twice(model.embedding_dim),
            twice(model.embedding_dim, 4),
            torch.zeros(4, 4, dtype=torch.bool),
            torch.tensor([4, 4, 4, 4]),
            twice(model.noise_dim),
            twice(model.condition_dim),
        )
        return gan_step(models, None, batch, config), models

    (whole, _), (parts, models) = step(1), step(2)
    assert whole.keys() == parts.keys()
    # The mismatched pairs of the whole are three, of the parts two: where these count, stages 2
    # and 3, losses differ. Those of the unconditional first stage do not.
    for name in ("discriminator_1", "kl"):
        assert float(parts[name]) == pytest.approx(float(whole[name]), rel=1e-5)
    norms = [float(terms["gradient_discriminator_1"]) for terms in (whole, parts)]
    assert norms[0] == pytest.approx(norms[1], rel=1e-3)
    assert all(torch.isfinite(term) for term in parts.values())
    counted = models.generator.initial.norm
    assert counted.momentum == 0.1  # as before the pass that must not count


def test_a_training_that_accumulates(tmp_path):
    train(tmp_path, "--steps=2", "--set=train.accumulate=2")
    assert [line["step"] for line in read_numbers(tmp_path)] == [1, 2]
    result = grgan(*train_arguments(tmp_path, "--set=train.accumulate=3"))
    assert result.exit_code == 2 and "must divide into so many parts" in result.stderr


def test_checkpoints_come_by_time(tmp_path):
    train(tmp_path, "--steps=3", train__checkpoint_every=0, train__checkpoint_seconds=0.0)
    names = sorted(path.name for path in (tmp_path / "checkpoints").glob("*.json"))
    assert names == [f"step-{n:08d}.json" for n in (1, 2, 3)]
    assert Config.load("coco").train.checkpoint_seconds <= 60


def _with_small_files(*call):
    import resource

    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, -1))
    run_here(*call)


def test_a_full_disk_is_one_line(tmp_path):
    """The limit on a file's size fails as a full disk does, in the middle of a checkpoint."""
    command = [str(BIN / "grgan"), *map(str, train_arguments(tmp_path / "out", "--steps=1"))]
    out, err = (tmp_path / name for name in ("stdout", "stderr"))
    process = PROCESSES.Process(
        target=_with_small_files, args=(command, dict(os.environ), out, err)
    )
    process.start()
    process.join(timeout=240)
    told = err.read_text()
    assert process.exitcode == 2, told
    assert told.splitlines()[-1].startswith("Error: cannot write ")
    assert told.splitlines()[-1].endswith("File too large")
    assert "Traceback" not in told
    assert not list((tmp_path / "out").rglob("*.part"))


@pytest.mark.parametrize("command", ["train", "sample", "retrieval"])
def test_an_out_that_cannot_be_written_is_one_line(tmp_path, command):
    file = tmp_path / "file"
    file.write_text("in the way")
    captions = tmp_path / "captions.json"
    captions.write_text('{"a": "a red circle"}')
    result = {
        "train": lambda: grgan(*train_arguments(file / "out", "--steps=1")),
        "sample": lambda: grgan("sample", gan_run(), captions, file / "out"),
        "retrieval": lambda: grgan("retrieval", "--itm", file / "out"),
    }[command]()
    assert result.exit_code == 2
    assert str(file) in result.stderr.splitlines()[-1]
    assert result.exception is None or isinstance(result.exception, SystemExit)


def test_a_training_ends_with_sentences_and_a_table():
    out = gan_run().parent / "told"
    told = train(out, "--steps=1").stdout
    assert told.startswith("Trained in ")
    assert f"the model is in {out / 'model'}" in told
    rows = {line[:26].strip(): line[26:].split() for line in told.splitlines()}
    assert rows["losses of the last step"] == ["8", "px", "16", "px", "32", "px"]
    (line,) = read_numbers(out)
    assert rows["discriminator"] == [f"{line[f'discriminator_{k}']:.4g}" for k in (1, 2, 3)]
    assert rows["word loss"] == ["-", "-", f"{line['word_3']:.4g}"]
    assert f"grgan sample {out}" in told


def test_captions_of_a_grid_are_there_in_full(tmp_path):
    long = " ".join(f"word{n}" for n in range(60))
    rows = [np.full((1, 8, 8, 3), 128, np.uint8)]
    write_grid(tmp_path / "short.png", rows, ["a dog"])
    write_grid(tmp_path / "long.png", rows, [long])
    heights = [Image.open(tmp_path / f"{name}.png").height for name in ("short", "long")]
    assert heights[1] - heights[0] >= 13 * 10  # eleven lines or more
    from PIL import ImageFont

    from grgan_ref.training.log import _wrapped

    font = ImageFont.load_default(size=11)
    lines = _wrapped(f"{long} {'x' * 90}", font, 154)
    assert "".join(lines).replace(" ", "") == (long + "x" * 90).replace(" ", "")
    assert all(font.getlength(line) <= 154 for line in lines)
