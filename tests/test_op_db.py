"""PyTorch's own samples of every operator that the engine offers: the same values, gradients and errors.

Where the engine refuses a sample by an exception, or answers where PyTorch refuses, that stands here, with
its reason: the tests fail where something else is refused, and where what stands here no longer is.
"""

import functools
import itertools
from collections import Counter
from dataclasses import dataclass

import pytest
import torch

import tinygrad_ninja
from tests.both import builtin_class, outcome
from tests.op_samples import OPERATORS, Arguments, difference, dtypes, forms, samples

FEW = 2
"""How many samples of each dtype are replayed where not all are."""


@dataclass(frozen=True)
class Unlike:
    """What differs by intention: the operators, a part of the sentence that says so, and the reason."""

    operators: tuple[str, ...]
    says: str
    reason: str


REFUSED = (
    Unlike(
        ("to", "bfloat16", "bool", "byte", "char", "double", "float", "half", "int", "long", "short"),
        "has no 'channels_last'",
        "the order in memory of pictures' channels",
    ),
    Unlike(("bfloat16",), "has no bfloat16", "a dtype that NumPy, on which the device cpu computes, lacks"),
    Unlike(
        ("addbmm",), "doesn't match the broadcast shape", "a change in place that would resize its Tensor"
    ),
    Unlike(("normal number_mean",), "has no 'strided'", "the layout of a Tensor, of which there is but one"),
    Unlike(("norm nuc",), "p='nuc' is not offered", "singular values"),
    Unlike(("nn.functional.embedding",), "max_norm=1.0 is not offered", "a function that changes its weight"),
    Unlike(("nn.functional.embedding",), "scale_grad_by_freq=True is not offered", "gradients by frequency"),
    Unlike(("nn.functional.embedding",), "sparse=True is not offered", "sparse Tensors"),
)
"""The samples that the engine refuses."""

ANSWERED = (
    Unlike(
        ("acosh", "asinh", "atanh"),
        "the derivative for 'inplace version of a",
        "PyTorch lacks a derivative that the engine has",
    ),
)
"""The samples that PyTorch refuses and the engine does not."""

OTHERWISE = (
    Unlike(("norm",), "torch gives result[1][0]: None", "the gradient of how many are not 0: zeros here"),
)
"""The samples that the engine answers in another way, which means the same."""


def replay(name: str, most: int | None = None) -> Counter[Unlike | None]:
    """How many samples, at most so many of a dtype and in every form, agree (None) or are unlike as listed.

    AssertionError for what is unlike and not listed.
    """
    op = OPERATORS[name]
    counts: Counter[Unlike | None] = Counter()
    for dtype in dtypes(op):
        drawn, differentiable = samples(op, dtype)
        for sample, form in itertools.product(itertools.islice(drawn, most), forms(op)):
            case = form.case(sample, differentiable)
            expected, actual = outcome(torch, case), outcome(tinygrad_ninja, case)
            what = f"{form.name}, {sample}"
            if isinstance(expected, Exception) and isinstance(actual, Exception):
                assert builtin_class(actual) == builtin_class(expected), f"{what}: {actual!r}, {expected!r}"
                counts[None] += 1
            elif isinstance(actual, Exception):
                counts[listed(REFUSED, name, f"{what}: {actual}")] += 1
            elif isinstance(expected, Exception):
                counts[listed(ANSWERED, name, f"{what}: {expected}")] += 1
            elif unlike := difference(expected, actual):
                counts[listed(OTHERWISE, name, f"{what}: {unlike}")] += 1
            else:
                counts[None] += 1
    return counts


def listed(table: tuple[Unlike, ...], name: str, sentence: str) -> Unlike:
    """The entry for what the sentence says of an operator; AssertionError where there is none."""
    for entry in table:
        if name in entry.operators and entry.says in sentence:
            return entry
    raise AssertionError(sentence)


every = functools.cache(replay)


@pytest.mark.parametrize("name", OPERATORS)
def test_the_first_samples_agree(name: str) -> None:
    replay(name, FEW)


@pytest.mark.slow
@pytest.mark.parametrize("name", OPERATORS)
def test_every_sample_agrees_but_those_listed(name: str) -> None:
    entries = {entry for entry in (*REFUSED, *ANSWERED, *OTHERWISE) if name in entry.operators}
    gone = entries - every(name).keys()
    assert not gone, f"agrees by now, and is to be taken out of the list: {gone}"


@pytest.mark.slow
def test_ninety_nine_of_a_hundred_samples_agree() -> None:
    counts: Counter[Unlike | None] = sum((every(name) for name in OPERATORS), Counter())
    assert counts[None] >= 0.99 * counts.total(), counts


@pytest.mark.parametrize("name", [name for name, op in OPERATORS.items() if op.error_inputs_func])
def test_errors(name: str) -> None:
    op = OPERATORS[name]
    form = next(forms(op))
    for error_input in op.error_inputs_func(op, "cpu"):
        sample = error_input.sample_input
        case = form.case(sample, False)
        expected, actual = outcome(torch, case), outcome(tinygrad_ninja, case)
        if not isinstance(expected, Exception):  # it is one on other devices
            continue
        assert isinstance(actual, Exception), f"PyTorch raises {expected!r} for {sample}, the engine {actual}"
        if "out" not in sample.kwargs and can_be_made(sample):  # `out=` is not offered
            assert builtin_class(actual) == builtin_class(expected), f"{sample}: {actual!r}, {expected!r}"


def can_be_made(sample: torch.testing._internal.opinfo.core.SampleInput) -> bool:
    """Whether the engine has such arguments: complex numbers it has not, nor 65 dimensions."""
    try:
        Arguments(tinygrad_ninja).of((sample.input, sample.args, sample.kwargs))
    except (TypeError, ValueError):
        return False
    return True


def test_what_is_listed_names_operators() -> None:
    for entry in (*REFUSED, *ANSWERED, *OTHERWISE):
        assert set(entry.operators) <= OPERATORS.keys()
