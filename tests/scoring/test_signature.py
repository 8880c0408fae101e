"""Same signature, same numbers; and what is lost with a form of the input is said."""

from __future__ import annotations

import shutil
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from cmdmetric import CMDScore, Encoder, cmd
from cmdmetric.features.contents import digest_of_set, digests_of, jpeg_quality, summed
from cmdmetric.gate import differences_of, setting_of
from cmdmetric.scoring import fields_of, merge, stored_set
from cmdmetric.scoring.signature import Signature
from tests.support.pictures import noisy_colours, scenes

#: Images of a side: enough that debiased values are given in sixteen dimensions.
COUNT = 640
#: Features of other batches differ by the rounding of float32.
ROUNDING = 1e-6


def score(*sources: Any, encoder: Encoder, **options: Any) -> CMDScore:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        return cmd(*sources, encoder=encoder, cache=False, **options)


@pytest.fixture(scope="module")
def sides(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Generated and real images, and two captions for each, by name."""
    folder = tmp_path_factory.mktemp("sides")
    for name, seed in (("generated", 0), ("real", 1)):
        (folder / name).mkdir()
        for i, pixels in enumerate(noisy_colours(COUNT, seed)):
            Image.fromarray(pixels).save(folder / name / f"{i:03d}.png")
    rows = [f"{i:03d}.png,a thing number {i} seen {how}\n" for i in range(COUNT) for how in "ab"]
    (folder / "captions.csv").write_text("image,caption\n" + "".join(rows))
    return folder


@pytest.fixture(scope="module")
def whole(sides: Path, tiny_encoder: Encoder) -> CMDScore:
    return score(sides / "generated", sides / "captions.csv", sides / "real", encoder=tiny_encoder)


def same(one: CMDScore, two: CMDScore) -> bool:
    """Whether all numbers agree, error bars included."""
    assert one.uncertainty is not None and two.uncertainty is not None
    of_one, of_two = one.uncertainty.cmd, two.uncertainty.cmd
    # A small difference of larger numbers: what tells is its standard error.
    debiased = pytest.approx(of_two.debiased, abs=1e-3 * of_one.standard_error)
    names = ("cmd", "itdis", "dis_fr", "dis_fl", "dis_rl")
    close = {"rel": ROUNDING, "abs": ROUNDING * one.dis_rl}
    return (
        all(
            getattr(one, name) == pytest.approx(getattr(two, name), **close)
            and getattr(one.uncertainty, name).standard_error
            == pytest.approx(getattr(two.uncertainty, name).standard_error, rel=1e-4)
            for name in names
        )
        and one.uncertainty.withheld == two.uncertainty.withheld
        and (of_one.debiased is of_two.debiased or of_one.debiased == debiased)
    )


@pytest.mark.parametrize("lost", [(), ("real",), ("generated",), ("captions.csv",)])
def test_moments_stand_for_their_images_or_say_what_is_lost(
    sides: Path, whole: CMDScore, lost: tuple[str, ...], tmp_path: Path, tiny_encoder: Encoder
) -> None:
    for name in ("generated", "real", "captions.csv"):
        made = stored_set(sides / name, encoder=tiny_encoder, features=name not in lost)
        made.save(tmp_path / f"{Path(name).stem}.npz")
    found = score(
        tmp_path / "generated.npz", tmp_path / "captions.npz", tmp_path / "real.npz",
        encoder=tiny_encoder,
    )  # fmt: skip
    assert whole.uncertainty is not None and found.uncertainty is not None
    assert found.cmd == pytest.approx(whole.cmd, rel=ROUNDING, abs=ROUNDING * whole.dis_rl)
    if not lost:
        assert same(found, whole) and found.signature == whole.signature
        return
    assert found.uncertainty.cmd.debiased is None
    assert "moments alone" in str(found.uncertainty.withheld)
    assert any("moments alone" in note for note in found.warnings)
    ours, theirs = fields_of(found.signature), fields_of(whole.signature)
    # The sets are the same ones, so that scores of both forms compare.
    assert {key: ours[key] for key in "frl"} == {key: theirs[key] for key in "frl"}
    assert ours["se"] != theirs["se"] and ours["debias"] == "none"


def test_stored_sets_have_the_debiased_value_of_their_images(
    example: Path, seen_example: Path, encoder: Encoder, tmp_path: Path
) -> None:
    """The tiny encoder's few dimensions have none: its captions have heavy tails."""
    places = [example / name for name in ("generated", "captions.json", "real")]
    whole = cmd(*places, encoder=encoder, cache=seen_example)
    files = [tmp_path / f"{place.stem}.npz" for place in places]
    for place, file in zip(places, files, strict=True):
        stored_set(place, encoder=encoder, features=True, cache=seen_example).save(file)
    found = cmd(*files, encoder=encoder, cache=seen_example)
    assert whole.uncertainty is not None and whole.uncertainty.cmd.debiased is not None
    assert same(found, whole) and found.signature == whole.signature


def copied(folder: Path, out: Path, name: Callable[[int], str]) -> None:
    """Copy a folder's images under other names, by their order."""
    for i, path in enumerate(sorted(folder.iterdir())):
        shutil.copy(path, out / f"{name(i)}.png")


def test_renamed_images_say_that_pairs_are_lost(
    sides: Path, whole: CMDScore, tmp_path: Path, tiny_encoder: Encoder
) -> None:
    copied(sides / "generated", tmp_path, lambda i: f"sample{chr(97 + i // 26)}{chr(97 + i % 26)}")
    found = score(tmp_path, sides / "captions.csv", sides / "real", encoder=tiny_encoder)
    ours, theirs = fields_of(found.signature), fields_of(whole.signature)
    assert ours["f"] == theirs["f"] and found.cmd == pytest.approx(whole.cmd, abs=1e-6)
    assert ours["pairs"] != theirs["pairs"]
    assert found.uncertainty is not None and found.uncertainty.cmd.debiased is None
    assert any("no generated image has a name that the captions name" in x for x in found.warnings)


def test_other_pairs_of_the_same_images_have_another_signature(
    sides: Path, whole: CMDScore, tmp_path: Path, tiny_encoder: Encoder
) -> None:
    copied(sides / "generated", tmp_path, lambda i: f"{(i + 1) % COUNT:02d}")
    found = score(tmp_path, sides / "captions.csv", sides / "real", encoder=tiny_encoder)
    ours, theirs = fields_of(found.signature), fields_of(whole.signature)
    assert [key for key in theirs if ours[key] != theirs[key]] == ["pairs"]


def test_the_form_of_a_set_does_not_matter(
    sides: Path, whole: CMDScore, tmp_path: Path, tiny_encoder: Encoder
) -> None:
    pixels = np.stack([np.asarray(Image.open(path)) for path in sorted((sides / "real").iterdir())])
    shutil.make_archive(str(tmp_path / "real"), "zip", sides / "real")
    np.save(tmp_path / "real.npy", pixels[::-1])
    for real in (tmp_path / "real.zip", tmp_path / "real.npy", pixels, list(pixels)):
        found = score(sides / "generated", sides / "captions.csv", real, encoder=tiny_encoder)
        assert fields_of(found.signature)["r"] == fields_of(whole.signature)["r"]


def test_other_photographs_of_the_same_number_sign_otherwise(
    sides: Path, whole: CMDScore, tiny_encoder: Encoder
) -> None:
    other = score(
        sides / "generated", sides / "captions.csv", noisy_colours(COUNT, 7), encoder=tiny_encoder
    )
    assert fields_of(other.signature)["r"].startswith(f"{COUNT}@")
    settings = setting_of(whole.to_dict()), setting_of(other.to_dict())
    assert differences_of(*settings) == ["contents of real images"]


def test_a_signature_of_an_older_release_is_compared_as_far_as_it_goes(whole: CMDScore) -> None:
    content = whole.to_dict()
    of_old = f"CMD|proto:grgan|model:x|f:{COUNT}|r:{COUNT}|l:{2 * COUNT}"
    old = {**content, "signature": f"{of_old}|dtype:fp32|v:0.1.0"}
    del old["schema"]
    assert differences_of(setting_of(content), setting_of(old)) == []
    old["signature"] = old["signature"].replace(f"r:{COUNT}", f"r:{COUNT + 1}")
    assert differences_of(setting_of(content), setting_of(old)) == ["real images"]


def test_every_number_of_the_family_has_a_signature_with_its_parameters(
    sides: Path, tiny_encoder: Encoder
) -> None:
    found = score(
        sides / "generated", sides / "captions.csv", sides / "real", encoder=tiny_encoder,
        metrics="clipscore,cmmd,prdc",
    )  # fmt: skip
    metrics = found.to_dict()["metrics"]
    assert metrics.keys() == found.metrics.keys()
    assert metrics["recall"]["signature"].startswith("RECALL|proto:grgan|")
    assert fields_of(metrics["recall"]["signature"])["k"] == "5"
    assert fields_of(metrics["clipscore"]["signature"])["prefix"] == "none"
    assert fields_of(metrics["cmmd"]["signature"])["kernel"] == "gauss-10"


def test_a_name_forges_no_field() -> None:
    made = Signature("CMD", {"model": "a|f:1 %7C", "v": "1"})
    assert str(made) == "CMD|model:a%7Cf%3A1%20%257C|v:1"
    assert Signature.read(str(made)) == made
    assert made.of_metric("fid", {"k": "5"}).short == str(Signature("FID", made.fields))


def test_shards_add_up_to_the_set(sides: Path, tmp_path: Path, tiny_encoder: Encoder) -> None:
    whole = stored_set(sides / "real", encoder=tiny_encoder)
    assert whole.contents is not None and whole.looks is not None
    for features in (True, False):
        paths = [tmp_path / f"{features}{i}.npz" for i in range(3)]
        for i, path in enumerate(paths):
            part = stored_set(
                sides / "real", shard=f"{i}/3", encoder=tiny_encoder, features=features
            )
            part.save(path)
        found = merge(paths)
        assert found.contents is not None and len(found.contents) == (COUNT if features else 3)
        assert digest_of_set(found.contents) == digest_of_set(whole.contents)
        assert digest_of_set(summed(found.contents)) == digest_of_set(whole.contents)
        np.testing.assert_array_equal(found.looks, whole.looks)


def test_digests_of_sets_are_of_what_is_in_them() -> None:
    one, two = digests_of([b"a", b"b", b"b"]), digests_of([b"b", b"a", b"b"])
    assert digest_of_set(one) == digest_of_set(two)
    assert digest_of_set(one) != digest_of_set(digests_of([b"a", b"b"]))
    assert digest_of_set(one) != digest_of_set(digests_of([b"a", b"a", b"b"]))


# --- what a careful colleague would say ------------------------------------------------------


def notes(*sources: Any, encoder: Encoder) -> str:
    return "\n".join(score(*sources, encoder=encoder).warnings)


def test_the_same_images_on_both_sides_are_told(sides: Path, tiny_encoder: Encoder) -> None:
    captions = sides / "captions.csv"
    real = sides / "real"
    assert "are the same ones" in notes(real, captions, real, encoder=tiny_encoder)
    mixed = [*noisy_colours(38, 5), *noisy_colours(COUNT, 1)[:2]]
    assert "2 of 40 generated images are among the real" in notes(
        mixed, captions, real, encoder=tiny_encoder
    )
    assert "real ones" not in notes(sides / "generated", captions, real, encoder=tiny_encoder)


def test_other_sizes_and_qualities_are_told(
    sides: Path, tmp_path: Path, tiny_encoder: Encoder
) -> None:
    captions, real = sides / "captions.csv", tmp_path / "large"
    real.mkdir()
    for i, pixels in enumerate(noisy_colours(40, 3)):
        Image.fromarray(pixels).resize((64, 64)).save(real / f"{i}.png")
    told = notes(sides / "generated", captions, real, encoder=tiny_encoder)
    assert "32x32 pixels in the median, real ones of 64x64" in told
    for quality in (95, 60):
        folder = tmp_path / str(quality)
        folder.mkdir()
        for i, pixels in enumerate(noisy_colours(40, quality)):
            Image.fromarray(pixels).save(folder / f"{i}.jpg", quality=quality)
            assert jpeg_quality(Image.open(folder / f"{i}.jpg")) == pytest.approx(quality, abs=1)
    stored_set(tmp_path / "60", encoder=tiny_encoder, features=False).save(tmp_path / "60.npz")
    for sixty in (tmp_path / "60", tmp_path / "60.npz"):  # what is stored knows it too
        told = notes(tmp_path / "95", captions, sixty, encoder=tiny_encoder)
        assert "JPEG of quality 95" in told and "real ones of 60" in told


def test_the_toy_encoder_on_photographs_is_told(encoder: Encoder, sides: Path) -> None:
    photographs = [Image.fromarray(x).resize((300, 200)) for x in noisy_colours(40)]
    told = notes(photographs, sides / "captions.csv", sides / "real", encoder=encoder)
    assert "nothing but drawn scenes" in told and "are larger" in told


def test_photographs_are_known_by_their_texture_at_any_size(encoder: Encoder, sides: Path) -> None:
    """Fields of noise with the spectrum of photographs, 1/f (Field 1987), of the scenes' size."""
    rng, n = np.random.default_rng(0), 64
    frequency = np.hypot(*np.meshgrid(np.fft.fftfreq(n), np.fft.fftfreq(n)))
    frequency[0, 0] = np.inf
    spectra = np.fft.fft2(rng.standard_normal((40, n, n))) / frequency
    fields = np.fft.ifft2(spectra).real
    grey = np.clip(128 + 50 * fields / fields.std(), 0, 255).astype(np.uint8)
    photographs = np.repeat(grey[..., None], 3, axis=3)
    captions, drawn = sides / "captions.csv", scenes(range(40))
    told = notes(photographs, captions, drawn, encoder=encoder)
    assert "the texture of photographs" in told
    assert "nothing but drawn" not in notes(drawn, captions, scenes(range(40, 80)), encoder=encoder)
