"""`to_torch` and `from_torch`: the same network on the other side, and what goes on from there."""

import functools
import subprocess
import sys
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import tinygrad_ninja as ninja
import tinygrad_ninja.nn.functional as F
from tinygrad_ninja import from_torch, nn, to_torch
from tinygrad_ninja.makemore.models import MODELS, Model
from tinygrad_ninja.makemore.models.rows import RowModel

ROOT = Path(__file__).parents[1]


def close(ours: Any, theirs: Any) -> None:
    theirs = theirs.detach().numpy()
    np.testing.assert_allclose(ours.detach().numpy(), theirs, rtol=1e-6, atol=1e-6)
    assert ours.detach().numpy().dtype == theirs.dtype


def same_state(ours: Any, theirs: Any) -> None:
    mine, yours = ours.state_dict(), theirs.state_dict()
    assert list(mine) == list(yours)
    for name in mine:
        close(mine[name], yours[name])


def numbers(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).normal(size=shape).astype(np.float32)


# -- layers --------------------------------------------------------------------------------------------------

Layer = Callable[[Any], Any]
CLASSES, FEATURES = numbers(5, 4) > 0, numbers(5, 4)

LAYERS: list[tuple[Layer, np.ndarray]] = [
    (lambda t: t.nn.Linear(4, 3), FEATURES),
    (lambda t: t.nn.Linear(4, 3, bias=False, dtype=t.float64), FEATURES.astype(np.float64)),
    (lambda t: t.nn.Embedding(7, 3), CLASSES.astype(np.int64)),
    (lambda t: t.nn.Embedding(7, 3, padding_idx=-2), CLASSES.astype(np.int64)),
    (lambda t: t.nn.BatchNorm1d(4, eps=1e-3, momentum=0.3), FEATURES),
    (lambda t: t.nn.BatchNorm1d(4, momentum=None, affine=False), FEATURES),
    (lambda t: t.nn.BatchNorm1d(4, track_running_stats=False), FEATURES),
    (lambda t: t.nn.LayerNorm((5, 4), eps=1e-2), FEATURES),
    (lambda t: t.nn.LayerNorm(4, bias=False), FEATURES),
    (lambda t: t.nn.LayerNorm(4, elementwise_affine=False), FEATURES),
    (lambda t: t.nn.RMSNorm(4, eps=0.1), FEATURES),
    (lambda t: t.nn.GroupNorm(2, 4, bias=False), FEATURES),
    (lambda t: t.nn.GroupNorm(1, 4, affine=False), FEATURES),
    (lambda t: t.nn.Dropout(0.25, inplace=True).eval(), FEATURES),
    (lambda t: t.nn.Dropout(1.0), FEATURES),
    (lambda t: t.nn.Flatten(0, -1), FEATURES),
    (lambda t: t.nn.Identity(), FEATURES),
    (lambda t: t.nn.ReLU(inplace=True), FEATURES),
    (lambda t: t.nn.GELU(approximate="tanh"), FEATURES),
    (lambda t: t.nn.GELU(), FEATURES),
    (lambda t: t.nn.LeakyReLU(0.2), FEATURES),
    (lambda t: t.nn.LeakyReLU(negative_slope=0.3, inplace=True), FEATURES),
    (lambda t: t.nn.ELU(0.5, True), FEATURES),
    (lambda t: t.nn.SELU(), FEATURES),
    (lambda t: t.nn.CELU(2.0), FEATURES),
    (lambda t: t.nn.SiLU(inplace=True), FEATURES),
    (lambda t: t.nn.Mish(), FEATURES),
    (lambda t: t.nn.Softplus(2.0, 3.0), FEATURES),
    (lambda t: t.nn.Softsign(), FEATURES),
    (lambda t: t.nn.LogSigmoid(), FEATURES),
    (lambda t: t.nn.Hardtanh(-0.5, 2.0, True), FEATURES),
    (lambda t: t.nn.ReLU6(), FEATURES),
    (lambda t: t.nn.PReLU(), FEATURES),
    (lambda t: t.nn.GLU(), FEATURES),
    (lambda t: t.nn.PReLU(4, init=0.5), FEATURES),
    (lambda t: t.nn.Tanh(), FEATURES),
    (lambda t: t.nn.Sigmoid(), FEATURES),
    (lambda t: t.nn.Softmax(dim=1), FEATURES),
    (lambda t: t.nn.LogSoftmax(dim=0), FEATURES),
    (lambda t: t.nn.Sequential(OrderedDict(a=t.nn.Linear(4, 3), b=t.nn.Tanh())), FEATURES),
]


