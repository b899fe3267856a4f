"""Value, with PyTorch's float64 and micrograd itself as judges."""

import gc
import math
import weakref
from collections.abc import Callable, Iterator
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import assume, given, reject
from hypothesis import strategies as st
from micrograd.engine import Value as Micrograd

import tinygrad_ninja
from tinygrad_ninja import Value, no_grad
from tinygrad_ninja.autograd import detect_anomaly

Expression = Callable[..., Any]

CHAIN = 100_000


def differentiated(expression: Expression, *leaves: Any) -> tuple[float, ...]:
    """The value of expression(*leaves), which are Values or of micrograd's, and the leaves' gradients."""
    out = expression(*leaves)
    out.backward()
    return (out.data, *(each.grad for each in leaves))


def torchs(expression: Expression, *numbers: float) -> tuple[float, ...]:
    """PyTorch's answers to the same."""
    leaves = [torch.tensor(each, dtype=torch.float64, requires_grad=True) for each in numbers]
    out = expression(*leaves)
    out.backward()
    return (out.item(), *(each.grad.item() for each in leaves))


# -- micrograd's own tests: its two expressions --------------------------------------------------------------


def small(x: Any) -> Any:
    z = 2 * x + 2 + x
    q = z.relu() + z * x
    return (z * z).relu() + q + q * x


def large(a: Any, b: Any) -> Any:
    c = a + b
    c = c + (c + 1)
    c = c + (1 + c + -a)
    d = a * b + b**3
    d = d + (d * 2 + (b + a).relu())
    d = d + (3 * d + (b - a).relu())
    f = (c - d) ** 2
    return f / 2.0 + 10.0 / f


@pytest.mark.parametrize(("expression", "numbers"), [(small, [-4.0]), (large, [-4.0, 2.0])])
def test_micrograds_own_expressions(expression: Expression, numbers: list[float]) -> None:
    found = differentiated(expression, *map(Value, numbers))
    assert found == pytest.approx(torchs(expression, *numbers), rel=1e-12)
    assert found == pytest.approx(differentiated(expression, *map(Micrograd, numbers)), rel=1e-12)


# -- every operator and function -----------------------------------------------------------------------------

OPERATIONS: dict[str, Expression] = {
    "x + y": lambda x, y: x + y,
    "x - y": lambda x, y: x - y,
    "x * y": lambda x, y: x * y,
    "x / y": lambda x, y: x / y,
    "x ** y": lambda x, y: x**y,
    "-x": lambda x, _: -x,
    "abs x": lambda x, _: abs(x),
    "cos": lambda x, _: x.cos(),
    "exp": lambda x, _: x.exp(),
    "log": lambda x, _: x.log(),
    "relu": lambda x, _: x.relu(),
    "sigmoid": lambda x, _: x.sigmoid(),
    "sin": lambda x, _: x.sin(),
    "sqrt": lambda x, _: x.sqrt(),
    "tanh": lambda x, _: x.tanh(),
}
NUMBERS = [-math.inf, -750.0, -2.0, -1.0, -0.5, 0.0, 0.5, 1.0, 2.0, 3.0, 750.0, math.inf, math.nan]


@pytest.mark.parametrize("operation", OPERATIONS.values(), ids=OPERATIONS)
@pytest.mark.parametrize("x", NUMBERS)
def test_operations_answer_as_torch_does(operation: Expression, x: float) -> None:
    def with_both(x: Any, y: Any) -> Any:
        return operation(x, y) + 0.0 * y  # so that there is a gradient of y

    for y in (-2.0, -1.0, 0.0, 0.5, 2.0, 3.0):
        found = differentiated(with_both, Value(x), Value(y))
        assert found == pytest.approx(torchs(with_both, x, y), rel=1e-12, abs=0.0, nan_ok=True), y
        assert all(type(each) is float for each in found)


