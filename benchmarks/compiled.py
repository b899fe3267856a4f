"""The time of the lecture's whole training step, compiled, beside PyTorch and every peer that is installed.

    python benchmarks/compiled.py [--seconds 10]

A step draws a batch, runs the expanded forward pass, goes backward to seven parameters and updates them. The
contenders: `tinygrad_ninja.compile`, PyTorch eager and `torch.compile`, `jax.jit` and a loop inside
`lax.scan` (its time divided by its steps), tinygrad's `TinyJit`, HIPS autograd and MyGrad. Those that are not
installed, or do not run here, are named and left out. Every contender's gradients are checked against float64
before it is timed; rounds are interleaved in one process and one thread; the medians and their ratios to
PyTorch eager are printed.
"""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable
from typing import Any

for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[_name] = "1"  # before NumPy and torch are loaded
os.environ.setdefault("XLA_FLAGS", "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1")
os.environ.setdefault("JAX_PLATFORMS", "cpu")

import numpy as np  # noqa: E402
import torch  # noqa: E402
from eager import CASES, RATE, ROWS, begin, compare, dataset, lecture_step, parameters, repeats, time_step  # noqa: E402

import tinygrad_ninja  # noqa: E402

Contender = tuple[Callable[[], Any], list[Any], int]
"""A function that does some steps, the gradients after the very first, and how many steps it does."""

SCANNED = 20


def largest(x: Any) -> Any:
    """Return the largest element of each row, with its dimension kept."""
    return x.max(1, keepdims=True)


def total(x: Any, axis: int) -> Any:
    """Return the sum along an axis, with its dimension kept."""
    return x.sum(axis, keepdims=True)


def formula(
    xp: Any,
    weights: Any,
    X: Any,
    onehot: Any,
    n: int,
    take: Callable[[Any, Any], Any],
    largest: Any = largest,
    total: Any = total,
) -> Any:
    """Return the lecture's loss, in the functions that NumPy and its kin share.

    take(C, X): the rows of C at X; largest and total: those of each row, and along an axis, with the
    dimension kept.
    """
    C, W1, b1, W2, b2, bngain, bnbias = weights
    hprebn = take(C, X).reshape((n, -1)) @ W1 + b1
    bndiff = hprebn - 1 / n * total(hprebn, 0)
    bnvar = 1 / (n - 1) * total(bndiff**2, 0)
    h = xp.tanh(bngain * (bndiff * (bnvar + 1e-5) ** -0.5) + bnbias)
    logits = h @ W2 + b2
    counts = xp.exp(logits - largest(logits))
    probs = counts * total(counts, 1) ** -1
    return -(xp.log(probs) * onehot).sum() / n


def first_batch(batch: int, device: str = "cpu") -> Any:
    """Return the rows that PyTorch's generator draws first on that device."""
    g = torch.Generator(device).manual_seed(2147483647)
    return torch.randint(0, ROWS, (batch,), generator=g, device=device).cpu().numpy()


def of_engine(module: Any, wrap: Callable[[Any], Any]) -> Callable[[int, int], Contender]:
    """Return a contender that runs the lecture's lines themselves."""

    def make(batch: int, hidden: int) -> Contender:
        """Return the step, its first gradients and 1 step per call."""
        step, weights = lecture_step(module, batch, hidden)
        step = wrap(step)
        step()
        return step, [p.grad.numpy().copy() for p in weights], 1

    return make


