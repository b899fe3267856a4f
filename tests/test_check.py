"""The comparison with PyTorch, finite differences, the pytest plugin, and the lecture's 26 tensors."""

import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from command import WITHOUT_TORCH, run
from lecture_list import LECTURE_LIST, needs_lecture_list

import tinygrad_ninja
from tinygrad_ninja import cli
from tinygrad_ninja.check import (
    Comparison,
    Difference,
    GradcheckError,
    assert_matches_torch,
    compare,
    gradcheck,
    gradgradcheck,
)
from tinygrad_ninja.makemore import lecture

pytest_plugins = ["pytester"]

MATRIX = np.array([[0.5, -1.25, 2.0], [1.5, 0.75, -0.5]])
ROW = np.array([2.0, -0.5, 1.5])


def chain(module: Any, x: Any, w: Any, labels: Any) -> dict[str, Any]:
    product = x * w
    h = product.tanh()
    picked = h[:, labels]
    note = "no tensor"
    loss = (picked**2).mean()
    return locals()


# -- compare -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("device", ["cpu", "torch"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_every_named_tensor_has_a_row_with_torchs_own_numbers(device: str, dtype: str) -> None:
    found = compare(chain, MATRIX, ROW, [0, 2, 2], device=device, dtype=dtype)
    assert [row.name for row in found] == ["x", "w", "labels", "product", "h", "picked", "loss"]
    assert found.ok()

    leaf = torch.tensor(MATRIX, dtype=getattr(torch, dtype), requires_grad=True)
    named = chain(torch, leaf, torch.tensor(ROW, dtype=leaf.dtype), torch.tensor([0, 2, 2]))
    named["h"].retain_grad()
    named["loss"].backward()
    for name, tensor in {"x": leaf, "h": named["h"]}.items():
        row = found[name]
        assert row.gradient is not None
        np.testing.assert_array_equal(row.value.theirs, tensor.detach().numpy())
        np.testing.assert_array_equal(row.gradient.theirs, tensor.grad.numpy())
        assert row.value.dtype == row.gradient.dtype == dtype
    assert found["labels"].gradient is None
    with pytest.raises(KeyError):
        found["note"]


def test_inputs_of_every_kind() -> None:
    def scaled(module: Any, x: Any, *factors: Any) -> Any:
        for each in factors:
            x = x * each
        return x.sum()

    found = compare(
        scaled, [1.0, 2.0], 2, 0.5, np.float64(3), torch.ones(2), tinygrad_ninja.ones(2, requires_grad=True)
    )
    assert [row.name for row in found] == ["x", *(f"factors[{i}]" for i in range(5)), "loss"]
    assert [row.value.dtype for row in found][:4] == ["float32", "int64", "float32", "float64"]
    assert found.ok()


def test_an_input_that_is_bound_anew_has_a_second_row() -> None:
    def shifted(module: Any, x: Any) -> dict[str, Any]:
        x = x + 1
        return {"x": x, "y": (x**2).sum()}

    found = compare(shifted, ROW)
    assert [row.name for row in found] == ["x", "x (inside)", "y"]
    assert found.ok()


@pytest.fixture
def bend(monkeypatch: pytest.MonkeyPatch) -> Callable[[str, int, float], None]:
    """Make a method of Tensor give one of its operands so many times its gradient."""

    def bend(name: str, place: int, times: float) -> None:
        method = getattr(tinygrad_ninja.Tensor, name)

        def bent(*operands: Any) -> Any:
            operand = operands[place] * 1
            operand.register_hook(lambda gradient: gradient * times)
            return method(*operands[:place], operand, *operands[place + 1 :])

        monkeypatch.setattr(tinygrad_ninja.Tensor, name, bent)

    return bend


@pytest.mark.parametrize("device", ["cpu", "torch"])
def test_a_wrong_gradient_is_found(device: str, bend: Callable[[str, int, float], None]) -> None:
    bend("tanh", 0, 1.001)
    found = compare(chain, MATRIX, ROW, [0, 2, 2], device=device)
    assert not found.ok()
    assert {each.split(":")[0] for each in found.complaints()} == {
        "gradient of x", "gradient of w", "gradient of product"
    }  # fmt: skip
    assert found.ok(rtol=0.002)


