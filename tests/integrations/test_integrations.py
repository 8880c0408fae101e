"""CMD inside torchmetrics, Lightning and torch-fidelity, against cmdmetric's own numbers."""

from __future__ import annotations

import json
import os
import pickle
import re
import runpy
import shutil
import socket
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from cmdmetric import CMDScore, Encoder, Evaluator, InputError, Protocol, clip_fd
from cmdmetric.encoders.names import BUNDLED
from cmdmetric.features.images import encode_images
from cmdmetric.inputs.images import open_images
from cmdmetric.scenes.drawing import draw_scene
from cmdmetric.scoring import fields_of
from tests.support.commands import PROCESSES
from tests.support.scores import same_numbers, same_setting, setting_in

pytestmark = pytest.mark.filterwarnings("ignore:.*too few for:UserWarning")
#: Enough for the encoder's 64 dimensions, in batches that are the same however they are spread:
#: float32 features round otherwise in batches of other sizes, and then agree to 1e-6 and not 1e-9.
N, BATCH = 90, 15
DISTANCES = ("cmd", "itdis", "dis_fr", "dis_fl", "dis_rl")


def scenes() -> tuple[torch.Tensor, list[str], torch.Tensor]:
    """Generated images (N, 3, 32, 32) uint8, a caption each, and real images."""
    drawn = [draw_scene(seed) for seed in range(2 * N)]
    images = torch.from_numpy(np.stack([np.asarray(scene.render(32)) for scene in drawn]))
    images = images.permute(0, 3, 1, 2).contiguous()
    return images[:N], [scene.captions(1)[0] for scene in drawn[:N]], images[N:]


def parts(start: int = 0, stop: int = N) -> list[slice]:
    return [slice(i, i + BATCH) for i in range(start, stop, BATCH)]


@pytest.fixture(scope="module")
def data() -> tuple[torch.Tensor, list[str], torch.Tensor]:
    return scenes()


@pytest.fixture(scope="module")
def expected(data: tuple[torch.Tensor, list[str], torch.Tensor], encoder: Encoder) -> CMDScore:
    images, texts, real = data
    evaluator = Evaluator(real, encoder=encoder)
    for part in parts():
        evaluator.update(images[part], texts[part])
    return evaluator.compute()


# --- torchmetrics ------------------------------------------------------------------------------


@pytest.fixture
def distance() -> Any:
    """The metric's class, where torchmetrics is installed."""
    pytest.importorskip("torchmetrics", reason="torchmetrics is not installed")
    from cmdmetric.integrations.torchmetrics import CrossModelDistance

    return CrossModelDistance


def test_metric_equals_the_evaluator(
    distance: Any, data: Any, encoder: Encoder, expected: CMDScore
) -> None:
    images, texts, real = data
    metric = distance(real, encoder=encoder)
    for part in parts():
        metric.update(images[part], texts[part])
    value = metric.compute()
    assert value.dtype == torch.float64 and value.shape == ()
    # Sums of products instead of centred ones: some digits of float64.
    assert same_numbers(metric.score, expected, rel=1e-9)
    assert float(value) == metric.score.cmd
    assert same_setting(metric.score, expected)
    assert (metric.score.n, metric.score.n_captions) == (N, N)
    assert metric.score.uncertainty is None
    ours, theirs = (fields_of(score.signature) for score in (metric.score, expected))
    # The digests of the sets are those of all batches, whatever they were.
    assert {key: ours[key] for key in "frl"} == {key: theirs[key] for key in "frl"}
    assert re.fullmatch(rf"{N}@[0-9a-f]{{8}}", ours["f"])
    metric.reset()
    metric.update(images[:30], texts[:30])  # fewer than dimensions: singular covariances
    evaluator = Evaluator(real, encoder=encoder)
    evaluator.update(images[:30], texts[:30])
    metric.compute()
    assert same_numbers(metric.score, evaluator.compute(), rel=1e-6)


def test_metric_with_fixed_captions(distance: Any, data: Any, encoder: Encoder) -> None:
    images, texts, real = data
    metric = distance(real, texts, encoder=encoder)
    evaluator = Evaluator(real, texts, encoder=encoder)
    for part in parts():
        metric.update(images[part])
        evaluator.update(images[part])
    metric.compute()
    assert same_numbers(metric.score, evaluator.compute(), rel=1e-9)
    with pytest.raises(InputError, match="given once"):
        metric.update(images, texts)


