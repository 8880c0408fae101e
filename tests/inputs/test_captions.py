"""Every form that captions come in gives the same captions, or an error that names the place."""

import csv
import io
import json
import pickle
import subprocess
import sys
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import given, strategies as st

from cmdmetric.errors import InputError
from cmdmetric.inputs.captions import Captions, read_captions
from cmdmetric.inputs.layouts.lines import lines_of
from tests.conftest import shared

COCO = {
    "images": [{"id": 7, "file_name": "cat.jpg"}, {"id": 8, "file_name": "dog.jpg"}],
    "annotations": [
        {"id": 1, "image_id": 7, "caption": "a cat"},
        {"id": 2, "image_id": 8, "caption": "a dog"},
        {"id": 3, "image_id": 7, "caption": "a black cat"},
    ],
}
KARPATHY = {
    "dataset": "coco",
    "images": [
        {
            "filename": "cat.jpg",
            "split": "test",
            "imgid": 0,
            "sentences": [{"raw": "a cat", "tokens": ["a", "cat"]}, {"raw": "a black cat"}],
        },
        {"filename": "cow.jpg", "split": "val", "sentences": [{"raw": "a cow"}]},
        {"filename": "dog.jpg", "split": "test", "sentences": [{"raw": "a dog"}]},
    ],
}


def write(tmp_path, name, content):
    path = tmp_path / name
    if not isinstance(content, (str, bytes)):
        content = json.dumps(content)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def pairs(captions):
    return list(zip(captions.images, captions.texts, strict=True))


CAT_DOG = [("cat.jpg", "a cat"), ("cat.jpg", "a black cat"), ("dog.jpg", "a dog")]


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("c.json", COCO, [CAT_DOG[0], CAT_DOG[2], CAT_DOG[1]]),
        ("c.json", {"annotations": COCO["annotations"][:1]}, [("7", "a cat")]),
        ("c.json", KARPATHY, CAT_DOG),
        ("c.json", {"cat.jpg": ["a cat", "a black cat"], "dog.jpg": "a dog"}, CAT_DOG),
        ("c.JSON", ["a cat", "a dog"], [(None, "a cat"), (None, "a dog")]),
        ("c.json", [{"image": "cat.jpg", "text": "a cat"}], [CAT_DOG[0]]),
        ("c.json", [{"id": 12, "sentence": "a cat"}], [("12", "a cat")]),
        ("c.json", [{"image_id": 12, "id": 1, "captions": ["a", "b"]}], [("12", "a"), ("12", "b")]),
        ("c.json", [{"sentences": [{"raw": "a"}, "b"]}], [(None, "a"), (None, "b")]),
        ("c.jsonl", '{"file_name": "cat.jpg", "text": "a cat"}\n\n"a dog"\n', None),
        ("c.csv", 'Image,Caption\ncat.jpg,"a cat, black"\n', [("cat.jpg", "a cat, black")]),
        ("c.csv", 'x,caption\r\n1,"two\nlines"\r\n\r\n', [(None, "two\nlines")]),
        ("c.csv", "a cat\na dog\n", [(None, "a cat"), (None, "a dog")]),
        ("c.csv", "text\na cat\n", [(None, "a cat")]),
        ("c.tsv", "filename\traw\ncat.jpg\ta cat, black\n", [("cat.jpg", "a cat, black")]),
        ("c.txt", "a cat\r\n\r\n  \n a dog\n", [(None, "a cat"), (None, " a dog")]),
        ("c.txt", "a\u2028b\x0bc\nd", [(None, "a\u2028b\x0bc"), (None, "d")]),
    ],
)
def test_formats(tmp_path, name, content, expected):
    captions = read_captions(write(tmp_path, name, content))
    if expected is None:
        expected = [("cat.jpg", "a cat"), (None, "a dog")]
    assert pairs(captions) == expected
    assert captions.folder == tmp_path
    assert captions.source == str(tmp_path / name)


