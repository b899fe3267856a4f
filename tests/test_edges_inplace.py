"""Changing a tensor in place: what may, what may not, and what backward then says or computes."""

import operator
from typing import Any

import pytest
from both import Case, assert_same, assert_same_error, attempt, cases, gradients, same

WEIGHTS = [1.0, 2.0, 3.0]


def leaf(t: Any) -> Any:
    return t.tensor([1.0, 2.0, 3.0], requires_grad=True)


IN_PLACE: dict[str, Case] = {
    "add_": lambda x: x.add_(1),
    "sub_": lambda x: x.sub_(1),
    "mul_": lambda x: x.mul_(2),
    "div_": lambda x: x.div_(2),
    "pow_": lambda x: x.pow_(2),
    "neg_": lambda x: x.neg_(),
    "exp_": lambda x: x.exp_(),
    "tanh_": lambda x: x.tanh_(),
    "relu_": lambda x: x.relu_(),
    "sigmoid_": lambda x: x.sigmoid_(),
    "sqrt_": lambda x: x.sqrt_(),
    "clamp_": lambda x: x.clamp_(1.5, 2.5),
    "zero_": lambda x: x.zero_(),
    "fill_": lambda x: x.fill_(7),
    "copy_": lambda x: x.copy_(x.detach() * 3),
    "masked_fill_": lambda x: x.masked_fill_(x > 1, 0.5),
    "+=": lambda x: x.__iadd__(1),
    "*=": lambda x: x.__imul__(2),
    "/=": lambda x: x.__itruediv__(2),
    "-=": lambda x: x.__isub__(2),
    "[0] =": lambda x: x.__setitem__(0, 5.0),
    "[:] =": lambda x: x.__setitem__(slice(None), 5.0),
    "[mask] =": lambda x: x.__setitem__(x > 1, 5.0),
    "[list] =": lambda x: x.__setitem__([0, 0], 5.0),
}


@pytest.mark.parametrize("change", IN_PLACE.values(), ids=IN_PLACE)
def test_leaf_that_requires_grad(change: Case) -> None:
    """Refused, through a view too, and nothing is changed; not so in no_grad, on .data or detached."""

    def case(t: Any) -> Any:
        x = leaf(t)
        refused = [
            attempt(change, x),
            attempt(change, x.view(3)),
            attempt(change, x[:2]),
            attempt(change, x[None][0]),
        ]
        untouched = x.detach().clone()
        with t.no_grad():
            change(x)
        y, z, w = leaf(t), leaf(t), leaf(t)
        change(y.data)
        change(z.detach())
        with t.no_grad():
            change(w[1:])
        (x * x + y * y + z * z + w * w).sum().backward()
        return refused, untouched, x, y, z, w, x.grad, y.grad, z.grad, w.grad

    assert_same(case)


@pytest.mark.parametrize("change", IN_PLACE.values(), ids=IN_PLACE)
def test_non_leaf(change: Case) -> None:
    """The value and the gradient are those of the function composed with the change."""

    def case(t: Any) -> Any:
        x = leaf(t)
        h = x * 2
        change(h)
        (h * t.tensor(WEIGHTS)).sum().backward()
        return h, h.is_leaf, x.grad

    assert_same(case, scaled=True)


