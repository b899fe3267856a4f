"""Gradients written by hand, compared with the engine's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..engine.tensor import Tensor
from .compare import Difference


class ByHand:
    """Compares gradients that a reader writes, one by one, with those of `backward`.

        check = ByHand(globals())
        check(logits=dlogits)

    names: the values by name, their gradients kept by `retain_grad`; looked up at each call. agreed: by name,
    whether the last gradient given for it was the engine's, up to rounding.
    """

    def __init__(self, names: Mapping[str, Any]) -> None:
        self.names = names
        self.agreed: dict[str, bool] = {}

    def __call__(self, **gradients: Tensor) -> Rows:
        """Return a row for each gradient: whether it equals the engine's to the last bit, whether up to
        rounding, and the largest difference.

        Raises NameError for a name that is no Tensor's, and RuntimeError for a Tensor without a gradient.
        """
        rows = []
        for name, gradient in gradients.items():
            if not isinstance(self.names.get(name), Tensor):
                raise NameError(f"there is no Tensor called {name} to compare the gradient with")
            expected = self.names[name].grad
            if expected is None:
                raise RuntimeError(f"{name} has no gradient: call {name}.retain_grad() before backward()")
            difference = Difference(expected.numpy(force=True), gradient.numpy(force=True))
            self.agreed[name] = difference.approximate
            exact, approximate = str(difference.exact), str(difference.approximate)
            rows.append(
                f"{name:15} exact: {exact:6}approximate: {approximate:6}maxdiff: {difference.maxdiff:.2g}"
            )
        return Rows("\n".join(rows))


class Rows(str):
    """A text that a notebook shows as it is."""

    def __repr__(self) -> str:
        return str(self)
