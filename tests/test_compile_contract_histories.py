"""The contract where backward() is called on what a compiled function returns."""

from __future__ import annotations

import gc
from typing import Any
from weakref import ref

import pytest
from contract import attempt, compiled, refused, same

import tinygrad_ninja as torch
import tinygrad_ninja.nn.functional as F
from tinygrad_ninja import nn


def _batches(n: int = 4) -> Any:
    """Yield batches of inputs and targets."""
    for _ in range(n):
        yield torch.randn(8, 5), torch.randint(0, 3, (8,))


def _model() -> nn.Module:
    torch.manual_seed(7)
    return nn.Sequential(
        nn.Linear(5, 6), nn.BatchNorm1d(6), nn.GELU(), nn.Dropout(0.3), nn.Linear(6, 3, bias=False)
    )


@compiled
def test_a_model_is_trained(C: Any) -> Any:
    model = _model()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    fast = C(model)
    for x, y in _batches(6):
        loss = F.cross_entropy(fast(x), y)
        optimizer.zero_grad()
        loss.backward()
        yield [p.grad for p in model.parameters()], loss.detach()
        optimizer.step()
        yield model, torch.random.default_generator


@compiled
def test_a_loss_is_derived_outside(C: Any) -> Any:
    w, b = torch.randn(5, 3, requires_grad=True), torch.randn(3, requires_grad=True)
    loss_of = C(lambda x, y: F.cross_entropy(x @ w + b, y))
    for x, y in _batches():
        loss = loss_of(x, y)
        yield loss.requires_grad, loss.is_leaf, loss.detach()
        loss.backward()
        yield w.grad, b.grad


@compiled
def test_two_forwards_before_their_backwards(C: Any) -> Any:
    model = _model()
    fast = C(model)
    for (x, y), (u, v) in zip(_batches(), _batches(), strict=True):
        first, second = fast(x), fast(u)
        (F.cross_entropy(first, y) + 2 * F.cross_entropy(second, v)).backward()
        yield [p.grad for p in model.parameters()]


@compiled
def test_gradients_accumulate(C: Any) -> Any:
    model = _model()
    fast = C(model)
    for x, y in _batches(6):
        F.cross_entropy(fast(x), y).backward()
        yield [p.grad for p in model.parameters()]


@compiled
def test_of_several_results_some_are_derived(C: Any) -> Any:
    w = torch.randn(5, 3, requires_grad=True)

    def step(x: Any, y: Any) -> Any:
        logits = (x @ w).tanh()
        return {"logits": logits, "loss": F.cross_entropy(logits, y), "y": y, "norm": logits.detach().norm()}

    fast = C(step)
    for i, (x, y) in enumerate(_batches(9)):
        out = fast(x, y)
        if i % 3 == 0:
            out["loss"].backward()
        elif i % 3 == 1:
            out["logits"].sum().backward()
        else:
            (out["loss"] * 2 + out["logits"].square().sum()).backward()
        yield w.grad, out["norm"], out["norm"].requires_grad


@compiled
def test_results_that_depend_on_other_parameters(C: Any) -> Any:
    a, b = torch.randn(5, requires_grad=True), torch.randn(5, requires_grad=True)
    fast = C(lambda x: ((a * x).sin().sum(), (b * x).cos().sum()))
    for _ in range(4):
        first, second = fast(torch.randn(5))
        first.backward()
        second.backward()
        yield a.grad, b.grad


@compiled
def test_one_result_is_the_slope_of_another(C: Any) -> Any:
    w = torch.randn(3, requires_grad=True)
    fast = C(lambda x: ((w * x).sin(), (w * x).cos()))
    for _ in range(4):
        first, second = fast(torch.randn(3))
        first.sum().backward()
        second.sum().backward()
        yield w.grad


@compiled
def test_a_batch_of_nothing(C: Any) -> Any:
    w = torch.randn(3, requires_grad=True)
    fast = C(lambda x: (x * w).sum())
    for _ in range(4):
        fast(torch.randn(0, 3)).backward()
        yield w.grad


