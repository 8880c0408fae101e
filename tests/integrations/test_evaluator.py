"""The evaluator against `cmd` on the same images as files, and what it leaves alone."""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from cmdmetric import CMDScore, Encoder, Evaluator, InputError, Moments, cmd
from cmdmetric.scenes.drawing import draw_scene
from cmdmetric.score import moments_of
from tests.support.scores import same_numbers, same_setting

pytestmark = pytest.mark.filterwarnings("ignore:.*too few for:UserWarning")
N = 90


@pytest.fixture(scope="module")
def scenes() -> tuple[np.ndarray, list[str]]:
    """(2 N, 48, 60, 3) uint8, neither square nor of the encoder's size, and a caption each."""
    drawn = [draw_scene(seed) for seed in range(2 * N)]
    images = [np.asarray(scene.render(64).resize((60, 48))) for scene in drawn]
    return np.stack(images), [scene.captions(1)[0] for scene in drawn]


@pytest.fixture
def generated(scenes: tuple[np.ndarray, list[str]]) -> np.ndarray:
    return scenes[0][:N]


@pytest.fixture
def real(scenes: tuple[np.ndarray, list[str]]) -> np.ndarray:
    return scenes[0][N:]


@pytest.fixture
def texts(scenes: tuple[np.ndarray, list[str]]) -> list[str]:
    return scenes[1][:N]


@pytest.fixture
def files(generated: np.ndarray, tmp_path: Path) -> Path:
    folder = tmp_path / "generated"
    folder.mkdir()
    for i, image in enumerate(generated):
        Image.fromarray(image).save(folder / f"{i:03}.png")
    return folder


