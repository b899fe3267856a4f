"""What backward and autograd.grad accept, refuse, accumulate, free and keep; leaves, flags, hooks, copies."""

import copy
from typing import Any

import pytest
from both import Case, assert_same, assert_same_error, attempt, cases, same


def leaf(t: Any, *values: float) -> Any:
    return t.tensor(values or [1.0, 2.0, 3.0], requires_grad=True)


def twice(call: Any) -> Any:
    call()
    return call()


@same
def test_what_was_saved_may_not_be_detached_in_place(t: Any) -> Any:
    """Nor may what it was computed of; what needs no saved value may."""

    def detached(compute: Any, make: Any = lambda x: x * 1) -> Any:
        x = leaf(t)
        a = make(x)
        y = compute(a)
        a.detach_()
        return attempt(y.sum().backward), x.grad, attempt(lambda: t.autograd.grad(compute(a).sum(), x))

    functions = (
        lambda a: a.sin(), lambda a: a * a, lambda a: a @ a, lambda a: a / a, lambda a: a.log(),
        lambda a: a + 1, lambda a: a * 2, lambda a: a.exp(), lambda a: a.sqrt(), lambda a: a[1:],
    )  # fmt: skip
    return (
        [detached(f) for f in functions],
        detached(lambda a: a + 1, lambda x: x * x),
        detached(lambda a: a.sin(), lambda x: x),
    )