@compiled
def test_an_argument_gets_a_gradient(C: Any) -> Any:
    w = torch.randn(5, 3)
    fast = C(lambda x, k: (x @ w).sigmoid().mean() * k)
    for i in range(5):
        x = torch.randn(8, 5, requires_grad=True)
        fast(x, float(i)).backward()
        yield x.grad


@compiled
def test_gradients_of_autograd_grad(C: Any) -> Any:
    w, b = torch.randn(5, 3, requires_grad=True), torch.randn(3, requires_grad=True)
    fast = C(lambda x: (x @ w + b).exp().sum())
    for x, _ in _batches():
        loss = fast(x)
        yield torch.autograd.grad(loss, [b], retain_graph=True)
        yield torch.autograd.grad(loss, [w, b], grad_outputs=torch.tensor(3.0))
        yield w.grad, b.grad


@compiled
def test_second_derivatives(C: Any) -> Any:
    w = torch.randn(5, 3, requires_grad=True)
    fast = C(lambda x: ((x @ w).tanh() ** 2).sum(1))
    for _ in range(4):
        x = torch.randn(8, 5, requires_grad=True)
        (grad,) = torch.autograd.grad(fast(x).sum(), x, create_graph=True)
        ((grad.norm(dim=1) - 1) ** 2).mean().backward()
        yield w.grad, x.grad


@compiled
def test_second_derivatives_with_what_was_drawn(C: Any) -> Any:
    model = nn.Sequential(nn.Linear(5, 6), nn.Tanh(), nn.Dropout(0.5), nn.Linear(6, 1))
    fast = C(model)
    for _ in range(4):
        x = torch.randn(8, 5, requires_grad=True)
        (grad,) = torch.autograd.grad(fast(x).sum(), x, create_graph=True)
        grad.square().sum().backward()
        yield [p.grad for p in model.parameters()], torch.random.default_generator


@compiled
def test_what_is_drawn_is_kept_for_the_way_back(C: Any) -> Any:
    mean, spread = torch.zeros(4, requires_grad=True), torch.ones(4, requires_grad=True)
    fast = C(lambda: (mean + spread.exp() * torch.randn(4)).square().sum())
    for _ in range(4):
        fast().backward()
        yield mean.grad, spread.grad


@compiled
def test_backward_twice(C: Any) -> Any:
    w = torch.randn(5, requires_grad=True)
    fast = C(lambda x: (w * x).sin().sum())
    for _ in range(4):
        loss = fast(torch.randn(5))
        loss.backward(retain_graph=True)
        loss.backward()
        yield w.grad
        with pytest.raises(RuntimeError, match="second time"):
            loss.backward()


@compiled
def test_a_parameter_is_changed_before_backward(C: Any) -> Any:
    w, b = torch.randn(5, requires_grad=True), torch.zeros(5, requires_grad=True)
    fast = C(lambda x: (w * x + b).sin().sum())
    for i in range(6):
        x = torch.randn(5, requires_grad=True)
        loss = fast(x)
        with torch.no_grad():
            (b if i % 2 else w).mul_(0.5)
        if i % 2:
            loss.backward()
        else:
            with pytest.raises(RuntimeError, match="modified by an inplace"):
                loss.backward()
        yield w, b, w.grad, b.grad, x.grad


@compiled
def test_data_is_changed_in_place_before_backward(C: Any) -> Any:
    w = torch.randn(5, requires_grad=True)
    fast = C(lambda x: (w * x).sin().sum())
    for _ in range(4):
        x = torch.randn(5, requires_grad=True)
        loss = fast(x)
        w.data += 1.0
        loss.backward()
        yield w, w.grad, x.grad


