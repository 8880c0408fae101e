"""Where the shared data is, the bundled example, and a tiny CLIP in open_clip's folder format."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import threading
from collections.abc import Callable, Iterator

if "PYTEST_XDIST_WORKER" in os.environ:
    # Workers that each start a thread for every core wait for one another most of the time. The
    # libraries read this when they are loaded, and the commands that tests start inherit it.
    share = (os.cpu_count() or 1) // int(os.environ["PYTEST_XDIST_WORKER_COUNT"])
    os.environ.setdefault("OMP_NUM_THREADS", str(max(share, 1)))

# A command that a test starts would compile the whole package anew, where nothing may be kept.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from filelock import FileLock
from hypothesis import settings

from tests.support.example import EXAMPLE, part_of_example
from tests.support.pictures import noisy_colours

if TYPE_CHECKING:
    from cmdmetric import Encoder

# A busy machine is no failure.
settings.register_profile("any machine", deadline=None)
settings.load_profile("any machine")

ROOT = Path(__file__).resolve().parents[1]
GOLDEN = Path(os.environ.get("CMDMETRIC_GOLDEN", ROOT.parent / "shared" / "golden"))
SHARED = GOLDEN.parent

TINY_CLIP = {
    "embed_dim": 16,
    "vision_cfg": {"image_size": 32, "patch_size": 8, "width": 32, "layers": 1, "head_width": 16},
    "text_cfg": {
        "context_length": 77,
        "vocab_size": 49408,
        "width": 16,
        "heads": 2,
        "layers": 2,
    },
    "quick_gelu": True,
}


def shared(path: str) -> Path:
    """A file of the shared data, or a skip where there is none."""
    found = SHARED / path
    if not found.exists():
        pytest.skip(f"shared data absent: {found} (set CMDMETRIC_GOLDEN to its golden folder)")
    return found


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Workers begin with a half of the tests each, and take from one another in the end: most
    modules stay on one worker, which makes their fixtures once."""
    from xdist.scheduler import WorkStealingScheduling

    return WorkStealingScheduling(config, log) if config.getoption("dist") == "load" else None


@pytest.fixture(scope="session")
def example() -> Path:
    """The bundled example: generated/, real/, captions.json."""
    return EXAMPLE


