"""Lines that compute values: elementwise operations, reductions, layers and losses."""

from __future__ import annotations

from collections.abc import Callable

from tinygrad_ninja import Tensor
from tinygrad_ninja.ops import TABLE

from .numbers import FLOATS, INTEGERS
from .writer import Writer

EXACT = {
    *("neg", "abs", "sign", "floor", "trunc", "relu", "clone", "maximum", "minimum", "logical_not"),
    *("bitwise_not", "isnan", "isinf", "isfinite", "eq", "ne", "lt", "le", "gt", "ge"),
}
"""Operations whose answer is one of their operands, or a whole number: nothing is rounded."""
JUMPS = {"sign", "floor", "trunc", "floor_divide", "remainder"}
UNARY = [e.name for e in TABLE.values() if len(e.inputs) == 1 and not e.parameters and not e.view]
BINARY = [e.name for e in TABLE.values() if len(e.inputs) == 2 and e.broadcasts and not e.parameters]
OPERATORS = ["+", "-", "*", "/", "//", "%", "<", "<=", "==", "!=", ">", ">=", "+", "-", "*", "*"]


def spelled(name: str, *operands: str) -> str:
    """Return a call of an entry by the name under which it is offered, else of the entry itself."""
    import tinygrad_ninja as torch

    function = f"torch.{name}" if hasattr(torch, name) else f'TABLE["{name}"]'
    return f"{function}({', '.join(operands)})"


def unary(w: Writer) -> None:
    name = w.draw.choice(UNARY)
    x = w.any() if name in EXACT or w.draw.chance(0.1) else w.float()
    if x:
        w.say(spelled(name, x), name in EXACT)


def binary(w: Writer) -> None:
    x = w.any()
    if x is None:
        return
    y = w.beside(x)
    operands = [x, y] if w.draw.chance(0.7) else [y, x]
    if w.draw.chance(0.4):
        name = w.draw.choice(BINARY)
        if name == "pow" and not w.special:
            operands[0] = f"({operands[0]}).abs().clamp(0.1, 3)" if operands[0] == x else "2.0"
        w.say(spelled(name, *operands), name in EXACT)
    else:
        w.say(f" {w.draw.choice(OPERATORS)} ".join(operands))


def power(w: Writer) -> None:
    x = w.float()
    w.say(w.draw.choice(["{} ** {}", "{}.pow({})", "{1} ** {0}"]).format(x, w.number()))


def choose(w: Writer) -> None:
    x = w.any()
    if x is None:
        return
    y = w.beside(x)
    condition = f"{x} {w.draw.choice(['>', '<=', '==', '!='])} {w.draw.choice(['0', '0.5', '-1', x])}"
    if w.draw.chance(0.3):
        mask = w.pick(lambda v: v.array.dtype.kind == "b" and tuple(v.shape) == tuple(w.value(x).shape))
        condition = mask or w.leaf(tuple(w.value(x).shape), "bool")
    forms = [f"torch.where({condition}, {x}, {y})", f"torch.where({condition}, {y}, {x})"]
    forms += [f"{x}.masked_fill({condition}, {w.number()})"]
    low, high = w.draw.choice([("-1", "1"), ("0", "None"), ("None", "0.5"), ("-0.5", "2"), ("1", "-1")])
    forms += [f"{x}.clamp({low}, {high})"]
    w.say(w.draw.choice(forms), exact=True)


def integers(w: Writer) -> None:
    """Add arithmetic of integers, which wraps around, floors, and takes the sign of the divisor."""
    i = w.integer()
    j = w.beside(i, w.draw.choice(["uint8", "int8", "int64"])) if w.draw.chance(0.5) else w.integer()
    forms = [f"{i} + {j}", f"{i} - {j}", f"{i} * {j}", f"{i} * {i}", f"-{i}", f"abs({i})", f"~{i}"]
    forms += [f"{i} // ({j} % 5 + 1)", f"{i} % ({j} % 5 + 1)", f"{i} // (abs({j}) // 2 * 2 + 1)"]
    forms += [f"{i} {op} {n}" for op in ("//", "%") for n in ("3", "-3", "2", "-1", "7")]
    forms += [f"{i} & {j}", f"{i} | {j}", f"{i} ^ {j}", f"{i} ** 2", f"{i} ** 3", f"{i} / 3"]
    forms += [f"{i} // {j}", f"{i} % {j}", f"100 // ({j} % 3 + 1)", f"{i}.sign()", f"{i} > {j}"]
    w.say(w.draw.choice(forms))


