"""How an operation is written in torch and in NumPy.

A language is one more kind of number: an operation's forward function runs on pieces of code and gives code.
So what is written here is only where the two libraries differ from the array API standard's names, and what
has a shorter name of its own in one of them.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable
from copy import copy
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from .instructions import Instruction, evaluate

COMPARED, OR, XOR, AND, SUM, PRODUCT, SIGN, POWER, CALL = range(9)
"""How tightly Python binds, from loose to tight."""


class Code:
    """A piece of Python, how tightly its outermost operator binds, and the shape of what it stands for.

    number: it is a Python number, which not every function takes.
    """

    def __init__(self, text: str, level: int = CALL, shape: tuple[int, ...] = ()) -> None:
        self.text = text
        self.level = level
        self.shape = shape
        self.number = False

    def at(self, level: int) -> str:
        """The text, in brackets where what it stands in binds as tightly as `level`."""
        return self.text if self.level >= level else f"({self.text})"

    @property
    def ndim(self) -> int:
        return len(self.shape)

    def __str__(self) -> str:
        return self.text

    if TYPE_CHECKING:  # set below
        __sub__: Any
        __truediv__: Any
        __rtruediv__: Any

    def __neg__(self) -> Code:
        if self.level == SIGN and self.text.startswith("-"):
            return Code(self.text[1:], SIGN)
        return Code(f"-{self.at(SIGN)}", SIGN)

    def __invert__(self) -> Code:
        return Code(f"~{self.at(SIGN)}", SIGN)

    def __getitem__(self, key: Any) -> Code:
        return Code(f"{self.at(CALL)}[{key_text(key if isinstance(key, tuple) else (key,))}]")

    def method(self, name: str, *arguments: Any, **options: Any) -> Code:
        """A call of a method; arguments that are None are left out."""
        return call(f"{self.at(CALL)}.{name}", *arguments, **options)


def _binary(symbol: str, level: int) -> tuple[Callable[..., Code], Callable[..., Code]]:
    def left(a: Any, b: Any) -> Code:
        a, b = code(a), code(b)
        # Of a power the right side may be a signed number; else a chain is read from the left.
        sides = (CALL, SIGN) if level == POWER else (level, level + 1)
        space = "" if level == POWER and a.level == CALL else " "
        return Code(f"{a.at(sides[0])}{space}{symbol}{space}{b.at(sides[1])}", level)

    return left, lambda b, a: left(a, b)


for _name, _symbol, _level in (
    ("add", "+", SUM), ("sub", "-", SUM), ("mul", "*", PRODUCT), ("truediv", "/", PRODUCT),
    ("floordiv", "//", PRODUCT), ("mod", "%", PRODUCT), ("matmul", "@", PRODUCT), ("pow", "**", POWER),
    ("and", "&", AND), ("or", "|", OR), ("xor", "^", XOR),
):  # fmt: skip
    _left, _right = _binary(_symbol, _level)
    setattr(Code, f"__{_name}__", _left)
    setattr(Code, f"__r{_name}__", _right)
for _name, _symbol in (("eq", "=="), ("ne", "!="), ("lt", "<"), ("le", "<="), ("gt", ">"), ("ge", ">=")):
    setattr(Code, f"__{_name}__", _binary(_symbol, COMPARED)[0])


def code(x: Any) -> Code:
    """Anything that may stand in an expression, as code."""
    if isinstance(x, Code):
        return x
    if isinstance(x, tuple):
        return Code(f"({', '.join(map(str, map(code, x)))}{',' * (len(x) == 1)})")
    is_number = isinstance(x, int | float)
    made = Code(repr(x).replace("e-0", "e-"), SIGN if is_number and x < 0 else CALL)
    made.number = is_number
    return made


def key_text(key: tuple[Any, ...], view: bool = False) -> str:
    """What stands between the brackets of an index; `...` at the end, which the engine adds, is left out,
    but where it must be a view of even a single element."""
    if len(key) > 1 and key[-1] is Ellipsis and not view:
        key = key[:-1]

    def item(x: Any) -> str:
        if isinstance(x, slice):
            parts = ["" if each is None else str(each) for each in (x.start, x.stop, x.step)]
            return ":".join(parts if x.step is not None else parts[:2])
        return "..." if x is Ellipsis else str(code(x))

    return ", ".join(map(item, key)) or "()"


def call(function: str, *arguments: Any, **options: Any) -> Code:
    given = [str(code(each)) for each in arguments if each is not None]
    given += [f"{name}={code(value)}" for name, value in options.items()]
    return Code(f"{function}({', '.join(given)})")


def one(axis: Any) -> Any:
    """A single dimension as a number."""
    return axis[0] if isinstance(axis, tuple) and len(axis) == 1 else axis


def _reduction(name: str) -> Callable[..., Code]:
    return lambda self, x, axis, keepdims: self.reduced(name, x, axis, keepdims)


BUILTINS = ("SystemExit", "abs", "all", "bytearray", "max", "print")
"""What the printed scripts call of Python's own."""


