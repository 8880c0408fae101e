"""Images in arrays, tensors, lists and iterables. Torch is recognised, never imported."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
from PIL import Image

from cmdmetric.errors import InputError
from cmdmetric.files import Arrays, member_header, missing, named_path, read_header, reading
from cmdmetric.inputs.image_set import (
    ImageItem,
    ImageSet,
    file_item,
    members_of,
    with_pixels,
)
from cmdmetric.inputs.layouts.batches import Along
from cmdmetric.inputs.layouts.columns import FILE_KEYS, Columns

_CHANNELS = (1, 3, 4)

#: Pillow's lazily opened images are not safe to load in two threads, and one may be given twice.
_PIL_LOCK = Lock()


# --- arrays ----------------------------------------------------------------------------------


def open_npy(source: str, path: Path) -> ImageSet:
    """The images of a .npy file, which is mapped into memory, not read."""
    return _open_array(source, np.load(path, mmap_mode="r", allow_pickle=False), path)


def open_npz(source: str, path: Path) -> ImageSet:
    """The images of the array `images`, else `arr_0`, else the first one of a .npz file.

    It is read forwards, image by image, whether compressed or not.
    """
    with zipfile.ZipFile(path) as archive:
        members = [name for name in archive.namelist() if name.endswith(".npy")]
        if not members:
            raise InputError(f"{source}: no array in it")
        preferred = [name for name in ("images.npy", "arr_0.npy") if name in members]
        member = (preferred or members)[0]
        with reading(path, "numpy file"):
            shape, fortran_order, dtype = member_header(archive, archive.getinfo(member))
    what = f"{source}: its array {member.removesuffix('.npy')!r}"
    if fortran_order:
        with reading(path, "numpy file"), Arrays(np.load(path, allow_pickle=False)) as npz:
            return _open_array(source, npz[member.removesuffix(".npy")], path)
    channels_first = _channels_first(shape, dtype, what)
    names = _numbered(shape[0])

    def items() -> Iterator[ImageItem]:
        size = int(np.prod(shape[1:]))
        with zipfile.ZipFile(path) as archive, archive.open(member) as file:
            read_header(file)
            for name in names:
                data = file.read(size)
                if len(data) < size:
                    raise InputError(f"{what} ends before image {name}: the file is truncated")
                row = np.frombuffer(data, np.uint8).reshape(shape[1:])
                yield _row_item(name, row, channels_first)

    return ImageSet(source, items, names, files=partial(members_of, path, names), ordered=True)


def _open_array(source: str, array: np.ndarray, path: Path | None = None) -> ImageSet:
    """The images of an array: of a file, where there is a path."""
    channels_first = _channels_first(array.shape, array.dtype, source)
    names = _numbered(len(array))

    def items() -> Iterator[ImageItem]:
        for name, row in zip(names, array, strict=True):
            if path is None:
                yield ImageItem(name, partial(_to_image, row, channels_first))
            else:
                yield _row_item(name, row, channels_first)

    if path is None:
        return ImageSet(source, items, names, ordered=True)
    return ImageSet(source, items, names, files=partial(members_of, path, names), ordered=True)


def _row_item(name: str, row: np.ndarray, channels_first: bool) -> ImageItem:
    """An image of a file of arrays, whose content is its shape and its pixels."""
    load = partial(_to_image, row, channels_first)
    what = f"{row.shape} {channels_first}\n".encode()
    return ImageItem(name, load, lambda: what + row.tobytes(), lambda _: load())


def _numbered(count: int) -> list[str]:
    return [f"#{index}" for index in range(count)]


def _to_image(row: np.ndarray, channels_first: bool) -> Image.Image:
    """uint8 (H, W), (H, W, C) or (C, H, W) -> L, RGB or RGBA."""
    if channels_first:
        row = row.transpose(1, 2, 0)
    if row.ndim == 3 and row.shape[2] == 1:
        row = row[..., 0]
    return Image.fromarray(np.ascontiguousarray(row))


def _channels_first(shape: tuple[int, ...], dtype: Any, what: str) -> bool:
    """Whether a stack of images is (N, C, H, W); else it is (N, H, W, C) or (N, H, W).

    Raises:
        InputError: The array has none of these layouts, could have two of them, is empty, or is not
            uint8.
    """
    kind = str(dtype).removeprefix("torch.")
    if kind != "uint8":
        advice = "cast them to uint8"
        if kind == "bool":
            advice = "multiply them by 255 and cast to uint8"
        if "float" in kind:
            advice = "multiply by 255 (if they are in [0, 1]), round and cast to uint8"
        raise InputError(f"{what} is {kind}; images are uint8 with values 0 to 255: {advice}")
    if 0 in shape:
        raise InputError(f"{what} is empty: its shape is {shape}")
    if len(shape) == 3:
        if shape[2] in _CHANNELS or shape[0] in (3, 4):
            raise InputError(
                f"{what} of shape {shape} may be one image in colours or several in grey; add an "
                "axis: (1, H, W, C) or (N, H, W, 1)"
            )
        return False
    if len(shape) != 4 or not (shape[1] in _CHANNELS or shape[3] in _CHANNELS):
        raise InputError(
            f"{what} has the shape {shape}; images are (N, H, W, C) or (N, C, H, W) with 1, 3 or "
            "4 channels, or (N, H, W) in grey"
        )
    if shape[1] in _CHANNELS and shape[3] in _CHANNELS:
        raise InputError(
            f"{what} of shape {shape} may have its channels second or last; give PIL images, or "
            "larger ones"
        )
    return shape[1] in _CHANNELS


def _as_array(value: Any, what: str) -> np.ndarray | None:
    """The value as a numpy array if it is an array or tensor of any library, on any device."""
    if isinstance(value, np.ma.MaskedArray):
        raise InputError(f"{what} is a masked array: say what its masked pixels are, by filled()")
    if isinstance(value, np.ndarray):
        return value
    if isinstance(value, Image.Image) or not hasattr(value, "dtype"):
        return None
    is_tensor = any(kind.__module__.partition(".")[0] == "torch" for kind in type(value).__mro__)
    if not (is_tensor or hasattr(value, "shape")):  # a nested tensor raises where it is asked
        return None
    if is_tensor:
        # Before numpy sees it: it has no bfloat16.
        _channels_first((2, 2, 2, 3), value.dtype, what)
        try:
            value = value.detach().cpu().numpy()
        except (TypeError, RuntimeError) as error:  # of the device "meta", sparse, nested
            reason = str(error).partition("\n")[0]
            raise InputError(
                f"{what}: its pixels cannot be read from this tensor: {reason}"
            ) from None
    return np.asarray(value)


# --- lists and iterables ---------------------------------------------------------------------


def open_values(values: Any, columns: Columns) -> ImageSet:
    """The images of whatever is no path: see `cmdmetric.inputs.images.open_images`."""
    along = Along(columns)
    kind = type(values).__name__
    if isinstance(values, Image.Image):
        values = [values]
    if getattr(values, "ndim", 0) == 1 and getattr(values.dtype, "kind", "") in "OU":
        values = values.tolist()  # numpy's and pandas' own lists of paths or images
    array = _as_array(values, kind)
    if array is not None:
        images = _open_array(f"{kind} {'x'.join(map(str, array.shape))}", array)
        images.along = along
        return images
    if isinstance(values, (list, tuple)):
        source = f"{kind} of {len(values)}"
        items: list[ImageItem] = []
        for i, element in enumerate(values):
            for value in _samples(element):
                found = [
                    _named(x, len(items) + j) for j, x in enumerate(_expand(value, f"{kind}[{i}]"))
                ]
                along.add([item.name for item in found], value, f"{kind}[{i}]")
                items += found
        if not items:
            raise InputError(f"{source}: no images")
        files = [
            item.read and (os.path.abspath(os.path.expanduser(item.name)), "") for item in items
        ]
        return ImageSet(
            source,
            lambda: iter(items),
            [item.name for item in items],
            files=lambda: files,
            along=along,
            ordered=True,
        )
    indexable = hasattr(values, "__getitem__") and hasattr(values, "__len__")
    if isinstance(values, (bytes, Mapping)) or not (isinstance(values, Iterable) or indexable):
        raise InputError(
            f"images cannot be read from {kind}: give a path, an array, a list or an iterable"
        )
    return ImageSet(kind, _stream(kind, values, along), along=along, ordered=True)


def _stream(source: str, values: Any, along: Along) -> Callable[[], Iterator[ImageItem]]:
    one_pass = hasattr(values, "__next__")
    spent = False

    def items() -> Iterator[ImageItem]:
        nonlocal spent
        if one_pass and spent:
            raise InputError(
                f"{source}: it can be iterated once, and was; give a list, or what makes it anew"
            )
        spent = True
        along.restart()
        # A torch Dataset has a length, and need not end the iteration that Python derives.
        derived = not isinstance(values, Iterable)
        each = (values[i] for i in range(len(values))) if derived else values
        count = 0
        samples = ((place, value) for place, batch in enumerate(each) for value in _samples(batch))
        for position, value in samples:
            where = f"{source}: item {position}"
            names = []
            for found in _expand(value, where, reused=True):
                item = _named(found, count)
                names.append(item.name)
                yield item
                count += 1
            along.add(names, value, where)
        if not count:
            raise InputError(f"{source}: no images")

    return items


def _samples(element: Any) -> Sequence[Any]:
    """The elements of a data set in one of a loader: several where it collates them as a list."""
    if isinstance(element, list) and element and all(map(_is_sample, element)):
        return element
    return [element]


def _is_sample(value: Any) -> bool:
    """Whether it is a record or tuple with one image in it, and no batch."""
    if isinstance(value, Mapping):
        key = _image_key(value)
        return key is not None and _is_pixels(value[key])
    return isinstance(value, tuple) and bool(value) and _is_pixels(value[0])


def _named(item: ImageItem, position: int) -> ImageItem:
    return item if item.name else replace(item, name=f"#{position}")


def _expand(value: Any, what: str, reused: bool = False) -> Iterator[ImageItem]:
    """Find the images in one element of a list or iterable; the name is "" where they have none.

    Whoever yields an image may overwrite it for the next one: `reused` ones are copied.

    Raises:
        InputError: It is no image and holds none, or names a file that is not there; the message
            calls the element `what`.
    """
    array = _as_array(value, what)
    if array is not None:
        yield from _array_items(array, what, reused)
    elif isinstance(value, Image.Image):
        name = os.fspath(getattr(value, "filename", None) or "")
        yield ImageItem(name, _copied(value) if reused else partial(_load, value))
    elif isinstance(value, (str, os.PathLike)):
        yield _path_item(value, what)
    else:
        for image in _images_in(value, what):
            yield from _expand(image, what, reused)


def _array_items(array: np.ndarray, what: str, reused: bool) -> Iterator[ImageItem]:
    """Give the image of an array, or the images of a batch in it."""
    batch = array if array.ndim == 4 else array[None]
    channels_first = _channels_first(batch.shape, batch.dtype, what)
    for row in batch.copy() if reused else batch:
        yield ImageItem("", partial(_to_image, row, channels_first))


def _path_item(value: str | os.PathLike[str], what: str) -> ImageItem:
    """Give the image of a file.

    Raises:
        InputError: There is no such file.
    """
    path = named_path(value)
    if not os.path.isfile(path):
        exists = os.path.exists(path)
        raise InputError(f"{what}: {path} is no file") if exists else missing(path)
    return file_item(os.fspath(value), str(path))


def _images_in(value: Any, what: str) -> Sequence[Any]:
    """Take out what a record, a tuple or a list of a data set has as images.

    Raises:
        InputError: It has none.
    """
    if isinstance(value, Mapping) and (key := _image_key(value)) is not None:
        return _batch(value[key])
    if isinstance(value, tuple) and value:
        return _batch(value[0])
    if isinstance(value, list) and value:
        # DataLoaders make lists of pairs, [batch, labels]; a list of images is a batch.
        is_batch = getattr(value[0], "ndim", 0) < 4 and _are_images(value)
        return value if is_batch else _batch(value[0])
    kind = type(value).__name__
    if isinstance(value, Mapping):
        keys = ", ".join(map(str, list(value)[:9])) or "nothing"
        kind = f"{kind} of {keys} (the image would stand under {', '.join(FILE_KEYS[:5])} ...)"
    raise InputError(
        f"{what} is no image but {kind}: give paths, PIL images, uint8 arrays "
        "or tensors, batches of them, or tuples that begin with one"
    )


def _batch(value: Any) -> Sequence[Any]:
    """The images of a member of a sample or batch, which loaders make a tuple of: zip(*samples)."""
    return value if isinstance(value, tuple) and value and _are_images(value) else [value]


def _are_images(values: Sequence[Any]) -> bool:
    """Whether all are images in memory, or all are paths."""
    return all(map(_is_pixels, values)) or all(isinstance(v, (str, os.PathLike)) for v in values)


def is_image(value: Any) -> bool:
    """Whether it is an image in memory: Pillow's, an array or a tensor."""
    return isinstance(value, Image.Image) or hasattr(value, "shape")


