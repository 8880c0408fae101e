"""The configuration: presets, overrides, and errors that name the key."""

import dataclasses
import json
import math

import pytest

from grgan_ref.config import Config, QuirksConfig, StageConfig, presets
from grgan_ref.errors import GrganError

BACKBONES = ("attn", "dmgan")
MODULES = ("none", "da", "it", "da-grg", "it-grg")
SYSTEMS = [f"{backbone}-{module}" for backbone in BACKBONES for module in MODULES]


RELEASED = {
    "coco-released": set(dataclasses.asdict(QuirksConfig())),
    "attn-released": {"mixed_memory_mask"},
    "dmgan-released": {"mixed_memory_mask", "power_iteration_in_eval", "shared_power_vectors"},
}


def test_presets():
    assert presets() == sorted(
        [*SYSTEMS, *RELEASED, "plain", "coco", "cub", "scenes-small", "scenes-tiny"]
    )


@pytest.mark.parametrize("name", presets())
def test_json_round_trip(name):
    config = Config.load(name)
    assert Config.from_dict(json.loads(json.dumps(config.to_dict()))) == config


def test_quirks_only_in_the_released_presets():
    for name in presets():
        quirks = dataclasses.asdict(Config.load(name).quirks)
        assert {quirk for quirk, on in quirks.items() if on} == RELEASED.get(name, set())
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


NUMBERS = [
    (f"{section.name}.{number.name}", number.type)
    for section in dataclasses.fields(Config)
    for number in dataclasses.fields(getattr(Config(), section.name))
    if number.type in ("int", "float")
]


@pytest.mark.parametrize(("key", "kind"), NUMBERS)
def test_no_number_is_taken_that_nothing_can_be_built_with(key, kind):
    bad = {"int": (-1, 2**31, 10**400), "float": (-1.0, math.inf, math.nan, 10**400)}[kind]
    for value in bad:
        with pytest.raises(GrganError, match=rf"{key} is .*; it must be "):
            Config.load("scenes-tiny", {key: value})


def test_no_size_is_taken_that_overflows():
    """Found by fuzzing: torch raises RuntimeError and TypeError of them."""
    for stages in ([{"kind": "I", "size": 2**20}], [{"kind": "I", "size": 0}]):
        with pytest.raises(GrganError, match=r"model\.stages\[0\]\.size is "):
            Config.load("scenes-tiny", {"model.stages": stages})
    with pytest.raises(GrganError, match="generator_width is 1000000; it must be from 1 to 16,384"):
        Config.load("scenes-tiny", {"model.generator_width": 1000000})


def test_unreadable_files(tmp_path):
    with pytest.raises(GrganError, match=r"'scenes-tinny': neither a preset .*scenes-tiny"):
        Config.load("scenes-tinny")
    path = tmp_path / "bad.toml"
    path.write_text("[model\n")
    with pytest.raises(GrganError, match=r"bad\.toml: not a TOML file"):
        Config.load(path)


# --- presets that have a base ----------------------------------------------------------------


@pytest.mark.parametrize("base", [None, "scenes-tiny"])
def test_the_ten_systems_differ_in_what_their_names_say(base):
    configs = {name: Config.load(name, base=base) for name in SYSTEMS}
    for name, config in configs.items():
        backbone, module, *grg = name.split("-")
        batch_norm = config.model.discriminator == "batch"
        assert (config.model.refinement, batch_norm) == (backbone, backbone == "attn")
        assert config.model.matcher == ("itm" if module == "it" else "damsm")
        assert (config.loss.lambda1 == config.loss.lambda2 == 0) == (module == "none")
        kinds = [stage.kind for stage in config.model.stages]
        assert kinds == (["I", "S", "W"] if grg else ["J", "J", "J"])
    assert len({json.dumps(config.to_dict()) for config in configs.values()}) == 10


def test_sizes_and_data_are_those_of_the_base():
    for name in [*SYSTEMS, "plain"]:
        tiny, coco = Config.load(name, base="scenes-tiny"), Config.load(name)
        own = Config.load("scenes-tiny")
        assert (tiny.data, tiny.train, tiny.itm) == (own.data, own.train, own.itm)
        assert tiny.model.generator_width == own.model.generator_width
        assert [stage.size for stage in tiny.model.stages] == [8, 16, 32]
        assert [stage.size for stage in coco.model.stages] == [64, 128, 256]


def test_published_configurations_of_attngan_and_dmgan():
    attngan, dmgan = Config.load("attn-da"), Config.load("dmgan-da")
    assert (attngan.model.generator_width, attngan.model.discriminator_width) == (48, 96)
    assert (dmgan.model.generator_width, dmgan.model.discriminator_width) == (64, 32)
    for config, batch in ((attngan, 14), (dmgan, 16)):
        assert config.model.embedding_dim == 256
        assert config.loss.lambda1 == config.loss.lambda2 == 50
        assert (config.train.optimiser, config.train.batch) == ("adam", batch)
        assert config.train.generator_rate == 2e-4


def test_gr_gan_is_the_row_with_everything():
    assert Config.load("dmgan-it-grg") == Config.load("coco")
    assert Config.load("dmgan-it-grg", base="scenes-small") == Config.load("scenes-small")


def test_order_changes_the_kinds_and_keeps_the_sizes():
    config = Config.load("scenes-tiny", {"order": "S-W-I"})
    assert [(s.kind, s.size) for s in config.model.stages] == [("S", 8), ("W", 16), ("I", 32)]
    assert [s.kind for s in Config.load("coco", {"order": "I-W-S"}).model.stages] == list("IWS")
    with pytest.raises(GrganError, match="order is 'I-S'; it must name a kind for each of the 3"):
        Config.load("coco", {"order": "I-S"})
    with pytest.raises(GrganError, match=r"stages\[1\]\.kind is 'X'"):
        Config.load("coco", {"order": "I-X-S"})


def test_own_file_upon_a_base(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text(
        'base = "scenes-tiny"\n[loss]\nkl = 2\n[scenes-small.loss]\nkl = 3\n'
        "[scenes-tiny.train]\nbatch = 6\n"
    )
    own, other = Config.load(path), Config.load(path, base="scenes-small")
    assert (own.loss.kl, own.train.batch) == (2.0, 6)
    assert (other.loss.kl, other.train.batch) == (3.0, Config.load("scenes-small").train.batch)
    with pytest.raises(GrganError, match="coco has no base that 'scenes-tiny' could replace"):
        Config.load("coco", base="scenes-tiny")
    with pytest.raises(GrganError, match="'nowhere': neither a preset"):
        Config.load("attn-da", base="nowhere")


def test_plain_stages_cannot_read_text():
    with pytest.raises(GrganError, match='"plain" reads no text'):
        Config.load("plain", {"order": "J-S-J"})