class Language:
    """The namespace that forward functions get. What has no method here is the library's function of that
    name.

    A method `written_…` is for an operation, by its name, for which the library has a function although it is
    composed of others here; it gives None where that does not apply.
    """

    prefix = keepdim = from_list = ""
    names: ClassVar[dict[str, str]] = {}
    taken: frozenset[str] = frozenset()

    def beside(self, taken: Iterable[str]) -> Language:
        """The same language, where variables have these names."""
        other = copy(self)
        other.taken = frozenset(taken)
        return other

    def own(self, name: str) -> str:
        """What a function, a module or a variable of the script's own goes by: its name, with underscores
        behind it where that is also a variable's."""
        while name in self.taken:
            name += "_"
        return name

    def __getattr__(self, name: str) -> Callable[..., Code]:
        if name.startswith(("_", "written_")):
            raise AttributeError(name)
        return lambda *arguments, **options: call(
            f"{self.prefix}.{self.names.get(name, name)}", *arguments, *options.values()
        )

    def expression(self, instruction: Instruction, inputs: list[Any], parameters: tuple[Any, ...]) -> Code:
        """An operation applied to code, by its forward function."""
        written = self.written(instruction, inputs, parameters)
        if written is None:
            written = evaluate(instruction.operation, self, inputs, parameters)
        return written

    def written(
        self, instruction: Instruction, inputs: list[Any], parameters: tuple[Any, ...]
    ) -> Code | None:
        """The library's own function for it, where there is one."""
        own = getattr(self, f"written_{instruction.operation.name}", None)
        return None if own is None else own(*inputs, *parameters)

    def number(self, x: Any) -> Code:
        """A number; what has no literal in Python by the library's name."""
        if not isinstance(x, float) or np.isfinite(x):
            return code(x)
        made = Code(f"{self.prefix}.{abs(x)}")
        made.number = True
        return -made if x < 0 else made

    def detached(self, x: Code) -> Code:
        """A value of which no gradient is wanted; of arrays that is all."""
        return x

    def written_hold(self, x: Code, number: int) -> Code:
        return call(self.own("hold"), number, x)

    def dtype(self, dtype: Any) -> Code:
        """A dtype by the library's name."""
        return Code(f"{self.prefix}.{'bool' if dtype == np.bool_ else np.dtype(dtype).name}")

    def reduced(self, name: str, x: Code, axis: Any, keepdims: bool, **options: Any) -> Code:
        """A reduction along an axis, or along all."""
        if axis is None and keepdims and name.startswith("arg"):
            return x.method(name, Code("None"), **{self.keepdim: True})
        if axis is None and keepdims:
            axis = tuple(range(x.ndim)) or None
        kept = {self.keepdim: True} if keepdims and axis is not None else {}
        return x.method(name, one(axis), **options, **kept)

    sum, all, any = _reduction("sum"), _reduction("all"), _reduction("any")
    argmax, argmin, written_mean = _reduction("argmax"), _reduction("argmin"), _reduction("mean")

    def matmul(self, a: Code, b: Code) -> Any:
        return operator.matmul(a, b)

    def pow(self, a: Any, b: Any) -> Any:
        return operator.pow(code(a), b)

    def one_minus_square(self, y: Code) -> Any:
        return operator.sub(1, operator.pow(y, 2))

    def index(self, x: Code, key: tuple[Any, ...]) -> Code:
        return x[key]

    def reshape(self, x: Code, shape: Any) -> Code:
        return x.method("reshape", *_sizes(shape))

    def is_integral(self, x: Any) -> bool:
        return False

    def permute_dims(self, x: Code, axes: tuple[int, ...]) -> Code:
        last = len(axes) - 1
        if last and axes == (*range(last - 1), last, last - 1):
            return Code(f"{x.at(CALL)}.{'T' if last == 1 else 'mT'}")
        return x.method(self.names["permute_dims"], axes)

    def full(self, like: str, shape: tuple[int, ...], dtype: Any, number: Any) -> Code:
        """An array of one number, of the shape and dtype (as code) of the variable `like`, or of those
        given."""
        kind = {0: "zeros", 1: "ones"}.get(number, "full")
        value = self.number(number) if kind == "full" else None
        if like:
            return call(f"{self.prefix}.{kind}_like", Code(like), value)
        return call(f"{self.prefix}.{kind}", shape, value, dtype=dtype)


