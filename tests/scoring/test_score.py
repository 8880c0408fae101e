"""The whole path from images and captions to a score."""

from __future__ import annotations

import dataclasses
import json
import re
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from cmdmetric import CMDScore, Encoder, InputError, Moments, Protocol, clip_fd, cmd, itdis
from cmdmetric.metrics.cmd import cross_model_distance
from cmdmetric.score import moments_of
from cmdmetric.scoring.options import DEFAULTS, EncodingOptions
from cmdmetric.uncertainty.error_bars import uncertainty
from tests.conftest import SHARED, shared

pytestmark = pytest.mark.filterwarnings(
    "ignore:.*too few for:UserWarning", "ignore:.*taken on trust:UserWarning"
)


CAPTIONS = [f"a {colour} {thing}" for colour in ("red", "blue", "old") for thing in
            ("cat", "dog", "boat", "house", "tree", "kite", "bus", "cup")]  # fmt: skip


def write(folder: Path, pictures: np.ndarray) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for k, picture in enumerate(pictures):
        Image.fromarray(picture).save(folder / f"{k}.png")
    return folder


def test_golden_score() -> None:
    folder = shared("golden/protocol")
    expected = np.load(folder / "expected.npz", allow_pickle=False)
    with pytest.warns(UserWarning, match="taken on trust"):
        score = cmd(
            shared("data/photos"), folder / "captions.json", folder / "real.npz", model=folder
        )
    for key in ("cmd", "itdis", "dis_fr", "dis_fl", "dis_rl"):
        # 21 images in 48 dimensions: float32 features enter a singular covariance.
        assert getattr(score, key) == pytest.approx(float(expected[key]), rel=1e-3), key
    assert (score.n, score.n_real, score.n_captions) == (21, None, 200)


def test_score_is_what_the_formula_says(tiny_encoder: Encoder, pictures: np.ndarray) -> None:
    f, r = pictures[:25], pictures[15:]
    score = cmd(f, CAPTIONS, r, encoder=tiny_encoder)
    sides = [
        Moments.from_features(tiny_encoder.encode_pixels(f)),
        Moments.from_features(tiny_encoder.encode_pixels(r)),
        Moments.from_features(tiny_encoder.encode_texts(CAPTIONS)),
    ]
    expected = cross_model_distance(*sides)
    assert float(score) == score.cmd == pytest.approx(expected.cmd, rel=1e-6)
    assert score.itdis == abs(score.dis_fl - score.dis_rl)
    assert score.cmd == score.dis_fr + score.itdis
    assert itdis(f, CAPTIONS, r, encoder=tiny_encoder) == score.itdis
    assert clip_fd(f, r, encoder=tiny_encoder) == score.dis_fr


def test_every_form_gives_the_same_score(
    tiny_encoder: Encoder, pictures: np.ndarray, tmp_path: Path
) -> None:
    f, r = pictures[:25], pictures[15:]
    expected = cmd(f, CAPTIONS, r, encoder=tiny_encoder).cmd
    folder = write(tmp_path / "f", f)
    np.save(tmp_path / "f.npy", f)
    encode = tiny_encoder.encode_pixels
    np.savez(tmp_path / "features.npz", features=encode(f))
    np.save(tmp_path / "features.npy", encode(f))
    Moments.from_features(encode(f)).save(tmp_path / "moments.npz")
    forms = [
        folder,
        f"{folder}/*.png",
        sorted(folder.iterdir()),
        [Image.fromarray(picture) for picture in f],
        torch.from_numpy(f).permute(0, 3, 1, 2),
        (batch for batch in np.array_split(f, 4)),
        tmp_path / "f.npy",
        tmp_path / "features.npz",
        tmp_path / "features.npy",
        tmp_path / "moments.npz",
        encode(f),
        Moments.from_features(encode(f)),
    ]
    for form in forms:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            got = cmd(form, CAPTIONS, r, encoder=tiny_encoder).cmd
        assert got == pytest.approx(expected, abs=1e-4), form  # as above: 1e-6 of Dis(r,l)