# Whether a product, a power, ... still can be differentiated after its operand or its result was changed.
KEEPERS: dict[str, Case] = {
    "x + 1": lambda x: x + 1,
    "x - x": lambda x: x - x,
    "-x": lambda x: -x,
    "x * 2": lambda x: x * 2,
    "x * x": lambda x: x * x,
    "x / 2": lambda x: x / 2,
    "2 / x": lambda x: 2 / x,
    "x / x": lambda x: x / x,
    "x ** 2": lambda x: x**2,
    "x ** 3.0": lambda x: x**3.0,
    "2 ** x": lambda x: 2**x,
    "exp": lambda x: x.exp(),
    "log": lambda x: x.log(),
    "sqrt": lambda x: x.sqrt(),
    "tanh": lambda x: x.tanh(),
    "sigmoid": lambda x: x.sigmoid(),
    "relu": lambda x: x.relu(),
    "abs": lambda x: x.abs(),
    "clamp": lambda x: x.clamp(0, 2),
    "sum": lambda x: x.sum(),
    "mean": lambda x: x.mean(),
    "var": lambda x: x.var(),
    "prod": lambda x: x.prod(),
    "max": lambda x: x.max(),
    "max(0)": lambda x: x.max(0).values,
    "amax": lambda x: x.amax(0),
    "cumsum": lambda x: x.cumsum(0),
    "logsumexp": lambda x: x.logsumexp(0),
    "softmax": lambda x: x.softmax(0),
    "log_softmax": lambda x: x.log_softmax(0),
    "matmul": lambda x: x @ x,
    "clone": lambda x: x.clone(),
    "[[0, 0]]": lambda x: x[[0, 0]],
    "unsqueeze": lambda x: x.unsqueeze(0) * 1,
    "expand": lambda x: x.expand(2, 3) + 0,
}


@pytest.mark.parametrize("keeper", KEEPERS.values(), ids=KEEPERS)
def test_operand_changed_since(keeper: Case) -> None:
    """Backward raises exactly where it needs the old value, and else is right."""

    def case(t: Any) -> Any:
        x = leaf(t)
        h = x * 1
        y = keeper(h)
        h.add_(1)
        return attempt(y.sum().backward), x.grad

    assert_same(case, scaled=True)


@pytest.mark.parametrize("keeper", KEEPERS.values(), ids=KEEPERS)
def test_result_changed_since(keeper: Case) -> None:
    def case(t: Any) -> Any:
        x = leaf(t)
        y = keeper(x)
        y.add_(1)
        return attempt(y.sum().backward), x.grad

    assert_same(case, scaled=True)


@cases(
    lambda t: [x := leaf(t), h := x.exp(), h.add_(1), h.sum().backward()],
    lambda t: [x := leaf(t), h := x.exp(), h.detach().add_(1), h.sum().backward()],
    lambda t: [x := leaf(t), h := x.exp(), h[0].zero_(), h.sum().backward()],
    lambda t: [x := leaf(t), h := x.exp(), h.view(3, 1).zero_(), h.sum().backward()],
    lambda t: [x := leaf(t), h := x.exp(), h.__setitem__(0, 1.0), h.sum().backward()],
    lambda t: [x := leaf(t), w := t.ones(3), y := x * w, w.add_(1), y.sum().backward()],
    lambda t: [x := leaf(t), w := t.ones(6), y := x * w[:3], w.add_(1), y.sum().backward()],
    lambda t: [x := leaf(t), w := t.ones(2, 3), y := x * w.T[:, 0], w.zero_(), y.sum().backward()],
    lambda t: [x := leaf(t), i := t.tensor([0, 1]), y := x[i], i.zero_(), y.sum().backward()],
    lambda t: [x := leaf(t), m := x > 1, y := t.where(m, x, 0.0), m.fill_(True), y.sum().backward()],
    lambda t: [x := leaf(t), h := x * x, y := h * h, h.mul_(2), y.sum().backward()],
)
def test_value_that_backward_needs_was_changed(case: Case) -> None:
    assert_same_error(case, "inplace")


@same
def test_changes_through_data_are_not_seen(t: Any) -> Any:
    """As in PyTorch, .data goes behind the back of the check: the gradient is that of the changed value."""
    x, z = leaf(t), leaf(t)
    y = x**2
    x.data += 1
    y.sum().backward()
    h = z.exp()
    h.data.mul_(2)
    h.sum().backward()
    return x.grad, z.grad


@same
def test_leaf_changed_inside_no_grad_between_forward_and_backward(t: Any) -> Any:
    x, w = leaf(t), leaf(t)
    y = (x * w).sum()
    with t.no_grad():
        x += 1
    return attempt(y.backward), x.grad, w.grad


