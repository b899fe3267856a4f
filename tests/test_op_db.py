"""PyTorch's own samples of every operator that the engine offers: the same values, gradients and errors.

What is unlike by intention stands here, with its reason: the tests fail where something else is unlike, and
where what stands here no longer is.
"""

import functools
import itertools
from collections import Counter
from typing import Any

import numpy as np
import pytest
import torch
from both import outcome
from judge import Arguments, Known, Unlike
from op_samples import OPERATORS, dtypes, forms, samples

import tinygrad_ninja

FEW = 1
QUICK = {torch.float64, torch.int64}
"""How many samples are replayed, and in which dtypes, where not all are."""

CONVERSIONS = (
    "to", "bfloat16", "bool", "byte", "char", "double", "float", "half", "int", "long", "short"
)  # fmt: skip

LINALG_NORMS = ("linalg.matrix_norm", "linalg.norm", "linalg.norm subgradients_at_zero")

KNOWN = Known(
    refused=(
        Unlike(CONVERSIONS, "has no 'channels_last'", "the order in memory of the channels of pictures"),
        Unlike(("bfloat16",), "has no bfloat16", "NumPy, on which the device cpu computes, lacks it"),
        Unlike(("addbmm",), "doesn't match the broadcast shape", "a change in place that resizes a Tensor"),
        Unlike(("normal number_mean",), "has no 'strided'", "the layout of a Tensor: there is but one"),
        Unlike(("norm nuc",), "p='nuc' is not offered", "singular values"),
        Unlike(LINALG_NORMS, "needs singular values", "singular values"),
        Unlike(("nn.functional.embedding",), "max_norm=", "a function that changes its weight"),
        Unlike(("nn.functional.embedding",), "scale_grad_by_freq=True", "a gradient divided by frequency"),
        Unlike(("nn.functional.embedding",), "sparse=True", "sparse Tensors"),
    ),
)


def replay(name: str, most: int | None = None) -> Counter[Unlike | None]:
    """How many samples in every form agree (None) or are unlike as listed: all of them, or at most so many of
    each of the quick dtypes, or of the first where it has none of these.

    AssertionError for what is unlike and not listed.
    """
    op = OPERATORS[name]
    counts: Counter[Unlike | None] = Counter()
    chosen = dtypes(op)
    if most is not None:
        chosen = [dtype for dtype in chosen if dtype in QUICK] or chosen[:1]
    for dtype in chosen:
        drawn, differentiable = samples(op, dtype)
        for sample, form in itertools.product(itertools.islice(drawn, most), forms(op)):
            case = form.case(sample, differentiable)
            counts[KNOWN.judge(name, case, (form.name, sample))] += 1
    return counts


every = functools.cache(replay)


@pytest.mark.parametrize("name", OPERATORS)
def test_the_first_samples_agree(name: str) -> None:
    replay(name, FEW)


@pytest.mark.slow
@pytest.mark.parametrize("name", OPERATORS)
def test_every_sample_agrees_but_those_listed(name: str) -> None:
    gone = KNOWN.of(name) - every(name).keys()
    assert not gone, f"agrees by now, and is to be taken out of the list: {gone}"


@pytest.mark.slow
@pytest.mark.parametrize("name", OPERATORS)
def test_numpys_numbers_are_as_pythons(name: str) -> None:
    """Of no dtype of their own, and wherever an int or a float is taken."""
    op = OPERATORS[name]
    for dtype in {torch.float32, torch.int64}.intersection(dtypes(op)):
        drawn, _ = samples(op, dtype)
        for sample, form in itertools.product(itertools.islice(drawn, 25), forms(op)):
            case = form.case(sample, False, {int: np.int64, float: np.float64})
            KNOWN.judge(name, case, (form.name, sample))


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
        if can_be_made(sample) and isinstance(outcome(torch, case), Exception):  # on some devices it is none
            assert KNOWN.judge(name, case, sample) is None


def can_be_made(sample: Any) -> bool:
    """Whether the engine has such arguments: complex numbers it has not, nor 65 dimensions."""
    try:
        Arguments(tinygrad_ninja).of((sample.input, sample.args, sample.kwargs))
    except (TypeError, ValueError):
        return False
    return True


def test_what_is_listed_is_offered() -> None:
    assert {name for entry in KNOWN.refused for name in entry.names} <= OPERATORS.keys()