def test_metric_reads_fixed_sides_once(distance: Any, data: Any, encoder: Encoder) -> None:
    images, texts, real = data
    expected = Evaluator(real, texts, encoder=encoder)
    expected.update(images)
    value = pytest.approx(expected.compute().cmd, rel=1e-9)
    metric = distance((x for x in real), (text for text in texts), encoder=encoder)
    for copy in (lambda x: x.clone(), lambda x: x, lambda x: pickle.loads(pickle.dumps(x))):
        each = copy(metric)
        each.reset()
        each.update(images)
        assert float(each.compute()) == value
    metric = distance(real.numpy(), (text for text in texts), encoder=encoder)
    assert metric.clone()._real is metric._real  # raw images are not copied
    for each in (pickle.loads(pickle.dumps(metric)), metric.clone()):  # not encoded yet
        each.update(images)
        assert float(each.compute()) == value
    assert real[0].numpy().tobytes() not in pickle.dumps(metric._real)  # nor kept


def test_metric_merges_copies_and_gives_a_batch_value(
    distance: Any, data: Any, encoder: Encoder, expected: CMDScore
) -> None:
    images, texts, real = data
    one, two = (distance(real, encoder=encoder) for _ in range(2))
    for part in parts(0, 45):
        one.update(images[part], texts[part])
    for part in parts(45):
        two.update(images[part], texts[part])
    two.merge_state(pickle.loads(pickle.dumps(one)))
    two.clone().reset()
    assert float(two.compute()) == pytest.approx(expected.cmd, rel=1e-9)
    assert float(one(images[45:60], texts[45:60])) > 0  # of this batch; then of all so far
    for part in parts(60):
        one(images[part], texts[part])
    assert float(one.compute()) == pytest.approx(expected.cmd, rel=1e-9)


def test_metric_stays_in_float64_whatever_the_model_is_cast_to(
    distance: Any, data: Any, encoder: Encoder, expected: CMDScore
) -> None:
    images, texts, real = data
    metric = distance(real, encoder=encoder)
    for part in parts():
        metric.update(images[part], texts[part])
        metric.to(torch.bfloat16).half().to("cpu")
    assert metric.generated.dtype == metric.described.dtype == torch.float64
    assert metric.lost.dtype == torch.int64
    metric.set_dtype(torch.float16)  # nor when it is asked for: origin would not be known again
    assert metric.origin.dtype == torch.float64
    assert float(metric.compute()) == pytest.approx(expected.cmd, rel=1e-9)
    metric.reset()
    assert metric.generated.dtype == torch.float64


def test_metrics_of_different_protocols_share_no_sums(
    distance: Any, data: Any, encoder: Encoder
) -> None:
    from torchmetrics import MetricCollection

    images, texts, real = data
    own = Encoder("scenes-toy", protocol=Protocol("own", resize="crop"), device="cpu")
    alike = Encoder("scenes-toy", protocol=Protocol("alike", image_scale=10), device="cpu")
    encoders = {"grgan": encoder, "alike": alike, "own": own}
    both = MetricCollection({name: distance(real, encoder=each) for name, each in encoders.items()})
    square, wide = slice(0, 30), slice(30, N)  # square images show the two protocols as one
    both.update(images[square], texts[square])
    both.update(images[wide, :, :20], texts[wide])
    assert both.compute_groups == {0: ["alike", "grgan"], 1: ["own"]}
    found = both.compute()
    for name, each in encoders.items():
        evaluator = Evaluator(real, encoder=each)
        evaluator.update(images[square], texts[square])
        evaluator.update(images[wide, :, :20], texts[wide])
        assert float(found[name]) == pytest.approx(evaluator.compute().cmd, rel=1e-9), name
    assert float(found["own"]) != pytest.approx(float(found["grgan"]))


