"""Terms: what was computed, however it was written.

Two expressions that school algebra can turn into one another have the same term: x·x and x², a/b and a·b⁻¹,
√x and x^0.5, log(a·b) and log a + log b, a mean and a sum over n. A term is a sum of products of powers, each
with a coefficient; what is not arithmetic (exp, a sum along an axis, an index) is an atom in it. Terms are
one more kind of number: an operation's forward function runs on them, and returns the term of its output.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ...ops import elementwise

if TYPE_CHECKING:
    from .algebra import Algebra

WHOLE = "whole"
"""The kind of the atom that stands for a whole term."""


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
        terms = dict(self.terms)
        for product, c in other.terms.items():
            terms[product] = terms.get(product, 0) + c
        return Term(terms, np.broadcast_shapes(self.shape, other.shape), self.algebra)

    __radd__ = __add__

    def __mul__(self, other: Any) -> Term:
        other = self.algebra.term(other)
        (left, a), (right, b) = self._product(), other._product()
        powers = dict(left)
        for atom, exponent in right:
            powers[atom] = powers.get(atom, 0) + exponent
        shape = np.broadcast_shapes(self.shape, other.shape)
        if not left or not right:  # a number times a sum goes into the sum
            several = other if not left else self
            return Term(
                {p: c * (a if not left else b) for p, c in several.terms.items()}, shape, self.algebra
            )
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
        return next(iter(self.algebra.atom(WHOLE, (whole,), (), self.shape).terms)), scale

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


def _rounded(c: float) -> float:
    """Return a number rounded so that 1/3 computed in two ways is the same number."""
    return float(f"{c:.9g}")


def _sorted(powers: dict[Any, float]) -> tuple[Any, ...]:
    """Return a product as a key: its factors in order, without those whose power is 0."""
    return tuple(sorted((a, _rounded(e)) for a, e in powers.items() if _rounded(e) != 0))