@pytest.mark.parametrize(("make", "given"), LAYERS)
def test_a_layer_crosses_both_ways(make: Layer, given: np.ndarray) -> None:
    """Its class, its settings, its numbers, its mode, and what it computes: forward, backward, and
    afterwards."""
    ours, theirs = make(ninja), make(torch)
    for source, made in ((ours, to_torch(ours)), (theirs, from_torch(theirs))):
        here, there = (source, made) if source is ours else (made, source)
        assert type(there).__module__.startswith("torch.nn")
        assert type(here).__module__.startswith("tinygrad_ninja.nn")
        assert repr(here) == repr(there)
        assert here.training == there.training
        for _ in range(2):  # running statistics move
            x, y = ninja.tensor(given), torch.tensor(given)
            close(here(x), there(y))
        same_state(here, there)
        if list(here.parameters()):
            (here(x) ** 2).sum().backward()
            (there(y) ** 2).sum().backward()
            for mine, yours in zip(here.parameters(), there.parameters(), strict=True):
                np.testing.assert_allclose(mine.grad.numpy(), yours.grad.numpy(), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    "options", [{}, {"bias": False}, {"add_bias_kv": True}, {"add_zero_attn": True, "bias": False}], ids=str
)
def test_attention_crosses_both_ways(options: dict[str, bool]) -> None:
    make: Layer = lambda t: t.nn.MultiheadAttention(4, 2, batch_first=True, **options)  # noqa: E731
    ours, theirs = make(ninja), make(torch)
    x = numbers(2, 5, 4)
    for here, there in ((ours, to_torch(ours)), (from_torch(theirs), theirs)):
        assert type(here) is nn.MultiheadAttention
        assert type(there) is torch.nn.MultiheadAttention
        for mine, yours in zip(here(*[ninja.tensor(x)] * 3), there(*[torch.tensor(x)] * 3), strict=True):
            close(mine, yours)
        same_state(here, there)


def test_losses_cross_both_ways() -> None:
    target = CLASSES[:, 0].astype(np.int64)
    for make in (
        lambda t: t.nn.CrossEntropyLoss(t.tensor([1.0, 2, 3, 4]), label_smoothing=0.1, reduction="sum"),
        lambda t: t.nn.NLLLoss(ignore_index=1),
    ):
        ours, theirs = make(ninja), make(torch)
        for here, there in ((ours, to_torch(ours)), (from_torch(theirs), theirs)):
            close(
                here(ninja.tensor(FEATURES), ninja.tensor(target)),
                there(torch.tensor(FEATURES), torch.tensor(target)),
            )
    assert to_torch(nn.MSELoss(reduction="none")).reduction == "none"


def test_containers_cross_both_ways() -> None:
    ours = nn.ModuleDict(
        {"list": nn.ModuleList([nn.Linear(2, 2), nn.Tanh()]), "p": nn.ParameterList([ninja.ones(2)])}
    )
    ours["named"] = nn.ParameterDict({"b": ninja.ones(2), "a": ninja.zeros(1)})
    theirs = to_torch(ours)
    assert [*theirs["named"]] == [*from_torch(theirs)["named"]] == ["a", "b"]
    assert type(theirs["list"]) is torch.nn.ModuleList
    assert len(theirs["p"]) == 1
    same_state(ours, theirs)
    same_state(from_torch(theirs), theirs)


# -- what is shared, frozen, elsewhere -----------------------------------------------------------------------


