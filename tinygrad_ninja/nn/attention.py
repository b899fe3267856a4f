"""Multi-head attention as a layer."""

from __future__ import annotations

from typing import Any

from ..api.creation import empty
from ..api.joining import cat
from ..api.missing import refuse
from ..engine.tensor import Tensor
from . import functional as F
from . import init
from .functional.dot_product import attention_weights, hidden_bias
from .layers import Linear
from .module import Module, Parameter


class MultiheadAttention(Module):
    """num_heads attentions beside each other, each on its own embed_dim / num_heads features of a projection
    of query, key and value; their results, joined, are projected once more (Vaswani et al. 2017).

    in_proj_weight: (3 · embed_dim, embed_dim), the projections of query, key and value below each other, by
    Xavier's uniform initialisation; in_proj_bias: (3 · embed_dim); out_proj: Linear; the biases start at 0.
    With add_bias_kv each source ends with a learned row, bias_k and bias_v: (1, 1, embed_dim), by Xavier's
    normal initialisation; with add_zero_attn with a row of zeros, which can be attended to instead of any.
    Tensors are (length, batch, embed_dim), with batch_first (batch, length, embed_dim), or without a batch
    (length, embed_dim). Raises ValueError where embed_dim or num_heads is not above 0, AssertionError where
    num_heads does not divide embed_dim.
    """

    def __init__(
        self,
        embed_dim: int,
        num_heads: int,
        dropout: float = 0.0,
        bias: bool = True,
        add_bias_kv: bool = False,
        add_zero_attn: bool = False,
        kdim: int | None = None,
        vdim: int | None = None,
        batch_first: bool = False,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        if (kdim or embed_dim, vdim or embed_dim) != (embed_dim, embed_dim):
            refuse("MultiheadAttention", "a Linear before it, to embed_dim features", kdim=kdim, vdim=vdim)
        if embed_dim <= 0 or num_heads <= 0:
            raise ValueError(
                f"embed_dim and num_heads must be greater than 0, got embed_dim={embed_dim} and "
                f"num_heads={num_heads} instead"
            )
        if embed_dim % num_heads:
            raise AssertionError(f"embed_dim {embed_dim} must be divisible by num_heads {num_heads}")
        self.embed_dim, self.num_heads, self.dropout = embed_dim, num_heads, dropout
        self.batch_first = batch_first
        factory = {"device": device, "dtype": dtype}
        self.in_proj_weight = Parameter(empty(3 * embed_dim, embed_dim, **factory))
        self.register_parameter("in_proj_bias", Parameter(empty(3 * embed_dim, **factory)) if bias else None)
        self.out_proj = Linear(embed_dim, embed_dim, bias=bias, **factory)
        self.bias_k = Parameter(empty(1, 1, embed_dim, **factory)) if add_bias_kv else None
        self.bias_v = Parameter(empty(1, 1, embed_dim, **factory)) if add_bias_kv else None
        self.add_zero_attn = add_zero_attn
        init.xavier_uniform_(self.in_proj_weight)
        if bias:
            init.zeros_(self.in_proj_bias)
            init.zeros_(self.out_proj.bias)
        for row in (self.bias_k, self.bias_v):
            if row is not None:
                init.xavier_normal_(row)

    def forward(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        key_padding_mask: Tensor | None = None,
        need_weights: bool = True,
        attn_mask: Tensor | None = None,
        average_attn_weights: bool = True,
        is_causal: bool = False,
    ) -> tuple[Tensor, Tensor | None]:
        """Return the result, of the query's shape, and the attention weights.

        The weights are (batch, L, S), the mean over the heads, or (batch, num_heads, L, S) without
        average_attn_weights, where S counts the rows added to the source; None without need_weights.
        attn_mask: (L, S) or (batch · num_heads, L, S); key_padding_mask: (batch, S), both without these rows.
        A bool mask is true for keys to hide; numbers are added before the softmax; a query from which all
        keys are hidden has NaN, or without need_weights 0. is_causal only says that attn_mask is causal.
        Raises RuntimeError for is_causal without a mask, and for an attn_mask of another shape;
        AssertionError for other shapes of the rest.
        """
        if is_causal and attn_mask is None:
            raise RuntimeError("Need attn_mask if specifying the is_causal hint.")
        self._check_shapes(query, key, value)
        batched = query.ndim == 3
        if not batched:
            query, key, value = (x.unsqueeze(0) for x in (query, key, value))
            key_padding_mask = None if key_padding_mask is None else key_padding_mask.unsqueeze(0)
        elif not self.batch_first:
            query, key, value = (x.transpose(0, 1) for x in (query, key, value))
        weights = self.in_proj_weight.chunk(3)
        biases = [None] * 3 if self.in_proj_bias is None else self.in_proj_bias.chunk(3)
        projected = [
            F.linear(x, weight, bias)
            for x, weight, bias in zip((query, key, value), weights, biases, strict=True)
        ]
        if self._added:
            projected[1] = self._with_rows(projected[1], self.bias_k)
            projected[2] = self._with_rows(projected[2], self.bias_v)
        q, k, v = map(self._heads, projected)
        mask = self._mask(attn_mask, key_padding_mask, q, k)
        attention = attention_weights(q, k, mask, zeros_where_hidden=not need_weights)
        attention = F.dropout(attention, self.dropout, self.training)
        joined = (attention @ v).transpose(1, 2).flatten(2)
        out = self.out_proj(joined)
        if not batched:
            out = out.squeeze(0)
        elif not self.batch_first:
            out = out.transpose(0, 1)
        if not need_weights:
            return out, None
        shown_weights = attention.mean(1) if average_attn_weights else attention
        return out, shown_weights if batched else shown_weights.squeeze(0)

    @property
    def _added(self) -> int:
        """Return how many rows are added to each source."""
        return (self.bias_k is not None) + self.add_zero_attn

    def _with_rows(self, projected: Tensor, learned: Tensor | None) -> Tensor:
        """Return (batch, length, embed_dim) with the learned row, where there is one, and that of zeros."""
        batch, _, features = projected.shape
        rows = [] if learned is None else [learned.expand(batch, 1, features)]
        if self.add_zero_attn:
            rows.append(projected.new_zeros(batch, 1, features))
        return cat([projected, *rows], 1)

    def _check_shapes(self, query: Tensor, key: Tensor, value: Tensor) -> None:
        """Raise AssertionError where the three do not have the dimensions and the features that they need."""
        if query.ndim not in (2, 3):
            raise AssertionError(
                f"query should be unbatched 2D or batched 3D tensor but received {query.ndim}-D query tensor"
            )
        if not key.ndim == value.ndim == query.ndim:
            raise AssertionError(
                f"For a {query.ndim}-D query, expected key and value to be {query.ndim}-D but found "
                f"{key.ndim}-D and {value.ndim}-D tensors respectively"
            )
        if query.shape[-1] != self.embed_dim:
            raise AssertionError(
                f"was expecting embedding dimension of {self.embed_dim}, but got {query.shape[-1]}"
            )
        if key.shape[:-1] != value.shape[:-1]:
            raise AssertionError(
                f"key's sequence and batch dims {key.shape[:-1]} do not match value's {value.shape[:-1]}"
            )

    def _heads(self, projected: Tensor) -> Tensor:
        """Return (batch, length, embed_dim) as (batch, num_heads, length, embed_dim / num_heads)."""
        batch, length, _ = projected.shape
        return projected.reshape(batch, length, self.num_heads, -1).transpose(1, 2)

    def _mask(
        self, attn_mask: Tensor | None, key_padding_mask: Tensor | None, q: Tensor, k: Tensor
    ) -> Tensor | None:
        """Return both masks as numbers to add to the scores, (batch, num_heads, L, S), or None."""
        batch, heads, length, _ = q.shape
        sources = k.shape[2] - self._added
        total = None
        for name, mask, shapes in (
            ("attn_mask", attn_mask, ((length, sources), (batch * heads, length, sources))),
            ("key_padding_mask", key_padding_mask, ((batch, sources),)),
        ):
            if mask is None:
                continue
            if tuple(mask.shape) not in shapes:
                expected = " or ".join(map(str, shapes))
                kind = RuntimeError if mask is attn_mask else AssertionError  # as in PyTorch
                raise kind(f"the shape of {name} is {tuple(mask.shape)}, but should be {expected}")
            bias = F.pad(hidden_bias(mask, q), (0, self._added))
            if mask is key_padding_mask:
                bias = bias.reshape(batch, 1, 1, -1)
            elif mask.ndim == 3:
                bias = bias.reshape(batch, heads, length, -1)
            total = bias if total is None else total + bias
        return total
