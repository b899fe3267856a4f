"""One call of a function, made to be differentiated."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from .. import autograd
from ..autograd import enable_grad, is_grad_enabled
from ..functions.creation import zeros_like
from ..node import ancestors, clock
from ..tensors import Tensor
from .tree import filled, map_tensors, tensors_of

Argnums = int | tuple[int, ...]


class Call:
    """What a function gives for stand-ins of some of its arguments, with respect to which it is then known.

    arguments: the stand-ins as the function got them; inputs, outputs: the Tensors in them and in `output`.
    nested: whether the output also depends on Tensors that need a gradient outside this call, so that its
        derivatives must be recorded.
    """

    def __init__(
        self,
        func: Callable[..., Any],
        args: Sequence[Any],
        argnums: Sequence[int],
        has_aux: bool = False,
        kwargs: Mapping[str, Any] | None = None,
    ) -> None:
        recording = is_grad_enabled()
        start = next(clock)

        def stand_in(x: Tensor) -> Tensor:
            return x.clone() if recording and x.requires_grad else x.detach().requires_grad_()

        for i in argnums:
            tensors_of(args[i], f"argument {i}", ValueError)
        with enable_grad():
            placed = [map_tensors(stand_in, each) if i in argnums else each for i, each in enumerate(args)]
            result = func(*placed, **(kwargs or {}))
        if has_aux and not (isinstance(result, tuple) and len(result) == 2):
            raise RuntimeError("with has_aux=True the function must return a tuple: (output, aux)")
        self.output = result[0] if has_aux else result
        self.aux: tuple[Any, ...] = result[1:] if has_aux else ()
        self.arguments = [placed[i] for i in argnums]
        self.inputs = tensors_of(self.arguments, "arguments", ValueError)
        self.outputs = tensors_of(self.output, "what the function returns", RuntimeError)
        self.nested = recording and _reaches(self.outputs, start)

    def settled(self, value: Any) -> Any:
        """The value without the history of this call, unless that is wanted outside."""
        return value if self.nested else map_tensors(Tensor.detach, value)

    def by_argument(self, values: Iterable[Any], argnums: Argnums) -> Any:
        """One value for each input, built as the arguments are: a tuple of them where argnums is a tuple."""
        several = tuple(filled(self.arguments, values))
        return several[0] if isinstance(argnums, int) else several

    def pull(self, weights: Sequence[Tensor], recorded: bool) -> list[Tensor]:
        """Of each input, the gradient of the outputs weighted so."""
        return pull(self.outputs, self.inputs, weights, recorded)

    def transposed(self) -> tuple[list[Tensor], list[Tensor]]:
        """Weights of the outputs, and of each input the gradient as a recorded function of them.

        It is linear in the weights, so what they are does not matter; its own gradient with respect to them
        is the product of the Jacobian with a tangent. (J. Townsend, "A new trick for calculating
        Jacobian-vector products", 2017.)
        """
        with enable_grad():
            weights = [zeros_like(each) for each in self.outputs]
            for weight, output in zip(weights, self.outputs, strict=True):
                weight.requires_grad_(output.requires_grad)
            return weights, self.pull(weights, recorded=True)

    def records(self, given: Iterable[Tensor]) -> bool:
        """Whether a product with the given Tensors must be recorded."""
        return self.nested or (is_grad_enabled() and any(each.requires_grad for each in given))

    def require_floating(self, name: str) -> None:
        for each in self.outputs:
            if not each.is_floating_point():
                raise RuntimeError(f"{name}: all outputs must be of floating point dtype, not {each.dtype}")


def _reaches(tensors: Iterable[Tensor], start: int) -> bool:
    """Whether their history leads to a node older than `start`."""
    history = ancestors(tensor.edge for tensor in tensors)
    return bool(history) and history[0].order < start


def pull(
    outputs: Sequence[Tensor], inputs: Sequence[Tensor], weights: Sequence[Tensor], recorded: bool
) -> list[Tensor]:
    """Σ weightᵀ · d output / d input for each input; zeros where no output depends on it."""
    live = [(each, weight) for each, weight in zip(outputs, weights, strict=True) if each.requires_grad]
    wanted = [each for each in inputs if each.requires_grad]
    found: Iterable[Any] = (zeros_like(each) for each in wanted)
    if live:
        found = autograd.grad(
            [each for each, _ in live],
            wanted,
            [weight for _, weight in live],
            retain_graph=True,
            create_graph=recorded,
            materialize_grads=True,
        )
    rest = iter(found)
    return [next(rest) if each.requires_grad else zeros_like(each) for each in inputs]


def positions(argnums: Argnums, n: int) -> tuple[int, ...]:
    """argnums counted from the front; RuntimeError where it is not among n arguments."""
    several = argnums if isinstance(argnums, tuple) else (argnums,)
    if not several or not all(isinstance(each, int) for each in several):
        raise RuntimeError(f"argnums must be an int or a tuple of ints, which is not empty, not {argnums!r}")
    for each in several:
        if not -n <= each < n:
            raise RuntimeError(f"Got argnum={each}, but only {n} positional inputs")
    found = tuple(each % n for each in several)
    if len(set(found)) != len(found):
        raise RuntimeError(f"argnums elements must be unique, got {argnums}")
    return found
