"""Models that are compiled themselves, with hooks, and of the user's own classes."""

from typing import Any

from contract import compiled, same
from contract_models import X, Y, network

import tinygrad_ninja as torch
from tinygrad_ninja import nn
from tinygrad_ninja.nn import functional as F

# -- a model that is compiled itself -------------------------------------------------------------------------


@same
def test_a_model_itself(C: Any) -> Any:
    model = network()
    fast = C(model)
    for k in range(6):
        with torch.no_grad():
            yield fast(X + k)
        if k == 1:
            fast.eval()
        if k == 3:
            model.train()
    yield model, [name for name, _ in fast.named_parameters()], fast.training


@same
def test_a_compiled_model_is_trained(C: Any) -> Any:
    model = network()
    fast = C(model)
    optimizer = torch.optim.SGD(fast.parameters(), lr=0.1)
    for _ in range(6):
        loss = F.cross_entropy(fast(X), Y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        yield loss.item(), model, optimizer
    yield fast.state_dict()


@same
def test_a_compiled_model_has_the_models_attributes(C: Any) -> Any:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer, self.k = nn.Linear(3, 2), 2.0

        def forward(self, x: Any) -> Any:
            return self.layer(x) * self.k

        def twice(self, x: Any) -> Any:
            return self(x) * 2

    net = Net()
    fast = C(net)
    yield fast(X).detach(), fast.k, fast.layer.weight
    fast.k = 5.0
    yield fast(X).detach(), net.k
    fast.load_state_dict({"layer.weight": torch.ones(2, 3), "layer.bias": torch.zeros(2)})
    yield (
        fast(X).detach(),
        fast.twice(X).detach(),
        [*map(id, fast.parameters())] == [*map(id, net.parameters())],
    )
    fast.layer = nn.Linear(3, 2)
    yield fast(X).detach(), len(list(fast.modules())) >= 2


@compiled
def test_a_compiled_model_makes_others_of_its_class(C: Any) -> Any:
    """By a method, a class method and a slice; none of them is the compiled one."""

    class Net(nn.Module):
        def __init__(self, k: float = 1.0) -> None:
            super().__init__()
            self.layer, self.k = nn.Linear(3, 2), k

        def forward(self, x: Any) -> Any:
            return self.layer(x) * self.k

        def scaled(self, k: float) -> Any:
            made = type(self)(k)
            made.load_state_dict(self.state_dict())
            return made

        @classmethod
        def doubled(cls) -> Any:
            return cls(k=2.0)

    with torch.no_grad():
        net, layers = C(Net()), C(nn.Sequential(nn.Linear(3, 3), nn.Tanh(), nn.Linear(3, 2)))
        for _ in range(3):
            yield net(X), layers(X)
        made = net.scaled(3.0)
        yield made(X), net.doubled()(X), type(made).__name__, isinstance(made, Net), layers[:2](X)
        made.layer.weight.zero_()
        yield made(X), net(X), layers(X)


@same
def test_a_compiled_model_within_another(C: Any) -> Any:
    inner = C(nn.Sequential(nn.Linear(3, 3), nn.Tanh()))

    def f(x: Any) -> Any:
        return inner(x).detach() * 2

    for k in range(5):
        yield f(X + k)
        if k == 2:
            inner[0].weight.data.fill_(0.5)


@same
def test_forward_of_a_model_is_compiled(C: Any) -> Any:
    model = network()
    forward = C(model.forward)
    for k in range(6):
        with torch.no_grad():
            yield forward(X), model
        if k == 1:
            model.eval()
        if k == 3:
            model[2] = nn.ReLU()


@same
def test_forward_is_decorated(C: Any) -> Any:
    class Scaled(nn.Module):
        def __init__(self, k: float) -> None:
            super().__init__()
            self.layer, self.k = nn.Linear(3, 2), k

        @C
        def forward(self, x: Any) -> Any:
            return self.layer(x).detach() * self.k

    a, b = Scaled(1.0), Scaled(2.0)
    for k in range(3):
        yield a(X + k), b(X + k)
    a.k = 7.0
    yield a(X), b(X)
    b.layer = nn.Linear(3, 2)
    yield a(X), b(X), nn.Sequential(a, b.layer.__class__(2, 2))(X)


# -- hooks ---------------------------------------------------------------------------------------------------


@same
def test_hooks_come_and_go(C: Any) -> Any:
    model = nn.Sequential(nn.Linear(3, 3), nn.Tanh())
    f = C(lambda x: model(x).detach())
    yield f(X)
    handle = model[1].register_forward_hook(lambda layer, args, out: out + 1)
    yield f(X), f(X)
    other = model.register_forward_pre_hook(lambda layer, args: (args[0] * 3,))
    yield f(X), f(X)
    handle.remove()
    yield f(X)
    other.remove()
    yield f(X)


@same
def test_a_hook_keeps_what_it_sees(C: Any) -> Any:
    model, seen = nn.Sequential(nn.Linear(3, 2), nn.Tanh()), []
    model[1].register_forward_hook(lambda layer, args, out: seen.append(out.detach()))
    f = C(lambda x: model(x).detach())
    for k in range(5):
        yield f(X + k)
        yield len(seen), seen[-1] * 1


@same
def test_hooks_of_tensors_come_and_go(C: Any) -> Any:
    w = torch.ones(3, requires_grad=True)

    def step(x: Any) -> Any:
        w.grad = None
        ((w * x) ** 2).sum().backward()
        return w.grad * 1

    step = C(step)
    yield step(X[0]), w
    handle = w.register_hook(lambda grad: grad * 10)
    yield step(X[0]), step(X[1]), w
    handle.remove()
    yield step(X[0]), w
    count = []
    w.register_hook(lambda grad: count.append(1))
    yield step(X[0]), step(X[0]), w, count


# -- models of the user's ------------------------------------------------------------------------------------


@same
def test_plain_attributes_of_a_module(C: Any) -> Any:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(3, 3)
            self.scale, self.residual, self.act, self.sizes = 2.0, True, torch.tanh, [1, 2]

        def forward(self, x: Any) -> Any:
            h = self.act(self.layer(x)) * self.scale
            return (h + x if self.residual else h) * self.sizes[-1]

    net = Net()
    f = C(lambda x: net(x).detach())
    yield f(X)
    net.scale = 3.0
    yield f(X)
    net.residual = False
    yield f(X)
    net.act = torch.relu
    yield f(X)
    net.sizes.append(5)
    yield f(X)
    net.new = 1
    yield f(X), net


@same
def test_a_method_of_a_modules_class_is_replaced(C: Any) -> Any:
    class Net(nn.Module):
        def forward(self, x: Any) -> Any:
            return self.act(x) * 2

        def act(self, x: Any) -> Any:
            return x.tanh()

    net = Net()
    f = C(lambda x: net(x))
    yield f(X), f(X * 2)
    Net.act = lambda self, x: x.relu()
    yield f(X), f(X * 2)
    net.act = lambda x: x + 100
    yield f(X), f(X * 2)


@same
def test_a_buffer_that_forward_binds_anew(C: Any) -> Any:
    class Average(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("mean", torch.zeros(3))

        def forward(self, x: Any) -> Any:
            self.mean = 0.9 * self.mean + 0.1 * x.mean(0)
            return x - self.mean

    net = Average()
    f = C(lambda x: net(x))
    for k in range(6):
        yield f(X + k), net
        if k == 3:
            net.mean.zero_()


@same
def test_a_module_counts_its_calls(C: Any) -> Any:
    class Net(nn.Module):
        calls = 0

        def forward(self, x: Any) -> Any:
            self.calls += 1
            return x * self.calls

    net = Net()
    f = C(lambda x: net(x))
    for _ in range(6):
        yield f(X), net.calls