@same
def test_floor_division_has_no_derivative(t: Any) -> Any:
    """Unlike the division that is rounded down, whose derivative is 0."""
    x = leaf(t, -1.0, 2.5)
    inplace = x * 1
    inplace //= 2
    quotients = x // 2, 2 // x, x // x, x.floor_divide(2), t.floor_divide(2.0, x), inplace
    refused = [attempt(q.sum().backward) for q in quotients], attempt(t.autograd.grad, (x // 2 + x).sum(), x)
    (t.div(x, 2, rounding_mode="floor") + x).sum().backward()
    return quotients, refused, x.grad, (x // 2).detach(), t.tensor([7, -7]) // 2


@same
def test_the_remainder_of_a_number_has_no_derivative(t: Any) -> Any:
    """Unlike that of a Tensor, also of one without dimensions."""
    x = leaf(t, -1.0, 2.5)
    remainders = 4 % x, t.remainder(4.0, x), t.remainder(0, x)
    refused = [attempt(r.sum().backward) for r in remainders], attempt(t.autograd.grad, (4 % x + x).sum(), x)
    (t.tensor(4.0) % x + x % 4 + x % x + x.remainder(2)).sum().backward()
    return remainders, refused, x.grad, (4 % x).detach(), 4 % t.tensor([3, -3]), attempt(t.fmod, 4, x)


@same
def test_names_of_nodes(t: Any) -> Any:
    x = leaf(t)
    functions = (t.exp, t.sum, t.relu, t.mean, lambda x: x + x, lambda x: x[0], lambda x: x.view(3, 1))
    return {f(x).grad_fn.name(): 0 for f in functions}


@cases(
    lambda t: t.tensor([1, 2], requires_grad=True),
    lambda t: t.tensor([True], requires_grad=True),
    lambda t: t.arange(3).requires_grad_(),
    lambda t: setattr(t.arange(3), "requires_grad", True),
    lambda t: t.zeros(3, dtype=t.int64, requires_grad=True),
)
def test_only_floats_require_gradients(case: Case) -> None:
    assert_same_error(case, "float")


@cases(
    lambda t: t.ones(()).backward(),
    lambda t: t.ones(3).sum().backward(),
    lambda t: leaf(t).detach().sum().backward(),
    lambda t: leaf(t).argmax().backward(),
    lambda t: (leaf(t) > 1).all().backward(),
)
def test_backward_needs_a_history(case: Case) -> None:
    assert_same_error(case, "does not require grad")


@cases(
    lambda t: (leaf(t) * 2).backward(),
    lambda t: leaf(t).backward(),
    lambda t: t.autograd.grad(x := leaf(t), x),
    lambda t: t.autograd.grad((x := leaf(t)) * 2, x),
)
def test_backward_from_many_elements_needs_a_gradient(case: Case) -> None:
    assert_same_error(case, "scalar")


@cases(
    lambda t: (leaf(t) * 2).backward(t.ones(2)),
    lambda t: (leaf(t) * 2).backward(t.ones(1)),
    lambda t: (leaf(t) * 2).backward(t.ones(())),
    lambda t: (leaf(t) * 2).backward(t.ones(1, 3)),
    lambda t: leaf(t).sum().backward(t.ones(1)),
    lambda t: t.autograd.grad((x := leaf(t)) * 2, x, t.ones(2)),
)
def test_gradient_of_the_wrong_shape(case: Case) -> None:
    assert_same_error(case, "shape")


@cases(
    lambda t: twice(leaf(t).exp().sum().backward),
    lambda t: twice((leaf(t) * 2).sum().backward),
    lambda t: twice((leaf(t) ** 2).mean().backward),
    lambda t: twice(leaf(t).tanh().sum().backward),
    lambda t: twice(leaf(t).max().backward),
    lambda t: twice((leaf(t) @ leaf(t)).backward),
    lambda t: twice(leaf(t).softmax(0)[0].backward),
    lambda t: twice(t.div(leaf(t), 2.0, rounding_mode="floor").sum().backward),
    lambda t: [h := leaf(t).exp(), h.sum().backward(), h.mean().backward()],
    lambda t: [x := leaf(t), h := x.exp(), t.autograd.grad(h.sum(), x), t.autograd.grad(h.sum(), x)],
)
def test_second_backward_through_freed_values(case: Case) -> None:
    assert_same_error(case, "second time")


@same
def test_second_backward_where_nothing_was_kept(t: Any) -> Any:
    """Sums and shifts keep no value that backward frees, so PyTorch runs them again."""
    x, y, z = leaf(t), leaf(t), leaf(t)
    twice(x.sum().backward)
    twice((y + 1 - y).reshape(3, 1).sum().backward)
    total = (z + 1).sum()
    total.backward()
    total.backward()
    return x.grad, y.grad, z.grad


@same
def test_retain_graph(t: Any) -> Any:
    x = leaf(t)
    y = x.exp().sum()
    y.backward(retain_graph=True)
    first = x.grad.clone()
    y.backward()
    return first, x.grad, attempt(y.backward)


@same
def test_leaves_accumulate_and_the_gradient_keeps_its_identity(t: Any) -> Any:
    x = leaf(t)
    (x * x).sum().backward()
    gradient = x.grad
    (x * 3).sum().backward()
    kept = x.grad is gradient
    x.grad.zero_()
    x.exp().sum().backward()
    zeroed = x.grad.clone()
    x.grad = None
    x.sum().backward()
    return kept, zeroed, x.grad, gradient


@same
def test_a_tensor_used_often(t: Any) -> Any:
    x = leaf(t)
    h = x * x
    y = h + h * x + (h.sum() - x) / h + h[0]
    y.sum().backward()
    return y.detach(), x.grad


@same
def test_backward_of_a_leaf(t: Any) -> Any:
    x, y = t.tensor(3.0, requires_grad=True), leaf(t)
    twice(x.backward)
    y.backward(t.tensor([1.0, 2.0, 4.0]))
    return x.grad, y.grad


@same
def test_gradients_given_to_backward(t: Any) -> Any:
    x = leaf(t)
    (x * 2).backward(t.tensor([1.0, 10.0, 100.0]))
    (x[0] * 3).backward(t.tensor(5.0))
    (x[:1] * 3).backward()
    (x * 2).backward(gradient=t.ones(3, dtype=t.float64))
    return x.grad, attempt((x * 2).backward, 1.0)


@same
def test_retain_grad(t: Any) -> Any:
    x = leaf(t)
    a, b, c = x * 2, x * 3, x * 5
    b.retain_grad()
    x.retain_grad()
    c.retain_grad()
    c.retain_grad()
    (a * b * c).sum().backward()
    return a.grad, b.grad, c.grad, x.grad, a.retains_grad, b.retains_grad, x.retains_grad


@same
def test_retain_grad_accumulates_over_two_backwards(t: Any) -> Any:
    h = leaf(t) * 2
    h.retain_grad()
    y = (h * h).sum()
    y.backward(retain_graph=True)
    first = h.grad.clone()
    y.backward()
    return first, h.grad


def test_retain_grad_needs_a_gradient() -> None:
    assert_same_error(lambda t: t.ones(3).retain_grad(), "requires_grad")


@same
def test_flags(t: Any) -> Any:
    x = leaf(t)
    y, constant = x * 2, t.ones(3)
    tensors = [
        x,
        y,
        constant,
        constant * 2,
        x.detach(),
        x.data,
        x.clone(),
        y.detach(),
        x.argmax(),
        x > 1,
        x.T,
        x[0],
        x.flatten(),
    ]
    return [(z.requires_grad, z.is_leaf, z.grad_fn is None) for z in tensors]


@same
def test_requires_grad_setters(t: Any) -> Any:
    x, y = t.ones(3), leaf(t)
    x.requires_grad = True
    (x * 2).sum().backward()
    x.requires_grad_(False)
    y.requires_grad = False
    non_leaf = leaf(t) * 2
    non_leaf.requires_grad_()
    return x, x.grad, y * 2, non_leaf.requires_grad, t.arange(3.0).requires_grad_()


@cases(
    lambda t: setattr(leaf(t) * 2, "requires_grad", False),
    lambda t: setattr(leaf(t) * 2, "requires_grad", True),
    lambda t: (leaf(t) * 2).requires_grad_(False),
)
def test_requires_grad_of_a_non_leaf(case: Case) -> None:
    assert_same_error(case, "leaf")


@same
def test_requires_grad_takes_a_bool(t: Any) -> Any:
    x = t.ones(2)
    return attempt(setattr, x, "requires_grad", 1), attempt(setattr, x, "requires_grad", None), x


@pytest.mark.parametrize(
    "gradient",
    [
        lambda t: t.ones(2),
        lambda t: t.ones(3, 1),
        lambda t: t.ones(3, dtype=t.float64),
        lambda t: t.ones(3, dtype=t.int64),
        lambda t: 1.0,
        lambda t: [1.0, 1.0, 1.0],
    ],
)
def test_assigned_gradient_is_checked(gradient: Case) -> None:
    """And where it is refused the old one stays."""

    def case(t: Any) -> Any:
        x = leaf(t)
        x.sum().backward()
        return attempt(setattr, x, "grad", gradient(t)), x.grad

    assert_same(case)


@same
def test_assigned_gradient(t: Any) -> Any:
    x, constant = leaf(t), t.ones(3)
    x.grad = t.full((3,), 7.0)
    x.sum().backward()
    constant.grad = t.zeros(3)
    before = x.grad
    del x.grad
    return before, x.grad, constant.grad, attempt(setattr, constant, "grad", constant)


@cases(
    lambda t: t.autograd.grad((x := leaf(t)).sum(), x),
    lambda t: t.autograd.grad((x := leaf(t)) * 2, x, t.tensor([1.0, 2.0, 3.0])),
    lambda t: t.autograd.grad((x := leaf(t)) * 2, [x], grad_outputs=[t.ones(3)]),
    lambda t: t.autograd.grad([(x := leaf(t)) * 2, x.exp().sum()], [x], [t.ones(3), None]),
    lambda t: t.autograd.grad([(x := leaf(t)).sum(), (x * x).sum()], x),
    lambda t: [x := leaf(t), t.autograd.grad(x.exp().sum(), x), x.grad],
    lambda t: [h := leaf(t).exp(), t.autograd.grad((h * h).sum(), h)],
    lambda t: [h := (x := leaf(t)).exp(), t.autograd.grad((h * h).sum(), [x, h])],
    lambda t: t.autograd.grad((x := leaf(t)).sum(), [x, leaf(t)], allow_unused=True),
    lambda t: t.autograd.grad((x := leaf(t)).sum(), [x, leaf(t)], materialize_grads=True),
    lambda t: t.autograd.grad((x := leaf(t)).exp().sum(), x, create_graph=True),
    lambda t: [y := (x := leaf(t)).exp().sum(), [t.autograd.grad(y, x, retain_graph=True) for _ in "ab"]],
    lambda t: [y := (x := leaf(t)).exp().sum(), [t.autograd.grad(y, x, create_graph=True) for _ in "ab"]],
    lambda t: t.autograd.grad(x := t.tensor(2.0, requires_grad=True), x),
    lambda t: t.autograd.grad((x := leaf(t)).exp().sum(), {"x": x}.values()),
    lambda t: [x := leaf(t), t.autograd.grad(iter([x * 2, x.sum()]), iter([x]), iter([t.ones(3), None]))],
    lambda t: [x := leaf(t), t.autograd.backward(iter([x.exp().sum()]), inputs=iter([x])), x.grad],
)
def test_autograd_grad(case: Case) -> None:
    assert_same(case)


@cases(
    lambda t: t.autograd.grad(leaf(t).sum(), t.ones(2)),
    lambda t: t.autograd.grad(t.ones(2).sum(), leaf(t)),
    lambda t: t.autograd.grad((x := leaf(t)).sum(), [x, leaf(t)]),
    lambda t: t.autograd.grad((x := leaf(t)).sum(), [leaf(t), x]),
    lambda t: t.autograd.grad([(x := leaf(t)) * 2, x.sum()], x, [t.ones(3)]),
    lambda t: t.autograd.grad(1.0, leaf(t)),
)
def test_autograd_grad_that_raises(case: Case) -> None:
    assert_same_error(case)


@same
def test_hooks(t: Any) -> Any:
    """They run in the order of registration, see the gradient, may replace it, and may be removed."""
    x, seen = leaf(t), []
    h = x * 2
    h.register_hook(lambda gradient: seen.append(gradient.clone()))
    h.register_hook(lambda gradient: gradient * 10)
    removed = h.register_hook(lambda gradient: gradient * 1000)
    h.register_hook(lambda gradient: seen.append(gradient.clone()))
    removed.remove()
    x.register_hook(lambda gradient: gradient + 1)
    h.retain_grad()
    (h * h).sum().backward()
    return seen, h.grad, x.grad


@same
def test_hook_runs_once_on_the_whole_gradient(t: Any) -> Any:
    x, seen = leaf(t), []
    h = x * 2
    h.register_hook(lambda gradient: seen.append(gradient.tolist()))
    (h + h * h + h[0]).sum().backward()
    (x * 1).sum().backward()
    return seen, x.grad


@same
def test_hooks_that_raise(t: Any) -> Any:
    x, y, z, w = (leaf(t) for _ in range(4))
    x.register_hook(lambda gradient: gradient.sum())
    y.register_hook(lambda gradient: 1)
    z.register_hook(lambda gradient: 1 // 0)
    w.register_hook(lambda gradient: gradient.double())
    errors = [attempt(leaf_.sum().backward) for leaf_ in (x, y, z, w)]
    return errors, [leaf_.grad for leaf_ in (x, y, z, w)], attempt(t.ones(3).register_hook, print)


@same
def test_detach_and_data_share_and_clone_copies(t: Any) -> Any:
    x = leaf(t)
    detached, data, copied = x.detach(), x.data, x.clone()
    detached[0] = 10
    data[1] = 20
    copied.sum().backward()
    return x, copied, x.grad, detached.requires_grad, data.requires_grad, copied.requires_grad


@same
def test_data_setter(t: Any) -> Any:
    x = leaf(t)
    x.data = x.data - 1
    x.data -= 0.5
    x.sum().backward()
    grown = leaf(t)
    grown.data = t.zeros(2, 2)
    return x, x.grad, grown, attempt(setattr, x, "data", 3.0), x


@same
def test_deepcopy(t: Any) -> Any:
    x = leaf(t)
    (x * x).sum().backward()
    same_object = [x, x.detach(), x]
    copied, view, again = copy.deepcopy(same_object)
    copied.data[0] = 9
    copied.grad[0] = 9
    return x, x.grad, copied, copied.grad, view, copied is again, copied.is_leaf, copy.deepcopy(t.arange(3))


@same
def test_copy_and_numpy_share_memory(t: Any) -> Any:
    x = leaf(t)
    copied = copy.copy(x)
    copied.data[0] = 7.0
    with t.no_grad():
        array = x.numpy()
    array[1] = 8.0
    return x, copied, copied.requires_grad, copied.is_leaf, attempt(x.numpy)


def test_deepcopy_of_a_non_leaf() -> None:
    assert_same_error(lambda t: copy.deepcopy(leaf(t) * 2), "deepcopy")


@same
def test_backward_with_inputs(t: Any) -> Any:
    x, y = leaf(t), leaf(t)
    (x * y).sum().backward(inputs=[x])
    return x.grad, y.grad


@same
def test_mixed_graph_of_constants(t: Any) -> Any:
    """A branch that needs no gradient costs none, and what only compares is constant."""
    x, constant = leaf(t), t.ones(3)
    mask = x > 1.5
    y = t.where(mask, x * constant, constant.exp()) + x.argmax() + mask.float()
    y.sum().backward()
    return y, x.grad, constant.grad, mask


@same
def test_variables_are_tensors(t: Any) -> Any:
    """As programs older than PyTorch 0.4 make them."""
    variable = t.autograd.Variable
    x = t.ones(2, requires_grad=True) * 2
    data = t.ones(2)
    shared, leaf = variable(data), variable(data, requires_grad=True)
    shared[0] = 5
    (leaf * leaf).sum().backward()
    refused = attempt(variable, 3)
    return variable(x), leaf, leaf.grad, data, isinstance(x, variable), isinstance(3, variable), refused


@same
def test_grad_takes_pytorchs_arguments_in_their_order(t: Any) -> Any:
    x, unused = t.ones(2, requires_grad=True), t.ones(1, requires_grad=True)
    gradients = t.autograd.grad((x**3).sum(), (x, unused), None, True, False, True, True)
    return gradients[0], gradients[1] is None
