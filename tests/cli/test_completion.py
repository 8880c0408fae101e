"""What the shells are told: by the programs themselves, and once by bash, zsh and fish."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import open_clip
import pytest

from cmdmetric.cli import completion

BIN = Path(sys.executable).parent


def offered(line: str, shell: str = "bash", **env: str) -> list[str]:
    """The answer to a key press at the end of a line, as the shell's script asks for it."""
    program, *rest = line.split(" ")
    words = {"COMP_WORDS": line, "COMP_CWORD": str(len(rest))}
    if shell == "fish":
        words["COMP_CWORD"] = rest[-1]
    name = f"_{program.replace('-', '_').upper()}_COMPLETE"
    done = subprocess.run(
        [BIN / program],
        env={**os.environ, **words, name: f"{shell}_complete", **env},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    return done.stdout.splitlines()


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("cmd-score --metr", ["plain,--metrics"]),
        ("cmd-score sam", ["file,sam"]),
        ("cmd-score samples/ captions.json --metrics cl", ["open,clipscore", "open,clip_kid"]),
        ("cmd-score --metrics fid,kid,f", ["open,fid,kid,fjd"]),
        ("cmd-score --model sc", ["plain,scenes-toy", "file,sc"]),
        ("cmd-score --model ViT-B-32/op", ["plain,ViT-B-32/openai", "file,ViT-B-32/op"]),
        ("cmd-score --weights w.pt --model ViT-L-14-336-q", ["plain,ViT-L-14-336-quickgelu",
                                                             "file,ViT-L-14-336-q"]),
        ("cmd-score --protocol c", ["plain,clip", "file,c"]),
        ("cmd-score --real coco", ["plain,coco2014-val", "file,coco"]),
        ("cmd-score --check published:G", ["plain,published:GR-GAN"]),
        ("cmd-score --report r", ["file,r"]),
        ("cmdmetric c", ["plain,cache", "plain,compare"]),
        ("cmdmetric cache v", ["plain,verify"]),
        ("cmdmetric score --protocol g", ["plain,grgan", "file,g"]),
        ("cmdmetric moments --side t", ["plain,text"]),
        ("grgan train-i", ["plain,train-itm"]),
        ("grgan train --preset scenes-s", ["plain,scenes-small", "file,scenes-s"]),
        ("grgan train --base dmgan-it", ["plain,dmgan-it", "plain,dmgan-it-grg", "file,dmgan-it"]),
        ("grgan train --set train.ba", ["open,train.batch="]),
        ("grgan sample scenes", ["plain,scenes-small", "file,scenes"]),
        ("grgan ablate 2 --rows attn-da,plai", ["open,attn-da,plain"]),
        ("grgan ablate --rows attn-da,plai", [""]),
    ],
)  # fmt: skip
def test_names_and_files(line: str, expected: list[str]) -> None:
    assert offered(line) == expected


def test_answers_are_quick() -> None:
    for program, line in (("cmdmetric", "score --metrics f"), ("grgan", "train --preset s")):
        module = "grgan_ref" if program == "grgan" else "cmdmetric"
        name = f"_{program.upper()}_COMPLETE"
        words = {name: "bash_complete", "COMP_WORDS": f"{program} {line}", "COMP_CWORD": "3"}
        start = time.perf_counter()
        done = subprocess.run(
            [sys.executable, "-X", "importtime", "-m", module],
            env={**os.environ, **words}, capture_output=True, text=True, check=True,
        )  # fmt: skip
        # 0.1 and 0.3 s on an idle core.
        assert time.perf_counter() - start < 5
        assert done.stdout
        heavy = (" torch", " numpy", " scipy", " open_clip", " PIL")
        assert not any(module in done.stderr for module in heavy)


def test_models_are_those_of_open_clip() -> None:
    built = set(open_clip.list_models())
    stated = {(name, tag) for name, tag in open_clip.list_pretrained() if name in built}
    found = {(name, tag) for name, tags in completion.open_clip_models().items() for tag in tags}
    assert found == stated and len(found) > 50


def test_models_of_an_unreadable_open_clip(monkeypatch: pytest.MonkeyPatch) -> None:
    for source in ("", "_PRETRAINED = make()", "_PRETRAINED = {'a': _B}", "def ("):
        monkeypatch.setattr(Path, "read_text", lambda *_, text=source, **__: text)
        assert completion.open_clip_models() == {}
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    assert completion.open_clip_models() == {}


def in_bash(line: str, folder: Path) -> list[str]:
    """COMPREPLY of a real bash, which cuts the line into words in its own way."""
    version = ["bash", "-c", "echo $(( BASH_VERSINFO[0] * 100 + BASH_VERSINFO[1] ))"]
    if int(subprocess.run(version, capture_output=True, text=True, check=True).stdout) < 404:
        pytest.skip("bash before 4.4 has no `complete -o nosort`")
    script = f"""
    eval "$(_CMD_SCORE_COMPLETE=bash_source cmd-score)"
    compopt() {{ :; }}
    COMP_LINE={line!r} COMP_POINT=${{#COMP_LINE}}
    COMP_WORDS=({line.replace(":", " : ")}) COMP_CWORD=$(( ${{#COMP_WORDS[@]}} - 1 ))
    _cmd_score_completion cmd-score
    printf '%s\\n' "${{COMPREPLY[@]}}"
    """
    done = subprocess.run(
        ["bash", "-c", script], cwd=folder, capture_output=True, text=True, check=True,
        env={**os.environ, "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}"},
    )  # fmt: skip
    assert done.stderr == ""
    return done.stdout.splitlines()


@pytest.mark.skipif(not shutil.which("bash"), reason="no bash")
def test_bash(tmp_path: Path) -> None:
    (tmp_path / "coco here").mkdir()
    assert in_bash("cmd-score --metrics fid,k", tmp_path) == ["fid,kid"]
    # Beside names, files; and behind a colon only what bash lacks.
    assert in_bash("cmd-score --real coco", tmp_path) == ["coco2014-val", "coco here"]
    assert in_bash("cmd-score --check published:GR", tmp_path) == ["GR-GAN"]
    assert in_bash("cmd-score --check published:ITM", tmp_path) == [
        r"ITM\ without\ GRG\,\ lambda\ 4\,\ 1"
    ]


@pytest.mark.skipif(not shutil.which("fish"), reason="no fish")
def test_fish() -> None:
    script = """
    _CMD_SCORE_COMPLETE=fish_source cmd-score | source
    complete -C 'cmd-score --metrics fid,k'
    """
    path = f"{BIN}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(["fish", "--no-config", "-c", script], capture_output=True, text=True,
                          check=True, env={**os.environ, "PATH": path})  # fmt: skip
    assert done.stdout.split() == ["fid,kid"]


def test_zsh_is_told_values_whole() -> None:
    assert offered("cmd-score --metrics fid,k", "zsh") == ["plain", "fid,kid", "_"]
    assert offered("cmd-score --metrics fid,k", "fish") == ["plain,fid,kid"]