@compiled
def test_a_result_is_changed_in_place(C: Any) -> Any:
    w = torch.randn(5, requires_grad=True)
    fast = C(lambda x: ((w * x).tanh(), (w * x).sum()))
    for i in range(6):
        out, total = fast(torch.randn(5))
        if i % 2:
            total.mul_(2)
            (out.sum() + total).backward()
            yield w.grad, total.detach()
        else:
            out.mul_(2)
            with pytest.raises(RuntimeError, match="modified by an inplace"):
                out.sum().backward()
            yield w.grad, out.detach()


@compiled
def test_hooks_on_results_and_leaves(C: Any) -> Any:
    w = torch.randn(5, requires_grad=True)
    seen: list[Any] = []
    fast = C(lambda x: (w * x).tanh())
    for _ in range(4):
        out = fast(torch.randn(5))
        out.register_hook(lambda grad: seen.append(grad.clone()) or grad * 2)
        out.retain_grad()
        out.square().sum().backward()
        yield w.grad, out.grad, seen


@compiled
def test_no_grad_and_grad_in_turns(C: Any) -> Any:
    model = _model()
    fast = C(model)
    for i, (x, y) in enumerate(_batches(8)):
        model.train(i % 4 < 2)
        if i % 2:
            with torch.no_grad():
                yield fast(x), fast(x).requires_grad
        else:
            F.cross_entropy(fast(x), y).backward()
            yield [p.grad for p in model.parameters()], model


@compiled
def test_parameters_are_frozen_later(C: Any) -> Any:
    model = _model()
    fast = C(model)
    for i, (x, y) in enumerate(_batches(6)):
        model[0].requires_grad_(i < 2 or i > 3)
        model.zero_grad()
        F.cross_entropy(fast(x), y).backward()
        yield [p.grad for p in model.parameters()]


@compiled
def test_gradients_that_are_not_contiguous(C: Any) -> Any:
    w = torch.randn(5, 3, requires_grad=True)
    fast = C(lambda x: (x @ w).sin())
    for i, (x, _) in enumerate(_batches(6)):
        out = fast(x)
        if i % 3 == 0:
            out.sum().backward()
        elif i % 3 == 1:
            (out.t() @ x).square().sum().backward()
        else:
            out[::2, 1:].cos().sum().backward()
        yield w.grad


@compiled
def test_the_gradient_is_what_comes(C: Any) -> Any:
    b = torch.randn(5, requires_grad=True)
    fast = C(lambda x: x + b)
    for _ in range(4):
        x = torch.randn(5, requires_grad=True)
        out = fast(x)
        up = torch.randn(5)
        first, second = torch.autograd.grad(out, [x, b], up)
        yield first, second, up
        first += 1
        yield first, second, up


@compiled
def test_a_transposed_parameter_and_views(C: Any) -> Any:
    w = torch.randn(3, 5, requires_grad=True)
    fast = C(lambda x: (x @ w.t()).view(-1)[::2].square().sum())
    for x, _ in _batches():
        fast(x).backward()
        yield w.grad


@compiled
def test_a_model_that_changes_its_buffer_in_place_under_autocast(C: Any) -> Any:
    model = _model()
    fast = C(model)
    for x, y in _batches():
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=False):
            loss = F.cross_entropy(fast(x), y)
        loss.backward()
        yield [p.grad for p in model.parameters()], model


@refused("hooks, or retains its gradient")
def test_a_gradient_is_retained_inside(C: Any) -> Any:
    w = torch.randn(5, requires_grad=True)

    def step(x: Any) -> Any:
        hidden = (w * x).sin()
        hidden.retain_grad()
        return hidden.sum()

    fast = C(step)
    for _ in range(3):
        fast(torch.randn(5)).backward()
        yield w.grad


@compiled
def test_many_results_that_depend_on_one_another(C: Any) -> Any:
    model = nn.Sequential(nn.Linear(5, 5), nn.Tanh(), nn.Dropout(0.5))

    def step(x: Any) -> Any:
        states = []
        for _ in range(5):
            x = model(x)
            states.append(x)
        return states

    fast = C(step)
    for i in range(6):
        states = fast(torch.randn(3, 5))
        (sum(states) if i % 2 else states[i] * states[3]).sum().backward()
        yield [p.grad for p in model.parameters()], torch.random.default_generator


