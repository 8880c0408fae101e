"""Named sets of prompts: which captions they take, and that signatures know them."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from cmdmetric import InputError, cmd
from cmdmetric.encoders.clip import Encoder
from cmdmetric.inputs import PROMPT_SETS, prompts, read_captions
from cmdmetric.scenes import draw_scene
from cmdmetric.scoring import fields_of
from tests.support.commands import run

#: As many as val2017 has, which are a second's work.
NAME = "coco2017-val-5k"


def annotations(total: int, name: str = "{:012}.jpg") -> dict[str, Any]:
    """Synthetic captions in MS-COCO's layout: two or three of each image, ids far apart."""
    ids = [7 * i + 3 for i in range(total)]
    rows = [
        {"image_id": i, "id": 10 * i + k, "caption": f"view {k} of the place {i}"}
        for k in range(3)
        for i in reversed(ids)
        if k < 2 or i % 2
    ]
    images = [{"id": i, "file_name": name.format(i)} for i in ids]
    return {"info": {"description": "synthetic"}, "images": images, "annotations": rows}


def first(keys: list[str], num: int) -> list[str]:
    return sorted(keys, key=lambda key: hashlib.sha256(f"0:{key}".encode()).hexdigest())[:num]


def test_the_recipe_written_out() -> None:
    content = annotations(40_504, "COCO_val2014_{:012}.jpg")
    made = prompts("coco2014-val-30k", content)
    numbers = [str(image["id"]) for image in content["images"]]
    chosen = sorted(map(int, first(numbers, 30_000)))
    assert made.images == tuple(f"COCO_val2014_{i:012}.jpg" for i in chosen)
    texts = {i: [f"view {k} of the place {i}" for k in range(3 if i % 2 else 2)] for i in chosen}
    for i, text in zip(chosen, made.texts, strict=True):
        assert text == first([f"{i}:{own}" for own in texts[i]], 1)[0].partition(":")[2]
    few = prompts("coco2014-val-5k", content)
    assert set(few.images) < set(made.images) and len(few) == 5000
    assert set(zip(few.images, few.texts, strict=True)) < set(
        zip(made.images, made.texts, strict=True)
    )


def karpathy(total: int, name: str = "{}.jpg") -> dict[str, Any]:
    """Synthetic images in Karpathy's layout: so many of the split "test", others of "val"."""
    images = [
        {"filename": name.format(7 * i + 3), "split": "val" if i % 3 == 2 else "test",
         "sentences": [{"raw": f"view {k} of the place {7 * i + 3}"} for k in range(5)]}
        for i in range(total * 3 // 2)
    ]  # fmt: skip
    return {"images": images, "dataset": "synthetic"}


@pytest.mark.parametrize(
    ("set_name", "total", "image"),
    [("flickr30k-test-1k", 1000, "{}.jpg"), ("coco2014-test-5k", 5000, "COCO_val2014_{:012}.jpg")],
)
def test_of_a_file_with_splits_one_is_taken(set_name: str, total: int, image: str) -> None:
    made = prompts(set_name, karpathy(total, image))
    numbers = [7 * i + 3 for i in range(total * 3 // 2) if i % 3 < 2]
    assert made.images == tuple(image.format(i) for i in numbers)
    for i, text in zip(numbers, made.texts, strict=True):
        texts = [f"view {k} of the place {i}" for k in range(5)]
        assert text == first([f"{i}:{own}" for own in texts], 1)[0].partition(":")[2]
    with pytest.raises(InputError, match=r"test images of dataset_\w+.json, and captions of"):
        prompts(set_name, karpathy(total - 2, image))
    with pytest.raises(InputError, match="no record states its split"):
        prompts(set_name, annotations(10))


def test_the_same_captions_in_another_order_and_layout() -> None:
    content = annotations(5000)
    name_of = {image["id"]: image["file_name"] for image in content["images"]}
    turned: dict[str, list[str]] = {}
    for row in reversed(content["annotations"]):
        turned.setdefault(name_of[row["image_id"]], []).append(row["caption"])
    one, other = prompts(NAME, content), prompts(NAME, turned)
    assert (one.texts, one.images, one.recipe) == (other.texts, other.images, other.recipe)
    assert one.recipe == f"{NAME}@{one.sha256[:8]}"


def test_the_command_and_the_signature(tmp_path: Path, encoder: Encoder) -> None:
    (tmp_path / "captions_val2017.json").write_text(json.dumps(annotations(5000)))
    done = run("cmdmetric", "prompts", NAME, "captions_val2017.json", "-o", "p.json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    captions = read_captions(tmp_path / "p.json")
    assert captions.recipe is not None and done.stdout.startswith(f"{captions.recipe}: 5,000")
    (tmp_path / "f").mkdir()
    for i, name in enumerate(captions.images[:40]):
        draw_scene(i).render(32).save(tmp_path / "f" / str(name).replace(".jpg", ".png"))
    real = [draw_scene(500 + i).render(32) for i in range(40)]
    with pytest.warns(UserWarning):
        score = cmd(tmp_path / "f", tmp_path / "p.json", real, encoder=encoder, num=30)
    fields = fields_of(score.signature)
    assert (fields["prompts"], fields["num"]) == (captions.recipe, "30/40@seed0")


def test_a_list_that_is_another_than_it_says(tmp_path: Path) -> None:
    content = json.loads(json.dumps(PROMPT_SETS[NAME].of(annotations(5000))))
    content["annotations"][17]["caption"] += "!"
    (tmp_path / "p.json").write_text(json.dumps(content))
    with pytest.raises(InputError, match=r"p.json: it says that it is 'coco2017-val-5k'"):
        read_captions(tmp_path / "p.json")
    del content["info"]["recipe"]
    assert read_captions(content).recipe is None


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        (NAME, annotations(4999), "captions of 4,999 are in it"),
        (NAME, annotations(5000, "{}.jpg"), "its images are named as"),
        (NAME, ["a cat"], "a caption is of None"),
        ("coco", ["a cat"], "there is no set of prompts 'coco'; there is coco2014-val-30k,"),
    ],
)
def test_other_captions(name: str, content: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        prompts(name, content)


def test_a_set_is_json(tmp_path: Path) -> None:
    done = run("cmdmetric", "prompts", NAME, tmp_path / "any.json", "-o", tmp_path / "p.csv")
    assert done.returncode == 2 and "name a .json file" in done.stderr
    assert not (tmp_path / "p.csv").exists()


def test_they_are_listed() -> None:
    done = run("cmdmetric", "list", "prompts")
    assert done.returncode == 0
    assert [line.split()[0] for line in done.stdout.splitlines()] == list(PROMPT_SETS)
