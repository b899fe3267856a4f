"""Karpathy's public programs, which were written for PyTorch, run beside PyTorch: the same losses to 1e-4,
the same texts. They are no part of this project: CONTRIBUTING.md says where the tests look for them."""

import json
import os
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from textwrap import dedent

import numpy as np
import pytest
from lecture_list import LECTURE_LIST
from unchanged_programs import assert_same_prints, lines, under

from tinygrad_ninja import Generator, from_numpy
from tinygrad_ninja.makemore.models import MODELS

FOLDER = Path(os.environ.get("ZERO_TO_HERO", "absent"))

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not FOLDER.is_dir(),
        reason="ZERO_TO_HERO names no folder with clones of the programs: see CONTRIBUTING.md",
    ),
]

PRINTED = "loss.backward(); print(f'{loss.item():.8f}')"


@dataclass(frozen=True)
class Run:
    """A program, what it is started with, and what is written in the place of what in a copy of it: fewer
    steps, smaller sizes, more digits."""

    repository: str
    file: str
    arguments: tuple[str, ...] = ()
    changed: Mapping[str, str] = field(default_factory=dict)
    without: str = ""
    """A pattern: the cells of a notebook that have it are left out."""
    driver: str = ""
    """A program of ours that is to stand in `file`, and uses the repository's modules."""
    losses: int = 0
    """How many numbers it prints at least."""

    def copy(self, folder: Path) -> Path:
        """Copy the repository into a folder, and return the program's path there, changed as said."""
        source = FOLDER / self.repository
        if not source.is_dir():
            pytest.skip(f"ZERO_TO_HERO has no {self.repository}")
        copy = shutil.copytree(source, folder / self.repository, ignore=shutil.ignore_patterns(".git"))
        path = copy / self.file
        if LECTURE_LIST.exists():
            shutil.copy(LECTURE_LIST, path.parent / "names.txt")
        text = dedent(self.driver) or path.read_text(encoding="utf-8")
        if path.suffix == ".ipynb":
            book = json.loads(text)
            sources = ["".join(cell["source"]) for cell in book["cells"] if cell["cell_type"] == "code"]
            sources = [
                self.rewritten(x) for x in sources if not (self.without and re.search(self.without, x))
            ]
            cells = [{"cell_type": "code", "source": [source]} for source in sources]
            text = json.dumps({"cells": cells, "nbformat": 4})
            original = "\n".join("".join(cell["source"]) for cell in book["cells"])
        else:
            original, text = text, self.rewritten(text)
        assert all(old in original for old in self.changed), f"{self.file} is another than it was"
        path.write_text(text, encoding="utf-8")
        return path

    def rewritten(self, text: str) -> str:
        for old, new in self.changed.items():
            text = text.replace(old, new)
        return text


def check(program: Run, folder: Path) -> None:
    """Compare what the program prints under PyTorch with what it prints under the engine, word by word."""
    printed = []
    for engine in ("torch", "engine"):
        path = program.copy(folder / engine)
        modules = folder / engine / program.repository
        printed.append(lines(under(engine, path, *program.arguments, modules=modules)))
    assert_same_prints(*printed, program.losses)


MAKEMORE = {
    "step % 10 == 0": "True",
    "{loss.item():.4f}": "{loss.item():.8f}",
    "step % 500 == 0": "step % 100 == 0",
    "step % 200 == 0": "step % 100 == 0",
    "max_batches=10)": "max_batches=3)",
}


@pytest.mark.parametrize("model", ["transformer", "rnn", "gru", "bow", "mlp", "bigram"])
def test_makemore(model: str, tmp_path: Path) -> None:
    arguments = ("--type", model, "--max-steps", "101")
    check(Run("makemore", "makemore.py", arguments, MAKEMORE, losses=101), tmp_path)


def test_makemore_goes_on_from_its_file(tmp_path: Path) -> None:
    """`torch.save` and `torch.load`, and a sample of the likeliest letters alone."""
    program = Run("makemore", "makemore.py")
    path = program.copy(tmp_path)
    small = ("--type", "gru", "--n-embd2", "16")
    trained = under("engine", path, *small, "--max-steps", "501")
    assert "saving model to out/model.pt" in trained.stdout, trained.stderr
    sampled = under("engine", path, *small, "--sample-only", "--top-k", "5")
    assert "resuming from existing model" in sampled.stdout, sampled.stderr
    assert len(sampled.stdout.splitlines()) > 50


