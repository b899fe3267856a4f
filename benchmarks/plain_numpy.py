"""The lecture's step as plain NumPy lines, forward and backward written by hand, one line per operation."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np


def numpy_step(
    weights: list[Any], X: Any, Y: Any, batch: int, rate: float
) -> tuple[Callable[[], Any], Callable[[], list[Any]]]:
    """Return the step, which updates `weights` in place, and a function that returns the last step's
    gradients."""
    C, W1, b1, W2, b2, bngain, bnbias = weights
    rng = np.random.default_rng(1)
    first = np.random.RandomState(2147483647)  # the words of PyTorch's generator, for the same first batch
    first_batch = [first.randint(0, 2**32, batch, dtype=np.uint32).astype(np.int64) % len(X)]
    n = batch
    rows = np.arange(n)
    gradients: list[Any] = []

    def step() -> Any:
        """Take one step of gradient descent and return the loss before it."""
        ix = first_batch.pop() if first_batch else rng.integers(0, len(X), n)
        Xb, Yb = X[ix], Y[ix]
        emb = C[Xb]
        embcat = emb.reshape(n, -1)
        hprebn = embcat @ W1 + b1
        bnmeani = 1 / n * hprebn.sum(0, keepdims=True)
        bndiff = hprebn - bnmeani
        bndiff2 = bndiff**2
        bnvar = 1 / (n - 1) * bndiff2.sum(0, keepdims=True)
        bnvar_inv = (bnvar + 1e-5) ** -0.5
        bnraw = bndiff * bnvar_inv
        hpreact = bngain * bnraw + bnbias
        h = np.tanh(hpreact)
        logits = h @ W2 + b2
        logit_maxes = logits.max(1, keepdims=True)
        norm_logits = logits - logit_maxes
        counts = np.exp(norm_logits)
        counts_sum = counts.sum(1, keepdims=True)
        counts_sum_inv = counts_sum**-1
        probs = counts * counts_sum_inv
        logprobs = np.log(probs)
        loss = -logprobs[rows, Yb].mean()

        dlogprobs = np.zeros_like(logprobs)
        dlogprobs[rows, Yb] = -1 / n
        dprobs = dlogprobs / probs
        dcounts_sum_inv = (counts * dprobs).sum(1, keepdims=True)
        dcounts = counts_sum_inv * dprobs
        dcounts_sum = -(counts_sum**-2) * dcounts_sum_inv
        dcounts = dcounts + dcounts_sum
        dnorm_logits = counts * dcounts
        dlogit_maxes = (-dnorm_logits).sum(1)
        dlogits = dnorm_logits.copy()
        dlogits[rows, logits.argmax(1)] += dlogit_maxes
        dh = dlogits @ W2.T
        dW2 = h.T @ dlogits
        db2 = dlogits.sum(0)
        dhpreact = (1 - h**2) * dh
        dbngain = (bnraw * dhpreact).sum(0, keepdims=True)
        dbnbias = dhpreact.sum(0, keepdims=True)
        dbnraw = bngain * dhpreact
        dbnvar_inv = (bndiff * dbnraw).sum(0, keepdims=True)
        dbndiff = bnvar_inv * dbnraw
        dbnvar = -0.5 * (bnvar + 1e-5) ** -1.5 * dbnvar_inv
        dbndiff2 = 1 / (n - 1) * dbnvar
        dbndiff = dbndiff + 2 * bndiff * dbndiff2
        dbnmeani = -dbndiff.sum(0, keepdims=True)
        dhprebn = dbndiff + 1 / n * dbnmeani
        dembcat = dhprebn @ W1.T
        dW1 = embcat.T @ dhprebn
        db1 = dhprebn.sum(0)
        dC = np.zeros_like(C)
        np.add.at(dC, Xb, dembcat.reshape(emb.shape))

        gradients[:] = [dC, dW1, db1, dW2, db2, dbngain, dbnbias]
        for p, dp in zip(weights, gradients, strict=True):
            p += -rate * dp
        return loss

    return step, lambda: gradients
