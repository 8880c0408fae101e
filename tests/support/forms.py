"""One set of images, and one of captions, in every form that docs/inputs.md lists."""

from __future__ import annotations

import csv
import io
import json
import tarfile
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from PIL import Image

from cmdmetric.inputs import open_images
from cmdmetric.scoring import stored_set
from tests.support.shards import write_tar


class Form(NamedTuple):
    """How a set is given."""

    make: Callable[[], Any]
    #: Whether its samples have names, and whether its order is the user's own.
    named: bool = False
    listed: bool = False
    #: Whether captions say which images they belong to, so that this can be lost.
    tells: bool = False


class Elements:
    """A map-style data set, which is no sequence: as torch's, it ends by its length alone."""

    def __init__(self, entries: Sequence[Any]) -> None:
        self.entries = entries

    def __len__(self) -> int:
        return len(self.entries)

    def __getitem__(self, index: int) -> Any:
        return self.entries[index]


def delimited(delimiter: str, *columns: Sequence[str], header: Sequence[str]) -> str:
    file = io.StringIO()
    csv.writer(file, delimiter=delimiter).writerows([header, *zip(*columns, strict=True)])
    return file.getvalue()


def lines(records: Sequence[Any]) -> str:
    return "\n".join(map(json.dumps, records))


def _as(value: Any) -> Callable[[], Any]:
    return lambda: value


# --- images ----------------------------------------------------------------------------------


def image_forms(
    root: Path, names: Sequence[str], pixels: np.ndarray, encoder: Any
) -> dict[str, Form]:
    """The forms of images alone; they lie in root/images."""
    folder = root / "images"
    folder.mkdir(parents=True)
    paths = [folder / name for name in names]
    for path, picture in zip(paths, pixels, strict=True):
        Image.fromarray(picture).save(path)
    named = dict(_archives(root, paths))
    named |= dict(_naming_files(root, names))
    named |= {
        "folder": _as(folder),
        "folder as str": _as(f"{folder}/"),
        "glob": _as(f"{folder}/*.png"),
        "glob of any depth": _as(f"{root}/**/*.png"),
        "{name: PIL}": lambda: dict(zip(names, map(Image.fromarray, pixels), strict=True)),
        "{name: array}": lambda: dict(zip(names, pixels, strict=True)),
        "{name: tensor}": lambda: dict(zip(names, torch.from_numpy(pixels), strict=True)),
        "ImageSet": lambda: open_images(folder),
    }
    both = {
        "list of paths": lambda: paths,
        "list of names": lambda: list(map(str, paths)),
        "tuple of paths": lambda: tuple(paths),
        "list of opened images": lambda: [Image.open(path) for path in paths],
        "Dataset of paths": lambda: Elements(paths),
    }
    listed = dict(_in_memory(pixels))
    np.save(root / "i.npy", pixels)
    np.save(root / "chw.npy", pixels.transpose(0, 3, 1, 2))
    np.savez(root / "i.npz", images=pixels)
    np.savez_compressed(root / "arr.npz", pixels)
    listed |= {file: _as(root / file) for file in ("i.npy", "chw.npy", "i.npz", "arr.npz")}
    kept = stored_set(folder, encoder=encoder, cache=False)
    kept.save(root / "features.npz")
    np.save(root / "features.npy", np.asarray(kept.features))
    np.savez(root / "rows.npz", features=np.asarray(kept.features))
    named["cmdmetric moments"] = _as(root / "features.npz")
    listed |= {
        "features.npy": _as(root / "features.npy"),
        "features in .npz": _as(root / "rows.npz"),
        "array of features": lambda: np.asarray(kept.features),
    }
    for name, (make, has_names) in _image_tables(root, paths, pixels).items():
        (both if has_names else listed)[name] = make
    return {
        **{name: Form(make, named=True) for name, make in named.items()},
        **{name: Form(make, named=True, listed=True) for name, make in both.items()},
        **{name: Form(make, listed=True) for name, make in listed.items()},
    }


def _archives(root: Path, paths: Sequence[Path]) -> Iterator[tuple[str, Callable[[], Any]]]:
    with zipfile.ZipFile(root / "i.zip", "w") as archive:
        for path in paths:
            archive.write(path, path.name)
    yield ".zip", _as(root / "i.zip")
    for ending, mode in ((".tar", "w"), (".tar.gz", "w:gz"), (".tgz", "w:gz"), (".tar.xz", "w:xz")):
        with tarfile.open(root / f"i{ending}", mode) as tar:  # type: ignore[call-overload]
            for path in paths:
                tar.add(path, path.name)
        yield ending, _as(root / f"i{ending}")
    (root / "shards").mkdir()
    for shard, own in enumerate(np.array_split(np.array(paths), 3)):
        members = {path.name: path.read_bytes() for path in own}
        write_tar(root / "shards" / f"s-{shard:03}.tar", members)
    yield "shards in braces", _as(f"{root}/shards/s-{{000..002}}.tar")
    yield "shards by glob", _as(f"{root}/shards/s-*.tar")


