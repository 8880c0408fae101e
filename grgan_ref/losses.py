"""The losses: adversarial and KL (Eq. 1-7), and the two matching losses of the ITM (Eq. 8, 9).

Where paper and released code differ, the code is followed, since the published weights come from
it: the discriminator also sees real images with a wrong caption, the generator's terms have no
factor 1/2, gammas are 4, 5, 10 where the paper says 10, and Eq. 8's sum over a batch is a mean.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import FunctionCtx, once_differentiable

from grgan_ref.config import LossConfig

# The word loss takes so many images at a time: what it works on then stays in a processor's cache.
IMAGES_AT_ONCE = 8


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

    words (C, E, L), padding (C, L) bool, regions (B, E, R) -> (B, C, L, R), summing to 1 over R;
    zero at padding. As in AttnGAN the scores are first normalised over the words of the caption, so
    that the words share out each region, and then, sharpened by gamma1, over the regions.
    """
    rows, kept = _kept(words, ~padding)
    _, attention = _look(rows, kept, regions, padding.shape, gamma1)
    maps = attention.new_zeros(len(regions), padding.numel(), regions.shape[2])
    return maps.index_copy(1, kept, attention).unflatten(1, padding.shape)


def _kept(words: Tensor, slots: Tensor) -> tuple[Tensor, Tensor]:
    """The N words of all captions, one below another (N, E), and their numbers among all slots."""
    kept = slots.flatten().nonzero().squeeze(1)
    return words.transpose(1, 2).flatten(0, 1).index_select(0, kept), kept


def _look(
    rows: Tensor, kept: Tensor, regions: Tensor, shape: tuple[int, int], gamma1: float
) -> tuple[Tensor, Tensor]:
    """Products of words and regions, and the attention made of them, (B, N, R) each.

    rows (N, E) and kept (N,) of `_kept`, regions (B, E, R), shape (C, L) of the slots.
    """
    images, _, count = regions.shape
    products = rows @ regions.transpose(0, 1).flatten(1)  # (N, B R): one large matrix product
    slots = products.new_full((shape.numel(), products.shape[1]), -torch.inf)
    slots = slots.index_copy(0, kept, products).unflatten(0, shape)
    shares = slots.softmax(dim=1).flatten(0, 1).index_select(0, kept)
    attention = (gamma1 * shares).view(-1, images, count).softmax(dim=2)
    return products.view_as(attention).transpose(0, 1), attention.transpose(0, 1)


class SquaredLengths(torch.autograd.Function):
    """|V a|^2 = a^T (V^T V) a of attentions a, (B, N, R), over regions V, (B, E, R) -> (B, N).

    The gradients are written out since V^T V is symmetric, which autograd does not know: it would
    multiply from both sides, and again what the forward pass has multiplied.
    """

    @staticmethod
    def forward(ctx: FunctionCtx, attention: Tensor, regions: Tensor) -> Tensor:
        seen = attention @ (regions.transpose(1, 2) @ regions)  # V^T V a
        ctx.save_for_backward(attention, regions, seen)
        return (attention * seen).sum(dim=2)

    @staticmethod
    @once_differentiable
    def backward(ctx: FunctionCtx, gradient: Tensor) -> tuple[Tensor, Tensor]:
        attention, regions, seen = ctx.saved_tensors
        twice = 2 * gradient.unsqueeze(2)
        return twice * seen, regions @ (attention.transpose(1, 2) @ (twice * attention))


def word_loss(
    regions: Tensor,
    words: Tensor,
    lengths: Tensor,
    loss: LossConfig,
    classes: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """Word-region matching (Eq. 8, 9), over all pairs of an image and a caption.

    regions (B, E, H, W), words (B, E, L), lengths (B,): the caption's first `lengths` slots count.
    A pair's score is the soft maximum (gamma2) over the words of the cosine of the word and the
    regions it looks at. Returns the two directions: images to captions, captions to images.

    What a word looks at, c = V a with regions V (E, R) and attention a (R,), is never formed: its
    product with the word is the attention's with the products V^T w that made it, and its square
    is a^T (V^T V) a, cheaper by E / R.
    """
    slots = torch.arange(words.shape[2], device=words.device) < lengths[:, None]  # (B, L)
    rows, kept = _kept(words, slots)
    dots, squares = [], []
    for some in regions.flatten(2).split(IMAGES_AT_ONCE):
        products, attention = _look(rows, kept, some, slots.shape, loss.gamma1)
        dots.append((attention * products).sum(dim=2))
        squares.append(SquaredLengths.apply(attention, some))
    norms = torch.cat(squares).clamp_min(torch.finfo(rows.dtype).tiny).sqrt()  # (B, N)
    cosines = torch.cat(dots) / (norms * rows.norm(dim=1)).clamp_min(1e-8)
    by_slot = cosines.new_full((len(cosines), slots.numel()), -torch.inf)
    by_slot = by_slot.index_copy(1, kept, loss.gamma2 * cosines).unflatten(1, slots.shape)
    return _both_directions(loss.gamma3 * by_slot.logsumexp(dim=2), classes)


def _both_directions(scores: Tensor, classes: Tensor | None) -> tuple[Tensor, Tensor]:
    """Cross-entropy of the diagonal of scores (B, B) over rows and over columns.

    A pair of different samples of one class is no mismatch: it is left out of both.
    """
    target = torch.arange(len(scores), device=scores.device)
    if classes is not None:
        same = classes[:, None] == classes[None, :]
        scores = scores.masked_fill(same.fill_diagonal_(False), -torch.inf)
    return F.cross_entropy(scores, target), F.cross_entropy(scores.t(), target)
