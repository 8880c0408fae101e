"""Named references: found where the user says, checked, and clear when they are not at hand."""

from __future__ import annotations

import http.client
import io
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from cmdmetric import InputError, frechet_distance
from cmdmetric.files.downloads import cache_folder, download, no_downloads, sha256_of
from cmdmetric.scoring.references import COCO2014_VAL, find_reference_file, load_reference
from cmdmetric.scoring.stored_sets import read_stored
from tests.conftest import SHARED, shared


def test_released_statistics_are_the_ones_meant(monkeypatch: pytest.MonkeyPatch) -> None:
    shared("reference/coco2014-val.real.npz")
    monkeypatch.setenv("CMDMETRIC_REFERENCES", str(SHARED / "reference"))
    real, text = load_reference("coco2014-val", "image"), load_reference("coco2014-val", "text")
    assert real.n is None and real.d == text.d == 512
    assert frechet_distance(real, text) == pytest.approx(91.759443969, abs=1e-8)


def test_the_authors_file_names_are_found_too(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "image_feature.npz").symlink_to(shared("reference/coco2014-val.real.npz"))
    monkeypatch.setenv("CMDMETRIC_REFERENCES", str(tmp_path))
    found = find_reference_file(COCO2014_VAL, "image")
    assert found == tmp_path / "image_feature.npz"


def test_another_content_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "coco2014-val.real.npz").write_bytes(b"other")
    monkeypatch.setenv("CMDMETRIC_REFERENCES", str(tmp_path))
    with pytest.raises(InputError, match="not the released coco2014-val statistics"):
        find_reference_file(COCO2014_VAL, "image")


@pytest.fixture
def online(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HF_HUB_OFFLINE")


@pytest.mark.usefixtures("online")
def test_without_a_connection_it_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise urllib.error.URLError("no network")

    monkeypatch.setattr(urllib.request, "urlopen", refuse)
    with pytest.raises(InputError, match=r"no network.*CMDMETRIC_REFERENCES") as caught:
        find_reference_file(COCO2014_VAL, "text")
    assert "sent_feature.npz" in str(caught.value)


class Answer(io.BytesIO):
    def __init__(self, url: str = "https://example.org/file") -> None:
        super().__init__(b"hello")
        self.headers = {"Content-Length": "5"}
        self.url = url

    def geturl(self) -> str:
        return self.url


def test_offline_nothing_is_downloaded(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(urllib.request, "urlopen", lambda *_, **__: pytest.fail("it was asked"))
    with pytest.raises(InputError, match="HF_HUB_OFFLINE forbids a download"):
        download("https://example.org/file", tmp_path / "x", "0" * 64, "x")
    monkeypatch.delenv("HF_HUB_OFFLINE")
    with no_downloads("not today"), pytest.raises(InputError, match="not today"):
        download("https://example.org/file", tmp_path / "x", "0" * 64, "x")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("online")
def test_download_announces_and_checks(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(urllib.request, "urlopen", lambda *_, **__: Answer())
    right = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"
    target = tmp_path / "folder" / "file"
    download("https://example.org/file", target, right, "a greeting")
    assert sha256_of(target) == right
    announced = capsys.readouterr().err
    for part in ("a greeting", "0.0 MB", "https://example.org/file", str(target)):
        assert part in announced
    with pytest.raises(InputError, match="nothing was kept"):
        download("https://example.org/file", tmp_path / "other", "0" * 64, "x")
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]


@pytest.mark.parametrize("length", ["abc", "-5", "9" * 5000, "٣", ""])
@pytest.mark.usefixtures("online")
def test_a_length_that_is_none(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, length: str
) -> None:
    answer = Answer()
    answer.headers = {"Content-Length": length}
    monkeypatch.setattr(urllib.request, "urlopen", lambda *_, **__: answer)
    right = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"
    target = tmp_path / "file"
    download("https://example.org/file", target, right, "a greeting")
    assert target.read_bytes() == b"hello"


@pytest.mark.usefixtures("online")
def test_an_answer_that_breaks_off(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    answer = Answer()

    def read(*_: object) -> bytes:
        raise http.client.IncompleteRead(b"hel")

    monkeypatch.setattr(answer, "read", read)
    monkeypatch.setattr(urllib.request, "urlopen", lambda *_, **__: answer)
    with pytest.raises(InputError, match="cannot be downloaded"):
        download("https://example.org/file", tmp_path / "x", "0" * 64, "x")
    assert list(tmp_path.iterdir()) == []


def test_only_https(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="only https"):
        download("http://example.org/file", tmp_path / "x", "0" * 64, "x")


@pytest.mark.usefixtures("online")
def test_only_https_after_a_redirection(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    answer = Answer("http://example.org/elsewhere")
    monkeypatch.setattr(urllib.request, "urlopen", lambda *_, **__: answer)
    with pytest.raises(InputError, match="which is not https"):
        download("https://example.org/file", tmp_path / "x", "0" * 64, "x")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["coco", "COCO2014_val", "coco-2014"])
def test_the_nearest_name_is_told(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=f"^{name}: does not exist. .* called coco2014-val"):
        read_stored(name, "image")
    (tmp_path / name).mkdir()
    assert read_stored(name, "image") is None, "a folder of images"
    for other in ("photos", "coco-{000..009}.tar", "coco*"):
        assert read_stored(other, "image") is None, "told where it is opened"


def test_cache_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CMDMETRIC_CACHE", "~/here")
    assert cache_folder() == Path.home() / "here"
    monkeypatch.delenv("CMDMETRIC_CACHE")
    assert cache_folder().name == "cmdmetric"