def test_a_shape_that_broadcasting_hides_is_found() -> None:
    def mean(module: Any, x: Any) -> dict[str, Any]:
        m = x.sum(0, keepdim=module is torch)
        return {"m": m, "loss": (m**2).sum()}

    found = compare(mean, MATRIX)
    theirs, ours = found["m"].value.theirs, found["m"].value.ours
    assert theirs is not None
    assert np.all(theirs == ours), "which is all that the lecture's cmp looks at"
    assert found.complaints() == [
        "m: shape (3,) where PyTorch has (1, 3)",
        "gradient of m: shape (3,) where PyTorch has (1, 3)",
    ]
    assert not found["m"].value.exact
    assert not found["m"].value.approximate
    assert "(1, 3) / (3,)" in str(found)


def test_a_wrong_dtype_is_found() -> None:
    def half(module: Any, x: Any) -> dict[str, Any]:
        y = x.float() if module is torch else x.double()
        return {"y": y, "loss": y.sum()}

    found = compare(half, ROW)
    assert found.complaints()[:2] == [
        "y: dtype float64 where PyTorch has float32",
        "gradient of y: dtype float64 where PyTorch has float32",
    ]
    assert not found["y"].value.exact
    assert not found["y"].value.approximate


def test_a_missing_gradient_and_a_missing_name_are_found() -> None:
    def cut(module: Any, x: Any) -> dict[str, Any]:
        y = x * 2 if module is torch else x.detach() * 2
        return {"y": y, "loss": (x + y).sum()} | ({"z": y} if module is torch else {})

    complaints = compare(cut, ROW).complaints()
    assert "gradient of y: missing here" in complaints
    assert "z: missing here" in complaints


def test_where_nothing_is_differentiable_values_are_compared() -> None:
    found = compare(lambda t, x: {"order": x.argmax(), "above": x > 1}, ROW)
    assert [row.gradient for row in found] == [None, None, None]
    assert found.ok()


def test_without_a_scalar_there_is_nothing_to_differentiate() -> None:
    for returned in (lambda t, x: x * 2, lambda t, x: {"y": x * 2}):
        with pytest.raises(ValueError, match="nothing to differentiate"):
            compare(returned, ROW)


def test_without_torch_the_comparison_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(ImportError, match="torch"):
        compare(chain, MATRIX, ROW, [0])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_distances(dtype: Any) -> None:
    one = np.array([1.0, -3.0, 0.0, np.nan, np.inf], dtype)
    assert Difference(one, one.copy()).exact

    near = one.copy()
    near[1] = np.nextafter(np.nextafter(near[1], dtype(0)), dtype(0))
    difference = Difference(one, near)
    assert (difference.exact, difference.approximate, difference.ulps) == (False, True, 2)
    assert difference.maxdiff == 2 * np.spacing(dtype(3))
    assert difference.complaint(0.0, 0.0).startswith("at (1,) -2.99999")

    for place, other in ((3, 0.0), (0, np.nan), (4, -np.inf)):
        far = one.copy()
        far[place] = other
        assert Difference(one, far).maxdiff == Difference(one, far).ulps == np.inf


def test_the_table_has_the_lectures_columns() -> None:
    title, header, *lines = str(compare(chain, MATRIX, ROW, [0, 2, 2], device="torch")).splitlines()
    assert title.split() == ["value", "gradient"]
    assert header.split() == ["name", "shape", "dtype", *["exact", "maxdiff", "of", "scale"] * 2]
    assert lines[2].split() == ["labels", "(3,)", "int64", "True", "0", "0"]
    assert lines[4].split() == ["h", "(2,", "3)", "float64", *["True", "0", "0"] * 2]


def test_a_notebook_shows_the_comparison_as_a_table() -> None:
    shown = compare(chain, MATRIX, ROW, [0, 2, 2])._repr_html_()
    assert shown.count("<tr>") == shown.count("</tr>")
    assert "<td>h</td><td>(2, 3)</td><td>float64</td><td>True</td><td>0</td><td>0</td>" in shown


# -- finite differences --------------------------------------------------------------------------------------


def product(t: Any, x: Any, y: Any) -> Any:
    return (x * y).tanh(), x.exp().sum()


def first_wrong(t: Any, x: Any, y: Any) -> Any:
    return x * y.detach()


def second_wrong(t: Any, x: Any, y: Any) -> Any:
    """x²y as the tangent at the point itself: value and gradient are right, the gradient is constant."""
    a, b = x.detach(), y.detach()
    return a**2 * b + 2 * a * b * (x - a) + a**2 * (y - b)


