"""Derivatives of functions: each takes a function, and returns a function or a derivative.

`grad`, `grad_and_value`, `vjp`, `jvp`, `jacrev`, `jacfwd`, `hessian`, `vmap` and `functional_call` are called
as in `torch.func`; `jacobian` and `hvp`, which it lacks, as in `torch.autograd.functional`.

Arguments that are differentiated, and outputs, are Tensors, or tuples, lists and dicts of them, also nested;
ValueError and RuntimeError are raised where one holds anything else. All can be nested in each other: a
derivative is recorded where something that it depends on is itself to be differentiated, and otherwise has no
history.
"""

from typing import Any

from .api.func.functional import hvp, jacobian
from .api.func.mapping import vmap
from .api.func.transforms import grad, grad_and_value, hessian, jacfwd, jacrev, jvp, vjp
from .api.missing import explain
from .nn.stateless import functional_call

__all__ = [
    "functional_call",
    "grad",
    "grad_and_value",
    "hessian",
    "hvp",
    "jacfwd",
    "jacobian",
    "jacrev",
    "jvp",
    "vjp",
    "vmap",
]


def __getattr__(name: str) -> Any:
    if name.startswith("__"):
        raise AttributeError(name)
    raise AttributeError(explain("func", name, __all__))
