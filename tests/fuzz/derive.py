"""Random small programs, derived: the gradients that the printed scripts compute are those of real PyTorch.

A program is lines of Python that run under either import. It is made line by line beside PyTorch, which says
what has which shape, and so what may come next.
"""

from __future__ import annotations

import contextlib
import io
import random
import traceback
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from torch.nn import functional

import tinygrad_ninja
from tinygrad_ninja import nn
from tinygrad_ninja.program import derive

NAMES = [
    "p", "h", "x", "loss_", "print", "value", "step", "range", "max", "abs", "name", "at", "hold",
    "inputs", "el", "math", "sum_1", "leaf_1", "input_1", "float", "slice", "moved", "base", "logits",
    "W", "b", "gradient", "all", "kind", "compare", "tensor", "scale", "unpack", "base64", "random",
    "held",
]  # fmt: skip
"""What values are called: as anywhere, and as what the scripts call things of their own."""

GREATEST = 1e4
"""What is larger anywhere is not taken: it has no digits left for the small."""


class Program:
    """Lines of Python, and what PyTorch makes of them: `values` by the names that the lines give."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.lines: list[str] = []
        self.values: dict[str, Any] = {}
        self.rounds = False
        names = list(NAMES)
        self.random.shuffle(names)
        self._names = iter([*names, *(f"v{i}" for i in range(99))])

    def add(self, expression: str, before: tuple[str, ...] = ()) -> bool:
        """Whether PyTorch takes the lines, and what comes out can be used: then they are the program's."""
        name = next(self._names)
        lines = [
            *(each.replace("NEW", name) for each in before),
            f"{name} = {expression}".replace("NEW", name),
        ]
        found = {"torch": torch, "F": functional, **self.values}
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                exec("\n".join(lines), found)
        except (RuntimeError, IndexError, ValueError, TypeError):
            return False
        made = found[name]
        if not isinstance(made, torch.Tensor) or not made.is_floating_point() or made.numel() > 200:
            return False
        if not bool((made.detach().abs() < GREATEST).all()) or any(made is x for x in self.values.values()):
            return False
        self.lines += lines
        self.values[name] = made
        return True

    def leaf(self) -> None:
        """A new leaf: of few or no dimensions, some small or empty, its numbers in part whole ones."""
        pick = self.random
        shape = [pick.choice((0, 1, 1, 2, 2, 3, 3, 4, 4)) for _ in range(pick.choice((0, 1, 1, 2, 2, 2, 3)))]
        if pick.random() < 0.9:
            shape = [n or 2 for n in shape]
        draw = pick.choice((lambda: round(pick.gauss(0, 1), 3), lambda: float(pick.randint(-2, 2))))
        numbers = [draw() for _ in range(int(np.prod(shape, dtype=int)))]
        self.add(f"torch.tensor({numbers}, dtype=torch.float64).reshape({shape}).requires_grad_()")

    def constant(self, shape: Any) -> str:
        """The expression of a tensor of random numbers."""
        numbers = [round(self.random.gauss(0, 1), 2) for _ in range(int(np.prod(shape, dtype=int)))]
        return f"torch.tensor({numbers}, dtype=torch.float64).reshape({list(shape)})"

    def step(self) -> None:
        """A line more, of what there is; none, where PyTorch refuses it."""
        pick = self.random
        names = list(self.values)
        a = pick.choice(names[-3:] if pick.random() < 0.6 else names)
        b = pick.choice(names)
        expression, before = pick.choice(STEPS)(self, a, b)
        self.add(expression, before)


Step = Callable[[Program, str, str], tuple[str, tuple[str, ...]]]


def _plain(template: str) -> Step:
    """A step that is the same whatever the shapes are. D: a dimension; K: True or False; N: a number."""

    def make(program: Program, a: str, b: str) -> tuple[str, tuple[str, ...]]:
        pick, x = program.random, program.values[a]
        words = {
            "A": a, "B": b, "D": str(pick.choice(range(-1, max(x.ndim, 1)))), "K": str(pick.random() < 0.5),
            "N": str(pick.choice((0.0, 0.5, -1.0, 2.0, 0.3, 3, 1))),
        }  # fmt: skip
        return "".join(words.get(each, each) for each in _words(template)), ()

    return make


def _words(template: str) -> Iterator[str]:
    """The template, its single letters apart."""
    word = ""
    for letter in [*template, ""]:
        if letter.isalnum() or letter == "_":
            word += letter
            continue
        yield word
        yield letter
        word = ""


def _index(program: Program, a: str, b: str) -> tuple[str, tuple[str, ...]]:
    return f"{a}[{_key(program, program.values[a])}]", ()