def test_metric_refuses_sums_of_unlike_metrics(distance: Any, data: Any, encoder: Encoder) -> None:
    images, texts, real = data
    own = Encoder("scenes-toy", protocol=Protocol("own", text_scale=2), device="cpu")
    metric, other = distance(real, encoder=encoder), distance(real, encoder=own)
    for each in (metric, other):
        each.persistent(True)
        each.update(images, texts)
    value = float(metric.compute())
    with pytest.raises(InputError, match=r"text_scale: 1\.0 against 2"):
        metric.merge_state(other)
    with pytest.raises(InputError, match="different protocol cannot meet"):
        metric.merge_state(other.metric_state)
    with pytest.raises(InputError, match="different real images cannot meet"):
        metric.merge_state(distance(real[:80], encoder=encoder))
    with pytest.raises(InputError, match="different real images cannot meet"):
        metric.merge_state(distance(images, encoder=encoder))
    with pytest.raises(InputError, match="different captions cannot meet"):
        metric.merge_state(distance(real, texts, encoder=encoder))
    with pytest.raises(InputError, match="different captions cannot meet"):
        distance(real, texts[1:], encoder=encoder).merge_state(
            distance(real, texts[:-1], encoder=encoder)
        )
    metric._computed = None
    assert float(metric.compute()) == value  # nothing was added
    fresh = distance(real, encoder=encoder).clone()
    fresh.load_state_dict(metric.state_dict())
    assert float(fresh.compute()) == value
    fresh.reset()
    fresh.load_state_dict(other.state_dict())
    for update in (False, True):
        if update:
            fresh.update(images, texts)
        with pytest.raises(InputError, match="different protocol cannot meet"):
            fresh.compute()
    fresh.reset()
    fresh.update(images, texts)
    assert float(fresh.compute()) == value


def test_metric_starts_on_the_meta_device(
    distance: Any, data: Any, encoder: Encoder, expected: CMDScore
) -> None:
    images, texts, real = data
    with torch.device("meta"):
        model = torch.nn.ModuleDict({"metric": distance(real, encoder=encoder)})
    assert model["metric"].generated.is_meta
    metric: Any = model.to_empty(device="cpu")["metric"]
    assert metric.device.type == "cpu" and not metric.generated.any()
    for part in parts():
        metric.update(images[part], texts[part])
        model.to_empty(device="cpu")  # what it has collected stays
    assert float(metric.compute()) == pytest.approx(expected.cmd, rel=1e-9)
    metric.reset()
    assert not metric.generated.any() and not metric.origin.any()
    for part in parts():
        metric.update(images[part], texts[part])
    assert float(metric.compute()) == pytest.approx(expected.cmd, rel=1e-9)


def test_metric_takes_the_arguments_of_every_metric(
    distance: Any, data: Any, encoder: Encoder, expected: CMDScore
) -> None:
    images, texts, real = data
    twice = {
        "dist_sync_fn": lambda tensor, group: [tensor, tensor],
        "distributed_available_fn": lambda: True,
    }
    for more, n in (({"sync_on_compute": False}, N), ({}, 2 * N)):
        metric = distance(real, encoder=encoder, **twice, **more)
        metric.update(images, texts)
        metric.compute()
        assert metric.score.n == n
    metric = distance(real, encoder=encoder, dist_sync_on_step=True)
    for part in parts():
        metric(images[part], texts[part])
    assert float(metric.compute()) == pytest.approx(expected.cmd, rel=1e-9)
    with pytest.raises(ValueError, match="metrics"):
        distance(real, encoder=encoder, metrics="fid")


@pytest.mark.parametrize("on_step", [False, True])
def test_metric_keeps_what_it_has_where_a_batch_has_no_value(
    distance: Any, data: Any, encoder: Encoder, expected: CMDScore, on_step: bool
) -> None:
    images, texts, real = data
    metric = distance(real, encoder=encoder, dist_sync_on_step=on_step)
    metric.update(images[:60], texts[:60])
    assert metric(images[60:61], texts[60:61]).isnan() and metric.score is None
    assert metric(images[61:62], texts[61:62]).isnan()
    assert metric(images[62:64], ["!", texts[63]]).isnan()  # one caption with a word
    for wrong in ((images[64:].float(), texts[64:]), (images[64:], texts[63:]), (images[64:],)):
        with pytest.raises(InputError):
            metric(*wrong)
    metric.update(images[64:], [[texts[64], texts[62]], *texts[65:]])
    # The encoder rounds by the size of its batches.
    assert float(metric.compute()) == pytest.approx(expected.cmd, rel=1e-6)
    metric.reset()
    assert metric(images[:1], texts[:1]).isnan()
    with pytest.raises(InputError, match="at least 2"):
        metric.compute()


