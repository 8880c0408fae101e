"""Table 1's rows with public weights, and Table 3, from the released files, as commands.

    python benchmarks/reproduce_published.py dmgan --files downloads/ --out runs/published
    python benchmarks/reproduce_published.py all --stand-in --out runs/stand-in

`grgan`, `attngan`, `dmgan` sample 30,000 images and check their score against the published row;
`table3` is retrieval. See reproduce_published.md for where the files come from and what they are
called. `--stand-in` makes files of the same formats, names, keys and shapes with random weights and
runs the same commands on them: all is tried but the numbers.
"""

from __future__ import annotations

import json
import pickle
import platform
import re
import shlex
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

import click
import open_clip
import torch
from safetensors.torch import save_file

from cmdmetric.scenes.drawing import draw_scene
from grgan_ref.config import Config
from grgan_ref.data import clean
from grgan_ref.matching.damsm import DAMSM
from grgan_ref.matching.itm import build_itm
from grgan_ref.matching.vocabulary import Vocabulary
from grgan_ref.networks.generator import Generator


@dataclass(frozen=True)
class System:
    """A row of Table 1: its files, by the names that the authors gave them, and its batch."""

    row: str
    generator: str
    matcher: str
    batch: int  # of the released sampling; images depend on it through the mixed masks
    preset: str


SYSTEMS = {
    "grgan": System("GR-GAN", "checkpoint_0300.pth", "ITM_model149.pth", 5, "coco-released"),
    "attngan": System("Attn-GAN", "coco_AttnGAN2.pth", "DAMSM", 100, "attn-released"),
    "dmgan": System("DM-GAN", "coco_DMGAN.pth", "DAMSM", 10, "dmgan-released"),
}
#: Our names to the authors'.
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
    (r"\.attention\.project\.", ".att.conv_context."),
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
    (r"^text\.embedding\.", "encoder."),
    (r"^text\.lstm\.", "rnn."),
    (r"^region\.", "emb_features."),
    (r"^image\.", "emb_cnn_code."),
    (r"^network\.", ""),
]
#: The encoder of the published numbers, and the two CLIPs of Table 3.
ENCODER, CLIPS = "ViT-B-32-quickgelu", ("ViT-B-32-quickgelu", "RN101-quickgelu")
#: Of the released evaluation.
SEED = "100"
#: Words of the released COCO vocabulary, with the end of a caption.
WORDS = 27297


@click.command()
@click.argument("what", type=click.Choice([*SYSTEMS, "table3", "all"]))
@click.option("--files", type=click.Path(path_type=Path), help="The folder of downloads.")
@click.option("--num", type=int, help="Images.  [default: 30000 and 1000, of stand-ins 10]")
@click.option("--tolerance", default="2%", show_default=True, help="Of the published row.")
@click.option("--stand-in", is_flag=True, help="Random weights of the same shapes.")
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Folder for all of it.")
def main(
    what: str, files: Path | None, num: int | None, tolerance: str, stand_in: bool, out: Path
) -> None:
    """Sample, score, and check against the published rows; exits as cmd-score does."""
    chosen = [*SYSTEMS, "table3"] if what == "all" else [what]
    out.mkdir(parents=True, exist_ok=True)
    if stand_in:
        num, files = num or 10, out / "released"
        make_stand_ins(files, num, chosen)
    if files is None:
        raise click.UsageError("give --files, or --stand-in")
    statuses = [
        retrieval(files, num or 1000, stand_in)
        if name == "table3"
        else evaluation(SYSTEMS[name], files, out / name, num or 30000, tolerance, stand_in)
        for name in chosen
    ]
    if stand_in:
        click.echo("stand-ins: " + ("FAILED" if any(statuses) else "all but the numbers was tried"))
        click.echo(
            f"{platform.machine()}, {torch.get_num_threads()} threads, torch {torch.__version__}"
        )
    sys.exit(max(statuses))


def evaluation(
    system: System, files: Path, out: Path, number: int, tolerance: str, stand_in: bool
) -> int:
    """Sample, score with FID and IS, check."""
    run("grgan", "sample", files / system.generator, files / "coco", out / "samples",
        "--matcher", files / system.matcher, "--num", number, "--seed", SEED,
        "--batch", system.batch)  # fmt: skip
    encoder: list[str | Path] = []
    if stand_in:
        encoder = ["--model", ENCODER, "--weights", files / f"{ENCODER}.safetensors",
                   "--inception-weights", files / "inception.pth"]  # fmt: skip
    status = run(
        "cmd-score", out / "samples", files / "captions_val2014.json", "--real", "coco2014-val",
        "--metrics", "fid,is", "--inception-real", files / "val2014", *encoder,
        "-o", out / "score.json", "--check", f"published:{system.row}", "--tolerance", tolerance,
        allowed=(0, 1, 2),
    )  # fmt: skip
    return judge_stand_in(out / "score.json", number) if stand_in else status


def retrieval(files: Path, number: int, stand_in: bool) -> int:
    """Table 3, all four rows."""
    clips = [f"{n}={files / n}.safetensors" if stand_in else f"{n}/openai" for n in CLIPS]
    return run("grgan", "retrieval", "--matcher", files / "DAMSM", "--clip", clips[0],
               "--clip", clips[1], "--matcher", files / "ITM_model149.pth",
               "--kind", "coco", "--data", files / "coco", "--num", number)  # fmt: skip


