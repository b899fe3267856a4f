"""The documents in ../shared/seeds: people writing a backward pass by hand, run as they are."""

import math
import os
import re
from pathlib import Path

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from lecture_list import LECTURE_LIST, needs_lecture_list
from printed_text import lines, same_text
from seed_cells import cells, run

import tinygrad_ninja
from tinygrad_ninja.check import Difference

SEEDS = Path(__file__).parents[2] / "shared" / "seeds"

RTOL = {"float32": 1e-6, "float64": 1e-10}
"""Of the greatest number in the tensor. In float64 a network of 70 layers widens the last bit to 1e-11."""

TERMS = {
    "b1.grad": "hprebn.grad",
    "parameters[2].grad": "hprebn.grad",  # which is b1's
    "db1": "dhprebn",
    "logit_maxes.grad": "norm_logits.grad",
    "dlogit_maxes": "dnorm_logits",
    "dlogits": "dnorm_logits",  # which holds only the part of dlogit_maxes at first
}
"""What is zero but for rounding, because its terms cancel, is measured by the tensor that holds the terms."""

SLOW = [pytest.param(number, marks=pytest.mark.slow) for number in ("001", "002", "003", "004")]
TRAINING = re.compile(r"^n_steps = 10000$", re.MULTILINE)
STEPS = int(os.environ.get("SEED_STEPS", "1001"))  # with SEED_STEPS=10000 the loops run whole


def document(number: str) -> str:
    found = sorted(SEEDS.glob(f"{number}_*.txt"))
    if not found:
        pytest.skip("the documents, ../shared/seeds, are not there")
    return found[0].read_text(encoding="utf-8")


def disagreements(text: str, steps: int, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What is not PyTorch's after any of the cells, in words, of all their tensors, gradients and prints.

    `steps` stands in for the number of steps of a training loop. There each step adds its own rounding to the
    weights of the step before, which grows as a random walk does, with √steps.
    """
    matplotlib.use("Agg")
    monkeypatch.chdir(LECTURE_LIST.parent)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)  # whose random numbers are others
    shortened = [TRAINING.sub(f"n_steps = {steps}", cell) for cell in cells(text)]
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # how a sum is divided among threads decides its last bit
    try:
        expected, actual = run(shortened, torch), run(shortened, tinygrad_ninja)
    finally:
        torch.set_num_threads(threads)
        plt.close("all")

    wrong = []
    before: dict[str, Difference] = {}
    for cell, theirs, ours in zip(shortened, expected, actual, strict=True):
        growth = math.sqrt(steps) if f"n_steps = {steps}" in cell else 1.0
        now = {
            name: Difference(theirs.arrays.get(name), ours.arrays.get(name))
            for name in theirs.arrays | ours.arrays
        }
        changed = {name: each for name, each in now.items() if not same_arrays(each, before.get(name))}
        before |= now
        for name, difference in changed.items():
            scale = before[TERMS[name]].scale if TERMS.get(name) in before else None
            complaint = difference.complaint(growth * RTOL.get(difference.dtype, 0.0), 0.0, scale)
            wrong += [f"{name}: {complaint}"] if complaint else []
        for a, b in zip(*(lines(each.text) for each in (theirs, ours)), strict=True):
            wrong += [] if same_text(a, b) else [f"PyTorch prints {a} where this engine prints {b}"]
    return wrong


def same_arrays(now: Difference, before: Difference | None) -> bool:
    """Whether neither engine's array has changed since it was compared."""
    return before is not None and all(
        a is not None and b is not None and np.array_equal(a, b, equal_nan=True)
        for a, b in ((now.theirs, before.theirs), (now.ours, before.ours))
    )


def report(wrong: list[str]) -> None:
    if wrong:
        pytest.fail(f"{len(wrong)} differences, the first of them\n" + "\n".join(wrong[:20]))


@needs_lecture_list
@pytest.mark.parametrize("number", ["000", *SLOW])
def test_the_cells_give_pytorchs_numbers(number: str, monkeypatch: pytest.MonkeyPatch) -> None:
    wrong = disagreements(document(number), 5, monkeypatch)
    report(wrong)


@needs_lecture_list
@pytest.mark.slow
def test_the_training_loops_stay_together(monkeypatch: pytest.MonkeyPatch) -> None:
    text = document("002")
    assert len(TRAINING.findall(text)) == 4
    wrong = disagreements(text, STEPS, monkeypatch)
    report(wrong)


@needs_lecture_list
def test_the_exercise_ends_as_its_author_saw_it_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """The loss that the document shows, and a hand-written gradient beside each of the 26 that it checks."""
    text = document("000")
    monkeypatch.chdir(LECTURE_LIST.parent)
    outcomes = run(cells(text), tinygrad_ninja)
    shown = "tensor(3.3482, grad_fn=<NegBackward0>)"
    assert shown in text
    assert shown in [each.text.strip() for each in outcomes]
    checked = [set(re.findall(r"^cmp\(.*, (\w+), (\w+)\)", cell, re.MULTILINE)) for cell in cells(text)]
    pairs = set().union(*checked)
    assert len({variable for _, variable in pairs}) == 26
    arrays = {name: array for each in outcomes for name, array in each.arrays.items()}
    for by_hand, variable in pairs:
        assert {by_hand, f"{variable}.grad"} <= arrays.keys()


def test_cells_are_told_from_what_stands_around_them() -> None:
    text = """# A heading
In [1]:
%matplotlib inline
import math

def f(x):

    return x

In [None]:
f(2)

2

In [3]:
f(torch.ones(2)), 'a'

(tensor([1., 1.]), 'a')

and then f:

In [4]:
x =

"""
    assert cells(text) == ["\nimport math\n\ndef f(x):\n\n    return x", "f(2)", "f(torch.ones(2)), 'a'"]
