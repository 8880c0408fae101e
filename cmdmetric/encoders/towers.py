"""CLIP's two towers as open_clip computes them, without the work that cannot change a feature."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from open_clip import CLIP
from open_clip.transformer import (
    QuickGELU,
    ResidualAttentionBlock,
    Transformer,
    VisionTransformer,
)
from torch import Tensor, nn

#: Queries (q, D) of the rows that are read, keys and values (r, 2 D) of all rows -> (q, D).
Attend = Callable[[Tensor, Tensor], Tensor]
#: Captions whose lengths differ by less than this many tokens stand together: of COCO's, sorting
#: by their words alone would share 1 % more, and nearly double the padding in attention.
SIMILAR = 8
#: The a of QuickGELU.
_QUICK = 1.702


def encode_text(model: CLIP, tokens: Tensor) -> Tensor:
    """open_clip's encode_text of tokens (n, context): (n, d), not normalised.

    A causal tower that reads its feature off the end-of-text token (the highest index) is not run
    on what follows that token, and once on what neighbouring captions begin with in common: sort
    them with `reading_order`. Every other one is run as it is.
    """
    if model.text_pool_type != "argmax" or not _is_causal(model.attn_mask):
        return model.encode_text(tokens)
    if not _is_plain(model.transformer):
        return encode_causal_text(model, tokens)
    return _project_text(model, _text_transformer(model, tokens))


def encode_causal_text(model: CLIP, tokens: Tensor) -> Tensor:
    """`encode_text` of a causal tower by open_clip's own layers, up to the last end of text."""
    ends = tokens.argmax(dim=1)
    length = int(ends.max()) + 1
    x = model.token_embedding(tokens[:, :length]) + model.positional_embedding[:length]
    x = model.transformer(x, attn_mask=model.attn_mask[:length, :length])
    return _project_text(model, x[torch.arange(len(x), device=x.device), ends])


def encode_image(model: CLIP, pixels: Tensor) -> Tensor:
    """open_clip's encode_image of normalised pixels (n, 3, s, s): (n, d), not normalised.

    A vision transformer that reads its feature off the class token computes its last layer for
    that token only. Every other tower is run as it is.
    """
    visual = model.visual
    if not (
        type(visual) is VisionTransformer
        and visual.attn_pool is None
        and visual.pool_type == "tok"
        and _is_plain(visual.transformer)
    ):
        return model.encode_image(pixels)
    x = visual._embeds(pixels)
    n, length, _ = x.shape
    *blocks, last = visual.transformer.resblocks
    for block in blocks:
        x = block(x)
    rows = torch.arange(n, device=x.device) * length
    heads = last.attn.num_heads

    def attend(q: Tensor, kv: Tensor) -> Tensor:
        k, v = _split(kv.view(n, length, -1), 2, heads)
        (query,) = _split(q[:, None], 1, heads)
        return F.scaled_dot_product_attention(query, k, v).flatten(1)

    x = visual.ln_post(_block(last, x.flatten(0, 1), rows, attend))
    return x if visual.proj is None else x @ visual.proj


def reading_order(tokens: Tensor) -> Tensor:
    """Order captions so that neighbours are of similar length and, within that, begin alike.

    Args:
        tokens: Token indices (n, context).

    Returns:
        The positions (n,) in that order.
    """
    ends = tokens.argmax(dim=1).numpy() // SIMILAR
    return torch.from_numpy(np.lexsort([*tokens.numpy().T[::-1], ends]))


def fold_quick_gelu(model: nn.Module) -> None:
    """Compute QuickGELU, x sigmoid(a x), in one pass over memory in place of three.

    With the a in the weights before it, and divided out of those behind it, it is SiLU. Features
    are the same but for rounding.
    """
    layer: Any
    for layer in model.modules():
        if isinstance(getattr(layer, "gelu", None), QuickGELU):
            layer.c_fc.weight.mul_(_QUICK)
            layer.c_fc.bias.mul_(_QUICK)
            layer.c_proj.weight.div_(_QUICK)
            layer.gelu = nn.SiLU(inplace=True)