def test_metric_plots(distance: Any, data: Any, encoder: Encoder) -> None:
    pyplot = pytest.importorskip("matplotlib.pyplot", reason="matplotlib is not installed")
    images, texts, real = data
    metric = distance(real, encoder=encoder)
    metric.update(images, texts)
    figure, axes = metric.plot()
    assert axes.lines[0].get_ydata() == [float(metric.compute())]
    assert axes.get_ylim()[0] <= 0
    again, same = metric.plot([torch.tensor(3.0), torch.tensor(2.0)], ax=axes)
    assert again is None and same is axes
    pyplot.close(figure)


def test_metric_counts_what_captions_lose(distance: Any, data: Any, encoder: Encoder) -> None:
    images, texts, real = data
    metric = distance(real, encoder=encoder)
    metric.update(images[:1], ["!!!"])
    metric.update(images[1:], ["red " * 100, *texts[2:]])
    with pytest.warns(UserWarning, match="left out: 1") as caught:
        metric.compute()
    told = " ".join(str(warning.message) for warning in caught)
    assert "longer than the encoder's context" in told and "have no word" in told
    score = metric.score
    assert (score.n, score.n_captions, score.empty, score.truncated) == (N, N - 1, 1, 1)


def test_metric_tells_mistakes(distance: Any, data: Any, encoder: Encoder, tmp_path: Path) -> None:
    images, texts, real = data
    with pytest.raises(InputError, match="nowhere"):
        distance(tmp_path / "nowhere", model="scenes-toy")
    with pytest.raises(InputError, match="no model 'no-such'"):
        distance(real, model="no-such")
    metric = distance(real, encoder=encoder)
    with pytest.raises(InputError, match="have no captions"):
        metric.update(images)
    metric.update(images[:1], texts[:1])
    with pytest.raises(InputError, match="at least 2 images in memory, there are 1"):
        metric.compute()


def one_of_two(rank: int, port: int, folder: Path) -> None:
    """Four batches of six in the first process, two in the second; then all in the first."""
    import torch.distributed as dist

    from cmdmetric.integrations.torchmetrics import CrossModelDistance

    address, patience = f"tcp://127.0.0.1:{port}", timedelta(seconds=120)
    dist.init_process_group("gloo", address, patience, world_size=2, rank=rank)
    images, texts, real = scenes()
    encoder = Encoder("scenes-toy", device="cpu")
    spread, alone = (CrossModelDistance(real, encoder=encoder) for _ in range(2))
    for part in parts(0, 60) if rank == 0 else parts(60):
        spread.update(images[part], texts[part])
    for part in parts() if rank == 0 else ():
        alone.update(images[part], texts[part])
    found = {}
    for name, metric in (("spread", spread), ("alone", alone)):
        metric.compute()
        found[name] = metric.score.to_dict()
    found["own"] = int(spread.generated[0, 0])  # after the exchange each has its own sums again
    unlike = CrossModelDistance(real[rank:], encoder=encoder)
    unlike.update(images, texts)
    with pytest.raises(InputError, match="different real images cannot meet"):
        unlike.compute()
    (folder / f"{rank}.json").write_text(json.dumps(found))
    dist.destroy_process_group()


def second_of_two(_: int, port: int, folder: Path, threads: int) -> None:
    torch.set_num_threads(threads)  # a product's sums are parted by threads: as in the first
    one_of_two(1, port, folder)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_two_processes_equal_one(distance: Any, expected: CMDScore, tmp_path: Path) -> None:
    with socket.socket() as opened:
        opened.bind(("127.0.0.1", 0))
        port = opened.getsockname()[1]
    how = (port, tmp_path, torch.get_num_threads())
    second = torch.multiprocessing.start_processes(
        second_of_two, how, join=False, start_method=PROCESSES.get_start_method()
    )
    one_of_two(0, port, tmp_path)
    while not second.join():
        pass
    both = [json.loads((tmp_path / f"{rank}.json").read_text()) for rank in range(2)]
    for found in (score for each in both for score in (each["spread"], each["alone"])):
        assert (found["n"], found["n_captions"]) == (N, N)
        assert setting_in(found["signature"]) == setting_in(expected.signature)
        for key in DISTANCES:
            assert found[key] == pytest.approx(getattr(expected, key), rel=1e-9), key
    assert [each["own"] for each in both] == [60, 30]


