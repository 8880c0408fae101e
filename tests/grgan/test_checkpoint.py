"""The authors' released files and our own: strict, and never running code from a file."""

import os

import open_clip
import pytest
import torch

from grgan_ref.config import Config
from grgan_ref.errors import GrganError
from grgan_ref.files import checkpoint, read_model, save_model
from grgan_ref.info import describe
from grgan_ref.matching.itm import build_itm
from grgan_ref.networks.discriminator import build_discriminators
from grgan_ref.networks.generator import Generator
from tests.support import golden


def tensor(shape, dtype, value=0.5):
    """A full-size tensor that takes one number in memory and in a file."""
    return torch.full((), value, dtype=dtype).expand(shape)


@pytest.fixture(scope="module")
def released_states():
    """{"netG": state, "netD0": ..., "ITM.MLP": ...}: every key and shape of the real files."""
    path = golden.FOLDER / "state_keys_real_config.txt"
    if not path.exists():
        pytest.skip(f"golden data absent: {path} (set CMDMETRIC_GOLDEN)")
    states = {}
    for line in path.read_text().splitlines():
        if line.startswith("#"):
            continue
        key, _, rest = line.partition(" ")
        shape, _, kind = rest.partition(") ")
        network, _, name = key.partition("/")
        sizes = [int(n) for n in shape.strip("(").split(",") if n.strip()]
        dtype = getattr(torch, kind.split()[0])
        states.setdefault(network, {})[name] = tensor(sizes, dtype, 1)
    return states


@pytest.fixture(scope="module")
def gan_file(released_states, tmp_path_factory):
    path = tmp_path_factory.mktemp("released") / "checkpoint_0300.pth"
    adamax = {
        "state": {0: {"step": torch.tensor(1.0), "exp_avg": torch.ones(2)}},
        "param_groups": [{"lr": 2e-5, "betas": (0.5, 0.999), "params": [0]}],
    }
    content = {
        "epoch": 300,
        "netG": released_states["netG"],
        "optimG": adamax,
        "netD": [released_states[f"netD{i}"] for i in range(3)],
        "optimD": [adamax] * 3,
    }
    torch.save(content, path)
    return path


@pytest.fixture(scope="module")
def config():
    return Config.load("coco-released")


@pytest.fixture(scope="module")
def networks(config):
    with torch.device("meta"):  # shapes are all that is compared
        return Generator(config), build_discriminators(config)


def test_released_generator_and_discriminators(gan_file, networks):
    generator, discriminators = networks
    state = checkpoint.read_released_generator(gan_file)
    assert {k: v.shape for k, v in state.items()} == {
        k: v.shape for k, v in generator.state_dict().items()
    }
    states = checkpoint.read_released_discriminators(gan_file)
    for network, state in zip(discriminators, states, strict=True):
        assert {k: v.shape for k, v in state.items()} == {
            k: v.shape for k, v in network.state_dict().items()
        }


def test_released_values_arrive(gan_file, config):
    (network, *_), (state, *_) = (
        build_discriminators(config),
        checkpoint.read_released_discriminators(gan_file),
    )
    checkpoint.load_strictly(network, state, str(gan_file))
    assert all((value == 1).all() for value in network.state_dict().values())


def test_released_itm(released_states, config, tmp_path):
    itm = build_itm(config, pretrained=False)
    content = {
        f"model.{key.removeprefix('clip.')}": tensor(value.shape, value.dtype, 1)
        for key, value in itm.state_dict().items()
        if key.startswith("clip.")
    }
    content |= {f"MLP.{key}": value for key, value in released_states["ITM.MLP"].items()}
    path = tmp_path / "ITM_model149.pth"
    torch.save(content, path)
    checkpoint.load_strictly(itm, checkpoint.read_released_itm(path), str(path))
    assert all((value == 1).all() for value in itm.state_dict().values())

    del content["model.visual.bn1.running_var"]
    torch.save(content, path)
    with pytest.raises(GrganError, match=r"missing key 'clip\.visual\.bn1\.running_var'"):
        checkpoint.load_strictly(itm, checkpoint.read_released_itm(path), str(path))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"ca_net.fc.weight": torch.ones(2)}, "shapes of a generator"),
        ({"ca_net.fc.weight": torch.ones(2, 2)}, "missing key"),
        ({"ca_net.fc.weight": torch.ones(()), "h_net1.fc.0.weight": torch.ones(())}, "shapes of"),
        ({"MLP.dense_word.weight": torch.ones(2, 2)}, r"no matrix 'MLP\.dense_sent\.weight'"),
        ({"MLP.dense_sent.weight": torch.ones(())}, r"no matrix 'MLP\.dense_sent\.weight'"),
        ({"rnn.weight_hh_l0": torch.ones(2)}, r"no matrix 'rnn\.weight_hh_l0'"),
        ({7: torch.ones(2)}, "not a released file"),
        ({"netG": {7: torch.ones(2)}}, "not a released file"),
    ],
)
def test_released_names_on_other_tensors(content, message, tmp_path):
    """Found by fuzzing: each was a traceback."""
    path = tmp_path / "weights.pth"
    torch.save(content, path)
    with pytest.raises(GrganError, match=rf"weights\.pth: .*{message}"):
        describe(str(path), {})


