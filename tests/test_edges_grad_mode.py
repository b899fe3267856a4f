"""no_grad, enable_grad, set_grad_enabled: as contexts and decorators, nested, left by errors, in threads."""

import threading
from typing import Any

from both import assert_same, attempt, same


def leaf(t: Any) -> Any:
    return t.tensor([1.0, 2.0, 3.0], requires_grad=True)


@same
def test_no_grad(t: Any) -> Any:
    x = leaf(t)
    states = [t.is_grad_enabled()]
    with t.no_grad():
        inside = x * 2
        inside_leaf = t.ones(2, requires_grad=True)
        states.append(t.is_grad_enabled())
        with t.enable_grad():
            states.append(t.is_grad_enabled())
            recorded = x * 3
        x += 1

    def fail() -> None:
        with t.no_grad():
            raise KeyError("a")

    error = attempt(fail)
    states.append(t.is_grad_enabled())
    with t.set_grad_enabled(False):
        states.append((x * 2).requires_grad)
    return states, inside, inside_leaf, recorded, x, error, (x * 2)


@same
def test_under_inference_mode_nothing_is_recorded(t: Any) -> Any:
    w, answers = leaf(t), []
    with t.inference_mode():
        with t.enable_grad():
            answers += [(w * 2).requires_grad, (w * 2).is_inference()]
            with t.inference_mode(False):
                answers += [t.is_grad_enabled(), (w * 2).requires_grad]
            answers += [(w * 2).requires_grad]
        with t.set_grad_enabled(True):
            answers += [(w * 2).requires_grad]
    return answers, t.is_grad_enabled(), (w * 2).requires_grad


def test_no_grad_is_per_thread() -> None:
    def case(t: Any) -> Any:
        inside, done, seen = threading.Event(), threading.Event(), []

        def other() -> None:
            with t.no_grad():
                inside.set()
                assert done.wait(10)
                seen.append((leaf(t) * 2).requires_grad)

        thread = threading.Thread(target=other)
        thread.start()
        assert inside.wait(10)
        here = (leaf(t) * 2).requires_grad
        with t.no_grad():
            new_thread = threading.Thread(target=lambda: seen.append((leaf(t) * 2).requires_grad))
            new_thread.start()
            new_thread.join()
        done.set()
        thread.join()
        return here, seen, t.is_grad_enabled()

    assert_same(case)


@same
def test_decorators(t: Any) -> Any:
    x = leaf(t)

    @t.no_grad()
    def twice(y: Any, *, times: int = 2) -> Any:
        """The docstring stays."""
        return y * times, t.is_grad_enabled()

    @t.enable_grad()
    def recorded(y: Any) -> Any:
        return (y * 2).requires_grad

    @t.no_grad
    def without_parentheses(y: Any) -> Any:
        return (y * 2).requires_grad

    class Model:
        @t.no_grad()
        def predict(self, y: Any) -> Any:
            return (y * 2).requires_grad

    with t.no_grad():
        nested = recorded(x)
    values = (
        twice(x),
        twice(x, times=3),
        nested,
        without_parentheses(x),
        Model().predict(x),
        t.is_grad_enabled(),
    )
    return values, twice.__name__, twice.__doc__


@same
def test_one_no_grad_entered_twice(t: Any) -> Any:
    context, states = t.no_grad(), []
    with context:
        with context:
            states.append(t.is_grad_enabled())
        states.append(t.is_grad_enabled())
    states.append(t.is_grad_enabled())  # the context has forgotten what was before
    t.set_grad_enabled(True)
    return states


@same
def test_set_grad_enabled_as_a_function(t: Any) -> Any:
    t.set_grad_enabled(False)
    inside = (leaf(t) * 2).requires_grad, t.is_grad_enabled()
    t.set_grad_enabled(True)
    return inside, t.is_grad_enabled()


@same
def test_backward_inside_no_grad(t: Any) -> Any:
    x = leaf(t)
    y = (x * x).sum()
    with t.no_grad():
        y.backward()
        x -= 0.1 * x.grad
    return x, x.grad, x.grad.requires_grad


@same
def test_views_taken_inside_no_grad(t: Any) -> Any:
    x = leaf(t)
    with t.no_grad():
        view = x[1:]
    view_flags = view.requires_grad, view.is_leaf
    return view_flags, view, (x * 2)[1:]


@same
def test_a_generator_function_under_a_decorator(t: Any) -> Any:
    """It runs in the decorator's mode, and its caller in the caller's, whatever is sent or thrown in."""
    modes: list[Any] = []

    def counting(n: int) -> Any:
        try:
            for i in range(n):
                try:
                    modes.append((t.is_grad_enabled(), (yield i)))
                except KeyError as error:
                    modes.append((t.is_grad_enabled(), str(error)))
        finally:
            modes.append(t.is_grad_enabled())
        return "end"

    for decorator in (t.no_grad(), t.no_grad, t.enable_grad()):
        with t.set_grad_enabled(decorator is not t.no_grad):
            counted = decorator(counting)(4)
            steps = [next(counted), counted.send("a"), counted.throw(KeyError("b")), t.is_grad_enabled()]
            counted.close()
            modes.append((steps, [*decorator(counting)(2)], attempt(next, decorator(counting)(0))))
    return modes
