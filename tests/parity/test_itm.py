"""What we read off open_clip's models against the released code's modified CLIP, and the heads.

The tiny golden models come without their numbers of attention heads; those of the image towers
follow from CLIP's rule (64 channels a head), that of the text tower is the one that fits. Token
features behind LayerNorm are of order 1 to 5: float32 rounding reaches 1e-6, the tolerance is 1e-5.
"""

import numpy as np
import open_clip
import pytest
import torch

from grgan_ref.files.checkpoint import load_strictly, rename_itm
from grgan_ref.matching.clip_features import image_features, text_features
from grgan_ref.matching.itm import MatchingHeads
from tests.support import golden

TOLERANCE = 1e-5


def layers(state, prefix):
    """How many different numbers follow `prefix` in the keys."""
    return len({key[len(prefix) :].split(".")[0] for key in state if key.startswith(prefix)})


def build(state, image_size, text_heads):
    context, width = state["positional_embedding"].shape
    text = {
        "context_length": context,
        "vocab_size": state["token_embedding.weight"].shape[0],
        "width": width,
        "heads": text_heads,
        "layers": layers(state, "transformer.resblocks."),
    }
    vision = {"image_size": image_size}
    if "visual.layer1.0.conv1.weight" in state:
        vision["width"] = state["visual.layer1.0.conv1.weight"].shape[0]
        vision["layers"] = [layers(state, f"visual.layer{i}.") for i in (1, 2, 3, 4)]
    else:
        vision["width"], _, vision["patch_size"], _ = state["visual.conv1.weight"].shape
        vision["layers"] = layers(state, "visual.transformer.resblocks.")
    embedding = state["text_projection"].shape[1]
    clip = open_clip.CLIP(embedding, vision, text, quick_gelu=True)
    clip.load_state_dict(state)
    return clip.eval()


@pytest.fixture(scope="module")
def data():
    return golden.Golden("extra.npz")


@pytest.mark.parametrize("name", ["clip_rn", "clip_vit"])
def test_image_features(data, name):
    image = data.tensor(f"{name}/image")
    clip = build(data.state(f"{name}/sd/"), image.shape[-1], text_heads=1)
    resnet = name == "clip_rn"
    layer = 3 if resnet else len(clip.visual.transformer.resblocks)
    with torch.no_grad():
        regions, embedding = image_features(clip, image, layer)
    if resnet:
        expected = data.tensor(f"{name}/layer3_feature")
    else:  # all tokens, the class token first
        tokens = data.tensor(f"{name}/feature_all_tokens_postln")
        expected = tokens[:, :, 1:].unflatten(2, regions.shape[2:])
    assert golden.largest_difference(regions, expected) < TOLERANCE
    assert golden.largest_difference(embedding, data.tensor(f"{name}/image_code")) < TOLERANCE


@pytest.mark.parametrize("name", ["clip_rn", "clip_vit"])
def test_text_features(data, name):
    state, tokens = data.state(f"{name}/sd/"), data.tensor("clip_rn/tokens")
    size = data.tensor(f"{name}/image").shape[-1]
    errors = {}
    for heads in (1, 2, 4, 8):
        with torch.no_grad():
            words, embedding = text_features(build(state, size, heads), tokens, tokens.shape[1])
        errors[heads] = max(
            golden.largest_difference(words, data.tensor(f"{name}/word_embs")),
            golden.largest_difference(embedding, data.tensor(f"{name}/text_code")),
        )
    assert min(errors.values()) < TOLERANCE, errors


def test_heads(data):
    """The golden file has the outputs; weights and inputs follow from fixed random states."""
    size = data.tensor("mlp/sent").shape[1]
    channels, words = 2 * size, data.tensor("mlp/words").shape[2]
    shapes = {
        "emb_features.weight": (size, channels, 1, 1),
        "LayerNorm.weight": (size,),
        "LayerNorm.bias": (size,),
        **{f"{n}.weight": (size, size) for n in ("dense_word", "dense_sent", "emb_cnn_code")},
        **{f"{n}.bias": (size,) for n in ("dense_word", "dense_sent", "emb_cnn_code")},
    }
    random = np.random.RandomState(7)
    state = {}
    for key in data.names("mlp/key_order"):
        array = random.standard_normal(shapes[key]) * 0.05 + (key == "LayerNorm.weight")
        state[f"MLP.{key}"] = torch.from_numpy(array).float()
    heads = MatchingHeads(channels, size, size, size)
    renamed = {k.removeprefix("heads."): v for k, v in rename_itm(state).items()}
    load_strictly(heads, renamed, "extra.npz")

    def draw(seed, *shape):
        return torch.from_numpy(np.random.RandomState(seed).standard_normal(shape)).float()

    grid = data.tensor("mlp/regions").shape[2:]
    with torch.no_grad():
        regions, image = heads.encode_image(draw(9, 2, channels, *grid), draw(8, 2, size))
        sentence, word = heads.encode_text(draw(10, 2, size, words), draw(11, 2, size))
    # Sums of 512 or 1024 products of order 0.05: rounding up to 1e-5.
    for ours, name in ((regions, "regions"), (image, "image_code")):
        assert golden.largest_difference(ours, data.tensor(f"mlp/{name}")) < 5e-5
    for ours, name in ((sentence, "sent"), (word, "words")):
        assert golden.largest_difference(ours, data.tensor(f"mlp/{name}")) < 5e-5
