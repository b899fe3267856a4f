"""The part of a printed script that checks its gradients: by small steps, with every decision held fixed."""

from __future__ import annotations

from collections.abc import Iterator
from string import Template
from typing import Any

import numpy as np

from ..decided import decided
from ..dialects import Kind
from ..expressions import Code, assigned, call, named
from ..instructions import Var, reached
from ..languages import BUILTINS
from .backward_lines import Backward, Line
from .listing import Writer
from .record import Forward

_CHECK = Template('''\
# The check. The loss is computed again, in double precision, with a small step added to one value along some
# random directions; what the loss then gains on each is compared with what the gradient says.
def ${loss_after}($moved, $step, $parameters):
    """The loss with `$step` added to the value that is called `$moved`."""

    def ${at}(name, value):
        return value + $step if name == $moved else value

$helpers$again
    return $loss


def ${compare}(name, value, gradient, infinite=0):
    """One row of the table, and whether the gradient is the slope. infinite: how many of its elements are not
    finite; these are not moved."""
    finite = $library.isfinite(gradient)
    directions = $draw * finite
    gradient = $library.where(finite, gradient, 0.0)
    ahead = $library.stack([${loss_after}(name, +1e-6 * direction, **$inputs) for direction in directions])
    behind = $library.stack([${loss_after}(name, -1e-6 * direction, **$inputs) for direction in directions])
    measured, derived = (ahead - behind) / 2e-6, (directions * gradient).reshape(4, $size).sum(1)
    scale = $abs(directions * gradient).reshape(4, $size).sum(1)
    apart = $abs(measured - derived)
    worst, close = apart.max().item(), (apart <= 1e-6 * $max(1, $abs($base)) + 1e-4 * scale).all().item()
    close = close and (~finite).sum().item() == infinite
    left_out = f" | not finite: {infinite}" if infinite else ""
    row = f"{'d' + name:15s} | exact: {worst == 0!s:5s} | approximate: {close!s:5s} | maxdiff: {worst:.2e}"
    $print(row + left_out)
    return close


$single$held$base = $loss_after(None, 0, $as_they_are).item()
$random = $generator
$inputs = {$doubles}
if not $all([
$rows,
]):
    raise $SystemExit("a gradient is not the slope of the loss")
''')

_HOLD = Template('''\
    def ${hold}(number, value):
        """What the value was before anything was moved: a comparison, or what no gradient goes through."""
        return $kept.$to(value.dtype)

''')

_KIND = Template('''\
    def ${kind}(dtype):
        """A dtype, which is to round nothing once a value is moved."""
        return dtype if $moved is None else $library.float64

''')

_NOT_FINITE = "# The check: there is none, for a loss that is not finite has no slopes.\n"

_WORDS = {
    "torch": {
        "generator": "torch.Generator().manual_seed(0)",
        "draw": "torch.randn((4, *value.shape), dtype=torch.float64, generator=$random)",
        "size": "value.numel()",
        "kept": "$held.setdefault(number, value)",
        "to": "to",
        "double": "{}.double()",
        "single": "torch.set_num_threads(1)  # on arrays of this size several would wait for each other\n",
    },
    "numpy": {
        "generator": "np.random.default_rng(0)",
        "draw": "$random.standard_normal((4, *value.shape))",
        "size": "value.size",
        "kept": "np.asarray($held.setdefault(number, value))",
        "to": "astype",
        "double": "{}.astype(np.float64)",
        "single": "",  # NumPy has no word for it
    },
}

_NAMES = ("at", "base", "compare", "held", "hold", "inputs", "kind", "loss_after", "moved", "random", "step")


def check(forward: Forward, writer: Writer) -> tuple[str, dict[str, int]]:
    """Return the code that compares each gradient with the slope, to follow the passes that `writer` writes;
    and the reader's names of the whole numbers in it."""
    if not np.isfinite(forward.loss.value).all():
        return _NOT_FINITE, {}
    language = writer.language
    target = _WORDS[language.target]
    names = {name: language.own(name) for name in (*_NAMES, *BUILTINS)} | {"library": language.prefix}
    words = names | {word: Template(text).substitute(names) for word, text in target.items()}
    floats = [var.name for var in forward.program.inputs if var.name and var.dtype.kind == "f"]
    again, used = _again(forward, writer, floats)
    helpers = [
        template.substitute(words)
        for name, template in (("hold", _HOLD), ("kind", _KIND))
        if any(f"{names[name]}(" in text for text in again)
    ]
    text = _CHECK.substitute(
        words,
        parameters=", ".join(floats),
        helpers="".join(helpers),
        again="\n".join("    " + text for text in again),
        loss=forward.loss.name,
        held=f"{names['held']} = {{}}\n" if helpers else "",
        as_they_are=", ".join(f"{name}={name}" for name in floats),
        doubles=", ".join(f'"{name}": {target["double"].format(name)}' for name in floats),
        rows=",\n".join(f"    {names['compare']}({row})" for row in _rows(writer.backward)),
    )
    return text, used


def _again(forward: Forward, writer: Writer, floats: list[str]) -> tuple[list[str], dict[str, int]]:
    """Return the forward pass for the function that checks, in which every value passes through `at`; and the
    reader's names of the whole numbers in it."""
    backward, at = writer.backward, writer.language.own("at")
    carried = reached(forward.program.instructions, forward.leaves)
    numbers: dict[Var, int] = {}
    lines = [Line(decided(line.instructions, carried, numbers)) for line in writer.lines]
    other = Writer(writer.language, lines, backward, forward.numbers, wide=True)
    read = {var.name for var in backward.gradients}

    def moved(name: str, value: Any) -> Code:
        return assigned(named(name), "=", call(at, named(f'"{name}"'), value))

    code = [moved(name, named(name)) for name in floats if name in read]
    for line in lines:
        name = line.var.name
        code += [step for statement in other.forward(line) for step in statement.code]
        if line.var in backward.gradients:
            target, sign, value = code[-1].parts if code[-1].kind is Kind.ASSIGNED else ("", "", "")
            whole = (str(target), str(sign)) == (name, " = ")
            code[-1:] = [moved(name, value)] if whole else [code[-1], moved(name, named(name))]
    return list(map(str, code)), other.sizes.used


def _rows(backward: Backward) -> Iterator[str]:
    """Yield what is compared in each row of the table, in the order in which the gradients were computed."""
    _, *others = backward.gradients.items()  # the loss's own is known
    for var, gradient in others:
        infinite = int((~np.isfinite(gradient.value)).sum())
        yield f'"{var.name}", {var.name}, {gradient.name}' + (f", infinite={infinite}" if infinite else "")
