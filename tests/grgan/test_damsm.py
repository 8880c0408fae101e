"""DAMSM: text encoder, image networks, vocabulary, pre-training, and the public encoders' files."""

import json
import pickle

import pytest
import torch
import torchvision
from torch import nn

from grgan_ref.config import Config
from grgan_ref.data import clean
from grgan_ref.data.sources import scenes
from grgan_ref.errors import GrganError
from grgan_ref.files import read_model
from grgan_ref.matching.damsm import DAMSM, TextEncoder
from grgan_ref.matching.damsm_images import InceptionNetwork
from grgan_ref.matching.matcher import load_matcher
from grgan_ref.matching.vocabulary import Vocabulary, build_vocabulary, read_vocabulary
from grgan_ref.training.log import read_log
from tests.support.grgan_runs import clip_folder, flags, folder, grgan, read_numbers, succeed

WORDS = ["a", "blue", "circle", "dot", "red", "star"]


def small(**changes):
    changes = {key.replace("__", "."): value for key, value in changes.items()}
    return Config.load("attn-da", changes, base="scenes-tiny")


# --- vocabulary --------------------------------------------------------------------------------


def test_captions_become_word_numbers():
    tokens = Vocabulary(WORDS).tokenise(["A red, unheard-of STAR!", "dot"], 4)
    assert tokens.tokens.tolist() == [[1, 5, 6, 0], [4, 0, 0, 0]]
    assert tokens.lengths.tolist() == [3, 1]
    assert tokens.mask.tolist() == [[False, False, False, True], [False, True, True, True]]


def test_long_captions_keep_some_words_in_order_and_always_the_same():
    vocabulary = Vocabulary([f"w{i}" for i in range(50)])
    caption = " ".join(f"w{i}" for i in range(50))
    rows = [vocabulary.tokenise([caption, "w1"], 12).tokens[0].tolist() for _ in range(2)]
    assert rows[0] == rows[1] == sorted(set(rows[0]))
    assert len(rows[0]) == 12
    assert rows[0] != list(range(1, 13))  # drawn, not cut


def test_a_caption_of_unknown_words_is_named():
    with pytest.raises(GrganError, match="caption 'green cube' has no word of the vocabulary of 6"):
        Vocabulary(WORDS).tokenise(["a dot", "green cube"], 4)


def test_vocabulary_of_captions():
    assert build_vocabulary([["A red dot.", "a star"], ["Blue circle"]]).words == WORDS


@pytest.mark.parametrize("protocol", [0, 2, 4])
def test_published_captions_pickle(tmp_path, protocol):
    numbers = dict(enumerate(["<end>", *WORDS]))
    content = [[[1, 5]], [[2]], numbers, {word: i for i, word in numbers.items()}]
    path = tmp_path / "captions.pickle"
    path.write_bytes(pickle.dumps(content, protocol))
    assert read_vocabulary(path).words == WORDS
    (tmp_path / "words.txt").write_text("<end>\n" + "\n".join(WORDS))
    (tmp_path / "words.json").write_text(json.dumps(WORDS))
    assert read_vocabulary(tmp_path / "words.txt").words == WORDS
    assert read_vocabulary(tmp_path / "words.json").words == WORDS


