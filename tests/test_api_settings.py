"""What dtypes hold, memory that is shared, how Tensors are printed, and modes of computing."""

import os
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
import torch
from both import Case, assert_same, assert_same_error, attempt, cases

import tinygrad_ninja as ours
from tinygrad_ninja.api import threads

DTYPES = ["bool", "uint8", "int8", "int16", "int32", "int64", "float16", "bfloat16", "float32", "float64"]


@pytest.mark.parametrize("name", DTYPES[1:])
def test_limits(name: str) -> None:
    def case(t: Any) -> Any:
        d = getattr(t, name)
        info = attempt(t.finfo if d.is_floating_point else t.iinfo, d)
        if isinstance(info, Exception):
            return info
        numbers = [getattr(info, field) for field in ("bits", "min", "max", "dtype")]
        if d.is_floating_point:
            numbers += [info.eps, info.tiny, info.smallest_normal, info.resolution]
        return [attempt(t.iinfo if d.is_floating_point else t.finfo, d), numbers, repr(info)]

    assert_same(case)


def test_result_types_and_casts() -> None:
    def case(t: Any) -> Any:
        dtypes = [getattr(t, name) for name in DTYPES]
        held = [d for d in dtypes if d is not t.bfloat16]  # which NumPy lacks
        operands = [t.ones(shape, dtype=d) for d in held for shape in ((2,), ())] + [True, 2, 1.5]
        casts = [t.can_cast(a, b) for a in dtypes for b in dtypes]
        return [t.result_type(a, b) for a in operands for b in operands], casts, t.finfo().dtype

    assert_same(case)


@cases(
    lambda t: [t.asarray([1, 2]), t.asarray(2.5), t.asarray(np.float64(2))],
    lambda t: [t.asarray([1.0], requires_grad=True), t.asarray(t.ones(2), copy=True)],
    lambda t: [t.asarray(bytearray(8)), t.asarray(np.ones(2), dtype=t.float32)],
    lambda t: [t.asarray(t.ones(2, requires_grad=True)), t.asarray(t.ones(2, requires_grad=True) * 2)],
    lambda t: t.asarray(t.ones(2, requires_grad=True), requires_grad=False),
    lambda t: t.frombuffer(bytearray(b"\x01\x00\x02\x00"), dtype=t.int16),
    lambda t: t.frombuffer(bytearray(b"\x01\x00\x02\x00\x05"), dtype=t.int16, count=1, offset=2),
    lambda t: t.frombuffer(bytearray(8), dtype=t.float32, requires_grad=True),
    lambda t: [t.numel(t.ones(2, 3)), t.is_floating_point(t.ones(1)), t.is_floating_point(t.arange(2))],
)
def test_shared_memory(case: Case) -> None:
    assert_same(case)


def test_memory_is_shared() -> None:
    def case(t: Any) -> Any:
        array, buffer = np.zeros(2), bytearray(4)
        x, y, z = t.asarray(array), t.frombuffer(buffer, dtype=t.int16), t.ones(2)
        x[0], y[1] = 5, 3
        return array, list(buffer), t.asarray(z) is z, t.asarray(z, copy=True) is z

    assert_same(case)


@cases(
    lambda t: t.asarray([1], copy=False),
    lambda t: t.asarray(np.ones(2), copy=False, dtype=t.float32),
    lambda t: t.asarray([1], requires_grad=True),
    lambda t: t.frombuffer(bytearray(3), dtype=t.int16),
    lambda t: t.frombuffer(bytearray(4), dtype=t.int16, offset=9),
    lambda t: t.frombuffer(bytearray(4), dtype=t.int16, count=3),
    lambda t: t.frombuffer(bytearray(0), dtype=t.int16),
    lambda t: t.frombuffer([1], dtype=t.int16),
    lambda t: t.result_type("a", 1),
    lambda t: t.iinfo(t.bool),
    lambda t: t.finfo(t.int64),
)
def test_errors(case: Case) -> None:
    assert_same_error(case)


@pytest.mark.parametrize(
    "options",
    [
        {"precision": 2},
        {"profile": "short"},
        {"profile": "full"},
        {"sci_mode": True},
        {"sci_mode": False},
        {"linewidth": 40, "edgeitems": 1, "threshold": 5},
        {"profile": "short", "precision": 3},
    ],
    ids=str,
)
def test_print_options(options: dict[str, Any]) -> None:
    def texts(t: Any) -> list[str]:
        t.set_printoptions(profile="default")
        t.set_printoptions(**options)
        try:
            numbers = [[1.0, 2.5, -1e-5], [3e7, 0.1, 7.0]]
            tensors = [t.tensor(numbers), t.arange(30.0), t.arange(1001), t.tensor([1.5, 2.25])]
            return [repr(x) for x in (*tensors, t.ones(2, 3, 4) / 3)]
        finally:
            t.set_printoptions(profile="default")

    assert texts(ours) == texts(torch)


