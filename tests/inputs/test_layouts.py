"""What benchmarks and tools write is read as they mean it, or refused with the way out."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from cmdmetric.errors import InputError
from cmdmetric.inputs.captions import Captions, captions_along, read_captions
from cmdmetric.inputs.images import open_images
from cmdmetric.inputs.pairing import pair, pair_by_text

CAT, DOG = "a cat on a mat", "a dog, running"


def picture(path: Path, shade: int = 0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (8, 8), (shade, 0, 0)).save(path)
    return path


def write(path: Path, content: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content if isinstance(content, str) else json.dumps(content), "utf-8")
    return path


def rows(captions: Captions) -> list[tuple[str | None, str]]:
    return list(zip(captions.images, captions.texts, strict=True))


def all_paired(images: Any, captions: Any) -> list[list[str]]:
    """The captions of each image, in the images' order; every image and caption has a partner."""
    texts = read_captions(captions)
    opened = open_images(images)
    assert opened.names is not None
    by_name = any(name is not None for name in texts.images)
    pairing = (
        pair(opened.names, texts.images) if by_name else pair_by_text(opened.names, texts.texts)
    )
    assert not pairing.unpaired_images and not pairing.unpaired_captions
    for item in opened:
        assert item.load().size == (8, 8)
    return [[texts.texts[i] for i in own] for own in pairing.caption_of]


# --- records and mappings --------------------------------------------------------------------


def test_evalscope(tmp_path: Path) -> None:
    lines = [
        {"id": 1, "prompt": CAT, "image_path": "out/1.png", "tags": ["cat (animal)", "mat"]},
        {"id": 2, "prompt": DOG, "image_path": str(tmp_path / "out" / "2.png")},
    ]
    path = write(tmp_path / "eval.jsonl", "\n".join(map(json.dumps, lines)))
    for name in ("1.png", "2.png"):
        picture(tmp_path / "out" / name)
    captions = read_captions(path)
    assert rows(captions) == [("out/1.png", CAT), (str(tmp_path / "out" / "2.png"), DOG)]
    assert captions.fields == {"tags": (("cat (animal)", "mat"), None)}
    assert all_paired(path, path) == [[CAT], [DOG]]
    assert all_paired(tmp_path / "out", path) == [[CAT], [DOG]]


def test_geneval2(tmp_path: Path) -> None:
    """{prompt: file}: files are no captions."""
    found = {CAT: "made/0.png", DOG: "made/1.png"}
    path = write(tmp_path / "paths.json", found)
    for name in found.values():
        picture(tmp_path / name)
    assert rows(read_captions(path)) == rows(read_captions(found))
    assert rows(read_captions(path)) == [("made/0.png", CAT), ("made/1.png", DOG)]
    assert all_paired(path, path) == [[CAT], [DOG]]
    several = {CAT: ["made/0.png", "made/1.png"]}
    assert rows(read_captions(several)) == [("made/0.png", CAT), ("made/1.png", CAT)]


def test_a_mapping_that_may_be_read_either_way_is_refused() -> None:
    both = {"a.png": "b.png", "c.png": "d.png"}
    with pytest.raises(InputError, match="'keys' or 'values', by --caption-column"):
        read_captions(both)
    assert rows(read_captions(both, caption_column="keys"))[0] == ("b.png", "a.png")
    assert rows(read_captions(both, image_column="keys"))[0] == ("a.png", "b.png")
    with pytest.raises(InputError, match="are 'keys' and 'values', not 'text'"):
        read_captions(both, caption_column="text")
    with pytest.raises(InputError, match="not both the keys"):
        read_captions(both, caption_column="keys", image_column="keys")


def test_mjhq(tmp_path: Path) -> None:
    found = {
        "0a1b": {"category": "people", "prompt": CAT},
        "2c3d": {"category": "food", "prompt": DOG},
    }
    path = write(tmp_path / "meta_data.json", found)
    picture(tmp_path / "people" / "0a1b.jpg"), picture(tmp_path / "food" / "2c3d.jpg")
    for source in (path, tmp_path):
        captions = read_captions(source)
        assert rows(captions) == [("0a1b", CAT), ("2c3d", DOG)]
        assert captions.fields == {"category": ("people", "food")}
        assert all_paired(tmp_path, source) == [[DOG], [CAT]]  # food comes before people


