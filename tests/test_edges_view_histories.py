"""The history of a base and of its views around changes in place: gradients, hooks, kept gradients."""

from collections.abc import Callable
from typing import Any

import pytest
from both import Case, assert_same, attempt, cases, same

import tinygrad_ninja


def leaf(t: Any) -> Any:
    return t.tensor([1.0, 2.0, 3.0, 4.0], requires_grad=True)


def gradients(t: Any, loss: Any, **values: Any) -> Any:
    """The gradient of each value by itself, and of all together."""
    grad, several = t.autograd.grad, list(values.values())
    alone = [grad(loss, each, retain_graph=True, allow_unused=True) for each in several]
    return alone, grad(loss, several, retain_graph=True, allow_unused=True)


CHANGES: dict[str, Callable[[Any, Any, Any, Any], Any]] = {
    "the base": lambda x, w, v, other: x.mul_(2),
    "a view": lambda x, w, v, other: w.mul_(2),
    "a view of a view": lambda x, w, v, other: v.mul_(2),
    "a view that overlaps": lambda x, w, v, other: other.mul_(2),
    "two views": lambda x, w, v, other: [other.mul_(2), w.mul_(3)],
    "a view, then the base": lambda x, w, v, other: [v.mul_(2), x.mul_(3)],
    "the base, then a view": lambda x, w, v, other: [x.mul_(2), v.mul_(3)],
    "an element": lambda x, w, v, other: w.__setitem__(0, x[0] * 5),
    "elements": lambda x, w, v, other: x.__setitem__([0, 2], x[[1, 3]] * 5),
    "all of a view": lambda x, w, v, other: w.copy_(other.sum() * 2),
}


def shown(t: Any, x: Any) -> Any:
    w = x[1:]
    return w, w.view(3, 1), x[:2]


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_gradients_of_a_base_and_its_views(change: Any) -> None:
    """After a change each view is a view of what the base has become."""

    def case(t: Any) -> Any:
        p = leaf(t)
        x = p * 1
        w, v, other = shown(t, x)
        change(x, w, v, other)
        loss = (x * x).sum() + (w**3).sum() + (v * 5).sum() + (other**4).sum()
        found = gradients(t, loss, p=p, x=x, w=w, v=v, other=other)
        loss.backward()
        return found, p.grad

    assert_same(case)


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
@pytest.mark.parametrize("which", range(4), ids=["base", "view", "view of a view", "view that overlaps"])
@pytest.mark.parametrize("before", [True, False], ids=["before", "after"])
def test_hooks_and_kept_gradients_around_a_change(change: Any, which: int, before: bool) -> None:
    """A hook stays with the value that it was put on; a gradient that is to be kept is that of the last."""

    def case(t: Any) -> Any:
        p, seen = leaf(t), []
        x = p * 1
        tensors = [x, *shown(t, x)]

        def watch() -> None:
            assert tensors[
                which
            ].grad_fn  # which PyTorch brings up to date when asked; without it, it crashes
            tensors[which].register_hook(lambda gradient: seen.append(gradient.clone()))
            tensors[which].register_hook(lambda gradient: gradient * 10)
            tensors[which].retain_grad()

        if before:
            watch()
        change(*tensors)
        if not before:
            watch()
        flags = [each.retains_grad for each in tensors]
        sum((each * each).sum() for each in tensors).backward()
        return p.grad, seen, flags, tensors[which].grad

    assert_same(case)


@same
def test_a_constant_that_takes_a_history_in_through_a_view(t: Any) -> Any:
    p, x = leaf(t), t.zeros(4)
    whole, part = x[:], x[1:]
    part.copy_(p[1:] * 2)
    loss = (x * x).sum() + (part * part).sum() + (whole**3).sum()
    return gradients(t, loss, p=p, x=x, part=part, whole=whole)


@same
def test_a_kept_gradient_survives_a_change(t: Any) -> Any:
    p = leaf(t)
    a = p * 1
    a.retain_grad()
    (a * a).sum().backward(retain_graph=True)
    kept = a.grad.clone()
    a += 3
    before = a.retains_grad, a.grad.clone()
    (a * a).sum().backward()
    return kept, before, a.grad, p.grad