@pytest.mark.parametrize("operator", list(OPERATIONS)[:5])
@pytest.mark.parametrize("kind", [float, int, np.float64, np.float32, np.int64, Fraction])
@pytest.mark.parametrize("number", [-2, 0, 3])
def test_numbers_on_either_side(operator: str, kind: Callable[[int], Any], number: int) -> None:
    ours, theirs = kind(number), float(number)
    operation = OPERATIONS[operator]
    for x in NUMBERS:
        found = differentiated(lambda x: operation(x, ours), Value(x))
        expected = torchs(lambda x: operation(x, theirs), x)
        assert found == pytest.approx(expected, rel=1e-12, abs=0.0, nan_ok=True), (x, operator, number)
        found = differentiated(lambda x: operation(ours, x), Value(x))
        expected = torchs(lambda x: operation(theirs, x), x)
        assert found == pytest.approx(expected, rel=1e-12, abs=0.0, nan_ok=True), (number, operator, x)


# -- random graphs -------------------------------------------------------------------------------------------

STEPS: list[Expression] = [
    lambda x, y, k: x + y,
    lambda x, y, k: x * y,
    lambda x, y, k: x + k,
    lambda x, y, k: k + x,
    lambda x, y, k: x * k,
    lambda x, y, k: k * x,
    lambda x, y, k: x**2,
    lambda x, y, k: x**3,
    lambda x, y, k: x.relu(),
    # The first nine have slopes of one sign where all numbers are positive.
    lambda x, y, k: x - y,
    lambda x, y, k: x - k,
    lambda x, y, k: k - x,
    lambda x, y, k: x / y,
    lambda x, y, k: x / k,
    lambda x, y, k: k / x,
    lambda x, y, k: x**-1,
    lambda x, y, k: -x,
]
POSITIVE = 9
Plan = list[tuple[int, int, int, Any]]


def plans(steps: int, numbers: st.SearchStrategy[Any]) -> st.SearchStrategy[Plan]:
    """Graphs, as a list of: which step it is, of which two of the latest nodes, and with which number."""
    node = st.integers(1, 4)
    return st.lists(st.tuples(st.integers(0, steps - 1), node, node, numbers), min_size=1, max_size=12)


def built(plan: Plan, *leaves: Any) -> Any:
    nodes = list(leaves)
    for step, i, j, number in plan:
        nodes.append(STEPS[step](nodes[-i], nodes[-j], number))
    return nodes[-1] + nodes[-2] + nodes[-3]


def every(node: Any) -> Iterator[Any]:
    """The nodes that it was computed from, and itself."""
    found, stack = {node}, [node]
    while stack:
        yield (node := stack.pop())
        stack += node._prev - found
        found |= node._prev


EIGHTHS = st.integers(-24, 24).map(lambda n: Fraction(n, 8))


@given(plans(len(STEPS), EIGHTHS), st.lists(EIGHTHS, min_size=4, max_size=4))
def test_random_graphs_of_short_fractions_are_exact(plan: Plan, leaves: list[Fraction]) -> None:
    """micrograd computes with fractions too, and then without an error. Where no number of its has more than
    24 bits, floats need not round either."""
    judges = [Micrograd(each) for each in leaves]
    try:
        out = built(plan, *judges)
        out.backward()
    except ZeroDivisionError:
        reject()
    numbers = [each for node in every(out) for each in (node.data, node.grad)]
    assume(all(abs(each) < 2**12 and (each * 2**12).denominator == 1 for each in map(Fraction, numbers)))
    found = differentiated(lambda *leaves: built(plan, *leaves), *map(Value, leaves))
    assert found == (out.data, *(each.grad for each in judges))


ONE_TO_TWO = st.floats(1.0, 2.0)


@given(plans(POSITIVE, ONE_TO_TWO), st.lists(ONE_TO_TWO, min_size=4, max_size=4))
def test_random_graphs_without_cancellation_are_micrograds(plan: Plan, leaves: list[float]) -> None:
    try:
        expected = differentiated(lambda *leaves: built(plan, *leaves), *map(Micrograd, leaves))
    except OverflowError:
        reject()
    assume(all(map(math.isfinite, expected)))
    found = differentiated(lambda *leaves: built(plan, *leaves), *map(Value, leaves))
    assert found == pytest.approx(expected, rel=1e-12, abs=0.0)


