"""Lines that move values: views, joins, indices; products of matrices; and any entry of the table."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from table_calls import EXACTLY, LEAST, draw_parameter, input_shapes

from tinygrad_ninja.arrays import dtypes
from tinygrad_ninja.ops import TABLE

from .values import EXACT, one_dim
from .writer import Writer

KNOWN_ONLY = {"to_device", "put_view"}
"""Entries that are not drawn: one needs another device, the other is refused by name."""


def view(w: Writer) -> None:
    x = w.any()
    if x is None:
        return
    shape, draw = tuple(w.value(x).shape), w.draw
    ndim, d = len(shape), one_dim(w, x)
    forms = [
        f"{x}.reshape(-1)",
        f"{x}.unsqueeze({draw.integer(0, ndim)})",
        f"{x}.squeeze()",
        f"{x}.flatten()",
    ]
    forms += [f"{x}[None]", f"{x}[..., None]", f"{x}.contiguous()", f"{x}.clone()", f"{x}.detach()"]
    forms += [f"{x}.expand({draw.short()}, *{shape})", f"{x}.expand(2, *{shape})", f"{x}.flip(())"]
    if ndim:
        n = shape[d]
        start, stop = (draw.choice([None, *range(-n, n + 1)]) for _ in range(2))
        key = ", ".join([":"] * (d % ndim))
        key += (
            ", " if key else ""
        ) + f"{start or ''}:{'' if stop is None else stop}:{draw.choice(['', 2, 3])}"
        forms += [
            f"{x}[{key}]",
            f"{x}[{key}]",
            f"{x}.flip({d})",
            f"{x}.chunk({draw.choice([2, 3])}, {d})[-1]",
        ]
        forms += [f"{x}.select({d}, {draw.integer(-n, max(n - 1, 0))})", f"{x}[..., {draw.integer(-3, 3)}]"]
        if n:  # at a place that is computed
            forms += [f"{x}[(slice(None),) * {d % ndim} + (({x} > 0.1).sum() % {n},)]"] * 3
        forms += [
            f"{x}.unbind({d})[{draw.choice([0, -1])}]",
            f"{x}.split({draw.integer(1, max(n, 1))}, {d})[0]",
        ]
    if ndim > 1:
        d2 = draw.integer(0, ndim - 1)
        forms += [f"{x}.transpose({d}, {d2})", f"{x}.permute({draw.permutation(range(ndim))})", f"{x}.mT"]
        forms += [f"{x}.reshape({math.prod(shape[:2])}, -1)", f"{x}.reshape({shape[::-1]})"]
        forms += [f"{x}.view({shape[0]}, -1)", f"{x}.flip((0, 1))", f"{x}.flatten(0, 1)"]
        forms += [f"{x}.triu({draw.integer(-2, 2)})", f"{x}.tril({draw.integer(-2, 2)})"]
    if ndim == 2:
        forms += [f"{x}.T", f"{x}.T", f"{x}.diag({draw.integer(-2, 2)})", f"{x}.t()"]
    if ndim == 1:
        forms += [f"{x}.diag({draw.integer(-2, 2)})", f"{x}.expand({draw.width()}, {shape[0]})"]
        forms += [f"{x}.reshape({k}, -1)" for k in (2, 3, 5) if shape[0] % k == 0]
    w.say(draw.choice(forms), exact=True)


def join(w: Writer) -> None:
    x = w.any()
    if x is None:
        return
    shape, d = tuple(w.value(x).shape), one_dim(w, x)
    parts, kind = [x], w.value(x).array.dtype.kind
    for _ in range(w.draw.integer(0, 2)):
        fits = w.pick(lambda v: v.array.dtype.kind == kind and joins(tuple(v.shape), shape, d))
        other = fits if fits and w.draw.chance(0.7) else w.beside(x)
        parts.append(other if other[0] in "pbxnv" else x)
    if w.draw.chance(0.3) and shape:
        n = shape[d]
        parts.append(f"{x}.chunk(2, {d})[0]" if n > 1 else x)
    joined = ", ".join(w.draw.permutation(parts))
    ndim = len(shape)
    stacked = f"torch.stack([{joined}], {w.draw.integer(-ndim - 1, ndim)})"
    w.say(w.draw.choice([f"torch.cat([{joined}], {d})"] * 2 + [stacked]), exact=True)


def joins(a: tuple[int, ...], b: tuple[int, ...], dim: int) -> bool:
    """Return whether Tensors of these shapes can be joined along the dim."""
    return len(a) == len(b) > 0 and all(
        n == m or i == dim % len(a) for i, (n, m) in enumerate(zip(a, b, strict=True))
    )


def indices(w: Writer, n: int, shape: tuple[int, ...], negative: bool = True) -> str:
    """Return the text of integers that a dim of n has: an argument, a Tensor, a list, or computed ones."""
    draw, low = w.draw, -n if negative and w.draw.chance(0.4) else 0
    count = math.prod(shape)
    form = draw.choice(["leaf", "leaf", "leaf", "computed", "list"])
    if form == "list" and len(shape) == 1 and count < 12:
        if count == n and draw.chance(0.5):
            return f"range({n})"
        return str([draw.integer(low, n - 1) for _ in range(count)])
    if form == "computed":
        found = w.pick(lambda x: x.array.dtype.kind == "i" and tuple(x.shape) == shape)
        if found:
            return f"({found} % {n}).long()"
    return w.leaf(shape, draw.choice(["int64", "int64", "int32"]), "range", low=low, high=n)


def index(w: Writer) -> None:
    x = w.pick(lambda v: v.ndim and 0 not in v.shape)
    if x is None:
        return
    draw, shape = w.draw, tuple(w.value(x).shape)
    if draw.chance(0.15):  # the rows of a table
        x = w.leaf((draw.width() or 1, draw.width() or 1))
        shape = tuple(w.value(x).shape)
    d = draw.integer(0, len(shape) - 1)
    some = tuple(draw.choice([(draw.short(),), (draw.width(),), (2, 3), (draw.short(), 3), (1,), ()]))
    n, before = shape[d], ":, " * d
    forms = [f"{x}[{before}{indices(w, n, some)}]"] * 3
    forms += [f"{x}.index_select({d}, {indices(w, n, some[:1] or (1,), False)})"]
    if len(shape) > 1:
        other = draw.choice([some, some[-1:], (1,), ()])
        pair = f"{indices(w, shape[0], some)}, {indices(w, shape[1], other)}"
        forms += [f"{x}[{pair}]"] * 2
        forms += [
            f"{x}[range({shape[0]}), {indices(w, shape[1], shape[:1])}]",
            f"{x}[{indices(w, n, some)}, None]",
        ]
        forms += [f"{x}[{indices(w, shape[0], some)}, 1:]", f"{x}[0, {indices(w, shape[1], some)}]"]
    if len(shape) > 2:
        forms += [f"{x}[{indices(w, shape[0], some)}, :, {indices(w, shape[2], some)}]"]
    forms += [f"{x}[{before}{x}.{draw.choice(['argmax', 'argmin'])}({d})]"]
    forms += [f"{x}[{before}{x}.min({d}).indices]"]
    sizes = tuple(draw.integer(1, n) if i != d else draw.short() for i, n in enumerate(shape))
    forms += [f"{x}.gather({d}, {indices(w, n, sizes, False)})"] * 2
    if len(shape) == 2:
        forms += [f"F.embedding({indices(w, shape[0], some, False)}, {x})"] * 2
    count = draw.short()
    source = w.leaf((*shape[:d], count, *shape[d + 1 :]), w.value(x).array.dtype.name)
    forms += [f"{x}.index_add({d}, {indices(w, n, (count,), False)}, {source})"]
    forms += [f"F.one_hot({indices(w, n, some, False)}, {n})"]
    w.say(draw.choice(forms), exact=True)


def product(w: Writer) -> None:
    draw = w.draw
    x = w.float(1) if draw.chance(0.8) else w.leaf(w.shape(draw.choice([1, 2, 3, 4])))
    shape, dtype = tuple(w.value(x).shape), w.value(x).array.dtype.name
    n = shape[-1]
    if draw.chance(0.3):
        y = w.pick(lambda v: v.array.dtype.name == dtype and v.ndim > 1 and v.shape[-2] == n)
    else:
        batch = tuple(1 if draw.chance(0.4) else size for size in shape[:-2]) if draw.chance(0.4) else ()
        y = w.leaf(draw.choice([(n,), (*batch, n, draw.width()), (*batch, n, draw.short())]), dtype)
    if y is None:
        return
    forms = [f"{x} @ {y}"] * 4 + [
        f"{x}.mT @ {x}",
        f"{x} @ {x}.mT",
        f"torch.matmul({x}, {y})",
        f"{x}.dot({x})",
    ]
    if len(shape) > 2:
        scale = draw.choice(["", ", is_causal=True"])
        forms += [f"F.scaled_dot_product_attention({x}, {x}, {x}{scale})"] * 2
    w.say(draw.choice(forms))


NOT_IN_C = {"argsort", "scatter_amax", "scatter_amin", "scatter_prod"}
"""Entries that run as NumPy's and torch's code only."""


def entry(w: Writer) -> None:
    """Add a call of any entry of the table, with what `table_calls` draws for its parameters."""
    names = [
        name for name in TABLE if name not in KNOWN_ONLY | NOT_IN_C and not (name == "prod" and w.special)
    ]
    operation = TABLE[w.draw.choice(names)]
    least = max((LEAST.get(each, 0) for each in operation.parameters), default=0)
    ndims = [EXACTLY[operation.name]] if operation.name in EXACTLY else range(least, 5)
    x = w.pick(lambda v: v.is_floating_point() and v.ndim in ndims and 0 not in v.shape)
    if x is None:
        return
    shape, dtype = tuple(w.value(x).shape), w.value(x).array.dtype.name
    parameters: dict[str, Any] = {}
    try:
        for name in operation.parameters:
            parameters[name] = draw_parameter(w.draw, operation, name, shape, parameters)
        shapes = input_shapes(w.draw, operation, shape, parameters)
    except (IndexError, TypeError, ValueError):  # an axis of a Tensor that has none
        return
    operands = []
    for each in shapes:
        found = w.pick(lambda v, each=each: tuple(v.shape) == each and v.array.dtype.name == dtype)
        operands.append(found if found and w.draw.chance(0.6) else w.leaf(each, dtype))
    inputs = f"[{', '.join(operands)}]" if operation.variadic else ", ".join(operands)
    rest = ", ".join([inputs, *map(text, parameters.values())])
    w.say(f'TABLE["{operation.name}"]({rest})', operation.name in EXACT or operation.view)


def text(value: Any) -> str:
    """Return the text of a parameter."""
    if isinstance(value, np.ndarray):
        return f'np.array({value.tolist()}, "{value.dtype}")'
    if isinstance(value, tuple):
        return f"({''.join(f'{text(each)}, ' for each in value)})"
    if isinstance(value, dtypes.dtype):
        return f'np.dtype("{value.name}")'
    return "..." if value is Ellipsis else repr(value)