@pytest.mark.parametrize(
    "encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32", "utf-16-be-with-mark"]
)
@pytest.mark.parametrize("name", ["c.json", "c.jsonl", "c.csv", "c.txt"])
def test_encodings(tmp_path, name, encoding):
    text = "ein Kätzchen 🐈"
    content = json.dumps([text], ensure_ascii=False) if name == "c.json" else text
    content = json.dumps(text, ensure_ascii=False) if name == "c.jsonl" else content
    data = (
        b"\xfe\xff" + content.encode("utf-16-be")
        if encoding == "utf-16-be-with-mark"
        else content.encode(encoding)
    )
    assert read_captions(write(tmp_path, name, data)).texts == (text,)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (["a cat", "a dog"], [(None, "a cat"), (None, "a dog")]),
        ((text for text in ("a cat", "a dog")), [(None, "a cat"), (None, "a dog")]),
        ({"cat.jpg": ("a cat",)}, [("cat.jpg", "a cat")]),
        ({Path("x/cat.jpg"): "a cat"}, [("x/cat.jpg", "a cat")]),
        ({7: "a cat"}, [("7", "a cat")]),
        ([{"id": 0, "caption": "a cat"}], [("0", "a cat")]),
        (COCO, [CAT_DOG[0], CAT_DOG[2], CAT_DOG[1]]),
    ],
)
def test_python_values(value, expected):
    captions = read_captions(value)
    assert pairs(captions) == expected
    assert captions.folder is None


def test_captions_are_taken_as_they_are():
    captions = Captions(("a cat",), (None,))
    assert read_captions(captions) is captions


def test_splits(tmp_path):
    path = write(tmp_path, "dataset.json", KARPATHY)
    assert read_captions(path).split == "test"
    assert pairs(read_captions(path, split="val")) == [("cow.jpg", "a cow")]
    assert len(read_captions(path, split="all")) == 4
    with pytest.raises(InputError, match=r"'train'.*test \(2\), val \(1\)"):
        read_captions(path, split="train")
    only = read_captions([{"caption": "a", "split": "train"}])
    assert only.split == "train"
    with pytest.raises(InputError, match="no record states its split"):
        read_captions(["a cat"], split="val")
    assert read_captions(["a cat"]).split is None


def test_image_names():
    captions = read_captions([{"id": 2, "caption": "a"}, {"id": 1, "caption": "b"}, "c"])
    assert captions.image_names == ("2", "1")
    captions = read_captions([{"id": 2, "caption": "a"}, {"id": 2, "caption": "b"}])
    assert captions.image_names == ("2",)
    assert len(captions) == 2


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["COCO_val2014_000000318219.jpg", "val2014/COCO_val2014_000000000042.jpg"], True),
        (["COCO_val2014_000000318219"], True),
        (["COCO_val2014_000000318219.jpg", "cat.jpg"], False),
        (["COCO_train2014_000000318219.jpg"], False),
        (["COCO_val2014_000000318219.jpg", None], False),
    ],
)
def test_is_coco_val2014(names, expected):
    assert Captions(("a",) * len(names), tuple(names)).is_coco_val2014 is expected


# Captions that are alone on their line, without the ends that a text file cannot keep.
LINES = st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="\r\n\0\ufeff"), min_size=1
).filter(lambda text: text.strip())
TEXTS = st.lists(LINES, min_size=1)
RECORDS = st.lists(
    st.tuples(LINES, st.text(st.characters(exclude_categories=["Cs"]), min_size=1)).filter(
        lambda pair: pair[1].strip()
    ),
    min_size=1,
)


@pytest.fixture(scope="module")
def scratch(tmp_path_factory):
    return tmp_path_factory.mktemp("captions")


@given(TEXTS)
def test_lines_round_trip(scratch, texts):
    path = write(scratch, "c.txt", "\n".join(texts))
    assert read_captions(path).texts == tuple(texts)


@given(RECORDS)
def test_json_round_trip(scratch, records):
    listed = [{"image": image, "caption": text} for image, text in records]
    assert pairs(read_captions(write(scratch, "c.json", listed))) == records
    lines = "\n".join(map(json.dumps, listed))
    assert pairs(read_captions(write(scratch, "c.jsonl", lines))) == records