def run(*words: object, allowed: tuple[int, ...] = (0,)) -> int:
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
    if not score.is_file():
        return 1
    content = json.loads(score.read_text(encoding="utf-8"))
    reasons = content["check"]["meaningless"]
    expected = ("made with model", "30,000 generated images")
    measured = {"fid", "is"} <= content["metrics"].keys()
    refused = all(any(e in r for r in reasons) for e in expected)
    return 0 if content["n"] == number and measured and refused else 1


# --- stand-ins ----------------------------------------------------------------------------------


def make_stand_ins(folder: Path, number: int, chosen: list[str]) -> None:
    """Make the released files' names, formats and shapes, with random weights.

    The discriminators and optimisers of GR-GAN's checkpoint are left out: sampling reads none.
    """
    folder.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(0)
    texts = write_coco(folder, number)
    for name, system in SYSTEMS.items():
        if name in chosen:
            state = released(Generator(Config.load(system.preset)).state_dict())
            if name == "grgan":
                torch.save({"epoch": 300, "netG": state}, folder / system.generator)
            else:  # of PyTorch 0.3 and 0.4
                write_old(state, folder / system.generator)
    if {"grgan", "table3"} & set(chosen):
        config = Config.load("coco-released")
        state = released(build_itm(config, pretrained=False).state_dict())
        torch.save(state, folder / "ITM_model149.pth")
    if {"attngan", "dmgan", "table3"} & set(chosen):
        write_damsm(folder / "DAMSM", texts)
    for name in {ENCODER, *(CLIPS if "table3" in chosen else ())}:
        clip = open_clip.CLIP(**open_clip.get_model_config(name)).state_dict()
        save_file({k: v.contiguous() for k, v in clip.items()}, folder / f"{name}.safetensors")
    write_inception(folder / "inception.pth")
    for path in sorted(folder.rglob("*")):
        if path.suffix in (".pth", ".safetensors", ".pickle"):
            click.echo(f"stand-in {path}: {path.stat().st_size / 1e6:.0f} MB")


def write_coco(folder: Path, number: int) -> list[str]:
    """COCO's annotations, and the authors' data/coco beside them; return all captions."""
    ids = [42 + 31 * i for i in range(number)]
    names = [f"COCO_val2014_{i:012d}" for i in ids]
    captions = [draw_scene(i).captions(5) for i in ids]
    annotations = {
        "images": [{"id": i, "file_name": f"{n}.jpg"} for i, n in zip(ids, names, strict=True)],
        "annotations": [
            {"id": 5 * n + k, "image_id": i, "caption": text}
            for n, (i, own) in enumerate(zip(ids, captions, strict=True))
            for k, text in enumerate(own)
        ],
    }
    (folder / "captions_val2014.json").write_text(json.dumps(annotations), encoding="utf-8")
    for place in ("coco/text", "coco/images", "coco/train", "coco/test", "val2014"):
        (folder / place).mkdir(parents=True, exist_ok=True)
    for i, name, own in zip(ids, names, captions, strict=True):
        (folder / "coco" / "text" / f"{name}.txt").write_text("\n".join(own))
        for place in ("coco/images", "val2014"):
            draw_scene(i).render(256).save(folder / place / f"{name}.jpg")
    for split in ("train", "test"):
        file = folder / "coco" / split / "filenames.pickle"
        file.write_bytes(pickle.dumps(names, protocol=2))
    return [text for own in captions for text in own]


def write_damsm(folder: Path, texts: list[str]) -> None:
    """Both encoders and captions.pickle, whose words are those of the captions and made ones."""
    folder.mkdir(exist_ok=True)
    words = sorted({word for text in texts for word in clean(text).split()})
    words += [f"word{i}" for i in range(WORDS - 1 - len(words))]
    numbered = dict(enumerate(["<end>", *words]))
    content = [[], [], numbered, {word: number for number, word in numbered.items()}]
    (folder / "captions.pickle").write_bytes(pickle.dumps(content, protocol=2))
    damsm = DAMSM(Config.load("dmgan-released"), Vocabulary(words))
    parts: dict[str, dict[str, torch.Tensor]] = {"text": {}, "image": {}}
    for key, value in damsm.state_dict().items():
        side = "text" if key.startswith("text.") else "image"
        parts[side] |= released({key: value})
    for side, state in parts.items():
        write_old(state, folder / f"{side}_encoder100.pth")


def write_old(state: Mapping[str, torch.Tensor], path: Path) -> None:
    """As PyTorch before 0.4.1 wrote: without counters of batches, in the format before archives."""
    kept = {key: value for key, value in state.items() if "num_batches" not in key}
    torch.save(kept, path, _use_new_zipfile_serialization=False)


def write_inception(path: Path) -> None:
    """A random Inception of torch-fidelity, whose features differ between images."""
    from torch_fidelity import feature_extractor_inceptionv3 as theirs

    class Blank(theirs.FeatureExtractorInceptionV3):
        def load_state_dict(self, state: object) -> None:
            """Keep what the layers were made with."""

    with mock.patch.object(theirs, "load_state_dict_from_url", lambda *_, **__: {}):
        network = Blank("stand-in", ["2048"])
    for layer in network.modules():
        if isinstance(layer, torch.nn.Conv2d):
            torch.nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
        elif isinstance(layer, torch.nn.Linear):
            torch.nn.init.normal_(layer.weight, std=0.5)
    torch.save(network.state_dict(), path)


def released(state: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """A state dict under the authors' names."""
    renamed = {}
    for key, value in state.items():
        for pattern, name in TO_RELEASED:
            key = re.sub(pattern, name, key)
        renamed[key] = value
    return renamed


if __name__ == "__main__":
    main()