def test_diffusiondb(tmp_path: Path) -> None:
    part = tmp_path / "images" / "part-000001"
    about = {"p": CAT, "se": 1, "c": 7.0, "st": 50, "sa": "k_lms"}
    write(part / "part-000001.json", {"3bfcd9cf.png": about})
    picture(part / "3bfcd9cf.png")
    for source in (tmp_path / "images", part, part / "part-000001.json"):
        captions = read_captions(source)
        assert captions.texts == (CAT,) and captions.fields["sa"] == ("k_lms",)
        assert all_paired(part, source) == [[CAT]]


@pytest.mark.parametrize(
    ("name", "content", "field"),
    [
        (
            "PartiPrompts.tsv",
            f"Prompt\tCategory\tNote\n{CAT}\tAnimals\t\n{DOG}\tAnimals\tx\n",
            "Category",
        ),
        ("drawbench.csv", f'Prompts,Category\n{CAT},Animals\n"{DOG}",Animals\n', "Category"),
        (
            "geneval.jsonl",
            "\n".join(json.dumps({"tag": "Animals", "prompt": text}) for text in (CAT, DOG)),
            "tag",
        ),
    ],
)
def test_prompts_with_categories(tmp_path: Path, name: str, content: str, field: str) -> None:
    captions = read_captions(write(tmp_path / name, content))
    assert rows(captions) == [(None, CAT), (None, DOG)]
    assert captions.fields[field] == ("Animals", "Animals")


def test_fields_follow_their_captions_into_shards() -> None:
    from cmdmetric.inputs.shards import Shard

    records = [{"text": CAT, "n": 1, "box": {}}, {"text": DOG}, {"text": CAT, "n": 3}]
    captions = read_captions(records)
    assert captions.fields == {"n": (1, None, 3)}
    assert captions.shard(Shard(2, 3)).fields == {"n": (3,)}
    assert hash(captions) == hash(read_captions(records))


def test_captions_in_two_columns_are_refused_until_one_is_named() -> None:
    records = [{"prompt": CAT, "caption": DOG, "image": "a.png"}]
    with pytest.raises(InputError, match="captions may stand under prompt, caption: name"):
        read_captions(records)
    assert rows(read_captions(records, caption_column="Prompt")) == [("a.png", CAT)]
    with pytest.raises(InputError, match="no caption column 'title'; there are prompt, caption"):
        read_captions(records, caption_column="title")
    odd = [{"title": CAT, "shot": "a.png"}]
    with pytest.raises(InputError, match="name the column by --caption-column"):
        read_captions(odd)
    assert rows(read_captions(odd, caption_column="title", image_column="shot")) == [("a.png", CAT)]


# --- lists -----------------------------------------------------------------------------------


def test_lists_of_captions_belong_to_images_by_their_place() -> None:
    assert rows(read_captions([[CAT, DOG], [CAT], DOG])) == [
        ("#0", CAT), ("#0", DOG), ("#1", CAT), ("#2", DOG),
    ]  # fmt: skip
    pixels = np.zeros((8, 8, 3), np.uint8)
    assert rows(read_captions([(pixels, CAT), ("b.png", [DOG])])) == [("#0", CAT), ("b.png", DOG)]
    assert all_paired([{"image": pixels, "text": CAT}], [{"image": pixels, "text": CAT}]) == [[CAT]]


def test_a_dictionary_of_images() -> None:
    pixels = np.zeros((8, 8, 3), np.uint8)
    images = {"cat": pixels, "dog.png": Image.fromarray(pixels)}
    assert all_paired(images, {"cat": CAT, "dog.png": DOG}) == [[CAT], [DOG]]
    with pytest.raises(InputError, match="the image 'a' is 2 images"):
        open_images({"a": np.zeros((2, 8, 8, 3), np.uint8)})


# --- delimited text --------------------------------------------------------------------------

TABLE = [("scene_0.png", CAT), ("scene_1.png", DOG)]


@pytest.mark.parametrize("ending", ["csv", "tsv"])
@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_delimiters(tmp_path: Path, ending: str, delimiter: str) -> None:
    lines = [("image", "caption"), *TABLE]
    text = "\n".join(delimiter.join(f'"{cell}"' for cell in line) for line in lines)
    assert rows(read_captions(write(tmp_path / f"c.{ending}", text))) == TABLE


