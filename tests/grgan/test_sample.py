import json
import os
import shutil

import numpy as np
import pytest
import torch
from PIL import Image

from cmdmetric.inputs.captions import read_captions
from cmdmetric.inputs.pairing import pair
from grgan_ref.config import Config
from grgan_ref.errors import GrganError
from grgan_ref.matching.itm import build_itm
from grgan_ref.model import TextToImage, load_model
from grgan_ref.networks.generator import Generator
from grgan_ref.sample import Job, choose, sample
from tests.support import golden
from tests.support.grgan_runs import gan_run, grgan, settings, succeed

CPU = torch.device("cpu")
CAPTIONS = {
    "COCO_val2014_000000000042.jpg": ["a red circle", "one circle, red", "a circle on grey"],
    "birds/two.png": "a large blue star above a small green ring",
    "three": "a cross",
    "four.jpg": "a cross",
    "five.jpg": "a purple heart in the top left on a striped teal background",
}


@pytest.fixture
def captions(tmp_path):
    file = tmp_path / "captions.json"
    file.write_text(json.dumps(CAPTIONS))
    return file


def pictures(folder):
    return {
        path.relative_to(folder).as_posix(): np.asarray(Image.open(path)).astype(int)
        for path in sorted(folder.rglob("*.png"))
    }


def test_choose_takes_one_caption_per_image_by_the_seed(captions):
    read = read_captions(captions)
    jobs = choose(read, None, seed=1)
    assert [job.name for job in jobs] == [
        "COCO_val2014_000000000042",
        "birds/two",
        "three",
        "four",
        "five",
    ]
    drawn = {choose(read, 1, seed)[0].caption for seed in range(20)}
    assert drawn == set(CAPTIONS["COCO_val2014_000000000042.jpg"])
    assert choose(read, 3, seed=1) == jobs[:3]
    assert jobs[2].caption == jobs[3].caption
    assert jobs[2].key != jobs[3].key  # a caption that comes twice gets two images


def test_choose_numbers_captions_without_images():
    assert [job.name for job in choose(read_captions(["a dog", "a cat"]), None, 0)] == [
        "000000",
        "000001",
    ]


def test_choose_errors(captions):
    with pytest.raises(GrganError, match="--num 6: the captions belong to 5 images"):
        choose(read_captions(captions), 6, 0)
    with pytest.raises(GrganError, match="1 captions have no words: b"):
        choose(read_captions({"a": "a dog", "b": "!!"}), None, 0)
    with pytest.raises(GrganError, match="equal but for their endings: a"):
        choose(read_captions({"a.jpg": "a dog", "a.png": "a cat"}), None, 0)


def test_names_stay_inside_the_output_folder():
    jobs = choose(read_captions({"../../x.jpg": "a dog", "/etc/y.jpg": "a cat"}), None, 0)
    assert [job.name for job in jobs] == ["x", "y"]


@pytest.mark.parametrize("name", ["..\\..\\x.jpg", "C:\\x.jpg", "C:x.jpg", "a/..\\x.jpg"])
def test_names_of_another_system_stay_in_the_folder_too(name: str) -> None:
    (job,) = choose(read_captions({name: "a dog"}), None, 0)
    assert job.name == "x"


@pytest.mark.parametrize("name", ["a\0.jpg", "a" * 300, "\ud83d.jpg"])
def test_names_that_no_file_can_have(name: str) -> None:
    with pytest.raises(GrganError, match="rename it"):
        choose(read_captions({name: "a dog"}), None, 0)


def test_sample_pairs_with_its_captions_and_says_what_it_made(captions, tmp_path):
    out = tmp_path / "out"
    result = succeed("sample", gan_run(), captions, out, "--seed=3")
    assert "5 images made, 0 were there" in result.stderr
    made = pictures(out)
    assert all(image.shape == (32, 32, 3) for image in made.values())
    for names in (CAPTIONS, json.loads((out / "captions.json").read_text())):
        pairing = pair(list(made), read_captions(names).images)
        assert not pairing.unpaired_images
        assert not pairing.unpaired_captions
    assert not np.array_equal(made["three.png"], made["four.png"])


