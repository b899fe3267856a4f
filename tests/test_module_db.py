"""PyTorch's own samples of every layer that the engine offers (`module_db`): the same results, gradients and
state, from the same initial parameters, and the same errors."""

import itertools
import random
from types import ModuleType
from typing import Any

import pytest
import torch
from both import Case
from judge import Arguments, Known, find, gradients
from torch.testing._internal.common_modules import ModuleInfo, ModuleInput, module_db

import tinygrad_ninja

LAYERS = {info.name: info for info in module_db if find(tinygrad_ninja, info.name)}
KNOWN = Known()

FEW = 6
"""How many samples are replayed where not all are, of a layer in training and of one that is not."""


def case_of(info: ModuleInfo, sample: ModuleInput, dtype: torch.dtype, training: bool) -> Case:
    """The case that builds the layer and calls it: the result, all gradients (in float64), the state, and the
    arguments as they are then."""

    def case(t: ModuleType) -> Any:
        t.manual_seed(0)
        arguments = Arguments(t)
        built, called = sample.constructor_input, sample.forward_input
        layer = find(t, info.name)(*arguments.of(built.args), **arguments.of(built.kwargs))
        layer.to(arguments.of(dtype)).train(training)
        if called is None:
            return layer.state_dict()
        out = layer(*arguments.of(called.args), **arguments.of(called.kwargs))
        given = list(arguments.tensors.values())
        asked = [*given, *layer.parameters()] if dtype is torch.float64 else []
        return out, *gradients(t, out, asked), layer.state_dict(), given

    return case


def replay(name: str, dtype: torch.dtype, most: int | None = None) -> None:
    info = LAYERS[name]
    for training in (True, False):
        torch.manual_seed(0)
        random.seed(0)
        drawn = info.module_inputs_func(info, "cpu", dtype, requires_grad=True, training=training)
        for sample in itertools.islice(drawn, most):
            built = sample.constructor_input
            what = name, built.args, built.kwargs, sample.desc, f"training={training}"
            KNOWN.judge(name, case_of(info, sample, dtype, training), what)


@pytest.mark.parametrize("name", LAYERS)
def test_the_first_samples_agree(name: str) -> None:
    replay(name, torch.float64, FEW)


@pytest.mark.slow
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=str)
@pytest.mark.parametrize("name", LAYERS)
def test_every_sample_agrees(name: str, dtype: torch.dtype) -> None:
    replay(name, dtype)


@pytest.mark.parametrize("name", [name for name, info in LAYERS.items() if info.module_error_inputs_func])
def test_errors(name: str) -> None:
    info = LAYERS[name]
    drawn = info.module_error_inputs_func(info, "cpu", torch.float64, requires_grad=False, training=True)
    for error_input in drawn:
        case = case_of(info, error_input.module_error_input, torch.float64, True)
        KNOWN.judge(name, case, error_input.error_regex)
