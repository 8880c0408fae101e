"""Arrays, tensors, lists and iterables: which axis is which, what is refused, what is copied."""

import io
import threading
import time
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, strategies as st
from PIL import Image

from cmdmetric.errors import InputError
from cmdmetric.inputs.images import describe_failure, open_images


def pixels(count=5, height=6, width=8, channels=3):
    shape = (count, height, width, channels) if channels else (count, height, width)
    return np.random.default_rng(0).integers(0, 256, shape, np.uint8)


def arrays_of(images):
    return [np.asarray(item.load()) for item in images]


def assert_same(images, expected):
    found = arrays_of(images)
    assert len(found) == len(expected)
    for got, wanted in zip(found, expected, strict=True):
        assert got.shape == wanted.shape and (got == wanted).all()


@given(
    st.integers(1, 6),
    st.integers(1, 9),
    st.integers(1, 9),
    st.sampled_from([0, 1, 3, 4]),
    st.booleans(),
)
def test_layouts(count, height, width, channels, first):
    array = pixels(count, height, width, channels)
    given_as = array.transpose(0, 3, 1, 2) if channels and first else array
    shape = given_as.shape
    if channels:
        ambiguous = shape[1] in (1, 3, 4) and shape[3] in (1, 3, 4)
    else:
        ambiguous = shape[0] in (3, 4) or shape[2] in (1, 3, 4)
    if ambiguous:
        with pytest.raises(InputError, match="may "):
            open_images(given_as)
        return
    images = open_images(given_as)
    assert images.names == tuple(f"#{i}" for i in range(count))
    assert_same(images, array[..., 0] if channels == 1 else array)


@pytest.mark.parametrize("channels", [0, 3, 4])
def test_npy(tmp_path, channels):
    array = pixels(channels=channels)
    np.save(tmp_path / "a.npy", array)
    images = open_images(tmp_path / "a.npy")
    assert images.count == 5 and images.source == str(tmp_path / "a.npy")
    assert_same(images, array)
    assert_same(images, array)


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
@pytest.mark.parametrize("key", ["arr_0", "images", "samples"])
def test_npz(tmp_path, save, key):
    array = pixels()
    arrays = {key: array} if key == "samples" else {"labels": np.arange(5), key: array}
    save(tmp_path / "a.npz", **arrays)
    images = open_images(tmp_path / "a.npz")
    assert images.count == 5
    assert_same(images, array)
    assert_same(images, array)


def test_npz_prefers_images(tmp_path):
    np.savez(tmp_path / "a.npz", arr_0=pixels(2), images=pixels(3))
    assert open_images(tmp_path / "a.npz").count == 3


def test_npz_of_other_orders(tmp_path):
    array = pixels()
    np.savez(tmp_path / "a.npz", np.asfortranarray(array))
    assert_same(open_images(tmp_path / "a.npz"), array)
    np.savez(tmp_path / "b.npz", array.transpose(0, 3, 1, 2).copy())
    assert_same(open_images(tmp_path / "b.npz"), array)


def test_npz_is_read_image_by_image(tmp_path, monkeypatch):
    np.savez(tmp_path / "a.npz", pixels(100, 64, 64))
    monkeypatch.setattr(np, "load", lambda *_, **__: pytest.fail("read at once"))
    first = next(iter(open_images(tmp_path / "a.npz")))
    assert np.asarray(first.load()).shape == (64, 64, 3)


def test_npy_is_mapped_not_read(tmp_path):
    # 12 GB that are not there: a hole in the file.
    shape = (1_000_000, 64, 64, 3)
    array = np.lib.format.open_memmap(tmp_path / "a.npy", "w+", np.uint8, shape)
    array[-1] = 7
    del array
    images = open_images(tmp_path / "a.npy")
    assert images.count == 1_000_000
    assert arrays_of(item for item, _ in zip(images, range(2), strict=False))[1].max() == 0


def truncated(path, size):
    path.write_bytes(path.read_bytes()[:size])
    return path