@pytest.mark.parametrize("device", ["cpu", "torch"])
@pytest.mark.parametrize(
    ("function", "first", "second"),
    [(product, True, True), (first_wrong, False, False), (second_wrong, True, False)],
)
def test_gradcheck_judges_as_torch_does(device: str, function: Any, first: bool, second: bool) -> None:
    theirs = [torch.tensor(each, requires_grad=True) for each in (MATRIX, ROW)]
    assert torch.autograd.gradcheck(lambda *x: function(torch, *x), theirs, raise_exception=False) is first
    assert (
        torch.autograd.gradgradcheck(lambda *x: function(torch, *x), theirs, raise_exception=False) is second
    )

    ours = [tinygrad_ninja.tensor(each, device=device, requires_grad=True) for each in (MATRIX, ROW)]
    assert gradcheck(lambda *x: function(tinygrad_ninja, *x), ours, raise_exception=False) is first
    assert gradgradcheck(lambda *x: function(tinygrad_ninja, *x), ours, raise_exception=False) is second


def test_gradcheck_names_the_input_the_place_and_both_numbers() -> None:
    x, y = (tinygrad_ninja.tensor(each, requires_grad=True) for each in (MATRIX, ROW))

    def function(x: Any, y: Any) -> Any:
        return (x + y).sum(), (x * y.detach()).sum(0)

    with pytest.raises(GradcheckError) as caught:
        gradcheck(function, (x, y))
    assert str(caught.value).startswith(
        "input 1 at (0,), output 1 at (0,): the gradient is 0.0, the finite difference 2.0"
    )
    assert x.grad is None


def test_gradcheck_takes_the_inputs_in_float64_and_leaves_integers_alone() -> None:
    x = tinygrad_ninja.tensor(MATRIX, dtype=tinygrad_ninja.float32, requires_grad=True)
    index = tinygrad_ninja.tensor([2, 0, 2])
    assert gradcheck(lambda x, index: (x[:, index].exp(), index), (x, index))
    assert gradgradcheck(lambda x, index: x[:, index].exp(), (x, index))
    assert gradcheck(lambda x: x**3, x)


def test_gradcheck_without_anything_to_check() -> None:
    x = tinygrad_ninja.tensor(ROW)
    with pytest.raises(ValueError, match="no input requires a gradient"):
        gradcheck(lambda x: x, x)
    for nothing in (lambda x: x > 0, lambda x: 3.0):
        with pytest.raises(ValueError, match="no floating point Tensor"):
            gradcheck(nothing, tinygrad_ninja.tensor(ROW, requires_grad=True))
    with pytest.raises(ValueError, match="float32: finite differences need float64"):
        gradcheck(lambda x: x.float(), x.requires_grad_())


def test_what_is_no_tensor_is_not_compared() -> None:
    with pytest.raises(TypeError, match="a Tensor or several must be returned to be compared, not NoneType"):
        assert_matches_torch(lambda t, x: None, ROW)


# -- the plugin ----------------------------------------------------------------------------------------------

OPERATION_TESTS = """
    def test_right(assert_matches_torch):
        assert_matches_torch(lambda t, x, y: (x * y).sigmoid(), [[0.5], [2.0]], [1.0, -1.0])
        assert_matches_torch(lambda t, x: x.max(1), [[0.5, 1.0]], device="torch", dtype="float64")

    def test_wrong_second_derivative(assert_matches_torch):
        def cube(t, x):
            return x**3 if t.__name__ == "torch" else 3 * x.detach() ** 2 * x - 2 * x.detach() ** 3

        assert_matches_torch(cube, [2.0, 3.0], order=1)
        assert_matches_torch(cube, [2.0, 3.0])
"""


@pytest.fixture
def plugin(pytester: pytest.Pytester, pytestconfig: pytest.Config) -> list[str]:
    """The arguments that load the plugin where no installed package has announced it."""
    pytester.makepyfile(OPERATION_TESTS)
    announced = pytestconfig.pluginmanager.hasplugin("tinygrad_ninja")
    return ["-p", "no:cacheprovider", *([] if announced else ["-p", "pytest_tinygrad_ninja"])]


def test_the_plugin_offers_the_assertion(pytester: pytest.Pytester, plugin: list[str]) -> None:
    result = pytester.runpytest(*plugin)
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(
        ["*derivatives of order 2*", "*gradient of x: at (0,) 0.0 where PyTorch has *"]
    )


