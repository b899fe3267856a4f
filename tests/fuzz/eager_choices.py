"""The choices that a random eager program is made of: which variable, which shape, which numbers."""

import random
from collections.abc import Callable
from typing import Any

import torch

Shape = tuple[int, ...]
Suits = Callable[[torch.Tensor], bool]

SIZES = (0, 1, 1, 2, 2, 3)
RANKS = (0, 1, 1, 2, 2, 2, 3)
SPECIAL = ("nan", "inf", "-inf", "-0.0", "0.0")
NUMBERS = ("0", "1", "2", "3", "-1", "0.5", "2.0", "-1.5", "True", "300")


def anything(x: torch.Tensor) -> bool:
    return True


def shares_memory(x: torch.Tensor, y: torch.Tensor) -> bool:
    """Whether two tensors look at one storage."""
    return x.untyped_storage().data_ptr() == y.untyped_storage().data_ptr()


def repeats(x: torch.Tensor) -> bool:
    """Whether several of its elements are one cell in memory."""
    return any(n > 1 and step == 0 for n, step in zip(x.shape, x.stride(), strict=True))


def has_history(x: torch.Tensor) -> bool:
    """Whether PyTorch can still say where it came from."""
    try:
        _ = x.grad_fn
    except RuntimeError:
        return False
    return True


class Choices:
    """What follows from the seed and from PyTorch's variables so far."""

    def __init__(self, random: random.Random, variables: dict[str, Any]) -> None:
        self.random = random
        self.variables = variables
        self.count = 0
        self.special = random.random() < 0.3

    def chance(self, probability: float) -> bool:
        return self.random.random() < probability

    def one(self, *options: Any) -> Any:
        return self.random.choice(options)

    def new(self, letter: str = "v") -> str:
        """A name that is not taken: g… for gradients, i… for the places of extremes, v… for all else."""
        self.count += 1
        return f"{letter}{self.count}"

    # -- variables -------------------------------------------------------------------------------------------

    def value(self, operand: str) -> torch.Tensor | None:
        """The tensor that an operand names; None for a number."""
        value = self.variables.get(operand)
        return value if isinstance(value, torch.Tensor) else None

    def tensors(self, suits: Suits = anything) -> list[str]:
        """All that suit, the oldest first."""
        values = {label: self.value(label) for label in self.variables}
        small = {label: x for label, x in values.items() if x is not None and x.numel() <= 64}
        return [label for label, x in small.items() if has_history(x) and suits(x)]

    def tensor(self, suits: Suits = anything) -> str | None:
        """One that suits; the younger the likelier."""
        labels = self.tensors(suits)
        return self.random.choices(labels, range(1, len(labels) + 1))[0] if labels else None

    # -- numbers and shapes ----------------------------------------------------------------------------------

    def shape(self) -> Shape:
        return tuple(self.one(*SIZES) for _ in range(self.one(*RANKS)))

    def element(self, dtype: torch.dtype) -> str:
        """A number to fill a tensor with; floats so coarse that there are ties."""
        if dtype is torch.bool:
            return str(self.one("True", "False"))
        if dtype is torch.uint8:
            return str(self.one(0, 1, 2, 3, 5, 250, 255))
        if not dtype.is_floating_point:
            return str(self.random.randint(-3, 4))
        if self.special and self.chance(0.3):
            return str(self.one(*SPECIAL))
        return str(self.random.randint(-8, 8) / 4)

    def number(self, x: torch.Tensor) -> str:
        """A number, as an operand beside x."""
        if x.is_floating_point() and self.special and self.chance(0.3):
            return str(self.one(*SPECIAL))
        if not x.numel():  # an integer to the power -1 is refused before the elements are seen, or after
            return str(self.one("0", "1", "2", "3", "0.5", "True"))
        return str(self.one(*NUMBERS))

    def elements(self, shape: Shape, dtype: torch.dtype) -> str:
        """Nested lists of numbers."""
        if not shape:
            return self.element(dtype)
        return "[" + ", ".join(self.elements(shape[1:], dtype) for _ in range(shape[0])) + "]"

    def places(self, n: int, count: int) -> str:
        """A list of indices along a dimension of size n, from either end; out of bounds where n is 0."""
        return str([self.random.randint(-n, max(n - 1, 0)) for _ in range(count)])

    def dim(self, x: torch.Tensor) -> int:
        """A dimension of x, and rarely one that it has not."""
        n = max(x.ndim, 1)
        return self.random.randint(-n, n - 1) if self.chance(0.97) else n

    def dims(self, x: torch.Tensor) -> str:
        """One dimension or several."""
        if not x.ndim or self.chance(0.75):
            return str(self.dim(x))
        chosen = self.random.sample(range(x.ndim), self.random.randint(1, x.ndim))
        return str(tuple(d - x.ndim * self.chance(0.5) for d in chosen))

    def resized(self, x: torch.Tensor) -> str:
        """Another shape of as many elements."""
        sizes: list[int] = list(x.shape)
        kind = self.random.randrange(4)
        if kind == 0 or not sizes:
            return "-1"
        if kind == 1:
            self.random.shuffle(sizes)
        elif kind == 2:
            sizes.insert(self.random.randint(0, len(sizes)), 1)
        else:
            i = self.random.randrange(len(sizes))
            sizes[max(i - 1, 0) : i + 1] = [-1]
        return str(tuple(sizes))

    def expanded(self, x: torch.Tensor) -> str:
        """A shape that x expands to."""
        sizes = [self.one(2, 3) if n == 1 and self.chance(0.6) else self.one(n, -1) for n in x.shape]
        return str((*((self.one(1, 2),) if self.chance(0.4) else ()), *sizes))

    # -- indices ---------------------------------------------------------------------------------------------

    def mask(self, x: str) -> str:
        return str(self.one(f"{x} > 0", f"{x} <= 0.5", f"{x} == {x}"))

    def key(self, x: torch.Tensor) -> str:
        """What to write between the brackets."""
        items: list[str] = []
        at = 0
        while at < x.ndim and self.chance(0.75):
            item = self.item(x.shape[at])
            at += item not in ("None", "...", "True")
            if item != "..." or "..." not in items:
                items.append(item)
        return ", ".join(items) or str(self.one("...", "None", "()", "True", ":" if x.ndim else "..."))

    def item(self, n: int) -> str:
        """One part of an index, along a dimension of size n."""
        kind = self.random.randrange(12)
        if kind < 3:
            return str(self.random.randint(-n, max(n - 1, 0)))
        if kind < 6:
            start, stop = self.one("", "1", "-1", "0"), self.one("", "2", "-1", "1")
            return f"{start}:{stop}{self.one('', '', ':2')}"
        if kind == 6:
            return str(self.one("None", "...", "True"))
        if kind == 7:
            return self.places(n, self.one(1, 2, 3))
        if kind == 8:
            return f"torch.tensor({self.places(n, 2)})"
        if kind == 9:
            return f"torch.tensor([{self.places(n, 2)}, {self.places(n, 2)}])"
        if kind == 10:
            return f"range({self.one(min(1, n), n)})"
        return self.elements((n,), torch.bool) if n else ":"