class Torch(Language):
    """torch's tensors."""

    prefix, keepdim, from_list = "torch", "keepdim", "tensor"
    names: ClassVar = {
        "concat": "cat",
        "cumulative_sum": "cumsum",
        "diag_embed": "diag",
        "permute_dims": "permute",
    }
    max, min = _reduction("amax"), _reduction("amin")

    def written_cast(self, x: Code, dtype: Code) -> Code:
        return x.method("to", dtype)

    def written_clamp(self, x: Code, low: Any, high: Any) -> Code:
        return x.method("clamp", **{k: v for k, v in (("min", low), ("max", high)) if v is not None})

    def written_flip(self, x: Code, axes: Any) -> Code:
        return call("torch.flip", x, axes)

    def written_cross_entropy(self, logits: Code, target: Code, rows: Code) -> Code:
        return call("torch.nn.functional.cross_entropy", logits, target)

    def written_log_softmax(self, x: Code, axis: Any) -> Code | None:
        return _single("torch.log_softmax", x, axis)

    def written_softmax(self, x: Code, axis: Any) -> Code | None:
        return _single("torch.softmax", x, axis)

    def written_logsumexp(self, x: Code, axis: Any, keepdims: bool) -> Code:
        return self.reduced("logsumexp", x, axis or tuple(range(x.ndim)), keepdims)

    def written_relu(self, x: Code) -> Code:
        return call("torch.relu", x)

    def written_sigmoid(self, x: Code) -> Code:
        return call("torch.sigmoid", x)

    def written_std(self, x: Code, axis: Any, correction: float, keepdims: bool, name: str = "std") -> Code:
        return self.reduced(
            name, x, axis, keepdims, **({} if correction == 1 else {"correction": correction})
        )

    def written_var(self, x: Code, axis: Any, correction: float, keepdims: bool) -> Code:
        return self.written_std(x, axis, correction, keepdims, "var")

    def prod(self, x: Code, axis: Any, keepdims: bool) -> Code:
        if axis is None:
            return x.method("prod") if not keepdims else self.prod(x, tuple(range(x.ndim)), True)
        for each in sorted(axis, reverse=True):
            x = self.reduced("prod", x, each, keepdims)
        return x

    def detached(self, x: Code) -> Code:
        return x.method("detach")

    def copy(self, x: Code, ordered: bool = False) -> Code:
        return x.method("clone")

    def expand(self, x: Code, shape: Any) -> Code:
        return x.method("expand", *_sizes(shape))

    broadcast_to = expand

    def maximum(self, a: Any, b: Any) -> Code:
        return self._bounded("min", "torch.maximum", a, b)

    def minimum(self, a: Any, b: Any) -> Code:
        return self._bounded("max", "torch.minimum", a, b)

    def _bounded(self, bound: str, function: str, a: Any, b: Any) -> Code:
        """The larger or the smaller; of a number, which the functions do not take, the bound it is."""
        x, other = (b, a) if code(a).number else (a, b)
        return x.method("clamp", **{bound: other}) if code(other).number else call(function, a, b)

    def gather(self, x: Code, axis: int, index: Code) -> Code:
        return x.method("gather", axis, index)

    def extreme(self, name: str, x: Code, axis: int) -> Code:
        """The largest or the smallest along an axis, which is kept."""
        return Code(f"{x.method(name, axis, keepdim=True)}.values")

    def add_at(self, name: str, key: tuple[Any, ...], values: Code) -> str:
        """The statement that adds values where a key reads, as often as it does."""
        if not any(isinstance(each, slice) for each in key):
            return f"{name}.index_put_({code(key)}, {values}, accumulate=True)"
        cells = f"torch.arange({name}.numel()).reshape({name}.shape)[{key_text(key)}]"
        return f"{name}.put_({cells}, {values}, accumulate=True)"

    def add_along(self, name: str, axis: int, index: Code, values: Code) -> str:
        """The statement that adds values where `gather` along an axis reads."""
        return f"{name}.scatter_add_({axis}, {index}, {values})"


