"""The lecture's own classes, micrograd's loop and nanoGPT's batches, compiled."""

from typing import Any

import numpy as np
import pytest
from contract import compiled, refused, same

import tinygrad_ninja as torch
from tinygrad_ninja import nn
from tinygrad_ninja.nn import functional as F

# -- the lecture's, micrograd's and nanoGPT's own ------------------------------------------------------------


class Linear:
    """The lecture's."""

    def __init__(self, fan_in: int, fan_out: int, bias: bool = True) -> None:
        self.weight = torch.randn((fan_in, fan_out)) / fan_in**0.5
        self.bias = torch.zeros(fan_out) if bias else None

    def __call__(self, x: Any) -> Any:
        self.out = x @ self.weight
        if self.bias is not None:
            self.out = self.out + self.bias
        return self.out

    def parameters(self) -> list[Any]:
        return [self.weight] + ([] if self.bias is None else [self.bias])


class BatchNorm1d:
    """The lecture's: its running buffers are plain attributes, bound anew in every call."""

    def __init__(self, dim: int, eps: float = 1e-5, momentum: float = 0.1) -> None:
        self.eps, self.momentum, self.training = eps, momentum, True
        self.gamma, self.beta = torch.ones(dim), torch.zeros(dim)
        self.running_mean, self.running_var = torch.zeros(dim), torch.ones(dim)

    def __call__(self, x: Any) -> Any:
        if self.training:
            xmean, xvar = x.mean(0, keepdim=True), x.var(0, keepdim=True)
        else:
            xmean, xvar = self.running_mean, self.running_var
        xhat = (x - xmean) / torch.sqrt(xvar + self.eps)
        self.out = self.gamma * xhat + self.beta
        if self.training:
            with torch.no_grad():
                self.running_mean = (1 - self.momentum) * self.running_mean + self.momentum * xmean
                self.running_var = (1 - self.momentum) * self.running_var + self.momentum * xvar
        return self.out

    def parameters(self) -> list[Any]:
        return [self.gamma, self.beta]


class Tanh:
    """The lecture's."""

    def __call__(self, x: Any) -> Any:
        self.out = torch.tanh(x)
        return self.out

    def parameters(self) -> list[Any]:
        return []


@pytest.mark.parametrize("retain", [False, True])
@pytest.mark.parametrize("extras", [False, True])
@same
def test_the_lectures_own_classes(C: Any, retain: bool, extras: bool) -> Any:
    g = torch.Generator().manual_seed(2147483647)
    table, Xtr, Ytr = (
        torch.randn((7, 2), generator=g),
        torch.randint(0, 7, (40, 3), generator=g),
        torch.arange(40) % 7,
    )
    layers: list[Any] = [
        Linear(6, 5, bias=False),
        BatchNorm1d(5),
        Tanh(),
        Linear(5, 7, bias=False),
        BatchNorm1d(7),
    ]
    parameters = [table] + [p for layer in layers for p in layer.parameters()]
    for p in parameters:
        p.requires_grad = True
    losses: list[Any] = []
    ud: list[Any] = []

    def step(i: int) -> Any:
        ix = torch.randint(0, Xtr.shape[0], (8,), generator=g)
        x = table[Xtr[ix]].view(8, -1)
        for layer in layers:
            x = layer(x)
        loss = F.cross_entropy(x, Ytr[ix])
        if retain:
            for layer in layers:
                layer.out.retain_grad()
        for p in parameters:
            p.grad = None
        loss.backward()
        lr = 0.1 if i < 3 else 0.01
        for p in parameters:
            p.data += -lr * p.grad
        if extras:
            losses.append(loss.log10().item())
            with torch.no_grad():
                ud.append([(lr * p.grad.std() / p.data.std()).log10().item() for p in parameters])
        return loss

    step = C(step)
    for i in range(6):
        yield step(i).item(), parameters, layers, losses, ud, g
        if retain:
            yield [layer.out.grad for layer in layers]
    for layer in layers:
        layer.training = False
    yield step(6).item(), layers


@refused("losses|item|list|changes")
def test_the_lectures_list_of_losses(C: Any) -> Any:
    W, xs, ys = torch.randn((5, 5), requires_grad=True), torch.arange(5), torch.tensor([1, 2, 3, 4, 0])
    losses: list[float] = []

    def step() -> None:
        loss = F.cross_entropy(W[xs], ys)
        W.grad = None
        loss.backward()
        W.data += -1.0 * W.grad
        losses.append(loss.item())

    step = C(step)
    for _ in range(6):
        yield step(), W, losses


