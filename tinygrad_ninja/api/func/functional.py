"""Derivatives of a function at a point: what PyTorch keeps in its `autograd.functional`.

`inputs` is a Tensor, or the tuple of the function's arguments; what is computed is recorded only with
create_graph=True. `strict`, which asks for an error where an input does not matter, is not offered;
`vectorize` and the strategies are other ways to the same numbers, and change nothing here.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ...engine.grad_mode import is_grad_enabled, set_grad_enabled
from ...engine.tensor import Tensor
from ..creation import ones_like
from ..missing import explain, refuse
from .call import Argnums
from .nested import matching
from .transforms import grad_and_value, jacrev
from .transforms import jvp as _jvp
from .transforms import vjp as _vjp

__all__ = ["hessian", "hvp", "jacobian", "jvp", "vhp", "vjp"]

Inputs = Tensor | tuple[Tensor, ...]


def jacobian(
    func: Callable[..., Any],
    inputs: Inputs,
    create_graph: bool = False,
    strict: bool = False,
    vectorize: bool = False,
    strategy: str = "reverse-mode",
) -> Any:
    """Return the Jacobian of `func` at `inputs`: see `func.jacrev`. Raise TypeError for other inputs."""
    primals, argnums = _arguments(inputs, "jacobian", strict)
    with set_grad_enabled(create_graph and is_grad_enabled()):
        return jacrev(func, argnums)(*primals)


def hessian(
    func: Callable[..., Any],
    inputs: Inputs,
    create_graph: bool = False,
    strict: bool = False,
    vectorize: bool = False,
    outer_jacobian_strategy: str = "reverse-mode",
) -> Any:
    """Return the second derivatives of `func`, which returns one element, at `inputs`.

    For an input of shape (…) they have the shape (…, …); for a tuple they are a tuple of tuples. Raises
    TypeError for other inputs, RuntimeError where func returns more than one element.
    """
    primals, argnums = _arguments(inputs, "hessian", strict)
    with set_grad_enabled(create_graph and is_grad_enabled()):
        return jacrev(jacrev(_scalar(func, "hessian", has_aux=False), argnums), argnums)(*primals)


def vjp(
    func: Callable[..., Any],
    inputs: Inputs,
    v: Any = None,
    create_graph: bool = False,
    strict: bool = False,
) -> tuple[Any, Any]:
    """Return (output, vᵀ · J) for `func` and its Jacobian J at `inputs`.

    v: of the structure and shapes of the output; 1 where None, for an output of one element. The product has
    those of the inputs. Raises TypeError for other inputs, RuntimeError where v does not fit.
    """
    primals, argnums = _arguments(inputs, "vjp", strict)
    with set_grad_enabled(create_graph and is_grad_enabled()):
        output, vjp_fn = _vjp(func, *primals)
        products = vjp_fn(_direction(v, output, "vjp", "the output"))
    return output, _unpacked(products, argnums)


def jvp(
    func: Callable[..., Any],
    inputs: Inputs,
    v: Inputs | None = None,
    create_graph: bool = False,
    strict: bool = False,
) -> tuple[Any, Any]:
    """Return (output, J · v) for `func` and its Jacobian J at `inputs`.

    v: of the structure and shapes of the inputs; 1 where None, for an input of one element. The product has
    those of the output. Raises TypeError for other inputs, RuntimeError where v does not fit.
    """
    primals, _ = _arguments(inputs, "jvp", strict)
    direction = _direction(v, inputs, "jvp", "a single input")
    with set_grad_enabled(create_graph and is_grad_enabled()):
        output, product = _jvp(func, primals, direction if isinstance(direction, tuple) else (direction,))
    return output, product


def hvp(
    func: Callable[..., Any],
    inputs: Inputs,
    v: Inputs | None = None,
    create_graph: bool = False,
    strict: bool = False,
) -> tuple[Tensor, Any]:
    """Return (value, H · v) for `func`, which returns one element, and its Hessian H at `inputs`, which is
    not built.

    v: of the structure and shapes of the inputs; 1 where None, for an input of one element. The value has the
    shape that func returns, the product those of the inputs.

    The product is the gradient of the gradient's product with v, since H is symmetric. (B. Pearlmutter, "Fast
    exact multiplication by the Hessian", 1994.) Raises TypeError for other inputs, RuntimeError where v does
    not fit or func returns more than one element.
    """
    primals, argnums = _arguments(inputs, "hvp", strict)
    direction = _direction(v, inputs, "hvp", "a single input")
    directions = tuple(matching(direction if isinstance(direction, tuple) else (direction,), primals, "v"))
    with set_grad_enabled(create_graph and is_grad_enabled()):
        slope = grad_and_value(_scalar(func, "hvp", has_aux=True), tuple(range(len(primals))), has_aux=True)
        _, vjp_fn, (_, value) = _vjp(slope, *primals, has_aux=True)
        products = vjp_fn(directions)
    return value, _unpacked(products, argnums)


def vhp(
    func: Callable[..., Any],
    inputs: Inputs,
    v: Inputs | None = None,
    create_graph: bool = False,
    strict: bool = False,
) -> tuple[Tensor, Any]:
    """Return (value, vᵀ · H), which is `hvp`, since H is symmetric."""
    return hvp(func, inputs, v, create_graph, strict)


def _scalar(func: Callable[..., Any], name: str, has_aux: bool) -> Callable[..., Any]:
    """Return `func` with its value as a Tensor of shape (), with has_aux also as func returned it."""

    def scalar(*xs: Any) -> Any:
        value = func(*xs)
        if not isinstance(value, Tensor) or value.numel() != 1:
            raise RuntimeError(f"{name}: the function must return a Tensor of a single element")
        return (value.reshape(()), value) if has_aux else value.reshape(())

    return scalar


def _direction(v: Any, like: Any, name: str, what: str) -> Any:
    """Return v, for None 1 where `like` is one element."""
    if v is not None:
        return v
    if not isinstance(like, Tensor) or like.numel() != 1:
        raise RuntimeError(f"{name}: v can only be None for {what} of a single element")
    return ones_like(like)


def _unpacked(products: Any, argnums: Argnums) -> Any:
    return products if isinstance(argnums, tuple) else products[0]


def _arguments(inputs: Any, name: str, strict: bool) -> tuple[tuple[Tensor, ...], Argnums]:
    refuse(name, "strict=False", strict=strict)
    primals = inputs if isinstance(inputs, tuple) else (inputs,)
    if not primals or not all(isinstance(primal, Tensor) for primal in primals):
        raise TypeError(f"{name}: inputs must be a Tensor or a tuple of Tensors, not {type(inputs).__name__}")
    return primals, tuple(range(len(primals))) if isinstance(inputs, tuple) else 0


def __getattr__(name: str) -> Any:
    if name.startswith("__"):
        raise AttributeError(name)
    raise AttributeError(explain("autograd.functional", name, __all__))
