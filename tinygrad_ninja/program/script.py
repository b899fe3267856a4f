"""A derivation as a complete script: the inputs' numbers, the two passes, and a check by small steps."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from string import Template
from typing import Any

import numpy as np

from .backward import Backward, Line
from .instructions import Var
from .languages import LANGUAGES, Language, call
from .printing import Writer
from .record import Forward
from .statements import written

WRITTEN_OUT = {"f": 20}
"""So many floats, and OTHERS of all else, are written as numbers; more are packed."""
OTHERS = 200

_UNPACK = '''

def unpack(text, dtype, *shape):
    """An array from the bytes of its memory, which are written in base 85."""
    return {}

'''

_CHECK = Template('''\
# The check. The loss is computed again, in double precision, with a small step added to one value along some
# random directions; what the loss then gains on each is compared with what the gradient says.
def loss_after(moved, step, $parameters):
    """The loss with `step` added to the value that is called `moved`."""

    def at(name, value):
        return value + step if name == moved else value

$again
    return $name


def compare(name, value, gradient):
    """One row of the table, and whether the gradient is the slope."""
    directions = $draw
    ahead = $stack([loss_after(name, +1e-5 * direction, **inputs) for direction in directions])
    behind = $stack([loss_after(name, -1e-5 * direction, **inputs) for direction in directions])
    measured, derived = (ahead - behind) / 2e-5, $derived
    worst = abs(measured - derived).max().item()
    scale = abs(directions * gradient).reshape(4, -1).sum(1)
    rounding = 1e-6 * max(1, abs($name.item()))
    close = bool((abs(measured - derived) <= rounding + 1e-4 * scale).all())
    print(f"{'d' + name:15s} | exact: {worst == 0!s:5s} | approximate: {close!s:5s} | maxdiff: {worst:.2e}")
    return close


random = $random
inputs = {$doubles}
$table
''')

_WORDS = {
    "torch": {
        "imports": "import torch",
        "unpack": "torch.frombuffer(bytearray(base64.b85decode(text)), dtype=dtype).reshape(shape)",
        "random": "torch.Generator().manual_seed(0)",
        "draw": "torch.randn((4, *value.shape), dtype=torch.float64, generator=random)",
        "stack": "torch.stack",
        "derived": "(directions * gradient.double()).reshape(4, -1).sum(1)",
        "double": "{}.double()",
    },
    "numpy": {
        "imports": "import numpy as np",
        "unpack": "np.frombuffer(base64.b85decode(text), dtype).reshape(shape)",
        "random": "np.random.default_rng(0)",
        "draw": "random.standard_normal((4, *value.shape))",
        "stack": "np.stack",
        "derived": "(directions * gradient).reshape(4, -1).sum(1)",
        "double": "{}.astype(np.float64)",
    },
}


def language(target: str) -> Language:
    """The language called `target`; ValueError where there is none."""
    if target not in LANGUAGES:
        raise ValueError(f"there is no source for {target!r}: give {' or '.join(map(repr, LANGUAGES))}")
    return LANGUAGES[target]


def forward_lines(writer: Writer) -> dict[Var, list[str]]:
    """The code of each line of the forward pass, by the value that it makes."""
    return {line.var: written(writer.forward(line)) for line in writer.lines}


def backward_lines(writer: Writer, there: dict[Var, list[str]], chains: dict[Var, str]) -> list[str]:
    """The backward pass, each part under a comment: the forward lines that it answers, or what is known of
    them altogether."""
    text: list[str] = []
    for line in reversed(writer.backward.lines):
        answers = written(writer.answer(line))
        if answers:
            known = [chains[each.output] for each in line.instructions if each.output in chains]
            head = known or there.get(line.var, [])
            text += ["", *(each if each.startswith("#") else f"# {each}" for each in head), *answers]
    return text[1:]


@dataclass(frozen=True)
class Script:
    """A derivation that runs alone. head: imports and the inputs' numbers; forward, backward: the two passes;
    check: what prints the lecture's table."""

    title: str
    head: str
    forward: str
    backward: str
    check: str

    def __str__(self) -> str:
        return (
            f'"""{self.title}"""\n\n{self.head}\n\n# The forward pass.\n{self.forward}\n\n'
            f"# The backward pass, from the last line to the first.\n{self.backward}\n\n\n{self.check}"
        )