def test_sample_does_not_depend_on_batch_or_on_other_captions(captions, tmp_path):
    succeed("sample", gan_run(), captions, tmp_path / "all", "--seed=3", "--batch=5")
    succeed("sample", gan_run(), captions, tmp_path / "single", "--seed=3", "--batch=1")
    few = tmp_path / "few.json"
    few.write_text(json.dumps({name: CAPTIONS[name] for name in ("five.jpg", "three")}))
    succeed("sample", gan_run(), few, tmp_path / "few", "--seed=3")
    everything = pictures(tmp_path / "all")
    for folder in ("single", "few"):
        for name, image in pictures(tmp_path / folder).items():
            # The same noise and network; matrix products of other shapes round differently, which
            # after cutting to 8 bits is one level at most.
            assert np.abs(image - everything[name]).max() <= 1
    succeed("sample", gan_run(), captions, tmp_path / "other", "--seed=4")
    assert np.abs(pictures(tmp_path / "other")["five.png"] - everything["five.png"]).max() > 1


def test_sample_continues_and_never_mixes(captions, tmp_path):
    out, again = tmp_path / "out", tmp_path / "again"
    succeed("sample", gan_run(), captions, out, "--num=2")
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*.png")}
    (out / "half.png.1.partial").write_bytes(b"left by a killed run")
    result = succeed("sample", gan_run(), captions, out)
    assert "3 images made, 2 were there" in result.stderr
    assert all(path.stat().st_mtime_ns == time for path, time in before.items())
    succeed("sample", gan_run(), captions, again)
    assert pictures(out).keys() == pictures(again).keys()
    assert "0 images made, 5 were there" in succeed("sample", gan_run(), captions, out).stderr
    for other in ("--seed=1", "--stage=all"):
        result = grgan("sample", gan_run(), captions, out, other)
        assert result.exit_code == 2
        assert "holds samples made otherwise" in result.stderr


def test_stages(captions, tmp_path):
    succeed("sample", gan_run(), captions, tmp_path / "all", "--stage=all")
    sizes = {name: image.shape[0] for name, image in pictures(tmp_path / "all").items()}
    assert sizes["stage-1/three.png"] == 8
    assert sizes["stage-2/birds/two.png"] == 16
    assert sizes["stage-3/three.png"] == 32
    assert len(sizes) == 15
    succeed("sample", gan_run(), captions, tmp_path / "second", "--stage=2")
    everything = pictures(tmp_path / "all")
    for name, image in pictures(tmp_path / "second").items():
        assert np.array_equal(image, everything[f"stage-2/{name}"])
    result = grgan("sample", gan_run(), captions, tmp_path / "none", "--stage=4")
    assert result.exit_code == 2
    assert "a number from 1 to 3" in result.stderr


def test_the_mask_quirk_makes_images_depend_on_their_batch(tmp_path):
    """With every mask slot read, a pixel reads the words under another caption's mask."""
    config = Config.load("scenes-tiny", settings(quirks__mixed_memory_mask=True))
    torch.manual_seed(0)
    model = TextToImage(config, Generator(config), build_itm(config))
    short, long = Job("a", "star", "k"), Job("b", "one red star " * 5, "k")
    alone = model.generate([short.caption], [short.key])[-1][0].astype(int)
    beside = model.generate([short.caption, long.caption], ["k", "k"])[-1][0].astype(int)
    assert np.abs(alone - beside).max() > 1
    # So whole batches are made again, and the batch size is part of what must agree.
    first = tmp_path / "out"
    assert sample(model, [short, long], first, {}, batch=2) == 2
    kept = pictures(first)
    (first / "a.png").unlink()
    assert sample(model, [short, long], first, {}, batch=2) == 2
    assert all(np.array_equal(image, kept[name]) for name, image in pictures(first).items())
    with pytest.raises(GrganError, match="batch: 2 -> 1"):
        sample(model, [short, long], first, {}, batch=1)


