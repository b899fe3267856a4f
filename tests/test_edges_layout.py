"""How results lie in memory: PyTorch's strides, on which views and the order of random draws depend."""

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from both import Case, assert_same, assert_same_error, attempt, cases, same

Function = Callable[[Any, Any], Any]


def counted(t: Any, *shape: int) -> Any:
    return t.arange(float(np.prod(shape))).reshape(shape)


LAYOUTS: dict[str, Case] = {
    "in order": lambda t: counted(t, 2, 3, 4),
    "permuted": lambda t: counted(t, 2, 3, 4).permute(1, 0, 2),
    "reversed": lambda t: counted(t, 2, 3, 4).permute(2, 1, 0),
    "turned": lambda t: counted(t, 2, 3, 4).permute(1, 2, 0),
    "every second": lambda t: counted(t, 4, 3, 4)[::2],
    "every second, permuted": lambda t: counted(t, 4, 3, 4)[::2].permute(2, 1, 0),
    "columns, turned": lambda t: counted(t, 2, 3, 8)[..., 2:6].permute(1, 2, 0),
    "rows repeated": lambda t: counted(t, 4).expand(2, 3, 4),
    "repeated between": lambda t: counted(t, 2, 1, 4).expand(2, 3, 4),
    "repeated, permuted": lambda t: counted(t, 2, 3, 1).expand(2, 3, 4).permute(2, 1, 0),
    "a matrix transposed": lambda t: counted(t, 3, 4).T,
    "a square transposed": lambda t: counted(t, 4, 4).T,
    "every second row, transposed": lambda t: counted(t, 6, 4)[::2].T,
    "a dimension of one": lambda t: counted(t, 3, 1, 4).permute(2, 1, 0),
    "nothing": lambda t: t.zeros(0, 3),
    "no columns": lambda t: t.zeros(3, 0),
    "every second of a vector": lambda t: counted(t, 10)[::2],
}

FUNCTIONS: dict[str, Function] = {
    "x * 2": lambda t, x: x * 2,
    "x + x": lambda t, x: x + x,
    "x**-0.5": lambda t, x: x**-0.5,
    "2**x": lambda t, x: 2**x,
    "x // 2": lambda t, x: x // 2,
    "x > 1": lambda t, x: x > 1,
    "x + in order": lambda t, x: x + t.ones(x.shape),
    "in order + x": lambda t, x: t.ones(x.shape) + x,
    "x + a row": lambda t, x: x + t.ones(x.shape[-1:]),
    "x * a column": lambda t, x: x * t.ones(*x.shape[:-1], 1),
    "x * another dtype": lambda t, x: x * t.ones(x.shape, dtype=t.float64),
    "x + more dimensions": lambda t, x: x + t.ones(3, *x.shape),
    "exp": lambda t, x: x.exp(),
    "erf": lambda t, x: x.erf(),
    "sign": lambda t, x: x.sign(),
    "sign of NaN": lambda t, x: (x / 0).sign(),
    "clamp": lambda t, x: x.clamp(1, 3),
    "where": lambda t, x: t.where(x > 1, x, 0.0),
    "where in order": lambda t, x: t.where(t.ones(x.shape) > 0, x, 0.0),
    "where else in order": lambda t, x: t.where(x > 0, t.ones(x.shape), x),
    "maximum": lambda t, x: t.maximum(x, t.ones(x.shape)),
    "masked_fill": lambda t, x: x.masked_fill(x > 2, 0.0),
    "gelu": lambda t, x: t.nn.functional.gelu(x),
    "clone": lambda t, x: x.clone(),
    "deepcopy": lambda t, x: copy.deepcopy(x),
    "contiguous": lambda t, x: x.contiguous(),
    "double": lambda t, x: x.double(),
    "long": lambda t, x: x.long(),
    "to, a copy": lambda t, x: x.to(t.float32, copy=True),
    "zeros_like": lambda t, x: t.zeros_like(x),
    "ones_like": lambda t, x: t.ones_like(x, dtype=t.int64),
    "full_like": lambda t, x: t.full_like(x, 3.0),
    "rand_like": lambda t, x: t.rand_like(x),
    "randn_like": lambda t, x: t.randn_like(x),
    "randint_like": lambda t, x: t.randint_like(x, 9),
    "bernoulli": lambda t, x: t.bernoulli(x.clamp(0, 1) / 2),
    "dropout": lambda t, x: t.nn.functional.dropout(x + 1, 0.5),
    "normal": lambda t, x: t.normal(x, 1.0),
    "uniform_": lambda t, x: x.clone().uniform_(),
    "normal_": lambda t, x: x.clone().normal_(),
    "sum": lambda t, x: x.sum(0),
    "sum, kept": lambda t, x: x.sum(-1, keepdim=True),
    "mean": lambda t, x: x.mean(-1),
    "var": lambda t, x: x.var(0),
    "amax": lambda t, x: x.amax(-1, keepdim=True),
    "max": lambda t, x: tuple(x.max(0)),
    "argmax": lambda t, x: x.argmax(0),
    "prod": lambda t, x: x.prod(0),
    "any": lambda t, x: x.any(0),
    "norm": lambda t, x: x.norm(dim=0),
    "cumsum": lambda t, x: x.cumsum(0),
    "logsumexp": lambda t, x: x.logsumexp(0),
    "softmax": lambda t, x: x.softmax(-1),
    "log_softmax": lambda t, x: x.log_softmax(0),
    "layer_norm": lambda t, x: t.nn.functional.layer_norm(x, x.shape[-1:]),
    "rows by a list": lambda t, x: x[[0, 0]],
    "columns by a list": lambda t, x: x[:, [0, 0, 0]],
    "last by a list": lambda t, x: x[..., [0, 0]],
    "by two lists": lambda t, x: x[[0, 0], [0, 0]],
    "by lists apart": lambda t, x: x[[0, 0], :, [0, 0]],
    "columns by nested lists": lambda t, x: x[:, [[0, 0], [0, 0], [0, 0]]],
    "by a mask": lambda t, x: x[x > 2],
    "index_select": lambda t, x: x.index_select(1, t.tensor([0, 0])),
    "index_add": lambda t, x: x.index_add(0, t.tensor([0]), x[:1]),
    "gather": lambda t, x: x.gather(0, x.long() * 0),
    "embedding": lambda t, x: t.nn.functional.embedding(t.tensor([[0, 1], [1, 0]]), x),
    "one_hot": lambda t, x: t.nn.functional.one_hot(x.long()),
    "ravel": lambda t, x: x.ravel(),
    "flatten": lambda t, x: x.flatten(),
    "flip": lambda t, x: x.flip(0),
    "cat": lambda t, x: t.cat([x, x], -1),
    "stack": lambda t, x: t.stack([x, x], 1),
    "tril": lambda t, x: x.tril(),
    "expand": lambda t, x: (x * 2).expand(5, *x.shape),
    "matmul": lambda t, x: x.transpose(-1, -2) @ x,
    "linear": lambda t, x: t.nn.functional.linear(x, t.ones(5, x.shape[-1])),
}