def test_broken_files(tmp_path):
    np.save(tmp_path / "cut.npy", pixels())
    with pytest.raises(InputError, match=r"cut\.npy: truncated or damaged"):
        open_images(truncated(tmp_path / "cut.npy", 300))
    np.save(tmp_path / "objects.npy", np.array([{}, 1], object), allow_pickle=True)
    with pytest.raises(InputError, match=r"objects\.npy"):
        open_images(tmp_path / "objects.npy")
    np.savez(tmp_path / "objects.npz", np.array([{}, 1], object))
    with pytest.raises(InputError, match=r"objects\.npz: its array 'arr_0' is object"):
        open_images(tmp_path / "objects.npz")
    np.savez(tmp_path / "moments.npz", mu=np.zeros(4), sigma=np.eye(4))
    with pytest.raises(InputError, match=r"moments\.npz: its array 'mu' is float64"):
        open_images(tmp_path / "moments.npz")
    np.savez(tmp_path / "none.npz")
    with pytest.raises(InputError, match=r"none\.npz: no array in it"):
        open_images(tmp_path / "none.npz")


def test_an_array_that_ends_early_in_a_npz(tmp_path):
    import io
    import zipfile

    file = io.BytesIO()
    np.save(file, pixels())
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr("arr_0.npy", file.getvalue()[:-200])
    with pytest.raises(InputError, match="is not what the file holds: it is damaged"):
        list(open_images(tmp_path / "a.npz"))


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros((2, 8, 8, 3), np.float32), "float32; .* multiply by 255"),
        (np.zeros((2, 8, 8, 3), np.int64), "int64; .* cast them to uint8"),
        (np.zeros((2, 8, 8, 3), bool), "bool; .* cast"),
        (np.zeros((0, 8, 8, 3), np.uint8), "is empty"),
        (np.zeros((2, 8, 0, 3), np.uint8), "is empty"),
        (np.zeros((8, 8), np.uint8), r"shape \(8, 8\); images are"),
        (np.zeros((2, 8, 8, 2), np.uint8), r"shape \(2, 8, 8, 2\); images are"),
        (np.zeros((2, 2, 8, 8, 3), np.uint8), "shape"),
        (np.zeros((8, 8, 3), np.uint8), "may be one image in colours or several in grey"),
        (np.zeros((3, 8, 8), np.uint8), "may be one image in colours or several in grey"),
        (np.zeros((2, 3, 8, 3), np.uint8), "may have its channels second or last"),
    ],
)
def test_arrays_that_are_refused(array, message):
    with pytest.raises(InputError, match=message):
        open_images(array)


# --- lists -----------------------------------------------------------------------------------


def test_a_list_of_anything(tmp_path):
    array = pixels()
    Image.fromarray(array[0]).save(tmp_path / "a.png")
    Image.fromarray(array[1]).save(tmp_path / "b.png")
    images = open_images(
        [
            tmp_path / "a.png",
            Image.open(tmp_path / "b.png"),
            array[2],
            Image.fromarray(array[3]),
            array[3:].transpose(0, 3, 1, 2),
        ]
    )
    a, b = str(tmp_path / "a.png"), str(tmp_path / "b.png")
    assert images.names == (a, b, "#2", "#3", "#4", "#5")
    assert images.source == "list of 5"
    assert_same(images, array[[0, 1, 2, 3, 3, 4]])
    assert_same(images, array[[0, 1, 2, 3, 3, 4]])


def test_one_pil_image_and_grey_arrays():
    grey = pixels(channels=0)
    assert_same(open_images(Image.fromarray(grey[0])), grey[:1])
    assert_same(open_images(list(grey)), grey)