@compiled
def test_three_results_and_what_they_have_in_common_beside_running_statistics(C: Any) -> Any:
    """The function changes what it reads, and so can't be called once more."""
    torch.manual_seed(1)
    body = nn.Sequential(nn.Linear(5, 6), nn.BatchNorm1d(6), nn.Tanh())
    heads = nn.ModuleList([nn.Linear(6, 2), nn.Linear(6, 2), nn.Linear(2, 5)])
    model = nn.ModuleList([body, heads])

    def encoded(x: Any) -> Any:
        h = body(x)
        mean, spread = heads[0](h), heads[1](h)
        return mean, spread, heads[2](mean + (spread / 2).exp())

    fast = C(encoded)
    for x, _ in _batches(5):
        mean, spread, back = fast(x)
        mean.retain_grad()
        loss = F.mse_loss(back, x) + (mean**2 + spread.exp() - 1 - spread).mean()
        model.zero_grad()
        loss.backward()
        yield mean.grad, [p.grad for p in model.parameters()], model, loss.detach()


@compiled
def test_many_results_that_do_not(C: Any) -> Any:
    ws = [torch.randn(5, requires_grad=True) for _ in range(5)]
    fast = C(lambda x: [(w * x).sin().sum() for w in ws])
    for _ in range(3):
        for i, loss in enumerate(fast(torch.randn(5))):
            if i != 2:
                loss.backward()
        yield [w.grad for w in ws]


@same
def test_anomalies_are_found(C: Any) -> Any:
    w = torch.zeros(5, requires_grad=True)
    fast = C(lambda x: (w * x).sqrt().sum())
    for i in range(4):
        with torch.autograd.set_detect_anomaly(i > 1):
            loss = fast(torch.zeros(5))
            if i > 1:
                with pytest.raises(RuntimeError, match="nan"):
                    loss.backward()
            else:
                loss.backward()
        yield w.grad


@compiled
def test_the_loss_is_scaled(C: Any) -> Any:
    model = _model()
    fast = C(model)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    scaler = torch.amp.GradScaler("cpu", init_scale=16.0)
    for x, y in _batches(5):
        optimizer.zero_grad(set_to_none=False)
        scaler.scale(F.cross_entropy(fast(x), y)).backward()
        scaler.unscale_(optimizer)
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        scaler.step(optimizer)
        scaler.update()
        yield model, [p.grad for p in model.parameters()]


def test_a_graph_goes_with_its_result() -> None:
    """It is in no cycle, for which memory would have to wait until garbage is collected."""
    w = torch.randn(5, requires_grad=True)
    fast = torch.compile(lambda x: (w * x).tanh(), backend="numpy")
    fast(torch.randn(5))
    gc.collect()
    gc.disable()
    try:
        result = fast(torch.randn(5))
        edge = ref(result.edge)
        del result
        assert edge() is None
    finally:
        gc.enable()


def test_the_source_shows_the_ways_that_were_taken() -> None:
    w = torch.randn(5, requires_grad=True)
    fast = torch.compile(lambda x: (w * x).sin().sum(), backend="c")
    loss = fast(torch.randn(5))
    assert "cos" not in fast.source()
    loss.backward()  # the first call is eager code
    assert "cos" not in fast.source()
    fast(torch.randn(5)).backward()
    assert "cos" in fast.source()


@compiled
def test_an_argument_with_a_history(C: Any) -> Any:
    make, judge = _model(), nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 1))
    made, judged = C(make), C(judge)
    for x, _ in _batches(6):
        fake = made(x)
        (judged(fake).square().mean() + judged(fake.detach()).mean()).backward()
        yield [p.grad for m in (make, judge) for p in m.parameters()]


