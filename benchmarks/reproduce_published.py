"""Table 1's row of GR-GAN from the authors' released files and MS-COCO, as two commands.

    python benchmarks/reproduce_published.py --checkpoint checkpoint_0300.pth \\
        --itm ITM_model149.pth --captions captions_val2014.json --out runs/published
    python benchmarks/reproduce_published.py --stand-in --out runs/stand-in

See reproduce_published.md for where the files come from. `--stand-in` makes files of the same
formats, names and shapes with random weights, and 30 captions in COCO's layout, and runs the same
two commands on them: all is tried but the numbers.
"""

from __future__ import annotations

import json
import platform
import re
import shlex
import subprocess
import sys
import time
from pathlib import Path

import click
import open_clip
import torch
from safetensors.torch import save_file

from cmdmetric.scenes.drawing import draw_scene
from grgan_ref.config import Config
from grgan_ref.matching.itm import build_itm
from grgan_ref.networks.generator import Generator

#: Our names to the authors', for the generator and the ITM.
TO_RELEASED = [
    (r"^conditioning\.linear\.", "ca_net.fc."),
    (r"^initial\.linear\.", "h_net1.fc.0."),
    (r"^initial\.norm\.", "h_net1.fc.1."),
    (r"^initial\.upsample\.(\d+)\.conv\.", lambda m: f"h_net1.upsample{int(m[1]) + 1}.1."),
    (r"^initial\.upsample\.(\d+)\.norm\.", lambda m: f"h_net1.upsample{int(m[1]) + 1}.2."),
    (r"^to_image\.(\d+)\.", lambda m: f"img_net{int(m[1]) + 1}.img.0."),
    (r"^refine\.(\d+)\.", lambda m: f"h_net{int(m[1]) + 2}."),
    (r"\.memory\.gate_text\.", ".A."),
    (r"\.memory\.gate_image\.", ".B."),
    (r"\.memory\.write_text\.", ".M_w.0."),
    (r"\.memory\.write_image\.", ".M_r.0."),
    (r"\.memory\.(key|value|response_gate)\.", r".\1.0."),
    (r"\.residual\.(\d+)\.conv1\.", r".residual.\1.block.0."),
    (r"\.residual\.(\d+)\.norm1\.", r".residual.\1.block.1."),
    (r"\.residual\.(\d+)\.conv2\.", r".residual.\1.block.3."),
    (r"\.residual\.(\d+)\.norm2\.", r".residual.\1.block.4."),
    (r"\.upsample\.conv\.", ".upsample.1."),
    (r"\.upsample\.norm\.", ".upsample.2."),
    (r"^clip\.", "model."),
    (r"^heads\.region\.", "MLP.emb_features."),
    (r"^heads\.word\.", "MLP.dense_word."),
    (r"^heads\.word_norm\.", "MLP.LayerNorm."),
    (r"^heads\.sentence\.", "MLP.dense_sent."),
    (r"^heads\.image\.", "MLP.emb_cnn_code."),
]
#: The encoder of the published numbers.
ENCODER = "ViT-B-32-quickgelu"
#: Of the released evaluation (eval_coco.yml); images depend on the batch through its mask bug.
SEED, BATCH = "100", "5"


@click.command()
@click.option("--checkpoint", type=click.Path(path_type=Path), help="checkpoint_0300.pth.")
@click.option("--itm", type=click.Path(path_type=Path), help="ITM_model149.pth.")
@click.option("--captions", type=click.Path(path_type=Path), help="captions_val2014.json.")
@click.option("--weights", type=click.Path(path_type=Path), help="ViT-B-32.pt of OpenAI.  "
              "[default: caches, then an announced download]")  # fmt: skip
