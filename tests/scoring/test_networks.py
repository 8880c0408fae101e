"""Networks beside CLIP: one entry in a table, and metrics that name it."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from cmdmetric import InputError, cmd
from cmdmetric.cache import Space
from cmdmetric.encoders.catalogue import IMAGE_NETWORKS
from cmdmetric.encoders.clip import Encoder
from cmdmetric.metrics import Moments, frechet_distance
from cmdmetric.scenes import draw_scene
from cmdmetric.scoring.family.catalogue import METRIC_OF, METRICS
from cmdmetric.scoring.family.metric import Given, Metric
from cmdmetric.uncertainty import Measured

N = 24
SIZE = 16


class Colours:
    """A network whose features are the mean colours of the quarters of an image."""

    sha256 = "c0" * 32
    fields: ClassVar[dict[str, str]] = {"proto": "quarters", "dtype": "fp64", "tok": "none"}

    def __init__(self, weights: Any, /, *, device: Any, batch_size: int, digest: Any) -> None:
        if weights is not None:
            raise InputError("colours have no weights")
        self.batch_size = batch_size
        self.space = Space("images, colours", what="colours")
        self.seen = 0

    def prepare(self, image: Image.Image) -> NDArray[np.uint8]:
        return np.asarray(image.convert("RGB").resize((SIZE, SIZE)))

    def encode(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        self.seen += len(pixels)
        half = SIZE // 2
        quarters = pixels.reshape(len(pixels), 2, half, 2, half, 3).mean(axis=(2, 4))
        return quarters.reshape(len(pixels), -1).astype(np.float32)

    def provenance(self, source: str) -> None:
        return None


def colour_distance(given: Given) -> list[Measured]:
    f, r = given.both_seen_by("colours")
    moments = Moments.from_features(f), Moments.from_features(r)
    return [Measured(frechet_distance(*moments), bias=None)]


@pytest.fixture
def networks(monkeypatch: pytest.MonkeyPatch) -> list[Colours]:
    """Every `Colours` that is built, where one metric is made with them."""
    metric = Metric("fd_colours", {"fd_colours": "lower"}, colour_distance, network="colours")
    built: list[Colours] = []

    def build(*args: Any, **options: Any) -> Colours:
        built.append(Colours(*args, **options))
        return built[-1]

    monkeypatch.setitem(IMAGE_NETWORKS, "colours", build)
    monkeypatch.setitem(METRICS, metric.name, metric)
    monkeypatch.setitem(METRIC_OF, metric.name, metric)
    return built


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    root = tmp_path_factory.mktemp("colours")
    for side, first in (("f", 0), ("r", 500)):
        (root / side).mkdir()
        for i in range(N):
            draw_scene(first + i).render(64).save(root / side / f"{i:02}.png")
    return root / "f", root / "r"


def expected(*folders: Path) -> float:
    network = Colours(None, device=None, batch_size=N, digest=None)
    features = [
        network.encode(np.stack([network.prepare(Image.open(p)) for p in sorted(folder.iterdir())]))
        for folder in folders
    ]
    return frechet_distance(*map(Moments.from_features, features))


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_every_table_entry_is_named_and_every_name_is_there() -> None:
    assert {metric.network for metric in METRICS.values()} - {None} == set(IMAGE_NETWORKS)


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_another_network_looks_in_the_same_pass(
    networks: list[Colours], folders: tuple[Path, Path], encoder: Encoder, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    opened = Image.open
    looked_at: list[object] = []

    def counted(file: object, *rest: object, **options: object) -> Image.Image:
        looked_at.append(file)
        return opened(file, *rest, **options)

    texts = [draw_scene(i).captions(1)[0] for i in range(N)]
    options: dict[str, Any] = {"encoder": encoder, "cache": tmp_path / "cache"}
    monkeypatch.setattr(Image, "open", counted)
    found = cmd(folders[0], texts, folders[1], metrics="fd_colours", **options)
    assert len(looked_at) == 2 * N, "one decode for both networks"
    monkeypatch.undo()
    assert found.metrics["fd_colours"].value == pytest.approx(expected(*folders), rel=1e-9)
    made = found.signatures["fd_colours"]
    assert "|proto:quarters|model:colours@c0c0c0c0|" in made and "|dtype:fp64|tok:none|" in made
    record = {"weights": Colours.sha256, "real": str(folders[1]), "n_real": N}
    record["contents"] = found.networks["colours"]["contents"]
    assert found.networks == {"colours": record} and len(record["contents"]) == 32
    assert found.to_dict()["networks"] == {"colours": record}


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_its_features_are_kept_and_none_is_built_for_other_metrics(
    networks: list[Colours], folders: tuple[Path, Path], encoder: Encoder, tmp_path: Path
) -> None:
    texts = [draw_scene(i).captions(1)[0] for i in range(N)]
    options: dict[str, Any] = {"encoder": encoder, "cache": tmp_path / "cache"}
    plain = cmd(folders[0], texts, folders[1], metrics="vendi", **options)
    assert not networks and plain.networks == {}
    first, again = (
        cmd(folders[0], texts, folders[1], metrics="fd_colours", **options) for _ in range(2)
    )
    assert [network.seen for network in networks] == [2 * N, 0]
    assert first.metrics == again.metrics


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_features_are_no_images_for_it(networks: list[Colours], encoder: Encoder) -> None:
    f = np.random.default_rng(0).standard_normal((60, 40)).astype(np.float32)
    with pytest.raises(InputError, match=r"^fd_colours: it takes images"):
        cmd(f, f, f + 1, metrics="fd_colours", encoder=encoder)