def nchw(images: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(images).permute(0, 3, 1, 2)


def test_it_prints_as_one_line(encoder: Encoder, real: np.ndarray, texts: list[str]) -> None:
    evaluator = Evaluator(real, encoder=encoder)
    assert str(evaluator) == (
        f"<Evaluator scenes-toy, protocol grgan: {N} real images, captions with every batch, "
        "0 generated images since the last reset>"
    )
    evaluator.update(real[:1], texts[:1])
    assert ", 1 generated image since" in repr(evaluator)
    assert f", {N} captions, 0 generated" in repr(Evaluator(real, texts, encoder=encoder))


def batches(*parallel: np.ndarray | torch.Tensor | list[str], size: int = 25) -> Iterator[tuple]:
    for start in range(0, len(parallel[0]), size):
        yield tuple(values[start : start + size] for values in parallel)


def same(a: CMDScore, b: CMDScore) -> bool:
    """The numbers to 1e-6: a batch of another size may round the last bit of float32 otherwise."""
    return same_numbers(a, b, rel=1e-6)


def test_equals_cmd_on_the_saved_files(
    encoder: Encoder, generated: np.ndarray, real: np.ndarray, texts: list[str], files: Path
) -> None:
    own = {f"{i:03}.png": [text, f"{text}!"] for i, text in enumerate(texts)}
    expected = cmd(files, own, real, encoder=encoder)
    evaluator = Evaluator(real, encoder=encoder)
    for images, captions in batches(nchw(generated), [[t, f"{t}!"] for t in texts]):
        evaluator.update(images, captions)
    score = evaluator.compute()
    assert same(score, expected)
    assert score.signature == expected.signature
    for field in ("n", "n_real", "n_captions", "paired", "truncated", "empty", "warnings"):
        assert getattr(score, field) == getattr(expected, field), field
    assert score.paired == N
    assert score.uncertainty is not None and expected.uncertainty is not None
    assert score.uncertainty.draws == expected.uncertainty.draws
    assert score.uncertainty.cmd.standard_error == pytest.approx(
        expected.uncertainty.cmd.standard_error, rel=1e-4
    )


def test_real_side_and_captions_in_other_forms(
    encoder: Encoder, generated: np.ndarray, real: np.ndarray, texts: list[str], tmp_path: Path
) -> None:
    expected = cmd(generated, texts, real, encoder=encoder)
    (tmp_path / "captions.txt").write_text("\n".join(texts))
    moments_of(real, encoder=encoder).save(tmp_path / "real.npz")
    moments_of(texts, "text", encoder=encoder).save(tmp_path / "captions.npz")
    for form in ("captions.txt", "captions.npz"):
        evaluator = Evaluator(tmp_path / "real.npz", tmp_path / form, encoder=encoder)
        for (images,) in batches(generated):
            evaluator.update(images)
        score = evaluator.compute()
        assert same(score, expected)
        assert same_setting(score, expected)
        assert evaluator.compute() == score  # computing changes nothing


def test_images_of_every_kind(encoder: Encoder, generated: np.ndarray, real: np.ndarray) -> None:
    expected = cmd(generated[:8], ["a red square", "a blue circle"], real, encoder=encoder)
    pictures = [Image.fromarray(image) for image in generated[:8]]
    for form in (generated[:8], nchw(generated[:8]), torch.from_numpy(generated[:8]), pictures):
        evaluator = Evaluator(real, ["a red square", "a blue circle"], encoder=encoder)
        evaluator.update(form)
        assert same(evaluator.compute(), expected)


def test_merge_and_reset(
    encoder: Encoder, generated: np.ndarray, real: np.ndarray, texts: list[str]
) -> None:
    whole, one, two = (Evaluator(real, encoder=encoder) for _ in range(3))
    whole.update(generated, texts)
    expected = whole.compute()
    one.update(generated[:50], texts[:50])
    two.update(generated[50:], texts[50:])
    assert same(one.merge(two).compute(), expected)
    assert two.compute().n == N - 50
    one.reset()
    with pytest.raises(InputError, match="call update first"):
        one.compute()
    one.update(generated, texts)
    assert same(one.compute(), expected)
    one.merge(Evaluator(real, encoder=encoder))  # which has seen nothing
    assert one.compute() == expected


def test_merge_refuses_other_references(
    encoder: Encoder, real: np.ndarray, texts: list[str], tiny_clip: Path
) -> None:
    evaluator = Evaluator(real, texts, encoder=encoder)
    with pytest.raises(InputError, match="different real images"):
        evaluator.merge(Evaluator(real[:50], texts, encoder=encoder))
    with pytest.raises(InputError, match="different captions"):
        evaluator.merge(Evaluator(real, encoder=encoder))
    with pytest.raises(InputError, match="made differently"):
        evaluator.merge(Evaluator(real, texts, model=tiny_clip))


def test_survives_pickling(encoder: Encoder, generated: np.ndarray, real: np.ndarray) -> None:
    evaluator = Evaluator(real, ["a red square", "a blue circle"], encoder=encoder)
    evaluator.update(generated)
    assert pickle.loads(pickle.dumps(evaluator)).compute() == evaluator.compute()


def test_the_training_is_left_alone(real: np.ndarray, generated: np.ndarray) -> None:
    torch.manual_seed(0)
    torch.set_grad_enabled(True)
    before = torch.get_rng_state()
    tf32 = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32
    evaluator = Evaluator(real, ["a red square", "a blue circle"], model="scenes-toy", device="cpu")
    evaluator.update(generated)
    evaluator.compute()
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.is_grad_enabled() and torch.get_default_dtype() == torch.float32
    assert (torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32) == tf32


def test_the_trainers_precision_does_not_reach_the_encoder(
    encoder: Encoder, generated: np.ndarray, real: np.ndarray, texts: list[str]
) -> None:
    def score(**how: object) -> CMDScore:
        evaluator = Evaluator(real, **how)  # type: ignore[arg-type]
        evaluator.update(generated, texts)
        return evaluator.compute()

    expected = score(encoder=encoder)
    with torch.autocast("cpu", torch.bfloat16):
        assert same(score(encoder=encoder), expected)
    try:
        torch.set_default_dtype(torch.bfloat16)
        assert same(score(model="scenes-toy", device="cpu"), expected)
        assert torch.get_default_dtype() == torch.bfloat16
    finally:
        torch.set_default_dtype(torch.float32)


def test_captions_without_a_word_are_counted(
    encoder: Encoder, generated: np.ndarray, real: np.ndarray, texts: list[str]
) -> None:
    evaluator = Evaluator(real, encoder=encoder)
    evaluator.update(generated[:1], ["!!!"])  # a batch that has nothing else
    evaluator.update(generated[1:], texts[1:])
    with pytest.warns(UserWarning, match="have no word in them are left out: 1"):
        score = evaluator.compute()
        expected = cmd(generated, ["!!!", *texts[1:]], real, encoder=encoder)
    assert (score.n, score.n_captions, score.empty, score.paired) == (N, N - 1, 1, N - 1)
    assert same(score, expected)


def test_one_image_a_batch(
    encoder: Encoder, generated: np.ndarray, real: np.ndarray, texts: list[str]
) -> None:
    evaluator = Evaluator(real, encoder=encoder)
    for images, captions in batches(nchw(generated[:3]), texts[:3], size=1):
        evaluator.update(images, captions)
    assert same(evaluator.compute(), cmd(generated[:3], texts[:3], real, encoder=encoder))


@pytest.mark.parametrize(
    ("fixed", "images", "captions", "told"),
    [
        (None, np.zeros((2, 3, 8, 8), np.float32), ["a", "b"], "multiply by 255"),
        (None, np.zeros((3, 8, 8), np.uint8), ["a", "b"], "add an axis"),
        (None, np.zeros((2, 3, 8, 8), np.uint8), None, "have no captions"),
        (None, np.zeros((2, 3, 8, 8), np.uint8), ["a"], "2 images and 1 entries"),
        (None, np.zeros((2, 3, 8, 8), np.uint8), "ab", "not a str"),
        (None, np.zeros((2, 3, 8, 8), np.uint8), {"a": "b", "c": "d"}, "not a dict"),
        (None, np.zeros((2, 3, 8, 8), np.uint8), ["a", " "], "captions are empty"),
        (None, np.zeros((2, 3, 8, 8), np.uint8), ["a", 3], "is no text"),
        (["a cat"], np.zeros((2, 3, 8, 8), np.uint8), ["a", "b"], "given once"),
    ],
)
def test_wrong_updates_are_told_and_add_nothing(
    encoder: Encoder, real: np.ndarray, fixed: object, images: object, captions: object, told: str
) -> None:
    evaluator = Evaluator(real[:4], fixed, encoder=encoder)
    with pytest.raises(InputError, match=told):
        evaluator.update(images, captions)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="call update first"):
        evaluator.compute()