@pytest.mark.filterwarnings("ignore")  # Lightning's advice on workers, loggers, and itself
@pytest.mark.parametrize("precision", ["bf16-mixed", "bf16-true"])
def test_lightning_fit(
    distance: Any, data: Any, expected: CMDScore, precision: str, tmp_path: Path
) -> None:
    lightning = pytest.importorskip("lightning.pytorch", reason="Lightning is not installed")
    images, texts, real = data

    class Painter(lightning.LightningModule):
        """Learns one number; its samples are the generated images of `scenes`."""

        def __init__(self) -> None:
            super().__init__()
            self.weight = torch.nn.Linear(1, 1)
            self.distance = distance(real, model="scenes-toy")

        def training_step(self, batch: torch.Tensor) -> torch.Tensor:
            return self.weight(batch.to(self.weight.weight.dtype)).square().mean()

        def validation_step(self, batch: torch.Tensor) -> None:
            rows = batch[:, 0].long()
            self.distance.update(images[rows], [texts[row] for row in rows])
            self.log("val/cmd", self.distance)

        def configure_optimizers(self) -> torch.optim.Optimizer:
            return torch.optim.SGD(self.parameters(), lr=0.1)

    def load(rows: int) -> torch.utils.data.DataLoader:
        return torch.utils.data.DataLoader(torch.arange(rows)[:, None].float(), batch_size=BATCH)

    trainer = lightning.Trainer(
        accelerator="cpu", devices=1, precision=precision, max_epochs=2, logger=False,
        default_root_dir=tmp_path, enable_progress_bar=False, enable_model_summary=False,
        enable_checkpointing=False,
    )  # fmt: skip
    model = Painter()
    trainer.fit(model, load(2 * BATCH), load(N))
    # The second epoch's: the first one's images, and those of the sanity check, are forgotten.
    assert model.distance.score.n == N
    # Lightning logs in float32 at best; the encoder must not have seen the trainer's precision.
    assert same_numbers(model.distance.score, expected, rel=1e-6)
    assert float(trainer.callback_metrics["val/cmd"]) == pytest.approx(expected.cmd, rel=1e-2)
    assert not [key for key in model.state_dict() if "distance" in key]


# --- torch-fidelity ----------------------------------------------------------------------------


@pytest.fixture
def extractor() -> str:
    from cmdmetric.integrations.torch_fidelity import register

    return register()


@pytest.fixture
def folders(data: Any, tmp_path: Path) -> tuple[Path, Path]:
    images, _, real = data
    for name, pictures in (("generated", images), ("real", real)):
        (tmp_path / name).mkdir()
        for i, picture in enumerate(pictures.permute(0, 2, 3, 1).numpy()):
            Image.fromarray(picture).resize((40, 28)).save(tmp_path / name / f"{i:03}.png")
    return tmp_path / "generated", tmp_path / "real"


def test_fidelity_gets_our_features(extractor: str, data: Any, encoder: Encoder) -> None:
    from torch_fidelity.utils import create_feature_extractor

    images = data[0][:20]
    model = create_feature_extractor(
        extractor, ["clip"], cuda=False, verbose=False,
        feature_extractor_weights_path=str(BUNDLED["scenes-toy"]),
    )  # fmt: skip
    found = model.convert_features_tuple_to_dict(model(images))["clip"]
    features = encode_images(open_images(images), encoder).features
    np.testing.assert_allclose(found.numpy(), features, rtol=0, atol=1e-5)  # vectors of length 10
    assert model.get_name().startswith(f"{extractor}-{encoder.fingerprint[:8]}-")
    with pytest.raises(InputError, match="uint8"):
        model(images.float())
    with pytest.raises(InputError, match="class logits"):
        model.get_default_feature_layer_for_metric("isc")


