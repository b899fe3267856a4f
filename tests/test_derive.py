"""The printed derivation: it runs alone, and its numbers are PyTorch's."""

import ast
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from calls import Call, answer, calls, inside
from derivations import (
    PARAMETERS,
    TARGETS,
    assigned,
    lecture_derivation,
    lecture_gradients,
    parts,
    run,
)
from few_examples import few
from hypothesis import assume, given
from hypothesis import strategies as st
from slow_ones import slow_but

import tinygrad_ninja
from tinygrad_ninja.makemore import lecture
from tinygrad_ninja.ops import TABLE, Operation
from tinygrad_ninja.program import derive

# -- the lecture's model -------------------------------------------------------------------------------------


@pytest.mark.parametrize("target", TARGETS)
def test_the_lectures_26_gradients_are_those_of_torch(target: str) -> None:
    expected = lecture_gradients()
    assert len(expected) == 26
    found = run(lecture_derivation().source(target))
    for name, gradient in expected.items():
        scale = abs(expected.get(f"d{lecture.TERMS.get(name[1:], '')}", gradient)).max()
        np.testing.assert_allclose(found[name], gradient, rtol=0, atol=2e-6 * scale, err_msg=name)


@pytest.mark.parametrize("target", TARGETS)
def test_the_lectures_code_has_no_names_but_the_lectures(target: str) -> None:
    forward, backward = parts(lecture_derivation().source(target))
    assert assigned(backward) == set(lecture_gradients())
    assert assigned(forward) == {name[1:] for name in lecture_gradients()} - set(PARAMETERS) | {"loss"}
    assert "for " not in forward
    assert not any(
        isinstance(each, ast.For | ast.While | ast.ListComp) for each in ast.walk(ast.parse(backward))
    )


def test_the_lectures_lines_read_as_in_the_lecture() -> None:
    text = str(lecture_derivation())
    for line in (
        "logit_maxes = logits.max(1, keepdim=True).values",
        "loss = -logprobs[range(n), Y].mean()",
        "dlogprobs[range(n), Y] = -1 / n",
        "dprobs = dlogprobs / probs",
        "dcounts += dcounts_sum",
        "dlogits = dnorm_logits.clone()",
        "dhpreact = (1 - h**2) * dh",
        "dbnraw = dhpreact * bngain",
        "dW1 = embcat.T @ dhprebn",
        "dC.index_put_((X,), demb, accumulate=True)",
    ):
        assert f"\n{line}" in text
    assert "counts_sum_inv (32, 1) was broadcast to (32, 27): summed over dim 1" in text
    order = [
        text.index(f"\nd{name} = ")
        for name in ("dprobs"[1:], "counts_sum_inv", "counts_sum", "logits", "h", "C")
    ]
    assert order == sorted(order)


@pytest.mark.parametrize("target", TARGETS)
def test_a_script_runs_alone(target: str, tmp_path: Path) -> None:
    """With its own library and no other, in a process of its own; it prints the table."""
    script = tmp_path / "derivation.py"
    script.write_text(lecture_derivation().source(target), encoding="utf-8")
    others = ["tinygrad_ninja", "numpy" if target == "torch" else "torch"]
    block = "".join(f"sys.modules[{name!r}] = None; " for name in others)
    alone = f"import sys, runpy; {block}runpy.run_path({str(script)!r})"
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", alone],
        capture_output=True,
        text=True,
        check=True,
        cwd=tmp_path,
    )
    rows = done.stdout.splitlines()[1:]
    assert sorted(row.split()[0] for row in rows) == sorted(lecture_gradients())
    assert len(rows) == 26
    assert all("approximate: True" in row for row in rows)


def test_a_wrong_gradient_fails_the_scripts_own_check() -> None:
    source = lecture_derivation().source("numpy")
    with pytest.raises(SystemExit, match="a gradient is not the slope"):
        run(source.replace("dh = dlogits @ W2.T", "dh = 1.01 * dlogits @ W2.T"))


def test_the_program_is_a_list_of_instructions_that_runs() -> None:
    derivation = lecture_derivation()
    found = derivation.program.run({})
    for var in derivation.program.outputs:
        np.testing.assert_array_equal(found[var], var.value)
    rows = str(derivation.program).splitlines()
    assert any(
        row.split() == ["bnmeani", "=", "mul(%3,", "0.03125)", "float32", "(1,", "64)"] for row in rows
    )
    answered = {each.answers.output.name for each in derivation.program.instructions if each.answers}
    assert {"loss", "probs", "counts_sum", "emb"} - {"loss"} <= answered