@click.option("--num", type=int, help="Images.  [default: 30000, of stand-ins 30]")
@click.option("--tolerance", default="2%", show_default=True, help="Of the published row.")
@click.option("--stand-in", is_flag=True, help="Random weights of the same shapes.")
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Folder for all of it.")
def main(
    checkpoint: Path | None,
    itm: Path | None,
    captions: Path | None,
    weights: Path | None,
    num: int | None,
    tolerance: str,
    stand_in: bool,
    out: Path,
) -> None:
    """Sample, score, and check against the published row; exits as cmd-score does."""
    out.mkdir(parents=True, exist_ok=True)
    encoder: list[str | Path] = ["--weights", weights] if weights else []
    if stand_in:
        checkpoint, itm, captions, random_weights = make_stand_ins(out / "released", num or 30)
        encoder = ["--model", ENCODER, "--weights", random_weights]
    if checkpoint is None or itm is None or captions is None:
        raise click.UsageError("give --checkpoint, --itm and --captions, or --stand-in")
    number = str(num or (30 if stand_in else 30000))
    run("grgan", "sample", checkpoint, captions, out / "samples", "--itm", itm, "--num", number,
        "--seed", SEED, "--batch", BATCH)  # fmt: skip
    status = run(
        "cmd-score", out / "samples", captions, "--real", "coco2014-val", *encoder, "-o",
        out / "score.json", "--check", "published:GR-GAN", "--tolerance", tolerance,
        allowed=(0, 1, 2),
    )  # fmt: skip
    if stand_in:
        status = judge_stand_in(out / "score.json", int(number))
    sys.exit(status)


def run(*words: str | Path, allowed: tuple[int, ...] = (0,)) -> int:
    """Show a command, run it, and tell how long it took. Exits where its status is not allowed."""
    command = [str(word) for word in words]
    click.echo(f"$ {shlex.join(command)}")
    start = time.perf_counter()
    status = subprocess.run(
        [str(Path(sys.executable).parent / command[0]), *command[1:]]
    ).returncode
    click.echo(f"# {time.perf_counter() - start:.0f} s, exit status {status}\n")
    if status not in allowed:
        sys.exit(status)
    return status


def judge_stand_in(score: Path, number: int) -> int:
    """0 where the run got as far as it can: to the check, which refuses random weights."""
    content = json.loads(score.read_text(encoding="utf-8"))
    reasons = content["check"]["meaningless"]
    expected = ("made with model", "30,000 generated images")
    ok = content["n"] == number and all(any(e in r for r in reasons) for e in expected)
    click.echo("stand-ins: " + ("all but the numbers was tried" if ok else "FAILED"))
    click.echo(
        f"{platform.machine()}, {torch.get_num_threads()} threads, torch {torch.__version__}"
    )
    return 0 if ok else 1


def make_stand_ins(folder: Path, number: int) -> tuple[Path, Path, Path, Path]:
    """The released files' names, formats and shapes, with random weights; and ViT-B/32's.

    The discriminators and optimisers of the released checkpoint are left out: sampling reads none.
    """
    folder.mkdir(parents=True, exist_ok=True)
    names = "checkpoint_0300.pth ITM_model149.pth captions_val2014.json ViT-B-32.safetensors"
    paths = [folder / name for name in names.split()]
    torch.manual_seed(0)
    config = Config.load("coco-released")
    generator = Generator(config).state_dict()
    torch.save({"epoch": 300, "netG": released(generator)}, paths[0])
    torch.save(released(build_itm(config, pretrained=False).state_dict()), paths[1])
    paths[2].write_text(json.dumps(coco_captions(number)), encoding="utf-8")
    clip = open_clip.CLIP(**open_clip.get_model_config(ENCODER)).state_dict()
    save_file({key: value.contiguous() for key, value in clip.items()}, paths[3])
    for path in paths:
        click.echo(f"stand-in {path}: {path.stat().st_size / 1e6:.0f} MB")
    return paths[0], paths[1], paths[2], paths[3]


def released(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """A state dict under the authors' names."""
    renamed = {}
    for key, value in state.items():
        for pattern, name in TO_RELEASED:
            key = re.sub(pattern, name, key)
        renamed[key] = value
    return renamed


def coco_captions(number: int) -> dict[str, list[dict[str, object]]]:
    """COCO's annotation layout, with captions of scenes: five an image."""
    ids = [42 + 31 * i for i in range(number)]
    return {
        "images": [{"id": i, "file_name": f"COCO_val2014_{i:012d}.jpg"} for i in ids],
        "annotations": [
            {"id": 5 * n + k, "image_id": i, "caption": text}
            for n, i in enumerate(ids)
            for k, text in enumerate(draw_scene(i).captions(5))
        ],
    }


if __name__ == "__main__":
    main()
