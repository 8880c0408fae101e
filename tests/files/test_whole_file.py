"""Files that appear whole or not at all."""

import os
import zlib
from pathlib import Path

import pytest

from cmdmetric.errors import InputError
from cmdmetric.files import check_place, whole_file
from tests.support.systems import needs_named_pipes


def test_it_appears_at_the_end(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_bytes(b"old")
    with whole_file(path) as file:
        file.write(b"new")
        file.flush()
        assert path.read_bytes() == b"old"
    assert path.read_bytes() == b"new"
    assert os.listdir(tmp_path) == ["a.json"]


def test_what_fails_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_bytes(b"old")
    with pytest.raises(KeyboardInterrupt), whole_file(path) as file:
        file.write(b"ne")
        raise KeyboardInterrupt
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["a.json"]


@pytest.mark.parametrize("name", ["absent/a", "folder", "a\0b", "x" * 400])
def test_what_cannot_be_written(tmp_path: Path, name: str) -> None:
    (tmp_path / "folder").mkdir()
    with pytest.raises(InputError, match="cannot write"), whole_file(tmp_path / name) as file:
        file.write(b"x")


def test_links(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    target, link = tmp_path / "there" / "a", tmp_path / "link"
    link.symlink_to(target)
    # What somebody else laid where the unfinished file will be is not written through.
    trap = tmp_path / "there" / f".a.{zlib.crc32(b'a'):08x}.{os.getpid()}.part"
    trap.symlink_to(tmp_path / "victim")
    (tmp_path / "victim").write_bytes(b"precious")
    with whole_file(link) as file:
        file.write(b"new")
    assert target.read_bytes() == b"new" and link.is_symlink()
    assert (tmp_path / "victim").read_bytes() == b"precious"
    assert os.listdir(tmp_path / "there") == ["a"]


@pytest.mark.skipif(os.name != "posix" or os.getuid() != 0, reason="root alone gives files away")
@pytest.mark.parametrize("inside", ["", "a"])
def test_links_that_others_laid_where_anyone_may(tmp_path: Path, inside: str) -> None:
    """As in /tmp: such a link would lead to any file of ours. It may also be that of a folder."""
    anyones, other = tmp_path / "anyone's", 65534
    anyones.mkdir()
    anyones.chmod(0o1777)
    (tmp_path / "ours").mkdir()
    victim = tmp_path / "ours" / "a"
    victim.write_bytes(b"precious")
    link = anyones / "link"
    link.symlink_to(victim.parent if inside else victim)
    own = tmp_path / "own"
    own.symlink_to(link)
    os.chown(link, other, other, follow_symlinks=False)
    for place in (link / inside, own / inside):
        for write in (check_place, written):
            with pytest.raises(InputError, match="link is a link that another user laid"):
                write(place)
    assert victim.read_bytes() == b"precious"
    # Where only its owner lays links, and where the link is the owner's, that is what they want.
    anyones.chmod(0o755)
    written(own / inside)
    anyones.chmod(0o1777)
    os.chown(anyones, other, other)
    written(own / inside)
    assert victim.read_bytes() == b"new" and link.is_symlink()


def written(path: Path) -> None:
    with whole_file(path) as file:
        file.write(b"new")


@needs_named_pipes
def test_a_pipe_is_written_to_and_stays(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    with whole_file(pipe) as file:
        file.write(b"x")
    assert os.read(reader, 9) == b"x"
    os.close(reader)
    assert pipe.is_fifo()