def torch_compile_contender(mode: str | None = None, device: str = "cpu") -> Callable[[int, int], Contender]:
    """Return torch.compile as a contender.

    The draw is outside, and the update under no_grad, since the lecture's own lines for these fail.
    """

    def make(batch: int, hidden: int) -> Contender:
        X, Y = (torch.tensor(array, device=device) for array in dataset())
        weights = [torch.tensor(array, requires_grad=True, device=device) for array in parameters(hidden)]
        g = torch.Generator(device).manual_seed(2147483647)
        for tensor in (X, Y, *weights):  # a CUDA graph changes them in place
            torch._dynamo.mark_static_address(tensor)

        @torch.compile(mode=mode)
        def update(ix: Any) -> Any:
            onehot = torch.nn.functional.one_hot(Y[ix], 27).float()
            rows = X[ix]
            loss = formula(
                torch, weights, rows, onehot, batch, lambda C, X: C[X], lambda x: x.amax(1, keepdim=True)
            )
            grads = torch.autograd.grad(loss, weights)
            with torch.no_grad():
                for p, grad in zip(weights, grads, strict=True):
                    p -= RATE * grad
            return grads

        def step() -> Any:
            return update(torch.randint(0, ROWS, (batch,), generator=g, device=device))

        return step, [grad.cpu().numpy().copy() for grad in step()], 1

    return make


def jax_contender(scanned: bool, wait: bool = True, device: str = "cpu") -> Callable[[int, int], Contender]:
    """Return jax as a contender; wait: for the device, at the end of every step; device: where PyTorch draws
    the first batch."""
    import jax
    import jax.numpy as jnp

    def make(batch: int, hidden: int) -> Contender:
        X, Y = (jnp.asarray(array) for array in dataset())
        weights = [jnp.asarray(array) for array in parameters(hidden)]

        def loss(weights: Any, ix: Any) -> Any:
            onehot = jax.nn.one_hot(Y[ix], 27)
            return formula(jnp, weights, X[ix], onehot, batch, lambda C, X: C[X])

        def update(state: Any, _: Any) -> Any:
            weights, key = state
            key, batch_key = jax.random.split(key)
            ix = jax.random.randint(batch_key, (batch,), 0, ROWS)
            value, grads = jax.value_and_grad(loss)(weights, ix)
            return ([p - RATE * g for p, g in zip(weights, grads, strict=True)], key), value

        gradients = [
            np.asarray(grad) for grad in jax.grad(loss)(weights, jnp.asarray(first_batch(batch, device)))
        ]
        run = jax.jit(
            lambda state: jax.lax.scan(update, state, None, SCANNED) if scanned else update(state, None)
        )
        state = [(weights, jax.random.key(0))]

        def step() -> Any:
            state[0], value = run(state[0])
            return value.block_until_ready() if wait else value

        step()
        return step, gradients, SCANNED if scanned else 1

    return make


def tinygrad_contender() -> Callable[[int, int], Contender]:
    """Return tinygrad's TinyJit as a contender."""
    from tinygrad import Tensor, TinyJit

    def make(batch: int, hidden: int) -> Contender:
        X, Y = (Tensor(array.astype(np.int32)) for array in dataset())
        weights = [Tensor(array) for array in parameters(hidden)]

        def update(ix: Any) -> Any:
            onehot = Y[ix].one_hot(27).float()
            loss = formula(
                _TensorFunctions, weights, X[ix], onehot, batch, lambda C, X: C[X],
                lambda x: x.max(1, keepdim=True), lambda x, axis: x.sum(axis, keepdim=True),
            )  # fmt: skip
            grads = loss.gradient(*weights)
            for p, g in zip(weights, grads, strict=True):
                p.assign(p.detach() - RATE * g)
            return [tensor.realize() for tensor in (loss, *grads, *weights)]

        gradients = [grad.numpy() for grad in update(Tensor(first_batch(batch).astype(np.int32)))[1:8]]

        @TinyJit
        def jitted() -> Any:
            return update(Tensor.randint(batch, high=ROWS))

        def step() -> None:
            jitted()[0].numpy()

        for _ in range(3):
            step()
        return step, gradients, 1

    return make


class _TensorFunctions:
    """tinygrad's methods as functions."""

    @staticmethod
    def tanh(x: Any) -> Any:
        """Return tanh x."""
        return x.tanh()

    @staticmethod
    def exp(x: Any) -> Any:
        """Return eˣ."""
        return x.exp()

    @staticmethod
    def log(x: Any) -> Any:
        """Return the natural logarithm of x."""
        return x.log()