@pytest.mark.parametrize("batch_size", [1, 7, 64])
def test_batch_size_changes_nothing(tiny_clip: Path, pictures: np.ndarray, batch_size: int) -> None:
    base = cmd(pictures[:25], CAPTIONS, pictures[15:], model=tiny_clip)
    other = cmd(pictures[:25], CAPTIONS, pictures[15:], model=tiny_clip, batch_size=batch_size)
    # Float32 sums in another order; CMD is a small difference of distances of this size.
    assert other.cmd == pytest.approx(base.cmd, abs=1e-6 * base.dis_rl)


def test_signature(tiny_encoder: Encoder, pictures: np.ndarray, tiny_clip: Path) -> None:
    score = cmd(pictures, CAPTIONS, pictures, encoder=tiny_encoder)
    sha = tiny_encoder.fingerprint[:8]
    digest = r"[0-9a-f]{8}"
    assert re.fullmatch(
        rf"CMD\|proto:grgan\|model:tiny-clip@{sha}\|f:40@({digest})\|r:40@\1\|l:24@{digest}"
        rf"\|pairs:none\|se:frl\|debias:none\|dtype:fp32\|tok:CLIP\|pillow:[0-9.]+\|v:0\.1\.0",
        score.signature,
    )
    assert re.fullmatch(
        rf"CMD\|proto:grgan\|model:tiny-clip@{sha}\|f:40@.*\|l:24@{digest}\|v:0\.1\.0",
        score.short_signature,
    )
    own = Protocol(name="mine", image_scale=2.0)
    mine = cmd(pictures, CAPTIONS, pictures, model=tiny_clip, protocol=own).signature
    assert "|proto:mine@" in mine
    other = Protocol(name="mine", image_scale=3.0)
    assert cmd(pictures, CAPTIONS, pictures, model=tiny_clip, protocol=other).signature != mine


def test_result_is_a_value(tiny_encoder: Encoder, pictures: np.ndarray) -> None:
    score = cmd(pictures, CAPTIONS, pictures, encoder=tiny_encoder)
    assert isinstance(score, CMDScore)
    with pytest.raises(dataclasses.FrozenInstanceError):
        score.cmd = 0.0  # type: ignore[misc]
    content = json.loads(json.dumps(score.to_dict()))
    assert content["schema"] == 2 and content["short_signature"] == score.short_signature
    assert content["cmd"] == score.cmd and content["signature"] == score.signature


def test_error_bars_come_from_the_features(tiny_encoder: Encoder, pictures: np.ndarray) -> None:
    f, r = pictures[:25], pictures[15:]
    score = cmd(f, CAPTIONS, r, encoder=tiny_encoder)
    assert score.uncertainty is not None
    assert score.uncertainty.sides == ("generated", "real", "captions")
    assert score.uncertainty.cmd.raw == pytest.approx(score.cmd, rel=1e-9)
    direct = uncertainty(
        tiny_encoder.encode_pixels(f),
        tiny_encoder.encode_pixels(r),
        tiny_encoder.encode_texts(CAPTIONS),
    )
    got = score.uncertainty.cmd.standard_error
    assert got == pytest.approx(direct.cmd.standard_error, rel=1e-5) and got > 0
    stored = Moments.from_features(tiny_encoder.encode_pixels(r))
    assert cmd(f, CAPTIONS, stored, encoder=tiny_encoder).uncertainty.sides == (
        "generated",
        "captions",
    )
    texts = Moments.from_features(tiny_encoder.encode_texts(CAPTIONS))
    assert cmd(stored, texts, stored, encoder=tiny_encoder).uncertainty is None