def _key(program: Program, x: Any, once: bool = False) -> str:
    """An index of any kind: numbers, slices, None, ranges, lists that may name an element twice. once: where
    that has no meaning."""
    pick, items, arrays = program.random, [], {} if once else _arrays(program, x)
    for i, n in enumerate(x.shape):
        kind = pick.random()
        if kind < 0.15:
            items.append("None")
        if i in arrays:
            items.append(arrays[i])
        elif kind < 0.4 or not n:
            start = pick.randint(0, max(n - 1, 0))
            items.append(pick.choice((":", f"{start}:", f":{start + 1}", "::2")))
        elif kind < 0.6:
            items.append(str(pick.randint(-n, n - 1)))
        elif pick.random() < 0.5:
            items.append(":")
        else:
            break
    return ", ".join(items) or "..."


def _arrays(program: Program, x: Any) -> dict[int, str]:
    """For some dimensions an index of several places, all as long as each other, or of one place."""
    pick = program.random
    if pick.random() < 0.4:
        return {}
    length, made = pick.randint(1, 4), {}
    for i, n in enumerate(x.shape):
        if not n or pick.random() < 0.4:
            continue
        size = pick.choice((length, length, 1))
        places = [pick.randint(-n, n - 1) for _ in range(size)]
        forms = [str(places), f"torch.tensor({places})"]
        if size <= n:
            forms += [f"range({size})", str(list(range(size)))]
        made[i] = pick.choice(forms)
    return made


def _mask(program: Program, a: str, b: str) -> tuple[str, tuple[str, ...]]:
    shape = program.values[a].shape
    mask = np.array([program.random.random() < 0.5 for _ in range(int(np.prod(shape, dtype=int)))]).reshape(
        shape
    )
    return f"{a}[torch.tensor({mask.tolist()})]" if mask.size else f"{a} * 1", ()


def _put(program: Program, a: str, b: str) -> tuple[str, tuple[str, ...]]:
    key = _key(program, program.values[a], once=True)
    change = program.random.choice((f"NEW[{key}] = {b}", f"NEW[{key}] = 0.5", f"NEW[{key}] *= 2.0",
                                    f"NEW[{key}] += {b}", "NEW.mul_(2)", "NEW.relu_()"))  # fmt: skip
    return "NEW", (f"NEW = {a}.clone()" if program.random.random() < 0.7 else f"NEW = {a} * 1", change)


