"""Mixed precision beside PyTorch's: which operation computes in which precision, and the scaled loss."""

import threading
from typing import Any

import numpy as np
import pytest
import torch

import tinygrad_ninja as ninja
from tinygrad_ninja.amp import GradScaler
from tinygrad_ninja.api.casting import Casting
from tinygrad_ninja.engine.hook import observers
from tinygrad_ninja.ops import TABLE

GPU = pytest.mark.gpu
PLACES = pytest.mark.parametrize(
    ("device", "name"),
    [
        ("torch", "bfloat16"),
        ("torch", "float16"),
        pytest.param("cuda", "bfloat16", marks=GPU),
        pytest.param("cuda", "float16", marks=GPU),
    ],
)
EPSILON = {"float16": 2.0**-10, "bfloat16": 2.0**-7}


def theirs(device: str) -> str:
    return "cpu" if device == "torch" else device


CALLS = {
    "matmul": lambda t, a, w: a @ w,
    "matmul_method": lambda t, a, w: a.matmul(w),
    "linear": lambda t, a, w: t.nn.functional.linear(a, w, w[0]),
    "linear_3d": lambda t, a, w: t.nn.functional.linear(a.view(1, 4, 4), w, w[0]),
    "attention": lambda t, a, w: t.nn.functional.scaled_dot_product_attention(a[None], w[None], w[None]),
    "add": lambda t, a, w: a + w,
    "add_half": lambda t, a, w: (a @ w) + w,
    "mul_number": lambda t, a, w: (a @ w) * 2,
    "exp": lambda t, a, w: (a @ w).exp(),
    "exp_function": lambda t, a, w: t.exp(a @ w),
    "log": lambda t, a, w: (a @ w).abs().log(),
    "pow": lambda t, a, w: (a @ w) ** 2,
    "pow_method": lambda t, a, w: (a @ w).pow(3),
    "rpow": lambda t, a, w: 2.0 ** (a @ w),
    "rdiv": lambda t, a, w: 1.0 / (a @ w).abs().add(1),
    "div": lambda t, a, w: (a @ w) / 3,
    "reciprocal": lambda t, a, w: (a @ w).abs().add(1).reciprocal(),
    "sqrt": lambda t, a, w: (a @ w).abs().sqrt(),
    "tanh": lambda t, a, w: (a @ w).tanh(),
    "relu": lambda t, a, w: t.nn.functional.relu(a @ w),
    "gelu": lambda t, a, w: t.nn.functional.gelu(a @ w),
    "sigmoid": lambda t, a, w: (a @ w).sigmoid(),
    "sum": lambda t, a, w: (a @ w).sum(0),
    "mean": lambda t, a, w: (a @ w).mean(0),
    "var": lambda t, a, w: (a @ w).var(0),
    "max": lambda t, a, w: (a @ w).max(),
    "prod": lambda t, a, w: (a @ w).prod(0),
    "cumsum": lambda t, a, w: (a @ w).cumsum(0),
    "norm": lambda t, a, w: (a @ w).norm(),
    "softmax": lambda t, a, w: (a @ w).softmax(1),
    "log_softmax": lambda t, a, w: t.nn.functional.log_softmax(a @ w, 1),
    "logsumexp": lambda t, a, w: (a @ w).logsumexp(1),
    "cross_entropy": lambda t, a, w: t.nn.functional.cross_entropy(
        a @ w, t.tensor([0, 1, 2, 3]).to(a.device)
    ),
    "cross_entropy_each": lambda t, a, w: t.nn.functional.cross_entropy(
        a @ w, t.tensor([0, 1, 2, 3]).to(a.device), reduction="none", label_smoothing=0.1
    ),
    "nll_loss": lambda t, a, w: t.nn.functional.nll_loss(
        a @ w, t.tensor([0, 1, 2, 3]).to(a.device), reduction="none"
    ),
    "mse_loss": lambda t, a, w: t.nn.functional.mse_loss(a @ w, w),
    "batch_norm": lambda t, a, w: t.nn.functional.batch_norm(a @ w, w[0], w[1].abs(), w[2], w[3], True),
    "batch_norm_eval": lambda t, a, w: t.nn.functional.batch_norm(a @ w, w[0], w[1].abs(), w[2], w[3]),
    "layer_norm": lambda t, a, w: t.nn.functional.layer_norm(a @ w, (4,), w[0], w[1]),
    "embedding": lambda t, a, w: t.nn.functional.embedding(t.tensor([1, 2]).to(a.device), w),
    "cat": lambda t, a, w: t.cat([a @ w, w]),
    "stack": lambda t, a, w: t.stack([a @ w, w]),
    "where": lambda t, a, w: t.where(a > 0, a @ w, w),
    "expm1": lambda t, a, w: (a @ w).expm1(),
    "log1p": lambda t, a, w: (a @ w).abs().log1p(),
    "elu": lambda t, a, w: t.nn.functional.elu(a @ w),
    "silu": lambda t, a, w: t.nn.functional.silu(a @ w),
    "mish": lambda t, a, w: t.nn.functional.mish(a @ w),
    "logsigmoid": lambda t, a, w: t.nn.functional.logsigmoid(a @ w),
    "softplus": lambda t, a, w: t.nn.functional.softplus(a @ w),
    "group_norm": lambda t, a, w: t.nn.functional.group_norm(a @ w, 2, w[0], w[1]),
    "conv1d": lambda t, a, w: t.nn.functional.conv1d(a[None], w[:2, :, None], w[0, :2]),
    "max_pool1d": lambda t, a, w: t.nn.functional.max_pool1d((a @ w)[None], 2),
    "l1_loss": lambda t, a, w: t.nn.functional.l1_loss(a @ w, w),
    "smooth_l1_loss": lambda t, a, w: t.nn.functional.smooth_l1_loss(a @ w, w),
    "huber_loss": lambda t, a, w: t.nn.functional.huber_loss(a @ w, w),
    "kl_div": lambda t, a, w: t.nn.functional.kl_div(a @ w, w.abs(), reduction="sum"),
    "with_logits": lambda t, a, w: t.nn.functional.binary_cross_entropy_with_logits(a @ w, w),
    "cosine_similarity": lambda t, a, w: t.nn.functional.cosine_similarity(a @ w, w),
    "float64": lambda t, a, w: a.double() @ w.double(),
}


