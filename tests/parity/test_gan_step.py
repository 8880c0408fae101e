"""Whole training steps against the released code: losses, gradients, parameters, averages.

In float64 nothing but the order of summation differs. Losses agree to 1e-12 relative, gradient
norms to 1e-9 (they are sums of many terms that cancel), changes of parameters to 1e-4 of a step,
because Adamax divides a gradient by its size and so shows the rounding of the smallest ones.

The keys of an S stage's memory have analytically no gradient: all slots are equal. What is left is
rounding (1e-16 in float64, 1e-7 in float32), which Adamax turns in float32 into steps of full
length in random directions; they are not compared there.
"""

import pytest
import torch
import torch.nn.functional as F

from grgan_ref.config import LossConfig
from grgan_ref.files import checkpoint
from grgan_ref.training import ema
from grgan_ref.training.gan_step import Batch, Models, gan_step
from tests.support import golden

LEARNING_RATE, BETAS, EMA = 2e-5, (0.5, 0.999), 0.999
NO_GRADIENT = "refine.0.memory.key"


class StandIn:
    """The golden data's cheap matcher: two linear maps of average-pooled pixels."""

    def __init__(self, data, dtype):
        self.region, self.code = (data.tensor(f"itm_W_{n}", dtype) for n in ("region", "code"))

    def encode_image(self, images):
        images = F.interpolate(images, (224, 224), mode="bilinear", align_corners=False)
        regions = torch.einsum("ec,bchw->behw", self.region, F.adaptive_avg_pool2d(images, 14))
        return regions, F.adaptive_avg_pool2d(images, 4).flatten(1) @ self.code.t()


class Run:
    """The golden training, from the states of netG.npz and netD.npz."""

    def __init__(self, data, dtype, quirks=None):
        self.data, self.dtype = data, dtype
        self.config = golden.config(quirks)
        self.generator = golden.generator(quirks).to(dtype)
        self.discriminators = golden.discriminators(quirks).to(dtype)
        self.average = ema.average_copy(self.generator)
        self.optimiser = self._adamax(self.generator)
        self.discriminator_optimisers = [self._adamax(d) for d in self.discriminators]
        self.models = {
            "G": self.generator,
            "_ema": self.average,
            **{f"D{i}": net for i, net in enumerate(self.discriminators)},
        }
        self.start = {name: _copy(model.state_dict()) for name, model in self.models.items()}
        # The authors' names; the average has the generator's.
        self.names = {
            "G": golden.our_names(data.names("keysG"), checkpoint.rename_generator),
            **{
                f"D{i}": golden.our_names(data.names(f"keysD{i}"), checkpoint.rename_discriminator)
                for i in range(len(self.discriminators))
            },
        }
        self.names["_ema"] = self.names["G"]

    def _adamax(self, module):
        return torch.optim.Adamax(module.parameters(), LEARNING_RATE, BETAS)

    def step(self, number):
        """Train one step; what the golden file may be compared with, by its names."""
        tensor = self.data.tensor
        images = golden.real_images(self.dtype)
        batch = Batch(
            images,
            tensor("sent_emb", self.dtype),
            tensor("word_embs", self.dtype),
            tensor("mask"),
            tensor("cap_lens"),
            tensor("z", self.dtype)[number - 1],
            tensor("eps", self.dtype)[number - 1],
            torch.arange(len(images[0])),
        )
        networks = Models(
            self.generator, self.discriminators, self.optimiser, self.discriminator_optimisers
        )
        losses = gan_step(networks, StandIn(self.data, self.dtype), batch, self.config)
        ema.update(self.average, self.generator, EMA)
        return {
            "losses": {name: float(value) for name, value in losses.items()},
            "gradients": {
                model: {
                    name: None if p.grad is None else p.grad.clone()
                    for name, p in self.models[model].named_parameters()
                }
                for model in self.models
            },
            "states": {name: _copy(model.state_dict()) for name, model in self.models.items()},
        }


def _copy(state):
    return {key: value.clone() for key, value in state.items()}


@pytest.fixture(scope="module")
def data():
    return golden.Golden("train_step.npz")


@pytest.fixture(scope="module")
def float64_run(data):
    run = Run(data, torch.float64)
    return run, [run.step(number) for number in range(1, len(data.tensor("z")) + 1)]


def check_losses(data, prefix, ours, tolerance):
    def equal(value, expected, name):
        assert value == pytest.approx(float(expected), rel=tolerance, abs=tolerance), name

    for i, expected in enumerate(data.tensor(f"{prefix}/errD")):
        equal(ours[f"discriminator_{i + 1}"], expected, f"errD{i}")
    equal(ours["kl"], data.tensor(f"{prefix}/kl"), "kl")
    equal(ours["generator"], data.tensor(f"{prefix}/errG_total"), "errG_total")
    without_kl = data.tensor(f"{prefix}/errG_total_without_kl")
    equal(ours["generator"] - ours["kl"], without_kl, "errG_total_without_kl")
    weighted = ours["word_3"] + LossConfig().lambda1 * ours["sentence_3"]
    equal(weighted, data.tensor(f"{prefix}/clip_loss_w_plus_s3"), "word and sentence loss")
    if f"{prefix}/G_terms_raw" in data:
        raw = data.tensor(f"{prefix}/G_terms_raw")
        terms = dict(zip(data.names("G_terms_raw_names"), raw, strict=True))
        equal(ours["adversarial_1"], terms["bce_uncond_D0"], "adversarial_1")
        equal(ours["adversarial_2"], terms["bce_cond_D1"], "adversarial_2")
        equal(ours["adversarial_3"], terms["bce_cond_D2"], "adversarial_3")
        for name, key in (("sentence_2", "s2"), ("sentence_3", "s3"), ("word_3", "w3")):
            equal(ours[name], terms[f"{key}_loss0"] + terms[f"{key}_loss1"], name)


