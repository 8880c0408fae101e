"""The lessons, the questions and the losses that the bundled encoder is made with."""

from __future__ import annotations

import math
import random
from pathlib import Path

import numpy as np
import open_clip
import pytest
import torch
import torch.nn.functional as F

from cmdmetric import Encoder
from cmdmetric.scenes import draw_scene
from cmdmetric.scenes.drawing import COLOURS, RADII, SHAPES, Scene
from cmdmetric.scenes.lessons import (
    GRID,
    GROUP,
    PLACED,
    WRONG,
    draw_lesson,
    hard_negatives,
    listing,
    render_resized,
)
from cmdmetric.scenes.training import (
    FIRST_TRAINING_SEED,
    IMAGE_SIZE,
    Vocabulary,
    contrastive_loss,
    encode_captions,
    encode_images,
    export,
    new_model,
)
from cmdmetric.scenes.zero_shot import ATTRIBUTES, HELD_OUT, question, zero_shot


def test_a_lesson_follows_from_its_seeds() -> None:
    lesson, again = (draw_lesson(range(7, 10), 0.5, 32) for _ in range(2))
    assert lesson.captions == again.captions
    assert lesson.wrong == again.wrong
    np.testing.assert_array_equal(lesson.images, again.images)
    assert lesson.images.shape == (3 * GROUP, 32, 32, 3)
    assert draw_lesson([7], 0.5, 32).captions == lesson.captions[:GROUP]