@pytest.mark.parametrize("delimiter", [";", "\t", "|"])
def test_a_table_whose_header_is_unknown_is_no_list_of_captions(
    tmp_path: Path, delimiter: str
) -> None:
    text = "\n".join(map(delimiter.join, [("Bild", "Beschreibung"), *TABLE]))
    path = write(tmp_path / "c.csv", text)
    with pytest.raises(InputError, match=r"line 1 is no header: it has 2 cells.*--caption-column"):
        read_captions(path)
    named = read_captions(path, caption_column="beschreibung", image_column="Bild")
    assert rows(named) == TABLE


@pytest.mark.parametrize(
    ("header", "line"),
    [
        ("image,caption,caption,caption", "a.png,one,two,"),
        ("image,caption_1,caption_2,caption_3", "a.png,one,two,"),
        ("image,caption,caption.1", "a.png,one,two"),
        ("Image,Caption 1,Caption 2", "a.png,one,two"),
    ],
)
def test_every_caption_column_counts(tmp_path: Path, header: str, line: str) -> None:
    captions = read_captions(write(tmp_path / "c.csv", f"{header}\n{line}\n"))
    assert rows(captions) == [("a.png", "one"), ("a.png", "two")]


def test_other_columns_of_one_name_are_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "c.csv", "image,image,caption\na.png,b.png,one\n")
    with pytest.raises(InputError, match="2 columns are called 'image'"):
        read_captions(path)


def test_captions_in_a_tsv_may_begin_with_a_quotation_mark(tmp_path: Path) -> None:
    path = write(tmp_path / "c.tsv", 'Prompt\tCategory\n"Fire" on a sign\tText\nplain\tText\n')
    assert read_captions(path).texts == ('"Fire" on a sign', "plain")


# --- folders ---------------------------------------------------------------------------------


def geneval(root: Path) -> Path:
    for index, prompt in enumerate((CAT, DOG)):
        place = root / f"{index:05}"
        write(place / "metadata.jsonl", {"tag": "two_object", "include": [{}], "prompt": prompt})
        for sample in range(2):
            picture(place / "samples" / f"{sample:04}.png")
        picture(place / "grid.png")
    return root


def test_geneval(tmp_path: Path) -> None:
    root = geneval(tmp_path / "out")
    captions = read_captions(root)
    assert captions.images[1] == "00000/samples/0001.png"
    assert captions.fields == {"tag": ("two_object",) * 4}
    with pytest.warns(UserWarning, match="2 overviews beside samples/ are left out"):
        assert all_paired(root, root) == [[CAT], [CAT], [DOG], [DOG]]


def test_t2i_compbench(tmp_path: Path) -> None:
    for number, prompt in enumerate((CAT, CAT, DOG)):
        picture(tmp_path / "samples" / f"{prompt}_{number:06}.png")
    picture(tmp_path / f"{CAT}-grid-00000.png")
    prompts = write(tmp_path / "color_val.txt", f"{CAT}\n{DOG}\n")
    paired = [[CAT], [CAT], [DOG]]
    assert all_paired(tmp_path / "samples", tmp_path / "samples") == paired
    assert all_paired(tmp_path / "samples", prompts) == paired
    with pytest.warns(UserWarning, match="1 overviews"):
        assert all_paired(tmp_path, tmp_path) == paired


def test_a_prompt_that_is_a_number_names_no_image() -> None:
    numbered = [f"{i}.png" for i in range(100)]
    assert not any(pair_by_text(numbered, ["42", "a cat", "0"]).caption_of)


def test_dpg_bench(tmp_path: Path) -> None:
    write(tmp_path / "prompts" / "1.txt", CAT)
    write(tmp_path / "prompts" / "256.txt", DOG)
    picture(tmp_path / "made" / "1.png"), picture(tmp_path / "made" / "256.png")
    assert rows(read_captions(tmp_path / "prompts")) == [("1", CAT), ("256", DOG)]
    assert all_paired(tmp_path / "made", tmp_path / "prompts") == [[CAT], [DOG]]