def _project_text(model: CLIP, x: Tensor) -> Tensor:
    x = model.ln_final(x)
    if isinstance(model.text_projection, nn.Linear):
        return model.text_projection(x)
    return x if model.text_projection is None else x @ model.text_projection


def _text_transformer(model: CLIP, tokens: Tensor) -> Tensor:
    """The last layer's output (n, D) at the end-of-text tokens.

    A token's value depends on the tokens before it alone, so captions that begin alike share the
    values of their beginning. What is computed is thus a tree of tokens, of r nodes; captions of
    tokens (n, length) are paths in it, and only attention needs them as such.
    """
    ends = tokens.argmax(dim=1)
    tokens = tokens[:, : int(ends.max()) + 1]
    n, length = tokens.shape
    position = torch.arange(length, device=tokens.device)
    inside = position <= ends[:, None]
    # A token is a node of its own from where its caption first differs from the one before.
    new = inside.clone()
    new[1:] &= (tokens[1:] != tokens[:-1]).cummax(dim=1).values
    nodes = torch.where(new, new.flatten().cumsum(0).view(n, length) - 1, 0)
    nodes = nodes.cummax(dim=0).values  # a shared one is the last that was new at its position
    first = new.flatten().nonzero()[:, 0]  # where in (n, length) each node stands first
    finals = nodes[torch.arange(n, device=tokens.device), ends]
    paths = nodes.flatten()
    heads = model.transformer.resblocks[0].attn.num_heads

    def attend(q: Tensor, kv: Tensor) -> Tensor:
        q, k, v = _split(torch.cat([q, kv], 1)[paths].view(n, length, -1), 3, heads)
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        return y.transpose(1, 2).reshape(n * length, -1)[first]

    def attend_last(q: Tensor, kv: Tensor) -> Tensor:
        k, v = _split(kv[paths].view(n, length, -1), 2, heads)
        (query,) = _split(q[:, None], 1, heads)
        return F.scaled_dot_product_attention(query, k, v, inside[:, None, None]).flatten(1)

    x = model.token_embedding(tokens.flatten()[first]) + model.positional_embedding[first % length]
    *blocks, last = model.transformer.resblocks
    for block in blocks:
        x = _block(block, x, None, attend)
    return _block(last, x, finals, attend_last)


def _block(block: ResidualAttentionBlock, x: Tensor, rows: Tensor | None, attend: Attend) -> Tensor:
    """A transformer block on rows x (r, D), for those of its outputs that are read (None: all)."""
    attention, width = block.attn, x.shape[1]
    weight, bias = attention.in_proj_weight, attention.in_proj_bias
    y = block.ln_1(x)
    if rows is None:
        q, kv = F.linear(y, weight, bias).split([width, 2 * width], dim=1)
    else:
        q = F.linear(y[rows], weight[:width], bias[:width])
        kv = F.linear(y, weight[width:], bias[width:])
        x = x[rows]
    x = x + attention.out_proj(attend(q, kv))
    return x + block.mlp(block.ln_2(x))


def _split(x: Tensor, parts: int, heads: int) -> tuple[Tensor, ...]:
    """(n, length, parts D) -> parts of (n, heads, length, D / heads)."""
    n, length, _ = x.shape
    return x.view(n, length, parts, heads, -1).permute(2, 0, 3, 1, 4).unbind()


def _is_plain(transformer: Any) -> bool:
    """Whether each block is x + attention(ln_1(x)), then x + mlp(ln_2(x)), and nothing else."""
    return type(transformer) is Transformer and all(
        type(block) is ResidualAttentionBlock
        and isinstance(block.ls_1, nn.Identity)
        and isinstance(block.ls_2, nn.Identity)
        and not hasattr(block, "ln_1_kv")
        and block.attn.in_proj_bias is not None
        for block in transformer.resblocks
    )


def _is_causal(mask: Tensor | None) -> bool:
    return mask is not None and bool((mask == torch.full_like(mask, -torch.inf).triu(1)).all())