def steps(x: Any) -> Any:
    """The strides of each Tensor, but along a dimension of one, where there is no step."""
    if isinstance(x, tuple):
        return [steps(each) for each in x]
    return [step for step, n in zip(x.stride(), x.shape, strict=True) if n != 1], x.is_contiguous()


@pytest.mark.filterwarnings("ignore:.*degrees of freedom is <= 0")
@pytest.mark.parametrize("name", FUNCTIONS)
def test_strides_and_values_are_those_of_torch(name: str) -> None:
    """For each layout that PyTorch takes."""
    for layout, make in LAYOUTS.items():

        def case(t: Any, layout: str = layout, make: Case = make) -> Any:
            t.manual_seed(1)
            x = make(t)
            out = FUNCTIONS[name](t, x)
            return layout, out, steps(out) if x.numel() or name != "expand" else None

        if not isinstance(attempt(case, torch), Exception):
            assert_same(case, ulps=64, scaled=True)


@cases(
    lambda t: (counted(t, 2, 3, 4).permute(0, 2, 1) * 2).expand(5, 2, 4, 3).stride(),
    lambda t: t.from_numpy(np.zeros((6, 4))[::2, 1:3].T).expand(5, 2, 3).stride(),
    lambda t: (t.tensor(1.0) * 2).expand(3).stride(),
    lambda t: counted(t, 3, 4)[:, [1, 1, -1]].view(-1),
    lambda t: [
        x.index_select(1, t.tensor([0, 0])).is_contiguous() for x in [t.ones(1, 1, 2).transpose(2, 0)]
    ],
    lambda t: t.zeros(0, 3, 2).stride(),
    lambda t: t.zeros(3, 0, 2).sum(0).stride(),
    lambda t: t.zeros(2, 3, 0).stride(),
    lambda t: counted(t, 3, 4)[t.zeros(2, 3, dtype=t.int64).T].stride(),
    lambda t: counted(t, 2, 3, 4).permute(1, 2, 0)[t.zeros(2, 3, dtype=t.int64).T].stride(),
)
def test_single_cases(case: Case) -> None:
    assert_same(case)


@cases(
    lambda t: (counted(t, 3, 4).T * 2).view(-1),
    lambda t: counted(t, 3, 4).T.clone().view(-1),
    lambda t: t.zeros_like(counted(t, 3, 4).T).view(-1),
    lambda t: (counted(t, 3, 4).T + t.ones(4, 3)).view(-1),
)
def test_a_view_that_torch_refuses(case: Case) -> None:
    assert_same_error(case, "view size is not compatible")


@same
def test_a_leafs_gradient_lies_in_order(t: Any) -> Any:
    x, y = (counted(t, 3, 4).requires_grad_() for _ in "ab")
    (x.T * 2).exp().sum().backward()
    (y * counted(t, 4, 3).T).sum().backward()
    return x.grad.view(-1), y.grad.view(-1)