class Tied(nn.Module):
    """An output layer that is the embedding, transposed; a block that stands at two places; a buffer that is
    not saved, and one that may be missing."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(6, 4)
        self.block = nn.Sequential(nn.Linear(4, 4), nn.Dropout(0.5))
        self.again = self.block
        self.head = nn.Linear(4, 6)
        self.head.weight = self.embedding.weight
        self.head.bias.requires_grad = False
        self.register_buffer("scratch", ninja.arange(3), persistent=False)
        self.register_buffer("absent", None)
        self.kept = {"tensors": [ninja.ones(2), None], "dtype": ninja.float64, "device": ninja.device("cpu")}

    def forward(self, X: Any) -> Any:
        return self.head(self.again(self.block(self.embedding(X))))


def test_what_is_shared_stays_shared_and_what_is_frozen_frozen() -> None:
    ours = Tied()
    ours.block[1].eval()
    theirs = to_torch(ours)
    assert theirs.head.weight is theirs.embedding.weight
    assert theirs.again is theirs.block
    assert not theirs.head.bias.requires_grad
    assert theirs.training
    assert not theirs.block[1].training
    assert [name for name, _ in theirs.named_buffers()] == ["scratch"]
    assert theirs.kept["dtype"] is torch.float64
    assert theirs.kept["device"] == torch.device("cpu")
    assert torch.equal(theirs.kept["tensors"][0], torch.ones(2))
    same_state(ours, theirs)
    X = ninja.randint(0, 6, (3, 2))
    close(ours(X), theirs(to_torch(X)))
    with torch.no_grad():
        theirs.head.weight += 1
    assert not np.allclose(ours.head.weight.detach().numpy(), theirs.head.weight.detach().numpy())
    back = from_torch(theirs)
    assert back.head.weight is back.embedding.weight
    close(back(X), theirs(to_torch(X)))


def test_no_random_number_is_drawn() -> None:
    model = nn.Sequential(nn.Linear(20, 20), nn.Embedding(9, 9))
    ours, theirs = ninja.get_rng_state().tolist(), torch.get_rng_state()
    from_torch(to_torch(model))
    assert ninja.get_rng_state().tolist() == ours
    assert torch.equal(torch.get_rng_state(), theirs)


def test_a_model_on_torchs_arrays_crosses_too() -> None:
    ours = nn.Linear(3, 2).to("torch")
    theirs = to_torch(ours)
    theirs.weight.data.zero_()
    assert ours.weight.detach().numpy().any()
    assert from_torch(theirs).weight.device == ninja.device("cpu")


@pytest.mark.gpu
def test_a_model_on_the_gpu_stays_there() -> None:
    theirs = to_torch(nn.Linear(3, 2).to("cuda"))
    assert theirs.weight.device.type == "cuda"
    assert from_torch(theirs).weight.device.type == "cuda"


# -- the user's own code -------------------------------------------------------------------------------------

SCALE = ninja.tensor([2.0, 3.0, 4.0])


def helper(x: Any) -> Any:
    return F.relu(x) * SCALE


class Base(nn.Module):
    width = 3

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(3, 3)

    def forward(self, x: Any) -> Any:
        return ninja.tanh(self.first(x))


class Own(Base):
    """Names from its module, a base, a property, defaults, closures, a bound method, a buffer set anew."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(3)
        self.register_buffer("calls", ninja.zeros(()))
        self.act = functools.partial(F.gelu, approximate="tanh")
        self.bound = self.twice
        self.squash = make_squash(ninja.sigmoid)
        self.generator = ninja.Generator().manual_seed(3)

    @property
    def total(self) -> Any:
        return ninja.cat([each.flatten() for each in self.parameters()]).sum()

    def twice(self, x: Any, factor: Any = SCALE) -> Any:
        return x * factor

    @staticmethod
    def shifted(x: Any) -> Any:
        return x + ninja.ones_like(x)

    @ninja.no_grad()
    def count(self) -> None:
        self.calls = self.calls + 1

    def forward(self, x: Any) -> Any:
        self.count()
        h = super().forward(x)
        noise = ninja.randn(h.shape, generator=self.generator)
        h = self.act(self.norm(self.bound(helper(h)))) + sum(self.shifted(each) for each in (h, noise))
        return self.squash(h.view(-1, self.width)) * self.total

    def of_the_engine(self) -> Any:
        return ninja.derive(self.total)


def make_squash(function: Any) -> Any:
    def squash(x: Any) -> Any:
        return function(x) if x.ndim < 3 else squash(x[0])

    return squash