class Attack:
    """What an unpickler that knows classes and functions would run."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (open, (self.path, "w"))


def test_a_pickle_runs_nothing(tmp_path):
    path, touched = tmp_path / "captions.pickle", tmp_path / "touched"
    path.write_bytes(pickle.dumps([[], [], Attack(str(touched)), {}]))
    with pytest.raises(GrganError, match=r"not a pickle of plain lists.*it asks for .*open"):
        read_vocabulary(path)
    assert not touched.exists()


@pytest.mark.parametrize("content", [b"", b"junk", pickle.dumps([1, 2]), pickle.dumps({2: "a"})])
def test_other_pickles_are_refused(tmp_path, content):
    path = tmp_path / "captions.pickle"
    path.write_bytes(content)
    with pytest.raises(GrganError, match=r"captions\.pickle"):
        read_vocabulary(path)


# --- encoders ----------------------------------------------------------------------------------


def test_text_encoder_reads_each_caption_both_ways():
    """Against the LSTM run on each caption alone, where there is no padding to be skipped."""
    torch.manual_seed(0)
    encoder = TextEncoder(20, 5, 6, dropout=0.5).eval()
    numbers = torch.tensor([[3, 4, 0, 0], [5, 6, 7, 8], [9, 0, 0, 0]])
    lengths = torch.tensor([2, 4, 1])
    with torch.no_grad():
        sentence, words = encoder(numbers, lengths)
        for row, length in enumerate(lengths):
            states, _ = encoder.lstm(encoder.embedding(numbers[row : row + 1, :length]))
            # Forwards the last word has seen all, backwards the first.
            whole = torch.cat([states[0, -1, :3], states[0, 0, 3:]])
            torch.testing.assert_close(sentence[row], whole, rtol=0, atol=1e-6)
            torch.testing.assert_close(words[row, :, :length], states[0].t(), rtol=0, atol=1e-6)
            assert not words[row, :, length:].any()


def test_dropout_only_in_training():
    damsm = DAMSM(small(), Vocabulary(WORDS))
    first, second = (damsm.train().encode_captions(["a red star"], 5)[1] for _ in range(2))
    assert not torch.equal(first, second)
    first, second = (damsm.eval().encode_captions(["a red star"], 5)[1] for _ in range(2))
    assert torch.equal(first, second)


def test_inception_features_are_those_of_torchvision():
    """Mixed_6e and the input of the classifier, read off torchvision's own forward pass."""
    torch.manual_seed(0)
    theirs = torchvision.models.inception_v3(weights=None, init_weights=False).eval()
    for module in theirs.modules():  # the default makes features of 1e-10
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight)
    ours = InceptionNetwork()
    own = ours.state_dict()
    ours.load_state_dict({k: v for k, v in theirs.state_dict().items() if k in own})
    seen = {}
    theirs.Mixed_6e.register_forward_hook(lambda m, i, o: seen.update(regions=o))
    theirs.fc.register_forward_pre_hook(lambda m, i: seen.update(vector=i[0]))
    images = torch.rand(1, 3, 299, 299) * 2 - 1
    with torch.no_grad():
        theirs(images)
        regions, vector = ours(images)
    assert regions.shape == (1, 768, 17, 17)
    torch.testing.assert_close(regions, seen["regions"])
    torch.testing.assert_close(vector, seen["vector"])
    assert not any(parameter.requires_grad for parameter in ours.parameters())
    assert not any(module.training for module in ours.train().modules())


def test_images_are_enlarged_and_teach_the_generator():
    damsm = DAMSM(small(), Vocabulary(WORDS)).eval().requires_grad_(False)
    images = torch.rand(2, 3, 16, 16, requires_grad=True)
    regions, code = damsm.encode_image(images)
    assert (regions.shape, code.shape) == ((2, 32, 8, 8), (2, 32))
    (regions.square().sum() + code.square().sum()).backward()
    assert images.grad.abs().max() > 0


def test_dimensions_must_be_even():
    with pytest.raises(GrganError, match="embedding_dim is 33"):
        DAMSM(small(model__embedding_dim=33), Vocabulary(WORDS))


# --- pre-training ------------------------------------------------------------------------------

TINY = {"damsm__batch": 8}


def pretrain(out, steps, **changes):
    arguments = ["--preset=attn-da", "--base=scenes-tiny", "--out", out, f"--steps={steps}"]
    return succeed("train-damsm", *arguments, *flags(**TINY, **changes))


def test_damsm_learns_to_match():
    out = folder() / "damsm-learns"
    pretrain(out, 60, damsm__dropout=0.1, train__score_samples=50)
    lines = read_log(out / "metrics.jsonl")
    curve = [line["total"] for line in lines if "total" in line]
    assert sum(curve[-10:]) / 10 < sum(curve[:10]) / 10 - 1
    assert lines[-1]["images"] == 50
    assert lines[-1]["text_r10"] > 3 * 10 / 50 * 10  # chance is 20 % of 50 images' 5 captions / 5