@PLACES
@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_each_computes_in_pytorchs_precision(call: Any, device: str, name: str) -> None:
    """The result's dtype is PyTorch's, its numbers are near, and so are the gradients, in float32."""
    rng = np.random.default_rng(0)
    a, w = (rng.normal(size=(4, 4)).astype(np.float32) for _ in range(2))
    results = []
    for t, place, context in (
        (torch, theirs(device), torch.autocast(theirs(device), getattr(torch, name))),
        (ninja, device, ninja.autocast(device, getattr(ninja, name))),
    ):
        x, y = (t.tensor(each, device=place) for each in (a, w))
        if t is ninja or "batch_norm" not in call.__code__.co_names:
            x, y = x.requires_grad_(), y.requires_grad_()
        with context:
            out = call(t, x, y.detach() if "batch_norm" in call.__code__.co_names else y)
        if out.requires_grad:
            (out.float() * t.arange(out.numel(), device=place).reshape(out.shape)).sum().backward()
        results.append((out, x.grad))
    (expected, slope), (found, mine) = results
    assert str(found.dtype) == str(expected.dtype)
    for have, want in [(found, expected)] + ([(mine, slope)] if slope is not None else []):
        reference = want.detach().double().cpu().numpy()
        atol = 8 * EPSILON[name] * max(1.0, np.abs(reference).max())
        np.testing.assert_allclose(have.detach().double().cpu().numpy(), reference, rtol=0, atol=atol)
        assert str(have.dtype) == str(want.dtype)