def test_an_image_and_its_captions_are_one_draw(
    tiny_encoder: Encoder, pictures: np.ndarray, tmp_path: Path
) -> None:
    folder = write(tmp_path / "f", pictures[:20])
    captions = {f"{k}.png": [CAPTIONS[k], CAPTIONS[k] + " again"] for k in range(20)}
    paired = cmd(folder, captions, write(tmp_path / "r", pictures[20:]), encoder=tiny_encoder)
    # 20 images with two captions each; the real ones have the same names, so the same captions.
    assert paired.uncertainty is not None and paired.uncertainty.draws == 20
    texts = [text for own in captions.values() for text in own]
    # Real images that pair with nothing are draws of their own, and leave the others' pairs alone.
    others = [f"other {chr(ord('a') + k)}.png" for k in range(20)]
    for k, name in enumerate(others):
        (tmp_path / "r" / f"{k}.png").rename(tmp_path / "r" / name)
    half = cmd(folder, captions, tmp_path / "r", encoder=tiny_encoder)
    assert half.uncertainty is not None and half.uncertainty.draws == 20 + 20
    unpaired = cmd(folder, texts, tmp_path / "r", encoder=tiny_encoder)
    assert unpaired.uncertainty is not None and unpaired.uncertainty.draws == 20 + 20 + 40
    assert unpaired.cmd == pytest.approx(paired.cmd, rel=1e-9)


def test_sets_of_other_protocols_do_not_meet(
    tiny_clip: Path, pictures: np.ndarray, tmp_path: Path
) -> None:
    moments_of(pictures, model=tiny_clip, protocol="clip").save(tmp_path / "r.npz")
    with pytest.raises(InputError, match="normalise: 'none' against 'encoder'") as caught:
        cmd(pictures, CAPTIONS, tmp_path / "r.npz", model=tiny_clip)
    assert "image_scale" in str(caught.value) and "weights" not in str(caught.value)


