"""Files at URLs, through fsspec: in memory, and from a server on this machine."""

from __future__ import annotations

import functools
import http.server
import json
import re
import shutil
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import fsspec
import numpy as np
import pytest
from click.testing import CliRunner

from cmdmetric import Encoder, InputError, cmd
from cmdmetric.cli.main import main
from cmdmetric.files.lookahead import ahead
from cmdmetric.files.remote import is_url, local
from cmdmetric.inputs.captions import read_captions
from cmdmetric.inputs.images import open_images
from cmdmetric.inputs.shards import Shard
from tests.support.shards import picture, write_shards

pytestmark = pytest.mark.filterwarnings("ignore:.*too few for:UserWarning")

N = 24


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """f/ and f.zip of images, s-000.tar ..., captions.json."""
    folder = tmp_path_factory.mktemp("remote")
    (folder / "f" / "sub").mkdir(parents=True)
    for k in range(N):
        (folder / "f" / ("sub" if k % 2 else "") / f"{k}.png").write_bytes(picture(k))
    (folder / "f" / ".hidden.png").write_bytes(b"no image")
    shutil.make_archive(str(folder / "f"), "zip", folder / "f")
    write_shards(folder)
    (folder / "captions.json").write_text(json.dumps({f"{k}.png": f"p {k}" for k in range(N)}))
    return folder


@pytest.fixture(scope="module")
def memory(folder: Path) -> Iterator[str]:
    """All of it in memory://."""
    files = fsspec.filesystem("memory")
    for path in folder.rglob("*"):
        if path.is_file():
            files.pipe_file(f"/cmdmetric/{path.relative_to(folder)}", path.read_bytes())
    yield "memory://cmdmetric"
    files.rm("/cmdmetric", recursive=True)


def contents(source: str) -> dict[str, bytes]:
    return {item.name: item.load().tobytes() for item in open_images(source)}


@pytest.mark.parametrize(
    "name", ["f", "f/", "f.zip", "f/*.png", "f/**/*.png", "s-*.tar", "s-{000..002}.tar", "f/0.png"]
)
def test_images_are_those_of_the_local_ones(name: str, memory: str, folder: Path) -> None:
    expected = contents(f"{folder}/{name}")
    found = contents(f"{memory}/{name}")
    assert list(found) == list(expected)
    assert found == expected


def test_file_urls_are_paths(folder: Path) -> None:
    assert local(f"file://{folder}/f") == f"{folder}/f"
    assert open_images(f"file://{folder}/f").names == open_images(folder / "f").names
    assert read_captions(f"file://{folder}/captions.json").folder == folder
    for path in ("C:\\images", "c:/images", "a/b", "a:b", "~/x"):
        assert local(path) == path and not is_url(path)
    assert is_url("s3://bucket/x") and is_url("zip://*.png::s3://bucket/x.zip")


def test_a_whole_score(tiny_encoder: Encoder, memory: str, folder: Path, tmp_path: Path) -> None:
    real = tmp_path / "r.npy"
    np.save(real, np.random.default_rng(0).integers(0, 256, (N, 32, 32, 3), dtype=np.uint8))
    expected = cmd(folder / "f", folder / "captions.json", real, encoder=tiny_encoder, cache=False)
    score = cmd(f"{memory}/f", f"{memory}/captions.json", real, encoder=tiny_encoder, cache=False)
    assert score.cmd == expected.cmd and score.paired == N
    assert score.uncertainty == expected.uncertainty
    tars = cmd(f"{memory}/f", f"{memory}/s-*.tar", encoder=tiny_encoder, cache=False)
    assert tars.n_real == tars.n_captions == N and tars.dis_fr < 1e-6


def test_only_its_own_share_is_fetched(memory: str, monkeypatch: pytest.MonkeyPatch) -> None:
    files = type(fsspec.filesystem("memory"))
    calls: list[str] = []
    read = files.cat_file

    def note(self: object, path: str, **options: object) -> bytes:
        calls.append(path.rpartition("/")[2])
        return read(self, path, **options)

    monkeypatch.setattr(files, "cat_file", note)
    share = open_images(f"{memory}/f").shard(Shard(2, 3))
    names = [item.name.rpartition("/")[2] for item in share if item.load()]
    assert sorted(calls) == sorted(names) and len(names) == N // 3


def test_what_is_still_on_its_way_at_the_end_arrives() -> None:
    started = threading.Event()

    def slow(key: int) -> int:
        started.wait()
        return key

    found = [future for _, future in ahead(range(9), slow, threads=2, count=4)]
    started.set()
    assert [future.result(timeout=60) for future in found] == list(range(9))


