"""Arguments of other types than they should be: an InputError that names the argument."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from cmdmetric import InputError, cmd
from cmdmetric.cli.main import main


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("batch_size", "3"), ("batch_size", 0), ("batch_size", 2.5), ("batch_size", True),
        ("batch_size", None), ("protocol", {}), ("protocol", 5), ("protocol", None),
        ("cache", 5), ("cache", {}), ("cache", None), ("encoder", "x"), ("encoder", 5),
        ("dtype", []), ("on_error", {}), ("metrics", 5), ("metrics", [5]),
        ("device", "nosuch"), ("device", "meta"), ("device", 5.5),
    ],
)  # fmt: skip
def test_wrong_types(name: str, value: Any, example: Path) -> None:
    options = {"model": "scenes-toy", name: value}
    with pytest.raises(InputError, match=name):
        cmd(example / "generated", example / "captions.json", **options)


@pytest.mark.parametrize(("name", "value"), [("weights", 5), ("weights", {}), ("model", 5)])
def test_what_is_no_path_nor_name(name: str, value: Any, example: Path) -> None:
    options = {"model": "scenes-toy", name: value}
    with pytest.raises(InputError, match=r"5|\{\}"):
        cmd(example / "generated", example / "captions.json", **options)


@pytest.mark.parametrize(
    "images",
    [
        torch.zeros(4, 3, 8, 8, dtype=torch.uint8, device="meta"),
        torch.zeros(4, 3, 8, 8, dtype=torch.uint8).to_sparse(),
        [torch.zeros(3, 8, 8, dtype=torch.uint8, device="meta")],
        torch.nested.nested_tensor([torch.zeros(n, n, 3, dtype=torch.uint8) for n in (8, 9)]),
        np.zeros((4, 8, 8, 3), bool), torch.zeros(4, 3, 8, 8, dtype=torch.bool),
        [np.zeros((8, 8, 3), np.uint8), np.zeros((8, 8), bool)],
        {"a": np.zeros((8, 8), bool)},
        np.ma.masked_array(np.zeros((4, 8, 8, 3), np.uint8), mask=True),
    ],
)  # fmt: skip
def test_tensors_and_masks_that_are_no_pixels(images: Any) -> None:
    with pytest.raises(InputError, match=r"tensor|is bool|masked array"):
        cmd(images, ["a"] * 4, images, model="scenes-toy")


@pytest.mark.usefixtures("remembered_example")
def test_options_are_refused_where_all_is_cached(example: Path) -> None:
    call = ["score", str(example / "generated"), str(example / "captions.json"), "-q"]
    call += ["--model", "scenes-toy"]
    assert CliRunner().invoke(main, call).exit_code == 0
    wrong = [("--device", name) for name in ("nosuch", "meta", "cuda:99")]
    for option, value in (("--batch-size", "0"), *wrong):
        done = CliRunner().invoke(main, [*call, option, value])
        assert done.exit_code == 2, option
        assert done.stderr.startswith("error: ")