class NumPy(Language):
    """NumPy's arrays."""

    prefix, keepdim, from_list = "np", "keepdims", "array"
    names: ClassVar = {"cumulative_sum": "cumsum", "diag_embed": "diag", "permute_dims": "transpose"}
    max, min, prod = _reduction("max"), _reduction("min"), _reduction("prod")

    def written_cast(self, x: Code, dtype: Code) -> Code:
        return x.method("astype", dtype)

    def written_erf(self, x: Code) -> Code:
        return call(f"np.vectorize({self.own('math')}.erf, otypes=[{x.at(CALL)}.dtype])", x)

    def written_std(self, x: Code, axis: Any, correction: float, keepdims: bool, name: str = "std") -> Code:
        return self.reduced(name, x, axis, keepdims, **({"ddof": correction} if correction else {}))

    def written_var(self, x: Code, axis: Any, correction: float, keepdims: bool) -> Code:
        return self.written_std(x, axis, correction, keepdims, "var")

    def copy(self, x: Code, ordered: bool = False) -> Code:
        return x.method("copy") if x.shape else call("np.array", x)  # which may be a scalar, not an array

    def expand(self, x: Code, shape: Any) -> Code:
        return call("np.broadcast_to", x, shape)

    def gather(self, x: Code, axis: int, index: Code) -> Code:
        if x.shape[:axis] + x.shape[axis + 1 :] == index.shape[:axis] + index.shape[axis + 1 :]:
            return call("np.take_along_axis", x, index, axis)
        return x[self._along(axis, index)]

    def extreme(self, name: str, x: Code, axis: int) -> Code:
        """The largest or the smallest along an axis, which is kept."""
        return x.method(name, axis, keepdims=True)

    def add_at(self, name: str, key: tuple[Any, ...], values: Code) -> str:
        """The statement that adds values where a key reads, as often as it does."""
        whole = any(isinstance(each, slice) for each in key)
        cells = Code("np.s_")[key] if whole else code(key[0] if len(key) == 1 else key)
        return f"np.add.at({name}, {cells}, {values})"

    def add_along(self, name: str, axis: int, index: Code, values: Code) -> str:
        """The statement that adds values where `gather` along an axis reads."""
        key = self._along(axis, index)
        if index.shape[axis] == 1:  # no cell is named twice
            return f"{Code(name)[key]} += {values}"
        return self.add_at(name, key, values)

    def _along(self, axis: int, index: Code) -> tuple[Code, ...]:
        """The key that reads where `gather` along an axis does: the index there, and elsewhere each row."""

        def rows(i: int, n: int) -> Code:
            after = (None,) * (index.ndim - i - 1)
            return call("np.arange", n)[(slice(None), *after)] if after else call("np.arange", n)

        return tuple(index if i == axis else rows(i, n) for i, n in enumerate(index.shape))


def _sizes(shape: Any) -> tuple[Any, ...]:
    """A shape as the arguments of a method: numbers, or one piece of code that stands for all."""
    return shape if isinstance(shape, tuple) and shape else (shape,)


def _single(function: str, x: Code, axis: Any) -> Code | None:
    """A function that takes one dimension only."""
    return call(function, x, axis[0]) if isinstance(axis, tuple) and len(axis) == 1 else None


LANGUAGES: dict[str, Any] = {"torch": Torch(), "numpy": NumPy()}
