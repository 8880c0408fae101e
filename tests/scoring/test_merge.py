"""Shards of a set, made by jobs that know nothing of each other, and what they merge to."""

from __future__ import annotations

import itertools
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import given, strategies as st

from cmdmetric import Encoder, InputError, Moments, cmd
from cmdmetric.cli.main import main
from cmdmetric.inputs.captions import Captions
from cmdmetric.inputs.images import open_images
from cmdmetric.inputs.shards import Listing, Shard
from cmdmetric.scoring.stored.merging import merge
from cmdmetric.scoring.stored.storing import stored_set
from cmdmetric.scoring.stored_sets import StoredSet
from tests.support.toy import DIMENSIONS

pytestmark = pytest.mark.filterwarnings("ignore:.*too few for:UserWarning")


TEXTS = [f"a {c} {t}" for c in ("red", "blue", "old") for t in ("cat", "dog", "bus", "cup", "kite")]
CAPTIONS = Captions(tuple(TEXTS), tuple(f"#{i % 10}" for i in range(len(TEXTS))))


def cut(
    source: object, count: int, encoder: Encoder, folder: Path, which: Sequence[int] | None = None,
    **options: object,
) -> list[Path]:  # fmt: skip
    """Shard files of a set, by default all."""
    folder.mkdir(exist_ok=True)
    paths = []
    for index in range(count) if which is None else which:
        made = stored_set(source, shard=Shard(index, count), encoder=encoder, **options)  # type: ignore[arg-type]
        paths.append(folder / f"part-{index}.npz")
        made.save(paths[-1])
    return paths


class TestShard:
    @given(st.integers(0, 200), st.integers(1, 40), st.integers(1, 9))
    def test_shards_cover_a_set_once(self, size: int, count: int, block: int) -> None:
        shards = [Shard(index, count, block) for index in range(count)]
        ranges = [shard.range(size) for shard in shards]
        assert [position for own in ranges for position in own] == list(range(size))
        assert max(map(len, ranges)) - min(map(len, ranges)) <= 2 * block - 1
        assert all(own.start % block == 0 or not own for own in ranges)
        streamed = [list(shard.stride(range(size))) for shard in shards]
        assert sorted(position for own in streamed for position in own) == list(range(size))
        assert max(map(len, streamed)) - min(map(len, streamed)) <= block

    @pytest.mark.parametrize("text", ["3", "3/", "a/4", "-1/4", "1/4/2", "1.0/4", ""])
    def test_what_is_no_shard(self, text: str) -> None:
        with pytest.raises(InputError, match="INDEX/COUNT"):
            Shard.parse(text)

    @pytest.mark.parametrize("text", ["4/4", "64/4"])
    def test_they_count_from_zero(self, text: str) -> None:
        with pytest.raises(InputError, match=r"count from 0, so of 4 the first is 0/4.*last 3/4"):
            Shard.parse(text)
        assert Shard.parse("3/4") == Shard(3, 4)

    @given(st.lists(st.text(), max_size=4), st.lists(st.text(), max_size=4))
    def test_listings_are_equal_where_names_are(self, a: list[str], b: list[str]) -> None:
        assert (Listing.of("images", a) == Listing.of("images", b)) == (a == b)


def test_images_of_a_shard_are_where_they_were(pictures: np.ndarray) -> None:
    whole = [(item.name, item.load().tobytes()) for item in open_images(pictures)]
    parts = [open_images(pictures).shard(Shard(i, 3)) for i in range(3)]
    assert [(item.name, item.load().tobytes()) for part in parts for item in part] == whole
    assert sum(part.count or 0 for part in parts) == len(pictures)


