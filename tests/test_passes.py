"""The passes on programs: what they return computes the same, and reads as it should."""

import re
from typing import Any

import numpy as np
import pytest
from every_model import EVERY_MODEL
from slow_ones import slow_but

import tinygrad_ninja
from tinygrad_ninja.cli.derive import derive_model
from tinygrad_ninja.nn import BatchNorm1d, Embedding, Flatten, Linear, Sequential, Tanh
from tinygrad_ninja.ops import elementwise, linalg, reduction, shape
from tinygrad_ninja.program import derive
from tinygrad_ninja.program.instructions import Instruction, Program, Var
from tinygrad_ninja.program.passes import readable


class Steps:
    """Instructions, written one after the other; each stands in the backward pass of the first."""

    def __init__(self) -> None:
        self.steps: list[Instruction] = []

    def __call__(self, operation: Any, *inputs: Any, **parameters: Any) -> Var:
        step = Instruction(operation, inputs, tuple(parameters.values()), Var(np.zeros(())))
        step.output.value = np.asarray(Program([step], [step.output]).run({})[step.output])
        step.answers = self.steps[0] if self.steps else step
        self.steps.append(step)
        return step.output


A, B = (Var(np.random.default_rng(i).normal(size=(3, 3)) + 3, name) for i, name in enumerate("ab"))
SWAP = (1, 0)
READS: dict[str, tuple[Any, list[str]]] = {
    "(aᵀ)ᵀ": (lambda do: do(shape.permute, do(shape.permute, A, axes=SWAP), axes=SWAP), ["clone"]),
    "(aᵀ b)ᵀ": (
        lambda do: do(
            shape.permute, do(linalg.matmul, do(shape.permute, A, axes=SWAP), B), axes=SWAP
        ),
        ["permute", "matmul"],
    ),
    "a - -b": (lambda do: do(elementwise.sub, A, do(elementwise.neg, B)), ["add"]),
    "-(-a)": (lambda do: do(elementwise.neg, do(elementwise.neg, A)), ["clone"]),
    "a · 1/b": (lambda do: do(elementwise.mul, A, do(elementwise.div, 1, B)), ["div"]),
    "a · b⁻¹": (lambda do: do(elementwise.mul, A, do(elementwise.reciprocal, B)), ["div"]),
    "a / b / b": (lambda do: do(elementwise.div, do(elementwise.div, A, B), B), ["pow", "div"]),
    "a · a": (lambda do: do(elementwise.mul, A, A), ["pow"]),
    "-a · b": (lambda do: do(elementwise.mul, do(elementwise.neg, A), B), ["mul", "neg"]),
    "Σ -a": (
        lambda do: do(reduction.sum, do(elementwise.neg, A), axis=(0,), keepdims=False), ["sum", "neg"],
    ),
    "Σ a / 3": (
        lambda do: do(elementwise.div, do(reduction.sum, A, axis=(0,), keepdims=False), 3.0), ["mean"],
    ),
    "Σ a / 2": (
        lambda do: do(elementwise.div, do(reduction.sum, A, axis=(0,), keepdims=False), 2.0), ["sum", "div"],
    ),
    "two views": (
        lambda do: do(shape.reshape, do(shape.reshape, A, shape=(9,)), shape=(1, 9)), ["reshape"],
    ),
    "3 · (a / (2 · b))": (
        lambda do: do(elementwise.mul, 3.0, do(elementwise.div, A, do(elementwise.mul, 2.0, B))),
        ["div", "mul"],
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", READS)
def test_a_program_reads_as_a_person_writes_it(name: str) -> None:
    write, operations = READS[name]
    do = Steps()
    out = write(do)
    before = list(do.steps)
    after = Program(readable(do.steps, {A, B, out}, set()), [out]).needed()
    assert [step.operation.name for step in after.instructions] == operations
    np.testing.assert_allclose(after.run({})[out], out.value, rtol=1e-12)
    assert do.steps == before


def test_the_readers_own_lines_stay_as_they_are() -> None:
    do = Steps()
    out = do(elementwise.mul, do(elementwise.neg, A), do(elementwise.div, 1, B))
    kept = {step.output for step in do.steps}
    assert [s.operation.name for s in readable(do.steps, {A, B}, kept)] == ["neg", "div", "mul"]
    assert do.steps[-1].output is out


def test_nothing_is_computed_twice() -> None:
    do = Steps()
    first, second = do(elementwise.exp, A), do(elementwise.exp, A)
    out = do(elementwise.add, first, second)
    after = readable(do.steps, {A, B, out}, set())
    assert [step.operation.name for step in after] == ["exp", "add"]
    assert after[-1].inputs == (first, first)


def test_a_named_value_stands_for_no_other_expression_of_the_forward_pass() -> None:
    """Its gradient is that of its own uses, and a check that moves it moves these only."""
    x = tinygrad_ninja.tensor([1.0, 2.0, 3.0], requires_grad=True)
    y = x * x
    text = str(derive((x * x).sum() + (y * y).sum(), names={"x": x, "y": y}))
    assert "loss = (x * x).sum() + (y * y).sum()" in text
    assert "dx += dy * x" in text


@pytest.mark.parametrize("simplify", [False, True])
@pytest.mark.parametrize("model", EVERY_MODEL)
def test_the_models_code_is_that_of_a_person(model: str, simplify: bool) -> None:
    text = derive_model(model, simplify=simplify, batch=4).code("torch").replace("\n    ", " ")
    for ugly in (r"\)\.T$", r"\.T\.T", r"- -", r"-0[ ),]", r"\.reshape\([^()]*\)\.reshape\("):
        assert not re.findall(ugly, text, flags=re.MULTILINE), ugly
    assigned = [line.split(" = ")[1] for line in text.splitlines() if " = " in line and "#" not in line]
    long = [code for code in assigned if len(code) > 30]
    assert len(long) == len(set(long))


NAMED = {
    "lstm": ["xh_2 = torch.cat((emb[:, 1, :], h_1), 1)", "c_2 = f_2 * c_1 + i_2 * ", "f_1 = torch.sigmoid("],
    "rnn": ["h_2 = torch.tanh(cell_xh_to_h_2)"],
    "gpt": [
        "block1_x = x + block1_attention", "block1_attention_masked_scores = ",
        "block1_gelu_cubic = ", "loss = torch.where(ignored, 0.0, -log_probs[range(",
    ],
    "cnn": ["conv1_joined = torch.cat((padding_1, x), 2)"],
    "bow": ["context_block_x = x + shares @ x"],
}  # fmt: skip


@pytest.mark.parametrize("model", slow_but(NAMED, "rnn", "cnn"))
def test_values_are_called_as_in_the_code_that_computes_them(model: str) -> None:
    text = derive_model(model, batch=2).code("torch")
    for line in NAMED[model]:
        assert line in text
    assert not re.findall(r"\b(add|sub|mul|cat|sigmoid|tanh|input|log_softmax)_\d", text)


def test_values_without_a_variable_are_called_by_what_they_are() -> None:
    x, w = (tinygrad_ninja.ones(3, 3, requires_grad=True) for _ in range(2))
    h = tinygrad_ninja.tanh(x @ w + 1)
    text = str(derive((h * h).sum(), names={"x": x, "w": w, "h": h}))
    assert "h = torch.tanh(h_preact)" in text
    d = x - x.mean(0)
    y = d * d.exp()
    assert "y_difference = x - x.mean(0)" in str(derive(y.sum(), names={"x": x, "y": y}))


def test_modules_give_their_names() -> None:
    model = Sequential(
        Embedding(5, 4), Flatten(), Linear(8, 6, bias=False), BatchNorm1d(6), Tanh(), Linear(6, 5), Tanh()
    )
    X = tinygrad_ninja.tensor([[0, 1], [2, 3], [4, 0], [1, 2]])
    loss = (model(X) ** 2).sum()
    derivation = derive(loss, names={"model": model, "X": X})
    assert {
        "embedding", "flatten", "linear1", "batchnorm", "tanh1", "linear2", "tanh2", "embedding_weight",
        "linear1_weight", "batchnorm_weight", "batchnorm_bias", "linear2_weight", "linear2_bias",
    } <= set(derivation.values)  # fmt: skip
    assert "linear1 = flatten @ linear1_weight.T\n" in str(derivation)
    other = Linear(5, 1)
    loss = other(model(X)).sum()
    names = derive(loss, names={"model": model, "other": other}).values
    assert {"other_weight", "model_linear1_weight"} <= set(names)


def test_what_a_modules_own_code_names_has_its_name_in_front() -> None:
    derivation = derive_model("gpt", batch=2, layers=2)
    text = derivation.code("torch")
    assert "block1_attention_q = (block1_norm1.reshape(" in text
    assert "dblock2_attention_v = " in text
    assert "\nblock2 = " in text
    assert "\nh = " not in text  # which every block calls its own


def test_a_name_is_read_as_python_reads_it() -> None:
    x = tinygrad_ninja.tensor([1.0, 2.0], requires_grad=True)
    derivation = derive((x * x).sum(), names={"ﬁx": x, "µ": x * 1})
    assert "fix" in derivation.values
    exec(derivation.source("numpy"), {})