def test_a_text_beside_each_image(tmp_path: Path) -> None:
    picture(tmp_path / "a" / "1.png"), picture(tmp_path / "2.jpg")
    write(tmp_path / "a" / "1.txt", f"{CAT}\n{DOG}\n")
    write(tmp_path / "2.txt", DOG)
    write(tmp_path / "README.txt", "what this is")
    assert all_paired(tmp_path, tmp_path) == [[DOG], [CAT, DOG]]


@pytest.mark.parametrize("below", ["", "train/"])
@pytest.mark.parametrize("ending", ["csv", "jsonl", "parquet"])
def test_imagefolder(tmp_path: Path, ending: str, below: str) -> None:
    picture(tmp_path / below / "1.png"), picture(tmp_path / below / "sub" / "2.png")
    table = [{"file_name": "1.png", "text": CAT}, {"file_name": "sub/2.png", "text": DOG}]
    path = tmp_path / below / f"metadata.{ending}"
    if ending == "parquet":
        pa = pytest.importorskip("pyarrow.parquet")
        import pyarrow

        pa.write_table(pyarrow.Table.from_pylist(table), path)
    elif ending == "jsonl":
        write(path, "\n".join(map(json.dumps, table)))
    else:
        write(path, f'file_name,text\n1.png,{CAT}\nsub/2.png,"{DOG}"\n')
    assert [name for name, _ in rows(read_captions(tmp_path))] == [
        f"{below}1.png",
        f"{below}sub/2.png",
    ]
    assert all_paired(tmp_path, tmp_path) == [[CAT], [DOG]]


def test_a_folder_with_two_layouts_is_refused(tmp_path: Path) -> None:
    geneval(tmp_path)
    write(tmp_path / "metadata.jsonl", {"file_name": "a.png", "text": CAT})
    with pytest.raises(InputError, match=r"captions may be read from .*metadata.jsonl.*; name one"):
        read_captions(tmp_path)


# --- tables ----------------------------------------------------------------------------------


def encoded(shade: int) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (8, 8), (shade, 0, 0)).save(file, "PNG")
    return file.getvalue()


def frame_of(rows: list[dict[str, Any]]) -> Any:
    return pytest.importorskip("pandas").DataFrame(rows)


def test_a_data_frame_is_its_columns(tmp_path: Path) -> None:
    a, b = picture(tmp_path / "a.png"), picture(tmp_path / "b.png")
    frame = frame_of(
        [
            {"path": str(a), "prompt": CAT, "style": "x"},
            {"path": str(b), "prompt": DOG, "style": None},
        ]
    )
    captions = read_captions(frame)
    assert rows(captions) == [(str(a), CAT), (str(b), DOG)]
    assert captions.fields == {"style": ("x", None)}
    assert all_paired(frame, frame) == [[CAT], [DOG]]
    odd = frame.rename(columns={"prompt": "what", "path": "where"})
    with pytest.raises(InputError, match="no caption under any"):
        read_captions(odd)
    assert read_captions(odd, caption_column="what").texts == (CAT, DOG)
    with pytest.raises(InputError, match="no column of images among where, what"):
        open_images(odd)
    assert open_images(odd, image_column="where").names == (str(a), str(b))
    in_memory = frame_of(
        [{"image": Image.open(a), "text": CAT}, {"image": Image.open(b), "text": DOG}]
    )
    assert all_paired(in_memory, in_memory) == [[CAT], [DOG]]


@pytest.mark.parametrize("form", ["table", "parquet", "arrow", "polars"])
def test_arrow(tmp_path: Path, form: str) -> None:
    pa = pytest.importorskip("pyarrow")
    import pyarrow.parquet as pq

    cells = [{"bytes": encoded(1), "path": None}, {"bytes": encoded(2), "path": None}]
    table = pa.table({"image": cells, "text": [[CAT, DOG], [DOG]]})
    source: Any = table
    if form == "polars":
        source = pytest.importorskip("polars").from_arrow(table)
    elif form == "parquet":
        pq.write_table(table, source := tmp_path / "t.parquet")
    elif form == "arrow":
        source = tmp_path / "t.arrow"
        with pa.ipc.new_stream(source, table.schema) as file:
            file.write_table(table)
    assert all_paired(source, source) == [[CAT, DOG], [DOG]]
    assert [item.load().getpixel((0, 0))[0] for item in open_images(source)] == [1, 2]


