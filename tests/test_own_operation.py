"""Operations that are defined outside of the package, as CONTRIBUTING says, and all that serves them."""

import ast
import inspect
import math
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional
from derivations import TARGETS, run

import tinygrad_ninja
import viz
from tinygrad_ninja.check import assert_matches_torch, compare, gradcheck, gradgradcheck
from tinygrad_ninja.ops import TABLE, Category, Operation, operation
from tinygrad_ninja.ops.facts import C
from tinygrad_ninja.program import derive
from tinygrad_ninja.program.compile import compile
from viz.graph import extract
from viz.web.content import content

NUMBERS = np.array([[0.5, 1.25, -0.25], [3.0, 0.125, 2.0]])
WEIGHTS = np.array([[1.0, -2.0, 0.5], [0.25, 1.5, -0.75]])
PLACES = ["cpu", "torch", "float"]


@pytest.fixture(autouse=True)
def own() -> Iterator[None]:
    """What a test adds to the table is gone after it."""
    before = dict(TABLE)
    yield
    for name in TABLE.keys() - before.keys():
        del TABLE[name]


def make_log1p() -> Operation:
    """A primitive: one function of the array libraries', and one of C's."""

    @operation(
        category=Category.ELEMENTWISE,
        floating=True,
        cost=30,
        c=C("log1p{F}({x})"),
        ufunc=np.log1p,
        formula=(r"\operatorname{ln1p}", "ln1p"),
        x=lambda dout, x: dout / (1 + x),
    )
    def log1p(xp: Any, x: Any, /) -> Any:
        """out = ln(1 + x);  dx = dout / (1 + x)."""
        return xp.log1p(x)

    return log1p


def make_softsign() -> Operation:
    """Composed of others, with a rule of its own."""

    @operation(category=Category.ELEMENTWISE, x=lambda xp, dout, x: dout / (1 + xp.abs(x)) ** 2)
    def softsign(xp: Any, x: Any, /) -> Any:
        """out = x / (1 + |x|);  dx = dout / (1 + |x|)²."""
        return x / (1 + xp.abs(x))

    return softsign


Pair = tuple[Operation, Callable[..., Any]]


@pytest.fixture(params=["primitive", "composed"])
def pair(request: pytest.FixtureRequest) -> Pair:
    """An operation of one's own, and what PyTorch has for it."""
    if request.param == "primitive":
        return make_log1p(), torch.log1p
    return make_softsign(), torch.nn.functional.softsign


def leaf(numbers: Any, place: str = "cpu") -> Any:
    return tinygrad_ninja.tensor(numbers, dtype=tinygrad_ninja.float64, device=place, requires_grad=True)


# -- eager ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("place", PLACES)
def test_values_and_derivatives_to_third_order_are_those_of_torch(pair: Pair, place: str) -> None:
    entry, theirs = pair
    number = 0.75
    x = leaf(number if place == "float" else NUMBERS, place)
    y = torch.tensor(number if place == "float" else NUMBERS, dtype=torch.float64, requires_grad=True)
    have, want = entry(x), theirs(y)
    for _ in range(4):  # the value, and three derivatives
        np.testing.assert_allclose(have.detach().to("cpu").numpy(), want.detach().numpy(), rtol=1e-12)
        have, want = (each.sum() if each.ndim else each for each in (have, want))
        (have,) = tinygrad_ninja.autograd.grad(have, [x], create_graph=True)
        (want,) = torch.autograd.grad(want, [y], create_graph=True)


def test_derivatives_are_finite_differences(pair: Pair) -> None:
    entry, _ = pair
    assert gradcheck(entry, [leaf(NUMBERS)])
    assert gradgradcheck(entry, [leaf(NUMBERS)])


def test_integers_become_floats_where_the_entry_says_so() -> None:
    assert make_log1p()(tinygrad_ninja.tensor([0, 1])).dtype is tinygrad_ninja.float32


def test_a_float_has_the_answers_of_ieee_754() -> None:
    log1p = make_log1p()
    edges = [log1p(tinygrad_ninja.tensor(x, device="float")).item() for x in (-1.0, -2.0, math.inf)]
    np.testing.assert_array_equal(edges, [-math.inf, math.nan, math.inf])


def test_it_compares_with_torch(pair: Pair) -> None:
    entry, theirs = pair

    def chain(module: Any, x: Any, w: Any) -> dict[str, Any]:
        h = (entry if module is tinygrad_ninja else theirs)(x * x)
        loss = (h * w).sum()
        return {"h": h, "loss": loss}

    found = compare(chain, NUMBERS, WEIGHTS)
    assert [row.name for row in found] == ["x", "w", "h", "loss"]
    assert found.ok()
    assert_matches_torch(lambda module, x: (entry if module is tinygrad_ninja else theirs)(x), NUMBERS)


# -- derived -------------------------------------------------------------------------------------------------