def script(
    forward: Forward, lines: list[Line], backward: Backward, chains: dict[Var, str], target: str
) -> Script:
    """The script in torch or numpy. It needs that library alone, and holds the inputs' numbers."""
    writer = Writer(language(target), lines, backward, forward.numbers)
    words = _WORDS[target]
    there = forward_lines(writer)
    back = backward_lines(writer, there, chains)
    inputs = [var for var in forward.program.inputs if var.name]
    floats = [var.name for var in inputs if var.dtype.kind == "f"]
    check = _CHECK.substitute(
        words,
        parameters=", ".join(floats),
        again="\n".join("    " + text for text in _again(forward, lines, backward, target, floats)),
        name=forward.loss.name,
        doubles=", ".join(f'"{name}": {words["double"].format(name)}' for name in floats),
        table=_table(backward),
    )
    literals = [f"{var.name} = {_literal(var, writer.language)}" for var in inputs]
    there_text = "\n".join(text for each in there.values() for text in each)
    head = _head(words, [f"{name} = {n}" for name, n in writer.used.items()] + literals, there_text + check)
    return Script(
        f"The gradient of every value on the way to a loss of {forward.loss.value.item():.4f}, and a check "
        f"of each by small steps.",
        head,
        there_text + f'\nprint(f"loss {{{forward.loss.name}.item():.4f}}")',
        "\n".join(back),
        check,
    )


def _head(words: dict[str, str], inputs: list[str], code: str) -> str:
    """The imports that the code needs, and the inputs."""
    packed = any("= unpack(" in each for each in inputs)
    unpack = _UNPACK.format(words["unpack"]) if packed else ""
    standard = [f"import {name}" for name in ("base64", "math") if f"{name}." in unpack + code]
    imports = "\n".join([*standard, *([""] if standard else []), words["imports"]])
    return "\n".join([imports, unpack, "# The inputs.", *inputs])


def _again(
    forward: Forward, lines: list[Line], backward: Backward, target: str, floats: list[str]
) -> list[str]:
    """The forward pass in the function that checks, in which every value passes through `at`."""
    writer = Writer(language(target), lines, backward, forward.numbers, wide=True)
    read = {var.name for var in backward.gradients}
    text = [f'{name} = at("{name}", {name})' for name in floats if name in read]
    for line in lines:
        name = line.var.name
        *before, last = [code for each in writer.forward(line) for code in each.code]
        if line.var not in backward.gradients:
            text += [*before, last]
        elif last.startswith(f"{name} = "):
            text += [*before, f'{name} = at("{name}", {last.removeprefix(f"{name} = ")})']
        else:
            text += [*before, last, f'{name} = at("{name}", {name})']
    return text


def _table(backward: Backward) -> str:
    """The calls that print the table, in the order in which the gradients were found."""
    order = list(dict.fromkeys(share.of for line in reversed(backward.lines) for share in line.shares))
    rows = ",\n".join(f'    compare("{var.name}", {var.name}, d{var.name})' for var in order)
    return f'if not all([\n{rows},\n]):\n    raise SystemExit("a gradient is not the slope of the loss")'


def _literal(var: Var, language: Language) -> str:
    """The expression that makes an input: its numbers written out, or packed."""
    value = np.array(var.value, order="C")
    dtype = language.dtype(value.dtype)
    if value.size <= WRITTEN_OUT.get(value.dtype.kind, OTHERS) and np.isfinite(value).all():
        made = str(call(f"{language.prefix}.{language.from_list}", _Listed(value), dtype=dtype))
        return f"{made}.reshape({value.shape})" if not value.size else made
    packed = base64.b85encode(value.tobytes()).decode()
    return f'unpack("{packed}", {dtype}, {", ".join(map(str, value.shape))})'


class _Listed:
    """An array as nested lists of its numbers, each as short as its dtype allows."""

    def __init__(self, value: Any) -> None:
        self.value = value

    def __repr__(self) -> str:
        if self.value.ndim:
            return f"[{', '.join(repr(_Listed(np.asarray(each))) for each in self.value)}]"
        return str(self.value[()])
