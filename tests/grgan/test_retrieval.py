import json

import pytest
import torch
import torch.nn.functional as F

from cmdmetric.scenes import draw_scene
from grgan_ref.config import Config
from grgan_ref.data.sources import scenes
from grgan_ref.errors import GrganError
from grgan_ref.matching.matcher import load_matcher
from grgan_ref.retrieval import evaluate, of_clip, of_matcher, recall
from tests.support.grgan_runs import clip_folder, itm_run, settings, succeed


def by_sorting(images, texts, owner):
    """R@1, 5, 10 of images and of texts, one query at a time over the whole matrix."""
    similarity = F.normalize(texts, dim=1) @ F.normalize(images, dim=1).T
    result = []
    for k in (1, 5, 10):
        top = similarity.topk(k, dim=1).indices
        result.append(100 * (top == owner[:, None]).any(1).double().mean().item())
    for k in (1, 5, 10):
        top = owner[similarity.T.topk(k, dim=1).indices]
        own = torch.arange(len(images))[:, None]
        result.append(100 * (top == own).any(1).double().mean().item())
    return result


@pytest.mark.parametrize("block", [1, 7, 512])
def test_recall_equals_sorting_for_any_block(block):
    torch.manual_seed(0)
    images = torch.randn(40, 6, dtype=torch.float64)
    owner = torch.cat([torch.arange(40), torch.randint(40, (70,))])
    texts = images[owner] + 0.8 * torch.randn(110, 6, dtype=torch.float64)
    found = recall(images, texts, owner, block)
    values = [found.image_r1, found.image_r5, found.image_r10]
    values += [found.text_r1, found.text_r5, found.text_r10]
    assert values == pytest.approx(by_sorting(images.float(), texts.float(), owner))
    assert 0 < found.image_r1 < found.image_r5 < 100


def test_perfect_and_constant_features():
    images = torch.eye(12)
    owner = torch.arange(12).repeat(2)
    perfect = recall(images, images[owner], owner)
    assert (perfect.image_r1, perfect.text_r1) == (100, 100)
    constant = recall(torch.ones(12, 3), torch.ones(24, 3), owner)
    assert (constant.image_r10, constant.text_r10) == (0, 0)


def test_an_image_without_a_caption_is_an_error():
    with pytest.raises(GrganError, match="at least one caption for every image"):
        recall(torch.eye(3), torch.eye(2, 3), torch.tensor([0, 1]))


def test_matchers_do_not_depend_on_the_batch():
    config = Config.load("scenes-tiny", settings())
    data = scenes("val", 30)
    for matcher in (
        of_matcher(load_matcher(itm_run(), config), config),
        of_clip(str(clip_folder()), None, torch.device("cpu")),
    ):
        found = evaluate(matcher, data, number=30, captions_per_image=2)
        assert (found.images, found.captions) == (30, 60)
        assert found == evaluate(matcher, data, number=30, captions_per_image=2, batch=7)
    with pytest.raises(GrganError, match="31 images are asked for; the data has 30"):
        evaluate(matcher, data, number=31)


def test_command_line():
    result = succeed("retrieval", "--itm", itm_run(), "--num=20", "--format=json")
    assert json.loads(result.stdout)["captions"] == 100
    result = succeed("retrieval", "--clip", clip_folder(), "--kind=scenes", "--num=20")
    assert "text to image" in result.stdout


def test_the_paper_stands_beside_coco_alone(tmp_path):
    captions = {}
    for k in range(3):
        name = f"COCO_val2014_{k:012d}.png"
        draw_scene(k).render(64).save(tmp_path / name)
        captions[name] = draw_scene(k).captions(5)
    (tmp_path / "captions.json").write_text(json.dumps(captions))
    look = ["retrieval", "--itm", itm_run(), "--device=cpu"]
    shown = succeed(*look, "--kind=folder", "--data", tmp_path).stdout.splitlines()
    assert shown[4].startswith("| ITM | ")
    assert shown[5] == "|   paper: ITM | 53.10 | 83.80 | 92.70 | 52.64 | 83.22 | 92.60 |"
    assert "paper" not in succeed(*look, "--num=3").stdout