@pytest.mark.parametrize("count", [1, 3, 7, 50])
@pytest.mark.parametrize("kind", ["image", "text"])
def test_shards_merge_to_one_pass(
    kind: str, count: int, tiny_encoder: Encoder, pictures: np.ndarray, tmp_path: Path
) -> None:
    source = pictures if kind == "image" else CAPTIONS
    parts = cut(source, count, tiny_encoder, tmp_path, side=kind)
    merged = merge(parts[::-1]).moments
    whole = stored_set(source, side=kind, encoder=tiny_encoder).moments  # type: ignore[arg-type]
    assert merged is not None and whole is not None and merged.n == whole.n
    # Features of other batches round in float32; the sums of equal ones are told apart below.
    np.testing.assert_allclose(merged.mean, whole.mean, atol=1e-5)
    np.testing.assert_allclose(merged.cov, whole.cov, atol=1e-5)


def test_merging_itself_is_exact_to_1e_10(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    rows = rng.standard_normal((300, 16)) * 10 + 100
    cuts = [0, 1, 2, 40, 41, 200, 300]  # some have one row
    paths = []
    for i, (low, high) in enumerate(itertools.pairwise(cuts)):
        paths.append(tmp_path / f"{i}.npz")
        StoredSet(Moments.from_features(rows[low:high])).save(paths[-1])
    merged = merge(paths).moments
    assert merged is not None and merged.n == 300
    np.testing.assert_allclose(merged.mean, rows.mean(axis=0), rtol=1e-12)
    expected = np.cov(rows, rowvar=False)
    np.testing.assert_allclose(merged.cov, expected, rtol=0, atol=1e-10 * np.trace(expected))


def test_merged_features_give_the_same_error_bars(
    tiny_encoder: Encoder, pictures: np.ndarray, tmp_path: Path
) -> None:
    parts = cut(pictures, 3, tiny_encoder, tmp_path / "f", features=True)
    merge(parts).save(tmp_path / "f.npz")
    texts = cut(CAPTIONS, 2, tiny_encoder, tmp_path / "l", side="text", features=True)
    merge(texts).save(tmp_path / "l.npz")
    real = 255 - pictures
    merged = cmd(tmp_path / "f.npz", tmp_path / "l.npz", real, encoder=tiny_encoder)
    direct = cmd(pictures, CAPTIONS, real, encoder=tiny_encoder)
    assert merged.paired == direct.paired == 10
    assert merged.signature == direct.signature
    assert merged.cmd == pytest.approx(direct.cmd, rel=1e-4)  # float32 features, 40 of them
    assert merged.uncertainty is not None and direct.uncertainty is not None
    ours, theirs = merged.uncertainty.to_dict()["cmd"], direct.uncertainty.to_dict()["cmd"]
    assert ours["standard_error"] == pytest.approx(theirs["standard_error"], rel=1e-3)
    # Without features on any side there is nothing to make an error bar from.
    bare = merge(cut(pictures, 2, tiny_encoder, tmp_path / "bare", features=False))
    assert bare.features is None and bare.names is None


def test_what_shards_left_out_is_not_forgotten(
    tiny_encoder: Encoder, pictures: np.ndarray, tmp_path: Path
) -> None:
    """A caption without a word is in no shard; its image keeps its other one."""
    texts = Captions(("!!!", *TEXTS), ("#0", *CAPTIONS.images))
    parts = cut(texts, 2, tiny_encoder, tmp_path / "l", side="text", features=True)
    merge(parts).save(tmp_path / "l.npz")
    options = {"real": 255 - pictures, "encoder": tiny_encoder, "metrics": "prdc"}
    merged = cmd(pictures, tmp_path / "l.npz", **options)
    direct = cmd(pictures, texts, **options)
    assert merged.empty == direct.empty == 1
    assert any("have no word in them are left out: 1" in note for note in merged.warnings)
    # The random halves that these errors are of are the same.
    for name, value in direct.metrics.items():
        assert merged.metrics[name].standard_error == value.standard_error, name


class TestRefusals:
    def test_gaps(self, tiny_encoder: Encoder, pictures: np.ndarray, tmp_path: Path) -> None:
        parts = cut(pictures, 5, tiny_encoder, tmp_path, which=[0, 2, 3])
        with pytest.raises(InputError, match=r"2 of 5 shards.*missing: 1/5, 4/5.*--shard 1/5"):
            merge(parts)
        some = merge(parts, allow_gaps=True).moments
        assert some is not None and some.n == 24 and some.provenance is not None
        assert some.provenance.source.endswith("(3 of 5 shards)")

    def test_overlap(self, tiny_encoder: Encoder, pictures: np.ndarray, tmp_path: Path) -> None:
        a, b = cut(pictures, 2, tiny_encoder, tmp_path)
        copy = tmp_path / "copy.npz"
        copy.write_bytes(a.read_bytes())
        with pytest.raises(InputError, match=r"part-0.*copy.*overlap: both are shard 0/2"):
            merge([a, b, copy])

    def test_another_cut(self, tiny_encoder: Encoder, pictures: np.ndarray, tmp_path: Path) -> None:
        halves = cut(pictures, 2, tiny_encoder, tmp_path / "halves")
        thirds = cut(pictures, 3, tiny_encoder, tmp_path / "thirds")
        with pytest.raises(InputError, match=r"shard 0/2 .* shard 2/3 .*different cuts overlap"):
            merge([halves[0], thirds[2]])

    def test_a_set_that_has_changed(
        self, tiny_encoder: Encoder, pictures: np.ndarray, tmp_path: Path
    ) -> None:
        np.save(tmp_path / "f.npy", pictures)
        (first,) = cut(tmp_path / "f.npy", 2, tiny_encoder, tmp_path, which=[0])
        np.save(tmp_path / "f.npy", pictures[:38])
        (second,) = cut(tmp_path / "f.npy", 2, tiny_encoder, tmp_path, which=[1])
        with pytest.raises(InputError, match=r"changed between shards: it held 40 .* and 38 "):
            merge([first, second])

    def test_another_protocol(
        self, tiny_encoder: Encoder, tiny_clip: Path, pictures: np.ndarray, tmp_path: Path
    ) -> None:
        (first,) = cut(pictures, 2, tiny_encoder, tmp_path, which=[0])
        (second,) = cut(pictures, 2, Encoder(tiny_clip, protocol="clip"), tmp_path, which=[1])
        with pytest.raises(InputError, match=r"part-0.*part-1.*made differently.*normalise"):
            merge([first, second])

    def test_images_and_captions(
        self, tiny_encoder: Encoder, pictures: np.ndarray, tmp_path: Path
    ) -> None:
        stored_set(pictures, encoder=tiny_encoder).save(tmp_path / "f.npz")
        stored_set(CAPTIONS, "text", encoder=tiny_encoder).save(tmp_path / "l.npz")
        with pytest.raises(InputError, match=r"f\.npz is of image and .*l\.npz of text"):
            merge([tmp_path / "f.npz", tmp_path / "l.npz"])

    def test_moments_without_a_count(self, tmp_path: Path) -> None:
        np.savez(tmp_path / "a.npz", mu=np.zeros(3), sigma=np.eye(3))
        with pytest.raises(InputError, match=r"a\.npz carries no count"):
            merge([tmp_path / "a.npz", tmp_path / "a.npz"])

    @pytest.mark.parametrize("key", ["shard", "names", "captions", "features", "n"])
    def test_damage(
        self, key: str, tiny_encoder: Encoder, pictures: np.ndarray, tmp_path: Path
    ) -> None:
        (path,) = cut(pictures, 1, tiny_encoder, tmp_path, features=True)
        with np.load(path) as file:
            arrays = dict(file)
        broken = {"n": np.int64(7), "features": arrays["features"][:5]}
        np.savez(path, **{**arrays, key: broken.get(key, np.array(b'["x"]'))})
        with pytest.raises(InputError, match=r"part-0\.npz"):
            merge([path])

    def test_a_shard_is_no_side(
        self, tiny_encoder: Encoder, pictures: np.ndarray, tmp_path: Path
    ) -> None:
        (part,) = cut(pictures, 2, tiny_encoder, tmp_path, which=[1])
        with pytest.raises(InputError, match=r"shard 1/2 of a set .*cmdmetric merge"):
            cmd(part, TEXTS, pictures, encoder=tiny_encoder)

    def test_what_is_only_known_at_its_end(
        self, tiny_encoder: Encoder, pictures: np.ndarray
    ) -> None:
        with pytest.raises(InputError, match="cannot be cut into shards"):
            stored_set(iter(pictures), shard="0/2", encoder=tiny_encoder)


def test_several_sets_as_one(tiny_encoder: Encoder, pictures: np.ndarray, tmp_path: Path) -> None:
    stored_set(pictures[:25], encoder=tiny_encoder).save(tmp_path / "a.npz")
    parts = cut(pictures[25:], 2, tiny_encoder, tmp_path)
    merged = merge([parts[1], tmp_path / "a.npz", parts[0]]).moments
    whole = stored_set(pictures, encoder=tiny_encoder).moments
    assert merged is not None and whole is not None and merged.n == 40
    np.testing.assert_allclose(merged.cov, whole.cov, atol=1e-5)


@pytest.mark.usefixtures("remembered_example")
def test_commands(example: Path, tmp_path: Path) -> None:
    run, common = CliRunner().invoke, ["--model", "scenes-toy", "--quiet"]
    for index in range(2):
        arguments = ["moments", str(example / "generated"), "-o", str(tmp_path / f"{index}.npz")]
        done = run(main, [*arguments, "--shard", f"{index}/2", *common])
        assert done.exit_code == 0, done.output
        assert f"200 samples, {DIMENSIONS} dimensions, shard {index}/2 of 400 images" in done.stderr
    paths = [str(tmp_path / f"{index}.npz") for index in range(2)]
    done = run(main, ["merge", *paths, "-o", str(tmp_path / "f.npz")])
    assert done.exit_code == 0 and done.stdout == "" and "400 samples" in done.stderr
    with np.load(tmp_path / "f.npz") as file:
        assert file["mu"].shape == (DIMENSIONS,) and file["sigma"].shape == (DIMENSIONS, DIMENSIONS)
        assert json.loads(str(file["provenance"]))["source"] == str(example / "generated")
    for wrong, message in (
        (["merge", paths[0], "-o", str(tmp_path / "x.npz")], "missing: 1/2"),
        (["merge", str(tmp_path / "absent.npz"), "-o", str(tmp_path / "x.npz")], "no such file"),
        ([*arguments, "--shard", "2/2", *common], "count from 0"),
        ([*arguments, "--shard", "two", *common], "INDEX/COUNT"),
    ):
        done = run(main, wrong)
        assert done.exit_code == 2 and message in done.stderr and not done.stdout
    assert not (tmp_path / "x.npz").exists()


def test_fields_of_captions_are_kept(tmp_path: Path, tiny_encoder: Encoder) -> None:
    """A set by category can be had from stored files as from the captions' own."""
    records = [
        {"prompt": f"a thing {i}", "image": f"{i}.png", "category": "ab"[i % 2], "tags": ["x", "y"]}
        for i in range(12)
    ]
    kept = stored_set([*records[:1], {"prompt": "..."}, *records[1:]], "text", encoder=tiny_encoder)
    kept.save(tmp_path / "whole.npz")
    found = StoredSet.load(tmp_path / "whole.npz").captions
    assert found is not None and found.texts == tuple(record["prompt"] for record in records)
    assert found.fields["category"] == tuple("ab" * 6) and found.fields["tags"][3] == ("x", "y")
    plain = stored_set(["one thing", "two things"], "text", encoder=tiny_encoder)
    plain.save(tmp_path / "plain.npz")
    both = merge([tmp_path / "plain.npz", tmp_path / "whole.npz"]).captions
    assert both is not None and both.fields["category"] == (None, None, *"ab" * 6)
