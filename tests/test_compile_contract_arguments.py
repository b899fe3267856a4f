"""Tensors as arguments: their class, their hooks, and whether one is another argument too, or elsewhere."""

from typing import Any

import numpy as np
from contract import compiled, refused, same

import tinygrad_ninja as torch
from tinygrad_ninja import nn


@same
def test_parameters_and_subclasses(C: Any) -> Any:
    class Scaled(torch.Tensor):
        k = 10.0

    f = C(lambda x: (x * 2 if isinstance(x, nn.Parameter) else x * getattr(x, "k", 3.0)).detach())
    own = Scaled([1.0, 1.0])
    arguments = (torch.ones(2, requires_grad=True), nn.Parameter(torch.ones(2)), torch.ones(2), own, own)
    for x in arguments:
        yield f(x)
    own.k = 4.0
    yield f(own)


@same
def test_hooks_on_an_argument(C: Any) -> Any:
    f = C(lambda x: torch.autograd.grad((x * x).sum(), [x])[0])
    x = torch.ones(2, requires_grad=True)
    yield f(x), f(x)
    x.register_hook(lambda gradient: gradient * 10)
    yield f(x), f(torch.ones(2, requires_grad=True))


@same
def test_which_tensors_are_one(C: Any) -> Any:
    w, table = torch.ones(1), {}
    table[w] = 2.0
    f = C(lambda x, y: x * (2 if x is y else 3 if x is w else 4))
    g, h, first = C(lambda x: w), C(lambda x: x * table.get(x, 1.0)), C(lambda x, y: x)
    nested = C(lambda pair: pair[0] * (2 if pair[0] is pair[1] else 3))
    a, b = torch.ones(1), torch.ones(1) * 2
    for x, y in ((a, b), (a, a), (w, b), (a, b), (b, w), (b, b)):
        yield f(x, y), g(x) is w, h(x), first(x, y) is x, nested((x, y))


@same
def test_which_of_four_tensors_are_one(C: Any) -> Any:
    """Also where other arguments are one object: small numbers are."""
    f = C(lambda w, x, y, z: torch.tensor([w is x, w is y, w is z, x is y, x is z, y is z]).sum() * 1 + w)
    g = C(lambda x, y, m, n: x * (2 if x is y else 3) * m + n)
    a, b, c, d = (torch.ones(1) for _ in range(4))
    for given in ((a, b, c, d), (a, b, a, b), (a, b, b, b), (a, a, b, b), (a, b, b, a), (a, b, a, a)):
        yield f(*given)
    for given in ((a, b, 1, 1), (a, a, 1, 1), (a, b, 1, 2), (a, a, 1, 2)):
        yield g(*given)


@same
def test_a_gradient_of_what_is_found_elsewhere_too(C: Any) -> Any:
    p, q = torch.ones(2, requires_grad=True), torch.ones(2, requires_grad=True)
    f = C(lambda a: torch.autograd.grad((a * a).sum(), [a, p], allow_unused=True)[1])
    for x in (q, p, q, p):
        yield f(x)


@same
def test_versions_and_addresses(C: Any) -> Any:
    f, g = C(lambda x: (x * 1, x._version)), C(lambda x: (x * 1, x.data_ptr()))
    x = torch.ones(1)
    for _ in range(3):
        yield f(x)[1], g(x)[1] == x.data_ptr()
        x.add_(1)


@same
def test_an_array_whose_elements_share_their_memory(C: Any) -> Any:
    f = C(lambda x: x.add_(1))
    memory = np.arange(4.0)
    x = torch.from_numpy(np.lib.stride_tricks.as_strided(memory, (3, 2), (8, 8)))
    for _ in range(3):
        f(x)
        yield torch.tensor(memory)


@same
def test_an_array_of_text_is_no_tensor(C: Any) -> Any:
    f = C(lambda names, x: x * 2 if names[0] == "a" else x * 3)
    names = np.array(["a", "b"])
    for name in "abba":
        names[0] = name
        yield f(names, torch.ones(2))
    yield f(np.array(["b"]), torch.ones(2)), f(np.array(["a"]), torch.ones(2))


@refused("`argument 0` is a NumPy array of objects")
def test_an_array_of_objects_is_no_tensor(C: Any) -> Any:
    f = C(lambda parts: parts[0] * len(parts[1]))
    parts = np.array([torch.ones(2), "text"], object)
    for text in ("a", "ab"):
        parts[1] = text
        yield f(parts)


@compiled
def test_arrays_of_other_classes_are_tensors_of_what_they_hold(C: Any) -> Any:
    """What a file holds is given part by part."""
    f = C(lambda x: (torch.as_tensor(x) * torch.as_tensor(x)).sum(0))
    memory = np.arange(36.0).reshape(18, 2)
    for k in range(9):
        part = memory[2 * k : 2 * k + 2]
        for array in (part.view(np.memmap), part.view(np.matrix), np.ma.array(part, mask=part > 3)):
            yield f(torch.from_numpy(array) if k == 0 else array)


@compiled
def test_what_an_argument_is_beside_its_elements(C: Any) -> Any:
    f = C(lambda x: (x.detach() * 2, type(x).__name__))
    g = C(lambda x: (x.detach() * 2, x.__class__.__name__))
    h = C(lambda x: (x.detach() * 2, x.retains_grad, x.is_leaf))
    base, leaf = torch.ones(4), torch.ones(2, requires_grad=True)
    kept = leaf * 2
    kept.retain_grad()
    for x in (torch.ones(2), base[1:3], torch.ones(2), leaf * 2, kept, leaf, leaf[:], leaf * 3):
        yield f(x), g(x), h(x)


@refused("what leads to a grad_fn is not compiled; look at it outside", times=2)
def test_the_history_of_an_argument_is_looked_at(C: Any) -> Any:
    f = C(lambda x: (x.detach() * 2, x.grad_fn.name()))
    g = C(lambda x: (x.detach() * 2, len(x.grad_fn.next_functions)))
    leaf = torch.ones(2, requires_grad=True)
    for x in (leaf * 2, leaf + 1, leaf.exp(), leaf * 2):
        yield f(x), g(x)