def numpy_like(gradients_of: Callable[[Any, Any, Any], Any]) -> Callable[[int, int], Contender]:
    """Return a contender that works on NumPy arrays: gradients_of(parameters, letters, one-hot targets)."""

    def make(batch: int, hidden: int) -> Contender:
        X, Y = dataset()
        weights, identity = parameters(hidden), np.eye(27, dtype=np.float32)
        rng = np.random.default_rng(0)

        def update(ix: Any) -> Any:
            gradients = gradients_of(weights, X[ix], identity[Y[ix]])
            for p, g in zip(weights, gradients, strict=True):
                p -= np.float32(RATE) * g
            return gradients

        first = [np.array(gradient) for gradient in update(first_batch(batch))]
        return lambda: update(rng.integers(0, ROWS, batch)), first, 1

    return make


def autograd_contender() -> Callable[[int, int], Contender]:
    """Return HIPS autograd as a contender."""
    import autograd.numpy as anp
    from autograd import grad

    return numpy_like(
        grad(lambda weights, X, onehot: formula(anp, weights, X, onehot, len(X), lambda C, X: C[X]))
    )


def mygrad_contender() -> Callable[[int, int], Contender]:
    """Return MyGrad as a contender."""
    import mygrad

    def gradients(weights: Any, X: Any, onehot: Any) -> Any:
        tensors = [mygrad.tensor(array) for array in weights]
        formula(mygrad, tensors, X, onehot, len(X), lambda C, X: C[X]).backward()
        return [tensor.grad for tensor in tensors]

    return numpy_like(gradients)


CONTENDERS: dict[str, Callable[[], Callable[[int, int], Contender]]] = {
    "torch": lambda: of_engine(torch, lambda step: step),
    "tinygrad_ninja": lambda: of_engine(
        tinygrad_ninja, lambda step: tinygrad_ninja.compile(step, fullgraph=True)
    ),
    "torch.compile": torch_compile_contender,
    "jax.jit": lambda: jax_contender(False),
    "jax lax.scan": lambda: jax_contender(True),
    "tinygrad TinyJit": tinygrad_contender,
    "autograd": autograd_contender,
    "mygrad": mygrad_contender,
}


def measure(batch: int, hidden: int, seconds: float) -> tuple[dict[str, float], dict[str, str]]:
    """Return the median time of a step in microseconds by contender, and why others are left out."""
    step, weights = lecture_step(torch, batch, hidden, np.float64)
    step()
    truth = [p.grad.numpy() for p in weights]
    running: dict[str, Contender] = {}
    absent: dict[str, str] = {}
    for name, make in CONTENDERS.items():
        try:
            running[name] = make()(batch, hidden)
        except Exception as error:  # any: a peer that does not run here must not stop the others
            absent[name] = f"{type(error).__name__}: {error}".split("\n")[0][:100]
            continue
        compare(name, truth, running[name][1])
    times: dict[str, list[float]] = {name: [] for name in running}
    repeat = {name: repeats(step, 20_000) for name, (step, _, _) in running.items()}
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        for name, (step, _, steps) in running.items():
            times[name].append(time_step(step, repeat[name]) / steps)
    return {name: statistics.median(rounds) for name, rounds in times.items()}, absent


def main() -> None:
    """Print the times of every case."""
    seconds = begin(__doc__)
    print(f"{'batch × hidden':>16}  {'contender':<18}{'time':>14}{'ratio':>9}")
    for label, (batch, hidden) in CASES.items():
        times, absent = measure(batch, hidden, seconds)
        for name, time_of_step in times.items():
            print(f"{label:>16}  {name:<18}{time_of_step:>11,.1f} µs{time_of_step / times['torch']:>9.3f}")
        for name, why in absent.items():
            print(f"{label:>16}  {name:<18}left out: {why}")
        print(flush=True)


if __name__ == "__main__":
    main()