def test_fidelity_caches_by_network(extractor: str, tiny_clip: Path, tmp_path: Path) -> None:
    """The same weights with another activation give other features."""
    from torch_fidelity.utils import create_feature_extractor

    other = shutil.copytree(tiny_clip, tmp_path / "other")
    config = json.loads((other / "open_clip_config.json").read_text())
    config["model_cfg"]["quick_gelu"] ^= True
    (other / "open_clip_config.json").write_text(json.dumps(config))
    copy = shutil.copytree(tiny_clip, tmp_path / "copy")
    named = [
        create_feature_extractor(
            extractor, ["clip"], cuda=False, verbose=False, feature_extractor_weights_path=str(path)
        ).get_name()
        for path in (tiny_clip, copy, other)
    ]
    assert named[0] == named[1] != named[2]


@pytest.mark.filterwarnings("ignore:This DataLoader will create:UserWarning")
def test_fidelity_metrics(extractor: str, folders: tuple[Path, Path], encoder: Encoder) -> None:
    from torch_fidelity import calculate_metrics

    generated, real = map(str, folders)
    found = calculate_metrics(
        input1=generated, input2=real, cuda=False, fid=True, kid=True, kid_subset_size=50,
        feature_extractor=extractor, verbose=False, cache=False,
        feature_extractor_weights_path=str(BUNDLED["scenes-toy"]),
    )  # fmt: skip
    expected = clip_fd(generated, real, encoder=encoder)
    # torch-fidelity takes means in float32.
    assert found["frechet_inception_distance"] == pytest.approx(expected, rel=1e-4)
    assert np.isfinite(found["kernel_inception_distance_mean"])


def run_fidelity(
    monkeypatch: pytest.MonkeyPatch, folders: tuple[Path, Path], *options: str | Path
) -> None:
    """torch-fidelity's command on two folders, as `python -m` starts it: nothing is registered."""
    from torch_fidelity.registry import FEATURE_EXTRACTORS_REGISTRY

    module = "cmdmetric.integrations.torch_fidelity"
    monkeypatch.delitem(FEATURE_EXTRACTORS_REGISTRY, "cmdmetric-grgan", raising=False)
    monkeypatch.delitem(sys.modules, module, raising=False)
    arguments = ["--input1", folders[0], "--input2", folders[1], "--cpu", "--silent", "--no-cache",
                 "--feature-extractor", "cmdmetric-grgan", *options]  # fmt: skip
    monkeypatch.setattr(sys, "argv", ["fidelity", *map(os.fspath, arguments)])
    runpy.run_module(module, run_name="__main__")


@pytest.mark.filterwarnings("ignore:This DataLoader will create:UserWarning")
def test_fidelity_command_line(
    folders: tuple[Path, Path],
    encoder: Encoder,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    weights = ["--feature-extractor-weights-path", BUNDLED["scenes-toy"]]
    run_fidelity(monkeypatch, folders, "--fid", "--json", *weights)
    found = json.loads(capsys.readouterr().out)["frechet_inception_distance"]
    assert found == pytest.approx(clip_fd(*folders, encoder=encoder), rel=1e-4)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--fid", "--feature-extractor-weights-path", "no-such"], "error: no model 'no-such'"),
        (["--isc"], "error: the Inception score needs class logits"),
    ],
)
def test_fidelity_command_line_tells_mistakes(
    options: list[str],
    message: str,
    folders: tuple[Path, Path],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with pytest.raises(SystemExit) as ended:
        run_fidelity(monkeypatch, folders, *options)
    assert ended.value.code == 2
    told = capsys.readouterr()
    assert told.out == "" and told.err.startswith(message)


def test_fidelity_extractor_with_a_file_of_weights(extractor: str, tmp_path: Path) -> None:
    """A file holds weights of ViT-B/32: those of another network are told before any image."""
    from torch_fidelity.utils import create_feature_extractor

    with pytest.raises(InputError, match="no model"):
        create_feature_extractor(
            extractor, ["clip"], cuda=False, feature_extractor_weights_path="no-such"
        )
    weights = BUNDLED["scenes-toy"] / "open_clip_model.safetensors"
    model = create_feature_extractor(
        extractor, ["clip"], cuda=False, feature_extractor_weights_path=str(weights)
    )
    with pytest.raises(InputError, match="do not load into ViT-B-32"):
        model(torch.zeros(1, 3, 8, 8, dtype=torch.uint8))
