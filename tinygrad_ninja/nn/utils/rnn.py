"""Sequences of different lengths as one Tensor."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ...api.creation import full
from ...api.missing import explain
from ...engine.tensor import Tensor

__all__ = ["pad_sequence"]


def pad_sequence(
    sequences: Iterable[Tensor],
    batch_first: bool = False,
    padding_value: float = 0.0,
    padding_side: str = "right",
) -> Tensor:
    """Return n sequences, (length, …) each, beside each other, the shorter ones filled up with
    `padding_value`: (longest, n, …), or with batch_first (n, longest, …); in the dtype of the first.

    padding_side: "right" fills up behind, "left" before. Raises RuntimeError for no sequences, for another
    side, and where the other sizes differ.
    """
    if padding_side not in ("left", "right"):
        raise RuntimeError(f"Expected padding_side to be one of left or right, but got {padding_side}.")
    tensors = list(sequences)
    if not tensors:
        raise RuntimeError("received an empty list of sequences")
    first, lengths = tensors[0], [len(x) for x in tensors]
    longest = max(lengths)
    shape = (len(tensors), longest, *first.shape[1:])
    padded = full(shape, padding_value, dtype=first.dtype, device=first.device)
    for i, (x, n) in enumerate(zip(tensors, lengths, strict=True)):
        start = longest - n if padding_side == "left" else 0
        padded[i, start : start + n] = x
    return padded if batch_first else padded.transpose(0, 1)


def __getattr__(name: str) -> Any:
    if name.startswith("__"):
        raise AttributeError(name)
    raise AttributeError(explain("nn.utils.rnn", name, __all__))