def test_a_run_whose_checkpoint_names_no_step(tmp_path):
    (tmp_path / "checkpoints").mkdir()
    manifest = tmp_path / "checkpoints" / "step-00000001.json"
    for content in ("{}", '{"step": "1"}', "[]", "junk"):
        manifest.write_text(content)
        with pytest.raises(GrganError, match=r"step-00000001\.json"):
            describe(str(tmp_path), {})


def test_unknown_key_is_named(released_states):
    state = released_states["netG"] | {"h_net2.gamma.weight": torch.ones(1)}
    with pytest.raises(GrganError, match=r"h_net2\.gamma\.weight"):
        checkpoint.rename_generator(state)
    state = released_states["netD1"] | {"img_code_s16.0.module.weight_w": torch.ones(1)}
    with pytest.raises(GrganError, match=r"img_code_s16\.0\.module\.weight_w"):
        checkpoint.rename_discriminator(state)


def test_unused_head_needs_its_quirk(gan_file):
    """Without the quirk the first discriminator has no conditional head: its keys are too many."""
    corrected = Config.load("coco")
    with torch.device("meta"):
        network = build_discriminators(corrected)[0]
    state = checkpoint.read_released_discriminators(gan_file)[0]
    with pytest.raises(GrganError, match=r"unknown key 'conditional_logits\.bias' and 5 more"):
        checkpoint.load_strictly(network, state, "checkpoint_0300.pth")


def test_load_strictly():
    network, good = torch.nn.Linear(3, 2), {"weight": torch.ones(2, 3), "bias": torch.ones(2)}
    for state, message in (
        (good | {"scale": torch.ones(1)}, "a.file: unknown key 'scale'"),
        ({"weight": good["weight"]}, "a.file: missing key 'bias'"),
        (good | {"bias": torch.ones(4)}, r"a.file: 'bias' has shape \(4,\).*needs \(2,\)"),
    ):
        before = network.weight.detach().clone()
        with pytest.raises(GrganError, match=message):
            checkpoint.load_strictly(network, state, "a.file")
        assert torch.equal(network.weight, before)
    checkpoint.load_strictly(network, good, "a.file")
    assert (network.weight == 1).all()


class Malicious:
    def __reduce__(self):
        return os.mkdir, ("owned",)


def test_no_code_is_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.save({"netG": Malicious()}, tmp_path / "bad.pth")
    with pytest.raises(GrganError, match=r"bad\.pth: refused, since it asks for posix\.mkdir"):
        checkpoint.read_released_generator(tmp_path / "bad.pth")
    assert not (tmp_path / "owned").exists()


def test_wrong_files_are_named(tmp_path):
    junk = tmp_path / "junk.pth"
    for content in (b"", b"junk", b"PK\x03\x04junk"):
        junk.write_bytes(content)
        with pytest.raises(GrganError, match=r"junk\.pth"):
            checkpoint.read_released_itm(junk)
    with pytest.raises(GrganError, match=r"absent\.pth: no such file"):
        checkpoint.read_released_itm(tmp_path / "absent.pth")
    torch.save({"epoch": 1}, junk)
    for read in (checkpoint.read_released_generator, checkpoint.read_released_itm):
        with pytest.raises(GrganError, match="expected a state dict"):
            read(junk)
    torch.save({"netD": {}}, junk)
    with pytest.raises(GrganError, match="no list"):
        checkpoint.read_released_discriminators(junk)


@pytest.mark.parametrize("half", [False, True])
def test_own_format(tmp_path, half):
    config = Config.load("scenes-tiny")
    generator, path = Generator(config), tmp_path / "generator.safetensors"
    save_model(path, generator.state_dict(), config, half)
    state, same = read_model(path)
    assert same == config
    other = Generator(same)
    checkpoint.load_strictly(other, state, str(path))
    for key, value in generator.state_dict().items():
        ours = other.state_dict()[key]
        assert ours.dtype == value.dtype
        # Matrices in half precision keep 11 bits, vectors all.
        tolerance = 2**-11 if half and value.ndim > 1 else 0.0
        torch.testing.assert_close(ours, value, rtol=tolerance, atol=tolerance)


def test_own_format_with_a_fault(tmp_path):
    config, path = Config.load("scenes-tiny"), tmp_path / "generator.safetensors"
    with pytest.raises(GrganError, match=r"generator\.safetensors"):
        read_model(path)
    save_model(path, {"a": torch.ones(2)}, config)
    path.write_bytes(path.read_bytes()[:-3])
    with pytest.raises(GrganError, match=r"generator\.safetensors"):
        read_model(path)
    save_model(path, {"a": torch.ones(2)}, config)
    path.with_suffix(".json").write_text('{"modle": {}}')
    with pytest.raises(GrganError, match=r"generator\.json: unknown key 'modle'.*'model'"):
        read_model(path)


def test_released_architecture_is_in_open_clip(config):
    assert config.itm.clip in open_clip.list_models()
