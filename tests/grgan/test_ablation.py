"""Every system of the tables builds and trains; `grgan ablate` resumes; its table is true."""

import json
import re
import time
from functools import cache

import numpy as np
import pytest
import torch
from PIL import Image
from scipy import stats

from cmdmetric import published
from cmdmetric.encoders import Inception
from grgan_ref import losses
from grgan_ref.ablation.claims import CLAIMS, contrast, to_markdown as to_claims
from grgan_ref.ablation.rows import TABLES, Row, choose
from grgan_ref.ablation.table import interval, to_markdown
from grgan_ref.config import Config
from grgan_ref.data import middle_square
from grgan_ref.data.sources import scenes
from grgan_ref.errors import GrganError
from grgan_ref.model import load_model
from grgan_ref.networks.discriminator import build_discriminators
from grgan_ref.networks.generator import Generator
from grgan_ref.training import gan_step
from tests.support.commands import started
from tests.support.grgan_runs import (
    clip_folder,
    flags,
    folder,
    grgan,
    itm_run,
    settings,
    succeed,
)

SYSTEMS = [row for table in TABLES.values() for row in table.rows]
SYSTEMS = list({row.key: row for row in SYSTEMS}.values())
B, L = 4, 6


class Eye:
    """A matcher that sees regions and a code by two fixed projections; counts what it is shown."""

    def __init__(self, dim):
        torch.manual_seed(1)
        self.region, self.code, self.shown = torch.randn(dim, 3), torch.randn(dim, 3), []

    def encode_image(self, images):
        self.shown.append(images.shape[2])
        regions = torch.einsum("ec,bchw->behw", self.region, images[:, :, ::4, ::4])
        return regions, images.mean(dim=(2, 3)) @ self.code.t()


def config_of(row):
    small = settings()
    return row.config("scenes-tiny", {key: str(value) for key, value in small.items()})


def one_step(config):
    """Losses of one step from fixed weights and text, the matcher and the models behind it."""
    torch.manual_seed(0)
    generator, discriminators = Generator(config).train(), build_discriminators(config).train()
    dim, model = config.model.embedding_dim, config.model
    torch.manual_seed(2)
    lengths = torch.tensor([6, 4, 4, 2])
    batch = gan_step.Batch(
        images=[torch.rand(B, 3, s.size, s.size) * 2 - 1 for s in model.stages],
        sentence=torch.randn(B, dim),
        words=torch.randn(B, dim, L),
        mask=torch.arange(L) >= lengths[:, None],
        lengths=lengths,
        z=torch.randn(B, model.noise_dim),
        eps=torch.randn(B, model.condition_dim),
    )
    models = gan_step.Models(
        generator,
        discriminators,
        torch.optim.Adam(generator.parameters(), 1e-3),
        [torch.optim.Adam(d.parameters(), 1e-3) for d in discriminators],
    )
    matcher = Eye(dim)
    terms = gan_step.gan_step(models, matcher, batch, config)
    return terms, matcher, generator


@pytest.mark.slow
@pytest.mark.parametrize("row", SYSTEMS, ids=lambda row: row.key)
def test_every_system_trains(row):
    config = config_of(row)
    terms, matcher, generator = one_step(config)
    assert all(torch.isfinite(term).all() for term in terms.values())
    matched = {name for name in terms if name.startswith(("sentence", "word"))}
    kinds = [stage.kind for stage in config.model.stages]
    expected = set()
    if "none" not in row.preset and row.preset != "plain":
        for k, kind in enumerate(kinds, 1):
            if kind == "S":
                expected |= {f"sentence_{k}"}
            elif kind == "W" or (kind == "J" and k == len(kinds)):
                expected |= {f"sentence_{k}", f"word_{k}"}
    assert matched == expected
    assert len(matcher.shown) == len({name[-1] for name in expected})
    # Every parameter is there for something, but for what the repeated sentence makes idle, and
    # what the matching losses would have to reach.
    idle = ("memory.key", "memory.gate", "attention.project")
    for name, parameter in generator.named_parameters():
        assert parameter.grad is not None or any(part in name for part in idle), name


