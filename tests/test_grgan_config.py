"""The configuration: presets, overrides, and errors that name the key."""

import dataclasses
import json

import pytest

from grgan_ref.config import Config, QuirksConfig, StageConfig, presets
from grgan_ref.errors import GrganError


def test_presets():
    assert presets() == ["coco", "coco-released", "cub", "scenes-small", "scenes-tiny"]


@pytest.mark.parametrize("name", presets())
def test_json_round_trip(name):
    config = Config.load(name)
    assert Config.from_dict(json.loads(json.dumps(config.to_dict()))) == config


def test_quirks_only_in_the_released_preset():
    for name in presets():
        quirks = dataclasses.asdict(Config.load(name).quirks)
        assert set(quirks.values()) == {name == "coco-released"}
    assert set(dataclasses.asdict(QuirksConfig()).values()) == {False}


def test_released_hyperparameters():
    config = Config.load("coco-released")
    assert [(s.kind, s.size) for s in config.model.stages] == [("I", 64), ("S", 128), ("W", 256)]
    assert (config.loss.lambda1, config.loss.lambda2) == (4, 1)
    assert (config.loss.gamma1, config.loss.gamma2, config.loss.gamma3) == (4, 5, 10)
    assert config.train.generator_rate == config.train.discriminator_rate == 2e-5


def test_file_and_overrides(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text('[model]\nstages = [{kind = "W", size = 64}]\n[loss]\nlambda1 = 2\n')
    config = Config.load(path, {"train.batch": "16", "loss.kl": 0.5, "itm.clip": "a/b"})
    assert config.model.stages == (StageConfig("W", 64),)
    assert (config.loss.lambda1, config.loss.kl) == (2.0, 0.5)
    assert isinstance(config.loss.lambda1, float)
    assert (config.train.batch, config.itm.clip) == (16, "a/b")
    stages = '[{kind = "S", size = 16}, {kind = "I", size = 32}]'
    assert len(Config.load(path, {"model.stages": stages}).model.stages) == 2


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"train.bacth": 2}, r"unknown key 'train\.bacth'; the nearest known is 'train\.batch'"),
        ({"trian.batch": 2}, "unknown key 'trian'; the nearest known is 'train'"),
        ({"train.batch": "many"}, "train.batch=many: 'many' is not a TOML value"),
        ({"train.batch": 2.5}, r"train\.batch is 2\.5; it must be of type int"),
        ({"train.batch": True}, r"train\.batch is True; it must be of type int"),
        ({"train.batch": 1}, r"train\.batch is 1"),
        ({"train": 3}, r"train is 3; it must be a table"),
        ({"train.batch.size": 3}, r"batch"),
        ({"train.betas": [0.5]}, r"train\.betas is \[0\.5\]; it must be a list of 2"),
        ({"train.optimiser": "sgd"}, r"train\.optimiser is 'sgd'.*'adamax', 'adam'"),
        ({"model.stages": [{"kind": "W"}]}, r"model\.stages\[0\] needs all of kind, size"),
        ({"model.stages": [{"kind": "X", "size": 64}]}, r"model\.stages\[0\]\.kind is 'X'"),
        ({"model.stages": []}, r"model\.stages is empty"),
        ({"model.stages": [{"kind": "I", "size": 48}]}, "48; it must be a power of two"),
        (
            {"model.stages": [{"kind": "I", "size": 16}, {"kind": "W", "size": 64}]},
            "size 64 follows 16.*write 32",
        ),
    ],
)
def test_errors_name_the_key(overrides, message):
    with pytest.raises(GrganError, match=message):
        Config.load("scenes-tiny", overrides)


def test_unreadable_files(tmp_path):
    with pytest.raises(GrganError, match=r"'scenes-tinny': neither a preset .*scenes-tiny"):
        Config.load("scenes-tinny")
    path = tmp_path / "bad.toml"
    path.write_text("[model\n")
    with pytest.raises(GrganError, match=r"bad\.toml: not a TOML file"):
        Config.load(path)
