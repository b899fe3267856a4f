"""The lines of a random eager program. What suits is chosen by looking at PyTorch's variables so far."""

import random
from collections.abc import Callable, Iterator
from typing import Any

import torch

from .eager_choices import Choices, repeats, shares_memory

FLOATS = ("torch.float32", "torch.float64", "torch.float64")
OTHERS = ("torch.int64", "torch.uint8", "torch.bool")
UNARY = (
    "neg", "abs", "exp", "log", "sqrt", "tanh", "sigmoid", "relu", "square", "reciprocal", "rsqrt", "sin",
    "cos", "erf", "floor", "sign", "trunc", "isnan", "isfinite", "isinf", "logical_not", "bitwise_not",
    "clone", "contiguous", "detach", "double", "float", "bool",
)  # fmt: skip
OF_NUMBERS = ("abs", "relu", "trunc", "floor")  # which for bools are not yet refused
SIGNS = ("+", "-", "*", "*", "/", "**", "//", "%", "<", "<=", "==", "!=", ">", "&", "|", "^")
PIECES = ("unbind", "split", "chunk")
OF_THEIR_RESULT = ("exp_", "relu_", "tanh_", "sigmoid_", "sqrt_")

Line = str | None
"""None where nothing suits."""


class Lines(Choices):
    """The lines of one program: inputs, then what is done with them, and at the end a backward pass."""

    def __init__(self, random: random.Random, variables: dict[str, Any]) -> None:
        super().__init__(random, variables)
        self.kept: set[str] = set()
        self.watched: set[str] = set()
        self.unrecorded: set[str] = set()
        self.freed = False
        weights: dict[Callable[[], Line], int] = {
            self.input: 2, self.unary: 8, self.binary: 10, self.reduction: 8, self.view: 14, self.index: 10,
            self.join: 3, self.state: 3, self.backward: 5, self.gradient: 4,
            self.change: 8, self.assignment: 6, self.hook: 4,
        }  # fmt: skip
        self.makers, self.weights = list(weights), list(weights.values())

    def __iter__(self) -> Iterator[str]:
        for _ in range(self.random.randint(1, 3)):
            yield self.input()
        for _ in range(self.random.randint(3, 14)):
            line = self.random.choices(self.makers, self.weights)[0]()
            if line is not None:
                yield line
        last = self.backward()
        if last is not None:
            yield last

    # -- values ----------------------------------------------------------------------------------------------

    def input(self) -> str:
        leaf = self.chance(0.65)
        dtype = self.one(*FLOATS) if leaf or self.chance(0.4) else self.one(*OTHERS)
        more = f"dtype={dtype}" + ", requires_grad=True" * leaf
        shape = self.shape()
        if 0 in shape:
            return f"{self.new()} = torch.zeros({shape}, {more})"
        elements = self.elements(shape, getattr(torch, dtype.removeprefix("torch.")))
        return f"{self.new()} = torch.tensor({elements}, {more})"

    def unary(self) -> Line:
        label = self.tensor()
        if label is None:
            return None
        if self.chance(0.15):
            low, high = sorted(self.one(-1.5, -0.5, 0, 0.5, 1, 2) for _ in range(2))
            return f"{self.new()} = {label}.clamp({self.one(low, None)}, {high})"
        if self.chance(0.05):
            return f"{self.new()} = torch.{self.one('zeros', 'ones')}_like({label})"
        call = self.one(*UNARY)
        if call in OF_NUMBERS and self.variables[label].dtype is torch.bool:
            return None
        return f"{self.new()} = {label}.{call}()"

    def partner(self, label: str, apart: bool = False) -> str:
        """Another operand, which mostly broadcasts with the first; `apart`: in other memory.

        PyTorch may read what it has just written where an operand overlaps with what is changed.
        """
        x = self.variables[label]
        broadcasts = self.chance(0.9)

        def suits(y: torch.Tensor) -> bool:
            if apart and y is not x and shares_memory(y, x):
                return False
            sizes = zip(reversed(x.shape), reversed(y.shape), strict=False)
            return not broadcasts or all(1 in (m, n) or m == n for m, n in sizes)

        return (None if self.chance(0.3) else self.tensor(suits)) or self.number(x)

    def binary(self) -> Line:
        label = self.tensor()
        if label is None:
            return None
        other = self.partner(label)
        x, y = self.variables[label], self.value(other)
        powers = "True" not in (label, other) and (y is None or torch.bool not in (x.dtype, y.dtype))
        if y is not None and x.dtype is not y.dtype:
            self.kept |= {label, other}
        if self.chance(0.5):
            sign = self.one(*SIGNS)
            tracked = x.requires_grad or (y is not None and y.requires_grad)
            if (sign in ("//", "%") and tracked) or (sign == "**" and not powers):  # whose backward raises
                return None
            # A number beyond uint8 to the power of a tensor is not yet served.
            turned = self.chance(0.3) and not (sign == "**" and other == "300")
            left, right = (other, label) if turned else (label, other)
            return self.remembered(f"{left} {sign} {right}", sign == "**")
        if self.chance(0.2):
            condition = self.one(f"{label} > 0", f"{label} == {label}", f"{label} < 1")
            return f"{self.new()} = torch.where({condition}, {label}, {other})"
        calls = ["add", "sub", "mul", "div"] + ["pow"] * powers
        if y is not None:
            calls += ["maximum", "minimum", "logical_and", "logical_xor"]
            if x.dtype is y.dtype is not torch.bool:
                calls += ["matmul", "matmul"]
        call = self.one(*calls)
        return self.remembered(f"{label}.{call}({other})", call == "pow")

    def remembered(self, expression: str, keeps: bool) -> str:
        """A line that names the value; which is not changed where PyTorch `keeps` it, needed or not."""
        label = self.new()
        if keeps:
            self.kept.add(label)
        return f"{label} = {expression}"

    def reduction(self) -> Line:
        label = self.tensor()
        if label is None:
            return None
        x = self.variables[label]
        keep = self.one("", ", keepdim=True")
        kind = self.random.randrange(10)
        if kind < 3:
            # Not max and min, which in PyTorch give a gradient of NaN to the extremes only.
            call = self.one("sum", "mean", "any", "all", "argmax", "argmin", "prod", "amax", "amin")
            arguments = ""
        elif kind < 6:
            call = self.one("sum", "mean", "amax", "amin", "logsumexp", "any", "all")
            arguments = self.dims(x) + keep
        elif kind == 6 and x.ndim:  # of one element PyTorch keeps the place all the same
            names = f"{self.new()}, {self.new('i')}"
            return f"{names} = {label}.{self.one('max', 'min')}({self.dim(x)}{keep})"
        elif kind == 7:
            call, arguments = self.one("var", "std"), f"{self.dims(x)}, correction={self.one(0, 1)}{keep}"
        elif kind == 8:
            call, arguments = self.one("cumsum", "softmax", "log_softmax"), str(self.dim(x))
            # Of integers a softmax is refused only where there are elements.
            if not x.is_floating_point() and call != "cumsum":
                return None
        else:
            call, arguments = self.one("prod", "argmax", "argmin"), f"{self.dim(x)}{keep}"
        # In PyTorch the gradients of these are 0 and inf where by the rule they are NaN.
        if (self.special and call in ("var", "std")) or (
            call == "prod" and (self.special or (x == 0).sum() > 1)
        ):
            return None
        return f"{self.new()} = {label}.{call}({arguments})"

    def view(self) -> Line:
        label = self.tensor()
        if label is None:
            return None
        x = self.variables[label]
        if x.ndim and x.shape[0] and self.chance(0.1):
            names = [self.new(label[0]) for _ in range(x.shape[0])]
            self.watched.update(names)
            call = self.one("", ".unbind()", ".split(1)", f".chunk({x.shape[0]})")
            return f"{', '.join(names)}, = {label}{call}"
        call, name = self.view_call(x), self.new(label[0])  # a gradient's view is one too
        if label in self.watched or call.startswith(PIECES):
            self.watched.add(name)
        return f"{name} = {label}.{call}"

    def view_call(self, x: torch.Tensor) -> str:
        """A call of what gives a view, where it can."""
        n, d = x.ndim, self.dim(x)
        options = [
            "flatten()", "ravel()", "squeeze()", "detach()", f"unsqueeze({self.random.randint(-n - 1, n)})",
            f"squeeze({d})", f"view({self.resized(x)})", f"reshape({self.resized(x)})",
            f"expand({self.expanded(x)})", f"transpose({d}, {self.dim(x)})",
            f"permute({tuple(self.random.sample(range(n), n))})", f"swapaxes({d}, {self.dim(x)})",
        ]  # fmt: skip
        if n <= 2:
            options.append("t()")
        if n == 2:
            options += ["T", "diag()", f"tril({self.one(-1, 0, 1)})", f"triu({self.one(-1, 0, 1)})"]
        if n >= 2:
            options.append("mT")
        if n and x.shape[0]:
            options += [
                f"tensor_split(2, {d})[{self.one(0, 1)}]",
                f"select({d}, {self.one(0, -1)})",
                f"flip({d})",
                "unbind()[0]",
                "unbind()[-1]",
                f"{self.one('split', 'chunk')}({self.one(1, 2)}, {d})[0]",
            ]
        return str(self.one(*options))

    def index(self) -> Line:
        label = self.tensor()
        if label is None:
            return None
        x = self.variables[label]
        kind = self.random.randrange(10)
        if kind == 0:
            return f"{self.new()} = {label}[{self.mask(label)}]"
        if kind == 1:
            return f"{self.new()} = {label}.masked_fill({self.mask(label)}, {self.number(x)})"
        if kind == 2 and x.ndim:
            d = self.random.randrange(x.ndim)
            n = x.shape[d]
            # What is raised for a place out of bounds depends on the number of dimensions.
            places = [self.random.randrange(n) for _ in range(self.one(0, 1, 2, 3))] if n else []
            return f"{self.new()} = {label}.index_select({d}, torch.tensor({places}, dtype=torch.int64))"
        if kind == 4 and x.ndim:
            other = self.tensor(lambda y: y.dtype is x.dtype and y.ndim == x.ndim)
            count = self.variables[other].shape[0] if other else 0
            if other and x.shape[0]:
                self.kept |= {label, other}  # in PyTorch
                places = [self.random.randrange(x.shape[0]) for _ in range(count)]
                return (
                    f"{self.new()} = {label}.index_add(0, torch.tensor({places}, dtype=torch.int64), {other})"
                )
        if kind == 3 and x.numel() and x.ndim:
            self.kept.add(label)  # in PyTorch
            d = self.random.randrange(x.ndim)
            places = self.places(x.shape[d], x.numel())
            return f"{self.new()} = {label}.gather({d}, torch.tensor({places}).reshape({tuple(x.shape)}))"
        return f"{self.new()} = {label}[{self.key(x)}]"

    def join(self) -> Line:
        label = self.tensor()
        # Of an empty vector `cat` keeps neither the shape nor, yet, that it requires a gradient.
        if label is None or self.variables[label].shape == (0,):
            return None
        x = self.variables[label]
        other = self.tensor(lambda y: y.shape == x.shape or (y.numel() > 0 and self.chance(0.05)))
        return f"{self.new()} = torch.{self.one('cat', 'stack')}([{label}, {other}], {self.dim(x)})"

    # -- changes in place ------------------------------------------------------------------------------------

    def changeable(self) -> str | None:
        """A tensor to change in place, seldom a leaf that requires a gradient.

        Not a gradient: in PyTorch it may share its memory with another, or lie in it as `expand` left it. Not
        the place of an extreme, which PyTorch keeps for backward, and nothing of which the engine keeps a
        copy where PyTorch keeps it itself, and raises: an operand of another dtype, and the result of an
        operation whose rule looks at it.
        """
        kept = [self.variables[label] for label in self.tensors() if label[0] in "gi" or label in self.kept]

        def suits(x: torch.Tensor) -> bool:
            if any(shares_memory(x, y) for y in kept):
                return False
            if self.is_watched(x) and not x.requires_grad:
                return False
            if repeats(x) and x.requires_grad:  # through which PyTorch does not walk back
                return False
            return not (x.is_leaf and x.requires_grad) or self.chance(0.1)

        return self.tensor(suits)

    def is_watched(self, x: torch.Tensor) -> bool:
        """Whether it shares memory with one of several views that a call gave, or with what has hooks: of a
        change that is not recorded PyTorch tells neither."""
        watched = [self.value(label) for label in self.watched]
        return any(y is not None and y.requires_grad and shares_memory(x, y) for y in watched)

    def unguarded(self, label: str, change: str) -> str:
        """The change, sometimes where nothing is recorded."""
        if self.is_watched(self.variables[label]) or self.chance(0.9):
            return change
        self.unrecorded.add(label)
        return f"with torch.no_grad(): {change}"

    def change(self) -> Line:
        label = self.changeable()
        if label is None:
            return None
        x, other = self.variables[label], self.partner(label, apart=True)
        y = self.value(other)
        if y is not None and x.dtype is not y.dtype:
            self.kept.add(other)
        kind = self.random.randrange(12)
        if kind < 3:
            return self.unguarded(label, f"{label} {self.one('+=', '-=', '*=', '/=')} {other}")
        if kind < 6:
            call = self.one(f"add_({other})", f"sub_({other})", f"mul_({other})", f"copy_({other})")
        elif kind < 8:
            call = self.one("zero_()", "neg_()", "square_()", "sin_()", f"fill_({self.number(x)})")
        elif kind == 8 and x.dtype is not torch.bool:
            call = f"{self.one(*OF_THEIR_RESULT)}()"
            self.kept.add(label)
        elif kind == 9:
            call = f"clamp_({self.one(-1, 0, None)}, {self.one(0.5, 1)})"
        else:
            return self.unguarded(label, f"{label}.masked_fill_({self.mask(label)}, {self.number(x)})")
        through = self.one("", "", f"[{self.key(x)}]", f".{self.view_call(x)}")
        if self.is_watched(x):  # which detach() would let go unrecorded
            through = ""
        if x.requires_grad and ".expand(" in through:  # through which PyTorch does not walk back
            through = ""
        return self.unguarded(label, f"{label}{through}.{call}")

    def assignment(self) -> Line:
        label = self.changeable()
        if label is None:
            return None
        x = self.variables[label]
        # Not yet PyTorch's: an index writes to elements that are one cell, and complains of what is wrong
        # with it before what is wrong with writing to one of several views.
        if self.is_watched(x) or repeats(x):
            return None
        key = self.mask(label) if self.chance(0.15) else self.key(x)
        if self.chance(0.15):
            return self.unguarded(label, f"{label}[{key}] {self.one('+=', '*=')} {self.number(x)}")
        fits = self.chance(0.9)

        def suits(y: torch.Tensor) -> bool:
            if shares_memory(x, y) or (y.requires_grad and not x.is_floating_point()):
                return False  # the latter makes PyTorch's integers require a gradient
            return not fits or (y.dtype is x.dtype and y.ndim < 2)

        value = (self.tensor(suits) if self.chance(0.6) else None) or self.number(x)
        return self.unguarded(label, f"{label}[{key}] = {value}")

    # -- what is recorded ------------------------------------------------------------------------------------

    def state(self) -> Line:
        label = self.tensor(torch.Tensor.is_floating_point)
        if label is None:
            return None
        x = self.variables[label]
        options = [
            f"{label}.grad = None",
            f"with torch.no_grad(): {self.new()} = {label} * 2",
            f"{self.new('g')} = {label}.grad",
        ]
        options.append(f"{self.new()} = {label}.detach().clone().requires_grad_()")
        if x.is_leaf and not x._is_view() and label[0] != "g":
            options.append(f"{label}.detach_()")
            self.kept.add(label)  # PyTorch has a message of its own for what is then changed in place
        return str(self.one(*options))

    def hook(self) -> Line:
        changed = [self.variables[label] for label in self.tensors() if label in self.unrecorded]

        def suits(x: torch.Tensor) -> bool:
            """Of what one call made with others PyTorch calls a hook also where no gradient arrives; of what
            was changed unrecorded it may call none."""
            several = type(x.grad_fn).__name__ in ("SplitBackward0", "UnbindBackward0")
            if several or any(shares_memory(x, y) for y in changed):
                return False
            return x.requires_grad or self.chance(0.05)

        label = self.tensor(suits)
        if label is None:
            return None
        self.watched.add(label)
        hook = self.one("grad * 2", "seen.append(grad.detach().clone())", "None")
        return str(self.one(f"{label}.retain_grad()", f"{label}.register_hook(lambda grad: {hook})"))

    def loss(self) -> Line:
        label = self.tensor(lambda x: x.requires_grad or self.chance(0.02))
        if label is None:
            return None
        x = self.variables[label]
        weights = f"torch.arange({x.numel()}).view({tuple(x.shape)})"
        return str(self.one(f"{label}.sum()", f"({label} * {label}).sum()", f"({label} * {weights}).sum()"))

    def backward(self) -> Line:
        loss = self.loss()
        return loss and f"{loss}.backward({self.keep()})"

    def keep(self) -> str:
        """Whether the graph is kept for another pass."""
        keep = self.one("", "retain_graph=True", "create_graph=True", "create_graph=True")
        self.freed |= not keep
        return str(keep)

    def gradient(self) -> Line:
        loss = self.loss()
        inputs = self.tensors(lambda x: x.requires_grad)
        # Where a graph that was freed led to the engine no longer knows: it raises, and PyTorch answers None.
        if loss is None or not inputs or self.freed:
            return None
        count = min(len(inputs), self.one(1, 1, 2))
        chosen = ", ".join(self.random.sample(inputs, count))
        results = ", ".join(self.new("g") for _ in range(count))
        more = f"{self.one('', 'allow_unused=True, ')}{self.keep()}"
        return f"{results}, = torch.autograd.grad({loss}, [{chosen}], {more})"