def named(entry: Operation) -> dict[str, Any]:
    x, w = leaf(NUMBERS), leaf(WEIGHTS)
    h = entry(x)
    y = h * w
    loss = (y * y).mean()
    return {"x": x, "w": w, "h": h, "y": y, "loss": loss}


@pytest.mark.parametrize("simplify", [False, True])
@pytest.mark.parametrize("target", TARGETS)
def test_the_derived_code_gives_torchs_gradients(pair: Pair, target: str, simplify: bool) -> None:
    entry, theirs = pair
    names = named(entry)
    derivation = derive(names["loss"], names=names, simplify=simplify)
    assert not derivation.simplifications
    found = run(derivation.source(target))  # its own check holds
    x, w = (torch.tensor(each, requires_grad=True) for each in (NUMBERS, WEIGHTS))
    ((theirs(x) * w) ** 2).mean().backward()
    np.testing.assert_allclose(found["dx"], x.grad, rtol=1e-12)
    np.testing.assert_allclose(found["dw"], w.grad, rtol=1e-12)


def test_the_derived_code_calls_a_primitive_and_writes_out_what_is_composed() -> None:
    for entry, line in (
        (make_log1p(), "h = np.log1p(x)\n"),
        (make_softsign(), "add_1 = 1 + np.abs(x)\nh = x / add_1\n"),
    ):
        names = named(entry)
        assert line in derive(names["loss"], names=names).source("numpy")


def test_simplifying_leaves_it_as_it_is(pair: Pair) -> None:
    names = named(pair[0])
    plain, simplified = (derive(names["loss"], names=names, simplify=each) for each in (False, True))
    assert str(plain) == str(simplified)


def test_a_function_that_uses_it_is_traced(pair: Pair) -> None:
    entry, _ = pair

    def loss(x: Any) -> Any:
        h = entry(x * 2)
        return (h * h).sum()

    x = leaf(NUMBERS)
    (gradient,) = tinygrad_ninja.autograd.grad(loss(x), [x])
    found = run(derive(loss, x).source())
    np.testing.assert_allclose(found["dx"], gradient.numpy(), rtol=1e-12)


def test_it_is_explained() -> None:
    for entry, formula, slope in (
        (make_log1p(), r"$h = \operatorname{ln1p} x$", r"\frac{1}{1 + x_{i j}}"),
        (
            make_softsign(),
            r"$h = \frac{x}{\mathrm{add\_1}}$",
            r"\frac{1}{\left(1 + \left| x_{i j} \right|\right)^{2}}",
        ),
    ):
        names = named(entry)
        derivation = derive(names["loss"], names=names)
        page = derivation.explain("x")
        assert formula in page
        assert rf"\frac{{\partial h_{{i j}}}}{{\partial x_{{i j}}}} = {slope}$$" in page
        assert "In numbers" in page
        assert set(derivation.values) == {*names}


# -- drawn ---------------------------------------------------------------------------------------------------


def test_it_is_drawn_and_has_its_formulas_on_the_page(pair: Pair) -> None:
    entry, _ = pair
    names = named(entry)
    source = viz.draw(names["loss"], names=names).source
    assert f"<B>{entry.name}</B>" in source
    assert "out = " in source  # the tooltip
    page = content(extract(names["loss"], names=names))
    step = next(each for each in page["steps"] if each["operation"] == entry.name)
    formulas = page["formulas"][step["formula"]]
    assert formulas["forward"].startswith("<math")
    assert formulas["rules"][0].startswith("<math")


def test_a_drawing_shows_the_sign_that_the_entry_has() -> None:
    @operation(broadcasts=True, drawn="⊞", a=lambda dout: dout, b=lambda dout: dout)
    def plus(a: Any, b: Any, /) -> Any:
        """out = a + b."""
        return a + b

    assert "<B>⊞ 2</B>" in viz.draw(plus(leaf(NUMBERS), 2.0).sum()).source


# -- compiled ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("backend", "place"), [("c", "cpu"), ("numpy", "cpu"), ("torch", "torch")])
def test_it_is_compiled(pair: Pair, backend: str, place: str) -> None:
    entry, _ = pair

    def step(x: Any, w: Any) -> Any:
        loss = (entry(x * x) * w).sum()
        return loss.detach(), *tinygrad_ninja.autograd.grad(loss, [x, w])

    arguments = [leaf(each, place) for each in (NUMBERS, WEIGHTS)]
    want = step(*arguments)
    compiled = compile(step, fullgraph=True, backend=backend)
    for _ in range(2):  # the second time from what was recorded
        for have, eager in zip(compiled(*arguments), want, strict=True):
            np.testing.assert_allclose(
                have.detach().to("cpu").numpy(), eager.detach().to("cpu").numpy(), rtol=1e-12
            )


# -- what cannot be served -----------------------------------------------------------------------------------