def test_a_model_survives_being_saved(tmp_path):
    model = load_model(gan_run(), CPU)
    model.save(tmp_path / "whole")
    model.save(tmp_path / "half", half=True)
    captions, keys = ["a red circle"], ["key"]
    images = model.generate(captions, keys)[-1].astype(int)
    whole = load_model(tmp_path / "whole", CPU)
    assert np.array_equal(whole.generate(captions, keys)[-1], images)
    assert whole.fingerprint() == model.fingerprint()
    half = load_model(tmp_path / "half", CPU).generate(captions, keys)[-1].astype(int)
    # float16 keeps 11 bits of every weight: a few levels of 256 behind three stages.
    assert np.abs(half - images).max() <= 8


def test_the_authors_files_sample_by_the_same_command(captions, tmp_path):
    """Files of the released layout, with the golden generator and a random CLIP's ITM."""
    net_g = golden.Golden("netG.npz").state("netG/")
    torch.save({"epoch": 1, "netG": net_g, "netD": []}, tmp_path / "checkpoint_0300.pth")
    config = golden.config()
    table = config.to_dict()
    table["itm"] |= {"clip": "ViT-S-32-alt", "region_layer": 1}
    itm = build_itm(Config.from_dict(table), pretrained=False)
    names = {"region": "emb_features", "word": "dense_word", "word_norm": "LayerNorm"}
    names |= {"sentence": "dense_sent", "image": "emb_cnn_code"}
    released = {f"model.{key}": value for key, value in itm.clip.state_dict().items()}
    for key, value in itm.heads.state_dict().items():
        head, _, rest = key.partition(".")
        released[f"MLP.{names[head]}.{rest}"] = value
    torch.save(released, tmp_path / "ITM_model149.pth")
    lines = [f"stages = {json.dumps(table['model'].pop('stages'))}".replace('":', '" =')]
    lines += [f"{key} = {json.dumps(value)}" for key, value in table["model"].items()]
    preset = ["[model]", *lines, "[itm]", 'clip = "ViT-S-32-alt"', "region_layer = 1", "[quirks]"]
    preset += [f"{key} = true" for key in table["quirks"]]
    (tmp_path / "small.toml").write_text("\n".join(preset))
    arguments = ["sample", tmp_path / "checkpoint_0300.pth", captions, tmp_path / "out"]
    arguments += ["--itm", tmp_path / "ITM_model149.pth", "--preset", tmp_path / "small.toml"]
    assert "images depend on their batch" in succeed(*arguments).stderr
    assert len(pictures(tmp_path / "out")) == 5
    del net_g["img_net1.img.0.weight"]
    torch.save({"epoch": 1, "netG": net_g, "netD": []}, tmp_path / "checkpoint_0300.pth")
    result = grgan(*arguments)
    assert result.exit_code == 2
    assert "missing key 'to_image.0.weight'" in result.stderr


def test_checkpoint_errors(captions, tmp_path):
    for checkpoint, message in (
        (tmp_path / "none", "holds no generator.safetensors"),
        (tmp_path / "released.pth", "released.pth: no such file"),
    ):
        result = grgan("sample", checkpoint, captions, tmp_path / "out")
        assert result.exit_code == 2
        assert message in result.stderr
    broken = tmp_path / "broken"
    shutil.copytree(gan_run() / "model", broken)
    file = broken / "generator.safetensors"
    os.truncate(file, file.stat().st_size // 2)
    result = grgan("sample", broken, captions, tmp_path / "out")
    assert result.exit_code == 2
    assert str(file) in result.stderr
    result = grgan("sample", gan_run(), tmp_path / "none.json", tmp_path / "out")
    assert result.exit_code == 2
    assert "none.json" in result.stderr
    assert not (tmp_path / "out").exists()