@pytest.mark.slow
def test_the_systems_differ():
    results = {}
    for row in TABLES["2"].rows:
        terms, _, generator = one_step(config_of(row))
        shape = sum(parameter.numel() for parameter in generator.parameters())
        adversarial = float(terms["adversarial_3"])
        results[row.key] = (shape, round(adversarial, 6), "word_3" in terms)
    assert len({results[key][0] for key in ("attn-da", "dmgan-da", "plain")}) == 3
    for backbone in ("attn", "dmgan"):
        none, da, grg = (results[f"{backbone}-{m}"] for m in ("none", "da", "da-grg"))
        assert none[0] == da[0]  # the generator's size is not the module's matter
        assert (none[2], da[2], grg[2]) == (False, True, True)
        assert da[1] != grg[1]


def test_joint_generator_loss():
    """Both judgements of every stage count, with nothing else but the KL term."""
    config = config_of(Row("", "dmgan-none"))
    terms, _, _ = one_step(config)
    parts = [terms[f"adversarial_{k}"] for k in (1, 2, 3)] + [config.loss.kl * terms["kl"]]
    assert float(terms["generator"]) == pytest.approx(float(sum(parts)), rel=1e-6)

    torch.manual_seed(3)
    discriminator = build_discriminators(config)[0].eval()
    dim = config.model.embedding_dim
    images, sentence = torch.rand(B, 3, 8, 8), torch.randn(B, dim)
    output = type(
        "Output", (), {"images": [images], "mu": torch.zeros(1), "logvar": torch.zeros(1)}
    )
    features = discriminator.features(images)
    expected = losses.real_loss(discriminator.unconditional(features)) + losses.real_loss(
        discriminator.conditional(features, sentence)
    )
    one_stage = Config.load(
        "dmgan-none",
        {"model.stages": [{"kind": "J", "size": 8}], "order": "J", **settings()},
        "scenes-tiny",
    )
    batch = gan_step.Batch([images], sentence, None, None, None, None, None)
    found = gan_step.generator_losses(output, [discriminator], None, batch, one_stage)
    torch.testing.assert_close(found["adversarial_1"], expected)


# --- rows --------------------------------------------------------------------------------------


def test_rows_of_equal_configuration_share_their_key():
    shared = {"dmgan-it-grg": {"2", "6"}, "dmgan-it": {"2", "4"}}
    for key, tables in shared.items():
        assert {name for name, t in TABLES.items() if key in {r.key for r in t.rows}} == tables
    by_key = {}
    for row in (row for table in TABLES.values() for row in table.rows):
        config = row.config("scenes-tiny", {})
        assert by_key.setdefault(row.key, config) == config
    different = {json.dumps(config.to_dict()) for config in by_key.values()}
    assert len(different) == len(by_key)


def test_every_row_of_the_paper_is_there_by_its_name():
    for number in (2, 4, 6):
        ours = [row for row in TABLES[str(number)].rows if row.published is not None]
        assert {row.published for row in ours} == {number}
        assert [row.name for row in ours] == [row.name for row in published.table(number).rows]


def test_table_4_is_the_itm_without_grg_at_the_papers_weights():
    rows = TABLES["4"].rows
    for row, told in zip(rows, published.table(4).rows, strict=True):
        config = row.config("coco", {})
        assert [stage.kind for stage in config.model.stages] == ["J", "J", "J"]
        assert config.model.matcher == "itm" and config.model.refinement == "dmgan"
        assert told.name.endswith(f"lambda {config.loss.lambda1:g}, {config.loss.lambda2:g}")
    # Where a base has weights of its own they are multiplied alike.
    base = Config.load("scenes-tiny").loss
    loss = rows[-1].config("scenes-tiny", {}).loss
    assert loss.lambda1 == pytest.approx(5 / 4 * base.lambda1)
    assert loss.lambda2 == pytest.approx(2 * base.lambda2)