def test_images_of_different_sizes():
    arrays = [pixels(1, 5, size)[0] for size in range(5, 9)]
    assert_same(open_images(tuple(arrays)), arrays)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([], "list of 0: no images"),
        (["nowhere.png"], r"nowhere\.png: does not exist"),
        (["/"], r"list\[0\]: / is no file"),
        ([pixels(1)[0], 3], r"list\[1\] is no image but int"),
        ([None], "NoneType"),
        ([()], "no image but tuple"),
        ([{"label": 1}], "no image but dict"),
        ([pixels(1)[0].astype(float)], r"list\[0\] is float64"),
        ({"a": 1}, "cannot be read from dict"),
        (b"x", "cannot be read from bytes"),
        (3, "cannot be read from int"),
        (None, "cannot be read from NoneType"),
    ],
)
def test_lists_that_are_refused(values, message):
    with pytest.raises(InputError, match=message):
        open_images(values)


def test_one_lazy_image_in_many_threads(tmp_path):
    Image.fromarray(pixels(1, 300, 300)[0]).save(tmp_path / "a.png")
    for _ in range(10):
        items = list(open_images([Image.open(tmp_path / "a.png")] * 8))
        start = threading.Barrier(8)

        def load(item, start=start):
            start.wait(timeout=60)
            return np.asarray(item.load()).sum()

        with ThreadPoolExecutor(8) as pool:
            assert set(pool.map(load, items)) == {pixels(1, 300, 300).sum()}


# --- iterables -------------------------------------------------------------------------------


def test_a_generator_of_batches_can_be_iterated_once():
    array = pixels(7)
    images = open_images(array[i : i + 3] for i in range(0, 7, 3))
    assert images.names is None and images.count is None
    items = list(images)
    assert [item.name for item in items] == [f"#{i}" for i in range(7)]
    assert_same(items, array)
    with pytest.raises(InputError, match="generator: it can be iterated once"):
        list(images)


def test_a_buffer_that_is_used_again():
    array = pixels()

    def reusing():
        buffer = np.empty_like(array[:1])
        for image in array:
            buffer[:] = image
            yield buffer

    assert_same(list(open_images(reusing())), array)


def test_frames_that_share_one_object(tmp_path):
    from PIL import ImageSequence

    frames = [Image.new("RGB", (4, 4), (40 * i, 0, 0)) for i in range(4)]
    frames[0].save(tmp_path / "a.png", save_all=True, append_images=frames[1:])
    with Image.open(tmp_path / "a.png") as animation:
        items = list(open_images(frame for frame in ImageSequence.Iterator(animation)))
    assert [item.load().convert("RGB").getpixel((0, 0))[0] for item in items] == [0, 40, 80, 120]


def test_an_image_of_a_generator_that_cannot_be_decoded(tmp_path):
    Image.fromarray(pixels(1, 50, 50)[0]).save(tmp_path / "a.png")
    truncated(tmp_path / "a.png", 500)
    (item,) = open_images(Image.open(tmp_path / name) for name in ["a.png"])
    assert item.name == str(tmp_path / "a.png")
    with pytest.raises(OSError) as caught:
        item.load()
    assert describe_failure(caught.value).startswith("truncated")


@pytest.mark.parametrize(
    "element",
    [
        lambda array: (array, 3),
        lambda array: (array, array[:1]),
        lambda array: [array, np.arange(2)],
        lambda array: [array, array],
        lambda array: {"image": array, "label": 3},
        lambda array: {"images": array},
        lambda array: list(array),
        lambda array: [Image.fromarray(image) for image in array],
        lambda array: ([Image.fromarray(image) for image in array], ["a", "b"]),
        lambda array: [[Image.fromarray(image) for image in array], ["a", "b"]],
    ],
)
def test_what_an_iterable_may_give(element):
    array = pixels(2)
    assert_same(list(open_images(iter([element(array)]))), array)


@pytest.mark.parametrize("element", [lambda image: (image, 3), lambda image: [image, 3]])
def test_single_images_with_a_label(element):
    array = pixels(2)
    assert_same(list(open_images(element(image) for image in array)), array)
    assert_same(list(open_images(element(Image.fromarray(image)) for image in array)), array)


