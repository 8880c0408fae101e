"""The losses: adversarial, and the two matching losses of the ITM (Fig. 4, Eq. 8).

The sentence loss is Eq. 8 with the cosine of sentence and image as R; the word loss is Eq. 8 with
the score of Fig. 4 and Sec. 8.1 between words and regions. Which stage has which of them, times
which lambda, is put together in `training.gan_step` (Eq. 1-7, 9).

Where paper and released code differ, the code is followed, since the published weights come from
it: the discriminator also sees real images with a wrong caption, the generator's terms have no
factor 1/2, gammas are 4, 5, 10 where the paper says 10, Eq. 8's sum over a batch is a mean, and
there is the KL term of conditioning augmentation (`kl`), which the paper does not have.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from grgan_ref.config import LossConfig

# The word loss takes so many images at a time: what it works on then stays in a processor's cache.
IMAGES_AT_ONCE = 8


def real_loss(logits: Tensor) -> Tensor:
    """Return -log D, the mean over the batch; logits (B,), D = sigmoid(logits)."""
    return F.softplus(-logits).mean()


def fake_loss(logits: Tensor) -> Tensor:
    """Return -log(1 - D), the mean over the batch; logits (B,)."""
    return F.softplus(logits).mean()


def kl(mu: Tensor, logvar: Tensor) -> Tensor:
    """Return the divergence of N(mu, exp(logvar)) from N(0, 1), a mean over samples and dimensions.

    It is in the released code and its predecessors since StackGAN, not in the paper.
    """
    return -0.5 * (1 + logvar - mu.square() - logvar.exp()).mean()


def sentence_loss(
    images: Tensor, sentences: Tensor, loss: LossConfig, classes: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Sentence-image matching (Eq. 8): does each image find its sentence, and each sentence it?

    Args:
        images: Image codes (B, E).
        sentences: Sentence vectors (B, E); row i belongs to image i.
        loss: gamma3 sharpens the cosines.
        classes: (B,); samples of one class are not told apart (`_both_directions`).

    Returns:
        The cross-entropies of the two directions, images to sentences and sentences to images.
    """
    dots = images @ sentences.t()
    lengths = images.norm(dim=1, keepdim=True) * sentences.norm(dim=1)
    return _both_directions(loss.gamma3 * dots / lengths.clamp_min(1e-8), classes)


def word_loss(
    regions: Tensor,
    words: Tensor,
    lengths: Tensor,
    loss: LossConfig,
    classes: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """Word-region matching (Fig. 4, Sec. 8.1; Eq. 8), over all pairs of an image and a caption.

    A pair's score is the soft maximum (gamma2) over the words of the cosine of the word and the
    regions that it looks at. `plain_word_loss` says the same as the formulas are written. Here what
    a word looks at, c = V a with regions V (E, R) and attention a (R,), is never formed: its
    product with the word is the attention's with the products V^T w that made it, and its square
    is a^T (V^T V) a, cheaper by E / R. Slots behind a caption's end are left out.

    Args:
        regions: (B, E, H, W).
        words: (B, E, L); caption i belongs to image i.
        lengths: (B,); the caption's first `lengths` slots count. On the CPU, else the device is
            waited for.
        loss: The gammas.
        classes: (B,); samples of one class are not told apart (`_both_directions`).

    Returns:
        The cross-entropies of the two directions, images to captions and captions to images.
    """
    slots = torch.arange(words.shape[2], device=lengths.device) < lengths[:, None]  # (B, L)
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


def plain_word_loss(
    regions: Tensor,
    words: Tensor,
    lengths: Tensor,
    loss: LossConfig,
    classes: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """The word loss as Fig. 4 and Sec. 8.1 have it, caption by caption, to read: `word_loss`.

    The attention is AttnGAN's: scores s = w^T v are first normalised over the words of the caption,
    so that the words share out each region, and then, sharpened by gamma1, over the regions.
    """
    seen = regions.flatten(2)  # (B, E, R)
    columns = []
    for caption, length in zip(words, lengths.tolist(), strict=True):
        w = caption[:, :length]  # (E, T)
        scores = w.t() @ seen  # (B, T, R)
        attention = (loss.gamma1 * scores.softmax(dim=1)).softmax(dim=2)
        context = seen @ attention.transpose(1, 2)  # (B, E, T): the regions that each word looks at
        relevance = F.cosine_similarity(w.expand_as(context), context, dim=1)  # (B, T)
        columns.append((loss.gamma2 * relevance).exp().sum(dim=1).log())
    return _both_directions(loss.gamma3 * torch.stack(columns, dim=1), classes)


def region_attention(words: Tensor, regions: Tensor, padding: Tensor, gamma1: float) -> Tensor:
    """Return how much each word of each caption looks at each region of each image.

    Args:
        words: (C, E, L).
        regions: (B, E, R).
        padding: (C, L) bool.
        gamma1: The sharpness.

    Returns:
        (B, C, L, R), which sums to 1 over R, and is zero at padding.
    """
    rows, kept = _kept(words, ~padding)
    _, attention = _look(rows, kept, regions, padding.shape, gamma1)
    maps = attention.new_zeros(len(regions), padding.numel(), regions.shape[2])
    return maps.index_copy(1, kept, attention).unflatten(1, padding.shape)


def _kept(words: Tensor, slots: Tensor) -> tuple[Tensor, Tensor]:
    """The N words of all captions, one below another (N, E), and their numbers among all slots."""
    kept = slots.flatten().nonzero().squeeze(1).to(words.device, non_blocking=True)
    return words.transpose(1, 2).flatten(0, 1).index_select(0, kept), kept


def _look(
    rows: Tensor, kept: Tensor, regions: Tensor, shape: torch.Size, gamma1: float
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
    def forward(ctx: Any, attention: Tensor, regions: Tensor) -> Tensor:
        """The squared lengths (B, N)."""
        seen = attention @ (regions.transpose(1, 2) @ regions)  # V^T V a
        ctx.save_for_backward(attention, regions, seen)
        return (attention * seen).sum(dim=2)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor]:
        """The gradients of the attention (B, N, R) and of the regions (B, E, R)."""
        attention, regions, seen = ctx.saved_tensors
        twice = 2 * gradient.unsqueeze(2)
        return twice * seen, regions @ (attention.transpose(1, 2) @ (twice * attention))


def _both_directions(scores: Tensor, classes: Tensor | None) -> tuple[Tensor, Tensor]:
    """Cross-entropy of the diagonal of scores (B, B) over rows and over columns.

    A pair of different samples of one class is no mismatch: it is left out of both.
    """
    target = torch.arange(len(scores), device=scores.device)
    if classes is not None:
        same = classes[:, None] == classes[None, :]
        scores = scores.masked_fill(same.fill_diagonal_(False), -torch.inf)
    return F.cross_entropy(scores, target), F.cross_entropy(scores.t(), target)
