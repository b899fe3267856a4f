"""What a backward frees and what it leaves: what may be walked through twice, and where a walk ends."""

from typing import Any

import pytest
from both import assert_same, attempt, same

FUNCTIONS: dict[str, Any] = {
    "x+1": lambda t, x: x + 1,
    "x+x": lambda t, x: x + x,
    "x-1": lambda t, x: x - 1,
    "1-x": lambda t, x: 1 - x,
    "-x": lambda t, x: -x,
    "x*2": lambda t, x: x * 2,
    "x*x": lambda t, x: x * x,
    "x*c": lambda t, x: x * t.ones(3, 3),
    "x/2": lambda t, x: x / 2,
    "2/x": lambda t, x: 2 / x,
    "x/c": lambda t, x: x / t.ones(3, 3),
    "c/x": lambda t, x: t.ones(3, 3) / x,
    "x**2": lambda t, x: x**2,
    "x**1": lambda t, x: x**1,
    "x**0": lambda t, x: x**0,
    "x**3": lambda t, x: x**3.0,
    "2**x": lambda t, x: 2**x,
    "x**x": lambda t, x: x**x,
    "exp": lambda t, x: x.exp(),
    "log": lambda t, x: x.log(),
    "sqrt": lambda t, x: x.sqrt(),
    "sin": lambda t, x: x.sin(),
    "cos": lambda t, x: x.cos(),
    "tanh": lambda t, x: x.tanh(),
    "erf": lambda t, x: x.erf(),
    "sigmoid": lambda t, x: x.sigmoid(),
    "relu": lambda t, x: x.relu(),
    "abs": lambda t, x: x.abs(),
    "sign": lambda t, x: x.sign(),
    "floor": lambda t, x: x.floor(),
    "trunc": lambda t, x: x.trunc(),
    "reciprocal": lambda t, x: x.reciprocal(),
    "rsqrt": lambda t, x: x.rsqrt(),
    "square": lambda t, x: x.square(),
    "log10": lambda t, x: x.log10(),
    "clamp": lambda t, x: x.clamp(0, 1),
    "clampmin": lambda t, x: x.clamp(min=0),
    "clamp_t": lambda t, x: x.clamp(min=t.zeros(3, 3)),
    "maximum": lambda t, x: t.maximum(x, t.ones(3, 3)),
    "maximum2": lambda t, x: t.maximum(x, x * 1),
    "minimum": lambda t, x: t.minimum(x, t.ones(3, 3)),
    "where": lambda t, x: t.where(x > 1, x, 0.0),
    "where2": lambda t, x: t.where(x > 1, 0.0, x),
    "masked_fill": lambda t, x: x.masked_fill(x > 1, 0.0),
    "masked_fill_t": lambda t, x: t.ones(3, 3).masked_fill(x.detach() > 1, x.sum()),
    "masked_select": lambda t, x: x.masked_select(x > 1),
    "remainder": lambda t, x: x % 2,
    "remainder_t": lambda t, x: x % t.ones(3, 3),
    "sum": lambda t, x: x.sum(),
    "sum0": lambda t, x: x.sum(0),
    "mean": lambda t, x: x.mean(),
    "mean0": lambda t, x: x.mean(0),
    "var": lambda t, x: x.var(),
    "std": lambda t, x: x.std(),
    "var0": lambda t, x: x.var(0),
    "max": lambda t, x: x.max(),
    "max0": lambda t, x: x.max(0)[0],
    "min0": lambda t, x: x.min(0)[0],
    "amax": lambda t, x: x.amax(0),
    "amin": lambda t, x: x.amin(),
    "prod": lambda t, x: x.prod(),
    "prod0": lambda t, x: x.prod(0),
    "cumsum": lambda t, x: x.cumsum(0),
    "logsumexp": lambda t, x: x.logsumexp(0),
    "softmax": lambda t, x: x.softmax(0),
    "log_softmax": lambda t, x: x.log_softmax(0),
    "norm": lambda t, x: x.norm(),
    "norm0": lambda t, x: x.norm(dim=0),
    "matmul": lambda t, x: x @ t.ones(3, 3),
    "matmul2": lambda t, x: x @ x,
    "matvec": lambda t, x: x @ t.ones(3),
    "dot": lambda t, x: x[0] @ t.ones(3),
    "bmm": lambda t, x: x[None] @ t.ones(2, 3, 3),
    "linear": lambda t, x: t.nn.functional.linear(x, t.ones(2, 3)),
    "linear2": lambda t, x: t.nn.functional.linear(t.ones(2, 3), x),
    "linearb": lambda t, x: t.nn.functional.linear(t.ones(2, 3), t.ones(3, 3), x[0]),
    "view": lambda t, x: x.view(9),
    "reshapeT": lambda t, x: x.T.reshape(9),
    "T": lambda t, x: x.T,
    "permute": lambda t, x: x.permute(1, 0),
    "squeeze": lambda t, x: x.squeeze(),
    "unsqueeze": lambda t, x: x.unsqueeze(0),
    "expand": lambda t, x: x.expand(2, 3, 3),
    "slice": lambda t, x: x[1:],
    "select": lambda t, x: x[1],
    "none": lambda t, x: x[None],
    "diag": lambda t, x: x.diag(),
    "diagv": lambda t, x: x[0].diag(),
    "tril": lambda t, x: x.tril(),
    "triu": lambda t, x: x.triu(),
    "flip": lambda t, x: x.flip(0),
    "cat": lambda t, x: t.cat([x, x]),
    "stack": lambda t, x: t.stack([x, x]),
    "split": lambda t, x: x.split(1)[0],
    "unbind": lambda t, x: x.unbind()[0],
    "chunk": lambda t, x: x.chunk(2)[0],
    "clone": lambda t, x: x.clone(),
    "contig": lambda t, x: x.T.contiguous(),
    "double": lambda t, x: x.double(),
    "to": lambda t, x: x.to(t.float64),
    "x[list]": lambda t, x: x[[0, 1]],
    "x[i]": lambda t, x: x[t.tensor([0, 1])],
    "x[i,j]": lambda t, x: x[[0, 1], [1, 1]],
    "x[:,i]": lambda t, x: x[:, [0]],
    "mask": lambda t, x: x[x > 1],
    "gather": lambda t, x: x.gather(0, t.zeros(1, 3, dtype=t.int64)),
    "index_select": lambda t, x: x.index_select(0, t.tensor([0])),
    "index_add": lambda t, x: x.index_add(0, t.tensor([0]), t.ones(1, 3)),
    "index_add_s": lambda t, x: t.ones(3, 3).index_add(0, t.tensor([0]), x[:1]),
    "embedding": lambda t, x: t.nn.functional.embedding(t.tensor([0, 1]), x),
    "true": lambda t, x: x[True],
    "range": lambda t, x: x[range(2)],
    "0dtensor": lambda t, x: x[t.tensor(1)],
    "c[0]=x": lambda t, x: [c := t.ones(3, 3), c.__setitem__(0, x[0]), c][-1],
    "c[list]=x": lambda t, x: [c := t.ones(3, 3), c.__setitem__([0, 1], x[:2]), c][-1],
    "c[:]=x": lambda t, x: [c := t.ones(3, 3), c.__setitem__(slice(None), x), c][-1],
    "c[...]=x": lambda t, x: [c := t.ones(3, 3), c.__setitem__(..., x), c][-1],
    "y[0]=1": lambda t, x: [c := x * 1, c.__setitem__(0, 1.0), c][-1],
    "y+[0]=1": lambda t, x: [c := x + 1, c.__setitem__(0, 1.0), c][-1],
    "y+[:]=1": lambda t, x: [c := x + 1, c.__setitem__(slice(None), 1.0), c][-1],
    "y+[list]=1": lambda t, x: [c := x + 1, c.__setitem__([0], 1.0), c][-1],
    "y+[mask]=1": lambda t, x: [c := x + 1, c.__setitem__(x > 1, 1.0), c][-1],
    "c[0,0]=x": lambda t, x: [c := t.ones(3, 3), c.__setitem__((0, 0), x[0, 0]), c][-1],
    "copy_": lambda t, x: t.ones(3, 3).copy_(x),
    "copy_b": lambda t, x: t.ones(3, 3).copy_(x[0]),
    "y.copy_": lambda t, x: (x + 1).copy_(t.ones(3, 3)),
    "zero_": lambda t, x: (x + 1).zero_(),
    "fill_": lambda t, x: (x + 1).fill_(2.0),
    "fill_t": lambda t, x: (x + 1).fill_(x.sum()),
    "add_": lambda t, x: (x + 1).add_(1),
    "mul_": lambda t, x: (x + 1).mul_(2),
    "mulc_": lambda t, x: (x + 1).mul_(t.ones(3, 3)),
    "exp_": lambda t, x: (x + 1).exp_(),
    "relu_": lambda t, x: (x + 1).relu_(),
    "clamp_": lambda t, x: (x + 1).clamp_(0, 1),
    "masked_fill_": lambda t, x: (x + 1).masked_fill_(x > 1, 0.0),
    "view.add_": lambda t, x: [c := x + 1, c[0].add_(1), c][-1],
    "view.view": lambda t, x: [c := x + 1, c.view(9).add_(1), c][-1],
    "tview": lambda t, x: [c := x + 1, c.view(9).add_(1)][-1],
    "c.add_x": lambda t, x: t.ones(3, 3).add_(x),
    "normal_": lambda t, x: (x + 1).normal_(),
    "uniform_": lambda t, x: (x + 1).uniform_(),
    "cross_entropy": lambda t, x: t.nn.functional.cross_entropy(x, t.tensor([0, 1, 2])),
    "nll": lambda t, x: t.nn.functional.nll_loss(x, t.tensor([0, 1, 2])),
    "mse": lambda t, x: t.nn.functional.mse_loss(x, t.ones(3, 3)),
    "layer_norm": lambda t, x: t.nn.functional.layer_norm(x, (3,)),
    "batch_norm": lambda t, x: t.nn.functional.batch_norm(x, None, None, training=True),
    "dropout": lambda t, x: t.nn.functional.dropout(x, 0.5),
    "gelu": lambda t, x: t.nn.functional.gelu(x),
    "ce_none": lambda t, x: t.nn.functional.cross_entropy(x, t.tensor([0, 1, 2]), reduction="none"),
    "sdpa": lambda t, x: t.nn.functional.scaled_dot_product_attention(x[None], x[None], x[None]),
    "x.mT": lambda t, x: x.mT,
    "x-x": lambda t, x: x - x,
    "mul bcast": lambda t, x: x * t.ones(3),
    "repeat_interleave": lambda t, x: x.repeat_interleave(2, 0),
    "repeat_interleave unlike": lambda t, x: x.repeat_interleave(t.tensor([1, 2, 0]), 0),
    "bce": lambda t, x: t.nn.functional.binary_cross_entropy(x / 9, t.ones(3, 3)),
    "linalg.norm": lambda t, x: t.linalg.norm(x),
}