@same
def test_the_lectures_bigram(C: Any) -> Any:
    g = torch.Generator().manual_seed(2147483647)
    W = torch.randn((5, 5), generator=g, requires_grad=True)
    xs, ys, num = torch.arange(5), torch.tensor([1, 2, 3, 4, 0]), 5

    def step() -> Any:
        xenc = F.one_hot(xs, num_classes=5).float()
        counts = (xenc @ W).exp()
        probs = counts / counts.sum(1, keepdims=True)
        loss = -probs[torch.arange(num), ys].log().mean() + 0.01 * (W**2).mean()
        W.grad = None
        loss.backward()
        W.data += -50 * W.grad
        return loss

    step = C(step)
    for _ in range(6):
        yield step(), W


@same
def test_micrograds_loop(C: Any) -> Any:
    from tinygrad_ninja.micrograd import MLP

    model = MLP(2, [3, 1])
    points, targets = [[2.0, 3.0], [3.0, -1.0], [0.5, 1.0]], [1.0, -1.0, 1.0]

    def step(lr: float) -> Any:
        scores = [model(x) for x in points]
        loss = sum((score - target) ** 2 for score, target in zip(scores, targets, strict=True))
        model.zero_grad()
        loss.backward()
        for p in model.parameters():
            p.data -= lr * p.grad
        return loss

    step = C(step)
    for k in range(6):
        yield step(0.05 / (k + 1)).data, [(p.data, p.grad) for p in model.parameters()]
        if k == 2:
            points[0][0] = -2.0
        if k == 3:
            model.parameters()[0].data = 1.0


@same
def test_values_that_are_kept(C: Any) -> Any:
    from tinygrad_ninja import Value

    w, kept = Value(2.0), []

    def step(x: float) -> Any:
        y = (w * x).tanh()
        kept.append(y)
        w.grad = 0.0
        y.backward()
        return y.data

    step = C(step)
    for k in range(5):
        yield step(k * 0.3), w, kept
    w = Value(-1.0)
    yield step(0.5), w, kept


@same
def test_a_value_is_bound_anew(C: Any) -> Any:
    from tinygrad_ninja import Value

    w = Value(2.0)
    f = C(lambda: (w * 3).data)
    yield f(), f()
    w = Value(7.0)
    yield f(), f()
    w.data = 1.0
    yield f()


@refused("random")
def test_nanogpts_batches_drawn_by_numpy(C: Any) -> Any:
    data = np.arange(200, dtype=np.uint16) % 11
    model = nn.Embedding(11, 11)

    def get_batch() -> Any:
        ix = np.random.randint(0, len(data) - 5, (4,))
        x = torch.stack([torch.from_numpy(data[i : i + 4].astype(np.int64)) for i in ix])
        y = torch.stack([torch.from_numpy(data[i + 1 : i + 5].astype(np.int64)) for i in ix])
        return x, y

    def step() -> Any:
        x, y = get_batch()
        loss = F.cross_entropy(model(x).view(-1, 11), y.view(-1))
        model.zero_grad(set_to_none=True)
        loss.backward()
        with torch.no_grad():
            for p in model.parameters():
                p -= 0.5 * p.grad
        return loss.detach()

    step = C(step)
    for _ in range(6):
        yield step(), model


@same
def test_nanogpts_batches_drawn_by_the_engine(C: Any) -> Any:
    data = np.arange(200, dtype=np.uint16) % 11
    model = nn.Embedding(11, 11)

    def get_batch() -> Any:
        ix = torch.randint(len(data) - 5, (4,))
        x = torch.stack([torch.from_numpy(data[i : i + 4].astype(np.int64)) for i in ix])
        y = torch.stack([torch.from_numpy(data[i + 1 : i + 5].astype(np.int64)) for i in ix])
        return x, y

    def step() -> Any:
        x, y = get_batch()
        loss = F.cross_entropy(model(x).view(-1, 11), y.view(-1))
        model.zero_grad(set_to_none=True)
        loss.backward()
        return loss.detach()

    step = C(step)
    for k in range(6):
        yield step(), model
        if k == 3:
            data[:] = 3


@compiled
def test_batches_given_as_arguments(C: Any) -> Any:
    """nanoGPT's loop with the batch outside: what a person is told to write."""
    data, model = (
        torch.arange(200) % 11,
        nn.Sequential(nn.Embedding(11, 8), nn.LayerNorm(8), nn.Linear(8, 11)),
    )
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.1)

    def step(x: Any, y: Any) -> Any:
        loss = F.cross_entropy(model(x).view(-1, 11), y.view(-1))
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        return loss

    step = C(step)
    for k in range(8):
        for group in optimizer.param_groups:
            group["lr"] = 0.1 * 0.9**k
        ix = torch.randint(len(data) - 5, (4,))
        x = torch.stack([data[i : i + 4] for i in ix.tolist()])
        yield step(x, (x + 1) % 11), model, optimizer