def test_the_plugin_skips_without_torch(
    pytester: pytest.Pytester, plugin: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    result = pytester.runpytest(*plugin, "-rs")
    result.assert_outcomes(skipped=2)
    result.stdout.fnmatch_lines(["*the comparison needs PyTorch, which is not installed"])


# -- the lecture ---------------------------------------------------------------------------------------------

LECTURE_ROWS = """
    logprobs probs counts_sum_inv counts_sum counts norm_logits logit_maxes logits h W2 b2 hpreact bngain
    bnraw bnbias bnvar_inv bnvar bndiff2 bndiff bnmeani hprebn embcat W1 b1 emb C
"""
COMBINATIONS = [(device, dtype) for device in ("cpu", "torch") for dtype in ("float32", "float64")]


@pytest.fixture(scope="module", params=[None, pytest.param(str(LECTURE_LIST), marks=needs_lecture_list)])
def tables(request: pytest.FixtureRequest) -> dict[tuple[str, str], Comparison]:
    """All four tables, on the shipped names and on the lecture's."""
    return {each: lecture.table(*each, data=request.param) for each in COMBINATIONS}


def test_the_rows_are_those_that_the_lecture_compares(tables: dict[tuple[str, str], Comparison]) -> None:
    for (_, dtype), found in tables.items():
        assert sorted(row.name for row in found) == sorted(LECTURE_ROWS.split())
        assert {row.value.dtype for row in found} == {dtype}


def test_every_row_agrees(tables: dict[tuple[str, str], Comparison]) -> None:
    for (device, dtype), found in tables.items():
        assert lecture.complaints(found, device, dtype) == []
        assert found.ok({"float32": 1e-5, "float64": 1e-12}[dtype], terms=lecture.TERMS)


def test_on_torch_tensors_in_float32_every_bit_is_torchs(tables: dict[tuple[str, str], Comparison]) -> None:
    for row in tables["torch", "float32"]:
        for each in (row.value, row.gradient):
            assert each is not None
            assert each.theirs is not None
            assert each.ours is not None
            assert each.ours.tobytes() == each.theirs.tobytes(), row.name


def test_the_gradients_that_cancel_are_small_beside_their_terms(
    tables: dict[tuple[str, str], Comparison],
) -> None:
    """So it is right to measure them by their terms; and the others need no such thing."""
    found = tables["cpu", "float64"]
    for name, terms in lecture.TERMS.items():
        assert found[name].gradient.scale < 1e-12 * found[terms].gradient.scale  # type: ignore[union-attr]
    assert {each.split(":")[0] for each in found.complaints()} <= {
        f"gradient of {each}" for each in lecture.TERMS
    }


def test_a_wrong_gradient_shows_in_the_lectures_table(bend: Callable[[str, int, float], None]) -> None:
    bend("__pow__", 0, 1.0001)
    for device, dtype in COMBINATIONS:
        complaints = lecture.complaints(lecture.table(device, dtype), device, dtype)
        assert any(each.startswith("gradient of counts_sum:") for each in complaints)


def test_ninja_check_prints_four_tables_and_what_held(bend: Callable[[str, int, float], None]) -> None:
    result = CliRunner().invoke(cli.ninja, ["check"])
    assert result.exit_code == 0
    rows = [line.split()[0] for line in result.output.splitlines() if re.search(r"\) +float", line)]
    assert sorted(rows) == sorted(4 * LECTURE_ROWS.split())
    *_, sentence = result.output.splitlines()
    assert sentence.endswith(
        "float32 on NumPy arrays to 1e-05, float64 on NumPy arrays to 1e-12, "
        "float32 on torch tensors to the last bit, float64 on torch tensors to 1e-12."
    )

    bend("__sub__", 1, -1.0)
    result = CliRunner().invoke(cli.ninja, ["check", "--device", "torch", "--dtype", "float32"])
    assert result.exit_code == 1
    assert "\nfloat32 on torch tensors differs:\ngradient of C: at (" in result.output


def test_ninja_check_without_torch_is_one_sentence(tmp_path: Path) -> None:
    result = run(tmp_path, "check", python=WITHOUT_TORCH)
    assert (result.returncode, result.stdout) == (2, "")
    (line,) = result.stderr.splitlines()
    assert "PyTorch, which is not installed" in line
