"""Images and captions meet by name, or not at all."""

import time

import pytest
from hypothesis import given, strategies as st

from cmdmetric.inputs.pairing import Pairing, pair


def captioned(*names):
    """The images' names that captions have, one for each."""
    return names


@pytest.mark.parametrize(
    ("image", "name"),
    [
        ("a/cat.jpg", "a/cat.jpg"),
        ("generated/cat.jpg", "val2014/cat.jpg"),
        ("a\\cat.jpg", "cat.jpg"),
        ("cat.png", "cat.jpg"),
        ("cat.PNG", "cat"),
        ("scene.v2.png", "scene.v2"),
        ("318219.png", "COCO_val2014_000000318219.jpg"),
        ("COCO_val2014_000000318219.jpg", "318219"),
        ("COCO_val2014_000000318219_s-1.png", "COCO_val2014_000000318219.jpg"),
        ("single/COCO_val2014_000000318219_s-1_3.png", "COCO_val2014_000000318219.jpg"),
        ("COCO_val2014_000000318219_s-1_3.png", "318219"),
        ("000.png", "0"),
        ("日本.png", "日本.jpg"),
    ],
)
def test_names_that_agree(image, name):
    assert pair([image], captioned(name)) == Pairing(((0,),), (), ())
    other = pair(["other.png", image], captioned("none", name, name))
    assert other == Pairing(((), (1, 2)), (0,), (0,))


@pytest.mark.parametrize(
    ("images", "names"),
    [
        (["a/1.png", "b/1.png"], ["1.png"]),
        (["1.png"], ["a/1.png", "b/1.png"]),
        (["cat.png", "cat.jpg"], ["cat"]),
        (["cat.gif"], ["cat.jpg", "cat.png"]),
        (["x_5.png", "y_5.png"], ["5"]),
        (["COCO_train2014_000000000005.jpg"], ["COCO_val2014_000000000005.jpg"]),
        (["gen_5.png"], ["cat_5"]),
        (["cat2.png"], ["cat.png"]),
        (["#0"], ["0.png"]),
        ([""], [""]),
        (["cat.png"], [None]),
    ],
)
def test_names_that_do_not(images, names):
    found = pair(images, captioned(*names))
    assert found == Pairing(
        ((),) * len(images), tuple(range(len(images))), tuple(range(len(names)))
    )


def test_the_closest_agreement_wins():
    found = pair(["sub/1.png", "1.png"], captioned("1.png", "sub/1.png"))
    assert found.caption_of == ((1,), (0,))


def test_several_passes_over_one_caption():
    found = pair(["a_s-1_0.png", "a_s-1_1.png", "b_s-1_0.png"], captioned("a", "a", "b"))
    assert found == Pairing(((0, 1), (0, 1), (2,)), (), ())


def test_the_same_image_twice():
    assert pair(["a.png", "a.png"], captioned("a.jpg")).caption_of == ((0,), (0,))


def test_running_numbers_are_not_ids():
    ids = [f"COCO_val2014_{37 * i + 42:012d}.jpg" for i in range(1000)]
    running = [f"{i}.png" for i in range(1000)]
    assert len(pair(running, captioned(*ids)).unpaired_images) == 1000
    real = [f"{37 * i + 42}.png" for i in range(0, 1000, 10)]
    assert not pair(real, captioned(*ids)).unpaired_images


NAMES = st.lists(
    st.from_regex(
        r"([ab]/)?(COCO_val2014_0{0,3})?[0-9a-c]{1,2}(_s-1)?(_[01])?(\.png|\.jpg)?", fullmatch=True
    )
)


@given(NAMES, NAMES)
def test_a_pairing_is_consistent(images, names):
    found = pair(images, captioned(*names))
    assert len(found.caption_of) == len(images)
    assert found.unpaired_images == tuple(i for i, c in enumerate(found.caption_of) if not c)
    used = {index for group in found.caption_of for index in group}
    assert found.unpaired_captions == tuple(i for i in range(len(names)) if i not in used)
    for image, group in zip(images, found.caption_of, strict=True):
        assert len({names[index] for index in group}) <= 1
        assert group == tuple(
            i for i, name in enumerate(names) if group and name == names[group[0]]
        )
        if image in names and image:
            assert group and names[group[0]] == image


@given(NAMES, st.randoms())
def test_the_order_of_images_does_not_matter(names, random):
    captions = captioned(*names)
    images = [*sorted(set(names)), "x.png", "7.png", "COCO_val2014_007.png"]
    shuffled = random.sample(images, len(images))
    before = dict(zip(images, pair(images, captions).caption_of, strict=True))
    assert before == dict(zip(shuffled, pair(shuffled, captions).caption_of, strict=True))


def test_a_hundred_thousand_names():
    ids = [f"COCO_val2014_{i:012d}" for i in range(100_000)]
    captions = captioned(*map(str, range(100_000)))
    start = time.process_time()
    assert not pair([f"{name}_s-1.png" for name in ids], captions).unpaired_images
    # About half a second; anything quadratic would take hours.
    assert time.process_time() - start < 10