@pytest.mark.parametrize(("model", "theirs"), [("bow", "BoW"), ("rnn", "RNN"), ("gru", "RNN")])
def test_the_models_that_are_offered_are_makemores(model: str, theirs: str, tmp_path: Path) -> None:
    """Its names of parameters, its numbers in them for a seed, and its logits."""
    cell = "" if model == "bow" else f", cell_type={model!r}"
    program = f"""
    import numpy as np, torch
    from makemore import {theirs}, ModelConfig

    torch.manual_seed(3407)
    model = {theirs}(ModelConfig(vocab_size=27, block_size=16){cell})
    X = torch.randint(0, 27, (4, 16))
    logits = model(X)[0]
    arrays = {{name: p.detach().numpy() for name, p in model.named_parameters()}}
    np.savez("theirs.npz", **arrays, X=X.numpy(), logits=logits.detach().numpy())
    """
    path = Run("makemore", "driver.py", driver=program).copy(tmp_path)
    lines(under("torch", path))
    arrays = dict(np.load(path.parent / "theirs.npz"))
    X, logits = from_numpy(arrays.pop("X")), arrays.pop("logits")
    ours = MODELS[model](27, MODELS[model].recipe, Generator().manual_seed(3407))
    parameters = {name: parameter.detach().numpy() for name, parameter in ours.named_parameters()}
    assert list(parameters) == list(arrays)
    for name, array in arrays.items():
        np.testing.assert_allclose(parameters[name], array, rtol=0, atol=1e-7, err_msg=name)
    np.testing.assert_allclose(ours(X).detach().numpy(), logits, rtol=0, atol=1e-5)


VIDEO = {"max_iters = ": "max_iters = 101 #", "eval_iters = ": "eval_iters = 5 #", "loss.backward()": PRINTED}
SMALL = {
    "batch_size = 64": "batch_size = 8",
    "block_size = 256": "block_size = 32",
    "n_embd = 384": "n_embd = 48",
    "n_layer = 6": "n_layer = 2",
}


@pytest.mark.parametrize("file", ["bigram.py", "gpt.py"])
def test_lets_build_gpt(file: str, tmp_path: Path) -> None:
    changed = VIDEO | (SMALL if file == "gpt.py" else {})
    check(Run("ng-video-lecture", file, changed=changed, losses=101), tmp_path)


SEEDED = {"import matplotlib": "import torch; torch.manual_seed(1337); import matplotlib"}
"""They draw before they have seeded."""
SHORT = {"i % 10000 == 0": "i % 10000 < 100", "{loss.item():.4f}": "{loss.item():.8f}"}
STEPS = "max_steps = 200000"
PARTS = {
    "1_bigrams": ({"range(1)": "range(100)"}, r"^P\.s"),
    "2_mlp": (
        {"range(200000)": "range(101)", "  #print(loss.item())": "  print(loss.item())"},
        r"arange\(32\)",
    ),
    "3_bn": ({STEPS: "max_steps = 101", **SHORT}, "ipywidgets"),
    "4_backprop": ({STEPS: "max_steps = 101", **SHORT}, ""),
    "5_cnn1": ({STEPS: "max_steps = 1000", **SHORT}, ""),
}
"""The first shows the shape of a variable that is not there yet, a line of the second is of an earlier batch,
and one cell of the third is a widget to move."""


@pytest.mark.parametrize("part", PARTS)
def test_the_notebooks_of_makemore(part: str, tmp_path: Path) -> None:
    changed, without = PARTS[part]
    file = f"lectures/makemore/makemore_part{part}.ipynb"
    check(Run("nn-zero-to-hero", file, (), SEEDED | changed, without, losses=100), tmp_path)


