"""Terms: what was computed, however it was written.

Two expressions that school algebra can turn into one another have the same term: x·x and x², a/b and a·b⁻¹,
√x and x^0.5, log(a·b) and log a + log b, a mean and a sum over n. A term is a sum of products of powers, each
with a coefficient; what is not arithmetic (exp, a sum along an axis, an index) is an atom in it. Terms are
one more kind of number: an operation's forward function runs on them, and returns the term of its output.
"""

from __future__ import annotations

from collections.abc import Callable, Container
from functools import partial
from typing import Any

import numpy as np

from ...ops import Operation, comparison, elementwise, indexing, linalg, reduction
from ...ops.shape import permute, reshape
from ...ops.standard import entry_called
from ..instructions import Instruction, Var, evaluate, identity, substitute

Kind = Operation | str
"""The kind of an atom: an operation, another function, a variable, or a whole term in its place."""

_VARIABLE, _HELD, _WHOLE = "variable", "held", "whole"
"""The kinds of atoms that are no function: a variable, what is held, and a whole term."""

_KEEP_SIGNS = frozenset((reduction.sum, reshape, indexing.index, indexing.gather, permute))
"""Operations whose output is positive where all elements of the input are."""


class Term:
    """A canonical expression. terms: {product: coefficient}, where a product is ((atom, exponent), …) in the
    order of the atoms, which are numbers that the algebra gives. `key` is the same for equal terms, and for
    those only."""

    __array_ufunc__ = None

    def __init__(self, terms: dict[Any, float], shape: tuple[int, ...], algebra: Algebra) -> None:
        self.terms = {product: c for product, c in terms.items() if _rounded(c) != 0}
        self.shape = shape
        self.algebra = algebra

    @property
    def key(self) -> Any:
        return tuple(sorted((product, _rounded(c)) for product, c in self.terms.items()))

    @property
    def constant(self) -> bool:
        """Return whether the term is a number, whatever it is computed from: the slope of x - x can't be told
        from it."""
        return not any(self.terms)

    @property
    def ndim(self) -> int:
        return len(self.shape)

    @property
    def size(self) -> int:
        return int(np.prod(self.shape))

    def __add__(self, other: Any) -> Term:
        other = self.algebra.term(other)
        products = (*self.terms, *other.terms)
        terms = {product: self.terms.get(product, 0) + other.terms.get(product, 0) for product in products}
        return Term(terms, np.broadcast_shapes(self.shape, other.shape), self.algebra)

    __radd__ = __add__

    def __mul__(self, other: Any) -> Term:
        other = self.algebra.term(other)
        (left, a), (right, b) = self._product(), other._product()
        shape = np.broadcast_shapes(self.shape, other.shape)
        if not left or not right:  # a number times a sum goes into the sum
            several, number = (self, b) if left else (other, a)
            return Term({p: c * number for p, c in several.terms.items()}, shape, self.algebra)
        powers = dict(left)
        for atom, exponent in right:
            powers[atom] = powers.get(atom, 0) + exponent
        return Term({_sorted(powers): a * b}, shape, self.algebra)

    __rmul__ = __mul__

    def __pow__(self, exponent: Any) -> Term:
        if not isinstance(exponent, int | float):
            shape = np.broadcast_shapes(self.shape, self.algebra.term(exponent).shape)
            return self.algebra.atom(elementwise.pow, (self, exponent), (), shape)
        product, c = self._product()
        with np.errstate(all="ignore"):
            coefficient = float(np.power(float(c), float(exponent)))
        whole = float(exponent).is_integer()
        # A root of a negative number, and a division by 0, are not numbers; √(x²) is not x.
        if not np.isfinite(coefficient) or not (whole or self.algebra.splits(product, exponent)):
            return self.algebra.atom(elementwise.pow, (self, self.algebra.term(exponent)), (), self.shape)
        if len(product) == 1 and self.algebra.kinds[product[0][0]] is elementwise.exp:
            inner = self.algebra.inside[product[0][0]]
            return self.algebra.exp(inner * (product[0][1] * exponent)) * coefficient
        powers = _sorted({atom: e * exponent for atom, e in product})
        return Term({powers: coefficient}, self.shape, self.algebra)

    def _product(self) -> tuple[tuple[Any, ...], float]:
        """Return the term as one product and a coefficient: a sum of several products becomes an atom, scaled
        so that its first coefficient is 1."""
        if not self.terms:
            return (), 0.0
        if len(self.terms) == 1:
            return next(iter(self.terms.items()))
        scale = self.terms[min(self.terms)]
        whole = Term({p: c / scale for p, c in self.terms.items()}, self.shape, self.algebra)
        return next(iter(self.algebra.atom(_WHOLE, (whole,), (), self.shape).terms)), scale

    def __neg__(self) -> Term:
        return self * -1.0

    def __sub__(self, other: Any) -> Term:
        return self + self.algebra.term(other) * -1.0

    def __rsub__(self, other: Any) -> Term:
        return -self + other

    def __truediv__(self, other: Any) -> Term:
        return self * self.algebra.term(other) ** -1

    def __rtruediv__(self, other: Any) -> Term:
        return self**-1 * other

    def __matmul__(self, other: Any) -> Term:
        return self.algebra.matmul(self, other)

    def __getitem__(self, key: Any) -> Term:
        return self.algebra.index(self, key if isinstance(key, tuple) else (key,))

    @property
    def mT(self) -> Term:  # noqa: N802 - the standard's name
        return self.algebra.permute_dims(self, (*range(self.ndim - 2), self.ndim - 1, self.ndim - 2))