def test_a_users_own_code_runs_there() -> None:
    ours = Own()
    theirs = to_torch(ours)
    assert isinstance(theirs, torch.nn.Module)
    assert type(theirs).__name__ == "Own"
    assert type(theirs).__mro__[1].__name__ == "Base"
    for _ in range(2):
        x = numbers(4, 3)
        close(ours(ninja.tensor(x)), theirs(torch.tensor(x)))
    assert theirs.calls == 2
    same_state(ours, theirs)
    back = from_torch(theirs)
    close(back(ninja.tensor(x)), theirs(torch.tensor(x)))
    with pytest.raises(TypeError, match=r"to_torch: Own\.of_the_engine uses .*derive"):
        theirs.of_the_engine()  # the rest of it goes on without


def test_code_written_for_torch_runs_here() -> None:
    class Theirs(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.linear = torch.nn.Linear(3, 2)

        @torch.no_grad()
        def scaled(self, x: Any) -> Any:
            return x * 2

        def forward(self, x: Any) -> Any:
            return torch.nn.functional.softmax(self.linear(self.scaled(x)), dim=-1)

    theirs = Theirs()
    ours = from_torch(theirs)
    assert isinstance(ours, nn.Module)
    close(ours(ninja.tensor(FEATURES[:, :3])), theirs(torch.tensor(FEATURES[:, :3])))


def small(name: str) -> tuple[Model, Any]:
    """A model of the application's, small, and contexts for it."""
    recipe = MODELS[name].recipe
    recipe = replace(recipe, embedding=8, hidden=16, layers=min(recipe.layers, 2), heads=2)
    generator = ninja.Generator().manual_seed(1)
    return MODELS[name](27, recipe, generator), ninja.randint(0, 27, (8, recipe.context), generator=generator)


@pytest.mark.parametrize("name", MODELS)
def test_the_models_of_the_lecture_cross(name: str) -> None:
    """In training, dropout and batch statistics included, and in evaluation; their losses and gradients
    too."""
    ours, X = small(name)
    theirs = to_torch(ours)
    for training in (True, False):
        ours.train(training)
        theirs.train(training)
        close(ours(X), theirs(to_torch(X)))
    same_state(ours, theirs)
    Y = X if isinstance(ours, RowModel) else X[:, 0]
    loss, their_loss = ours.loss(X, Y), theirs.loss(to_torch(X), to_torch(Y))
    loss.backward()
    their_loss.backward()
    close(loss, their_loss)
    for mine, yours in zip(ours.parameters(), theirs.parameters(), strict=True):
        scale = float(yours.grad.abs().max())
        np.testing.assert_allclose(mine.grad.numpy(), yours.grad.numpy(), rtol=0, atol=1e-5 * scale + 1e-8)
    close(from_torch(theirs)(X), theirs(to_torch(X)))


@pytest.mark.parametrize(
    ("ours", "theirs"), [(ninja.optim.AdamW, torch.optim.AdamW), (ninja.optim.SGD, torch.optim.SGD)]
)
def test_a_training_goes_on_there_with_its_optimizer(ours: Any, theirs: Any) -> None:
    """The next ten losses are those of the training that stays."""
    settings = {"lr": 0.02} if ours is ninja.optim.AdamW else {"lr": 0.02, "momentum": 0.9}
    model = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.Tanh(), nn.Linear(8, 3))
    optimizer = ours(model.parameters(), **settings)
    target = ninja.tensor(CLASSES[:, 0].astype(np.int64))

    def steps(model: Any, optimizer: Any, x: Any, y: Any, cross_entropy: Any) -> list[float]:
        losses = []
        for _ in range(10):
            loss = cross_entropy(model(x), y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        return losses

    steps(model, optimizer, ninja.tensor(FEATURES), target, F.cross_entropy)
    moved = to_torch(model)
    their_optimizer = theirs(moved.parameters(), **settings)
    their_optimizer.load_state_dict(to_torch(optimizer.state_dict()))
    stays = steps(model, optimizer, ninja.tensor(FEATURES), target, F.cross_entropy)
    goes = steps(
        moved, their_optimizer, torch.tensor(FEATURES), to_torch(target), torch.nn.functional.cross_entropy
    )
    assert goes == pytest.approx(stays, rel=1e-5)


# -- what does not cross -------------------------------------------------------------------------------------


class Engines(nn.Module):
    def forward(self, x: Any) -> Any:
        return ninja.derive(x.sum())


class Within(nn.Module):
    def forward(self, x: Any) -> Any:
        import tinygrad_ninja as engine

        return engine.tanh(x)


class Holder:
    def __init__(self) -> None:
        self.table = ninja.ones(2)


class Holds(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.holder = Holder()

    def forward(self, x: Any) -> Any:
        return x * self.holder.table


def hooked() -> nn.Module:
    layer = nn.Linear(2, 2)
    layer.register_forward_hook(lambda *_: None)
    return nn.Sequential(layer)


@pytest.mark.parametrize(
    ("make", "named"),
    [
        (lambda: nn.Sequential(Engines()), r"Engines\.forward uses .*derive"),
        (Within, r"Within\.forward imports tinygrad_ninja"),
        (Holds, r"Holds\.holder uses a Holder with Tensors in it"),
        (hooked, r"Sequential\.0 has hooks"),
        (lambda: 3, "takes a Module or a Tensor of tinygrad_ninja, .* not int"),
        (lambda: torch.nn.Linear(2, 2), "takes a Module or a Tensor of tinygrad_ninja, .* not Linear"),
    ],
)
def test_what_does_not_cross_is_named(make: Callable[[], Any], named: str) -> None:
    with pytest.raises(TypeError, match=f"to_torch.*{named}"):
        to_torch(make())


@pytest.mark.parametrize(
    ("make", "error", "named"),
    [
        (lambda: torch.nn.Sequential(torch.nn.Conv2d(2, 2, 1)), TypeError, r"Sequential\.0 is a Conv2d"),
        (lambda: torch.nn.Embedding(3, 2, max_norm=1.0), NotImplementedError, "max_norm"),
        (lambda: {"x": torch.ones(2, dtype=torch.complex64)}, TypeError, r"dict\.x is complex64"),
        (lambda: torch.ones(2).to_sparse(), TypeError, "Tensor is float32 and torch.sparse_coo"),
    ],
)
def test_what_does_not_come_here_is_named(
    make: Callable[[], Any], error: type[Exception], named: str
) -> None:
    with pytest.raises(error, match=named):
        from_torch(make())


def test_without_torch_it_says_how_to_get_it() -> None:
    script = (
        "import sys; sys.modules['torch'] = None; import tinygrad_ninja as t\n"
        "try: t.to_torch(t.nn.Linear(2, 2))\nexcept ImportError as error: print(error)"
    )
    found = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, encoding="utf-8")
    assert (
        found.stdout
        == 'to_torch needs PyTorch, which is not installed: pip install "tinygrad-ninja[torch]"\n'
    )


# -- onwards -------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # of the exporter's own parts about each other
@pytest.mark.parametrize("name", ["bn-mlp", "deep", "wavenet", "gpt"])
def test_onnx_gives_the_same_outputs(name: str) -> None:
    """Exported by PyTorch's exporter, run by onnxruntime, also for another number of examples."""
    pytest.importorskip("onnx", reason="needs onnx")
    pytest.importorskip("onnxscript", reason="needs onnxscript, with which PyTorch exports")
    runtime = pytest.importorskip("onnxruntime", reason="needs onnxruntime, which runs what was exported")
    ours, X = small(name)
    ours(X)  # so that running statistics are not 0 and 1
    ours.eval()
    batch = torch.export.Dim("batch", min=2)
    program = torch.onnx.export(
        to_torch(ours), (to_torch(X),), dynamo=True, dynamic_shapes=({0: batch},), verbose=False
    )
    session = runtime.InferenceSession(
        program.model_proto.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    for n in (8, 5):
        (out,) = session.run(None, {session.get_inputs()[0].name: X[:n].numpy()})
        np.testing.assert_allclose(out, ours(X[:n]).detach().numpy(), rtol=0, atol=1e-6)


@pytest.mark.slow
def test_the_example_continues_in_pytorch(tmp_path: Path) -> None:
    result = subprocess.run(
        [sys.executable, "-W", "error", ROOT / "examples" / "continue_in_pytorch.py", "60"],
        capture_output=True,
        check=True,
        encoding="utf-8",
        cwd=tmp_path,
        timeout=120,
    )
    left, taken_over, later = (float(line.split()[-1]) for line in result.stdout.splitlines())
    assert left == taken_over
    assert later < taken_over
