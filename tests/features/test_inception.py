"""FID, IS and KID against torch-fidelity on the same files and weights, and what is refused."""

from __future__ import annotations

import math
import pickle
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from cmdmetric import InputError, Moments
from cmdmetric.encoders import inception as module
from cmdmetric.encoders.inception import Inception, InceptionFeatures, find_inception_weights
from cmdmetric.features.image_pass import pass_images
from cmdmetric.inputs.images import open_images
from cmdmetric.metrics.fid import fid
from cmdmetric.metrics.inception import inception_score
from cmdmetric.metrics.kernels.kid import kid_of_subsets

N, BATCH = 6, 4
#: Images that may be decoded and wait, beside those that wait for others of their size.
AHEAD = 5 * BATCH + 2


@pytest.fixture(scope="module")
def network(inception_weights: Path) -> Inception:
    return Inception(inception_weights, device="cpu", batch_size=BATCH)


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Two folders of noise of unlike contrast and colour; the second has an image with alpha."""
    rng = np.random.default_rng(0)
    root = tmp_path_factory.mktemp("images")
    for name, contrast in (("generated", 200), ("real", 90)):
        (root / name).mkdir()
        for i in range(N):
            colour = rng.integers(0, 56, 3)
            pixels = (rng.random((24, 24, 3)) * contrast + colour).astype(np.uint8)
            Image.fromarray(pixels).save(root / name / f"{i}.png")
    alpha = (rng.random((24, 24, 4)) * 255).astype(np.uint8)
    Image.fromarray(alpha).save(root / "real" / "0.png")
    return root / "generated", root / "real"


def features_of(images: Any, network: Inception) -> InceptionFeatures:
    (rows,) = pass_images(open_images(images), [network]).features
    return InceptionFeatures.of_rows(rows)


def test_the_default_device_changes_nothing(inception_weights: Path, network: Inception) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (2, 24, 24, 3), np.uint8)
    expected = network.encode_pixels(pixels)
    with torch.device("meta"):
        built = Inception(inception_weights, device="cpu", batch_size=4)
        found = network.encode_pixels(pixels), built.encode_pixels(pixels)
    for features in found:
        np.testing.assert_array_equal(features.pool, expected.pool)
        np.testing.assert_array_equal(features.logits, expected.logits)


@pytest.mark.slow
def test_equals_torch_fidelity(
    inception_weights: Path, network: Inception, folders: tuple[Path, Path], tmp_path: Path
) -> None:
    import torch_fidelity

    theirs = torch_fidelity.calculate_metrics(
        input1=str(folders[0]),
        input2=str(folders[1]),
        feature_extractor_weights_path=str(inception_weights),
        cuda=False,
        isc=True,
        fid=True,
        kid=True,
        isc_splits=2,
        kid_subsets=5,
        kid_subset_size=5,
        batch_size=BATCH,  # float32 sums round otherwise in batches of other sizes
        save_cpu_ram=True,
        cache=False,
        verbose=False,
    )
    generated, real = (features_of(folder, network) for folder in folders)
    assert generated.pool.shape == (N, 2048) and generated.logits.shape == (N, 1008)
    # torch-fidelity's eigenvalues of a product of rank 5 in 2048 dimensions are off by 1e-6 or
    # so, its means are float32's; ours come from the features' singular values.
    score = fid(generated.pool, real.pool)
    assert score == pytest.approx(theirs["frechet_inception_distance"], rel=1e-5)
    assert score > 0.01
    # Both in float64, of float32 features. The deviation of two splits is half their difference:
    # it is off by as much as the scores of the splits are, whose size the mean has.
    isc = inception_score(generated.logits, splits=2)
    rounding = 1e-6 * theirs["inception_score_mean"]
    assert isc.mean == pytest.approx(theirs["inception_score_mean"], rel=0, abs=rounding)
    assert isc.std == pytest.approx(theirs["inception_score_std"], rel=0, abs=rounding)
    assert isc.mean > 1.001 and isc.std > 100 * rounding
    # torch-fidelity's kernels are float32: sizes of 10 or so round at 1e-6.
    subsets = kid_of_subsets(generated.pool, real.pool, subsets=5, subset_size=5)
    size = float((generated.pool**2).sum(axis=1).max() / 2048 + 1) ** 3
    for value, key in ((subsets.mean, "mean"), (subsets.std, "std")):
        expected = theirs[f"kernel_inception_distance_{key}"]
        assert value == pytest.approx(expected, rel=1e-5, abs=1e-6 * size)
    # pytorch-fid's statistics as the real side: the same moments, the same number.
    np.savez(
        tmp_path / "real.npz",
        mu=real.pool.mean(axis=0, dtype=np.float64),
        sigma=np.cov(real.pool, rowvar=False, dtype=np.float64),
    )
    # A file holds no features: the roots of the null space's rounding add up.
    assert fid(generated.pool, tmp_path / "real.npz") == pytest.approx(score, rel=1e-6)
    assert fid(Moments.from_features(generated.pool), real.pool) == pytest.approx(score, rel=1e-9)


def test_sizes_order_and_batches(network: Inception) -> None:
    rng = np.random.default_rng(1)
    shapes = [(20, 30, 3), (16, 16, 3), (20, 30, 3)]
    images = [rng.integers(0, 256, shape, dtype=np.uint8) for shape in shapes]
    together = features_of(images, network)
    for i, image in enumerate(images):
        alone = network.encode_pixels(image[None])
        for got, expected in zip(together, alone, strict=True):
            # float32 sums, in an order that depends on the batch
            scale = np.abs(expected).max()
            np.testing.assert_allclose(got[i], expected[0], rtol=0, atol=1e-5 * scale)


def test_many_sizes_do_not_pile_up(network: Inception, monkeypatch: pytest.MonkeyPatch) -> None:
    batches: list[int] = []
    given = 0

    def encode(pixels: np.ndarray) -> module.InceptionFeatures:
        assert given - sum(batches) <= 8 * network.batch_size + AHEAD
        batches.append(len(pixels))
        numbers = pixels[:, 0, 0, :1].astype(np.float32)
        return module.InceptionFeatures(numbers, numbers)

    def images() -> Iterator[Image.Image]:
        nonlocal given
        for i in range(200):
            given += 1
            yield Image.new("RGB", (2, 1 + (i % 50 if i % 2 else 0)), (i, 0, 0))

    monkeypatch.setattr(network, "encode_pixels", encode)
    (rows,) = pass_images(open_images(images()), [network]).features
    np.testing.assert_array_equal(rows[:, 0], np.arange(200))
    assert sum(batches) == 200 and max(batches) == 4


def test_broken_images(network: Inception, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Image.new("RGB", (8, 8), "red").save(tmp_path / "a.png")
    (tmp_path / "b.png").write_bytes(b"no image")
    with pytest.raises(
        InputError, match=r"1 of 2 images cannot be decoded:\n  b.png: not an image"
    ):
        pass_images(open_images(tmp_path), [network])
    passed = pass_images(open_images(tmp_path), [network], on_error="skip")
    assert passed.names == ("a.png",) and passed.features[0].shape == (1, 2048 + 1008)
    assert [name for name, _ in passed.skipped] == ["b.png"]
    (tmp_path / "a.png").unlink()
    with pytest.raises(InputError, match="no image could be decoded"):
        pass_images(open_images(tmp_path), [network], on_error="skip")


class Evil:
    def __reduce__(self) -> tuple:
        return Path.touch, (Path("evil"),)


def test_weights_run_no_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    monkeypatch.chdir(tmp_path)
    torch.save({"fc.weight": Evil()}, "torch.pth")
    Path("pickle.pth").write_bytes(pickle.dumps(Evil(), protocol=2))
    Path("junk.pth").write_bytes(b"junk")
    Path("empty.pth").touch()
    for name in ("torch.pth", "pickle.pth", "junk.pth", "empty.pth"):
        with pytest.raises(InputError, match=f"{name}: not a plain state dict") as told:
            Inception(name, device="cpu")
        assert "weights_only" not in str(told.value)  # torch's advice is to execute it
    assert not Path("evil").exists()


def test_weights_of_another_network(tmp_path: Path) -> None:
    import torch

    for name, state in (("dict", {"fc.weight": torch.zeros(2)}), ("list", [torch.zeros(2)])):
        torch.save(state, tmp_path / name)
        with pytest.raises(InputError, match="do not fit torch-fidelity's Inception"):
            Inception(tmp_path / name, device="cpu")


@pytest.mark.parametrize(
    "settings",
    [{}, {"XDG_CACHE_HOME": "/somewhere"}, {"XDG_CACHE_HOME": ""}, {"TORCH_HOME": "~/of torch"}],
)
def test_torchs_cache_is_found_without_torch(
    settings: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("TORCH_HOME", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    told_by_torch = Path(torch.hub.get_dir())
    monkeypatch.delitem(sys.modules, "torch")
    assert module._torch_hub() == told_by_torch
    assert "torch" not in sys.modules


def test_where_weights_are_looked_for(
    inception_weights: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture,
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setenv("CMDMETRIC_CACHE", str(tmp_path / "cache"))
    with pytest.raises(InputError, match="no such weights file"):
        find_inception_weights(tmp_path / "nowhere.pth")
    with pytest.raises(InputError, match=r"HF_HUB_OFFLINE forbids a download\. Three ways"):
        find_inception_weights()
    ours = tmp_path / "cache" / "weights" / "weights-inception-2015-12-05-6726825d.pth"
    hub = tmp_path / "torch" / "hub" / "checkpoints" / ours.name
    for file in (ours, hub):
        file.parent.mkdir(parents=True)
        file.write_bytes(b"stands for the published file")
    with pytest.raises(InputError, match="not at hand"):  # a wrong sha256 is not trusted
        find_inception_weights()
    assert capsys.readouterr().err.count("wrong sha256") == 2
    monkeypatch.setattr(module, "SHA256", module.sha256_of(ours))
    assert find_inception_weights() == hub
    hub.unlink()
    assert find_inception_weights() == ours
    ours.unlink()
    asked = []
    monkeypatch.setattr(module, "download", lambda *args: asked.append(args) or args[1])
    monkeypatch.setenv("HF_HUB_OFFLINE", "0")
    assert find_inception_weights() == ours
    assert asked == [(module.URL, ours, module.SHA256, "Inception weights")]


def test_the_name_of_the_published_file_begins_its_sha256() -> None:
    import torch_fidelity.feature_extractor_inceptionv3 as theirs

    assert theirs.URL_INCEPTION_V3 == module.URL
    assert len(module.SHA256) == 64 and module.URL.endswith(f"-{module.SHA256[:8]}.pth")


def test_inception_score_closed_forms() -> None:
    certain = np.tile(1000 * np.eye(5), (20, 1))  # five classes, each certain
    assert inception_score(certain, splits=1) == pytest.approx((5, 0))
    assert inception_score(np.zeros((20, 7))) == pytest.approx((1, 0))
    rng = np.random.default_rng(2)
    logits = 3 * rng.standard_normal((30, 6))
    p = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    q = p.mean(axis=0)
    divergence = math.fsum(p[i, j] * math.log(p[i, j] / q[j]) for i in range(30) for j in range(6))
    expected = math.exp(divergence / 30)
    assert inception_score(logits, splits=1).mean == pytest.approx(expected, rel=1e-12)
    with pytest.raises(InputError, match="9 logits are too few: it takes at least 10"):
        inception_score(logits[:9])
    with pytest.raises(InputError, match="0 splits"):
        inception_score(logits, splits=0)


def test_fid_of_other_features_is_refused(tmp_path: Path) -> None:
    clip = Moments.from_features(np.random.default_rng(3).standard_normal((600, 512)))
    clip.save(tmp_path / "clip.npz")
    with pytest.raises(InputError, match=r"clip.npz: FID .* have 512 dimensions"):
        fid(tmp_path / "clip.npz", clip)
    with pytest.raises(InputError, match="no such file"):
        fid(tmp_path / "none.npz", clip)