def check_gradient_norms(run, prefix, gradients, relative, absolute, skip=None):
    for model in ("G", "D0", "D1", "D2"):
        theirs = run.data.tensor(f"{prefix}/gradnorm{model}")
        for key, expected in zip(run.data.names(f"keys{model}"), theirs, strict=True):
            name = run.names[model][key]
            if skip and name.startswith(skip):
                continue
            # Power-iteration vectors are parameters there and buffers here: no gradient.
            gradient = gradients[model].get(name)
            if gradient is None:
                assert torch.isnan(expected), name
            else:
                norm = gradient.norm().item()
                assert norm == pytest.approx(expected.item(), rel=relative, abs=absolute), name


def check_parameter_norms(run, prefix, states, relative, skip=None):
    for model in run.models:
        theirs = run.data.tensor(f"{prefix}/norm{model}")
        keys = run.data.names("keysG" if model == "_ema" else f"keys{model}")
        for key, expected in zip(keys, theirs, strict=True):
            name = run.names[model][key]
            if not (skip and name.startswith(skip)):
                norm = states[model][name].norm().item()
                assert norm == pytest.approx(expected.item(), rel=relative, abs=1e-12), name


def check_changes(run, prefix, states, tolerance):
    """Parameters, power-iteration vectors and averages after the steps, minus the start."""
    compared = 0
    for model in run.models:
        for key, expected in run.data.state(f"{prefix}/delta{model}/").items():
            name = run.names[model][key]
            change = states[model][name] - run.start[model][name]
            # float32 storage of the golden change adds its own rounding.
            storage = 1e-7 * expected.abs().max().item()
            assert golden.largest_difference(change, expected) < tolerance + storage, (model, key)
            compared += 1
    assert compared


def check_buffers(run, prefix, states):
    """Running statistics: their values after the steps, not their changes."""
    expected = checkpoint.rename_generator(run.data.state(f"{prefix}/bn_after/"))
    assert expected
    for name, value in expected.items():
        torch.testing.assert_close(states["G"][name], value, rtol=1e-9, atol=1e-11, msg=name)


def test_float64_losses_and_gradients_of_every_step(data, float64_run):
    run, steps = float64_run
    for number, ours in enumerate(steps, start=1):
        prefix = f"f64x3/step{number}"
        check_losses(data, prefix, ours["losses"], 1e-11)
        check_gradient_norms(run, prefix, ours["gradients"], 1e-9, 1e-12)
        check_parameter_norms(run, prefix, ours["states"], 1e-9)


def test_float64_single_step(data, float64_run):
    """The single-step run starts as the three-step run does."""
    run, steps = float64_run
    ours = steps[0]
    check_losses(data, "f64/step1", ours["losses"], 1e-12)
    check_gradient_norms(run, "f64/step1", ours["gradients"], 1e-9, 1e-12)
    check_parameter_norms(run, "f64/step1", ours["states"], 1e-9)
    check_changes(run, "f64", ours["states"], 1e-4 * LEARNING_RATE)
    check_buffers(run, "f64", ours["states"])


def test_float64_gradients_element_by_element(data, float64_run):
    run, steps = float64_run
    compared = 0
    for model in ("G", "D0", "D1", "D2"):
        for key, expected in data.state(f"f64/step1/grad{model}/").items():
            gradient = steps[0]["gradients"][model][run.names[model][key]]
            scale = expected.double().abs().max().item()
            tolerance = (1e-6 if expected.dtype == torch.float32 else 1e-9) * scale + 1e-12
            assert golden.largest_difference(gradient, expected) < tolerance, key
            compared += 1
    assert compared


def test_float64_three_steps(float64_run):
    run, steps = float64_run
    check_changes(run, "f64x3", steps[-1]["states"], 1e-3 * LEARNING_RATE)
    check_buffers(run, "f64x3", steps[-1]["states"])


def test_float64_with_the_correct_spectral_norm_gradient(data):
    """The quirk `shared_power_vectors` off; with it on the discriminators' gradients differ."""
    run = Run(data, torch.float64, golden.released_quirks(shared_power_vectors=False))
    ours = run.step(1)
    prefix = "f64_sn_cloned/step1"
    check_losses(data, prefix, ours["losses"], 1e-12)
    check_gradient_norms(run, prefix, ours["gradients"], 1e-9, 1e-12)
    check_parameter_norms(run, prefix, ours["states"], 1e-9)


def test_float32(data):
    """float32 rounding: 1e-5 in losses; gradients through batch norm over few samples 1e-3.

    A parameter moves by at most the learning rate, so its norm hardly shows a wrong sign of the
    smallest gradients: 2e-5 relative.
    """
    run = Run(data, torch.float32)
    ours = run.step(1)
    check_losses(data, "f32/step1", ours["losses"], 1e-5)
    check_gradient_norms(run, "f32/step1", ours["gradients"], 1e-3, 1e-6, skip=NO_GRADIENT)
    check_parameter_norms(run, "f32/step1", ours["states"], 2e-5, skip=NO_GRADIENT)


def test_keys_of_a_sentence_stage_get_no_gradient(float64_run):
    _, steps = float64_run
    gradients = {n: g for n, g in steps[0]["gradients"]["G"].items() if n.startswith(NO_GRADIENT)}
    assert len(gradients) == 2
    assert all(gradient.abs().max() < 1e-12 for gradient in gradients.values())
