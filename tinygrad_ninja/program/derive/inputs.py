"""The numbers of a script's inputs: written out, drawn again from the seed that they came from, or packed."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator, Sequence
from itertools import product
from string import Template
from typing import Any

import numpy as np

from ...rng.generator import Generator
from ..dialects import Bracket
from ..expressions import Code, assigned, call, listed, named
from ..instructions import Array, Var
from ..languages import Language
from .statements import broken

FLOATS, OTHERS, DISTINCT = 20, 1200, 20
"""The most floats, and the most of all else, that are written out; floats that have only so many values count
as all else. More are drawn again, or packed."""

CLOSE = 2e-7
"""How far a number that is drawn again may be from the recorded one, as a share of the greatest."""

_UNPACK = Template('''

def ${unpack}(text, dtype, *shape):
    """An array from the bytes of its memory, which are written in base 85."""
    return $array

''')

_ARRAY = {
    "torch": "torch.frombuffer($bytearray($base64.b85decode(text)), dtype=dtype).reshape(shape)",
    "numpy": "np.frombuffer($base64.b85decode(text), dtype).reshape(shape)",
}

_SEEDED = {
    "torch": Template("\n${generator} = torch.Generator().manual_seed($seed)\n"),
    "numpy": Template("\n${generator} = np.random.RandomState($seed)\n"),
}

_DRAW = {
    "randn": Template('''

def ${randn}(*shape):
    """Numbers of the normal distribution, as PyTorch draws them: in blocks of 16, by Box and Muller."""
    n = int(np.prod(shape))
    words = ${generator}.randint(0, 2**32, n + 16 * (n % 16 > 0), np.uint32)
    uniform = np.concatenate([words[: n - n % 16], words[n:]]) % 2**24 / 2**24
    u1, u2 = uniform.reshape(-1, 2, 8).swapaxes(0, 1)
    radius, angle = np.sqrt(-2 * np.log(1 - u1)), 2 * np.pi * u2
    blocks = np.stack([radius * np.cos(angle), radius * np.sin(angle)], 1).ravel()
    return np.concatenate([blocks[: n - 16], blocks[-16:]]).astype(np.float32).reshape(shape)

'''),
    "rand": Template('''

def ${rand}(*shape):
    """Numbers between 0 and 1, as PyTorch draws them."""
    words = ${generator}.randint(0, 2**32, int(np.prod(shape)), np.uint32)
    return (words % 2**24 / 2**24).astype(np.float32).reshape(shape)

'''),
}
"""The functions of NumPy's scripts that draw as PyTorch's of the same name do."""

_DRAWS: dict[str, Callable[[Generator, int], Array]] = {
    "randn": lambda generator, n: generator.normal(n),
    "rand": lambda generator, n: generator.uniform(n),
}


def inputs(variables: Sequence[Var], language: Language, seed: int | None) -> tuple[str, list[str]]:
    """Return the functions that a script's inputs need, and the statements that give each its numbers. seed:
    that of the Generator from which the large ones may have been drawn."""
    own = language.own
    plain = {var: array for var in variables if (array := _written_out(var.value, language)) is not None}
    rest = [var for var in variables if var not in plain]
    drawn = dict(_drawn([var for var in rest if var.dtype == np.float32], seed, language))
    packed = {var: _packed(var.value, language) for var in rest if var not in drawn}
    arrays = drawn | plain | packed  # first what must be drawn in order
    helpers = ""
    if packed:
        names = {name: own(name) for name in ("unpack", "bytearray", "base64")}
        helpers += _UNPACK.substitute(names, array=Template(_ARRAY[language.target]).substitute(names))
    if drawn:
        names = {"generator": own("generator"), "seed": str(seed)}
        helpers += _SEEDED[language.target].substitute(names)
        for draw in _DRAWS if language.target == "numpy" else ():
            if any(f"{own(draw)}(" in str(array) for array in drawn.values()):
                helpers += _DRAW[draw].substitute(names, **{draw: own(draw)})
    lines = [broken(assigned(named(var.name), "=", array)) for var, array in arrays.items()]
    return helpers, ["\n".join(parts) for parts in lines]


def _written_out(value: Array, language: Language) -> Code | None:
    """Return an expression with all the numbers; None where there are too many."""
    dtype = language.dtype(value.dtype)
    distinct = np.unique(value)
    if value.size > FLOATS and len(distinct) == 1 and np.isfinite(distinct[0]):
        return language.full("", value.shape, dtype, distinct[0].item())
    few = value.dtype.kind != "f" or len(distinct) <= DISTINCT
    if value.size > (OTHERS if few else FLOATS):
        return None
    array = call(f"{language.prefix}.{language.from_list}", _listed(value, language), dtype=dtype)
    return array if value.size else language.reshape(array, value.shape)


def _packed(value: Array, language: Language) -> Code:
    packed = base64.b85encode(np.array(value, order="C").tobytes()).decode()
    return call(language.own("unpack"), named(f'"{packed}"'), language.dtype(value.dtype), *value.shape)


def _drawn(variables: Sequence[Var], seed: int | None, language: Language) -> Iterator[tuple[Var, Code]]:
    """Yield the inputs that are random numbers from the seed, times a factor and plus a number, in the order
    in which they were drawn, with the expression that draws them."""
    waiting = [var for var in variables if var.value.size >= 16]
    state = Generator().manual_seed(seed).get_state() if seed is not None else None
    while waiting and state is not None:
        for var, draw in product(waiting, _DRAWS):
            generator = Generator()
            generator.set_state(state)
            numbers = _DRAWS[draw](generator, var.value.size)
            drawn = _fitted(var.value, numbers, draw, language)
            if drawn is not None:
                yield var, drawn
                state = generator.get_state()
                waiting.remove(var)
                break
        else:
            return


def _fitted(value: Array, numbers: Array, draw: str, language: Language) -> Code | None:
    """Return the expression of a value as these numbers, which the function `draw` gives where it runs; None
    where it is none of them."""
    for turned in (False, True) if value.ndim == 2 else (False,):
        target = value.T if turned else value
        flat = target.ravel()
        factor, offset = np.polyfit(numbers[:256].astype(float), flat[:256].astype(float), 1)
        allowed = CLOSE * abs(flat).max(initial=0)
        if not np.allclose(factor * numbers + offset, flat, rtol=0, atol=4 * allowed):
            continue
        scale, shift = _shortest(factor, 1.0, allowed, numbers), _shortest(offset, 0.0, allowed, np.ones(1))
        own = language.own
        options = {"generator": named(own("generator"))} if language.target == "torch" else {}
        function = f"torch.{draw}" if language.target == "torch" else own(draw)
        drawn: Any = call(function, *target.shape, **options)
        drawn = drawn.attribute("T") if turned else drawn
        drawn = drawn if scale == 1 else drawn * language.number(scale)
        return drawn if not shift else language.number(shift) + drawn
    return None


def _shortest(x: float, usual: float, allowed: float, numbers: Array) -> float:
    """Return the shortest number that is so near to x that no product with the numbers is further off than
    allowed."""
    reach = allowed / abs(numbers).max(initial=1)
    tries = [usual, *(float(f"{x:.{digits}g}") for digits in range(1, 12))]
    return next((y for y in tries if abs(x - y) <= reach), x)


def _listed(value: Any, language: Language) -> Code:
    """Return an array as nested lists of its numbers, each as short as its dtype allows."""
    if value.ndim:
        return listed(*(_listed(np.asarray(row), language) for row in value)).fenced(Bracket.SQUARE)
    scalar = value[()]
    finite = value.dtype.kind != "f" or np.isfinite(scalar)
    return named(str(scalar)) if finite else language.number(float(scalar))