class UnknownTermError(Exception):
    """The computation in question does not contain this sum along an axis, or the like."""


class Algebra:
    """The namespace of terms, and what is known about one computation.

    reached: the variables that a gradient reaches; kinds: the kind of each atom, shapes: its shape, and
    inside: the term that it is applied to; variables: the variable that has a term. While `closed`, a
    reduction or an index that the computation does not contain raises UnknownTermError, so that the search
    for a formula ends at the first piece that is not there.
    """

    def __init__(self, reached: Container[Var] = ()) -> None:
        self.reached = reached
        self.kinds: dict[int, Kind] = {}
        self.shapes: dict[int, tuple[int, ...]] = {}
        self.inside: dict[int, Term] = {}
        self.of: dict[Var, Term] = {}
        self.variables: dict[Any, Var] = {}
        self.closed = False
        self._atoms: dict[Any, int] = {}
        self._held: set[Any] = set()

    def take(self, step: Instruction) -> Term:
        """Return the term of the output of an instruction of the forward pass, and remember it."""
        term = self.compute(step, step.flows if step.operation.sources else ())
        self.of[step.output] = term
        self.find(term, step.output)
        return term

    def find(self, term: Term, var: Var) -> None:
        """Remember the variable that has the term, unless one of its shape and dtype has it already."""
        self.variables.setdefault((term.key, var.shape, var.dtype), var)

    def lookup(self, term: Term, dtype: Any) -> Var | None:
        """Return the variable of that dtype that has the term, in its shape or without the dimensions of size
        1 in front, which broadcasting adds; None where there is none."""
        shapes = (term.shape, _stripped(term.shape))
        return next((var for shape in shapes if (var := self.variables.get((term.key, shape, dtype)))), None)

    def compute(self, step: Instruction, flows: tuple[bool, ...] = ()) -> Term:
        """Return the term of an instruction's output. flows: to which inputs a gradient flows, if that
        matters."""
        try:
            if not step.operation.sources and step.operation is not reduction.argmax:
                raise TypeError("what is no function of numbers is an atom")
            if step.operation is elementwise.cast and _narrows(step):
                raise TypeError("what is rounded is another number")
            ways = zip(step.inputs, flows or (True,) * len(step.inputs), strict=True)
            inputs = [self._read(x, flow) for x, flow in ways]
            term = self.term(evaluate(step.operation, self, inputs, step.parameters))
        except (AttributeError, TypeError, IndexError, ValueError):  # there is no algebra for this operation
            term = self.atom(step.operation, step.inputs, step.parameters, step.output.shape)
        return Term(term.terms, step.output.shape, self)

    def _read(self, x: Any, flow: bool) -> Any:
        """Return an input as a term. A value that a gradient would reach, but not through this input, is a
        different term from itself, since what is computed from it has another slope."""
        if not isinstance(x, Var):
            return x
        return self.term(x) if flow or x not in self.reached else self.atom(_HELD, (x,), (), x.shape)

    def term(self, x: Any) -> Term:
        """Return a variable, or a number, as a term."""
        if isinstance(x, Term):
            return x
        if not isinstance(x, Var):
            return Term({(): float(x)}, (), self)
        if x.constant:
            return Term({(): float(x.number)}, x.shape, self)
        if x not in self.of:
            self.of[x] = self.atom(_VARIABLE, (), (x,), x.shape)
            self.find(self.of[x], x)
        return self.of[x]

    def atom(self, kind: Kind, inputs: Any, parameters: Any, shape: tuple[int, ...]) -> Term:
        """Return a term for which there is no algebra: an operation on terms, as a whole."""
        arguments = tuple((self.term(x).key, _stripped(self.term(x).shape)) for x in inputs)
        what = (kind, arguments, identity(tuple(parameters)))
        number = self._atoms.setdefault(what, len(self._atoms))
        if number not in self.kinds:
            self.kinds[number], self.shapes[number] = kind, shape
            if inputs:
                self.inside[number] = self.term(inputs[0])
        return Term({((number, 1),): 1.0}, shape, self)

    def _hold(self, term: Term) -> Term:
        """Remember that the computation contains a term. While `closed`, raise UnknownTermError where it does
        not."""
        if self.closed and term.key not in self._held:
            raise UnknownTermError
        if not self.closed:
            self._held.add(term.key)
        return term

    def __getattr__(self, name: str) -> Callable[..., Term]:
        if name.startswith("_"):
            raise AttributeError(name)
        entry = entry_called(name)
        if entry in (reduction.sum, reduction.amax, reduction.amin):
            return partial(self.reduced, entry)

        def call(*args: Any) -> Term:
            terms = [x for x in args if isinstance(x, Term)]
            shape = np.broadcast_shapes(*(x.shape for x in terms))
            return self.atom(
                entry or name, terms, [None if isinstance(x, Term) else (x,) for x in args], shape
            )

        return call

    def splits(self, product: tuple[Any, ...], exponent: float = 0.5) -> bool:
        """Return whether the root or the logarithm of a product is the product or sum of those of its
        factors, whatever their signs: the sign of at most one factor is unknown, and the power of that one
        has its sign."""
        unknown = [power for atom, power in product if not self._positive_power(atom, power)]
        return not unknown or (
            len(unknown) == 1 and unknown[0] % 2 == 1 and not float(unknown[0] * exponent).is_integer()
        )

    def _positive_power(self, atom: int, power: float) -> bool:
        """Return whether a power is positive wherever it is a number; 0 counts as positive."""
        return not float(power).is_integer() or self._positive(atom)

    def _positive(self, atom: int) -> bool:
        """Return whether an atom is positive: it consists of exponentials."""
        if self.kinds[atom] != _WHOLE and self.kinds[atom] not in _KEEP_SIGNS:
            return self.kinds[atom] is elementwise.exp
        return all(
            c > 0 and all(power % 2 == 0 or self._positive_power(inner, power) for inner, power in product)
            for product, c in self.inside[atom].terms.items()
        )

    def log(self, x: Term) -> Term:
        product, c = x._product()
        if c <= 0 or not self.splits(product):
            return self.atom(elementwise.log, (x,), (), x.shape)
        total = Term({(): float(np.log(c))}, x.shape, self)
        for atom, exponent in product:
            if self.kinds[atom] is elementwise.exp:
                total = total + self.inside[atom] * exponent
            else:
                alone = Term({((atom, 1),): 1.0}, self.shapes[atom], self)
                total = total + self.atom(elementwise.log, (alone,), (), alone.shape) * exponent
        return Term(total.terms, x.shape, self)

    def sqrt(self, x: Term) -> Term:
        return x**0.5

    def pow(self, a: Any, b: Any) -> Term:
        return self.term(a) ** b

    def one_minus_square(self, y: Term) -> Term:
        return 1 - y * y

    def where(self, condition: Any, a: Any, b: Any) -> Term:
        """Return the term of a choice. Where only values that are not finite are replaced, all are taken to
        be finite."""
        atoms = [atom for product in getattr(condition, "terms", ()) for atom, _ in product]
        if [self.kinds[atom] for atom in atoms] == [comparison.isfinite]:
            return self.term(a)
        shape = np.broadcast_shapes(*(self.term(x).shape for x in (condition, a, b)))
        return self.atom(comparison.where, (condition, a, b), (), shape)

    def reduced(self, entry: Operation, x: Term, axis: Any, keepdims: bool) -> Term:
        """Return a reduction. A reduction of everything is one term, whether or not dimensions are kept."""
        axes = tuple(range(x.ndim)) if axis is None else tuple(axis)
        shape = reduction.kept(x.shape, axes)
        wanted = shape if keepdims else tuple(n for i, n in enumerate(x.shape) if i not in axes)
        if shape == x.shape and entry is reduction.sum:  # the sum only drops dimensions of size 1
            return self.reshape(x, wanted)
        inner, scale = _scaled(x) if entry is reduction.sum else (x, 1.0)
        return self.reshape(self._hold(self.atom(entry, (inner,), (axes, x.shape), shape)) * scale, wanted)

    def gather(self, x: Term, axis: int, index: Any) -> Term:
        """Return the maximum, where the index is that of the largest element; else an atom."""
        search = self.of.get(index)
        if search is not None and search.key == self.argmax(x, axis, True).key:
            return self.reduced(reduction.amax, x, (axis,), True)
        return self.atom(indexing.gather, (x,), (axis, index), np.shape(index.value))

    def reshape(self, x: Term, shape: tuple[int, ...]) -> Term:
        if x.size == 1 or _stripped(shape) == _stripped(x.shape):
            return Term(x.terms, tuple(shape), self)
        inner, scale = _scaled(x)
        return self.atom(reshape, (inner,), (tuple(shape),), tuple(shape)) * scale

    def broadcast_to(self, x: Term, shape: tuple[int, ...]) -> Term:
        return Term(x.terms, tuple(shape), self)

    expand = broadcast_to

    def copy(self, x: Term, *_: Any) -> Term:
        return x

    astype = copy

    def permute_dims(self, x: Term, axes: tuple[int, ...]) -> Term:
        return self.atom(permute, (x,), (axes,), tuple(x.shape[i] for i in axes))

    def matmul(self, a: Term, b: Term) -> Term:
        return self._hold(self.atom(linalg.matmul, (a, b), (), (*a.shape[:-1], *b.shape[-1:])))

    def index(self, x: Term, key: tuple[Any, ...]) -> Term:
        """Return an indexed term. A coefficient is taken out of it."""
        shape = np.empty(x.shape, bool)[substitute(key, lambda k: k.value if isinstance(k, Var) else k)].shape
        inner, scale = _scaled(x)
        return self._hold(self.atom(indexing.index, (inner,), (key,), shape)) * scale

    def is_integral(self, x: Any) -> bool:
        return False


def _narrows(step: Instruction) -> bool:
    """Return whether a cast is to fewer digits."""
    (x,) = step.inputs
    return isinstance(x, Var) and x.dtype.kind == "f" and step.output.dtype.itemsize < x.dtype.itemsize


def _scaled(x: Term) -> tuple[Term, float]:
    """Return a term without its first coefficient, and that coefficient (1 for the term 0)."""
    c = x._product()[1] or 1.0
    return x * (1 / c), c


def _stripped(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return a shape without the dimensions of size 1 in front, which broadcasting adds."""
    first = next((i for i, n in enumerate(shape) if n != 1), len(shape))
    return tuple(shape[first:])


def _rounded(c: float) -> float:
    """Return a number rounded so that 1/3 computed in two ways is the same number."""
    return float(f"{c:.9g}")


def _sorted(powers: dict[Any, float]) -> tuple[Any, ...]:
    """Return a product as a key: its factors in order, without those whose power is 0."""
    return tuple(sorted((a, _rounded(e)) for a, e in powers.items() if _rounded(e) != 0))
