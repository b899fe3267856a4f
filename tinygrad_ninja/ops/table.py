"""The table of operations: what an entry is, and how it is applied to Tensors and recorded.

An entry is a forward function under `@operation`, with one backward rule for each input:

    @operation(
        a=lambda dout, b: dout * b,
        b=lambda dout, a: dout * a,
    )
    def mul(xp, a, b, /):
        "out = a · b"
        return a * b

The forward function takes the namespace `xp` (see `kinds`), its inputs, a slash, and its parameters. A rule
turns `dout`, the gradient of the output, into the gradient of its input. It names what it needs, out of `xp`,
`dout`, `out`, the inputs and the parameters, and is given just that. `x_like` stands for an input of which
only the shape and the dtype are looked at, so that it may be changed in place before backward comes.

The same rule runs on arrays, and on Tensors when the backward pass is itself to be differentiated.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import fields
from typing import Any

import numpy as np

from ..kinds import KINDS, numpy_kind, sum_to
from ..record import Node
from .apply import application
from .facts import Facts

TABLE: dict[str, Operation] = {}
"""Every operation by its name."""

Rule = Callable[[Any, tuple[Any, ...]], Any]


class Operation(Facts):
    """One entry of the table: its functions, and the facts. Calling it with Tensors computes, records, and
    gives a Tensor.

    forward(xp, *inputs, *parameters) gives the output array; `rules[i](dout, values)` the gradient of input
    i, where values = (output, *inputs, *parameters). `kept(edges)` are the places in `values` that backward
    reads. Where there is an array among them (or a number in the place of one), the first backward frees the
    node, as `keeps` and `frees` say.
    """

    def __init__(
        self, forward: Callable[..., Any], rules: dict[str, Callable[..., Any]], **facts: Any
    ) -> None:
        super().__init__(**facts)
        self.name = forward.__name__
        self.torch_name = self.torch_name or f"{self.name.capitalize()}Backward0"
        self.function = forward
        self.sources = rules
        parameters = list(inspect.signature(forward).parameters.values())
        self.takes_xp = parameters[0].name == "xp"
        parameters = parameters[self.takes_xp :]
        self.variadic = parameters[0].kind is parameters[0].VAR_POSITIONAL
        positional = [p.name for p in parameters if p.kind is p.POSITIONAL_ONLY]
        self.inputs = positional
        self.parameters = [
            p.name for p in parameters if p.name not in positional and p.kind is not p.VAR_POSITIONAL
        ]
        self.__doc__ = forward.__doc__
        if not self.variadic:
            unknown = [name for name in rules if name not in positional]
            if unknown:
                raise TypeError(f"operation {self.name}: no input is called {', '.join(unknown)}")
            self.rules, self._reads = self._bind(rules)
            self.keeps = True if self.keeps else self._always_or_never(parameters)
        else:
            self.keeps = False
        self.call = application(self)

    def __call__(self, *args: Any) -> Any:
        return self.call(*args)

    def forward(self, xp: Any, *args: Any) -> Any:
        """The output array, of arrays of the kind `xp`."""
        return self.function(xp, *args) if self.takes_xp else self.function(*args)

    def silently(self, xp: Any, *args: Any) -> Any:
        """`forward` once more, where the caller made errors of NumPy's warnings: torch never warns of 0/0."""
        with np.errstate(all="ignore"):
            return self.forward(xp, *args)

    def on(self, xp: Any, *args: Any) -> Any:
        """The operation on arrays of the kind `xp`; recorded, where that is a kind that records."""
        return xp.apply(self, *args) if hasattr(xp, "apply") else self.forward(xp, *args)

    def __repr__(self) -> str:
        return f"<operation {self.name}>"

    def kept(self, edges: tuple[Node | None, ...]) -> set[int]:
        """The places in `values` that the rules of the inputs with an edge read."""
        return set().union(
            *(reads for edge, reads in zip(edges, self._reads, strict=True) if edge is not None)
        )

    def frees(self, node: Node) -> bool:
        """Whether backward reads an array of this node."""
        values, n = node.values, len(self.inputs)
        assert values is not None
        for edge, reads in zip(node.edges, self._reads, strict=True):
            if edge is not None:
                for place in reads:
                    if place <= n:
                        return True
                    for part in parts(values[place]):
                        if hasattr(part, "dtype"):
                            return True
        return False

    def _always_or_never(self, parameters: list[inspect.Parameter]) -> bool | None:
        """`keeps`, where all nodes are alike in it. By its annotation a parameter holds no array, or may."""
        n = len(self.inputs)
        may_hold = set() if self.view else {i for i, each in enumerate(parameters, 1) if _may_hold(each)}
        reads = [self._reads[i] for i, name in enumerate(self.inputs) if name in self.sources]
        if not any(min(each, default=n + 1) <= n or each & may_hold for each in reads):
            return False
        return True if all(min(each, default=n + 1) <= n for each in reads) else None

    def _bind(self, rules: dict[str, Callable[..., Any]]) -> tuple[list[Rule], list[set[int]]]:
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
            wanted = [places[each.removesuffix("_like")] for each in asked if each not in ("xp", "dout")]
            reads.append({places[each] for each in asked if each in places})
            like = places[name] if self.broadcasts and len(self.inputs) > 1 else None
            bound.append(_caller(rule, "xp" in asked, wanted, like))
        return bound, reads


def parts(value: Any) -> tuple[Any, ...]:
    """The arrays of an index, which is a tuple; anything else alone."""
    return value if isinstance(value, tuple) else (value,)


def _may_hold(parameter: inspect.Parameter) -> bool:
    """Whether a parameter may hold arrays, by its annotation."""
    return parameter.annotation is parameter.empty or "Any" in str(parameter.annotation)


def _caller(rule: Callable[..., Any], with_xp: bool, wanted: list[int], like: int | None) -> Rule:
    """`rule` as a function of (dout, values). It is generated, as dataclasses generate theirs: a call by
    unpacking would cost as much as the rest of the walk over a node."""
    arguments = ", ".join(
        (["numpy_kind if type(dout) is ndarray else KINDS[type(dout)]"] if with_xp else [])
        + ["dout"]
        + [f"values[{i}]" for i in wanted]
    )
    body = f"rule({arguments})"
    if like is not None:  # the common case, that nothing was broadcast, is told without a call
        x = f"values[{like}]"
        summed_after = f"d if type(d := {body}) is float or d.shape == {x}.shape else sum_to(d, {x})"
        if arguments == "dout":
            # -Σ dout is Σ -dout, and less work; a 0 has another sign, also that of no elements, so torch's
            # arrays get torch's bits.
            summed_before = f"rule(dout if dout.shape == {x}.shape else sum_to(dout, {x}))"
            body = f"{summed_before} if type(dout) is ndarray and dout.size else {summed_after}"
        else:
            body = summed_after
    names = {"rule": rule, "KINDS": KINDS, "sum_to": sum_to, "ndarray": np.ndarray, "numpy_kind": numpy_kind}
    # Under the name of this file, so that `anomaly` knows it for the engine's.
    code = compile(f"lambda dout, values: {body}", __file__, "eval")
    made: Rule = eval(code, names)  # noqa: S307 - the text is made of the lines above
    return made


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