def test_wrong_references_are_told_before_the_first_update(
    encoder: Encoder, real: np.ndarray, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match="nowhere"):
        Evaluator(tmp_path / "nowhere", model="no network is looked for")
    moments_of(real, model="scenes-toy", protocol="clip").save(tmp_path / "clip.npz")
    with pytest.raises(InputError, match="image_scale"):
        Evaluator(tmp_path / "clip.npz", encoder=encoder)
    with pytest.raises(InputError, match="of 7 dimensions"):
        Evaluator(Moments.from_features(np.eye(7)), encoder=encoder)
    with pytest.raises(InputError, match="at least 2"):
        evaluator = Evaluator(real, ["a red square", "a blue circle"], encoder=encoder)
        evaluator.update(real[:1])
        evaluator.compute()


@pytest.mark.slow
@pytest.mark.usefixtures("remembered_inception")
def test_metrics_equal_those_of_cmd(
    encoder: Encoder,
    generated: np.ndarray,
    real: np.ndarray,
    texts: list[str],
    files: Path,
    inception_weights: Path,
    tmp_path: Path,
) -> None:
    n, options = 12, {"encoder": encoder, "inception_weights": inception_weights}
    metrics = "clipscore,cmmd,fid,is"
    whole = [Evaluator(real[:n], metrics=metrics, **options) for _ in range(2)]
    for start in range(0, n, 4):
        whole[start > 4].update(nchw(generated[start : start + 4]), texts[start : start + 4])
    with pytest.warns(UserWarning, match="too few"):
        ours = whole[0].merge(whole[1]).compute()
    saved = sorted(files.iterdir())[:n]
    captions = {str(path): text for path, text in zip(saved, texts, strict=False)}
    with pytest.warns(UserWarning, match="too few"):
        theirs = cmd(saved, captions, real[:n], metrics=metrics, **options)
    assert list(ours.metrics) == list(theirs.metrics) == ["clipscore", "cmmd", "cmmd_biased", "fid",
                                                          "is", "is_std"]  # fmt: skip
    for name, value in theirs.metrics.items():
        # Batches of 4 and of 32 round float32 features differently; what is near zero, such as the
        # deviation of Inception scores near 1, by 1e-6 of what it is a difference of.
        assert ours.metrics[name].value == pytest.approx(value.value, rel=1e-4, abs=1e-6), name
    assert theirs.metrics["fid"].value > 0.01
    copy = pickle.loads(pickle.dumps(whole[0]))
    copy.reset()
    with pytest.raises(InputError, match="call update first"):
        copy.compute()


