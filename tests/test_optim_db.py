"""PyTorch's own samples of every optimizer that the engine offers (`optim_db`), alone and under schedules:
the same parameters, step by step, the same state, the same errors."""

import itertools
import warnings
from collections.abc import Callable, Iterable
from types import ModuleType
from typing import Any

import pytest
import torch
from both import Case
from judge import Arguments, Known, Unlike, find
from op_samples import rebound
from torch.testing._internal.common_optimizers import OptimizerInput, optim_db

import tinygrad_ninja

OPTIMIZERS = {info.name: info for info in optim_db if find(tinygrad_ninja.optim, info.name)}
ALL = tuple(OPTIMIZERS)

KNOWN = Known(
    refused=(
        Unlike(("Adagrad", "SGD"), "must be a Python number, not a Tensor", "a learning rate in a Tensor"),
    ),
    errors=(
        Unlike(ALL, "must be a Python number, not a Tensor", "a learning rate in a Tensor"),
        Unlike(("Adam", "AdamW"), "betas must be Python numbers, not Tensors", "decays in Tensors"),
    ),
)

STEPS = 12
WAYS = {"capturable", "differentiable", "foreach", "fused"}
"""Options that choose among PyTorch's ways of computing the same."""


def case_of(name: str, sample: OptimizerInput, dtype: torch.dtype, schedules: Iterable[Any] = ()) -> Case:
    """The case that descends a parabola, whose steepness changes from step to step: the parameters after each
    step, the state of each, the options, and what the schedules say."""

    def case(t: ModuleType) -> Any:
        arguments = Arguments(t)
        if sample.params is None:
            starts = [[1.0, -2.0, 3.0], [0.5, 0.0, -1.0]], [4.0, -5.0], 7.0
            asked = [t.nn.Parameter(t.tensor(start, dtype=arguments.of(dtype))) for start in starts]
        else:
            asked = arguments.of(sample.params)
        optimizer = getattr(t.optim, name)(asked, **arguments.of(sample.kwargs))
        following = [over(t, make)(optimizer) for make in schedules]
        parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
        path = []
        for step in range(STEPS):

            def loss(steepness: int = 1 + step % 3) -> Any:
                optimizer.zero_grad()
                total = sum(((x - 0.25) ** 2).sum() * steepness for x in parameters)
                total.backward()
                return total

            path.append(optimizer.step(loss))
            path.append([parameter.detach().clone() for parameter in parameters])
            for schedule in following:
                schedule.step(*[path[-2]] * (type(schedule).__name__ == "ReduceLROnPlateau"))
        state = [[state[key] for key in sorted(state)] for state in optimizer.state.values()]
        groups = optimizer.state_dict()["param_groups"]
        options = [{key: group[key] for key in sorted(group.keys() - WAYS)} for group in groups]
        return path, state, options

    return case


def over(t: ModuleType, make: Callable[..., Any]) -> Callable[..., Any]:
    """The function of PyTorch's that makes a schedule, with the module's schedules."""
    if t is torch:
        return make
    used = [name for name in make.__code__.co_names if hasattr(torch.optim.lr_scheduler, name)]
    return rebound(make, **{name: getattr(t.optim.lr_scheduler, name) for name in used})


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=str)
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_sample_agrees_but_those_listed(name: str, dtype: torch.dtype) -> None:
    drawn = OPTIMIZERS[name].optim_inputs_func("cpu")
    met = {KNOWN.judge(name, case_of(name, sample, dtype), sample) for sample in drawn}
    assert KNOWN.of(name) & set(KNOWN.refused) <= met


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_schedule_agrees(name: str) -> None:
    info = OPTIMIZERS[name]
    for schedules, sample in itertools.product(info.scheduler_inputs, info.optim_inputs_func("cpu")[:2]):
        KNOWN.judge(name, case_of(name, sample, torch.float64, schedules), (sample, schedules))


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_errors(name: str) -> None:
    met = set()
    for error_input in OPTIMIZERS[name].optim_error_inputs_func("cpu", torch.float64):
        case = case_of(name, error_input.optimizer_error_input, torch.float64)

        def strict(t: ModuleType, case: Case = case) -> Any:
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                return case(t)

        met.add(KNOWN.judge(name, strict, error_input.error_regex))
    assert KNOWN.of(name) & set(KNOWN.errors) <= met