@same
def test_versions(t: Any) -> Any:
    x = t.ones(3)
    versions = [x._version]
    x.add_(1)
    versions.append(x._version)
    x[0] = 1
    x.view(3)[1] = 3
    versions.append(x._version)
    x.detach().zero_()
    versions.append(x._version)
    x.data.zero_()
    versions.append(x._version)
    x += 1
    y = x.clone()
    z = x[1:]
    z.mul_(2)
    return versions, x._version, y._version, z._version, x.data._version


@same
def test_in_place_returns_its_tensor(t: Any) -> Any:
    x = t.ones(3)
    same_object = x.add_(1) is x and x.mul_(2).zero_() is x and x.fill_(3) is x and x.copy_(t.ones(3)) is x
    before = x
    x += 1
    x *= t.tensor(3.0)
    x -= 1
    x /= 2
    return same_object, before is x, x


@same
def test_in_place_with_an_operand_that_requires_grad(t: Any) -> Any:
    """A constant that takes one in joins the graph."""
    x, w = t.ones(3), leaf(t)
    x.add_(w).mul_(w)
    x[0] = w[1] * w[2]
    x.sum().backward()
    return x, x.is_leaf, w.grad


@same
def test_view_of_a_changed_base_and_base_of_a_changed_view(t: Any) -> Any:
    x, y = leaf(t), leaf(t)
    base = x * 1
    view = base[:2]
    base.mul_(3)
    (view * view).sum().backward()
    other = y * 1
    row = other.view(1, 3)[0]
    row[1:].mul_(4)
    (other * other).sum().backward()
    return view, x.grad, other, row, y.grad


@same
def test_several_writes_into_one_non_leaf(t: Any) -> Any:
    x, a = leaf(t), t.tensor(2.0, requires_grad=True)
    y = t.zeros(2, 3)
    y[0] = x
    y[1] = x * a
    y[1, 0] += x[2]
    y.T[2].mul_(3)
    (y * t.arange(6.0).reshape(2, 3)).sum().backward()
    return y, x.grad, a.grad


@cases(
    lambda t: t.ones(2, dtype=t.int64).add_(1.5),
    lambda t: t.ones(2, dtype=t.int64).mul_(t.ones(2)),
    lambda t: t.ones(2, dtype=t.int64).div_(2),
    lambda t: t.ones(2).add_(t.ones(3)),
    lambda t: t.ones(2).add_(t.ones(2, 2)),
    lambda t: t.ones(1).mul_(t.ones(2)),
    lambda t: t.ones(2).copy_(t.ones(3)),
    lambda t: t.ones(2).clamp_(t.ones(3, 2)),
    lambda t: t.ones(2).fill_(t.ones(2)),
    lambda t: t.ones(2, dtype=t.bool).sub_(True),
    lambda t: t.ones(2).masked_fill_(t.ones(2), 1.0),
    lambda t: t.ones(2).masked_fill_(t.ones(3) > 0, 1.0),
    lambda t: t.ones(2).index_add_(0, t.tensor([2]), t.ones(1)),
    lambda t: t.ones(2).index_add_(0, t.tensor([0]), t.ones(2)),
    lambda t: (leaf(t) * 1).unbind()[0].add_(1),
    lambda t: (leaf(t) * 1).split(1)[0].add_(1),
)
def test_in_place_that_raises(case: Case) -> None:
    assert_same_error(case)


@cases(
    lambda t: leaf(t).__setitem__([9], 5.0),
    lambda t: leaf(t)[:0].__setitem__([0], 5.0),
    lambda t: leaf(t).__setitem__([0], t.ones(2)),
)
def test_a_leaf_is_refused_before_what_else_is_wrong(case: Case) -> None:
    assert_same_error(case, "leaf")