def test_inference_mode() -> None:
    def case(t: Any) -> Any:
        x = t.ones(2, requires_grad=True)

        @t.inference_mode()
        def decorated() -> Any:
            return (x * 2).requires_grad

        @t.inference_mode
        def bare() -> Any:
            return (x * 2).requires_grad

        with t.inference_mode():
            inside = [(x * 2).requires_grad, t.is_grad_enabled()]
            with t.inference_mode(False):
                inside.append(t.is_grad_enabled())
        with t.inference_mode(mode=False):
            outside = (x * 2).requires_grad
        return inside, outside, decorated(), decorated(), bare(), t.is_grad_enabled()

    assert_same(case)


def test_the_precision_of_products() -> None:
    for precision in ("high", "medium", "highest"):
        ours.set_float32_matmul_precision(precision)
        assert ours.get_float32_matmul_precision() == precision == torch.get_float32_matmul_precision()
    with pytest.warns(UserWarning, match="no effect"):
        ours.set_float32_matmul_precision("exact")
    assert ours.get_float32_matmul_precision() == "highest"


SETTINGS = """
products, cudnn = t.backends.cuda.matmul, t.backends.cudnn

def state():
    return [
        t.get_float32_matmul_precision(), products.allow_tf32, t.are_deterministic_algorithms_enabled(),
        cudnn.allow_tf32, cudnn.benchmark, cudnn.deterministic, cudnn.enabled,
    ]

states = [state()]
for change in sys.argv[1:]:
    exec(change)
    states.append(state())
"""
CHANGES = [  # a switch that is turned off after "high" or "medium" leaves PyTorch itself at a loss
    "t.set_float32_matmul_precision('medium')",
    "t.use_deterministic_algorithms(True, warn_only=True)",
    "cudnn.benchmark = True",
    "t.set_float32_matmul_precision('highest')",
    "products.allow_tf32 = True",
    "products.allow_tf32 = False",
    "cudnn.allow_tf32 = cudnn.enabled = False",
    "t.set_float32_matmul_precision('high')",
]
IN_PYTORCH = """
import torch as t
products, cudnn = t.backends.cuda.matmul, t.backends.cudnn
print(state(), t.is_deterministic_algorithms_warn_only_enabled())
"""


@pytest.mark.slow  # two processes that import PyTorch
def test_settings_do_not_import_pytorch_which_is_told_them_when_it_is_needed() -> None:
    def states(beginning: str, end: str) -> list[str]:
        script = "\n".join(["import sys", beginning, SETTINGS, "print(states)", end, IN_PYTORCH])
        command = [sys.executable, "-c", script, *CHANGES]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()

    ours = states("import tinygrad_ninja as t", "print('torch' in sys.modules)\nt.ones(1, device='torch')")
    assert ours == states("import torch as t", "print(False)")


@cases(
    lambda t: t.use_deterministic_algorithms(1),
    lambda t: t.use_deterministic_algorithms(True, warn_only=None),
    lambda t: t.set_float32_matmul_precision(2),
    lambda t: setattr(t.backends.cuda.matmul, "allow_tf32", 1),
    lambda t: setattr(t.backends.cudnn, "benchmark", "yes"),
)
def test_values_that_settings_refuse(case: Case) -> None:
    assert_same_error(case)


def test_the_number_of_threads() -> None:
    before = ours.get_num_threads(), torch.get_num_threads()

    def case(t: Any, number: Any) -> Any:
        try:
            return t.set_num_threads(number), t.get_num_threads()
        except RuntimeError as error:
            return str(error).replace("numpy.", "")
        except ValueError:
            return ValueError

    try:
        for number in (0, -1, 1.5, "2", True, None, np.float32(2), 2**40, np.int64(2), 3):
            assert case(ours, number) == case(torch, number), number
    finally:
        ours.set_num_threads(before[0])
        torch.set_num_threads(before[1])


@pytest.mark.parametrize(
    ("variable", "number"), [("3", 3), (" 2,4", 2), ("0", None), ("many", None), ("", None)]
)
def test_the_first_number_of_threads_is_that_of_the_environment_or_of_the_processors(
    variable: str, number: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", variable)
    processors = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    assert threads._at_first() == (number or processors)