# -- every operation, and programs made of them --------------------------------------------------------------


@pytest.mark.filterwarnings("ignore:.*degrees of freedom is <= 0")
@pytest.mark.parametrize("entry", TABLE.values(), ids=lambda entry: entry.name)
@pytest.mark.parametrize("target", slow_but(TARGETS, "torch"))
@few(6)
@given(st.data())
def test_every_operation_is_printed_in_both_languages(
    entry: Operation, target: str, data: st.DataObject
) -> None:
    """An operation without a rule stands beside one that has: what it gives is a factor."""
    call, inputs = data.draw(calls(entry))
    logical = entry.name.startswith("bitwise")
    inputs = inside(call, inputs) if entry.sources else inputs
    assume(logical or answer(call, inputs).size)

    def loss_of(module: Any, tensors: list[Any]) -> Any:
        out = call(module, *((each > 0 for each in tensors) if logical else tensors))
        weight = (
            module.linspace(0.5, 1.5, out.numel(), dtype=module.float64).reshape(out.shape).to(out.device)
        )
        return (out * weight).sum().to(tensors[0].device) + sum((each * each).sum() for each in tensors)

    leaves = [tinygrad_ninja.tensor(each, requires_grad=True) for each in inputs]
    names = {f"x{i}": each for i, each in enumerate(leaves)}
    theirs = [torch.tensor(each, requires_grad=True) for each in inputs]
    loss_of(torch, theirs).backward()
    if data.draw(st.booleans()):
        derivation = derive(loss_of(tinygrad_ninja, leaves), names=names)
    else:
        derivation = derive(lambda *tensors: loss_of(tinygrad_ninja, list(tensors)), *leaves, names=names)
    if (entry.name, target) in UNWRITTEN:
        with pytest.raises(NotImplementedError, match=f"{entry.name} cannot be written in {target}"):
            derivation.source(target)
        return
    variables = run(derivation.source(target))
    for i, leaf in enumerate(theirs):
        np.testing.assert_allclose(variables[f"dx{i}"], leaf.grad, rtol=1e-10, atol=1e-10)


UNWRITTEN = {(name, "numpy") for name in ("scatter_amax", "scatter_amin", "scatter_prod")}
"""What a library has no expression for."""


@st.composite
def programs(draw: Any) -> tuple[Call, list[Any]]:
    """A function of a module and three Tensors that gives a loss, and the values that have names; and numbers
    for the Tensors. Some values are used twice, some are broadcast, some are read by an index."""
    pick = st.integers(0, 11)
    steps = draw(st.lists(st.tuples(pick, pick, pick, st.booleans()), min_size=2, max_size=9))

    def function(module: Any, *leaves: Any) -> tuple[Any, dict[str, Any]]:
        values, names = list(leaves), {f"x{i}": each for i, each in enumerate(leaves)}
        for i, (kind, first, second, named) in enumerate(steps):
            a, b = values[-1 - first % len(values)], values[-1 - second % len(values)]
            along = second % 2
            made = (
                lambda a=a: module.tanh(a / 4),
                lambda a=a: module.exp(-a * a),
                lambda a=a: module.relu(a) - 0.5 * a,
                lambda a=a, d=along: a.sum(d, keepdim=True),
                lambda a=a, d=along: a.mean(d, keepdim=True) - a,
                lambda a=a, d=along: a.max(d, keepdim=True).values,
                lambda a=a, d=along: a.softmax(d),
                lambda a=a, b=b: a.T @ b if a.shape[0] == b.shape[0] else a @ a.T,
                lambda a=a: a[[0, -1, 0]],
                lambda a=a: a[:, -1:] * a[:1],
                lambda a=a, b=b: a * b if {1} & {*a.shape} and a.shape[0] in (1, b.shape[0]) else a * 3,
                lambda a=a, b=b: a + b.sum(),
            )[kind]()  # fmt: skip
            values.append(made)
            if named:
                names[f"y{i}"] = made
        return sum((each * each).mean() for each in values[-3:]), names

    numbers = np.random.default_rng(draw(st.integers(0, 99)))
    return function, [numbers.normal(size=shape) for shape in ((3, 4), (1, 4), (3, 1))]


