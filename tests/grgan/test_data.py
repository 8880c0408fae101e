import json
import random
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from cmdmetric.scenes import draw_scene, hard_negatives
from grgan_ref.config import DataConfig
from grgan_ref.data.batches import (
    Augmentation,
    augment,
    middle_square,
    resize_shorter_side,
    to_uint8,
    to_unit,
    training_batches,
)
from grgan_ref.data.cub import square_around
from grgan_ref.data.sources import FIRST_SCENE, open_data, read_folder, scenes
from grgan_ref.errors import GrganError

AUGMENTATION = Augmentation(36, (8, 16, 32), flip=True)


def batches(**changes):
    options = {"batch": 6, "seed": 1, "start": 0, "stop": 5} | changes
    return list(training_batches(scenes("train", 20), AUGMENTATION, **options))


def same(one, other):
    return (
        one.names == other.names
        and one.captions == other.captions
        and all(torch.equal(a, b) for a, b in zip(one.images, other.images, strict=True))
    )


def test_batches_have_every_size_and_cross_epochs():
    made = batches()
    assert [tuple(stage.shape) for stage in made[0].images] == [
        (6, 3, 8, 8),
        (6, 3, 16, 16),
        (6, 3, 32, 32),
    ]
    assert made[0].images[0].dtype == torch.uint8
    first_epoch = [name for batch in made[:3] for name in batch.names]
    assert len(set(first_epoch)) == 18  # 20 scenes: three whole batches, nothing twice
    assert [b.names for b in made[3:]] != [b.names for b in made[:2]]


def test_batches_do_not_depend_on_workers_or_on_where_one_starts():
    made = batches()
    assert all(map(same, made, batches(workers=2)))
    assert all(map(same, made[3:], batches(start=3)))
    assert not same(made[0], batches(seed=2)[0])


def test_processes_share_the_batch_of_one():
    whole = batches()
    parts = [batches(rank=rank, processes=2) for rank in range(2)]
    for batch, first, second in zip(whole, *parts, strict=True):
        assert batch.names == first.names + second.names
        assert torch.equal(batch.images[2], torch.cat([first.images[2], second.images[2]]))


def test_too_few_images_and_uneven_batches_are_errors():
    with pytest.raises(GrganError, match="20 images are fewer than one batch of 21"):
        batches(batch=21)
    with pytest.raises(GrganError, match="batch 6 does not divide over 4 processes"):
        batches(processes=4)