WIDE = {
    "exp", "exp_function", "log", "pow", "pow_method", "rpow", "rdiv", "reciprocal", "sum", "prod",
    "cumsum", "norm", "softmax", "log_softmax", "logsumexp", "cross_entropy", "cross_entropy_each",
    "nll_loss", "expm1", "log1p", "softplus", "group_norm", "l1_loss", "smooth_l1_loss", "huber_loss",
    "kl_div", "with_logits", "cosine_similarity", "mse_loss", "layer_norm", "add", "add_half",
    "embedding", "cat", "stack", "where",
}  # fmt: skip
"""What PyTorch documents to be in float32 on a GPU, and what is there because an operand is."""


@pytest.mark.parametrize("call", [name for name in CALLS if name != "float64"])
def test_on_a_gpu_the_precisions_are_those_of_pytorchs_documentation(call: str) -> None:
    x = ninja.linspace(0.1, 1.0, 16, device="torch").reshape(4, 4)
    with Casting({"torch": ninja.float16}, gpus={"torch"}):
        assert CALLS[call](ninja, x, x).dtype is (ninja.float32 if call in WIDE else ninja.float16)


@PLACES
def test_a_training_is_pytorchs(device: str, name: str) -> None:
    """Float32 parameters and moments; losses near PyTorch's, which trains the same network."""
    ninja.manual_seed(0)
    nn = ninja.nn
    model = nn.Sequential(nn.Linear(8, 32), nn.BatchNorm1d(32), nn.Tanh(), nn.Linear(32, 4)).to(device)
    other = ninja.to_torch(model)
    data = np.random.default_rng(0)
    x, y = data.normal(size=(64, 8)).astype(np.float32), data.integers(0, 4, 64)

    def train(t: Any, model: Any, place: str) -> list[float]:
        optimizer = t.optim.SGD(model.parameters(), lr=0.5, momentum=0.9)
        scaler = t.amp.GradScaler(
            theirs(device) if t is torch else device, init_scale=1024.0, growth_interval=5
        )
        X, Y = t.tensor(x, device=place), t.tensor(y, device=place)
        losses = []
        for _ in range(20):
            with t.autocast(place, getattr(t, name)):
                loss = t.nn.functional.cross_entropy(model(X), Y)
            optimizer.zero_grad()
            scaler.scale(loss).backward()
            scaler.step(optimizer)
            scaler.update()
            losses.append(loss.item())
        assert scaler.get_scale() == 1024.0 * 2**4
        return losses

    expected, found = train(torch, other, theirs(device)), train(ninja, model, device)
    np.testing.assert_allclose(found, expected, rtol=0.05, atol=4 * EPSILON[name])
    assert found[-1] < found[0] / 3
    assert (
        {p.dtype for p in model.parameters()} == {p.grad.dtype for p in model.parameters()} == {ninja.float32}
    )


def test_numpys_arrays_compute_in_float16() -> None:
    x = ninja.ones(2, 2, requires_grad=True)
    with ninja.autocast("cpu", ninja.float16):
        assert (x @ x).dtype is ninja.float16
        assert (x.to("torch") @ x.to("torch")).dtype is ninja.float32  # another device
    (x @ x).sum().backward()
    assert x.grad.dtype is ninja.float32
    with pytest.raises(TypeError, match='no bfloat16: take the device "torch"'):
        ninja.autocast("cpu")


# -- where it is on ------------------------------------------------------------------------------------------


def test_every_operation_stays_what_it_is() -> None:
    """Nothing is put in the place of an operation, and after it nobody is asked any more."""
    x = ninja.ones(2, 2, device="torch")
    before = {name: {**vars(entry)} for name, entry in TABLE.items()}, {**vars(ninja.Tensor)}
    with ninja.autocast("torch"):
        assert (x @ x).dtype is ninja.bfloat16
        assert ({name: {**vars(entry)} for name, entry in TABLE.items()}, {**vars(ninja.Tensor)}) == before
    assert not observers