def test_a_hugging_face_dataset_in_memory_and_on_disk(tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    columns = {"image": [Image.new("RGB", (8, 8), (s, 0, 0)) for s in (1, 2)], "text": [CAT, DOG]}
    data = datasets.Dataset.from_dict(
        columns, features=datasets.Features(image=datasets.Image(), text=datasets.Value("string"))
    )
    data.save_to_disk(tmp_path / "one")
    both = datasets.DatasetDict({"train": data.select([0]), "test": data})
    both.save_to_disk(tmp_path / "two")
    for source in (data, data.select([0, 1]), both, tmp_path / "one", tmp_path / "two"):
        assert all_paired(source, source) == [[CAT], [DOG]]
        assert [item.load().getpixel((0, 0))[0] for item in open_images(source)] == [1, 2]
    assert read_captions(both, split="train").texts == (CAT,)
    with pytest.raises(InputError, match="there is not the split 'x'"):
        read_captions(tmp_path / "two", split="x")


def test_a_damaged_table_is_one_line(tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    path = tmp_path / "t.parquet"
    path.write_bytes(b"PAR1 nothing")
    for read in (read_captions, open_images):
        with pytest.raises(InputError, match=r"t\.parquet: truncated, damaged or no table"):
            read(path)


# --- what is never read silently -------------------------------------------------------------


def test_an_empty_name_is_not_the_current_folder() -> None:
    for read in (read_captions, open_images):
        for name in ("", "  "):
            with pytest.raises(InputError, match="is a variable of the shell not set"):
                read(name)


def test_images_that_captions_name_but_are_not_there_are_not_left_out(tmp_path: Path) -> None:
    picture(tmp_path / "a.png")
    path = write(tmp_path / "c.json", {"a.png": CAT, "b.png": DOG})
    images = open_images(path)
    assert images.names == ("a.png", "b.png")
    with pytest.raises(FileNotFoundError):
        [item.load() for item in images]
    none = write(tmp_path / "d.json", {"x.png": CAT})
    with pytest.raises(InputError, match="names 1 image, but there is no file"):
        open_images(none)
    with pytest.raises(InputError, match="2 of its 2 captions name no image"):
        open_images(write(tmp_path / "e.json", [CAT, DOG]))
    with pytest.raises(InputError, match="names images by URLs"):
        open_images(write(tmp_path / "f.json", [{"url": "https://host/a.png", "text": CAT}]))


def test_accents_pair_in_either_form_of_unicode(tmp_path: Path) -> None:
    composed, apart = "caf\u00e9.png", "cafe\u0301.png"
    for name, other in ((composed, apart), (apart, composed)):
        folder = tmp_path / str(len(name))
        picture(folder / name)
        path = write(folder / "c.json", {other: CAT})
        assert all_paired(folder, path) == [[CAT]]
        assert all_paired(path, path) == [[CAT]]


def test_an_image_without_pixels_is_no_image(tmp_path: Path) -> None:
    (item,) = open_images([Image.new("RGB", (0, 0))])
    with pytest.raises(ValueError, match="0x0"):
        item.load()
    (item,) = open_images(iter([Image.new("RGB", (0, 4))]))
    with pytest.raises(ValueError, match="0x4"):
        item.load()


# --- captions that come along ----------------------------------------------------------------

PIXELS = np.arange(4 * 8 * 8 * 3, dtype=np.uint8).reshape(4, 8, 8, 3)
SEVERAL = [[CAT, DOG], ["a"], ["b"], ["c"]]


class Pairs:
    """A map-style Dataset as torch's users write them: it has a length and items."""

    def __init__(self, entries: list[Any]) -> None:
        self.entries = entries

    def __len__(self) -> int:
        return len(self.entries)

    def __getitem__(self, index: int) -> Any:
        return self.entries[index]


def along_of(source: Any, **columns: str) -> list[tuple[str | None, str]]:
    images = open_images(source, **columns)
    assert len(list(images)) == 4
    assert images.along is not None
    return rows(captions_along(images))


@pytest.mark.parametrize("make", [list, Pairs, iter])
def test_captions_come_along_with_pairs_and_records(make: Any) -> None:
    texts = [CAT, DOG, "a", "b"]
    one = [(f"#{i}", text) for i, text in enumerate(texts)]
    pairs = list(zip(PIXELS, texts, strict=True))
    assert along_of(make(pairs)) == one
    assert along_of(make([(image, 7, text) for image, text in pairs])) == one
    records = [{"image": image, "prompt": text, "label": 3} for image, text in pairs]
    assert along_of(make(records)) == one
    many = [(f"#{i}", text) for i, own in enumerate(SEVERAL) for text in own]
    assert along_of(make(list(zip(PIXELS, SEVERAL, strict=True)))) == many


def test_captions_come_along_with_a_loaders_batches() -> None:
    import torch
    from torch.utils.data import DataLoader

    tensors = torch.from_numpy(PIXELS.transpose(0, 3, 1, 2).copy())
    twice = [[CAT, DOG], ["a", "b"], ["c", "d"], ["e", "f"]]
    expected = [(f"#{i}", text) for i, own in enumerate(twice) for text in own]
    data: Any = Pairs(list(zip(tensors, twice, strict=True)))
    for size in (1, 2, 3, 4):  # collated: for each place in the lists a tuple of the images' texts
        assert along_of(DataLoader(data, batch_size=size)) == expected
    records: Any = Pairs(
        [{"image": t, "text": own[0]} for t, own in zip(tensors, twice, strict=True)]
    )
    assert along_of(DataLoader(records, batch_size=3)) == expected[::2]
    shuffled = DataLoader(data, batch_size=2, shuffle=True)
    images = open_images(shuffled)
    seen = [np.asarray(item.load()).tobytes() for item in images]
    assert images.along is not None
    for name, text in rows(captions_along(images)):
        own = twice[[p.tobytes() for p in PIXELS].index(seen[int(str(name)[1:])])]
        assert text in own


COLLATES: dict[str, Any] = {
    "as they are": lambda samples: samples,
    "zip": lambda samples: tuple(zip(*samples, strict=True)),
    "lists": lambda samples: [list(members) for members in zip(*samples, strict=True)],
    "records": lambda samples: [{"image": image, "text": text} for image, text in samples],
    "columns": lambda samples: dict(
        zip(("image", "text"), zip(*samples, strict=True), strict=True)
    ),
}


@pytest.mark.parametrize("collate", COLLATES.values(), ids=COLLATES)
@pytest.mark.parametrize("make", [np.asarray, Image.fromarray])
def test_loaders_of_an_own_collate_lose_no_image(collate: Any, make: Any) -> None:
    """torchvision's references have zip: of its tuples of images all count, not the first alone."""
    from torch.utils.data import DataLoader

    samples: Any = list(zip(map(make, PIXELS), "abcd", strict=True))
    for size in (1, 3, 4):
        loader: Any = DataLoader(samples, batch_size=size, collate_fn=collate)
        for source in (loader, list(loader)):
            images = open_images(source)
            assert np.array_equal([np.asarray(item.load()) for item in images], PIXELS)
            assert along_of(source) == [("#0", "a"), ("#1", "b"), ("#2", "c"), ("#3", "d")]


def test_a_label_that_is_an_image_is_no_sample() -> None:
    """Of (image, mask) the first one counts."""
    pairs = [(image, image[::-1]) for image in PIXELS]
    assert len(list(open_images(pairs))) == 4
    assert len(list(open_images(iter(pairs)))) == 4


def test_paths_in_arrays_and_series(tmp_path: Path) -> None:
    pandas = pytest.importorskip("pandas")
    paths = [str(picture(tmp_path / f"{shade}.png", shade)) for shade in (10, 90)]
    for source in (np.array(paths), np.array(paths, object), pandas.Series(paths, [7, 3])):
        assert open_images(source).names == tuple(paths)


def test_a_record_of_a_key_may_name_its_file() -> None:
    """As pandas' to_json(orient="index") writes it; a key that names a file comes first."""
    assert rows(read_captions({"0": {"image": "a.png", "text": CAT}})) == [("a.png", CAT)]
    named = {"b.png": {"path": "raw/a.png", "text": CAT}}
    assert rows(read_captions(named)) == [("b.png", CAT)]
    assert rows(read_captions({"7": {"url": "https://x.org", "text": CAT}})) == [("7", CAT)]


def test_what_is_meant_is_hinted_at(tmp_path: Path) -> None:
    path = write(tmp_path / "lines.json", '{"text": "a"}\n{"text": "b"}')
    with pytest.raises(InputError, match=r"Extra data; if it has an object a line, .* \.jsonl"):
        read_captions(path)
    write(tmp_path / "shards" / "000.tar", "")
    with pytest.raises(InputError, match=r"Tars are named by a pattern"):
        open_images(tmp_path / "shards")
    with pytest.raises(InputError, match=r"is no image but dict of pixel_values \(the image would"):
        list(open_images([{"pixel_values": PIXELS[0]}]))


def test_what_comes_along_is_asked_for_only_where_captions_are() -> None:
    records = [{"image": image, "prompt": CAT, "caption": DOG} for image in PIXELS]
    assert len(list(open_images(records))) == 4
    with pytest.raises(InputError, match=r"list of 4: .* may stand under prompt, caption"):
        along_of(records)
    assert along_of(records, caption_column="caption")[0] == ("#0", DOG)
    with pytest.raises(InputError, match="holds 4 images and 3 captions"):
        along_of([(PIXELS, ["a", "b", "c"])])
    with pytest.raises(InputError, match="no captions in it"):
        along_of(list(PIXELS))


def test_a_loader_is_no_source_of_captions_alone() -> None:
    for batches in ([(PIXELS, [CAT] * 4)], [{"image": PIXELS, "text": [CAT] * 4}]):
        with pytest.raises(InputError, match="is a batch: give what makes batches"):
            read_captions(batches)
    assert rows(read_captions(Pairs([(PIXELS[0], CAT)]))) == [("#0", CAT)]


# --- further files of the field, in the shapes that they have ---------------------------------

APPLE, DOGS = "a red apple", "a photo of two dogs"
DPG = (
    "item_id,text,keywords,proposition_id,dependency,category_broad,category_detailed,tuple,"
    "question_natural_language\n"
    f"partiprompts0,{APPLE},,1,0,entity,whole,entity - whole (apple),Is there an apple?\n"
    f"partiprompts0,{APPLE},,2,1,attribute,color,attribute - color (red),Is the apple red?\n"
    f"coco1,{DOGS},,1,0,entity,whole,entity - whole (dogs),Are there dogs?\n"
)
TIFA = [{"id": name, "caption": text, "question": question, "choices": ["yes", "no"]}
        for name, text, question in (("coco_1", APPLE, "red?"), ("coco_1", APPLE, "apple?"),
                                     ("coco_2", DOGS, "dogs?"))]  # fmt: skip
FILES = {
    "DPG-Bench's table, a row a question": ("dpg_bench.csv", DPG, ("partiprompts0", "coco1")),
    "TIFA": ("tifa.json", json.dumps(TIFA), ("coco_1", "coco_2")),
    "Flickr30k's tokens": (
        "results_20130124.token", f"1.jpg#0\t{APPLE}\n2.jpg#0\t{DOGS}\n", ("1.jpg", "2.jpg"),
    ),
    "Flickr8k's tokens": (
        "Flickr8k.token.txt", f"1.jpg#0\t{APPLE}\n2.jpg#0\t{DOGS}\n", ("1.jpg", "2.jpg"),
    ),
    "Flickr8k as Kaggle has it": (
        "captions.txt", f"image,caption\n1.jpg,{APPLE}\n2.jpg,{DOGS}\n", ("1.jpg", "2.jpg"),
    ),
    "lists in cells": (
        "flickr.csv", f'raw,split,filename\n"[""{APPLE}"", ""{DOGS}""]",test,1.jpg\n',
        ("1.jpg", "1.jpg"),
    ),
    "lists in cells as pandas writes them": (
        "flickr.csv", f"raw,filename\n\"['{APPLE}', '{DOGS}']\",1.jpg\n", ("1.jpg", "1.jpg"),
    ),
    "records under a name": (
        "data.json", json.dumps({"data": [{"prompt": APPLE}, {"prompt": DOGS}]}), (None, None),
    ),
    "prompts under a name": ("p.json", json.dumps({"prompts": [APPLE, DOGS]}), (None, None)),
    "columns": (
        "c.json", json.dumps({"images": ["1.png", "2.png"], "captions": [APPLE, DOGS]}),
        ("1.png", "2.png"),
    ),
    "HPSv2's pairs": (
        "test.json",
        json.dumps([{"prompt": APPLE, "image_path": ["1a.jpg", "1b.jpg"], "rank": [1, 2]}]),
        ("1a.jpg", "1b.jpg"),
    ),
    "ImageReward's prompts": (
        "benchmark-prompts.json", json.dumps([{"id": "7", "prompt": APPLE}]), ("7",),
    ),
    "GenEval 2's prompts": (
        "geneval2_data.jsonl",
        json.dumps({"prompt": APPLE, "atom_count": 3, "vqa_list": [["q", "a"]]}), (None,),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", FILES)
def test_files_of_the_field(tmp_path: Path, name: str) -> None:
    file, content, images = FILES[name]
    (tmp_path / file).write_text(content)
    found = read_captions(tmp_path / file)
    assert found.images == images
    both = (APPLE, DOGS) if len(images) == 2 and name != "HPSv2's pairs" else (APPLE,) * len(images)
    assert found.texts == both


REFUSED = {
    "CC3M, without a header": ("train.tsv", f"{APPLE}\thttp://x/1.jpg\n{DOGS}\thttp://x/2.jpg\n",
                               "line 1 is no header.*where there is a header, name"),
    "Flickr30k's table of comments": ("results.csv", f"image_name| comment_number| comment\n"
                                      f"1.jpg| 0| {APPLE}\n1.jpg| 1| {DOGS}\n", "no header"),
    "names and captions in a .txt": ("c.txt", f"1.png\t{APPLE}\n2.png\t{DOGS}\n",
                                     "2 of 2 lines begin with the name of an image"),
    "names of images alone": ("f.json", json.dumps(["a/1.png", "a/2.png"]),
                              "2 of 2 captions are names of images"),
    "several columns that may be it": ("t.jsonl", json.dumps({"prompt": APPLE, "caption": DOGS}),
                                       "prompt, caption: name the column by --caption-column"),
    "COCO's instances": ("i.json", json.dumps({"images": [{"id": 1, "file_name": "1.jpg"}],
                                               "annotations": [{"image_id": 1, "bbox": [0]}]}),
                         "has no caption under any of"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_could_be_read_in_two_ways_is_refused(tmp_path: Path, name: str) -> None:
    file, content, message = REFUSED[name]
    (tmp_path / file).write_text(content)
    with pytest.raises(InputError, match=message):
        read_captions(tmp_path / file)


def test_columns_by_name_decide(tmp_path: Path) -> None:
    file, content, _ = REFUSED["Flickr30k's table of comments"]
    (tmp_path / file).write_text(content)
    found = read_captions(tmp_path / file, caption_column="comment")
    assert found.images == ("1.jpg", "1.jpg") and found.fields["comment_number"] == (" 0", " 1")
    (tmp_path / "train.csv").write_text(f"filepath\ttitle\n/data/1.jpg\t{APPLE}\n")
    assert read_captions(tmp_path / "train.csv", caption_column="title").images == ("/data/1.jpg",)


def test_images_that_a_table_names_by_urls_are_refused(tmp_path: Path) -> None:
    """LAION's and img2dataset's tables."""
    pa = pytest.importorskip("pyarrow")
    import pyarrow.parquet as pq

    table = pa.table({"URL": ["http://x/1.jpg"], "TEXT": [APPLE], "similarity": [0.3]})
    pq.write_table(table, tmp_path / "part.parquet")
    assert read_captions(tmp_path / "part.parquet").texts == (APPLE,)
    with pytest.raises(InputError, match="by URLs; download them first"):
        open_images(tmp_path / "part.parquet")


def test_sets_have_no_order_to_pair_by() -> None:
    with pytest.raises(InputError, match="the captions are a set, which has no order"):
        read_captions({APPLE, DOGS})
    with pytest.raises(InputError, match="the images are a set"):
        open_images({"a.png", "b.png"})


def test_columns_in_memory_hold_images_too() -> None:
    """What `dataset[:]` of Hugging Face's datasets gives."""
    pictures = [Image.new("RGB", (8, 8), (shade, 0, 0)) for shade in (10, 20)]
    batch = {"image": pictures, "prompt": [APPLE, DOGS]}
    images = open_images(batch)
    assert [item.load().getpixel((0, 0))[0] for item in images] == [10, 20]
    assert captions_along(images).texts == (APPLE, DOGS)
    assert read_captions(batch).images == ("#0", "#1")