def test_metrics_that_cannot_be_had(
    encoder: Encoder, generated: np.ndarray, real: np.ndarray, texts: list[str]
) -> None:
    with pytest.raises(InputError, match="no metric 'fidd'; did you mean fid"):
        Evaluator(real, metrics="fidd", encoder=encoder)
    with pytest.raises(InputError, match="no such weights file"):
        Evaluator(real, metrics=["fid"], inception_weights="/nowhere.pth", encoder=encoder)
    fixed = Evaluator(real, texts, metrics="clipscore", encoder=encoder)
    fixed.update(generated)
    with pytest.raises(InputError, match="clipscore: it takes pairs"):
        fixed.compute()
    plain = Evaluator(real, texts, encoder=encoder)
    with pytest.raises(InputError, match="different metrics"):
        fixed.merge(plain)


def test_captions_of_the_real_images_for_fjd(
    encoder: Encoder, generated: np.ndarray, real: np.ndarray, texts: list[str], tmp_path: Path
) -> None:
    """In order or by name, they give what `cmd` finds with one file of captions for both sides."""
    n = len(real)
    of_real = [f"{text}, really" for text in texts[:n]]
    ours = Evaluator(real, metrics="fjd", real_captions=of_real, encoder=encoder)
    ours.update(generated, texts[: len(generated)])
    named: dict[str, str] = {}
    for side, images, captions in (("f", generated, texts), ("r", real, of_real)):
        (tmp_path / side).mkdir()
        for i, (image, caption) in enumerate(zip(images, captions, strict=False)):
            Image.fromarray(image).save(tmp_path / side / f"{side}{i}.png")
            named[f"{side}{i}.png"] = caption
    options = {"metrics": "fjd", "encoder": encoder}
    theirs = cmd(tmp_path / "f", named, tmp_path / "r", **options).metrics["fjd"]
    found = ours.compute().metrics["fjd"]
    # Batches of images and of captions are others: float32.
    assert found.value == pytest.approx(theirs.value, rel=1e-4)
    assert found.standard_error == pytest.approx(theirs.standard_error, rel=1e-3)
    by_name = {f"r{i}.png": text for i, text in enumerate(of_real)}
    other = Evaluator(tmp_path / "r", real_captions=by_name, **options)
    other.update(generated, texts[: len(generated)])
    assert other.compute().metrics["fjd"].value == pytest.approx(theirs.value, rel=1e-4)
    with pytest.raises(InputError, match=f"there are {n} real images and 2 entries"):
        Evaluator(real, metrics="fjd", real_captions=["one", "two"], encoder=encoder)
    without = Evaluator(real, metrics="fjd", encoder=encoder)
    without.update(generated, texts[: len(generated)])
    with pytest.raises(InputError, match="names one of the real images"):
        without.compute()
    with pytest.raises(InputError, match="different captions of the real images"):
        ours.merge(without)
    backwards = Evaluator(real, metrics="fjd", real_captions=of_real[::-1], encoder=encoder)
    with pytest.raises(InputError, match="different captions of the real images"):
        ours.merge(backwards)