def test_it_nests_and_decorates_as_in_pytorch() -> None:
    def case(t: Any, place: str) -> list[str]:
        x = t.ones(2, 2) if t is torch else t.ones(2, 2, device=place)
        found = []

        def note() -> None:
            found.append(f"{(x @ x).dtype} {t.is_autocast_enabled(place)}")

        note()
        with t.autocast(place):
            note()
            with t.autocast(place, t.float16):
                note()
                with t.autocast(place, enabled=False):
                    note()
                t.autocast(place, t.bfloat16)(note)()
                note()
            note()
            with pytest.raises(ZeroDivisionError), t.autocast(place, t.float16):
                raise ZeroDivisionError
            note()
        note()
        return found

    assert case(ninja, "torch") == case(torch, "cpu")


def test_another_thread_is_left_alone() -> None:
    x, found = ninja.ones(2, 2, device="torch"), []
    with ninja.autocast("torch"):
        thread = threading.Thread(target=lambda: found.append((x @ x).dtype))
        thread.start()
        thread.join()
    assert found == [ninja.float32]


def test_what_it_refuses() -> None:
    with pytest.raises(RuntimeError, match="device must be"):
        ninja.autocast("tpu")
    with (
        pytest.warns(UserWarning, match="not in torch.float64: it is off"),
        ninja.autocast("torch", ninja.float64),
    ):
        assert not ninja.is_autocast_enabled("torch")


# -- the scaled loss -----------------------------------------------------------------------------------------


def scalers(**settings: Any) -> list[Any]:
    return [(ninja, GradScaler("torch", **settings)), (torch, torch.amp.GradScaler("cpu", **settings))]


def test_a_scaler_grows_backs_off_and_leaves_steps_out_as_pytorchs() -> None:
    """The parameters, the scale and the state after each step; some gradients are infinite or NaN."""
    histories = []
    for t, scaler in scalers(init_scale=8.0, growth_interval=2, growth_factor=3.0, backoff_factor=0.25):
        p = t.ones(3, requires_grad=True)
        unused = t.ones(2, requires_grad=True)
        optimizer = t.optim.SGD([p, unused], lr=0.1, momentum=0.5)
        history = []
        for slope in (1.0, 2.0, np.inf, 1.0, np.nan, 0.5, 1.0, 1.0, 3e38, 1.0):
            optimizer.zero_grad()
            scaler.scale((p * slope).sum()).backward()
            scaler.step(optimizer)
            scaler.update()
            history.append((p.tolist(), scaler.state_dict()))
        histories.append(history)
    for (ours, state), (reference, their_state) in zip(*histories, strict=True):
        assert ours == pytest.approx(reference, rel=1e-6)
        assert state == their_state


def test_a_scaler_unscales_before_clipping() -> None:
    found = []
    for t, scaler in scalers(init_scale=4.0):
        p = t.ones(3, requires_grad=True)
        optimizer = t.optim.SGD([p], lr=1.0)
        scaled = scaler.scale([(p * 5).sum(), p.sum()])
        (scaled[0] + scaled[1]).backward()
        scaler.unscale_(optimizer)
        norm = t.nn.utils.clip_grad_norm_([p], 1.0)
        scaler.step(optimizer)
        scaler.update(2.0)
        found.append([*p.tolist(), float(norm), scaler.get_scale()])
    assert found[0] == pytest.approx(found[1])


def test_a_scaler_goes_on_from_a_state_of_pytorchs() -> None:
    (_, ours), (_, reference) = scalers(init_scale=16.0, growth_interval=7)
    other = GradScaler("torch")
    other.load_state_dict(reference.state_dict())
    assert other.state_dict() == reference.state_dict() == ours.state_dict()
    assert (other.get_growth_factor(), other.get_backoff_factor(), other.get_growth_interval()) == (
        2.0,
        0.5,
        7,
    )


