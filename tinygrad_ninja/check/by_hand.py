"""Gradients written by hand, beside the engine's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..tensors import Tensor
from .compare import Difference


class ByHand:
    """Compares gradients that a reader writes, one by one, with those that `backward` has left.

        check = ByHand(globals())
        check(logits=dlogits)

    names: the values by name, with their gradients kept by `retain_grad`; looked into at each call.
    agreed: of each name, whether the last gradient given for it was the engine's, but for rounding.
    """

    def __init__(self, names: Mapping[str, Any]) -> None:
        self.names = names
        self.agreed: dict[str, bool] = {}

    def __call__(self, **gradients: Tensor) -> Rows:
        """A row for each gradient: whether it is the engine's to the last bit, whether but for rounding, and
        the largest difference. NameError for a name that is no value's, RuntimeError for a value that has
        no gradient."""
        rows = []
        for name, gradient in gradients.items():
            if not isinstance(self.names.get(name), Tensor):
                raise NameError(f"there is no Tensor called {name} to compare the gradient with")
            kept = self.names[name].grad
            if kept is None:
                raise RuntimeError(f"{name} has no gradient: call {name}.retain_grad() before backward()")
            found = Difference(kept.numpy(force=True), gradient.numpy(force=True))
            self.agreed[name] = found.approximate
            exact, approximate = str(found.exact), str(found.approximate)
            rows.append(f"{name:15} exact: {exact:6}approximate: {approximate:6}maxdiff: {found.maxdiff:.2g}")
        return Rows("\n".join(rows))


class Rows(str):
    """A text that a notebook shows as it is."""

    def __repr__(self) -> str:
        return str(self)