def test_swapped_sides_are_told(tiny_clip: Path, pictures: np.ndarray, tmp_path: Path) -> None:
    moments_of(pictures, model=tiny_clip).save(tmp_path / "r.npz")
    with pytest.raises(InputError, match="swapped"):
        cmd(pictures, tmp_path / "r.npz", pictures, model=tiny_clip)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("captions.csv", "file_name,caption\na.png,a cat\n"),
        ("captions.json", '[{"file_name": "a.png", "caption": "a cat"}]'),
        ("captions.txt", "a cat\n"),
    ],
)
def test_captions_before_a_folder_of_images_are_told(name: str, text: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(text)
    (tmp_path / "images").mkdir()
    Image.new("RGB", (8, 8)).save(tmp_path / "images" / "b.png")
    with pytest.raises(InputError, match="swapped"):
        cmd(tmp_path / name, tmp_path / "images", model="scenes-toy")


def test_released_moments_on_both_sides(monkeypatch: pytest.MonkeyPatch) -> None:
    real, text = (shared(f"reference/coco2014-val.{side}.npz") for side in ("real", "text"))
    with pytest.warns(UserWarning, match="taken on trust"):
        score = cmd(real, text, real)
    assert score.dis_fr < 1e-8 and score.itdis == 0 and score.cmd < 1e-8
    monkeypatch.setenv("CMDMETRIC_REFERENCES", str(SHARED / "reference"))
    named = cmd("coco2014-val", "coco2014-val")
    assert named.dis_rl == pytest.approx(91.759443969, abs=1e-8)
    assert "|r:coco2014-val|l:coco2014-val|" in named.signature


class TestRealSide:
    def coco(self, folder: Path, names: list[str]) -> Path:
        images = [{"id": k, "file_name": name} for k, name in enumerate(names)]
        annotations = [
            {"image_id": k, "id": k, "caption": CAPTIONS[k % len(CAPTIONS)]}
            for k in range(len(names))
        ]
        path = folder / "captions.json"
        path.write_text(json.dumps({"images": images, "annotations": annotations}))
        return path

    def test_images_beside_the_captions(
        self, tiny_encoder: Encoder, pictures: np.ndarray, tmp_path: Path
    ) -> None:
        write(tmp_path / "real", pictures[15:])
        write(tmp_path / "f", pictures[:25])
        captions = self.coco(tmp_path, [f"real/{k}.png" for k in range(25)])
        score = cmd(tmp_path / "f", captions, encoder=tiny_encoder)
        assert score.n_real == 25 and score.paired == 25
        assert (
            score.cmd == cmd(tmp_path / "f", captions, tmp_path / "real", encoder=tiny_encoder).cmd
        )

    def test_never_the_generated_images_themselves(
        self, tiny_encoder: Encoder, pictures: np.ndarray, tmp_path: Path
    ) -> None:
        write(tmp_path, pictures)
        captions = self.coco(tmp_path, [f"{k}.png" for k in range(40)])
        with pytest.raises(InputError, match=r"are the generated ones themselves.*--real"):
            cmd(tmp_path, captions, encoder=tiny_encoder)

    def test_coco_captions_lead_to_coco(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        real = shared("reference/coco2014-val.real.npz")
        monkeypatch.setenv("CMDMETRIC_REFERENCES", str(real.parent))
        names = [f"COCO_val2014_{k:012d}.jpg" for k in range(40)]
        captions = self.coco(tmp_path, names)
        generated = np.random.default_rng(0).standard_normal((600, 512))
        from cmdmetric.scoring.opening import find_real, open_image_side, open_text_side

        side = find_real(open_text_side(captions), open_image_side(generated))
        assert getattr(side, "reference", None) == "coco2014-val"

    def test_nothing_leads_to_an_error(self, tiny_encoder: Encoder, pictures: np.ndarray) -> None:
        with pytest.raises(InputError, match=r"names no images.*--real PATH"):
            cmd(pictures, CAPTIONS, encoder=tiny_encoder)


class TestBrokenImages:
    @pytest.fixture
    def folder(self, pictures: np.ndarray, tmp_path: Path) -> Path:
        folder = write(tmp_path / "f", pictures)
        content = (folder / "3.png").read_bytes()
        (folder / "3.png").write_bytes(content[: len(content) // 2])
        (folder / "7.png").write_bytes(b"no image")
        return folder

    def test_all_are_listed(
        self, tiny_encoder: Encoder, folder: Path, pictures: np.ndarray
    ) -> None:
        with pytest.raises(InputError, match="2 of 40 images") as caught:
            cmd(folder, CAPTIONS, pictures, encoder=tiny_encoder)
        message = str(caught.value)
        assert "3.png" in message and "7.png" in message and "--on-error skip" in message

    def test_the_rest_is_scored_on_request(
        self, tiny_encoder: Encoder, folder: Path, pictures: np.ndarray
    ) -> None:
        with pytest.warns(UserWarning, match=r"2 images could not be decoded(.|\n)*7\.png"):
            score = cmd(folder, CAPTIONS, pictures, encoder=tiny_encoder, on_error="skip")
        assert (score.n, score.skipped) == (38, 2)
        good = np.delete(pictures, [3, 7], axis=0)
        assert score.cmd == pytest.approx(cmd(good, CAPTIONS, pictures, encoder=tiny_encoder).cmd)


def test_truncated_captions_are_reported(tiny_encoder: Encoder, pictures: np.ndarray) -> None:
    with pytest.warns(UserWarning, match=r"longer than the encoder.s context were cut \(.*\): 1$"):
        score = cmd(pictures, [*CAPTIONS, "word " * 100], pictures, encoder=tiny_encoder)
    assert score.truncated == 1


def test_captions_without_words_are_left_out(tiny_encoder: Encoder, pictures: np.ndarray) -> None:
    with pytest.warns(UserWarning, match="have no word in them are left out: 1"):
        score = cmd(pictures, [*CAPTIONS, "?!"], pictures, encoder=tiny_encoder)
    assert score.empty == 1 and score.n_captions == len(CAPTIONS)
    assert score.cmd == pytest.approx(cmd(pictures, CAPTIONS, pictures, encoder=tiny_encoder).cmd)


def test_collapsed_images_are_told(tiny_encoder: Encoder, pictures: np.ndarray) -> None:
    with pytest.warns(UserWarning, match="generated images .* all have the same features"):
        cmd(np.repeat(pictures[:1], 40, axis=0), CAPTIONS, pictures, encoder=tiny_encoder)


def test_fewer_than_two_samples(tiny_encoder: Encoder, pictures: np.ndarray) -> None:
    with pytest.raises(InputError, match="at least 2"):
        cmd(pictures[:1], CAPTIONS, pictures, encoder=tiny_encoder)
    with pytest.raises(InputError, match="at least 2"):
        cmd(pictures, CAPTIONS[:1], pictures, encoder=tiny_encoder)


def test_wrong_paths_are_told_before_the_network_is_built(tmp_path: Path) -> None:
    # The default weights are not at hand here, so building the encoder would fail otherwise.
    with pytest.raises(InputError, match="absent"):
        cmd(tmp_path / "absent", CAPTIONS, "coco2014-val")


def test_captions_of_an_image_are_one_draw_on_either_side() -> None:
    """One real image that has a caption's name does not take the others' captions apart."""
    from cmdmetric.inputs.captions import read_captions
    from cmdmetric.metrics.moments import Moments
    from cmdmetric.scoring.grouping import as_samples, groups_of
    from cmdmetric.scoring.side import Side

    x = np.random.default_rng(0).standard_normal((6, 2)).astype(np.float32)
    texts = read_captions({"a.png": ["1", "2"], "b.png": ["3", "4"], "c.png": ["5", "6"]})

    def images(*names: str) -> Side:
        some = x[: len(names)]
        return Side(Moments.from_features(some), "images", features=some, names=names)

    l = Side(Moments.from_features(x), "l", features=x, texts=texts, kept=tuple(range(6)))
    f, r = images("a.png", "b.png", "c.png"), images("b.png", "other.png")
    for sides in ([f, r], [r, f]):
        _, of_captions = as_samples(sides, l)
        one, _, two, _, three, _ = of_captions.groups.tolist()
        assert of_captions.groups.tolist() == [one, one, two, two, three, three]
        assert len({one, two, three}) == 3
    # Unpaired images are apart from all others, whatever the other side holds.
    (_, here), (_, there) = (groups_of([side, r], l) for side in (f, images("a.png", "x.png")))
    assert here.tolist() == there.tolist()
    of_f, of_r = groups_of([images("x.png", "a.png"), images("y.png", "b.png")], l)
    assert len({*of_f.tolist(), *of_r.tolist()}) == 4


def test_an_unknown_option_is_named() -> None:
    with pytest.raises(TypeError, match="'modle'; did you mean 'model'"):
        cmd(["a"], ["b"], modle="scenes-toy")  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="'colour'; there is model, weights"):
        moments_of(["a"], colour="red")  # type: ignore[call-arg]


def test_every_option_has_a_default() -> None:
    assert list(DEFAULTS) == list(EncodingOptions.__annotations__)


@pytest.mark.parametrize("form", ["array", "kept.npy", "kept.npz"])
@pytest.mark.parametrize("side", range(3))
def test_features_of_no_sample_are_refused(form: str, side: int, tmp_path: Path) -> None:
    nothing: object = np.zeros((0, 64))
    if form == "kept.npy":
        np.save(tmp_path / form, nothing)
    elif form == "kept.npz":
        np.savez(tmp_path / form, features=nothing)
    sides = [np.random.default_rng(0).standard_normal((150, 64)) for _ in range(3)]
    sides[side] = nothing if form == "array" else tmp_path / form
    with pytest.raises(InputError, match="no sample") as told:
        cmd(*sides)
    assert form == "array" or str(tmp_path / form) in str(told.value)