def test_what_was_encoded_once_is_found_at_another_place(
    tiny_encoder: Encoder,
    memory: str,
    folder: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    captions, cache = folder / "captions.json", tmp_path / "cache"
    cmd(folder / "f", captions, f"{memory}/f.zip", encoder=tiny_encoder, cache=cache)
    capsys.readouterr()
    for source in ("f", "f.zip", "s-*.tar"):
        cmd(f"{memory}/{source}", captions, folder / "f", encoder=tiny_encoder, cache=cache,
            progress=True)  # fmt: skip
        assert f"from the cache: {2 * N} of {2 * N} images" in capsys.readouterr().err


def test_moments_are_written_and_merged_at_urls(memory: str) -> None:
    run = CliRunner().invoke
    for index in range(2):
        done = run(main, ["moments", f"{memory}/f", "-o", f"{memory}/part-{index}.npz", "--shard",
                          f"{index}/2", "--model", "scenes-toy", "-q"])  # fmt: skip
        assert done.exit_code == 0, done.output
    done = run(main, ["merge", f"{memory}/part-*.npz", "-o", f"{memory}/f.npz"])
    assert done.exit_code == 0, done.output
    score = ["score", f"{memory}/f.npz", f"{memory}/captions.json", "--real", f"{memory}/f.npz"]
    done = run(main, [*score, "--model", "scenes-toy", "-q", "--format", "json"])
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["n"] == N


class TestMistakes:
    @pytest.mark.parametrize("name", ["absent", "absent.zip", "absent.tar", "absent-*.png",
                                      "absent/{0..1}.tar", "absent/0.png"])  # fmt: skip
    def test_images_that_are_not_there(self, name: str, memory: str) -> None:
        with pytest.raises(InputError, match=re.escape(f"{memory}/{name[:6]}")):
            open_images(f"{memory}/{name}")

    @pytest.mark.parametrize("name", ["absent.json", "absent.npz", "absent-*.tar"])
    def test_captions_that_are_not_there(
        self, name: str, memory: str, tiny_encoder: Encoder
    ) -> None:
        with pytest.raises(InputError, match=re.escape(f"{memory}/{name}")) as caught:
            cmd(f"{memory}/f", f"{memory}/{name}", f"{memory}/f", encoder=tiny_encoder)
        assert str(caught.value).count(memory) == 1

    def test_no_images_there(self, memory: str) -> None:
        fsspec.filesystem("memory").pipe_file("/cmdmetric/none/a.txt", b"a")
        with pytest.raises(InputError, match=r"none: no images; it holds 1 files: \.txt 1"):
            open_images(f"{memory}/none")

    def test_an_unknown_protocol(self) -> None:
        with pytest.raises(InputError, match="s4://bucket"):
            open_images("s4://bucket/f")

    def test_a_file_system_that_is_not_installed(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "s3fs", None)
        with pytest.raises(InputError, match=r"one more package for s3://.*s3fs"):
            open_images("s3://bucket/f")

    def test_a_file_that_vanishes(self, memory: str, tiny_encoder: Encoder) -> None:
        files = fsspec.filesystem("memory")
        for k in range(3):
            files.pipe_file(f"/cmdmetric/v/{k}.png", picture(k))
        images = open_images(f"{memory}/v")
        files.rm("/cmdmetric/v/1.png")
        with pytest.raises(InputError, match=r"1 of 3 images(.|\n)*1\.png: does not exist"):
            cmd(images, ["a", "b"], images, encoder=tiny_encoder, cache=False)


@pytest.fixture(scope="module")
def server(folder: Path) -> Iterator[str]:
    pytest.importorskip("aiohttp")

    class Handler(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

    handler = functools.partial(Handler, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{running.server_port}"
        running.shutdown()


@pytest.mark.parametrize("name", ["f", "s-{000..002}.tar"])
def test_over_http(name: str, server: str, folder: Path) -> None:
    assert contents(f"{server}/{name}") == contents(f"{folder}/{name}")


def test_captions_over_http(server: str, folder: Path) -> None:
    ours, theirs = read_captions(f"{server}/captions.json"), read_captions(folder / "captions.json")
    assert (ours.texts, ours.images) == (theirs.texts, theirs.images)
    with pytest.raises(InputError, match=r"absent\.json: does not exist"):
        read_captions(f"{server}/absent.json")