@pytest.mark.parametrize("half", ["first", "second"])
def test_the_notebooks_of_micrograd(half: str, tmp_path: Path) -> None:
    file = f"lectures/micrograd/micrograd_lecture_{half}_half_roughly.ipynb"
    # The order of objects in a set is another in each process.
    changed = {"= set(_children)": "= tuple(dict.fromkeys(_children))"}
    if half == "second":
        changed["import random"] = "import random; random.seed(1337)"
    check(Run("nn-zero-to-hero", file, changed=changed, losses=4), tmp_path)


def test_micrograds_own_test(tmp_path: Path) -> None:
    """It compares micrograd with "PyTorch"."""
    tests = """
        import torch
        from test_engine import test_more_ops, test_sanity_check

        test_sanity_check()
        test_more_ops()
        print(torch.__name__)
    """
    path = Run("micrograd", "test/driver.py", driver=tests).copy(tmp_path)
    assert lines(under("engine", path, modules=tmp_path / "micrograd")) == ["tinygrad_ninja"]


def test_the_multilayer_perceptron(tmp_path: Path) -> None:
    changed = {
        "num_steps = 50000": "num_steps = 101",
        "step % 200 == 0": "step % 1 == 0",
        "max_batches=20": "max_batches=2",
        "eval_split(model, val_tokens)": "eval_split(model, val_tokens, 2)",
        "eval_split(model, test_tokens)": "eval_split(model, test_tokens, 2)",
    }
    check(Run("mlp", "mlp_pytorch.py", changed=changed, losses=303), tmp_path)


ADDER = {
    "trainer.iter_num % 10 == 0": "True",
    "{trainer.loss.item():.5f}": "{trainer.loss.item():.8f}",
    "{1: None, 2: None, 3: 5}[config.data.ndigit]": "5",
    "max_batches=None)\n            score": "max_batches=5)\n            score",
}


def test_mingpt_adds(tmp_path: Path) -> None:
    """Its trainer, its model, and its greedy generation."""
    arguments = ("--trainer.max_iters=101",)
    check(Run("minGPT", "projects/adder/adder.py", arguments, ADDER, losses=101), tmp_path)


MODEL = """
    g = torch.Generator().manual_seed(5)
    print(sum(p.numel() for p in model.parameters()), *(len(x["params"]) for x in optimizer.param_groups))
    text = torch.randint(0, 11, (200,), generator=g)
    for k in range(100):
        ix = torch.randint(0, 180, (6,), generator=g).tolist()
        x, y = (torch.stack([text[i + d : i + d + 16] for i in ix]) for d in (0, 1))
        logits, loss = model(x, y)
        model.zero_grad(set_to_none=True)
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        print(f"{loss.item():.8f} {norm.item():.6f}")
        optimizer.step()
    model.eval()
    print(model(x)[0].shape, *(f"{v:.6f}" for v in model(x, y)[0][0, -1].tolist()))
    start = torch.zeros((2, 1), dtype=torch.long)
    for settings in ({}, {"temperature": 0.8, "top_k": 3}):
        print(model.generate(start, 40, **sampled, **settings).tolist())
"""


def test_mingpts_model(tmp_path: Path) -> None:
    start = """
    import torch
    from mingpt.model import GPT
    from mingpt.utils import CfgNode, set_seed

    set_seed(7)
    config = GPT.get_default_config()
    sizes = dict(n_layer=2, n_head=2, n_embd=24, vocab_size=11, block_size=16)
    config.merge_from_dict({"model_type": None, **sizes})
    model, sampled = GPT(config), {"do_sample": True}
    settings = CfgNode(weight_decay=0.1, learning_rate=3e-3, betas=(0.9, 0.95))
    optimizer = model.configure_optimizers(settings)
    """
    check(Run("minGPT", "driver.py", driver=start + MODEL, losses=200), tmp_path)


@pytest.mark.parametrize("bias", [True, False])
def test_nanogpts_model(bias: bool, tmp_path: Path) -> None:
    start = f"""
    import torch
    from model import GPT, GPTConfig

    torch.manual_seed(9)
    model, sampled = GPT(GPTConfig(16, 11, 2, 2, 24, dropout=0.1, bias={bias})), {{}}
    optimizer = model.configure_optimizers(0.1, 3e-3, (0.9, 0.95), "cpu")
    """
    check(Run("nanoGPT", "driver.py", driver=start + MODEL, losses=200), tmp_path)