def _naming_files(root: Path, names: Sequence[str]) -> Iterator[tuple[str, Callable[[], Any]]]:
    """Files that name images."""
    places = [f"images/{name}" for name in names]
    texts = [f"text {i}" for i in range(len(names))]
    pairs = list(zip(places, texts, strict=True))
    files = {
        "map.json": json.dumps(dict(pairs)),
        "turned.json": json.dumps({text: place for place, text in pairs}),
        "list.json": json.dumps([{"img": place, "caption": text} for place, text in pairs]),
        "eval.jsonl": lines([{"id": i, "prompt": t, "image_path": p}
                             for i, (p, t) in enumerate(pairs)]),
        "i.csv": delimited(",", places, texts, header=("filename", "text")),
        "i.tsv": delimited("\t", places, texts, header=("path", "prompt")),
    }  # fmt: skip
    for name, content in files.items():
        (root / name).write_text(content)
        yield f"{name} that names them", _as(root / name)


def _in_memory(pixels: np.ndarray) -> Iterator[tuple[str, Callable[[], Any]]]:
    first = np.ascontiguousarray(pixels.transpose(0, 3, 1, 2))
    tensor = torch.from_numpy(first)
    records = [{"image": picture} for picture in pixels]
    yield "array (N, H, W, C)", lambda: pixels
    yield "array (N, C, H, W)", lambda: first
    yield "tensor (N, C, H, W)", lambda: tensor
    yield "tensor (N, H, W, C)", lambda: torch.from_numpy(pixels)
    yield "list of PIL images", lambda: list(map(Image.fromarray, pixels))
    yield "list of arrays", lambda: list(pixels)
    yield "list of tensors", lambda: list(tensor)
    yield "list of batches", lambda: np.array_split(pixels, 5)
    yield "Dataset of tensors", lambda: torch.utils.data.TensorDataset(tensor)
    yield "Dataset of records", lambda: Elements(records)
    yield "DataLoader", lambda: torch.utils.data.DataLoader(list(tensor), batch_size=7)
    yield "DataLoader of records", lambda: torch.utils.data.DataLoader(Elements(records), 5)
    yield "generator of batches", lambda: iter(np.array_split(pixels, 5))
    yield "generator of images", lambda: map(Image.fromarray, pixels)


def _image_tables(
    root: Path, paths: Sequence[Path], pixels: np.ndarray
) -> dict[str, tuple[Callable[[], Any], bool]]:
    """Tables, and whether their images have names."""
    import datasets
    import pandas
    import pyarrow
    import pyarrow.parquet as pq

    cells = [{"bytes": path.read_bytes(), "path": path.name} for path in paths]
    table = pyarrow.table({"image": cells})
    pq.write_table(table, root / "i.parquet")
    pq.write_table(pyarrow.table({"image": [cell["bytes"] for cell in cells]}), root / "b.parquet")
    with pyarrow.ipc.new_file(str(root / "i.arrow"), table.schema) as writer:
        writer.write_table(table)
    data = datasets.Dataset.from_dict({"image": list(map(str, paths))})
    decoded = data.cast_column("image", datasets.Image())
    decoded.save_to_disk(root / "disk")
    frame = pandas.DataFrame({"file_name": list(map(str, paths))})
    return {
        ".parquet of images": (_as(root / "i.parquet"), True),
        ".parquet of bytes": (_as(root / "b.parquet"), False),
        ".arrow": (_as(root / "i.arrow"), True),
        "Arrow table": (_as(table), True),
        "HF Dataset": (_as(decoded), True),
        "save_to_disk": (_as(root / "disk"), True),
        "HF Dataset of paths": (_as(data), True),
        "DataFrame of paths": (_as(frame), True),
        "DataFrame of images": (
            lambda: pandas.DataFrame({"image": list(map(Image.fromarray, pixels))}),
            False,
        ),
    }


# --- captions --------------------------------------------------------------------------------


