"""The table of operations: what an entry is.

An entry is a forward function under `@operation`, with one backward rule for each input:

    @operation(
        a=lambda dout, b: dout * b,
        b=lambda dout, a: dout * a,
    )
    def mul(xp, a, b, /):
        "out = a · b"
        return a * b

The forward function takes the namespace `xp` (see `arrays`), its inputs, a slash, and its parameters. A rule
turns `dout`, the gradient of the output, into the gradient of its input. It names what it needs, out of `xp`,
`dout`, `out`, the inputs and the parameters, and is given just that. `x_like` stands for an input of which
only the shape and the dtype are looked at, so that it may be changed in place before backward comes.

The same rule runs on arrays, and on Tensors when the backward pass is itself to be differentiated.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import fields
from operator import itemgetter
from typing import Any

import numpy as np

from ..arrays.dispatch import NAMESPACES, sum_to
from .facts import Facts

TABLE: dict[str, Operation] = {}
"""Every operation by its name."""

Rule = Callable[[Any, tuple[Any, ...]], Any]
"""The gradient of one input: rule(dout, values), where values = (output, *inputs, *parameters)."""

_application: Callable[[Operation], Callable[..., Any]] | None = None


def apply_with(application: Callable[[Operation], Callable[..., Any]]) -> None:
    """Let `application(entry)` be what calls an entry, also a later one; the engine, which stands above, says
    so."""
    global _application
    _application = application
    for entry in TABLE.values():
        entry.call = application(entry)


class Operation(Facts):
    """One entry of the table: its functions, and the facts. Calling it with Tensors computes, records, and
    gives a Tensor.

    forward(xp, *inputs, *parameters) gives the output array; `rules[i](dout, values)` the gradient of input
    i, where values = (output, *inputs, *parameters). `kept(edges)` are the places in `values` that backward
    reads. Where there is an array among them (or a number in the place of one), the first backward frees the
    node, as `keeps` and `frees` say.
    """

    call: Callable[..., Any]

    def __init__(
        self, forward: Callable[..., Any], rules: dict[str, Callable[..., Any]], **facts: Any
    ) -> None:
        super().__init__(**facts)
        self.name = forward.__name__
        if not self.name.isidentifier():  # it is part of names in generated code
            raise ValueError(f"{self.name!r} can't be the name of an operation")
        self.__doc__ = forward.__doc__
        self.torch_name = self.torch_name or f"{self.name.capitalize()}Backward0"
        self.sources = rules
        self.recorded = bool(rules)
        self.function = forward
        parameters = list(inspect.signature(forward).parameters.values())
        self.takes_xp = parameters[0].name == "xp"
        self.forward = forward if self.takes_xp else lambda xp, *args: forward(*args)
        parameters = parameters[self.takes_xp :]
        self.variadic = parameters[0].kind is parameters[0].VAR_POSITIONAL
        self.inputs = [p.name for p in parameters if p.kind is p.POSITIONAL_ONLY]
        self.parameters = [p.name for p in parameters if p.kind not in (p.POSITIONAL_ONLY, p.VAR_POSITIONAL)]
        self.floats = any(p.annotation in (float, "float") for p in parameters)
        self.promotes = self.broadcasts and len(self.inputs) == 2
        if not self.variadic:
            unknown = [name for name in rules if name not in self.inputs]
            if unknown:
                raise TypeError(f"operation {self.name}: no input is called {', '.join(unknown)}")
            clash = _FACTS.intersection(self.inputs)
            if clash:
                raise TypeError(f"operation {self.name}: {', '.join(clash)} is a fact, and can't be an input")
            self.rules, self._reads = self._bind(rules)
            self.keeps = True if self.keeps else self._always_or_never(parameters)
        if _application is not None:
            self.call = _application(self)

    def __call__(self, *args: Any) -> Any:
        return self.call(*args)

    def silently(self, xp: Any, *args: Any) -> Any:
        """Return `forward` without NumPy's warnings, and what the caller made of them: torch never warns of
        0/0."""
        with np.errstate(all="ignore"):
            return self.forward(xp, *args)

    def on(self, xp: Any, *args: Any) -> Any:
        """Return the operation of arrays of the kind `xp`; recorded, where that is a kind that records."""
        return xp.apply(self, *args) if hasattr(xp, "apply") else self.forward(xp, *args)

    def __repr__(self) -> str:
        return f"<operation {self.name}>"

    def kept(self, edges: tuple[Any, ...]) -> set[int]:
        """Return the places in `values` that the rules of the inputs with an edge read."""
        return set().union(
            *(reads for edge, reads in zip(edges, self._reads, strict=True) if edge is not None)
        )

    def frees(self, edges: tuple[Any, ...], values: tuple[Any, ...]) -> bool:
        """Return whether the first backward frees a node with these edges and values, since it reads an array
        there."""
        if self.keeps is not None:
            return self.keeps
        for place in self.kept(edges):
            if place <= len(self.inputs) or any(hasattr(part, "dtype") for part in parts(values[place])):
                return True
        return False

    def _always_or_never(self, parameters: list[inspect.Parameter]) -> bool | None:
        """Return `keeps`, where all nodes are alike in it. A parameter's annotation says if it may hold
        arrays."""
        n = len(self.inputs)
        may_hold = set() if self.view else {i for i, p in enumerate(parameters, 1) if _may_hold(p)}
        reads = [self._reads[i] for i, name in enumerate(self.inputs) if name in self.sources]
        if not any(min(places, default=n + 1) <= n or places & may_hold for places in reads):
            return False
        return True if all(min(places, default=n + 1) <= n for places in reads) else None

    def _bind(self, rules: dict[str, Callable[..., Any]]) -> tuple[list[Rule], list[set[int]]]:
        """Return the rules as functions of (dout, values), and the places in `values` that each reads."""
        places = {name: i for i, name in enumerate(["out", *self.inputs, *self.parameters])}
        bound: list[Rule] = []
        reads: list[set[int]] = []
        for name in self.inputs:
            rule = rules.get(name)
            if rule is None:
                bound.append(_no_rule(self.name, name))
                reads.append(set())
                continue
            asked = list(inspect.signature(rule).parameters)
            wanted = [places[word.removesuffix("_like")] for word in asked if word not in ("xp", "dout")]
            reads.append({places[word] for word in asked if word in places})
            bound.append(_bound(rule, "xp" in asked, wanted, places[name] if self.broadcasts else None))
        return bound, reads

    def for_inputs(self, n: int) -> Operation:
        """Return a variadic operation as one of n inputs, whose rules are the one rule at each position."""
        (rule,) = self.sources.values()
        fixed = object.__new__(type(self))
        fixed.__dict__.update(self.__dict__, variadic=False, inputs=[f"x{i}" for i in range(n)])
        fixed.forward = lambda xp, *args: self.function(
            xp, *args[:n], **dict(zip(self.parameters, args[n:], strict=True))
        )

        def at(position: int) -> Rule:
            return lambda dout, values: rule(
                NAMESPACES[type(dout)], dout, values[1 : n + 1], *values[n + 1 :], position=position
            )

        fixed.rules, fixed._reads = [at(i) for i in range(n)], [set() for _ in range(n)]
        if _application is not None:
            fixed.call = _application(fixed)
        return fixed


def parts(value: Any) -> tuple[Any, ...]:
    """Return the arrays of an index, which is a tuple; anything else alone."""
    return value if isinstance(value, tuple) else (value,)


def _may_hold(parameter: inspect.Parameter) -> bool:
    return parameter.annotation is parameter.empty or "Any" in str(parameter.annotation)


def _bound(rule: Callable[..., Any], with_xp: bool, wanted: list[int], like: int | None) -> Rule:
    """Return `rule` as a function of (dout, values), which gets what it asks for. `like` is the place of an
    input that may have been broadcast: its gradient is summed back to its shape."""
    first = wanted[0] if wanted else 0
    pick = itemgetter(*wanted) if len(wanted) > 1 else itemgetter(slice(first, first + len(wanted)))

    def call(dout: Any, values: tuple[Any, ...]) -> Any:
        arguments = pick(values)
        d = rule(NAMESPACES[type(dout)], dout, *arguments) if with_xp else rule(dout, *arguments)
        if like is None or type(d) is float or d.shape == values[like].shape:
            return d
        return sum_to(d, values[like])

    def of_the_sum(dout: Any, values: tuple[Any, ...]) -> Any:
        # -Σ dout is Σ -dout, and less work; but a 0 has another sign, also that of no elements, so torch's
        # arrays get torch's bits.
        if type(dout) is np.ndarray and dout.size:
            return rule(sum_to(dout, values[like]))  # type: ignore[index]
        return call(dout, values)

    return call if like is None or with_xp or wanted else of_the_sum


def _no_rule(operation: str, name: str) -> Rule:
    def refuse(dout: Any, values: tuple[Any, ...]) -> Any:
        raise RuntimeError(f"derivative for {operation} with respect to {name} is not implemented")

    return refuse


_FACTS = frozenset(fact.name for fact in fields(Facts))


def operation(**keywords: Any) -> Callable[[Callable[..., Any]], Operation]:
    """Make the decorated forward function an entry of the table.

    keywords: a backward rule for each differentiable input, by the input's name (an input without one has no
    gradient), and the facts that `Facts` lists. TypeError where a keyword is neither.
    """
    facts = {name: value for name, value in keywords.items() if name in _FACTS}
    rules = {name: rule for name, rule in keywords.items() if name not in _FACTS}

    def enter(forward: Callable[..., Any]) -> Operation:
        entry = Operation(forward, rules, **facts)
        TABLE[entry.name] = entry
        return entry

    return enter
