"""The losses: adversarial and KL (Eq. 1-7), and the two matching losses of the ITM (Eq. 8, 9).

Where paper and released code differ, the code is followed, since the published weights come from
it: the discriminator also sees real images with a wrong caption, the generator's terms have no
factor 1/2, gammas are 4, 5, 10 where the paper says 10, and Eq. 8's sum over a batch is a mean.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from grgan_ref.config import LossConfig


def real_loss(logits: Tensor) -> Tensor:
    """-log D, the mean over the batch; logits (B,), D = sigmoid(logits)."""
    return F.softplus(-logits).mean()


def fake_loss(logits: Tensor) -> Tensor:
    """-log(1 - D), the mean over the batch."""
    return F.softplus(logits).mean()


def kl(mu: Tensor, logvar: Tensor) -> Tensor:
    """Divergence of N(mu, exp(logvar)) from N(0, 1), the mean over samples and dimensions."""
    return -0.5 * (1 + logvar - mu.square() - logvar.exp()).mean()


def sentence_loss(
    images: Tensor, sentences: Tensor, loss: LossConfig, classes: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Sentence-image matching (Eq. 8, 9): does each image find its sentence, and each sentence it?

    images, sentences: (B, E), row i of both belonging together. classes: (B,); samples of one class
    are not told apart (`_both_directions`). Returns the two directions.
    """
    dots = images @ sentences.t()
    lengths = images.norm(dim=1, keepdim=True) * sentences.norm(dim=1)
    return _both_directions(loss.gamma3 * dots / lengths.clamp_min(1e-8), classes)


def region_attention(words: Tensor, regions: Tensor, padding: Tensor, gamma1: float) -> Tensor:
    """How much each word of each caption looks at each region of each image.

    words (C, E, L), padding (C, L) bool, regions (B, E, R) -> (B, C, L, R), summing to 1 over R.
    As in AttnGAN the scores are first normalised over the words of the caption, so that the words
    share out each region, and then, sharpened by gamma1, over the regions.
    """
    return _shares(_word_region_products(words, regions), padding, gamma1)


def _word_region_products(words: Tensor, regions: Tensor) -> Tensor:
    """(B, C, L, R): one large matrix product an image, of the words of all captions."""
    rows = words.transpose(1, 2).flatten(0, 1)  # (C L, E)
    return (rows @ regions).view(len(regions), len(words), -1, regions.shape[2])


def _shares(products: Tensor, padding: Tensor, gamma1: float) -> Tensor:
    products = products.masked_fill(padding[:, :, None], -torch.inf)
    return (gamma1 * products.softmax(dim=2)).softmax(dim=3)


def word_loss(
    regions: Tensor,
    words: Tensor,
    lengths: Tensor,
    loss: LossConfig,
    classes: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """Word-region matching (Eq. 8, 9), over all pairs of an image and a caption at once.

    regions (B, E, H, W), words (B, E, L), lengths (B,): the caption's first `lengths` slots count.
    A pair's score is the soft maximum (gamma2) over the words of the cosine of the word and the
    regions it looks at. Returns the two directions: images to captions, captions to images.

    What a word looks at, c = V a with regions V (E, R) and attention a (R,), is never formed: its
    product with the word is the attention's with the products V^T w that made it, and its square
    is a^T (V^T V) a, cheaper by E / R.
    """
    regions = regions.flatten(2)
    padding = torch.arange(words.shape[2], device=words.device) >= lengths[:, None]  # (B, L)
    products = _word_region_products(words, regions)
    attention = _shares(products, padding, loss.gamma1)
    dots = (attention * products).sum(dim=3)
    rows, gram = attention.flatten(1, 2), regions.transpose(1, 2) @ regions
    squares = (rows * (rows @ gram)).sum(dim=2).view_as(dots)
    norms = squares.clamp_min(torch.finfo(squares.dtype).tiny).sqrt()
    cosines = dots / (norms * words.norm(dim=1)).clamp_min(1e-8)
    scores = (loss.gamma2 * cosines).masked_fill(padding, -torch.inf).logsumexp(dim=2)
    return _both_directions(loss.gamma3 * scores, classes)


def _both_directions(scores: Tensor, classes: Tensor | None) -> tuple[Tensor, Tensor]:
    """Cross-entropy of the diagonal of scores (B, B) over rows and over columns.

    A pair of different samples of one class is no mismatch: it is left out of both.
    """
    target = torch.arange(len(scores), device=scores.device)
    if classes is not None:
        same = classes[:, None] == classes[None, :]
        scores = scores.masked_fill(same.fill_diagonal_(False), -torch.inf)
    return F.cross_entropy(scores, target), F.cross_entropy(scores.t(), target)