def leaf(t: Any) -> Any:
    return (t.arange(9.0).reshape(3, 3) ** 2 / 16 + 0.1).requires_grad_()


def twice(t: Any, function: Any, **options: Any) -> Any:
    """The gradient after one backward, and after a second one, which may raise."""
    x = leaf(t)
    t.manual_seed(0)
    y = function(t, x)
    weight = t.arange(1, y.numel() + 1, dtype=y.dtype).reshape(y.shape)
    y.backward(weight, **options)
    first = x.grad.clone()
    return first, attempt(y.backward, weight), x.grad


@pytest.mark.parametrize("function", FUNCTIONS.values(), ids=FUNCTIONS)
def test_a_second_backward_raises_where_torchs_does(function: Any) -> None:
    assert_same(lambda t: twice(t, function), ulps=64, scaled=True)


@pytest.mark.parametrize("function", FUNCTIONS.values(), ids=FUNCTIONS)
def test_a_second_backward_through_a_retained_graph(function: Any) -> None:
    assert_same(lambda t: twice(t, function, retain_graph=True), ulps=64, scaled=True)


@same
def test_gradients_of_inner_values_leave_the_rest_of_the_graph(t: Any) -> Any:
    x = t.ones(2, requires_grad=True)
    h = (x * 3).relu()
    (first,) = t.autograd.grad(h.sum(), h)
    (second,) = t.autograd.grad((h**2).sum(), h)
    h.backward(first + second)
    return first, second, x.grad