def test_iterables_that_are_refused():
    with pytest.raises(InputError, match="generator: no images"):
        list(open_images(_ for _ in ()))
    with pytest.raises(InputError, match="generator: item 1 is no image but int"):
        list(open_images(value for value in (pixels(1), 3)))
    with pytest.raises(InputError, match=r"item 0 of shape \(1, 3, 8, 3\) may"):
        list(open_images(value for value in [pixels(1, 3, 8)[0]]))
    with pytest.raises(InputError, match="item 0 is float64"):
        list(open_images(value for value in [pixels(1) / 255]))
    with pytest.raises(InputError, match=r"item 0 has the shape \(1, 8, 8, 8\)"):
        list(open_images(value for value in [pixels(8, 8, 8, 0)]))


# --- torch -----------------------------------------------------------------------------------


def test_tensors():
    torch = pytest.importorskip("torch")
    array = pixels()
    tensor = torch.from_numpy(array)
    images = open_images(tensor)
    assert images.source == "Tensor 5x6x8x3"
    assert_same(images, array)
    assert_same(open_images(tensor.permute(0, 3, 1, 2)), array)
    assert_same(open_images(list(tensor.permute(0, 3, 1, 2))), array)
    assert_same(open_images(torch.nn.Parameter(tensor, requires_grad=False)), array)
    for dtype in (torch.float32, torch.bfloat16):
        with pytest.raises(InputError, match="multiply by 255"):
            open_images(tensor.to(dtype))
    with pytest.raises(InputError, match=r"list\[0\] is float32"):
        open_images([tensor[0].float()])


def test_datasets_and_loaders():
    torch = pytest.importorskip("torch")
    array = pixels(5)
    tensor = torch.from_numpy(array).permute(0, 3, 1, 2)

    class Captioned(torch.utils.data.Dataset):
        """Of a length, and of no end: indexing past it starts again."""

        def __len__(self):
            return 5

        def __getitem__(self, index):
            return tensor[index % 5], "a caption"

    for source in (
        torch.utils.data.TensorDataset(tensor, torch.arange(5)),
        torch.utils.data.DataLoader(torch.utils.data.TensorDataset(tensor), batch_size=2),
        torch.utils.data.DataLoader(Captioned(), batch_size=2),
        torch.utils.data.DataLoader(Captioned(), batch_size=None),
        Captioned(),
    ):
        images = open_images(source)
        assert images.source == type(source).__name__ and images.count is None
        assert_same(list(images), array)
        assert_same(list(images), array)


@pytest.mark.parametrize("fortran_order", [False, True])
@pytest.mark.parametrize("count", [10**12, 3])
def test_headers_that_lie_are_refused_before_anything_is_read(
    tmp_path: Path, count: int, fortran_order: bool
) -> None:
    header, path = io.BytesIO(), tmp_path / "images.npz"
    np.lib.format.write_array_header_1_0(
        header, {"descr": "|u1", "fortran_order": fortran_order, "shape": (count, 4, 4, 3)}
    )
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("images.npy", header.getvalue() + bytes(2 * 4 * 4 * 3))
    start = time.perf_counter()
    with pytest.raises(InputError, match="is not what the file holds"):
        open_images(path)
    assert time.perf_counter() - start < 2


def test_a_bomb_of_images_is_refused(tmp_path: Path) -> None:
    header, path, chunk = io.BytesIO(), tmp_path / "images.npz", bytes(1 << 20)
    shape = (300, 1 << 18, 4, 1)
    np.lib.format.write_array_header_1_0(
        header, {"descr": "|u1", "fortran_order": False, "shape": shape}
    )
    with (
        zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive,
        archive.open("images.npy", "w", force_zip64=True) as file,
    ):
        file.write(header.getvalue())
        for _ in range(shape[0]):
            file.write(chunk)
    with pytest.raises(InputError, match="a decompression bomb"):
        open_images(path)