def make_swapped(**facts: Any) -> Operation:
    """A primitive that calls a method of NumPy's arrays, which nothing else has."""

    @operation(x=lambda dout: dout, **facts)
    def swapped(x: Any, /) -> Any:
        """out = x, its bytes in another order, and back again."""
        return x.byteswap().byteswap()

    return swapped


@pytest.mark.parametrize("target", TARGETS)
def test_what_the_library_lacks_is_refused_by_name_and_not_passed_over(target: str) -> None:
    names = named(make_swapped())
    derivation = derive(names["loss"], names=names)
    with pytest.raises(NotImplementedError, match=f"swapped cannot be written in {target}.*in_{target}"):
        derivation.source(target)


def test_an_entry_may_say_how_it_is_written() -> None:
    facts = {"in_numpy": "np.negative(np.negative({x}))", "in_torch": "{x}.clone()"}
    names = named(make_swapped(**facts))
    derivation = derive(names["loss"], names=names)
    found = [run(derivation.source(target))["dx"] for target in TARGETS]
    np.testing.assert_allclose(*found)
    assert "h = x.clone()" in str(derivation)


@pytest.mark.parametrize("target", TARGETS)
def test_what_is_put_into_a_template_and_what_comes_of_it_stand_in_brackets(target: str) -> None:
    swapped = make_swapped(in_numpy="{x} * np.exp(-{x}) / np.exp(-{x})", in_torch="{x} - {x} + {x}[...]")
    x = leaf(NUMBERS)
    loss = (2 * swapped(x * x + 1)).sum()
    names = {"x": x, "loss": loss}
    np.testing.assert_allclose(run(derive(loss, names=names).source(target))["dx"], 4 * np.array(NUMBERS))


@pytest.mark.parametrize("template", ["{x} if True else 0", "f(*{x})", "f(**{x})", "{x}["])
def test_a_template_that_is_no_call_is_refused_by_name(template: str) -> None:
    names = named(make_swapped(in_torch=template))
    with pytest.raises(NotImplementedError, match="swapped cannot be written in torch: its in_torch is"):
        str(derive(names["loss"], names=names))


def test_a_formula_that_cannot_be_said_is_refused_by_name() -> None:
    names = named(make_swapped(in_torch="{x}.clone()"))
    with pytest.raises(NotImplementedError, match=r"no formula for swapped.*named=True"):
        derive(names["loss"], names=names).explain("x")
    names = named(make_swapped(in_torch="{x}.clone()", named=True))
    assert r"\operatorname{swapped}" in derive(names["loss"], names=names).explain("x")


def test_a_rule_that_calls_what_is_no_operation_is_refused_by_name() -> None:
    @operation(x=lambda xp, dout, out: dout / (3 * xp.square(out)))
    def cbrt(xp: Any, x: Any, /) -> Any:
        """out = ∛x;  dx = dout / (3 · out²)."""
        return xp.cbrt(x)

    names = named(cbrt)
    with pytest.raises(AttributeError, match="no operation square"):
        derive(names["loss"], names=names)
    with pytest.raises(AttributeError, match="no operation square"):
        tinygrad_ninja.autograd.grad(names["loss"], [names["x"]], create_graph=True)


# -- the facts stand on the entries --------------------------------------------------------------------------

MOST = 60
"""So many texts outside of the families of operations may be equal to an operation's name."""


def literals(path: Path) -> Counter[str]:
    """The texts in a file that are names of operations, without docstrings, `__all__`, and what is given to a
    parameter by its name, as reduction="mean" is."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    left_out: set[ast.AST] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr):
            left_out.add(node.value)
        elif isinstance(node, ast.Assign) and any(
            isinstance(target, ast.Name) and target.id == "__all__" for target in node.targets
        ):
            left_out.update(ast.walk(node.value))
        elif isinstance(node, ast.keyword):
            left_out.add(node.value)
        elif isinstance(node, ast.arguments):
            left_out.update(each for each in (*node.defaults, *node.kw_defaults) if each is not None)
    texts = (node for node in ast.walk(tree) if isinstance(node, ast.Constant) and node not in left_out)
    return Counter(node.value for node in texts if node.value in TABLE)


def test_few_texts_outside_of_the_table_name_operations() -> None:
    root = Path(inspect.getfile(tinygrad_ninja)).parents[1]
    files = [*root.glob("tinygrad_ninja/**/*.py"), *root.glob("viz/**/*.py")]
    outside = [path for path in files if path.parent != root / "tinygrad_ninja" / "ops"]
    found = {str(path.relative_to(root)): literals(path) for path in sorted(outside)}
    told = "\n".join(f"{each.total()} {path}: {dict(each)}" for path, each in found.items() if each)
    assert sum(each.total() for each in found.values()) <= MOST, told


def test_an_input_may_not_have_the_name_of_a_fact() -> None:
    """Its rule would be taken for the fact."""

    def scaled(xp: Any, cost: Any, /) -> Any:
        return cost * 2

    with pytest.raises(TypeError, match="cost is a fact"):
        operation(cost=lambda dout: dout * 2)(scaled)
