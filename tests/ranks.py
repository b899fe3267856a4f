"""What each of several processes does for test_distributed.py, which starts it with torchrun's variables and
compares what it writes with one process that has all examples."""

import sys
from pathlib import Path
from typing import Any

import numpy as np

import tinygrad_ninja
from tinygrad_ninja import Generator, Tensor, from_numpy
from tinygrad_ninja.distributed import Gradients, Ranks, process_group
from tinygrad_ninja.makemore.data import Vocabulary, read_words
from tinygrad_ninja.makemore.models import MODELS, Model
from tinygrad_ninja.makemore.parallel import ParallelTraining
from tinygrad_ninja.makemore.settings import Settings
from tinygrad_ninja.makemore.training import count_targets

WORDS = read_words()[:200]
VOCABULARY = Vocabulary(WORDS)
SIZES = {"embedding": 8, "hidden": 12, "layers": 2, "heads": 2}
ROWS = 31  # which the ranks share unevenly
EXAMPLES, STEPS = 40, 100  # so many that a training sees all of them


def built(name: str, device: str) -> Model:
    """A small model, in double precision on NumPy arrays."""
    tinygrad_ninja.set_default_dtype(tinygrad_ninja.float64 if device == "cpu" else tinygrad_ninja.float32)
    sizes: dict[str, Any] = {key: value for key, value in SIZES.items() if getattr(MODELS[name].recipe, key)}
    model = Settings.of(name, **sizes, dropout=0.0).build(len(VOCABULARY), Generator().manual_seed(1))
    return model.to(device)


def examples(model: Model, device: str) -> tuple[Tensor, Tensor]:
    X, Y = model.examples(WORDS, VOCABULARY, model.context)
    return from_numpy(X[:ROWS]).to(device), from_numpy(Y[:ROWS]).to(device)


def result(model: Model) -> dict[str, np.ndarray]:
    """The gradients and the buffers, which are running statistics."""
    gradients = {name: p.grad for name, p in model.named_parameters() if p.grad is not None}
    found = {**gradients, **dict(model.named_buffers())}
    return {name: tensor.to("cpu").numpy() for name, tensor in found.items()}


def gradients_of(ranks: Ranks, name: str, device: str) -> dict[str, np.ndarray]:
    model = built(name, device)
    model.synchronize(ranks)
    X, Y = (each[ranks.rank :: ranks.size] for each in examples(model, device))
    averaged = Gradients(model.parameters(), ranks, bucket_bytes=2000)
    averaged.backward(model.loss(X, Y), count_targets(Y))  # and once more, in the same buckets
    model.zero_grad()
    for buffer in model.buffers():
        buffer.zero_()
    loss = averaged.backward(model.loss(X, Y), count_targets(Y))[0]
    return result(model) | {"loss": np.array(loss)}


def events(ranks: Ranks) -> list[str]:
    """What happens in the course of a backward: a bucket is sent, or the first layer's output is reached."""
    model, log = built("deep", "cpu"), []
    first = model.layers[2]
    forward = first.forward

    def watched(x: Tensor) -> Tensor:
        out = forward(x)
        out.register_hook(lambda grad: log.append("first layer"))
        return out

    first.forward = watched
    averaged = Gradients(model.parameters(), ranks, bucket_bytes=2000)
    start = ranks.start_sum
    ranks.start_sum = lambda array: log.append("sent") or start(array)  # type: ignore[method-assign]
    X, Y = examples(model, "cpu")
    averaged.backward(model.loss(X, Y), ROWS)
    ranks.start_sum = start  # type: ignore[method-assign]
    return log


def draws(ranks: Ranks) -> dict[str, np.ndarray]:
    """The numbers of the examples that a training sees in its steps, and in the first of them."""
    tinygrad_ninja.set_default_dtype(tinygrad_ninja.float32)
    settings = Settings.of("mlp", hidden=8, batch=7, context=2, steps=STEPS)
    numbers = np.arange(EXAMPLES)
    X = from_numpy(np.stack(np.divmod(numbers, 10), 1))  # a number's digits are the letters of its example
    Y = from_numpy(numbers % 10)
    generator = Generator().manual_seed(1)
    model = settings.build(len(VOCABULARY), generator)
    training = ParallelTraining(model, settings, generator, (X, Y), (X, Y), ranks)
    batches: list[np.ndarray] = []
    model.register_forward_pre_hook(lambda _, inputs: batches.append(inputs[0].numpy() @ (10, 1)))
    for _ in training.run():
        pass
    return {"seen": np.unique(np.concatenate(batches)), "first": batches[0]}


def main(folder: Path) -> None:
    with process_group("cpu") as ranks:
        found: dict[str, Any] = {}
        for device in ("cpu", "torch"):
            for name in MODELS:
                gradients = gradients_of(ranks, name, device)
                found |= {f"{device}/{name}/{key}": each for key, each in gradients.items()}
        found["events"] = np.array(events(ranks))
        found |= draws(ranks)
        np.savez(folder / f"{ranks.rank}.npz", **found)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
