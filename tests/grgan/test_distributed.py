"""Two gloo processes on the CPU against one process with the same batch."""

import json
import os
import socket
import subprocess
import sys

import pytest
import torch
import torch.multiprocessing as mp

from grgan_ref.config import LossConfig
from grgan_ref.files import read_model
from grgan_ref.losses import sentence_loss, word_loss
from grgan_ref.training import distributed
from tests.support.commands import BIN, PROCESSES, run_here
from tests.support.grgan_runs import (
    clip_folder,
    flags,
    grgan,
    itm_run,
    read_numbers,
    succeed,
    train,
)


def free_port() -> int:
    with socket.socket() as opened:
        opened.bind(("127.0.0.1", 0))
        return opened.getsockname()[1]


# --- the two functions that everything rests on ------------------------------------------------


def network():
    torch.manual_seed(0)
    return torch.nn.Linear(6, 5).double()


def batch():
    torch.manual_seed(1)
    return torch.randn(4, 6).double(), torch.randn(4, 5, 7).double(), torch.tensor([7, 2, 5, 1])


def contrastive(net, x, words, lengths):
    """Both matching losses of the batch of all processes, from a parameter's output."""
    gather = distributed.gather
    code = gather(net(x))
    regions = gather(net(x)[:, :, None, None] * torch.ones(1, 1, 2, 3, dtype=x.dtype))
    sentences = sentence_loss(code, gather(words)[:, :, 0], LossConfig())
    return sum(sentences) + sum(word_loss(regions, gather(words), gather(lengths), LossConfig()))


OF_BATCH_NORM = ["train", "--preset=attn-it-grg", "--base=scenes-tiny", "--steps=2"]


def one_of_two(rank, ports, folder, training):
    """What each process does: the losses above, then whole trainings by the command line."""
    os.environ |= {
        "MASTER_ADDR": "127.0.0.1",
        "WORLD_SIZE": "2",
        "RANK": str(rank),
        "LOCAL_RANK": str(rank),
    }
    torch.set_num_threads(1)
    ports = iter(ports)

    os.environ["MASTER_PORT"] = str(next(ports))
    distributed.start("cpu")
    net = network()
    x, words, lengths = (part[2 * rank : 2 * rank + 2] for part in batch())
    loss = contrastive(net, x, words, lengths)
    loss.backward()
    distributed.average_gradients(net.parameters())
    others, share = distributed.following(torch.arange(6.0)[:, None] + 6 * rank, 4)
    result = {
        "others": others[:, 0],
        "share": torch.tensor(share),
        "loss": loss.detach(),
        "mean": distributed.average(torch.tensor(float(rank))),
        **{name: p.grad for name, p in net.named_parameters()},
    }
    torch.save(result, folder / f"{rank}.pt")
    distributed.stop()

    for out, more, code in (
        ("whole", ["--steps=6"], 0),
        ("parts", ["--steps=3"], 0),
        ("parts", ["--steps=6"], 0),
        ("uneven", ["--set=train.batch=5"], 2),
        ("single", ["--set=train.batch=2"], 2),
        ("batch-norm", None, 0),
    ):
        arguments = [*training, *(more or [])]
        if more is None:
            arguments = [*OF_BATCH_NORM, *training[2:]]
        os.environ["MASTER_PORT"] = str(next(ports))
        result = grgan(*arguments, "--out", folder / out)
        assert result.exit_code == code, (result.output, result.exception)
        (folder / f"{out}-{rank}.txt").write_text(result.output)


@pytest.fixture(scope="module")
def two(tmp_path_factory):
    """The folder that two processes have left."""
    folder = tmp_path_factory.mktemp("two")
    training = ["train", "--preset=scenes-tiny", "--itm", itm_run(), "--device=cpu", *flags()]
    ports = [free_port() for _ in range(7)]
    mp.start_processes(
        one_of_two, (ports, folder, training), nprocs=2, start_method=PROCESSES.get_start_method()
    )
    return folder


@pytest.mark.slow
def test_gathered_losses_have_the_gradients_of_one_process(two):
    net = network()
    loss = contrastive(net, *batch())
    loss.backward()
    for rank in range(2):
        result = torch.load(two / f"{rank}.pt", weights_only=True)
        # float64 sums in another order.
        assert float(result["loss"]) == pytest.approx(loss.item(), rel=1e-12)
        for name, parameter in net.named_parameters():
            torch.testing.assert_close(result[name], parameter.grad, rtol=1e-10, atol=1e-12)
        assert float(result["mean"]) == 0.5


@pytest.mark.slow
def test_mismatched_pairs_go_over_the_processes(two):
    found = [torch.load(two / f"{rank}.pt", weights_only=True) for rank in range(2)]
    assert torch.cat([each["others"] for each in found]).tolist() == [*range(4, 12)]
    # The mean over the processes of 6 and of 2 pairs is that of all 8.
    assert [float(each["share"]) for each in found] == [6 * 2 / 8, 2 * 2 / 8]