def _reshape(program: Program, a: str, b: str) -> tuple[str, tuple[str, ...]]:
    x, pick = program.values[a], program.random
    n = x.numel()
    shapes = [(n,), (1, n), (n, 1), *((n // k, k) for k in (2, 3) if n % k == 0), (*x.shape, 1)]
    return f"{a}.reshape({pick.choice(shapes)})", ()


def _weighted(program: Program, a: str, b: str) -> tuple[str, tuple[str, ...]]:
    shape = list(program.values[a].shape)
    if shape and program.random.random() < 0.4:
        shape[program.random.randrange(len(shape))] = 1
    return f"{a} {program.random.choice('+-*')} {program.constant(shape)}", ()


def _targets(program: Program, n: int, classes: int) -> list[int]:
    return [program.random.randrange(classes) for _ in range(n)]


def _cross_entropy(program: Program, a: str, b: str) -> tuple[str, tuple[str, ...]]:
    x = program.values[a]
    if x.ndim != 2 or not x.numel():
        return f"{a} * 2", ()
    n, classes = x.shape
    y = _targets(program, n, classes)
    written = (
        f"F.cross_entropy({a}, torch.tensor({y}))",
        f"F.cross_entropy({a}, torch.tensor({y}), ignore_index={y[0]}, reduction='sum')",
        f"-{a}.log_softmax(1)[range({n}), {y}].mean()",
        f"-({a}.exp() / {a}.exp().sum(1, keepdim=True)).log()[range({n}), torch.tensor({y})].mean()",
        f"({a}.logsumexp(1) - {a}[range({n}), {y}]).mean()",
        f"-{a}.log_softmax(1).gather(1, torch.tensor({y})[:, None]).mean()",
        f"F.cross_entropy({a}, torch.tensor({y}), label_smoothing=0.1)",
    )
    return program.random.choice(written), ()


def _attention(program: Program, a: str, b: str) -> tuple[str, tuple[str, ...]]:
    causal = program.random.random() < 0.5
    if not program.values[a].numel():
        return f"{a} * 2", ()
    return f"F.scaled_dot_product_attention({a}, {a}, {a}, is_causal={causal})", ()


def _added(program: Program, a: str, b: str) -> tuple[str, tuple[str, ...]]:
    x = program.values[a]
    if not x.ndim or not x.shape[0]:
        return f"{a} + 1", ()
    index = _targets(program, program.random.randint(1, 3), x.shape[0])
    of = (
        b
        if program.values[b].shape[1:] == x.shape[1:] and program.values[b].shape[:1] == (len(index),)
        else ""
    )
    return f"{a}.index_add(0, torch.tensor({index}), {of or f'{a}[{index}] * 2'})", ()


def _gather(program: Program, a: str, b: str) -> tuple[str, tuple[str, ...]]:
    x = program.values[a]
    if not x.ndim or not x.numel():
        return f"{a} * 3", ()
    at = program.random.randrange(x.ndim)
    shape = list(x.shape)
    shape[at] = program.random.randint(1, 3)
    index = np.array(_targets(program, int(np.prod(shape)), x.shape[at])).reshape(shape)
    return f"{a}.gather({at}, torch.tensor({index.tolist()}))", ()


def _float(program: Program, a: str, b: str) -> tuple[str, tuple[str, ...]]:
    program.rounds = True
    return f"{a}.float().{program.random.choice(('tanh()', 'relu()', 'softmax(-1)', 'sum()'))}.double()", ()


STEPS: list[Step] = [
    *map(_plain, (
        "A.tanh()", "(A * 0.5).exp()", "A.sin()", "A.cos()", "A.sigmoid()", "A.relu()", "A.abs()", "-A",
        "A.sqrt()", "(A.abs() + 0.3).sqrt()", "(A.abs() + 0.3).log()", "A ** 2", "A ** 3", "A ** N",
        "(A.abs() + 0.3) ** N", "0.5 ** A", "2 ** A", "1 / (A.abs() + 0.5)", "N - A", "A / 3", "A * N",
        "A.floor()", "A.trunc()", "A.sign()", "A % N", "A.clamp(-0.5, 1.0)", "A.clamp(min=N)",
        "A.clamp(max=N)", "A.detach()", "A.clone()", "A.contiguous()", "A.softmax(D)", "A.log_softmax(D)",
        "A.cumsum(D)", "A.flip(D)", "A.mT", "A.T", "A.unsqueeze(D)", "A.squeeze()", "A[None]", "A.sum()",
        "A.sum(D)", "A.sum(D, keepdim=True)", "A.mean(D, keepdim=K)", "A.max()", "A.max(D, keepdim=K).values",
        "A.min(D, keepdim=K).values", "A.amax(D, keepdim=K)", "A.amin(D)", "A.var(D, keepdim=K)",
        "A.std(D, keepdim=K)", "A.var(D, unbiased=False)", "A.prod(D)", "A.logsumexp(D)", "A.norm()",
        "A.tril()", "A.triu(1)", "torch.diag(A)", "A.expand(2, *A.shape)", "A.masked_fill(A > N, 0.25)",
        "A + B", "A - B", "A * B", "A / (B.abs() + 0.5)", "A @ B", "A.mT @ B", "A @ A.mT", "A @ B.T",
        "torch.maximum(A, B)", "torch.minimum(A, B)", "torch.where(A > B, A, B)",
        "torch.where(A > 0, A, B * 0.5)",
        "torch.cat([A, B], D)", "torch.stack([A, B])", "torch.stack([A, A * 2], D)", "A * B.detach()",
        "(A.abs() + 0.5) ** B", "A.detach() * A + B", "A - A.detach()", "A * 0", "A - A", "A * 0 + B",
        "A + B.sum()", "A * B.mean()", "torch.where(A > 0, A, A * 0)", "A.max() - A",
        "F.layer_norm(A, A.shape[-1:], eps=0.1)",
        "F.gelu(A)", "F.mse_loss(A, B)", "F.one_hot(torch.tensor(1), 3) * A",
        "A.argmax(D).double() * 0.5", "(A > N).double() * A", "A.T.reshape(-1)",
        # As people write what has a name.
        "A.exp() / A.exp().sum(D, keepdim=True)", "(A - A.amax(D, keepdim=True)).softmax(D)",
        "(A - A.mean(D, keepdim=True)) / (A.var(D, keepdim=True) + 1e-3).sqrt()",
        "(A - A.mean(D, keepdim=True)) / (A.std(D, keepdim=True) + 0.1)",
        "B * (A - A.mean(0)) / (A.var(0, unbiased=False) + 1e-2).sqrt() + B", "1 / (1 + (-A).exp())",
        "(2 * A).tanh()", "((2 * A).exp() - 1) / ((2 * A).exp() + 1)",
        "A - A.exp().sum(D, keepdim=True).log()",
        "A / (A.detach().abs().sum() + 0.1)", "A.exp() / A.exp().sum(D, keepdim=True).detach()",
    )),
    *[_index] * 8, _mask, *[_put] * 5, *[_reshape] * 3, *[_weighted] * 4, *[_cross_entropy] * 4,
    *[_attention] * 2, *[_added] * 2, *[_gather] * 2, _float,
]  # fmt: skip


def program_of(seed: int) -> tuple[str, set[str], bool]:
    """The program of a seed, the names that `derive` is told, and whether it rounds to float32 somewhere."""
    program = Program(seed)
    pick = program.random
    for _ in range(pick.randint(1, 3)):
        program.leaf()
    for _ in range(pick.randint(2, 12)):
        program.step()
    ends = list(program.values)[-pick.randint(1, 4) :]
    parts = []
    for each in ends:
        weight = program.constant(program.values[each].shape)
        ways = [f"({each} * {each}).sum()", f"({each} * {weight}).sum()", f"{each}.mean()"]
        parts.append(pick.choice(ways) if program.values[each].numel() else f"{each}.sum()")
    named = {each for each in program.values if pick.random() < 0.7}
    return "\n".join([*program.lines, f"loss = {' + '.join(parts)}"]), named, program.rounds


def values_of(text: str, module: Any, functions: Any) -> dict[str, Any]:
    """What the lines give under one of the imports."""
    found: dict[str, Any] = {"torch": module, "F": functions}
    exec(text, found)
    return {name: each for name, each in found.items() if isinstance(each, module.Tensor)}


def try_seed(seed: int) -> str | None:
    """None where every gradient that is printed for the program of this seed is PyTorch's; else the program,
    and what differs."""
    return differences(*program_of(seed))


def differences(text: str, named: set[str], rounds: bool) -> str | None:
    """As `try_seed`, of a program, the names that `derive` is told, and whether it rounds to float32."""
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        theirs = values_of(text, torch, functional)
        loss = theirs["loss"]
        if not loss.requires_grad:
            return None
        kept: dict[str, Any] = {}
        for name, each in theirs.items():
            if (
                name in named
                and each.requires_grad
                and not any(_same(each, other) for other in kept.values())
            ):
                kept[name] = each
        for each in kept.values():
            each.retain_grad()
        loss.backward()
        expected = {name: each.grad.numpy() for name, each in kept.items() if each.grad is not None}
        if not all(np.isfinite(each).all() for each in (loss.detach(), *expected.values())):
            return None  # singular points are told apart elsewhere
        for simplify in (False, True):
            for target in ("numpy", "torch"):
                try:
                    wrong = _difference(text, named, expected, simplify, target, 1e-4 if rounds else 1e-8)
                except (Exception, SystemExit):
                    wrong = traceback.format_exc(limit=-4)
                if wrong:
                    told = f"names: {', '.join(sorted(named))}"
                    return f"{text}\n# simplify={simplify}, {target}; {told}\n{wrong}"
    return None


def _same(a: Any, b: Any) -> bool:
    """Whether one shows the whole of the other as it is: then they are one value, with one gradient."""
    return bool(a.data_ptr() == b.data_ptr() and a.shape == b.shape and a.stride() == b.stride())


def _difference(
    text: str, named: set[str], expected: dict[str, Any], simplify: bool, target: str, tolerance: float
) -> str:
    """What differs between the gradients of the printed script and those that are expected; empty if nothing
    does."""
    ours = values_of(text, tinygrad_ninja, nn.functional)
    names = {name: each for name, each in ours.items() if name in named}
    derivation = derive(ours["loss"], names=names, simplify=simplify)
    source = derivation.source(target)
    found: dict[str, Any] = {}
    said = io.StringIO()
    try:
        with contextlib.redirect_stdout(said):
            exec(compile(source, "derivation.py", "exec"), found)
    except (Exception, SystemExit) as error:
        line = traceback.extract_tb(error.__traceback__)[-1].lineno or 0
        return f"{error!r}\n{source.splitlines()[line - 1]}\n{said.getvalue()}{derivation}"
    called = {name: f"d{name}" if name != "el" else "del_" for name in expected}
    for name, gradient in expected.items():
        if called[name] not in found:
            if simplify:
                continue
            return f"there is no gradient of {name}\n{derivation}"
        mine = np.asarray(found[called[name]])
        scale = max(1.0, float(np.abs(gradient[np.isfinite(gradient)]).max(initial=0)))
        if mine.shape != gradient.shape or not np.allclose(
            mine, gradient, rtol=tolerance, atol=tolerance * scale, equal_nan=True
        ):
            return f"gradient of {name}: {mine.tolist()}, PyTorch {gradient.tolist()}\n{derivation}"
    return ""