@given(st.dictionaries(LINES, st.lists(LINES, min_size=1), min_size=1))
def test_mapping_round_trip(scratch, captions):
    expected = [(image, text) for image, texts in captions.items() for text in texts]
    assert pairs(read_captions(write(scratch, "c.json", captions))) == expected
    assert pairs(read_captions(captions)) == expected


@given(RECORDS, st.sampled_from([("c.csv", ","), ("c.tsv", "\t")]))
def test_csv_round_trip(scratch, records, form):
    records = [(image, text.replace("\0", " ") + ".") for image, text in records]
    name, delimiter = form
    out = io.StringIO(newline="")
    rows = csv.writer(out, delimiter=delimiter)
    rows.writerows([("image", "caption"), *records])
    assert pairs(read_captions(write(scratch, name, out.getvalue()))) == records


@given(st.binary(), st.sampled_from(["c.json", "c.jsonl", "c.csv", "c.tsv", "c.txt"]))
def test_any_bytes_are_captions_or_a_clear_error(scratch, data, name):
    path = write(scratch, name, data)
    try:
        assert all(text.strip() for text in read_captions(path).texts)
    except InputError as error:
        assert str(path) in str(error)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["images", "annotations", "caption", "sentences", "id", "split"])
            | st.text(max_size=3),
            inner,
            max_size=3,
        )
    ),
)


