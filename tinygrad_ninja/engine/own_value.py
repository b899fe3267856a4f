"""A Value that a program computed itself, in micrograd's way, and whose gradient its `_backward` hands on."""

from __future__ import annotations

from typing import Any


def do_nothing() -> None:
    """Hand nothing on: the `_backward` of a Value before one is set."""


def hand_on(value: Any, dout: float) -> None:
    """Call the `_backward` that the program set, during a backward pass in which the value's gradient is
    `dout`.

    It reads this gradient from the value's `grad`, and adds to those of the children, as in micrograd. There
    the sums of this and earlier passes stand; so they are put aside meanwhile.
    """
    kept = {node: node.grad for node in (value, *value.edges)}
    for node in kept:
        node.grad = 0.0
    value.grad = dout
    try:
        value._backward()
        for child in dict.fromkeys(value.edges):
            child._dout += child.grad
    finally:
        for node, grad in kept.items():
            node.grad = grad