@same
def test_gradients_of_several_inner_values_one_after_the_other(t: Any) -> Any:
    x = leaf(t)
    a, b = x.exp(), x.sin()
    loss = a.sum() + b.sum()
    inner = [t.autograd.grad(loss, each) for each in (a, b)]
    loss.backward()
    return inner, attempt(loss.backward), x.grad


@same
def test_a_walk_to_two_inner_values_frees_what_lies_between(t: Any) -> Any:
    x = leaf(t)
    a = x.sqrt()
    b = a.sqrt()
    gradients = t.autograd.grad(b.sqrt().sum(), [a, b])
    return gradients, attempt(b.sum().backward), attempt(a.sum().backward), x.grad


@same
def test_a_gradient_that_does_not_need_the_freed_part(t: Any) -> Any:
    x, w = leaf(t), None
    u = x * 2
    u.sum().backward()
    w = leaf(t)
    return t.autograd.grad((u * w).sum(), w), attempt(t.autograd.grad, (u * w).sum(), x)


@same
def test_backward_to_an_inner_value_frees_it(t: Any) -> Any:
    x = leaf(t)
    h = (x * 3).relu()
    h.sum().backward(inputs=[h])
    return h.grad, attempt(h.sum().backward), x.grad


@same
def test_backward_with_inputs_as_a_function(t: Any) -> Any:
    x, y = leaf(t), leaf(t)
    h = x * y
    t.autograd.backward(h.sum(), inputs=[x])
    t.autograd.backward((x * y).sum(), inputs=x)
    wrong = [attempt(t.autograd.backward, (x * y).sum(), inputs=each) for each in ([], [t.ones(2)])]
    return x.grad, y.grad, wrong