def test_an_interval_has_the_spread_of_the_seeds():
    # By hand: mean 5, deviation sqrt(20 / 3), t of 3 degrees of freedom 3.182.
    mean, half = interval([2.0, 4.0, 6.0, 8.0], [0.5, 0.5, 0.5, 0.5])
    assert mean == 5
    assert half == pytest.approx(
        (3.1824463**2 * 20 / 3 / 4 + (1.959964 * 0.5) ** 2) ** 0.5, rel=1e-4
    )
    assert interval([2.0], [0.5]) == (2.0, pytest.approx(1.959964 * 0.5))


def test_claims_name_rows_of_their_tables():
    assert set(CLAIMS) == set(TABLES)
    for table, claims in CLAIMS.items():
        keys = {row.key for row in TABLES[table].rows}
        assert {key for claim in claims for pair in claim.pairs for key in pair} <= keys


def test_a_contrast_of_two_rows_is_welchs():
    """scipy's own interval of Welch's test; both are exact formulas, to rounding."""
    rng = np.random.default_rng(0)
    values = {"a": rng.normal(3, 1, 4).tolist(), "b": rng.normal(5, 4, 6).tolist()}
    found = contrast({"a": 1, "b": -1}, values)
    welch = stats.ttest_ind(values["a"], values["b"], equal_var=False).confidence_interval(0.95)
    assert (found.value - found.half, found.value + found.half) == pytest.approx(welch, rel=1e-9)


def test_a_contrast_of_several_rows_covers_its_truth():
    """Rows of unlike spread, one in two pairs, three seeds each: 95 % within 4 standard errors."""
    rng = np.random.default_rng(1)
    weights = {"none": -1.0, "da": 0.5, "it": 0.5}
    trials, truth = 4000, 0.5 * (2 + 4) - 7
    covered = 0
    for _ in range(trials):
        means = (("none", 7, 2.0), ("da", 2, 1.5), ("it", 4, 3.0))
        values = {key: rng.normal(mean, spread, 3).tolist() for key, mean, spread in means}
        found = contrast(weights, values)
        covered += abs(found.value - truth) < found.half
    assert 0.95 - 4 * 0.0035 < covered / trials < 0.98


def rows_of(**cmds):
    return [
        {"key": key, "name": key, "runs": [{"stages": [{"cmd": cmd}]} for cmd in several]}
        for key, several in cmds.items()
    ]


def test_claims_are_decided_by_seeds_or_not_at_all():
    rows = rows_of(**{
        "attn-none": [20.0, 21.0, 22.0], "attn-da": [10.0, 11.0, 12.0],
        "attn-it": [10.5, 11.5, 12.9], "attn-it-grg": [30.0, 31.0, 32.0],
    })  # fmt: skip
    rows[0]["runs"].append({"failed": "the loss is not finite"})
    text = to_claims("2", rows)
    assert "| attn-da against attn-none | -10.00 ± 2.27 | shown |" in text
    assert "| attn-it against attn-da | +0.63 ± " in text and "| not shown; smaller than 3." in text
    assert "| attn-it-grg against attn-it | +19.37 ± " in text
    assert text.count("the contrary is shown") == 1
    assert text.count("**mean of these**") == 1  # of the two pairs with none; DM-GAN has no rows
    assert to_claims("2", rows_of(**{"attn-none": [20.0], "attn-da": [10.0]})) == ""


def test_orders_of_table_6():
    kinds = [
        "".join(s.kind for s in row.config("scenes-tiny", {}).model.stages)
        for row in TABLES["6"].rows
    ]
    assert kinds == ["ISW", "IWS", "SWI"]


def test_choice_of_rows():
    assert [row.key for row in choose("2", ["attn-da", "DM-GAN+IT"])] == ["attn-da", "dmgan-it"]
    assert len(choose("2", [])) == 11
    with pytest.raises(GrganError, match="table 6 has no row 'attn-da'; there is dmgan-it-grg, "):
        choose("6", ["attn-da"])