def test_resumed_pretraining_continues_bitwise(tmp_path):
    # 40 scenes in batches of 8: an epoch, and a new Adam, every 5 steps; dropout at every step.
    pretrain(tmp_path / "straight", 7)
    for steps in (2, 5, 7):
        pretrain(tmp_path / "parts", steps)
    straight, parts = (
        [line for line in read_numbers(tmp_path / name) if "total" in line]
        for name in ("straight", "parts")
    )
    assert len(straight) == 7
    assert straight == parts


def test_generator_beside_damsm(tmp_path):
    damsm, run = tmp_path / "damsm", tmp_path / "gan"
    pretrain(damsm, 2)
    own = ["--preset=attn-da", "--base=scenes-tiny", *flags(**TINY)]
    succeed("train", *own, "--matcher", damsm, "--out", run, "--steps=2")
    assert {path.name for path in (run / "model").iterdir()} == {
        *("generator.safetensors", "generator.json", "damsm.safetensors", "damsm.json"),
        "vocabulary.json",
    }
    captions = tmp_path / "captions.json"
    captions.write_text(json.dumps({"x.png": "a red circle"}))
    succeed("sample", run, captions, tmp_path / "images")
    assert (tmp_path / "images" / "x.png").exists()
    assert "text to image" in succeed("retrieval", "--matcher", damsm, "--num=20").stdout
    assert "damsm.safetensors" in succeed("info", run).stdout
    result = grgan("train", *own, "--matcher", damsm, "--out", run, "--set=damsm.word_dim=8")
    assert (result.exit_code, "damsm.word_dim = 32" in result.stderr) == (2, True)
    other = ["--preset=attn-it", "--base=scenes-tiny", *flags()]
    result = grgan("train", *other, "--matcher", damsm, "--out", run)
    assert (result.exit_code, "holds the matcher damsm; itm is wanted here" in result.stderr) == (
        2,
        True,
    )


def test_inception_needs_its_weights(tmp_path):
    start = ["train-damsm", "--preset=attn-da", "--base=scenes-tiny", "--out", tmp_path / "out"]
    inception = flags(damsm__image_network="inception-v3")
    result = grgan(*start, *inception)
    assert (result.exit_code, "give torchvision's weights" in result.stderr) == (2, True)
    (tmp_path / "junk.pth").write_bytes(b"junk")
    result = grgan(*start, *inception, f"--set=damsm.weights={tmp_path / 'junk.pth'}")
    assert (result.exit_code, "junk.pth: not a PyTorch file" in result.stderr) == (2, True)
    torch.save({"fc.weight": torch.ones(1)}, tmp_path / "other.pth")
    result = grgan(*start, *inception, f"--set=damsm.weights={tmp_path / 'other.pth'}")
    assert (result.exit_code, "no Inception-v3 of torchvision" in result.stderr) == (2, True)


# --- the public encoders -----------------------------------------------------------------------


def public_encoders(words, dim=256):
    """Keys and shapes of text_encoder100.pth and image_encoder100.pth, every value its own."""
    gates, half = 2 * dim, dim // 2
    text = {"encoder.weight": (words, 300)}
    for way in ("", "_reverse"):
        text |= {
            f"rnn.weight_ih_l0{way}": (gates, 300),
            f"rnn.weight_hh_l0{way}": (gates, half),
            f"rnn.bias_ih_l0{way}": (gates,),
            f"rnn.bias_hh_l0{way}": (gates,),
        }
    network = torchvision.models.inception_v3(weights=None, init_weights=False).state_dict()
    image = {
        key: value.shape
        for key, value in network.items()
        if not key.startswith(("fc.", "AuxLogits.")) and "num_batches" not in key
    }
    image |= {
        "emb_features.weight": (dim, 768, 1, 1),
        "emb_cnn_code.weight": (dim, 2048),
        "emb_cnn_code.bias": (dim,),
    }
    counter = iter(range(1, 10_000))
    return tuple(
        {key: torch.full((), float(next(counter))).expand(shape) for key, shape in part.items()}
        for part in (text, image)
    )


