import hashlib
import json
import warnings

import pytest
import torch
from torch import nn

from grgan_ref.errors import GrganError
from grgan_ref.files import state

CONFIG = {"train": {"batch": 8, "rate": 0.1}, "sizes": [8, 16]}


def parts(seed=0):
    torch.manual_seed(seed)
    model = nn.Linear(3, 2)
    optimiser = torch.optim.Adam(model.parameters())
    model(torch.ones(1, 3)).sum().backward()
    optimiser.step()
    return {"model": model, "optimiser": optimiser}


def save(folder, *steps, keep=3):
    for step in steps:
        state.save(folder, step, parts(step), CONFIG, keep)


def test_round_trip(tmp_path):
    save(tmp_path, 10)
    restored = parts(99)
    assert state.resume(tmp_path, restored, CONFIG) == 10
    wanted = parts(10)
    assert torch.equal(restored["model"].weight, wanted["model"].weight)
    moments = [p["optimiser"].state_dict()["state"][0]["exp_avg"] for p in (restored, wanted)]
    assert torch.equal(*moments)


def test_nothing_to_resume(tmp_path):
    assert state.resume(tmp_path / "none", parts(), CONFIG) == 0


def test_the_newest_are_kept(tmp_path):
    save(tmp_path, 1, 2, 3, 4, keep=2)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "step-00000003.json",
        "step-00000003.pt",
        "step-00000004.json",
        "step-00000004.pt",
    ]


@pytest.mark.parametrize("damage", ["flip", "cut", "remove", "junk", "manifest"])
def test_the_checkpoint_before_a_corrupt_one_is_used(tmp_path, damage):
    save(tmp_path, 1, 2)
    file = tmp_path / "step-00000002.pt"
    content = bytearray(file.read_bytes())
    if damage == "flip":
        content[len(content) // 2] ^= 1
        file.write_bytes(content)
    elif damage == "cut":
        file.write_bytes(content[: len(content) // 2])
    elif damage == "remove":
        file.unlink()
    elif damage == "junk":
        file.write_bytes(b"junk")
    else:
        file.with_suffix(".json").write_text('{"step": 2')
    with pytest.warns(RuntimeWarning, match="step-00000002.* is corrupt"):
        assert state.resume(tmp_path, parts(), CONFIG) == 1


def test_all_corrupt_is_an_error(tmp_path):
    save(tmp_path, 1)
    (tmp_path / "step-00000001.pt").write_bytes(b"")
    with warnings.catch_warnings(), pytest.raises(GrganError, match="every checkpoint"):
        warnings.simplefilter("ignore")
        state.resume(tmp_path, parts(), CONFIG)


def test_what_is_whole_and_no_checkpoint_is_passed_over(tmp_path):
    save(tmp_path, 1, 2, 3)
    junk = b"\x80\x02t."  # a mark too few: the unpickler raises IndexError (found by fuzzing)
    (tmp_path / "step-00000003.pt").write_bytes(junk)
    manifest = {"step": 3, "sha256": hashlib.sha256(junk).hexdigest(), "config": CONFIG}
    (tmp_path / "step-00000003.json").write_text(json.dumps(manifest))
    (tmp_path / "step-00000002.json").write_text(json.dumps(manifest | {"step": "2"}))
    with pytest.warns(RuntimeWarning) as warned:
        assert state.resume(tmp_path, parts(9), CONFIG) == 1
    messages = [str(warning.message) for warning in warned]
    assert "step-00000003.pt holds no tensors" in messages[0]
    assert "step-00000002.json is corrupt" in messages[1]


def test_a_checkpoint_of_other_parts_is_an_error(tmp_path):
    save(tmp_path, 1)
    with pytest.raises(GrganError, match=r"step 1 does not fit this run \(discriminator: "):
        state.resume(tmp_path, {"discriminator": nn.Linear(3, 2)}, CONFIG)
    with pytest.raises(GrganError, match=r"step 1 does not fit this run \(model: .*size mismatch"):
        state.resume(tmp_path, {"model": nn.Linear(5, 2)}, CONFIG)


def test_a_checkpoint_exists_once_its_manifest_does(tmp_path):
    save(tmp_path, 1, 2)
    (tmp_path / "step-00000002.json").unlink()
    assert state.resume(tmp_path, parts(), CONFIG) == 1


def test_another_configuration_is_an_error_that_names_the_keys(tmp_path):
    save(tmp_path, 1)
    other = {"train": {"batch": 16, "rate": 0.1}, "sizes": [8, 16]}
    with pytest.raises(GrganError, match=r"train\.batch: 8 -> 16"):
        state.resume(tmp_path, parts(), other)


def test_a_failed_write_leaves_the_old_file(tmp_path):
    file = tmp_path / "file.json"
    state.write_json(file, {"a": 1})

    with pytest.raises(RuntimeError), state.new_file(file) as opened:
        opened.write(b"half")
        raise RuntimeError("disk full")
    assert json.loads(file.read_text()) == {"a": 1}
    assert [path.name for path in tmp_path.iterdir()] == ["file.json"]


def test_what_a_killed_run_was_writing_is_removed(tmp_path):
    save(tmp_path, 1)
    (tmp_path / ".step-00000002.pt.123.part").write_bytes(b"half")
    assert state.resume(tmp_path, parts(), CONFIG) == 1
    assert not list(tmp_path.glob(".*.part"))
