"""What is true of an operation, beside its rules: said once, on its entry, and asked by whoever serves it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(kw_only=True, eq=False)
class Facts:
    """The keywords of `@operation` that are no rules, and the attributes of an entry.

    broadcasts: the inputs are broadcast against each other, so each gradient is summed back to its shape.
    floating: integers become floating point numbers first.
    numeric: true and false are no numbers to it, and refused.
    view: the output may share the input's memory.
    contiguous: the output lies in order in memory, however the inputs do.
    keeps: PyTorch refuses a second backward through it, though the rules read no array. On an entry: whether
        the first backward frees its nodes; None where it depends on the node, of which `frees` then says it.
    torch_name: what PyTorch prints as the `grad_fn`, where that is not the name and "Backward0".
    """

    broadcasts: bool = False
    floating: bool = False
    numeric: bool = False
    view: bool = False
    contiguous: bool = False
    keeps: bool | None = False
    torch_name: str = ""
