"""What the shells are told: by the programs themselves, and once through bash."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.support.commands import BIN


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
        (
            "cmd-score s/ captions.json --metrics clip_",
            ["plain,clip_cosine", "plain,clip_kid", "plain,clip_mind", "plain,clip_cfid"],
        ),
        ("cmd-score --metrics fid,kid,fj", ["plain,fid,kid,fjd"]),
        # As bash parts words at colons, which it keeps.
        ("cmd-score --metrics fid,clipscore : h", ["plain,hessel"]),
        ("cmd-score --metrics prdc :", ["plain,k3"]),
        ("cmd-score s3 : //bucket/images --metrics prdc : k", ["plain,k3"]),
        ("cmdmetric prompts coco2017", ["plain,coco2017-val-5k"]),
        ("cmd-score --model sc", ["file,sc", "plain,scenes-toy"]),
        ("cmd-score --model ViT-B-32/op", ["file,ViT-B-32/op", "plain,ViT-B-32/openai"]),
        ("cmd-score --protocol c", ["file,c", "plain,clip"]),
        ("cmd-score --real coco", ["file,coco", "plain,coco2014-val"]),
        ("cmd-score --report r", ["file,r"]),
        ("cmdmetric c", ["plain,cache", "plain,cite", "plain,compare"]),
        ("cmdmetric cache v", ["plain,verify"]),
        ("cmdmetric score --protocol g", ["file,g", "plain,grgan"]),
        ("cmdmetric moments --side t", ["plain,text"]),
        ("grgan train-i", ["plain,train-itm"]),
        ("grgan train --preset scenes-s", ["file,scenes-s", "plain,scenes-small"]),
        ("grgan train --base dmgan-it", ["file,dmgan-it", "plain,dmgan-it", "plain,dmgan-it-grg"]),
        ("grgan train --set train.ba", ["plain,train.batch="]),
        ("grgan sample scenes", ["file,scenes", "plain,scenes-small"]),
        ("grgan ablate 2 --rows attn-da,plai", ["plain,attn-da,plain"]),
        ("grgan ablate --rows attn-da,plai", [""]),
    ],
)  # fmt: skip
def test_names_and_files(line: str, expected: list[str]) -> None:
    assert offered(line) == expected


def test_answers_are_quick() -> None:
    torch, arrays = (" torch", " open_clip"), (" scipy", " numpy", " PIL")
    for program, line, heavy in (
        # The metrics are declared beside what computes them.
        ("cmdmetric", "score --metrics f", torch),
        ("cmdmetric", "score --model s", (*torch, *arrays)),
        ("cmdmetric", "score --real c", (*torch, *arrays)),
        ("grgan", "train --preset s", (*torch, *arrays)),
    ):
        module = "grgan_ref" if program == "grgan" else "cmdmetric"
        name = f"_{program.upper()}_COMPLETE"
        words = {name: "bash_complete", "COMP_WORDS": f"{program} {line}", "COMP_CWORD": "3"}
        start = time.perf_counter()
        done = subprocess.run(
            [sys.executable, "-X", "importtime", "-m", module],
            env={**os.environ, **words}, capture_output=True, text=True, check=True,
        )  # fmt: skip
        # 0.1 to 0.5 s on an idle core.
        assert time.perf_counter() - start < 5
        assert done.stdout
        assert not any(module in done.stderr for module in heavy)


def in_bash(line: str, folder: Path) -> list[str]:
    """What a real bash would offer: COMPREPLY, in which files are not."""
    version = ["bash", "-c", "echo $(( BASH_VERSINFO[0] * 100 + BASH_VERSINFO[1] ))"]
    if int(subprocess.run(version, capture_output=True, text=True, check=True).stdout) < 404:
        pytest.skip("bash before 4.4 has no `complete -o nosort`")
    script = f"""
    eval "$(_CMD_SCORE_COMPLETE=bash_source cmd-score)"
    compopt() {{ :; }}
    COMP_WORDS=({line}) COMP_CWORD=$(( ${{#COMP_WORDS[@]}} - 1 ))
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
    assert in_bash("cmd-score --metrics fid,prd", tmp_path) == [
        "fid,prdc", "fid,prdc_dinov2", "fid,prdc:k3",
    ]  # fmt: skip
    # The marker of files comes first and does not take the names away.
    assert in_bash("cmd-score --real coco", tmp_path) == ["coco2014-val"]
    assert in_bash("cmd-score --real photos", tmp_path) == [""]


def test_zsh_is_told_lists_whole() -> None:
    assert offered("cmd-score --metrics fid,fj", "zsh") == ["plain", "fid,fjd", "_"]