@few(40)
@given(programs())
def test_programs_made_at_random_have_torchs_gradients(case: tuple[Call, list[Any]]) -> None:
    function, inputs = case
    theirs = [torch.tensor(each, requires_grad=True) for each in inputs]
    loss, named = function(torch, *theirs)
    for each in named.values():
        each.retain_grad()
    loss.backward()
    ours = [tinygrad_ninja.tensor(each, requires_grad=True) for each in inputs]
    loss, names = function(tinygrad_ninja, *ours)
    derivation = derive(loss, names=names)
    for target in TARGETS:
        found = run(derivation.source(target))
        for name, each in named.items():
            if each.grad is not None and f"d{name}" in found:
                np.testing.assert_allclose(found[f"d{name}"], each.grad, rtol=1e-9, atol=1e-12)
        reached = {f"d{name}" for name, each in named.items() if each.grad is not None}
        assert reached == {f"d{name}" for name in names} & set(found)


@pytest.mark.parametrize("target", TARGETS)
def test_an_index_that_is_repeated_by_broadcasting_is_added_up(target: str) -> None:
    """A range of one names one cell as often as the list beside it is long."""
    x, w = np.arange(6.0).reshape(2, 3), np.array([1.0, 2.0, 3.0])

    def loss(module: Any, x: Any, w: Any) -> Any:
        return (x[range(1), module.tensor([1, 2, 1])] * w).sum() + (x[range(2), [0]] ** 2).sum()

    leaf = torch.tensor(x, requires_grad=True)
    loss(torch, leaf, torch.tensor(w)).backward()
    ours, weights = tinygrad_ninja.tensor(x, requires_grad=True), tinygrad_ninja.tensor(w)
    derivation = derive(loss(tinygrad_ninja, ours, weights), names={"x": ours, "w": weights})
    np.testing.assert_allclose(run(derivation.source(target))["dx"], leaf.grad.numpy())


def test_a_rule_for_a_single_point_is_written_where_it_is_needed() -> None:
    """The slope of a standard deviation, whose rule has an answer of its own where that is 0."""

    def lines(numbers: list[list[float]]) -> str:
        x = tinygrad_ninja.tensor(numbers, requires_grad=True)
        derivation = derive(x.std(0).sum(), names={"x": x})
        gradient = run(derivation.source("numpy").partition("# The check.")[0])["dx"]
        theirs = torch.tensor(numbers, requires_grad=True)
        theirs.std(0).sum().backward()
        np.testing.assert_allclose(gradient, theirs.grad, rtol=1e-6)
        return str(derivation)

    assert "where" not in lines([[1.0, 2.0], [4.0, 6.0]])
    assert "where(loss_std == 0, 0.0," in lines([[1.0, 2.0], [1.0, 6.0]])


def test_what_broadcasting_does_is_left_to_it() -> None:
    x = tinygrad_ninja.tensor(np.random.default_rng(0).normal(size=(6, 5)), requires_grad=True)
    d = x - x.mean(0)
    out = d / x.std(0)
    derivation = derive((out**3).sum(), names={"x": x, "d": d, "out": out})
    text = str(derivation)
    assert "dx = 0.2 * (dout_std / out_std) * (x - x.mean(0, keepdim=True))\n" in text
    assert "\ndx -= dd.mean(0)" in text
    for target in TARGETS:
        run(derivation.source(target))


def test_the_size_of_the_batch_goes_by_its_name() -> None:
    x = tinygrad_ninja.ones(32, 3, requires_grad=True)
    y = x.sum(0) / 32 + (x * x).sum(0) / 31
    text = str(derive(y.sum(), names={"x": x, "y": y, "n": 32}))
    assert "y = x.sum(0) / n + (x * x).sum(0) / (n - 1)\n" in text
    run(derive(y.sum(), names={"x": x, "y": y, "n": 32}).source("numpy"))


def test_numbers_stand_as_they_were_written() -> None:
    x = tinygrad_ninja.tensor([0.5, 2.0, -3.0], requires_grad=True)
    loss = (tinygrad_ninja.maximum(x, tinygrad_ninja.tensor(0.25)) * 1e-5 + x.clamp(-1, 1) / 7).sum()
    derivation = derive(loss, names={"x": x})
    assert "loss = (x.clamp(min=0.25) * 1e-5 + x.clamp(min=-1, max=1) / 7).sum()\n" in str(derivation)
    for target in TARGETS:
        run(derivation.source(target))