@same
def test_hooks_and_kept_gradients_where_only_some_are_asked_for(t: Any) -> Any:
    """A gradient is taken before the hooks of its Tensor where the walk goes on below, else after them."""
    x, seen = leaf(t), []
    h = x * 2
    h.retain_grad()
    h.register_hook(lambda gradient: seen.append(gradient.clone()))
    h.register_hook(lambda gradient: gradient * 10)
    x.register_hook(lambda gradient: gradient * 100)
    k = h * h
    k.retain_grad()
    found = [t.autograd.grad(k.sum(), inputs, retain_graph=True) for inputs in (h, x, [h, x], [x, h], [k, h])]
    return found, seen, h.grad, k.grad, x.grad


@same
def test_a_power_can_be_differentiated_until_nothing_is_left(t: Any) -> Any:
    x = t.tensor(3.0, requires_grad=True)
    derivatives = []
    for power in (0, 1, 2, 3):
        y = x**power
        while y.requires_grad and len(derivatives) < 20:
            (y,) = t.autograd.grad(y, x, create_graph=True)
            derivatives.append((y.detach(), y.requires_grad))
    return derivatives


@same
def test_a_value_that_only_the_other_operand_needs_may_be_changed(t: Any) -> Any:
    """What is looked at for its shape alone is not kept."""
    constant, vector = t.arange(6.0).reshape(2, 3), t.arange(3.0)
    results = []
    for product in (
        lambda x: x @ constant.T,
        lambda x: t.nn.functional.linear(x, constant),
        lambda x: x @ vector,
        lambda x: x[0] @ constant.T,
        lambda x: x[0] @ vector,
        lambda x: x[None] @ constant.T,
        lambda x: constant @ x,
        lambda x: constant @ x[0],
        lambda x: constant[None] @ x,
        lambda x: vector @ x,
        lambda x: x * constant[:1],
        lambda x: x / constant[:1].exp(),
    ):
        p = leaf(t)
        x = p * 1
        y = product(x)
        x.add_(1)
        results.append([attempt(y.sum().backward), p.grad])
        q, changed = leaf(t), constant.clone()
        y = q @ changed.T
        changed.add_(1)
        results.append(attempt(y.sum().backward))
    return results


def test_a_value_that_the_rule_needs_may_not() -> None:
    def case(t: Any) -> Any:
        p = leaf(t)
        x, w = p * 1, p * 2
        y = x @ w
        x.add_(1)
        return [attempt(y.sum().backward)]

    assert_same(case)