# --- the command -------------------------------------------------------------------------------

SETTINGS = {
    "itm__steps": 2,
    "damsm__steps": 2,
    "damsm__batch": 8,
    "train__checkpoint_every": 2,
}


def arguments(out, table, rows, *more):
    start = ["ablate", table, "--out", out, f"--rows={rows}", f"--score-model={clip_folder()}"]
    return [*start, "--samples=30", "--device=cpu", *flags(**SETTINGS), *more]


@cache
def grid():
    """Two rows of Table 2, two steps each, never interrupted."""
    out = folder() / "grid"
    succeed(*arguments(out, "2", "dmgan-none,dmgan-it-grg", "--steps=2"))
    return out


def test_a_table_of_two_rows():
    table = json.loads((grid() / "table2.json").read_text())
    assert [row["key"] for row in table["rows"]] == ["dmgan-none", "dmgan-it-grg"]
    for row in table["rows"]:
        (run,) = row["runs"]
        (stage,) = run["stages"]
        assert (stage["stage"], stage["size"]) == (3, 32)
        assert stage["cmd"] == pytest.approx(stage["dis_fr"] + stage["itdis"])
        assert stage["standard_error"]["cmd"] > 0
        with Image.open(grid() / "grids" / f"{row['key']}-seed0.png") as picture:
            assert picture.width == 8 * 160
    assert table["training_images"]["cmd"] > 0
    text = (grid() / "table2.md").read_text()
    assert text == to_markdown(table)
    assert "| DM-GAN+IT+GRG | 3 (32 px) |" in text
    assert "| 22.58 | 0.80 | 8.04 |" in text  # the published row
    assert "FID" not in text.split("paper:")[0]  # no weights of Inception at hand
    assert re.search(r"f:30@\w+\|r:30@\w+\|l:150@\w+\|", text)


def test_a_finished_table_is_not_computed_again(monkeypatch):
    before = (grid() / "table2.json").read_text()

    def never(*arguments, **options):
        raise AssertionError("a finished row was sampled again")

    monkeypatch.setattr("grgan_ref.model.TextToImage._batch", never)
    monkeypatch.setattr("grgan_ref.ablation.run.write_samples", lambda *a, **o: None)
    result = succeed(
        *arguments(grid(), "2", "dmgan-none,dmgan-it-grg", "--steps=2", "--format=json")
    )
    assert json.loads(result.stdout) == json.loads(before)
    assert (grid() / "table2.json").read_text() == before


@pytest.mark.slow
def test_killed_and_resumed_ends_in_the_same_table(tmp_path):
    command = arguments(tmp_path, "2", "dmgan-none,dmgan-it-grg", "--steps=2")
    process = started("grgan", *command, folder=tmp_path / "said", OMP_NUM_THREADS="1")
    deadline = time.monotonic() + 120
    while not (tmp_path / "table2.json").exists():  # the first row is done, the second begins
        assert process.is_alive() and time.monotonic() < deadline
        time.sleep(0.01)
    process.kill()
    process.join()
    assert len(json.loads((tmp_path / "table2.json").read_text())["rows"]) == 1
    succeed(*command)
    assert (tmp_path / "table2.json").read_text() == (grid() / "table2.json").read_text()


def test_seeds_and_stages_of_table_6(tmp_path):
    succeed(*arguments(tmp_path, "6", "S-W-I", "--steps=1", "--seeds=3,4"))
    table = json.loads((tmp_path / "table6.json").read_text())
    (row,) = table["rows"]
    assert [run["seed"] for run in row["runs"]] == [3, 4]
    assert [stage["size"] for stage in row["runs"][0]["stages"]] == [8, 16, 32]
    values = [run["stages"][0]["cmd"] for run in row["runs"]]
    assert values[0] != values[1]
    text = (tmp_path / "table6.md").read_text()
    assert "CMD of seeds 3, 4" in text
    assert f"| {values[0]:.2f}, {values[1]:.2f} |" in text
    assert f"| S-W-I | 1 (8 px) | {sum(values) / 2:.2f} ± " in text