# -- the graph -----------------------------------------------------------------------------------------------


def test_what_a_value_shows_is_what_micrograds_shows() -> None:
    def seen(value: Any) -> list[Any]:
        a, b = value(2.0), value(-3.0)
        for out, sources in [(a + b, {a, b}), (a * b, {a, b}), (a * a, {a}), (a**2, {a}), (b.relu(), {b})]:
            assert out._prev == sources
        a.grad = 0.5
        return [a._op, a._prev, (a + b)._op, (a * b)._op, (a**2)._op, (a**-0.5)._op, b.relu()._op, repr(a)]

    assert seen(Value) == seen(Micrograd)


def test_operations_that_micrograd_composes_have_a_sign_of_their_own() -> None:
    a, b = Value(2.0), Value(3.0)
    assert [(a - b)._op, (a / b)._op, (a**b)._op, (-a)._op, a.tanh()._op] == ["-", "/", "**", "-", "tanh"]
    difference = 1 - a
    assert {each.data for each in difference._prev} == {1.0, 2.0}
    assert a in difference._prev


def test_a_value_is_a_node_of_the_record() -> None:
    a, b = Value(2.0), Value(3.0)
    product, power = a * b, a**3
    assert (a.edges, a.values, a.op) == ((), None, None)
    assert (product.edges, product.values, product.op.name) == ((a, b), (6.0, 2.0, 3.0), "mul")
    assert (power.edges, power.values, power.op.name) == ((a,), (8.0, 2.0, 3.0), "pow")
    assert product.order > b.order > a.order


def test_labels() -> None:
    a = Value(2.0, label="a")
    b = a * 3
    assert (a.label, b.label) == ("a", "")
    b.label = "b"
    assert b.label == "b"


def test_a_label_that_is_no_text_is_told_at_once() -> None:
    for label in (3, None, b"a"):
        with pytest.raises(TypeError, match="the label of a Value is text, not"):
            Value(1.0, label=label)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="the label of a Value is text, not int"):
        Value(1.0).label = 3  # type: ignore[assignment]
    assert Value(1.0, "a").label == Value(1.0, (), "", "a").label == "a"


@pytest.mark.parametrize("leaves", [float, math.exp, math.tanh, int])
def test_what_would_leave_the_graph_says_what_to_write(leaves: Callable[[Any], Any]) -> None:
    with pytest.raises(TypeError, match=r"Value|write v\.exp\(\)"):
        leaves(Value(1) / 4)
    with pytest.raises(TypeError, match=r"write v\.exp\(\), v\.log\(\), v\.tanh\(\) …, or v\.data"):
        math.exp(Value(1.0))  # type: ignore[arg-type]


def test_numpys_functions_of_values_are_values() -> None:
    def computed(np: Any, x: Any, two: Any) -> Any:
        return (
            np.exp(x) * np.tanh(np.multiply(two, x)) - np.sqrt(np.absolute(x)) + two * np.log(x) / np.cos(x)
        )

    x = Value(0.7)
    out = computed(np, x, np.float64(2.0))
    out.backward()
    theirs = torch.tensor(0.7, dtype=torch.float64, requires_grad=True)
    expected = computed(torch, theirs, torch.tensor(2.0, dtype=torch.float64))
    expected.backward()
    assert isinstance(out, Value)
    assert theirs.grad is not None
    assert (out.data, x.grad) == pytest.approx((expected.item(), theirs.grad.item()), rel=1e-12)
    with pytest.raises(
        TypeError, match=r"np\.floor of a Value is not offered; offered are absolute, add, cos"
    ):
        np.floor(x)
    with pytest.raises(TypeError, match="a Value and a NumPy array don't mix"):
        np.add(np.ones(2), x)