@cases(
    lambda t: [attempt((leaf(t) * 1)[:2].detach_)],
    lambda t: [attempt(t.ones(3)[:2].detach_)],
    lambda t: [attempt((leaf(t) * 1).unbind()[0].detach_)],
    lambda t: [attempt((leaf(t) * 1).chunk(2)[0].view(2, 1).mul_, 2)],
    lambda t: [attempt((leaf(t) * 1).chunk(2)[0][0].mul_, 2)],
    lambda t: [u := (leaf(t) * 1).unbind()[0], attempt(u.view_as(u).mul_, 2)][1:],
    lambda t: [x := leaf(t) * 1, u := x.chunk(2)[0], x.mul_(2), attempt(lambda: (u * u).sum())][3:],
    lambda t: [u := t.zeros(4).split(2)[0], attempt(u.add_, leaf(t)[:2]), u.add_(1)][1:],
    lambda t: [x := leaf(t).detach(), x.chunk(2)[0].view(2, 1).mul_(2), x],
    lambda t: [x := leaf(t) * 1, x.detach_(), x.requires_grad, x.is_leaf][2:],
)
def test_views_that_may_not_be_changed(case: Case) -> None:
    assert_same(case)


@same
def test_a_copy_made_by_reshape_is_no_view(t: Any) -> Any:
    x = (t.arange(6.0).requires_grad_() * 1).reshape(2, 3)
    y = x.T.reshape(6)
    y.mul_(2)
    y.detach_()
    return x.requires_grad, y.requires_grad, x, y


VIEWS_IN_PLACE: dict[str, Callable[[Any], Any]] = {
    "t_": lambda x: x.t_(),
    "transpose_": lambda x: x.transpose_(0, 1),
    "swapaxes_": lambda x: x.swapaxes_(-1, 0),
    "unsqueeze_": lambda x: x.unsqueeze_(1),
    "squeeze_": lambda x: x.unsqueeze_(0).squeeze_(),
}


@pytest.mark.parametrize("change", VIEWS_IN_PLACE.values(), ids=VIEWS_IN_PLACE)
@pytest.mark.parametrize("of", [lambda x: x.sum(0) * 2, lambda x: (x * 2)[0], lambda x: (x * 2)[0][1:]])
def test_a_tensor_that_becomes_a_view_of_itself(change: Any, of: Any) -> None:
    def case(t: Any) -> Any:
        w = t.arange(24.0).reshape(2, 3, 4).requires_grad_()
        x = of(w)
        version, same = x._version, change(x)
        x.mul_(x.detach() + 1)
        y = x[0]
        y.add_(w[0, 0, 0] * 3)
        (x * x).sum().backward()
        return w.grad, x, y, same is x, x._version - version, x.stride()

    assert_same(case)


@same
def test_views_in_place_without_a_history(t: Any) -> Any:
    base = t.zeros(2, 3)
    row, column = base[0], base[:, 1]
    row.unsqueeze_(0).add_(1)
    column.unsqueeze_(1)
    base.t_()
    base.mul_(2)
    leaf = t.ones(2, 3, requires_grad=True)
    refused = attempt(leaf.t_)
    with t.no_grad():
        leaf.t_()
    leaf.sum().backward()
    kept = t.ones(2, 3, requires_grad=True) * 2
    square = kept * kept
    kept.t_()
    return base, row, column, leaf, leaf.grad, refused, attempt(square.sum().backward)


def test_a_view_of_what_has_become_a_view_is_not_followed() -> None:
    """PyTorch does; here it is an error, and never a gradient in another place."""
    w, base = tinygrad_ninja.ones(1, requires_grad=True), tinygrad_ninja.ones(2, 3)
    row = base[0]
    base.t_()
    base.mul_(w)
    with pytest.raises(RuntimeError, match="take the view anew"):
        row.sum()


def test_a_view_in_place_is_not_compiled() -> None:
    x = tinygrad_ninja.ones(2, 3)
    fast = tinygrad_ninja.compile(lambda x: x.t_() * 2, fullgraph=True)
    with pytest.raises(RuntimeError, match=r"t_\(\)"):
        fast(x)