@given(JSON)
def test_any_json_is_captions_or_a_clear_error(scratch, value):
    path = write(scratch, "c.json", value)
    try:
        assert len(read_captions(path)) > 0
    except InputError as error:
        assert str(path) in str(error)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("c.json", '{\n  "cat.jpg": "a cat",\n}', "line 3, column 1|line 2, column 21"),
        ("c.jsonl", '"a"\n\n{"caption": }\n', "line 3, column 13"),
        ("c.json", "", "line 1, column 1"),
        ("c.json", b'["a\xff"]', "not UTF-8: byte 3 "),
        ("c.json", b'\xef\xbb\xbf["a\xff"]', "not UTF-8: byte 6 "),
        ("c.txt", b"\xff\xfea\x00\x00\xd8", "not UTF-16: byte 4 "),
        ("c.json", "[]", "no captions"),
        ("c.txt", "\n\n", "no captions"),
        ("c.csv", "image,caption\n", "no captions"),
        ("c.json", '{"a.jpg": "x", "a.jpg": "y"}', "'a.jpg' occurs twice"),
        ("c.json", "[" * 10_000 + "]" * 10_000, "nested too deeply"),
        ("c.json", '["a", NaN]', r"caption 2 is no text but nan \(float\)"),
        ("c.json", '{"a.jpg": 3}', "the caption of 'a.jpg' is no text but 3"),
        ("c.json", '[{"caption": ["a", null]}]', "record 1 is no text but None"),
        ("c.json", '[{"id": 1.5, "caption": "a"}]', "record 1: the image's name is 1.5"),
        ("c.json", '[{"id": 1, "bbox": [1, 2]}]', "record 1 has no caption.*its keys are id, bbox"),
        ("c.json", "3", "not int"),
        ("c.json", '["\\ud83d"]', "caption 1 holds half of a surrogate pair"),
        ("c.json", "[1" + "0" * 5000 + "]", "c.json"),
        (
            "c.json",
            '["a", "", " ", "\\t", "\\n"]',
            r"4 of 5 captions are empty \(caption 2; .*\.\.\.",
        ),
        ("c.csv", 'image,caption\na.jpg,""\n', "1 of 1 captions are empty"),
        ("c.csv", "image,caption\na.jpg,a cat, black\n", "line 2 has 3 cells.*quotes"),
        ("c.csv", "a.jpg,a cat\n", "line 1 is no header"),
        ("c.csv", 'caption\n"a cat\n', "line"),
        ("c.pkl", pickle.dumps(["a cat"]), "not from .pkl"),
        ("captions", "a cat", "captions are read from .json"),
    ],
)
def test_errors_name_the_file_and_the_place(tmp_path, name, content, message):
    path = write(tmp_path, name, content)
    with pytest.raises(InputError, match=message) as caught:
        read_captions(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_missing_file(tmp_path):
    write(tmp_path, "captions.json", ["a"])
    with pytest.raises(
        InputError, match=r"caption\.json: does not exist\. Near it: captions\.json"
    ):
        read_captions(tmp_path / "caption.json")
    with pytest.raises(InputError, match="only the folder"):
        read_captions(tmp_path / "no" / "captions.json")
    with pytest.raises(InputError, match="pass them as a list"):
        read_captions("a cat on a mat " * 50)


def test_a_folder_is_no_captions_file(tmp_path):
    with pytest.raises(InputError, match="a folder; name the captions file"):
        read_captions(tmp_path)
    write(tmp_path, "captions.json", ["a"])
    with pytest.raises(InputError, match=r"it holds captions\.json"):
        read_captions(tmp_path)


@pytest.mark.parametrize("value", [3, b"a cat", None])
def test_values_that_are_no_captions(value):
    with pytest.raises(InputError, match="captions cannot be read from"):
        read_captions(value)


def test_captions_read_alike_by_their_words() -> None:
    texts = ("A red star.", "a RED star", "a red, star!", "a star", "!!!", "...", "!!!", "Étoile")
    captions = Captions(texts, ("0", "1", "2", "3", "4", "5", "6", None))
    first = [captions.readings.index(reading) for reading in captions.readings]
    assert first == [0, 0, 0, 3, 4, 5, 4, 7]
    assert captions.prompts == captions.readings
    # Numbers are of the words alone, whatever else is in the file.
    assert Captions(("A STAR",), ("x",)).readings[0] == captions.readings[3]


def test_prompts_are_those_of_real_images() -> None:
    real = Captions(("a cat", "a pet", "a dog", "a pet", "a bird"), ("0", "0", "1", "1", "2"))
    made = Captions(("A dog!", "a cat", "a pet", "a cow", "a cat"), ("a", "b", "c", "d", "e"))
    cat, _, dog, _, _ = real.prompts
    assert real.prompts[:2] == (cat, cat) and len(set(real.prompts)) == 3
    found = made.prompts_of(real)
    assert found[0] == dog and found[1] == found[4] == cat
    assert found[2:4] == made.prompts[2:4], "of two real images, and of none"
    # A caption without a word is not encoded: what is stored does not have it.
    assert Captions(("...", "a cat"), ("0", "0")).prompts == (made.prompts[1],) * 2


def test_reading_captions_loads_neither_torch_nor_pillow():
    code = (
        "import sys, cmdmetric.inputs.captions;"
        "print([m for m in ('torch', 'scipy', 'open_clip', 'PIL', 'numpy') if m in sys.modules])"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"


def test_coco_val2014():
    path = shared("data/coco_val2014_4800_captions.json")
    captions = read_captions(path)
    assert len(captions) == 24_019
    assert len(captions.image_names) == 4_800
    assert captions.is_coco_val2014
    first = json.loads(path.read_text())["annotations"][0]
    assert captions.texts[0] == first["caption"]
    assert captions.images[0] == f"COCO_val2014_{first['image_id']:012d}.jpg"


@given(st.text(alphabet="a\r\n\x0b\x1c\x85\u2028,"))
def test_lines_are_those_of_a_file(text: str) -> None:
    assert list(lines_of(text)) == list(io.StringIO(text, newline=""))


def test_lines_take_no_copy_of_the_text() -> None:
    text = "a caption of some words\n" * 50_000
    tracemalloc.start()
    number = sum(1 for _ in lines_of(text))
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert number == 50_000 and most < len(text) / 10


def test_of_equal_captions_and_names_one_is_kept(tmp_path: Path) -> None:
    line = json.dumps({"image": "cat.jpg", "caption": "a cat on a mat"})
    found = read_captions(write(tmp_path, "c.jsonl", f"{line}\n{line}\n"))
    assert found.texts[0] is found.texts[1] and found.images[0] is found.images[1]
