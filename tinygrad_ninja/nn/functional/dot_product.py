"""Attention: the result for each query is a mean of the values, weighted by how well their keys match it."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any

import numpy as np

from ...api.creation import zeros_like
from ...api.missing import refuse
from ...arrays import dtypes
from ...arrays.dispatch import array_dtype, device_of, dtype_of, move, namespace_of
from ...engine.tensor import Tensor, wrap
from .arguments import takes_tensors
from .basic import dropout


@takes_tensors
def scaled_dot_product_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Tensor:
    """Return softmax(scale · query keyᵀ) value.

    query: (…, L, E), key: (…, S, E), value: (…, S, Ev), result: (…, L, Ev), in the dtype of query. attn_mask:
    broadcast to (…, L, S); a bool mask is true for keys that take part, numbers are added before the softmax.
    A query for which no key takes part gets zeros. is_causal: query i sees the keys 0 … i. scale: 1/√E by
    default. dropout_p: the probability with which each weight is dropped, always (give 0 in evaluation).
    Raises RuntimeError for a mask of integers, and for both a mask and is_causal.

    Source: Vaswani et al., Attention Is All You Need (2017).
    """
    refuse("scaled_dot_product_attention", "as many keys and values as queries", enable_gqa=enable_gqa)
    bias = None
    if is_causal:
        if attn_mask is not None:
            raise RuntimeError("scaled_dot_product_attention: give attn_mask or is_causal=True, not both")
        bias = causal_bias(query, key)
    elif attn_mask is not None:
        bias = hidden_bias(~attn_mask if attn_mask.dtype is dtypes.bool else attn_mask, query)
    weights = attention_weights(query, key, bias, scale)
    return dropout(weights, dropout_p) @ value


def attention_weights(
    query: Tensor,
    key: Tensor,
    bias: Tensor | None,
    scale: float | None = None,
    zeros_where_hidden: bool = True,
) -> Tensor:
    """Return softmax(scale · query keyᵀ + bias), (…, L, S); in a row where the bias is -∞ throughout 0, or
    NaN."""
    scores = (query * (1 / math.sqrt(query.shape[-1]) if scale is None else scale)) @ key.mT
    if bias is None:
        return scores.softmax(-1)
    xp = namespace_of(bias.array)
    rows = xp.all(bias.array == -math.inf, (bias.ndim - 1,), True) if zeros_where_hidden else None
    if rows is None or not xp.any(rows, None, False):  # depends on the mask alone; the scores are not read
        masked_scores = scores + bias
        return masked_scores.softmax(-1)
    hidden = wrap(rows)
    masked_scores = scores + bias.masked_fill(hidden, 0.0)
    return masked_scores.softmax(-1).masked_fill(hidden, 0.0)


def hidden_bias(mask: Tensor, query: Tensor) -> Tensor:
    """Return the numbers that a mask adds to the scores: -∞ where a bool mask is true, else 0; another mask
    itself."""
    if mask.dtype is dtypes.bool:
        return zeros_like(mask, dtype=query.dtype).masked_fill(mask, -math.inf)
    if not mask.dtype.is_floating_point:
        raise RuntimeError(f"a mask is bool, or of query's dtype {query.dtype}, and not {mask.dtype}")
    return mask


def causal_bias(query: Tensor, key: Tensor) -> Tensor:
    """Return -∞ where the key comes after the query, else 0: (L, S)."""
    array = query.array
    return wrap(_causal(query.shape[-2], key.shape[-2], dtype_of(array), device_of(array)))


@lru_cache(maxsize=16)
def _causal(queries: int, keys: int, dtype: dtypes.dtype, device: str) -> Any:
    hidden = move(np.triu(np.full((queries, keys), -np.inf, dtype.carrier), 1), device)
    return namespace_of(hidden).astype(hidden, array_dtype(hidden, dtype))