@pytest.fixture(scope="session")
def small_example(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The first 60 images of each side of the bundled example, with their captions."""
    folder = tmp_path_factory.mktemp("small-example")
    part_of_example(folder, 60)
    return folder


@pytest.fixture(scope="session", autouse=True)
def shielded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Nothing that is tested sees or touches the user's caches, or the network."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CMDMETRIC_CACHE", str(tmp_path_factory.mktemp("cache")))
        patch.setenv("HOME", str(tmp_path_factory.mktemp("home")))
        patch.setenv("HF_HUB_OFFLINE", "1")
        patch.delenv("CMDMETRIC_REFERENCES", raising=False)
        yield


@pytest.fixture(autouse=True)
def own_caches(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """What one test keeps, no other finds."""
    monkeypatch.setenv("CMDMETRIC_CACHE", str(tmp_path_factory.mktemp("cache")))
    monkeypatch.setenv("HOME", str(tmp_path_factory.mktemp("home")))


@pytest.fixture(scope="session")
def tiny_clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A seeded random CLIP as an open_clip model folder."""
    import open_clip
    import torch
    from safetensors.torch import save_file

    folder = tmp_path_factory.mktemp("models") / "tiny-clip"
    folder.mkdir()
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = open_clip.CLIP(**TINY_CLIP)
    state = {key: value.contiguous() for key, value in model.state_dict().items()}
    save_file(state, folder / "open_clip_model.safetensors")
    (folder / "open_clip_config.json").write_text(json.dumps({"model_cfg": TINY_CLIP}))
    return folder


@pytest.fixture(scope="session")
def tiny_encoder(tiny_clip: Path) -> Encoder:
    """The seeded random CLIP: it reads every word, and means nothing by any."""
    from cmdmetric import Encoder

    return Encoder(tiny_clip, device="cpu")


@pytest.fixture(scope="session")
def encoder() -> Encoder:
    """The bundled encoder of drawn scenes."""
    from cmdmetric import Encoder

    return Encoder("scenes-toy", device="cpu")


@pytest.fixture(scope="session")
def of_all_workers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of this run of the tests, the same one for all workers."""
    folder = tmp_path_factory.getbasetemp()
    return folder.parent if "PYTEST_XDIST_WORKER" in os.environ else folder


@pytest.fixture(scope="session")
def seen_example(of_all_workers: Path, encoder: Encoder, example: Path) -> Path:
    """What CMDMETRIC_CACHE holds after a score of the bundled example by the bundled encoder."""
    from cmdmetric import cmd

    folder = of_all_workers / "seen-example"
    with FileLock(f"{folder}.lock"):
        if not folder.exists():
            unfinished = folder.with_name("seeing-example")
            sides = example / "generated", example / "captions.json"
            cmd(*sides, encoder=encoder, cache=unfinished / "features")
            unfinished.rename(folder)
    return folder


@pytest.fixture
def remembered_example(own_caches: None, seen_example: Path) -> None:
    """The test's cache knows the bundled example: what is made of its features is tested, and that
    they are computed, by others (test_cli.py's of the example, tests/cache, tests/features)."""
    shutil.copytree(seen_example, os.environ["CMDMETRIC_CACHE"], dirs_exist_ok=True)


@pytest.fixture(scope="session")
def pictures() -> np.ndarray:
    """(40, 32, 32, 3) uint8: flat colours with noise, so that features differ."""
    return noisy_colours(40)


@pytest.fixture(scope="session")
def inception_weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Inception weights of the right shapes, He-initialised: torch's own make constant features."""
    import torch
    from torch_fidelity import feature_extractor_inceptionv3 as theirs

    class Blank(theirs.FeatureExtractorInceptionV3):
        def load_state_dict(self, state: object) -> None:
            """Keep what the layers were made with."""

    file = tmp_path_factory.mktemp("inception") / "weights.pth"
    with pytest.MonkeyPatch.context() as patch, torch.random.fork_rng():
        patch.setattr(theirs, "load_state_dict_from_url", lambda *_, **__: {})
        torch.manual_seed(0)
        network = Blank("stand-in", ["2048"])
        for layer in network.modules():
            if isinstance(layer, torch.nn.Conv2d):
                torch.nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
            elif isinstance(layer, torch.nn.Linear):
                torch.nn.init.normal_(layer.weight, std=0.5)
        torch.save(network.state_dict(), file)
    return file


@pytest.fixture
def remembered_inception(of_all_workers: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the features of batches that Inception has seen in this run of the tests are kept:
    tests of what is made of them do not wait for the same passes."""
    from cmdmetric.encoders.inception import Inception, InceptionFeatures

    def rows(self: Inception, pixels: np.ndarray) -> np.ndarray:
        return np.hstack(true(self, pixels))

    def encode(self: Inception, pixels: np.ndarray) -> InceptionFeatures:
        return InceptionFeatures.of_rows(remembered(self, pixels))

    true = Inception.encode_pixels
    folder = of_all_workers / "inception-features"
    remembered = remember(rows, folder, lambda self: (self.sha256, self.device))
    monkeypatch.setattr(Inception, "encode_pixels", encode)
    return folder


@pytest.fixture(autouse=True)
def remembered_clip(
    request: pytest.FixtureRequest, of_all_workers: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As `remembered_inception`, for batches of images that a CLIP has seen, in the rooms above the
    features; not in integrations, whose trainers must not change what the encoder computes."""
    if request.path.parent.name not in {"scoring", "compare", "report"}:
        return
    from cmdmetric.encoders import Encoder

    folder = of_all_workers / "clip-features"
    remembered = remember(
        Encoder.encode_pixels, folder, lambda e: (e.checkpoint, e.dtype, e.protocol, e.device)
    )
    monkeypatch.setattr(Encoder, "encode_pixels", remembered)


def remember(
    encode: Callable[[Any, np.ndarray], np.ndarray],
    folder: Path,
    identity: Callable[[Any], object],
) -> Callable[[Any, np.ndarray], np.ndarray]:
    """A network's method that computes what the folder does not hold of the same pixels."""
    folder.mkdir(exist_ok=True)

    def remembered(network: Any, pixels: np.ndarray) -> np.ndarray:
        content = hashlib.sha256(repr((pixels.shape, identity(network))).encode())
        content.update(np.ascontiguousarray(pixels))
        file = folder / f"{content.hexdigest()}.npy"
        if not file.exists():
            unfinished = file.with_suffix(f".{os.getpid()}.{threading.get_ident()}.npy")
            np.save(unfinished, encode(network, pixels))
            unfinished.replace(file)
        return np.load(file)

    return remembered
