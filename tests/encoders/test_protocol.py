"""Protocols as values."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest

from cmdmetric import InputError, Protocol
from cmdmetric.protocol import CLIP, GRGAN, get_protocol


def test_built_in_ones_by_name() -> None:
    assert get_protocol("grgan") is GRGAN and get_protocol("clip") is CLIP
    assert GRGAN.image_scale == 10 and GRGAN.text_scale == 1
    assert CLIP.image_scale == CLIP.text_scale


def test_frozen_and_round_trip() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        GRGAN.image_scale = 1.0  # type: ignore[misc]
    assert Protocol.from_dict(json.loads(json.dumps(CLIP.to_dict()))) == CLIP


def test_own_one_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "mine.json"
    path.write_text('{"name": "mine", "image_scale": 1.0}')
    assert get_protocol(path).differences(GRGAN) == {"image_scale": (1.0, 10.0)}
    assert get_protocol(str(path)).name == "mine"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"name": "x", "resiz": "crop"}', "no field 'resiz'"),
        ('{"name": "x", "resize": "fit"}', "resize is 'fit'.*squash, crop"),
        ('{"name": "x", "image_scale": 0}', "image_scale is 0"),
        ('{"name": "x", "image_scale": NaN}', "image_scale is nan"),
        ('{"name": "a|b"}', "letters, digits"),
        ('{"name": 3}', "letters, digits"),
        ('{"image_scale": 1}', "needs a name"),
        ("[1]", "is a list"),
        ('{"name": ', "not JSON"),
    ],
)
def test_wrong_files(tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "p.json"
    path.write_text(content)
    with pytest.raises(InputError, match=message) as caught:
        get_protocol(path)
    assert str(path) in str(caught.value)


def test_unknown_name() -> None:
    with pytest.raises(InputError, match="it is grgan, clip, or a JSON file"):
        get_protocol("gran")


@pytest.mark.parametrize(
    ("caption", "cleaned"),
    [
        ("A Cat's  hat.\n", "a cat s hat"),
        ("A café, naïve!", "a caf nave"),
        ("snake_case 3-legged", "snake_case 3 legged"),
        ("Ünïcödé 猫", "ncd"),
        ("!!!", ""),
    ],
)
def test_released_cleaning(caption: str, cleaned: str) -> None:
    assert GRGAN.clean(caption) == cleaned
    assert CLIP.clean(caption) == caption