def test_hard_negatives_stand_in_one_batch_with_the_caption_of_the_same_number():
    data = scenes("train", 42, 2, fewest_shapes=2, hard_negatives=True)
    made = list(training_batches(data, AUGMENTATION, batch=12, seed=1, start=0, stop=4, words=20))
    for batch in made:
        numbers = [int(name.removeprefix("scene-")) - FIRST_SCENE["train"] for name in batch.names]
        groups = {number // 4 for number in numbers}
        assert sorted(numbers) == sorted(4 * group + i for group in groups for i in range(4))
        for group in groups:
            of = [batch.captions[numbers.index(4 * group + i)] for i in range(4)]
            chosen = list(data.captions[4 * group]).index(of[0])
            assert of == [data.captions[4 * group + i][chosen] for i in range(4)]
    assert len({name for batch in made[:3] for name in batch.names}) == 36  # ten groups: three
    first = draw_scene(FIRST_SCENE["train"] + 1, 2)
    assert data.captions[4] == first.captions(5)
    assert [data.captions[4 + i] for i in (1, 2, 3)] == [
        scene.captions(5) for scene in hard_negatives(first)
    ]
    assert not np.array_equal(middle_square(data, 4, 32), middle_square(data, 5, 32))
    with pytest.raises(GrganError, match="batch 6 does not divide into groups of 4"):
        training_batches(data, AUGMENTATION, batch=6, seed=1, start=0, stop=1)


def test_augmentation_cuts_and_mirrors():
    image = Image.fromarray(np.arange(36 * 40 * 3, dtype=np.uint8).reshape(36, 40, 3))
    pixels = np.asarray(image)
    cuts = {
        (left, top, flip): pixels[top : top + 32, left : left + 32][:, :: -1 if flip else 1]
        for left in range(9)
        for top in range(5)
        for flip in (False, True)
    }
    seen = set()
    for seed in range(40):
        *_, largest = augment(image, AUGMENTATION, random.Random(seed))
        found = [where for where, cut in cuts.items() if np.array_equal(cut, largest)]
        assert len(found) == 1
        seen.add(found[0])
    assert {flip for _, _, flip in seen} == {False, True}
    assert len({(left, top) for left, top, _ in seen}) > 10


def test_scenes_are_not_cut_or_mirrored():
    data = scenes("train", 3)
    plain = Augmentation(32, (8, 32), flip=False)
    *_, largest = augment(data.images.load(1, 32), plain, random.Random(0))
    assert np.array_equal(largest, middle_square(data, 1, 32))


def test_scenes_have_as_many_shapes_as_the_configuration_allows():
    first = FIRST_SCENE["val"]
    data = open_data(DataConfig(kind="scenes", shapes=2), None, "val")
    drawn = [draw_scene(first + i, 1 + (first + i) % 2) for i in range(20)]
    assert {len(scene.shapes) for scene in drawn} == {1, 2}
    assert [list(data.captions[i]) for i in range(20)] == [scene.captions(5) for scene in drawn]
    assert data.images.load(3, 32).tobytes() == drawn[3].render(32).tobytes()
    training = open_data(DataConfig(kind="scenes", shapes=3, fewest_shapes=2), None, "train")
    assert {len(training.images.scenes[i].shapes) for i in range(20)} == {2, 3}
    with pytest.raises(GrganError, match="shapes 5"):
        open_data(DataConfig(kind="scenes", shapes=5), None, "val")
    with pytest.raises(GrganError, match=r"fewest_shapes is 3 and data\.shapes 2"):
        open_data(DataConfig(kind="scenes", shapes=2, fewest_shapes=3), None, "train")


def test_training_and_held_out_scenes_differ():
    assert not set(scenes("train", 1000).names) & set(scenes("val", 1000).names)


def test_pixels_round_trip_and_are_cut_not_rounded():
    levels = torch.arange(256, dtype=torch.uint8)
    assert torch.equal(to_uint8(to_unit(levels) + 1e-4), levels)
    assert to_uint8(torch.tensor([0.9999, -1.5, 1.5])).tolist() == [254, 0, 255]


def test_resize_keeps_the_aspect():
    assert resize_shorter_side(Image.new("RGB", (640, 480)), 304).size == (405, 304)
    assert resize_shorter_side(Image.new("RGB", (10, 30)), 20).size == (20, 60)


# --- COCO ----------------------------------------------------------------------------------


def make_coco(root, captions=("a dog", "a cat", "two dogs"), images=2):
    for split in ("train", "val"):
        (root / f"{split}2014").mkdir(parents=True)
        names = [f"COCO_{split}2014_{i:012d}.jpg" for i in range(images)]
        for i, name in enumerate(names):
            Image.new("RGB", (60 + i, 50), (i * 40, 0, 0)).save(root / f"{split}2014" / name)
        content = {
            "images": [{"id": 7 + i, "file_name": name} for i, name in enumerate(names)],
            "annotations": [
                {"id": j, "image_id": 7 + j % images, "caption": text}
                for j, text in enumerate(captions)
            ],
        }
        (root / "annotations").mkdir(exist_ok=True)
        (root / "annotations" / f"captions_{split}2014.json").write_text(json.dumps(content))
    return root


COCO = DataConfig(kind="coco")


def test_coco(tmp_path):
    data = open_data(COCO, make_coco(tmp_path), "val")
    assert list(data.names) == ["COCO_val2014_000000000000", "COCO_val2014_000000000001"]
    assert data.captions == [["a dog", "two dogs"], ["a cat"]]
    assert data.images.load(1, 30).size == (36, 30)


def test_coco_missing_images_are_counted_and_named(tmp_path):
    make_coco(tmp_path, captions=["a dog"] * 9, images=9)
    for i in range(8):
        (tmp_path / "train2014" / f"COCO_train2014_{i:012d}.jpg").unlink()
    with pytest.raises(GrganError, match=r"8 of 9 .* missing: .*000\.jpg.* and 3 more"):
        open_data(COCO, tmp_path, "train")


def test_coco_errors(tmp_path):
    with pytest.raises(GrganError, match="give --data ROOT"):
        open_data(COCO, None, "train")
    with pytest.raises(GrganError, match="not a folder"):
        open_data(COCO, tmp_path / "none", "train")
    with pytest.raises(GrganError, match=r"captions_train2014\.json does not exist"):
        open_data(COCO, tmp_path, "train")
    make_coco(tmp_path, captions=["a dog"])
    with pytest.raises(GrganError, match="1 images without caption: COCO_train2014_000000000001"):
        open_data(COCO, tmp_path, "train")
    annotations = tmp_path / "annotations" / "captions_train2014.json"
    content = json.loads(annotations.read_text())
    content["annotations"].append({"id": 5, "image_id": 99, "caption": "a bird"})
    annotations.write_text(json.dumps(content))
    with pytest.raises(GrganError, match="unknown image ids 99"):
        open_data(COCO, tmp_path, "train")
    annotations.write_text("{}")
    with pytest.raises(GrganError, match="not a COCO captions file"):
        open_data(COCO, tmp_path, "train")


def test_captions_without_words_are_named(tmp_path):
    with pytest.raises(GrganError, match=r"no words: COCO_train2014_000000000001: '\.\.'"):
        open_data(COCO, make_coco(tmp_path, captions=("a dog", "..")), "train")


# --- CUB -----------------------------------------------------------------------------------


def make_cub(root):
    files = ["001.Albatross/one.jpg", "001.Albatross/two.jpg", "002.Finch/three.jpg"]
    for number, file in enumerate(files):
        for folder, suffix in (("images", ".jpg"), ("text", ".txt")):
            (root / folder / file).parent.mkdir(parents=True, exist_ok=True)
            if suffix == ".txt":
                (root / folder / file).with_suffix(suffix).write_text(f"bird {number}\na bird\n\n")
        Image.new("RGB", (100, 80), (number * 50, 0, 0)).save(root / "images" / file)
    for name, rows in (
        ("images", files),
        ("image_class_labels", ["1", "1", "2"]),
        ("bounding_boxes", ["10.0 20.0 40.0 20.0"] * 3),
    ):
        text = "".join(f"{number} {row}\n" for number, row in enumerate(rows, start=1))
        (root / f"{name}.txt").write_text(text)
    (root / "trainvalclasses.txt").write_text("001.Albatross\n")
    (root / "testclasses.txt").write_text("002.Finch\n")
    return root


CUB = DataConfig(kind="cub")


def test_cub_splits_by_class_and_cuts_the_bird_out(tmp_path):
    make_cub(tmp_path)
    data = open_data(CUB, tmp_path, "train")
    assert list(data.names) == ["001.Albatross/one", "001.Albatross/two"]
    assert list(data.classes) == [1, 1]
    assert data.captions[1] == ["bird 1", "a bird"]
    # Centre (30, 30), reach 0.75 * 40 = 30: (0, 0, 60, 60).
    assert square_around((10, 20, 40, 20), (100, 80)) == (0, 0, 60, 60)
    assert data.images.load(0, 30).size == (30, 30)
    assert list(open_data(CUB, tmp_path, "val").names) == ["002.Finch/three"]


def test_cub_errors(tmp_path):
    make_cub(tmp_path)
    (tmp_path / "text" / "001.Albatross" / "two.txt").unlink()
    with pytest.raises(GrganError, match=r"two\.txt cannot be read"):
        open_data(CUB, tmp_path, "train")
    (tmp_path / "testclasses.txt").unlink()
    with pytest.raises(GrganError, match=r"testclasses\.txt cannot be read"):
        open_data(CUB, tmp_path, "val")
    (tmp_path / "bounding_boxes.txt").write_text("1 2 3\n")
    with pytest.raises(GrganError, match=r"bounding_boxes\.txt, line 1: 3 columns; 5"):
        open_data(CUB, tmp_path, "train")


# --- any folder ----------------------------------------------------------------------------


def make_folder(root, captions, sizes=(("a.png", 40), ("b.jpg", 40))):
    root.mkdir(exist_ok=True)
    for name, side in sizes:
        (root / name).parent.mkdir(exist_ok=True)
        Image.new("RGB", (side + 8, side)).save(root / name)
    (root / "captions.json").write_text(json.dumps(captions))
    return root


FOLDER = DataConfig(kind="folder")


def test_folder_matches_names_with_and_without_ending(tmp_path):
    make_folder(tmp_path, {"a": ["a dog", "one dog"], "b.jpg": "a cat"})
    data = open_data(FOLDER, tmp_path, "train")
    assert (list(data.names), data.captions) == (["a", "b"], [["a dog", "one dog"], ["a cat"]])


def test_folder_errors(tmp_path):
    make_folder(tmp_path, {"a": "a dog", "b": "a cat", "c": "a bird", "d": "a cow"})
    with pytest.raises(GrganError, match=r"2 images that are not in .*: c, d"):
        open_data(FOLDER, tmp_path, "train")
    make_folder(tmp_path, ["a dog", "a cat"])
    with pytest.raises(GrganError, match="does not say which image"):
        open_data(FOLDER, tmp_path, "train")
    make_folder(tmp_path, {"a": "a dog", "b": "a cat"})
    with pytest.raises(GrganError, match=r"2 of 2 images .* below 64 pixels.*a\.png \(48x40\)"):
        open_data(FOLDER, tmp_path, "train", smallest=64)
    (tmp_path / "b.jpg").write_bytes(b"no image")
    with pytest.raises(GrganError, match=r"1 files cannot be read as images: .*b\.jpg"):
        open_data(FOLDER, tmp_path, "train")
    (tmp_path / "captions.txt").write_text("a dog\n")
    with pytest.raises(GrganError, match="2 captions files"):
        open_data(FOLDER, tmp_path, "train")


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("captions.json", json.dumps({f"{i}.png": f"a thing {i}" for i in range(4)})),
        ("captions.json", json.dumps({f"a thing {i}": f"{i}.png" for i in range(4)})),
        ("captions.json", json.dumps([{"img": f"{i}.png", "text": f"a thing {i}"}
                                      for i in range(4)])),
        ("captions.jsonl", "\n".join(json.dumps({"img": f"{i}.png", "prompt": f"a thing {i}"})
                                     for i in range(4))),
        ("captions.csv", "file;caption\n" + "\n".join(f"{i}.png;a thing {i}" for i in range(4))),
        ("captions.tsv", "path\tprompt\n" + "\n".join(f"{i}.png\ta thing {i}" for i in range(4))),
        ("captions.txt", "\n".join(f"{i}.png#0\ta thing {i}" for i in range(4))),
        ("metadata.csv", "file_name,text\n" + "\n".join(f"{i}.png,a thing {i}" for i in range(4))),
        ("metadata.jsonl", "\n".join(json.dumps({"file_name": f"{i}.png", "text": f"a thing {i}"})
                                     for i in range(4))),
        (None, ""),
    ],
)  # fmt: skip
def test_a_folder_says_what_it_shows_in_any_form(
    tmp_path: Path, file: str | None, content: str
) -> None:
    for i in range(4):
        Image.new("RGB", (64, 64), (60 * i, 0, 0)).save(tmp_path / f"{i}.png")
        if file is None:
            (tmp_path / f"{i}.txt").write_text(f"a thing {i}")
    if file is not None:
        (tmp_path / file).write_text(content)
    found = read_folder(tmp_path, 64)
    assert found.names == list("0123")
    assert found.captions == [[f"a thing {i}"] for i in range(4)]