def test_an_operation_of_the_programs_own_is_written_as_in_micrograd() -> None:
    def cube(x: Any) -> Value:
        out = Value(x.data**3, (x,), "cube")

        def backward() -> None:
            x.grad += 3 * x.data**2 * out.grad

        out._backward = backward
        return out

    def total(x: Any, cube: Any) -> Any:
        y = cube(x * 2)
        return (y * x + cube(y.tanh())) * y

    for _ in range(2):
        x = Value(0.3)
        out = total(x, cube)
        out.backward()
        out.backward()  # adds once more, to leaves as to results
        theirs = torch.tensor(0.3, dtype=torch.float64, requires_grad=True)
        expected = total(theirs, lambda x: x**3)
        expected.backward()
        assert theirs.grad is not None
        assert (out.data, x.grad) == pytest.approx((expected.item(), 2 * theirs.grad.item()), rel=1e-12)
    y = cube(x)
    assert (y._prev, y._op, y.label) == ({x}, "cube", "")
    with pytest.raises(RuntimeError, match="not of what tanh computed"):
        x.tanh()._backward = lambda: None
    with pytest.raises(TypeError, match="one or two Values"):
        Value(1.0, (2.0,))  # type: ignore[arg-type]


def test_a_plain_number_in_an_expression_is_a_constant() -> None:
    x = Value(2.0)
    three, other = (3 * x).edges
    assert (three.is_constant, other.is_constant, x.tanh().is_constant) == (True, False, False)
    three.label = "three"
    assert not three.is_constant


# -- backward ------------------------------------------------------------------------------------------------


def test_a_node_used_many_times() -> None:
    def shared(x: Any) -> Any:
        node = x.tanh()
        for _ in range(20):
            node = node * node + node * 0.5 - node
        return node * x

    assert differentiated(shared, Value(0.7)) == pytest.approx(torchs(shared, 0.7), rel=1e-12)


def test_a_second_backward_doubles_the_gradients_of_the_leaves() -> None:
    a, b = Value(1.5), Value(-0.5)
    hidden = (a * b).tanh()
    out = hidden * hidden + a * hidden
    out.backward()
    once = (a.grad, b.grad)
    out.backward()
    assert (a.grad, b.grad) == (2 * once[0], 2 * once[1])

    judges = [torch.tensor(each.data, dtype=torch.float64, requires_grad=True) for each in (a, b)]
    theirs = (judges[0] * judges[1]).tanh()
    result = theirs * theirs + judges[0] * theirs
    result.backward(retain_graph=True)
    result.backward()
    assert [a.grad, b.grad] == pytest.approx([each.grad.item() for each in judges], rel=1e-12)


def test_backward_of_two_results_that_share_nodes() -> None:
    x = Value(3.0)
    square = x * x
    first, second = square + x, square * x
    first.backward()
    second.backward()
    assert x.grad == (2 * 3 + 1) + 3 * 3**2
    assert square.grad == 1 + 3


def test_backward_of_a_leaf() -> None:
    x = Value(3.0)
    x.backward()
    assert x.grad == 1.0


def test_a_leaf_assigned_to_before_backward_leaves_the_gradient_right() -> None:
    x, y = Value(3.0), Value(5.0)
    out = x * y
    x.data = 100.0
    out.backward()
    assert (x.grad, y.grad) == (5.0, 3.0)


def test_data_is_a_float_whatever_is_assigned() -> None:
    x = Value(3.0)
    x.data -= np.float64(1.0)
    x.grad = np.int64(2)
    assert {type(each) for each in (x.data, x.grad, (-x).relu().data)} == {float}
    out = x / 0
    out.backward()
    assert (x.grad, out.data) == (math.inf, math.inf)


def test_a_subclass_is_a_value() -> None:
    class Named(Value):
        pass

    x, y = Named(2.0), Value(3.0)
    (x * y + y**x).backward()
    assert (x.grad, y.grad) == (pytest.approx(3 + 9 * math.log(3)), 2 + 2 * 3)