@compiled
def test_a_cell_that_is_called_again_and_again(C: Any) -> Any:
    cell = nn.GRUCell(3, 4)
    fast = C(lambda x, h: cell(x, h))
    for _ in range(3):
        h = torch.zeros(2, 4)
        for _ in range(4):
            h = fast(torch.randn(2, 3), h)
        h.square().sum().backward()
        yield [p.grad for p in cell.parameters()]


@compiled
def test_an_argument_with_a_history_under_no_grad(C: Any) -> Any:
    w = torch.randn(5, requires_grad=True)
    fast = C(lambda x: (x * 2).sin())
    for i in range(4):
        x = (w * i).cos()
        with torch.no_grad():
            yield fast(x)
        fast(x).sum().backward()
        yield w.grad


@compiled
def test_an_argument_is_returned_beside_what_is_computed(C: Any) -> Any:
    w = torch.randn(5, requires_grad=True)
    fast = C(lambda x: (x, x * w))
    for i in range(4):
        x = (w * i).cos()
        same_x, out = fast(x)
        (same_x.sum() + out.sum()).backward()
        yield w.grad, same_x is x


@same
def test_an_argument_with_hooks_and_a_history(C: Any) -> Any:
    w = torch.randn(5, requires_grad=True)
    fast = C(lambda x: (x * w).sin())
    for i in range(4):
        x = (w * i).cos()
        x.register_hook(lambda grad: grad * 3)
        x.retain_grad()
        fast(x).sum().backward()
        yield w.grad, x.grad


@compiled
def test_an_argument_retains_its_gradient(C: Any) -> Any:
    w = torch.randn(5, requires_grad=True)
    fast = C(lambda x: (x * w).sin())
    for i in range(4):
        x = (w * i).cos()
        x.retain_grad()
        fast(x).sum().backward()
        yield w.grad, x.grad


@refused("goes back into the history of an argument")
def test_a_gradient_goes_beyond_an_argument(C: Any) -> Any:
    w, v = torch.randn(5, requires_grad=True), torch.randn(5, requires_grad=True)

    def step(x: Any) -> Any:
        (x * v).sum().backward()
        return v.grad.sum()

    fast = C(step)
    for i in range(4):
        yield fast((w * i).cos()), w.grad, v.grad


@refused("goes back into the history of an argument")
def test_what_is_below_an_argument_is_asked_for(C: Any) -> Any:
    w = torch.randn(5, requires_grad=True)
    fast = C(lambda x, w: torch.autograd.grad((x * x).sum(), w)[0])
    for i in range(4):
        yield fast((w * i).cos(), w)


@same
def test_an_argument_with_a_history_is_changed_in_place(C: Any) -> Any:
    w = torch.randn(5, requires_grad=True)

    def step(x: Any) -> Any:
        x.mul_(2)
        return x.sin().sum()

    fast = C(step)
    for i in range(4):
        x = (w * i).cos()
        fast(x).backward()
        yield w.grad, x


@compiled
def test_hooks_of_parameters(C: Any) -> Any:
    w = torch.randn(5, requires_grad=True)
    seen: list[Any] = []
    w.register_hook(lambda grad: seen.append(grad.sum().item()) or grad * 2)
    fast = C(lambda x: (x * w).sin().sum())
    for _ in range(4):
        fast(torch.randn(5)).backward()
        yield w.grad, seen


@compiled
def test_one_compiled_function_within_another(C: Any) -> Any:
    model = _model()
    model[0] = C(model[0])
    loss_of = C(lambda x, y: F.cross_entropy(model(x), y))
    for i, (x, y) in enumerate(_batches(6)):
        (loss_of(x, y) if i % 2 else F.cross_entropy(model(x), y)).backward()
        yield [p.grad for p in model.parameters()]


@compiled
def test_a_leaf_is_made_inside(C: Any) -> Any:
    w = torch.randn(5, requires_grad=True)

    def step(x: Any) -> Any:
        return (torch.ones(5, requires_grad=True) * w * x).sum()

    fast = C(step)
    for _ in range(3):
        loss = fast(torch.randn(5))
        loss.backward()
        yield loss.requires_grad, w.grad