def test_public_encoders_arrive(tmp_path):
    text, image = public_encoders(len(WORDS) + 1)
    torch.save(text, tmp_path / "text_encoder100.pth")
    torch.save(image, tmp_path / "image_encoder100.pth")
    (tmp_path / "words.txt").write_text("\n".join(WORDS))
    files = [tmp_path / name for name in ("text_encoder100.pth", "image_encoder100.pth")]
    succeed("import-damsm", *files, tmp_path / "words.txt", "--out", tmp_path / "damsm")
    config = Config.load("dmgan-released")
    state = load_matcher(tmp_path / "damsm", config).state_dict()
    arrived = {
        "text.embedding.weight": text["encoder.weight"],
        "text.lstm.weight_hh_l0_reverse": text["rnn.weight_hh_l0_reverse"],
        "region.weight": image["emb_features.weight"],
        "image.bias": image["emb_cnn_code.bias"],
        "network.Mixed_6e.branch1x1.bn.running_var": image["Mixed_6e.branch1x1.bn.running_var"],
    }
    for key, value in arrived.items():
        assert torch.equal(state[key], value.contiguous()), key
    assert read_vocabulary(tmp_path / "damsm" / "vocabulary.json").words == WORDS
    assert read_model(tmp_path / "damsm" / "damsm.safetensors")[1] == config

    (tmp_path / "words.txt").write_text("one\ntwo")
    result = grgan("import-damsm", *files, tmp_path / "words.txt", "--out", tmp_path / "other")
    assert result.exit_code == 2
    assert "knows 7 words and" in result.stderr
    result = grgan("import-damsm", files[1], files[0], tmp_path / "words.txt", "--out", tmp_path)
    assert result.exit_code == 2
    assert "a damsm text encoder is wanted here" in result.stderr


def released_folder(tmp_path, vocabulary):
    """The authors' DAMSMencoders/coco with captions.pickle beside, every value small and seeded."""
    folder = tmp_path / "DAMSMencoders"
    folder.mkdir()
    random = torch.Generator().manual_seed(0)
    for name, state in zip(("text", "image"), public_encoders(len(vocabulary) + 1), strict=True):
        made = {k: 0.05 * torch.randn(v.shape, generator=random) for k, v in state.items()}
        made |= {k: v.abs() + 1 for k, v in made.items() if k.endswith("running_var")}
        torch.save(made, folder / f"{name}_encoder100.pth", _use_new_zipfile_serialization=False)
    words = dict(enumerate(["<end>", *vocabulary]))
    content = [[], [], words, {word: number for number, word in words.items()}]
    (folder / "captions.pickle").write_bytes(pickle.dumps(content, protocol=2))
    return folder


def test_released_encoders_serve_as_they_are(tmp_path):
    words = sorted({w for own in scenes("val", 3).captions for c in own for w in clean(c).split()})
    folder = released_folder(tmp_path, words)
    told = succeed("info", folder / "text_encoder100.pth").stdout
    assert "a released damsm text encoder" in told and "text of 256 dimensions" in told
    both = succeed("info", folder).stdout
    assert told in both and "a released damsm image encoder" in both
    vocabulary = succeed("info", folder / "captions.pickle").stdout
    assert f"a vocabulary of {len(words)} words" in vocabulary
    look = ["retrieval", "--kind=scenes", "--num=3", "--device=cpu"]
    as_it_is = succeed(*look, "--matcher", folder, "--clip", f"{clip_folder()}").stdout
    lines = as_it_is.splitlines()
    assert lines[0] == "3 images, 15 captions; in percent"
    assert lines[4].startswith("| DAMSM | ")
    assert lines[5].startswith("| CLIP ") and "paper" not in as_it_is  # Table 3 is of COCO
    files = [folder / f"{n}_encoder100.pth" for n in ("text", "image")]
    succeed("import-damsm", *files, folder / "captions.pickle", "--out", tmp_path / "damsm")
    imported = succeed(*look, "--matcher", tmp_path / "damsm").stdout
    assert imported.splitlines()[4] == lines[4]
    (folder / "captions.pickle").unlink()
    result = grgan(*look, "--matcher", folder)
    assert result.exit_code == 2 and "copy the authors' captions.pickle" in result.stderr