def open_mapping(images: Mapping[Any, Any]) -> ImageSet:
    """The images of `{name: image}`, by their names.

    Raises:
        InputError: A value is no image.
    """
    items = [item_of(value, str(name), f"the image {name!r}") for name, value in images.items()]
    names = [item.name for item in items]
    along = Along(Columns())
    return ImageSet(f"dict of {len(items)}", lambda: iter(items), names, along=along)


def _image_key(record: Mapping[Any, Any]) -> Any:
    """Where a record has its image, or its path; None where it has neither."""
    return next((key for key in (*FILE_KEYS, "images") if record.get(key) is not None), None)


def item_of(value: Any, name: str, what: str) -> ImageItem:
    """One image in memory under a name.

    Raises:
        InputError: The value is no image, or several.
    """
    found = list(_expand(value, what))
    if len(found) != 1:
        raise InputError(f"{what} is {len(found)} images")
    return replace(found[0], name=name)


def _is_pixels(value: Any) -> bool:
    return isinstance(value, Image.Image) or getattr(value, "ndim", 0) in (2, 3)


def _load(image: Image.Image) -> Image.Image:
    with _PIL_LOCK:
        image.load()
    return with_pixels(image)


def _copied(image: Image.Image) -> Callable[[], Image.Image]:
    try:
        copy = with_pixels(image.copy())  # decodes it
    except Exception as error:
        return partial(_fail, error)
    return lambda: copy


def _fail(error: Exception) -> Image.Image:
    raise error