def test_images_painted_from_captions_of_the_real_images(
    encoder: Encoder, generated: np.ndarray, real: np.ndarray, texts: list[str], tmp_path: Path
) -> None:
    """Pairs by the text, as `cmd` has them by the names: one of each real image's two captions."""
    numbers = [f"scene {i}: {text}" for i, text in enumerate(texts)]
    both = {f"{i}.png": [text, f"and also {text}"] for i, text in enumerate(numbers)}
    for side, images in (("f", generated), ("r", real)):
        (tmp_path / side).mkdir()
        for i, image in enumerate(images):
            Image.fromarray(image).save(tmp_path / side / f"{i}.png")
    options = {"metrics": "cmmd", "encoder": encoder}
    ours = Evaluator(real, real_captions=list(both.values()), **options)
    ours.update(generated, numbers)
    found = ours.compute()
    one = {name: own[:1] for name, own in both.items()}
    expected = cmd(tmp_path / "f", one, tmp_path / "r", **options)
    assert found.uncertainty.draws == expected.uncertainty.draws == N
    # Batches of other sizes: float32.
    for bar in ("cmd", "dis_fr", "dis_fl"):
        ours_bar, theirs = getattr(found.uncertainty, bar), getattr(expected.uncertainty, bar)
        assert ours_bar.standard_error == pytest.approx(theirs.standard_error, rel=1e-4)
    error = expected.metrics["cmmd"].standard_error
    assert found.metrics["cmmd"].standard_error == pytest.approx(error, rel=1e-4)
    apart = Evaluator(real, **options)
    apart.update(generated, numbers)
    assert apart.compute().uncertainty.draws == 2 * N


def test_a_real_image_may_be_listed_for_each_of_its_captions(
    encoder: Encoder, files: Path, real: np.ndarray, generated: np.ndarray, texts: list[str]
) -> None:
    paths = [path for path in sorted(files.iterdir())[:50] for _ in range(2)]
    captions = [f"{i} of {texts[i // 2]}" for i in range(100)]
    listed = Evaluator(paths, metrics="fjd", real_captions=captions, encoder=encoder)
    assert len(listed.real_captions.texts) == 100
    same_pixels = np.repeat(generated[:50], 2, axis=0)
    stacked = Evaluator(same_pixels, metrics="fjd", real_captions=np.array(captions),
                        encoder=encoder)  # fmt: skip
    for evaluator in (listed, stacked):
        evaluator.update(real, texts)
    ours, theirs = (e.compute().metrics["fjd"].value for e in (listed, stacked))
    # Each of the listings goes with both captions: 200 pairs, whose covariance divides by 199.
    assert ours == pytest.approx(theirs, rel=0.005)