def test_a_scaler_that_is_not_enabled_does_nothing() -> None:
    for t, scaler in scalers(enabled=False):
        p = t.ones(2, requires_grad=True)
        optimizer = t.optim.SGD([p], lr=1.0)
        loss = p.sum()
        assert scaler.scale(loss) is loss
        loss.backward()
        scaler.unscale_(optimizer)
        scaler.step(optimizer)
        scaler.update()
        assert p.tolist() == [0.0, 0.0]
        assert (scaler.get_scale(), scaler.state_dict(), scaler.is_enabled()) == (1.0, {}, False)


def misuse(t: Any, scaler: Any) -> list[str]:
    """The class of the error for each wrong use."""
    p, half = t.ones(2, requires_grad=True), t.ones(2, dtype=t.float16, requires_grad=True)
    optimizer, of_half = t.optim.SGD([p], lr=1.0), t.optim.SGD([half], lr=1.0)

    def twice() -> None:
        scaler.scale(p.sum()).backward()
        scaler.unscale_(optimizer)
        scaler.unscale_(optimizer)

    def after_step() -> None:
        scaler.step(optimizer)
        scaler.unscale_(optimizer)

    def of_float16() -> None:
        half.sum().backward()
        scaler.unscale_(of_half)

    def attempt(call: Any) -> str:
        try:
            call()
        except Exception as error:
            return f"{type(error).__name__} {error}"
        return "nothing"

    return [
        attempt(call)
        for call in (
            scaler.update,
            lambda: scaler.step(t.optim.SGD([t.ones(1, requires_grad=True)], lr=1.0)),
            twice,
            after_step,
            lambda: scaler.step(optimizer),
            lambda: scaler.step(optimizer, closure=lambda: None),
            of_float16,
            lambda: scaler.load_state_dict({}),
        )
    ]


def test_a_scaler_refuses_what_pytorchs_refuses() -> None:
    ours, reference = (misuse(t, scaler) for t, scaler in scalers())
    assert [each.split()[0] for each in ours] == [each.split()[0] for each in reference]
    assert ours[2:6] == reference[2:6]


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
def test_a_scaler_for_a_gpu_that_is_not_there_is_off() -> None:
    with pytest.warns(UserWarning, match="CUDA is not available"):
        assert not GradScaler().is_enabled()


# -- the same bits every time --------------------------------------------------------------------------------


def test_deterministic_algorithms_are_pytorchs_switch() -> None:
    before = torch.are_deterministic_algorithms_enabled()
    try:
        for mode in (True, False):
            ninja.use_deterministic_algorithms(mode, warn_only=True)
            assert (
                ninja.are_deterministic_algorithms_enabled()
                == torch.are_deterministic_algorithms_enabled()
                == mode
            )
    finally:
        torch.use_deterministic_algorithms(before)


@pytest.mark.parametrize("device", ["torch", pytest.param("cuda", marks=GPU)])
def test_what_is_scattered_adds_up_to_the_same_bits(device: str) -> None:
    """The gradients of an index, of `gather` and of an embedding, with thousands of rows in each cell."""
    rng = np.random.default_rng(0)
    rows, weight = rng.integers(0, 3, 20_000), rng.normal(size=(20_000, 4)).astype(np.float32)
    index, weights = ninja.tensor(rows, device=device), ninja.tensor(weight, device=device)
    columns = (index % 4).reshape(-1, 4)
    seen = set()
    ninja.use_deterministic_algorithms(True)
    try:
        for _ in range(5):
            table = ninja.ones(3, 4, device=device, requires_grad=True)
            (table[index] * weights).sum().backward()
            wide = ninja.ones(5000, 4, device=device, requires_grad=True)
            (wide.gather(1, columns) * weights[:5000]).sum().backward()
            seen.add((table.grad.cpu().numpy().tobytes(), wide.grad.cpu().numpy().tobytes()))
    finally:
        ninja.use_deterministic_algorithms(False)
    assert len(seen) == 1
    exact = np.zeros((3, 4))
    np.add.at(exact, rows, weight.astype(np.float64))
    np.testing.assert_allclose(table.grad.cpu().numpy(), exact, rtol=0, atol=2e-3)
