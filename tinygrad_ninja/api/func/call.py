"""One call of a function that is to be differentiated."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from ...engine.grad_mode import enable_grad, is_grad_enabled
from ...engine.gradients import grad
from ...engine.node import ancestors, clock
from ...engine.tensor import Tensor
from ..creation import zeros_like
from .nested import filled, map_tensors, tensors_of

Argnums = int | tuple[int, ...]


class Call:
    """A function's output for stand-ins of some of its arguments, with respect to which it can be
    differentiated.

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
            """Return a Tensor with the numbers of `x` that requires a gradient: its clone where outer calls
            differentiate `x`."""
            return x.clone() if recording and x.requires_grad else x.detach().requires_grad_()

        for i in argnums:
            tensors_of(args[i], f"argument {i}", ValueError)
        with enable_grad():
            placed = [
                map_tensors(stand_in, argument) if i in argnums else argument
                for i, argument in enumerate(args)
            ]
            result = func(*placed, **(kwargs or {}))
        if has_aux and not (isinstance(result, tuple) and len(result) == 2):
            raise RuntimeError("with has_aux=True the function must return a tuple: (output, aux)")
        self.output = result[0] if has_aux else result
        self.aux: tuple[Any, ...] = result[1:] if has_aux else ()
        self.arguments = [placed[i] for i in argnums]
        self.inputs = tensors_of(self.arguments, "arguments", ValueError)
        self.outputs = tensors_of(self.output, "what the function returns", RuntimeError)
        self.nested = recording and _reaches(self.outputs, start)

    def detach_unless_nested(self, value: Any) -> Any:
        """Return the value without the history of this call, unless an outer call needs the history."""
        return value if self.nested else map_tensors(Tensor.detach, value)

    def by_argument(self, values: Iterable[Any], argnums: Argnums) -> Any:
        """Return one value per input, in the structure of the arguments: a tuple of them where argnums is a
        tuple."""
        values_by_argument = tuple(filled(self.arguments, values))
        return values_by_argument[0] if isinstance(argnums, int) else values_by_argument

    def pull(self, weights: Sequence[Tensor], recorded: bool) -> list[Tensor]:
        """Return, for each input, the gradient of the outputs weighted by `weights`."""
        return pull(self.outputs, self.inputs, weights, recorded)

    def transposed(self) -> tuple[list[Tensor], list[Tensor]]:
        """Return weights of the outputs, and for each input the gradient as a recorded function of them.

        It is linear in the weights, so their values do not matter; its own gradient with respect to them is
        the product of the Jacobian with a tangent. (J. Townsend, "A new trick for calculating Jacobian-vector
        products", 2017.)
        """
        with enable_grad():
            weights = [zeros_like(output) for output in self.outputs]
            for weight, output in zip(weights, self.outputs, strict=True):
                weight.requires_grad_(output.requires_grad)
            return weights, self.pull(weights, recorded=True)

    def records(self, tensors: Iterable[Tensor]) -> bool:
        """Return whether a product with these Tensors must be recorded."""
        return self.nested or (is_grad_enabled() and any(tensor.requires_grad for tensor in tensors))

    def require_floating(self, name: str) -> None:
        """Raise RuntimeError where an output has no floating point dtype."""
        for output in self.outputs:
            if not output.is_floating_point():
                raise RuntimeError(f"{name}: all outputs must be of floating point dtype, not {output.dtype}")


def _reaches(tensors: Iterable[Tensor], start: int) -> bool:
    """Return whether the history of the tensors leads to a node older than `start`."""
    history = ancestors(tensor.edge for tensor in tensors)
    return bool(history) and history[0].order < start


def pull(
    outputs: Sequence[Tensor], inputs: Sequence[Tensor], weights: Sequence[Tensor], recorded: bool
) -> list[Tensor]:
    """Return Σ weightᵀ · d output / d input for each input; zeros where no output depends on it."""
    live = [(output, weight) for output, weight in zip(outputs, weights, strict=True) if output.requires_grad]
    variables = [tensor for tensor in inputs if tensor.requires_grad]
    gradients: Iterable[Any] = (zeros_like(tensor) for tensor in variables)
    if live:
        gradients = grad(
            [output for output, _ in live],
            variables,
            [weight for _, weight in live],
            retain_graph=True,
            create_graph=recorded,
            materialize_grads=True,
        )
    remaining = iter(gradients)
    return [next(remaining) if tensor.requires_grad else zeros_like(tensor) for tensor in inputs]


def positions(argnums: Argnums, n: int) -> tuple[int, ...]:
    """Return argnums, counted from the front, as a tuple.

    Raises RuntimeError where one is not among n arguments, where two are equal, and for no or other numbers.
    """
    numbers = argnums if isinstance(argnums, tuple) else (argnums,)
    if not numbers or not all(isinstance(argnum, int) for argnum in numbers):
        raise RuntimeError(f"argnums must be an int or a tuple of ints, which is not empty, not {argnums!r}")
    for argnum in numbers:
        if not -n <= argnum < n:
            raise RuntimeError(f"Got argnum={argnum}, but only {n} positional inputs")
    indices = tuple(argnum % n for argnum in numbers)
    if len(set(indices)) != len(indices):
        raise RuntimeError(f"argnums elements must be unique, got {argnums}")
    return indices