def test_a_row_that_diverges_is_noted_and_the_next_begins(tmp_path):
    rate = "--set=train.generator_rate=1e30"
    succeed(*arguments(tmp_path, "2", "dmgan-none", "--steps=3", rate))
    table = json.loads((tmp_path / "table2.json").read_text())
    assert "step " in table["rows"][0]["runs"][0]["failed"]
    assert "| DM-GAN, no matching, seed 0 |  | step " in (tmp_path / "table2.md").read_text()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["ablate", "3"], "'3' is not one of"),
        (["ablate", "2", "--rows=attn"], "table 2 has no row 'attn'"),
        (["ablate", "2", "--seeds=a"], "write numbers separated by commas"),
        (["ablate", "2", "--seeds=1,1"], "a seed comes twice"),
        (["ablate", "2", "--preset=nowhere"], "'nowhere': neither a preset"),
        (["ablate", "2", "--set=train.bach=3"], "nearest known is 'train.batch'"),
        (["ablate", "2", "--preset=coco"], "give --data ROOT"),
    ],
)
def test_wrong_usage(tmp_path, arguments, message):
    result = grgan(*arguments, "--out", tmp_path / "out")
    assert result.exit_code == 2
    assert message in result.stderr
    assert not result.stdout
    assert not (tmp_path / "out").exists()


def test_another_configuration_in_the_same_folder_is_refused():
    result = grgan(
        *arguments(grid(), "2", "dmgan-none", "--steps=4"), "--set=model.residual_blocks=2"
    )
    assert result.exit_code == 2
    assert "residual_blocks: 1 -> 2" in result.stderr


def test_trained_matchers_and_fid(tmp_path, inception_weights):
    own = ["--matcher", itm_run(), "--inception-weights", inception_weights, "--seeds=0,1"]
    shared = arguments(tmp_path, "2", "dmgan-it-grg", "--steps=1", *own)
    shared[shared.index("--samples=30")] = "--samples=6"
    succeed(*shared)
    assert not (tmp_path / "matchers").exists()
    table = json.loads((tmp_path / "table2.json").read_text())
    runs = [run["stages"][0] for run in table["rows"][0]["runs"]]
    assert all(run["fid"] > 0 for run in runs)
    # FID is that of the same images, by the roots of the small side of both covariances.
    model = load_model(tmp_path / "runs" / "dmgan-it-grg-seed0", torch.device("cpu"))
    held_out = scenes("val", 6)
    captions = [own[0] for own in held_out.captions]
    images = model.generate(captions, [f"0 {i} {text}" for i, text in enumerate(captions)])[-1]
    real = np.stack([middle_square(held_out, i, 32) for i in range(6)])
    network = Inception(inception_weights)
    f, r = (network.encode_pixels(x).pool.astype(np.float64) for x in (images, real))
    centred = [x - x.mean(axis=0) for x in (f, r)]
    roots = np.linalg.svd(centred[0] @ centred[1].T, compute_uv=False).sum() / (6 - 1)
    traces = sum(np.square(x).sum() / (6 - 1) for x in centred)
    fid = np.square(f.mean(axis=0) - r.mean(axis=0)).sum() + traces - 2 * roots
    assert runs[0]["fid"] == pytest.approx(fid, rel=1e-4)
    text = (tmp_path / "table2.md").read_text()
    mean, half = interval(
        [run["cmd"] for run in runs], [run["standard_error"]["cmd"] for run in runs]
    )
    assert f"| {mean:.2f} ± {half:.2f} |" in text and "| FID | CMD of seeds" in text
    assert half > abs(runs[0]["cmd"] - runs[1]["cmd"])  # as two seeds alone tell little