def test_wrong_captions_are_wrong_and_nearly_right() -> None:
    lesson = draw_lesson(range(40), 0.5, 32)
    assert len(lesson.wrong) == WRONG * len(lesson.captions)
    for number, wrong in enumerate(lesson.wrong):
        assert wrong != lesson.captions[number // WRONG]
    for group in range(0, len(lesson.captions), GROUP):
        first, *others = lesson.captions[group : group + GROUP]
        assert first not in others  # each differs from the first in what it says
        for image in lesson.images[group + 1 : group + GROUP]:
            assert (image != lesson.images[group]).any()


@pytest.mark.parametrize("shapes", [1, 2, 3, None])
def test_hard_negatives_differ_in_what_every_caption_tells(shapes: int | None) -> None:
    def told(scene: Scene) -> list[tuple[str, str]]:
        return sorted((shape.colour, shape.kind) for shape in scene.shapes)

    exchanges = 0
    for seed in range(200):
        scene = draw_scene(seed, shapes)
        four = scene, *hard_negatives(scene)
        assert four == (scene, *hard_negatives(draw_scene(seed, shapes)))  # the seed decides
        for captions in zip(*(each.captions(5) for each in four), strict=True):
            assert len(set(captions)) == 4
        assert len({tuple(told(each)) for each in four}) == 4
        exchanged, changed, less = four[1:]
        assert len(less.shapes) == max(1, len(scene.shapes) - 1)
        for other in (exchanged, changed):
            places = [(shape.x, shape.y, shape.radius) for shape in other.shapes]
            assert places == [(shape.x, shape.y, shape.radius) for shape in scene.shapes]
            assert all(
                shape.rgb != own.rgb
                for shape, own in zip(other.shapes, scene.shapes, strict=True)
                if shape.colour != own.colour
            )
        exchanges += [sorted(x) for x in zip(*told(exchanged), strict=True)] == [
            sorted(x) for x in zip(*told(scene), strict=True)
        ]
    # Most scenes of several shapes have two that differ in kind and colour; alone none has.
    assert exchanges == 0 if shapes == 1 else exchanges > 100


def test_maps_say_what_is_centred_where() -> None:
    lesson = draw_lesson(range(30), 1, 64)
    for seed in range(30):
        scene = draw_scene(seed, 1)
        (shape,) = scene.shapes
        cells = lesson.maps[seed * GROUP]
        ((row, column),) = np.argwhere(cells[0] >= 0)
        assert (row, column) == (int(shape.y * GRID), int(shape.x * GRID))
        kind, colour, size = cells[:, row, column]
        assert SHAPES[kind] == shape.kind
        assert list(COLOURS)[colour] == shape.colour
        assert list(RADII)[size] == shape.size


def test_facts_are_pairs_of_attributes_of_one_shape() -> None:
    lesson = draw_lesson(range(30), 0, 64)
    for seed in range(30):
        shapes = draw_scene(seed).shapes
        there, painted = np.split(lesson.facts[seed * GROUP], [PLACED])
        assert set(np.flatnonzero(painted)) == {
            10 * SHAPES.index(s.kind) + list(COLOURS).index(s.colour) for s in shapes
        }
        expected = np.zeros((9, 18), bool)
        for shape in shapes:
            place = 3 * min(2, int(shape.y * 3)) + min(2, int(shape.x * 3))
            expected[place, SHAPES.index(shape.kind)] = True
            expected[place, 8 + list(COLOURS).index(shape.colour)] = True
        np.testing.assert_array_equal(there.reshape(9, 18), expected)


def test_no_two_shapes_share_a_cell_of_a_map() -> None:
    for seed in range(500):
        shapes = draw_scene(seed, 4).shapes
        assert len({(int(s.x * GRID), int(s.y * GRID)) for s in shapes}) == len(shapes)


def test_scenes_that_are_taught_are_not_those_that_are_asked_about() -> None:
    assert HELD_OUT.stop <= FIRST_TRAINING_SEED


@pytest.mark.parametrize(
    ("attribute", "choices"), [("shape", 8), ("place", 9), ("colour", 10), ("count", 4)]
)
def test_questions_have_one_right_answer(attribute: str, choices: int) -> None:
    for seed in range(60):
        scene = draw_scene(seed)
        captions, right = question(attribute, scene, random.Random(seed))
        assert len(set(captions)) == choices == len(captions)
        assert captions[right] == listing(scene, place=attribute == "place")


def test_zero_shot_counts_right_answers() -> None:
    scenes = [draw_scene(seed) for seed in range(50)]

    def features(captions: list[str]) -> np.ndarray:
        """Of a reader who tells every caption from every other one."""
        drawn = [np.random.default_rng(list(c.encode())).standard_normal(400) for c in captions]
        return np.stack([vector / np.linalg.norm(vector) for vector in drawn])

    # An image that is the sum of what is true of it answers everything, and one of noise nothing.
    knowing = features([listing(s) for s in scenes]) + features(
        [listing(s, place=True) for s in scenes]
    )
    assert zero_shot(scenes, knowing, features) == dict.fromkeys(ATTRIBUTES, 100.0)
    blind = zero_shot(scenes, features([f"no {s.seed}" for s in scenes]), features)
    assert all(share < 50 for share in blind.values())


def test_the_loss_is_that_of_clip_and_never_calls_a_true_caption_wrong() -> None:
    torch.manual_seed(0)
    image, text = (F.normalize(torch.randn(n, 8).double(), dim=1) for n in (3, 5))
    captions = ["a", "b", "a", "c", "b"]  # the third image's is the first's; the last is no mistake
    scale = torch.tensor(3.0).double()
    loss = contrastive_loss(image, text, captions, scale)
    fit = [[3 * float(image[i] @ text[j]) for j in range(5)] for i in range(3)]
    allowed = {0: [0, 1, 3, 4], 1: [0, 1, 2, 3], 2: [1, 2, 3, 4]}
    over_texts = [
        math.log(sum(math.exp(fit[i][j]) for j in allowed[i])) - fit[i][i] for i in allowed
    ]
    images_of = {0: [0, 1], 1: [0, 1, 2], 2: [1, 2]}
    over_images = [
        math.log(sum(math.exp(fit[i][j]) for i in images_of[j])) - fit[j][j] for j in images_of
    ]
    expected = (sum(over_texts) + sum(over_images)) / 6
    assert loss.item() == pytest.approx(expected, rel=1e-12)


def test_the_exported_folder_is_an_open_clip_model_with_the_same_features(tmp_path: Path) -> None:
    torch.manual_seed(0)
    vocabulary = Vocabulary()
    model = new_model(vocabulary).eval()
    export(model, vocabulary, tmp_path)
    scenes = [draw_scene(seed) for seed in range(4)]
    captions = [scene.captions(1)[0] for scene in scenes]
    images = np.stack([render_resized(scene, 64, IMAGE_SIZE) for scene in scenes])
    with torch.no_grad():
        image = encode_images(model, images, bfloat16=False).features
        text = encode_captions(model, vocabulary(captions))
    encoder = Encoder(str(tmp_path), protocol="clip", device="cpu")
    # float16 weights: 11 bits each.
    assert encoder.encode_pixels(images) == pytest.approx(image.numpy(), abs=5e-3)
    assert encoder.encode_texts(captions) == pytest.approx(text.numpy(), abs=5e-3)
    loaded = open_clip.create_model(f"local-dir:{tmp_path}")
    assert loaded.token_embedding.weight.shape[0] == 49408
    untaught = np.setdiff1d(np.arange(49408), vocabulary.tokens.numpy())
    assert not loaded.token_embedding.weight[untaught].any()