def caption_forms(
    root: Path, names: Sequence[str], texts: Sequence[str], encoder: Any
) -> dict[str, Form]:
    """The forms of captions, one for each image."""
    root.mkdir(parents=True)
    pairs = list(zip(names, texts, strict=True))
    files = dict(_caption_files(pairs))
    for name, content in files.items():
        (root / name).write_text(content, "utf-8")
    named = {name: _as(root / name) for name in files}
    named |= dict(_caption_folders(root, pairs))
    members = {}
    for name, text in pairs:
        members[name] = b"no image is read here"
        members[f"{name.rpartition('.')[0]}.txt"] = text.encode()
    write_tar(root / "c.tar", members)
    kept = stored_set(root / "map.json", "text", encoder=encoder, cache=False)
    kept.save(root / "features.npz")
    named |= {
        "WebDataset's .tar": _as(root / "c.tar"),
        "cmdmetric moments": _as(root / "features.npz"),
        "{name: caption}": _as(dict(pairs)),
        "{caption: name}": _as({text: name for name, text in pairs}),
        "{name: [caption]}": _as({name: [text] for name, text in pairs}),
        "list of records": _as([{"image": name, "caption": text} for name, text in pairs]),
        "list of (name, caption)": _as(pairs),
        **_caption_tables(root, pairs),
    }
    (root / "lines.txt").write_text("\n".join(texts), "utf-8")
    (root / "list.json").write_text(json.dumps(list(texts)))
    (root / "lists.json").write_text(json.dumps([[text] for text in texts]))
    (root / "one.csv").write_text("Prompts\n" + "\n".join(texts))
    (root / "records.json").write_text(json.dumps([{"prompt": text} for text in texts]))
    listed = {
        name: _as(root / name)
        for name in ("lines.txt", "list.json", "lists.json", "one.csv", "records.json")
    }
    listed |= {
        "list": _as(list(texts)),
        "tuple": _as(tuple(texts)),
        "list of lists": _as([[text] for text in texts]),
        "generator": lambda: iter(texts),
        "array": _as(np.array(texts)),
        "Dataset": lambda: Elements([{"text": text} for text in texts]),
    }  # fmt: skip
    np.save(root / "rows.npy", np.asarray(kept.features))
    forms = {name: Form(make, named=True, tells=True) for name, make in named.items()}
    of_each = ("lists.json", "list of lists")
    forms |= {n: Form(make, listed=True, tells=n in of_each) for n, make in listed.items()}
    rows = np.asarray(kept.features)  # what they are of is not known
    return {**forms, "rows.npy": Form(_as(root / "rows.npy")), "array of features": Form(_as(rows))}


def _caption_files(pairs: Sequence[tuple[str, str]]) -> Iterator[tuple[str, str]]:
    names, texts = zip(*pairs, strict=True)
    coco = {
        "images": [{"id": i, "file_name": name} for i, name in enumerate(names)],
        "annotations": [{"image_id": i, "id": i, "caption": t} for i, t in enumerate(texts)],
    }
    karpathy = [{"filename": n, "split": "test", "sentences": [{"raw": t}]} for n, t in pairs]
    yield "map.json", json.dumps(dict(pairs))
    yield "lists-of.json", json.dumps({name: [text] for name, text in pairs})
    yield "turned.json", json.dumps({text: name for name, text in pairs})
    yield "turned-lists.json", json.dumps({text: [name] for name, text in pairs})
    yield "coco.json", json.dumps(coco)
    yield "karpathy.json", json.dumps({"images": karpathy})
    yield "records-of.json", json.dumps([{"file_name": n, "text": t} for n, t in pairs])
    yield "by-id.json", json.dumps({n: {"category": "x", "prompt": t} for n, t in pairs})
    yield "eval.jsonl", lines([{"id": i, "prompt": t, "image_path": n}
                               for i, (n, t) in enumerate(pairs)])  # fmt: skip
    yield "eval.ndjson", lines([{"url": n, "captions": [t]} for n, t in pairs])
    for name, sign in (("comma.csv", ","), ("semicolon.csv", ";"), ("tab.tsv", "\t"),
                       ("comma.tsv", ","), ("bar.csv", "|")):  # fmt: skip
        yield name, delimited(sign, names, texts, header=("image_name", "Caption"))


def _caption_folders(
    root: Path, pairs: Sequence[tuple[str, str]]
) -> Iterator[tuple[str, Callable[[], Any]]]:
    for kind in ("sidecars", "csv", "jsonl"):
        folder = root / kind
        folder.mkdir()
        records = [{"file_name": name, "text": text} for name, text in pairs]
        if kind == "sidecars":
            for name, text in pairs:
                (folder / name).with_suffix(".txt").write_text(text, "utf-8")
        elif kind == "csv":
            columns = zip(*pairs, strict=True)
            content = delimited(",", *columns, header=("file_name", "text"))
            (folder / "metadata.csv").write_text(content, "utf-8")
        else:
            (folder / "metadata.jsonl").write_text(lines(records), "utf-8")
        yield f"folder with {kind}", _as(folder)


def _caption_tables(
    root: Path, pairs: Sequence[tuple[str, str]]
) -> Mapping[str, Callable[[], Any]]:
    import datasets
    import pandas
    import pyarrow.parquet as pq

    names, texts = map(list, zip(*pairs, strict=True))
    frame = pandas.DataFrame({"image": names, "prompt": texts})
    data = datasets.Dataset.from_dict({"image": names, "text": texts})
    pq.write_table(data.data.table, root / "c.parquet")
    data.save_to_disk(root / "disk")
    return {
        "DataFrame": _as(frame),
        "HF Dataset": _as(data),
        "DatasetDict": _as(datasets.DatasetDict(test=data)),
        "Arrow table": _as(data.data.table),
        ".parquet": _as(root / "c.parquet"),
        "save_to_disk": _as(root / "disk"),
    }