def test_no_grad() -> None:
    x = Value(3.0)
    with no_grad():
        out = x * 2 + x**2
    assert (out.data, out.op, out._prev) == (15.0, None, set())
    out.backward()
    assert x.grad == 0.0


# -- memory --------------------------------------------------------------------------------------------------


@pytest.fixture
def no_collector() -> Iterator[None]:
    gc.freeze()  # what there is already, garbage or not, is none of the test's
    gc.disable()
    yield
    gc.enable()


def test_a_long_chain_forward_backward_and_freed(no_collector: None) -> None:
    x = Value(0.0)
    y = first = x + 1
    alive = weakref.ref(first)
    for _ in range(CHAIN):
        y = y + 1
    y.backward()
    assert (y.data, x.grad) == (CHAIN + 1, 1.0)
    del first, y
    assert alive() is None


def test_nothing_is_left_for_the_collector(no_collector: None) -> None:
    x, y = Value(0.5), Value(2.0)
    for _ in range(10):
        out = (x * y + x**2 - 1 / y).tanh().relu() + (x / 0) ** y
        out.backward()
        x.data += 0.1
    del out
    assert gc.collect() == 0


# -- misuse --------------------------------------------------------------------------------------------------


def assign(value: Value, name: str, number: Any) -> None:
    setattr(value, name, number)


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda v, t: Value("a"), "a Value holds a real number, not str"),
        (lambda v, t: Value(t), "a Value holds a real number, not Tensor"),
        (lambda v, t: Value(1j), "a Value holds a real number, not complex"),
        (lambda v, t: v + "a", r"unsupported operand type\(s\) for \+: 'Value' and 'str'"),
        (lambda v, t: v + t, r"unsupported operand type\(s\) for \+: 'Value' and 'Tensor'"),
        (lambda v, t: t + v, r"unsupported operand type\(s\) for \+: 'Tensor' and 'Value'"),
        (lambda v, t: v**t, r"unsupported operand type\(s\) for \*\* or pow\(\): 'Value' and 'Tensor'"),
        (lambda v, t: t**v, r"unsupported operand type\(s\) for \*\* or pow\(\): 'Tensor' and 'Value'"),
        (lambda v, t: v * np.ones(2), "a Value and a NumPy array don't mix"),
        (lambda v, t: np.ones(2) + v, "a Value and a NumPy array don't mix"),
        (lambda v, t: np.ones(2) ** v, "a Value and a NumPy array don't mix"),
        (lambda v, t: v.relu(1), r"Value\.relu\(\) takes 1 positional argument"),
        (lambda v, t: assign(v, "data", "a"), "a Value holds a real number, not str"),
        (lambda v, t: assign(v, "grad", None), "a Value holds a real number, not NoneType"),
    ],
)
def test_misuse_is_told(call: Expression, sentence: str) -> None:
    value = Value(2.0)
    with pytest.raises(TypeError, match=f"^{sentence}"):
        call(value, tinygrad_ninja.ones(2))
    assert (value.data, value.grad) == (2.0, 0.0)


def test_the_data_of_a_result_is_not_assigned() -> None:
    out = Value(2.0).tanh()
    with pytest.raises(RuntimeError, match="the data of what tanh computed can't be assigned"):
        out.data = 0.0
    assert out.data == math.tanh(2.0)


def test_detect_anomaly_names_the_line() -> None:
    x = Value(0.0)
    with detect_anomaly(), pytest.raises(RuntimeError, match=r"^log made an infinity at .*: x\.log\(\)"):
        x.log()


def test_detect_anomaly_names_the_line_of_what_goes_wrong_in_backward() -> None:
    x, y = Value(0.0), Value(2.0)
    told = r"^the backward of pow made an infinity in the gradient of its input 1; .*: z = x \*\* y\.sigmoid"
    with detect_anomaly():
        z = x ** y.sigmoid()  # its slope at 0 is infinite
        with pytest.raises(RuntimeError, match=told):
            z.backward()
    assert (x.grad, y.grad) == (0.0, 0.0)
