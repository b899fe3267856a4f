"""Run one function under PyTorch and under tinygrad_ninja, and compare all that comes out.

A *case* is a function of the module that speaks PyTorch's names: `lambda t: t.ones(2).sum()`. What it returns
may nest tensors, arrays, numbers, dtypes, sizes and caught exceptions in tuples, lists and dictionaries.
"""

import builtins
import inspect
import linecache
import warnings
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch

import tinygrad_ninja

Case = Callable[[Any], Any]
Leaf = tuple[str, np.ndarray]


def cases(*functions: Callable[..., Any]) -> pytest.MarkDecorator:
    """Parametrize a test by cases of one source line each; the line itself is the test's id."""
    lines = [inspect.unwrap(function).__code__ for function in functions]
    ids = [linecache.getline(code.co_filename, code.co_firstlineno).strip() for code in lines]
    return pytest.mark.parametrize("case", functions, ids=ids)


def same(function: Case) -> Callable[[], None]:
    """Make a test of a case of several lines: `@same` above `def test_name(t)`."""

    def test() -> None:
        assert_same(function)

    test.__doc__ = function.__doc__
    return test


def gradients(function: Callable[..., Any], *inputs: Any) -> Case:
    """The case that returns `function(t, *leaves)` and each leaf's gradient.

    The gradient given to `backward` is 1, 2, 3, ... so that no two elements can be mistaken for one another.
    """

    def case(t: Any) -> Any:
        leaves = [t.tensor(values, requires_grad=True) for values in inputs]
        out = function(t, *leaves)
        out.backward(t.arange(1, out.numel() + 1, dtype=out.dtype).reshape(out.shape))
        return out.detach(), [leaf.grad for leaf in leaves]

    case.__wrapped__ = function  # type: ignore[attr-defined]
    return case


def attempt(call: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """What the call returns or, where it fails, the exception, which is compared like a value."""
    try:
        return call(*args, **kwargs)
    except Exception as error:
        return error


def outcome(module: ModuleType, case: Case) -> Any:
    """What the case returns or raises under the module.

    Warnings are not part of it.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return attempt(case, module)


def assert_same(case: Case, ulps: int = 4, scaled: bool = False, signed_zeros: bool = False) -> None:
    """Both modules give the same structure, types, dtypes, shapes and `requires_grad`, and the same numbers.

    Integers are compared exactly, floats to `ulps` times the dtype's epsilon: relative to each element or,
    where terms may cancel, `scaled` to the greatest number of all. NaN equals NaN.
    """
    expected, actual = outcome(torch, case), outcome(tinygrad_ninja, case)
    if isinstance(expected, Exception):
        raise expected
    if isinstance(actual, Exception):
        raise actual
    expected_leaves, actual_leaves = list(leaves(torch, expected)), list(leaves(tinygrad_ninja, actual))
    for (theirs_is, _), (ours_is, _) in zip(expected_leaves, actual_leaves, strict=False):
        assert ours_is == theirs_is, f"ours is {ours_is}, torch's is {theirs_is}"
    floats = [array for _, array in expected_leaves if array.dtype.kind == "f"]
    greatest = max((np.abs(array).max(initial=0, where=np.isfinite(array)) for array in floats), default=0)
    for (kind, theirs), (_, ours) in zip(expected_leaves, actual_leaves, strict=True):
        is_float = theirs.dtype.kind == "f"
        if not np.array_equal(ours, theirs, equal_nan=is_float):  # that takes a tenth of the time
            rtol = ulps * np.finfo(theirs.dtype).eps if is_float else 0
            np.testing.assert_allclose(ours, theirs, rtol=rtol, atol=scaled * rtol * greatest, err_msg=kind)
        if signed_zeros:
            signs = [np.signbit(array) & (array == 0) for array in (ours, theirs)]
            np.testing.assert_array_equal(*signs, err_msg=kind)


def assert_same_error(case: Case, message: str = "") -> None:
    """Both modules raise, the same built-in class, and both say `message`; ours in one line."""
    expected, actual = outcome(torch, case), outcome(tinygrad_ninja, case)
    assert isinstance(expected, Exception), f"torch raises nothing, it gives {expected}"
    assert isinstance(actual, Exception), f"torch raises {expected!r}, we give {actual}"
    assert builtin_class(actual) == builtin_class(expected), repr(actual)
    assert "\n" not in str(actual), f"more than one line: {actual}"
    assert message.lower() in str(expected).lower()
    assert str(actual).strip()
    assert message.lower() in str(actual).lower()


def leaves(module: ModuleType, value: Any, path: str = "result") -> Iterator[Leaf]:
    """Each leaf of a nested result as what it is, in words, and its numbers."""
    numbers = np.empty(0)
    if isinstance(value, module.Tensor):
        kind = f"tensor {name(value.dtype)} {tuple(value.shape)} requires_grad={value.requires_grad}"
        numbers = value.detach().cpu().numpy()
    elif isinstance(value, (np.ndarray, np.generic)):
        kind, numbers = f"{type(value).__name__} {value.dtype} {value.shape}", np.asarray(value)
    elif isinstance(value, (bool, int, float)):
        kind, numbers = type(value).__name__, np.asarray(value)
    elif isinstance(value, module.Size):
        kind = f"Size {tuple(value)}"
    elif isinstance(value, type(module.float32)):
        kind = f"dtype {name(value)}"
    elif isinstance(value, Exception):
        kind = f"raises {builtin_class(value)}"
    elif isinstance(value, (tuple, list)):
        kind = f"{'tuple' if isinstance(value, tuple) else 'list'} of {len(value)}"
        for index, item in enumerate(value):
            yield from leaves(module, item, f"{path}[{index}]")
    elif isinstance(value, dict):
        kind = f"dict of {len(value)}"
        for key, item in value.items():
            yield from leaves(module, item, f"{path}[{key!r}]")
    else:
        kind = repr(value)
    yield f"{path}: {kind}", numbers


def name(dtype: Any) -> str:
    """`torch.float32` and `tinygrad_ninja.float32` are both "float32"."""
    return str(dtype).rpartition(".")[2]


def builtin_class(error: Exception) -> str:
    """The built-in class an `except` clause would name: NotImplementedError is caught as RuntimeError."""
    kind = next(parent for parent in type(error).__mro__ if vars(builtins).get(parent.__name__) is parent)
    return "RuntimeError" if kind is NotImplementedError else kind.__name__