class _Doubled(torch.autograd.Function):
    calls = 0

    @staticmethod
    def forward(ctx: Any, x: Any) -> Any:
        return x * 2

    @staticmethod
    def backward(ctx: Any, grad: Any) -> Any:
        _Doubled.calls += 1
        return grad * 2


@same
def test_a_backward_of_ones_own_runs_when_backward_is_called(C: Any) -> Any:
    _Doubled.calls = 0
    w = torch.randn(5, requires_grad=True)
    fast = C(lambda x: _Doubled.apply(w * x).sum())
    for _ in range(3):
        loss = fast(torch.randn(5))
        yield _Doubled.calls
        loss.backward()
        yield _Doubled.calls, w.grad


@compiled
def test_activations_in_place(C: Any) -> Any:
    model = nn.Sequential(nn.Linear(5, 6), nn.ReLU(inplace=True), nn.Linear(6, 3), nn.Sigmoid())
    fast = C(model)
    for x, _ in _batches():
        fast(x).square().sum().backward()
        yield [p.grad for p in model.parameters()]


class _Spectral(nn.Module):
    """A weight divided by its largest singular value, as a vector that is kept finds it."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(3, 5))
        self.register_buffer("u", F.normalize(torch.randn(3), dim=0))

    def forward(self, x: Any) -> Any:
        with torch.no_grad():
            v = F.normalize(self.weight.t() @ self.u, dim=0)
            self.u.copy_(F.normalize(self.weight @ v, dim=0))
        return x @ (self.weight / (self.u.clone() @ self.weight @ v)).t()


@same
def test_a_buffer_is_changed_and_read(C: Any) -> Any:
    model = _Spectral()
    fast = C(model)
    for x, _ in _batches():
        fast(x).square().sum().backward()
        yield model.weight.grad, model


@same
def test_a_hook_of_a_module_runs_when_backward_is_called(C: Any) -> Any:
    model = nn.Sequential(nn.Linear(5, 4), nn.Tanh())
    seen: list[Any] = []
    model[0].register_full_backward_hook(lambda module, into, out: seen.append(out[0].sum().item()))
    fast = C(model)
    for x, _ in _batches():
        loss = fast(x).square().sum()
        yield [*seen]
        loss.backward()
        yield [*seen], [p.grad for p in model.parameters()]


@compiled
def test_results_that_nobody_derives(C: Any) -> Any:
    model = _model()
    fast = C(model)
    held = []
    for x, _ in _batches(6):
        held.append(fast(x))
        yield [*held]
    sum(held).sum().backward()
    yield [p.grad for p in model.parameters()]


@compiled
def test_nothing_is_saved(C: Any) -> Any:
    w = torch.randn(5, requires_grad=True)
    fast = C(lambda x: (w + x).sum())
    for _ in range(3):
        loss = fast(torch.randn(5))
        loss.backward()
        loss.backward()
        yield w.grad


@compiled
def test_half_precision(C: Any) -> Any:
    w = torch.randn(5, 3, requires_grad=True)

    def step(x: Any) -> Any:
        with torch.autocast("cpu", dtype=torch.float16):
            return (x @ w).float().tanh().sum()

    fast = C(step)
    for x, _ in _batches():
        fast(x).backward()
        yield w.grad


@compiled
def test_attention_with_tied_weights(C: Any) -> Any:
    table = nn.Embedding(7, 4)
    attention = nn.MultiheadAttention(4, 2, batch_first=True)

    def loss_of(tokens: Any) -> Any:
        x = table(tokens)
        mask = torch.ones(5, 5).triu(1).bool()
        out, _ = attention(x, x, x, attn_mask=mask, need_weights=False)
        return F.cross_entropy((out @ table.weight.t()).view(-1, 7), tokens.view(-1))

    fast = C(loss_of)
    for _ in range(4):
        fast(torch.randint(0, 7, (2, 5))).backward()
        yield table.weight.grad, [p.grad for p in attention.parameters()]


@compiled
def test_second_derivatives_end_where_a_history_does(C: Any) -> Any:
    model = nn.Sequential(nn.Linear(5, 4), nn.Tanh())

    def loss_of(x: Any) -> Any:
        with torch.no_grad():
            target = model(x) * 2
        return (model(x) - target).square().sum() + (model(x).detach() * model(x)).sum()

    fast = C(loss_of)
    for _ in range(4):
        x = torch.randn(3, 5, requires_grad=True)
        (grad,) = torch.autograd.grad(fast(x), x, create_graph=True)
        grad.square().sum().backward()
        yield [p.grad for p in model.parameters()], x.grad


@compiled
def test_second_derivatives_of_what_is_given_in_tuples(C: Any) -> Any:
    w = torch.randn(5, requires_grad=True)
    fast = C(lambda pair, k: (pair[0] * w * k).sin().sum() + pair[1].sum())
    for i in range(5):
        x = torch.randn(5, requires_grad=True)
        (grad,) = torch.autograd.grad(fast((x, x * i), float(i)), x, create_graph=True)
        grad.square().sum().backward()
        yield w.grad, x.grad


def test_second_derivatives_that_would_be_others_are_refused() -> None:
    """The function computed once more would change the running statistics once more."""
    model = nn.Sequential(nn.Linear(5, 4), nn.BatchNorm1d(4))
    scale = {"k": 1.0}
    changing, reading = torch.compile(model), torch.compile(lambda x: (x * scale["k"]).sin())
    x = torch.randn(3, 5, requires_grad=True)
    changing(x), reading(x)  # the first calls are eager code
    with pytest.raises(NotImplementedError, match="it changes what it reads: call the function itself"):
        torch.autograd.grad(changing(x).sum(), x, create_graph=True)
    optimizer = torch.optim.SGD([x], lr=0.1)

    @torch.compile
    def setting(x: Any, rate: float) -> Any:
        optimizer.param_groups[0]["lr"] = rate
        return (x * rate).sin()

    losses = [setting(x, float(i)).sum() for i in range(4)]
    with pytest.raises(NotImplementedError, match="it changes what it reads"):
        torch.autograd.grad(losses[-1], x, create_graph=True)
    shift = torch.zeros(5)
    shifted = torch.compile(lambda x: (x + shift).sin())
    shifted(x)
    losses = [reading(x).sum(), shifted(x).sum(), shifted(x).sum()]
    scale["k"] = 2.0
    shift.data = shift + 1
    with pytest.raises(NotImplementedError, match="what it reads has changed"):
        torch.autograd.grad(losses[0], x, create_graph=True)
    with pytest.raises(NotImplementedError, match="what it reads has changed"):
        torch.autograd.grad(losses[1], x, create_graph=True)
    losses[2].backward()  # which does not need it
    losses = [shifted(x).sum()]
    shift.add_(1)
    with pytest.raises(NotImplementedError, match="what it reads has changed"):
        torch.autograd.grad(losses[0], x, create_graph=True)


@compiled
def test_second_derivatives_of_a_cell_that_is_called_again_and_again(C: Any) -> Any:
    cell = nn.GRUCell(3, 4)
    fast = C(lambda x, h: cell(x, h))
    for _ in range(3):
        x, h = torch.randn(2, 3, requires_grad=True), torch.zeros(2, 4)
        for _ in range(3):
            h = fast(x, h)
        grads = torch.autograd.grad(h.sum(), [x, *cell.parameters()], create_graph=True)
        sum(grad.square().sum() for grad in grads).backward()
        yield x.grad, [p.grad for p in cell.parameters()]


@compiled
def test_some_of_many_results_of_an_argument_with_a_history(C: Any) -> Any:
    w = torch.randn(3, requires_grad=True)

    def powers(x: Any) -> Any:
        parts = [x * w]
        for _ in range(4):
            parts.append(parts[-1] * x)
        return parts

    fast = C(powers)
    for i in range(4):
        parts = fast((w * i).sin())
        (parts[0] + parts[4]).sum().backward()
        yield w.grad


# -- results that lead to one another ------------------------------------------------------------------------


def _watched(results: tuple[Any, ...], i: int, goals: list[Any]) -> Any:
    """Go back from all of some results in one of several ways in which one on the way counts, the first;
    return what that gave."""
    first, *_, last = results
    if i % 5 == 0:
        first.register_hook(lambda grad: grad * 3)
        last.sum().backward()
    elif i % 5 == 1:
        first.retain_grad()
        sum(result.square().sum() for result in results).backward()
        return first.grad
    elif i % 5 == 2:
        return torch.autograd.grad(last.sum(), [first, *goals], allow_unused=True)
    elif i % 5 == 3:
        last.sum().backward(inputs=[goals[0]], retain_graph=True)
        return torch.autograd.grad(last.sum(), first)
    else:
        grads = torch.autograd.grad(last.sum(), goals, create_graph=True, allow_unused=True)
        first.register_hook(lambda grad: grad * 2)
        sum(grad.square().sum() for grad in grads if grad is not None).backward()
        return grads
    return None


@compiled
def test_a_result_on_the_way_to_another_is_watched(C: Any) -> Any:
    w, v = torch.randn(5, 3, requires_grad=True), torch.randn(3, requires_grad=True)

    def scored(x: Any) -> Any:
        features = (x @ w).tanh()
        return features, (features.exp() * v).sum()

    fast = C(scored)
    for i in range(10):
        yield _watched(fast(torch.randn(4, 5)), i, [w, v]), w.grad, v.grad


@compiled
def test_a_result_and_what_it_has_in_common_with_another(C: Any) -> Any:
    table = torch.randn(7, 4, requires_grad=True)
    w = torch.randn(4, 4, requires_grad=True)

    def attention(t: Any) -> Any:
        x = table[t].sin()
        weights = torch.softmax(x @ w @ x.T, -1)
        return weights, weights @ (x * x)

    fast = C(attention)
    for i in range(10):
        yield _watched(fast(torch.randint(0, 7, (5,))), i, [w, table]), w.grad, table.grad


@compiled
def test_each_result_leads_to_the_next(C: Any) -> Any:
    w = torch.randn(3, requires_grad=True)

    def states(x: Any) -> Any:
        h, common, made = x * w, (x * w).sigmoid(), []
        for _ in range(3):
            h = (h * common).sin()
            made.append(h)
        return tuple(made)

    fast = C(states)
    for i in range(15):
        yield _watched(fast(torch.randn(2, 3)), i, [w]), w.grad


@compiled
def test_a_latent_that_is_watched_on_its_way_to_what_is_drawn(C: Any) -> Any:
    encoder, decoder = nn.Linear(5, 4), nn.Linear(2, 5)

    def autoencoder(x: Any) -> Any:
        mean, spread = encoder(x).relu().chunk(2, 1)
        mean, spread = mean * 2, spread * 3
        return mean, spread, decoder(mean + torch.randn(mean.shape) * (spread / 2).exp())

    fast, goals = C(autoencoder), [*encoder.parameters(), *decoder.parameters()]
    for i in range(10):
        yield _watched(fast(torch.randn(3, 5)), i, goals), [p.grad for p in goals]


@compiled
def test_what_is_returned_beside_and_changed_in_place(C: Any) -> Any:
    w = torch.randn(4, requires_grad=True)

    def chosen(x: Any) -> Any:
        score = (x * w).sin()
        best = score.argsort()
        return score, best, score.gather(0, best).cumsum(0).square().sum()

    fast = C(chosen)
    for i in range(6):
        score, best, loss = fast(torch.randn(4))
        if i % 3 == 1:
            best.zero_()
        elif i % 3 == 2:
            score.mul_(2)
        yield isinstance(attempt(loss.backward), tuple), w.grad