def cast(w: Writer) -> None:
    x = w.any()
    if x is None:
        return
    value = w.value(x)
    if value.array.dtype.kind == "f":
        whole = f"{x}.clamp(-100, 100)"
        whole = f"torch.where({x}.isfinite(), {whole}, 0.0)" if w.special else whole
        forms = [
            f"{x}.double()",
            f"{x}.float()",
            f"{x}.bool()",
            f"{whole}.long()",
            f"{whole}.to(torch.int32)",
        ]
        forms += [f"{x}.to(torch.{w.draw.choice(FLOATS)}) * 1.5"]
    else:
        forms = [f"{x}.to(torch.{dtype})" for dtype in (*FLOATS, *INTEGERS, "bool")]
        forms += [f"{x}.float() * 0.1", f"{x}.double() * 0.1"]
    w.say(w.draw.choice(forms), exact=value.array.dtype.kind != "f")


def dims(w: Writer, x: str) -> str:
    """Return the text of dims to reduce and whether they are kept, or of nothing: all of them."""
    ndim = w.value(x.removesuffix(".sign()")).ndim
    if not ndim or w.draw.chance(0.3):
        return ""
    keep = w.draw.choice(["", ", keepdim=True"])
    if w.draw.chance(0.75):
        return f"{w.draw.integer(-ndim, ndim - 1)}{keep}"
    return f"{tuple(w.draw.some(range(ndim)))}{keep}"


def one_dim(w: Writer, x: str) -> int:
    """Return one of a Tensor's dims."""
    ndim = max(w.value(x).ndim, 1)
    return w.draw.integer(-ndim, ndim - 1)


def reduction(w: Writer) -> None:
    names = ["sum", "sum", "mean", "var", "std", "amax", "amin", "prod", "logsumexp", "norm", "all", "any"]
    name = w.draw.choice([*names, "max", "min", "argmax", "argmin"])
    x = w.any() if name in ("sum", "amax", "amin", "prod", "all", "any", "max", "argmax") else w.float()
    if x is None:
        return
    if name == "prod" and w.special:  # the order decides what becomes infinite before a 0 comes
        x = f"{x}.sign()"
    arguments = dims(w, x)
    if name in ("max", "min"):
        end = w.draw.choice([".values", ".indices"]) if arguments else ""
        w.say(f"{x}.{name}({arguments}){end}", exact=True)
        return
    if name == "norm" and arguments:
        arguments = f"dim={arguments}"
    elif name in ("var", "std") and w.draw.chance(0.4):
        arguments += (", " if arguments else "") + f"correction={w.draw.choice(['0', '2', '1.5'])}"
    w.say(f"{x}.{name}({arguments})", exact=name in ("amax", "amin"))


def along(w: Writer) -> None:
    x = w.float(1)
    name = w.draw.choice(["softmax", "log_softmax", "cumsum", "cumsum", "softmax"])
    if name == "cumsum" and w.draw.chance(0.3):
        x = w.integer()
    w.say(f"{x}.{name}({one_dim(w, x)})")


def layer(w: Writer) -> None:
    x = w.float(2)
    shape = tuple(w.value(x).shape)
    dtype = w.value(x).array.dtype.name
    name = w.draw.choice(["layer_norm", "batch_norm", "batch_norm", "normalize", "gelu", "by hand", "linear"])
    if name == "layer_norm":
        kept = shape[-w.draw.choice([1, 1, 2]) :]
        affine = f", {w.leaf(kept, dtype)}, {w.leaf(kept, dtype)}" if w.draw.chance(0.7) else ""
        w.say(f"F.layer_norm({x}, {kept}{affine})")
    elif name == "batch_norm" and len(shape) in (2, 3):
        running = [w.leaf(shape[1:2], dtype, "plain", "b") for _ in range(2)]
        affine = f", {w.leaf(shape[1:2], dtype)}, {w.leaf(shape[1:2], dtype)}" if w.draw.chance(0.7) else ""
        if w.draw.chance(0.3):
            w.say(f"F.batch_norm({x}, None, None{affine}, training=True)")
        else:
            training = w.draw.choice(["True", "True", "False"])
            w.say(f"F.batch_norm({x}, {running[0]}, {running[1]}.abs(){affine}, training={training})")
    elif name == "normalize":
        w.say(f"F.normalize({x}, dim={one_dim(w, x)})")
    elif name == "gelu":
        w.say(f"F.gelu({x}{w.draw.choice(['', ', approximate=' + repr('tanh')])})")
    elif name == "linear":
        out = w.draw.width()
        bias = f", {w.leaf((out,), dtype)}" if w.draw.chance(0.7) else ""
        w.say(f"F.linear({x}, {w.leaf((out, shape[-1]), dtype)}{bias})")
    else:
        d = w.draw.integer(0, len(shape) - 1)
        centred = w.say(f"{x} - {x}.mean({d}, keepdim=True)")
        w.say(f"{centred} * (({centred} ** 2).mean({d}, keepdim=True) + 1e-5) ** -0.5") if centred else None


