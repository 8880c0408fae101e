"""The discriminators against the released code: features, probabilities, power iterations.

No batch norm and no small divisors: float32 rounding stays below 2e-7, the tolerance is 2e-6.
"""

import pytest
import torch

from tests.support import golden

TOLERANCE = 2e-6


@pytest.mark.parametrize("mode", ["train", "eval"])
def test_forward_and_power_iterations(mode):
    data = golden.Golden("netD.npz")
    discriminators = golden.discriminators().train(mode == "train")
    conditions = [
        data.tensor("sent_emb"),
        data.tensor("sent_emb"),
        data.tensor("word_embs").mean(2),
    ]
    for i, (net, image) in enumerate(zip(discriminators, golden.real_images(), strict=True)):
        with torch.no_grad():
            features = net.features(image)
            expected = {f"feat{i}": features}
            if net.unconditional_logits is not None:
                expected[f"uncond{i}"] = net.unconditional(features).sigmoid()
            expected[f"cond{i}"] = net.conditional(features, conditions[i]).sigmoid()
            # The same inputs again: one more power iteration, in eval mode too.
            expected[f"cond{i}_second_call"] = net.conditional(features, conditions[i]).sigmoid()
        for name, ours in expected.items():
            theirs = data.tensor(f"{mode}/{name}")
            assert golden.largest_difference(ours, theirs) < TOLERANCE, name
        after = net.state_dict()
        vectors = golden.checkpoint.rename_discriminator(data.state(f"after/netD{i}/"))
        assert vectors
        for key, value in vectors.items():
            assert golden.largest_difference(after[key], value) < TOLERANCE, key