@cases(
    gradients(lambda t, x: (x * 1).index_add_(0, t.tensor([0, 0]), x[1:]), WEIGHTS),
    gradients(lambda t, x: (x * 1).add_(x, alpha=3), WEIGHTS),
    gradients(lambda t, x: (x * 1).sub_(x * x, alpha=2), WEIGHTS),
    gradients(lambda t, x, y: (x * 1).copy_(y), WEIGHTS, [2.0]),
    gradients(lambda t, x, y: (x * 1).div_(y), WEIGHTS, 4.0),
    gradients(lambda t, x, y: (x * 1).fill_(y), WEIGHTS, 4.0),
    gradients(lambda t, x, y: (x * 1).masked_fill_(x > 1.5, y), WEIGHTS, 4.0),
    gradients(lambda t, x, y: (x * 1).pow_(y), WEIGHTS, [2.0, 0.5, -1.0]),
    gradients(lambda t, x: (x * 1).unsqueeze(0).mul_(2).squeeze(), WEIGHTS),
    gradients(lambda t, x: (x * 1).clamp_(min=1.5).clamp_(max=2.5), WEIGHTS),
    gradients(lambda t, x: (x * 1).tensor_split(2)[0].mul_(2), WEIGHTS),
)
def test_in_place_with_gradients(case: Case) -> None:
    assert_same(case)


@cases(
    lambda t: [x := t.arange(5.0), attempt(x[1:].copy_, x[:-1]), x],
    lambda t: [x := t.arange(5.0), attempt(x[1:].add_, x[:-1]), x],
    lambda t: [x := t.arange(5.0), attempt(x[1:].sub_, other=x[:-1]), x],
    lambda t: [x := t.arange(5.0), attempt(x.__setitem__, slice(1, None), x[:-1]), x],
    lambda t: [x := t.arange(5.0), attempt(operator.iadd, x[1:], x[:-1]), x],
    lambda t: [x := t.arange(4.0).reshape(2, 2), attempt(operator.imul, x, x.T), x],
    lambda t: [x := t.arange(4.0).reshape(2, 2), attempt(operator.iadd, x, x), x],
    lambda t: [
        x := t.arange(4.0).reshape(2, 2),
        attempt(operator.iadd, x, x[0]),
        attempt(x[0].add_, x[1]),
        x,
    ],
    lambda t: [x := t.arange(6.0).reshape(2, 3), attempt(x[:, :1].add_, x[:, 1:2]), x],
    lambda t: [x := t.arange(6.0).reshape(2, 3), attempt(x.view(6).add_, x.view(6)), x],
)
def test_operands_that_share_the_memory_that_is_written_to(case: Case) -> None:
    assert_same(case)


# PyTorch lets an advanced index write to them, and warns that it will not for long.
BY_NUMBER = {name: change for name, change in IN_PLACE.items() if name not in ("[list] =", "[mask] =")}


@pytest.mark.parametrize("change", BY_NUMBER.values(), ids=BY_NUMBER)
def test_elements_that_share_their_memory(change: Case) -> None:
    """They may be written to where all are given one number, and that by some functions only."""

    def case(t: Any) -> Any:
        x = t.ones(1, 3).expand(2, 3)
        return [isinstance(attempt(change, x), Exception), x]

    assert_same(case, ulps=8)


@same
def test_data_of_a_leaf_that_requires_grad_is_floating(t: Any) -> Any:
    x, y = leaf(t), t.ones(3)
    refused = attempt(setattr, x, "data", t.arange(3))
    y.data = t.arange(3)
    return refused, x, y


@same
def test_masks_are_changed_in_place_by_operators(t: Any) -> Any:
    x, y, z = (t.tensor([True, False, True]) for _ in range(3))
    also_x, also_y, also_z = x[:], y, z
    x &= t.tensor([True, True, False])
    y |= t.tensor([False, True, False])
    z ^= True
    n = t.arange(4)
    n &= 1
    return also_x, also_y, also_z, n, attempt(operator.iand, t.tensor([True]), 3)


@same
def test_copy_of_a_number(t: Any) -> Any:
    return t.ones(2, 3).copy_(5), t.ones(2, dtype=t.int64).copy_(2.7), attempt(t.ones(2).copy_, "a")


@same
def test_copy_of_a_number_beyond_the_dtype(t: Any) -> Any:
    x = t.zeros(2, dtype=t.uint8)
    return x.copy_(300).clone(), x.copy_(-1), t.zeros(1, dtype=t.float64).copy_(0.1)


@same
def test_an_extreme_is_no_view(t: Any) -> Any:
    values = (leaf(t) * 2).max(0).values
    return values.detach_(), values.requires_grad