def test_what_evaluators_cannot_do_is_said(
    encoder: Encoder, generated: np.ndarray, real: np.ndarray, texts: list[str], tmp_path: Path
) -> None:
    moments = moments_of(real, encoder=encoder)
    with pytest.raises(InputError, match="moments alone, which captions cannot be paired with"):
        Evaluator(moments, real_captions=texts[:2], metrics="fjd", encoder=encoder)
    np.save(tmp_path / "r.npy", np.random.default_rng(0).standard_normal((60, moments.d)))
    assert Evaluator(tmp_path / "r.npy", real_captions=texts[:60], encoder=encoder).real.names
    evaluator = Evaluator(real, encoder=encoder)
    with pytest.raises(InputError, match="cannot be merged with itself"):
        evaluator.merge(evaluator)
    evaluator.update(generated[:1], texts[:1])
    with pytest.raises(InputError, match=r"at least 2 images .*there are 1"):
        evaluator.compute()
    evaluator.update(generated[1:3], ["!!!", "..."])
    with pytest.raises(InputError, match=r"at least 2 captions .*there are 1"):
        evaluator.compute()
    with pytest.raises(InputError, match="multiply them by 255"):
        evaluator.update(generated[:2] > 127, texts[:2])


@pytest.mark.slow
@pytest.mark.usefixtures("remembered_inception")
def test_images_in_memory_may_share_a_name(
    encoder: Encoder, generated: np.ndarray, real: np.ndarray, texts: list[str],
    inception_weights: Path, tmp_path: Path,
) -> None:  # fmt: skip
    """A sampler that writes to one temporary file; Inception sees each image all the same."""
    frames = []
    for image in generated[:8]:
        Image.fromarray(image).save(tmp_path / "sample.png")
        frames.append(Image.open(tmp_path / "sample.png"))
        frames[-1].load()
    options = {"metrics": "fid", "encoder": encoder, "inception_weights": inception_weights}
    found = []
    for images in (frames, generated[:8]):
        evaluator = Evaluator(real[:8], **options)
        evaluator.update(images, texts[:8])
        found.append(evaluator.compute().metrics["fid"].value)
    assert found[0] == pytest.approx(found[1], rel=1e-5)


@pytest.mark.usefixtures("remembered_example")
def test_one_evaluator_scores_folders_lists_and_batches_alike(example: Path) -> None:
    evaluator = Evaluator(real=example / "real", model="scenes-toy", device="cpu")
    of_folder = evaluator.score(example / "generated", example / "captions.json")
    expected = cmd(
        example / "generated", example / "captions.json", real=example / "real",
        model="scenes-toy", device="cpu",
    )  # fmt: skip
    assert same_numbers(of_folder, expected, 1e-6)
    assert of_folder.paired == expected.paired == 400
    names = sorted((example / "generated").iterdir())[:60]
    images, texts = [Image.open(name) for name in names], [f"a caption {i}" for i in range(60)]
    of_list = evaluator.score(images, texts)
    evaluator.update(images, texts)
    assert same_numbers(of_list, evaluator.compute(), 1e-6)
    assert same_numbers(evaluator.score(list(zip(images, texts, strict=True))), of_list, 1e-6)
    with pytest.raises(InputError, match="no captions"):
        evaluator.score(images)
    fixed = Evaluator(
        real=example / "real", captions=example / "captions.json", model="scenes-toy", device="cpu"
    )
    assert same_numbers(fixed.score(example / "generated"), of_folder, 1e-6)
    with pytest.raises(InputError, match="given once"):
        fixed.score(images, texts)


def test_columns_by_name(tmp_path: Path) -> None:
    pandas = pytest.importorskip("pandas")
    scenes = [draw_scene(seed) for seed in range(40)]
    paths = [tmp_path / f"{i}.png" for i in range(40)]
    for path, scene in zip(paths, scenes, strict=True):
        scene.render(64).save(path)
    texts = [scene.captions(1)[0] for scene in scenes]
    frame = pandas.DataFrame({"shot": list(map(str, paths)), "what": texts, "caption": "no"})
    named = Evaluator(frame, frame, model="scenes-toy", caption_column="what", image_column="shot")
    plain = Evaluator(list(paths), texts, model="scenes-toy")
    images = np.stack([np.asarray(draw_scene(seed).render(64)) for seed in range(50, 90)])
    for evaluator in (named, plain):
        evaluator.update(images)
    assert named.compute().cmd == pytest.approx(plain.compute().cmd, abs=1e-6)
