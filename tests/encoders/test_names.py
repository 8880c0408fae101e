"""Names as other tools write them, and weights that are nowhere: what is told."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from cmdmetric import InputError, cmd
from cmdmetric.encoders import build_image_network
from cmdmetric.encoders.weights import find_checkpoint
from cmdmetric.protocol import get_protocol


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("ViT-B/32", "ViT-B-32"),
        ("vit-b-32", "ViT-B-32"),
        ("openai/clip-vit-base-patch32", "ViT-B-32/openai"),
        ("openai/clip-vit-large-patch14-336", "ViT-L-14-336/openai"),
        ("hf-hub:openai/clip-vit-base-patch32", "ViT-B-32/openai"),
        ("hf-hub:laion/CLIP-ViT-B-32-laion2B-s34B-b79K", "ViT-B-32/laion2b_s34b_b79k"),
    ],
)
def test_the_nearest_right_name_of_a_model(name: str, meant: str) -> None:
    with pytest.raises(InputError, match=rf"did you mean {re.escape(meant)}\?"):
        find_checkpoint(name)


def test_the_nearest_right_name_of_a_protocol() -> None:
    with pytest.raises(InputError, match=r"'grgna'.*did you mean grgan\?"):
        get_protocol("grgna")


def test_missing_weights_are_a_short_list() -> None:
    with pytest.raises(InputError) as told:
        find_checkpoint(None)
    text = str(told.value)
    for part in (
        "ViT-B-32.pt, 354 MB",
        "sha256      40d365715913c9da98579312b702a82c18be219cc2a73407c4526f58eba950af",
        "looked for  ",
        "Three ways",
        "--weights FILE",
        "--model scenes-toy",
    ):
        assert part in text
    assert max(map(len, text.splitlines())) < 250


@pytest.mark.parametrize("network", ["clip-hessel", "clip-cmmd", "dinov2", "resnet10t"])
def test_missing_weights_of_an_image_model_name_their_option(network: str) -> None:
    with pytest.raises(InputError, match="are not at hand") as told:
        _ = build_image_network(network, None, None, device="cpu", batch_size=2).sha256
    assert "--image-weights FILE" in str(told.value)
    assert " --weights" not in str(told.value) and "scenes-toy" not in str(told.value)


def test_swapped_arguments_are_told(example: Path) -> None:
    with pytest.raises(InputError, match="arguments swapped"):
        cmd(example / "captions.json", example / "generated", model="scenes-toy")


@pytest.mark.filterwarnings("ignore:.*too few:UserWarning")
def test_a_device_that_had_nothing_to_do_is_told(
    small_example: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    told = []
    for _ in range(2):
        cmd(
            small_example / "generated", small_example / "captions.json",
            model="scenes-toy", device="cpu", progress=True,
        )  # fmt: skip
        told.append("cpu was not used for CLIP" in capsys.readouterr().err)
    assert told == [False, True]
