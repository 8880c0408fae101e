import json

import pytest
from PIL import Image

from tests.support.grgan_runs import flags, gan_run, grgan, itm_run, succeed, train_arguments


@pytest.mark.parametrize(
    "command",
    ["train-itm", "train-damsm", "import-damsm", "train", "sample", "retrieval", "info", "ablate"],
)
def test_help_has_an_example(command):
    assert f"grgan {command}" in succeed(command, "--help").stdout


def test_info_of_presets_and_runs():
    text = succeed("info", "coco-released").stdout
    assert "generator: 22,503,762 parameters" in text  # the released generator's
    assert '"quirks.mixed_memory_mask": true' in text
    text = succeed("info", "scenes-tiny", "--set=train.batch=3").stdout
    assert '"train.batch": 3' in text
    text = succeed("info", gan_run()).stdout
    assert "checkpoint at step 12" in text
    assert "generator.safetensors" in text
    text = succeed("info", itm_run()).stdout
    assert "itm.safetensors" in text and "itm: text of" in text
    assert "generator:" not in text  # it holds none


def refused(message, *arguments):
    """Exit code 2, one line that says `message`, nothing on stdout, no traceback."""
    result = grgan(*arguments)
    assert result.exit_code == 2, result.output
    assert message in result.stderr
    assert not result.stdout
    assert isinstance(result.exception, SystemExit)


def test_wrong_configuration(tmp_path):
    start = ["train-itm", "--out", tmp_path / "out"]
    refused("nearest known is 'train.batch'", *start, "--preset=scenes-tiny", "--set=train.bach=3")
    refused("write KEY=VALUE", *start, "--preset=scenes-tiny", "--set=train.batch")
    refused("scenes-smal", *start, "--preset=scenes-smal")
    refused("nearest known", "info", "scenes-tiny", "--set=model.width=3")
    refused("holds no model", "info", tmp_path)
    assert not (tmp_path / "out").exists()


def test_wrong_data(tmp_path):
    (tmp_path / "data").mkdir()
    out = tmp_path / "out"
    start = ["train-itm", "--preset=scenes-tiny", "--out", out, *flags(data__kind="folder")]
    refused("give --data ROOT", *start)
    refused("no captions file", *start, "--data", tmp_path / "data")
    Image.new("RGB", (16, 16)).save(tmp_path / "data" / "a.png")
    captions = tmp_path / "data" / "captions.json"
    captions.write_text(json.dumps({"a": "a dog", "b": "a cat"}))
    refused("1 images that are not in", *start, "--data", tmp_path / "data")
    captions.write_text(json.dumps({"a": "a dog"}))
    refused("below 32 pixels", *start, "--data", tmp_path / "data")
    captions.write_text(json.dumps({"a": "..."}))
    refused("a.png (16x16)", *start, "--data", tmp_path / "data")
    assert not out.exists()


def test_wrong_model(tmp_path):
    out = tmp_path / "out"
    start = ["train", "--preset=scenes-tiny", "--out", out]
    refused("holds no itm.safetensors", *start, "--itm", tmp_path)
    refused("was trained with itm.clip", *start, "--itm", itm_run())
    layer = flags(itm__region_layer=2)
    refused("itm.region_layer = 1, this configuration has 2", *start, "--itm", itm_run(), *layer)
    for device in ("cuda:7", "nosuch", "meta"):
        refused(f"no device '{device}'", *train_arguments(out), f"--device={device}")
    refused("3 images are fewer than one batch of 4", *train_arguments(out, data__scenes=3))
    refused("give --matcher FOLDER, --clip MODEL, or several", "retrieval")
    assert not (out / "checkpoints").exists()