def test_gan_training_resumes_to_the_same_numbers(two):
    logs = [read_numbers(two / name) for name in ("whole", "parts")]
    assert len(logs[0]) == 6
    assert logs[0] == logs[1]


@pytest.mark.parametrize("name", ["whole", "batch-norm"])
def test_two_processes_train_as_one_does(two, tmp_path, name):
    """Generators with batch norm; discriminators with spectral norm, and with batch norm."""
    if name == "whole":
        train(tmp_path, "--steps=2")
    else:
        succeed(*OF_BATCH_NORM, "--itm", itm_run(), "--device=cpu", *flags(), "--out", tmp_path)
    ours, theirs = (read_numbers(out)[:2] for out in (two / name, tmp_path))
    assert len(ours) == 2
    # The first step differs by the order of float32 sums; Adam's first step then has the sign of
    # each gradient, so that where one is zero but for rounding the weights part by twice the rate.
    for line, other, tolerance in zip(ours, theirs, (2e-4, 2e-2), strict=True):
        assert line == pytest.approx(other, rel=tolerance, abs=1e-5)


def test_only_one_process_prints(two):
    assert (two / "whole-0.txt").read_text().count("losses of the last step") == 1
    assert "losses of the last step" not in (two / "whole-1.txt").read_text()


def test_uneven_batches_are_told_before_training(two):
    for rank in range(2):
        message = (two / f"uneven-{rank}.txt").read_text()
        assert "batch 5 does not divide over 2 processes" in message
        message = (two / f"single-{rank}.txt").read_text()
        assert "a batch of 2 gives each of 2 processes one sample" in message
        assert "raise it to 4 or more" in message and "at most 1 processes" in message
    assert not (two / "uneven").exists() and not (two / "single").exists()


def test_a_single_process_needs_no_group():
    tensor = torch.ones(2, requires_grad=True)
    assert distributed.gather(tensor) is tensor
    assert (distributed.rank(), distributed.world_size()) == (0, 1)
    distributed.average_gradients([tensor])
    distributed.barrier()


# --- under torchrun ---------------------------------------------------------------------------


def torchrun(*arguments):
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node=2"]
    command += [f"--master-port={free_port()}", "-m", "grgan_ref", *map(str, arguments)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr[-3000:]
    return done


def in_two_processes(folder, *arguments):
    """What two processes of one run print, without a launcher."""
    command = [str(BIN / "grgan"), *map(str, arguments)]
    of_both = {**os.environ, "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1",
               "MASTER_PORT": str(free_port()), "OMP_NUM_THREADS": "1"}  # fmt: skip
    outs = [folder / f"{rank}.out" for rank in range(2)]
    processes = [
        PROCESSES.Process(
            target=run_here,
            args=(command, {**of_both, "RANK": str(rank), "LOCAL_RANK": str(rank)}, out,
                  out.with_suffix(".err")),
        )
        for rank, out in enumerate(outs)
    ]  # fmt: skip
    for process in processes:
        process.start()
    for process, out in zip(processes, outs, strict=True):
        process.join(timeout=240)
        assert process.exitcode == 0, out.with_suffix(".err").read_text()[-3000:]
    return [out.read_text() for out in outs]


@pytest.mark.slow
def test_itm_training_on_two_processes_equals_one(tmp_path):
    arguments = ["train-itm", "--preset=scenes-tiny", "--steps=4", "--device=cpu", *flags()]
    done = torchrun(*arguments, "--out", tmp_path / "two")
    assert done.stdout.count("Trained in") == 1  # one process prints
    succeed(*arguments, "--out", tmp_path / "one")
    one, two = (
        [line for line in read_numbers(tmp_path / name) if "total" in line]
        for name in ("one", "two")
    )
    assert len(two) == 4
    for ours, theirs in zip(two, one, strict=True):
        # float32 sums in another order, then Adam: its first steps have the gradient's sign.
        assert ours == pytest.approx(theirs, rel=1e-4)
    states = [read_model(tmp_path / n / "model" / "itm.safetensors")[0] for n in ("one", "two")]
    for key, value in states[0].items():
        torch.testing.assert_close(states[1][key], value, rtol=1e-3, atol=1e-4)


def test_an_ablation_on_two_processes_equals_one(tmp_path):
    arguments = ["ablate", "6", "--rows=I-S-W", "--steps=1", "--samples=6", "--device=cpu"]
    arguments += [f"--score-model={clip_folder()}", "--matcher", itm_run(), *flags()]
    said = in_two_processes(tmp_path, *arguments, "--out", tmp_path / "two")
    assert "".join(said).count("# Table 6") == 1  # one process prints
    succeed(*arguments, "--out", tmp_path / "one")
    one, two = (json.loads((tmp_path / n / "table6.json").read_text()) for n in ("one", "two"))
    assert two["training_images"] == one["training_images"]
    stages = zip(*(t["rows"][0]["runs"][0]["stages"] for t in (one, two)), strict=True)
    for ours, theirs in stages:
        # After one step the weights of the average differ by a thousandth of the rate at most.
        assert ours["cmd"] == pytest.approx(theirs["cmd"], rel=1e-2)