def loss(w: Writer) -> None:
    x = w.float(2)
    n, classes = tuple(w.value(x).shape)[:2]
    dtype = w.value(x).array.dtype.name
    same = w.beside(x)
    forms: list[Callable[[], object]] = [lambda: w.say(f"F.mse_loss({x}, {same}{reduced()})")]

    def reduced() -> str:
        return w.draw.choice(["", "", ", reduction='sum'", ", reduction='none'"])

    def target() -> str:
        if w.draw.chance(0.2):
            ids = w.leaf((n, max(classes, 1)), "int64", "range", "bx", low=0, high=99)
            return f"({ids}.sum(1) % {max(classes, 1)})"
        return w.leaf((n,), "int64", "range", low=0, high=max(classes, 1))

    def options() -> str:
        weight = f", weight={w.leaf((classes,), dtype, 'plain', 'b')}.abs()" if w.draw.chance(0.3) else ""
        ignored = ", ignore_index=1" if w.draw.chance(0.2) else ""
        return weight + ignored + reduced()

    if w.value(x).ndim == 2:
        smooth = w.draw.choice(["", "", ", label_smoothing=0.1"])
        forms += [lambda: w.say(f"F.cross_entropy({x}, {target()}{options()}{smooth})")] * 2
        forms += [lambda: w.say(f"F.nll_loss({x}.log_softmax(1), {target()}{options()})")]
        forms += [lambda: w.say(f"-{x}.log_softmax(1)[range({n}), {target()}].mean()")]
        forms += [lambda: w.say(f"F.cross_entropy({x}, {x}.detach().softmax(1))")]
    w.draw.choice(forms)()


def in_place(w: Writer) -> None:
    """Add a change of a whole value, or of a Tensor that the step finds."""
    x = w.pick(lambda v: v.is_floating_point() and not (v.requires_grad and v.is_leaf))
    if x is None or x[0] in "xn" or not whole(w.value(x)):
        return
    forms = [
        f"{x}.mul_(0.9)",
        f"{x}.add_({w.beside(x)})",
        f"{x}.tanh_()",
        f"{x}.clamp_(-1, 1)",
        f"{x}.neg_()",
    ]
    forms += [f"{x}.mul_(0.9).add_({w.beside(x)}, alpha=0.1)", f"{x}.zero_()", f"{x}.copy_({w.beside(x)})"]
    if w.say(w.draw.choice(forms)):
        w.values.remove(x)


def whole(x: Tensor) -> bool:
    """Return whether every element has a place of its own in memory."""
    return all(step or n < 2 for step, n in zip(x.stride(), x.shape, strict=True))


def long(w: Writer) -> None:
    """Add a number made of a vector that no stack has room for."""
    size = w.draw.choice([200_001, 1_100_003, 3_000_001])
    x = w.leaf((size,), roles="bx", kind="plain")
    w.values.remove(x)
    forms = [
        f"({x} * {x}).mean()",
        f"({x} * 0.5).cumsum(0)[-1]",
        f"{x}.softmax(0).max()",
        f"{x}.exp().mean()",
    ]
    w.say(w.draw.choice([*forms, f"({x} + 1).flip(0).argmax()", f"({x} - {x}.mean()).var()"]))


def creation(w: Writer) -> None:
    shape = w.like()
    dtype = f"dtype=torch.{w.draw.choice([w.floating, w.floating, 'int64'])}"
    n = w.draw.width()
    forms = [f"torch.arange({n}, {dtype})", f"torch.ones({shape}, {dtype})", f"torch.zeros({shape}, {dtype})"]
    forms += [f"torch.full({shape}, {w.number()})", f"torch.eye({n}, {dtype})", f"torch.linspace(-1, 1, {n})"]
    forms += [f"torch.tensor({[w.draw.integer(-3, 3) for _ in range(5)]})"]
    if x := w.any():
        forms += [f"torch.{name}_like({x})" for name in ("zeros", "ones")]
    w.say(w.draw.choice(forms), exact=True)
