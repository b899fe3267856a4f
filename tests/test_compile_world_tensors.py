"""What `World` sees of Tensors, models, optimizers and the engine's settings, and what is no change."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from world_scenes import Change, Scene, Scenes, check_that_the_change_is_seen

import tinygrad_ninja as torch
from tinygrad_ninja import nn
from tinygrad_ninja.program.compile.guards.held import Entry
from tinygrad_ninja.program.compile.guards.world import World

SCENES = Scenes()


# -- Tensors and arrays --------------------------------------------------------------------------------------


def of_tensor(change: Callable[[Any], Any], words: str, leaf: bool = True) -> Scene:
    """Return the scene of a Tensor that is changed."""

    def make() -> tuple[Any, Change, str]:
        w = torch.ones(2).requires_grad_(leaf)
        return lambda: w * 2, lambda: change(w), f"variable `w` {words}"

    return make


SCENES |= {
    "freeze": of_tensor(lambda w: w.requires_grad_(False), "requires no gradient now"),
    "unfreeze": of_tensor(lambda w: w.requires_grad_(True), "requires a gradient now", leaf=False),
    "hook": of_tensor(lambda w: w.register_hook(lambda g: g), "has other hooks"),
    "history": of_tensor(
        lambda w: w.mul_(torch.ones(2).requires_grad_()), "requires a gradient now", leaf=False
    ),
    "gradient": of_tensor(lambda w: setattr(w, "grad", torch.ones(2)), "has another gradient", leaf=False),
}  # fmt: skip


@SCENES.add
def a_hook_that_is_removed() -> tuple[Any, Change, str]:
    w = torch.ones(2).requires_grad_()
    handle = w.register_hook(lambda g: g)
    return lambda: w * 2, handle.remove, "has other hooks"


@SCENES.add
def what_a_hook_reads() -> tuple[Any, Change, str]:
    w, factors = torch.ones(2).requires_grad_(), [1.0]
    w.register_hook(lambda g: g * factors[0])
    return lambda: w * 2, lambda: factors.append(2.0), "`factors` (a list)"


@SCENES.add
def a_gradient_that_is_retained() -> tuple[Any, Change, str]:
    h = torch.ones(2).requires_grad_() * 2
    return lambda: h * 2, h.retain_grad, "has other hooks"


@SCENES.add
def another_tensor() -> tuple[Any, Change, str]:
    kept = [torch.ones(2)]
    return lambda: kept[0] * 2, lambda: kept.__setitem__(0, torch.ones(2)), "`kept[0]` is another Tensor"


@SCENES.add
def a_view_s_root() -> tuple[Any, Change, str]:
    base = torch.ones(2).requires_grad_()
    view = base.view(2)
    return lambda: view * 2, lambda: base.requires_grad_(False), "requires no gradient now"


@SCENES.add
def an_attribute_of_a_tensor() -> tuple[Any, Change, str]:
    class Weight(torch.Tensor):
        pass

    w = Weight([1.0])
    w.scale = 1
    return lambda: w * w.scale, lambda: setattr(w, "scale", 2), "`w.scale` was 1 and is 2"


@SCENES.add
def a_small_array() -> tuple[Any, Change, str]:
    table = np.zeros(4)
    return lambda: table[0], lambda: table.fill(1), "variable `table` has other elements"


@SCENES.add
def a_shape_of_an_array() -> tuple[Any, Change, str]:
    table = np.zeros(4)

    def change() -> None:
        with warnings.catch_warnings(action="ignore"):  # a later NumPy says that this will not be possible
            table.shape = (2, 2)

    return lambda: table[0], change, "variable `table` has other elements"


# -- modules and optimizers of this package ------------------------------------------------------------------


def of_model(change: Callable[[Any], Any], words: str) -> Scene:
    """Return the scene of a model that is changed."""

    def make() -> tuple[Any, Change, str]:
        model = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3), nn.Dropout(0.5), nn.Tanh())
        return lambda x: model(x), lambda: change(model), words

    return make


SCENES |= {
    "eval": of_model(lambda m: m.eval(), "`model.training` was True and is False"),
    "eval of a part": of_model(lambda m: m[1].eval(), "`model[1].training` was True and is False"),
    "part replaced": of_model(lambda m: m.__setitem__(3, nn.ReLU()), "`model[3]`"),
    "part added": of_model(lambda m: m.append(nn.ReLU()), "`model` has 5 parts and had 4"),
    "part removed": of_model(lambda m: m.pop(3), "`model"),
    "dropout's p": of_model(lambda m: setattr(m[2], "p", 0.1), "`model[2].p` was 0.5 and is 0.1"),
    "momentum": of_model(lambda m: setattr(m[1], "momentum", 1.0), "`model[1].momentum`"),
    "parameter": of_model(
        lambda m: setattr(m[0], "weight", nn.Parameter(torch.ones(3, 2))), "`model[0].weight` is another"
    ),
    "buffer": of_model(lambda m: setattr(m[1], "running_mean", torch.ones(3)), "`model[1].running_mean`"),
    "module hook": of_model(lambda m: m[3].register_forward_hook(lambda *a: None), "_forward_hooks"),
    "module pre-hook": of_model(lambda m: m.register_forward_pre_hook(lambda *a: None), "_forward_pre_hooks"),
    "freeze the model": of_model(lambda m: m.requires_grad_(False), "`model[0].weight` requires no gradient"),
    "forward of a part": of_model(lambda m: setattr(m[3], "forward", lambda x: x), "`model[3].forward`"),
}  # fmt: skip


class Net(nn.Module):
    """A model with numbers, a list of layers and a counter of its own."""

    scale = 1.0

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(2, 2)
        self.others = [nn.Tanh()]
        self.count = 0
        self.factor = 1.0

    def forward(self, x: Any) -> Any:
        x = self.layer(x) * self.factor * self.scale
        for layer in self.others:
            x = layer(x)
        return self.helper(x)

    def helper(self, x: Any) -> Any:
        self.count += 1
        return x


def of_net(change: Callable[[Any], Any], words: str) -> Scene:
    """Return the scene of such a model that is changed."""

    def make() -> tuple[Any, Change, str]:
        net = Net()
        return net, lambda: change(net), words

    return make


SCENES |= {
    "net attribute": of_net(lambda n: setattr(n, "factor", 2.0), "`self.factor` was 1.0 and is 2.0"),
    "net counter": of_net(lambda n: n(torch.ones(1, 2)), "`self.count` was 0 and is 1"),
    "net class": of_net(lambda n: setattr(n, "scale", 2.0), "`self.scale` is there now"),
    "net part": of_net(lambda n: n.layer.eval(), "`self.layer.training`"),
    "net list": of_net(lambda n: n.others.append(nn.ReLU()), "`self.others` (a list) has 2 elements"),
    "net part in a list": of_net(lambda n: n.others[0].eval(), "`self.others[0].training`"),
    "net new part": of_net(lambda n: setattr(n, "more", nn.Tanh()), "`self` has 2 parts and had 1"),
}  # fmt: skip


def of_optimizer(change: Callable[[Any], Any], words: str) -> Scene:
    """Return the scene of an optimizer that is changed."""

    def make() -> tuple[Any, Change, str]:
        w = torch.ones(2).requires_grad_()
        optimizer = torch.optim.SGD([w], lr=0.1, momentum=0.9)
        w.sum().backward()
        optimizer.step()
        return lambda: optimizer.step(), lambda: change(optimizer), words

    return make


SCENES |= {
    "momentum of a group": of_optimizer(
        lambda o: o.param_groups[0].update(momentum=0.5), "['momentum']` was 0.9 and is 0.5"
    ),
    "key of a group": of_optimizer(lambda o: o.param_groups[0].update(mine=1), "_param_groups[0]"),
    "type of a rate": of_optimizer(lambda o: o.param_groups[0].update(lr=1), "['lr']` has another type"),
    "rate that is deleted": of_optimizer(lambda o: o.param_groups[0].pop("lr"), "['lr']` is not there any"),
    "parameters of a group": of_optimizer(
        lambda o: o.param_groups[0]["params"].append(torch.ones(1)), "['params']` (a list) has 2 elements"
    ),
    "group added": of_optimizer(
        lambda o: o.add_param_group({"params": [torch.ones(1).requires_grad_()]}), "_param_groups` (a list)"
    ),
    "state cleared": of_optimizer(lambda o: o.state.clear(), "state` (a defaultdict) has 0 elements"),
    "state loaded": of_optimizer(lambda o: o.load_state_dict(o.state_dict()), "is another defaultdict"),
    "state replaced": of_optimizer(
        lambda o: next(iter(o.state.values())).update(momentum_buffer=torch.ones(2)), "momentum_buffer"
    ),
}  # fmt: skip


@SCENES.add
def a_schedule() -> tuple[Any, Change, str]:
    optimizer = torch.optim.SGD([torch.ones(1).requires_grad_()], lr=0.1)
    schedule = torch.optim.lr_scheduler.StepLR(optimizer, 1)
    optimizer.step()
    return lambda: schedule.last_epoch, schedule.step, "`schedule.last_epoch` was 0 and is 1"


@SCENES.add
def a_setting_of_a_schedule() -> tuple[Any, Change, str]:
    schedule = torch.optim.lr_scheduler.StepLR(torch.optim.SGD([torch.ones(1).requires_grad_()], lr=0.1), 1)
    return lambda: schedule.step(), lambda: setattr(schedule, "gamma", 0.5), "`schedule.gamma` was 0.1"


@SCENES.add
def a_scaler() -> tuple[Any, Change, str]:
    scaler = torch.amp.GradScaler("cpu")
    return lambda x: scaler.scale(x), lambda: setattr(scaler, "_scale", 2.0), "`scaler._scale`"


@SCENES.add
def another_generator() -> tuple[Any, Change, str]:
    g = torch.Generator()

    def change() -> None:
        nonlocal g
        g = torch.Generator()

    return lambda: torch.rand(1, generator=g), change, "`g` is another Generator"


# -- every scene ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", SCENES)
def test_a_change_is_seen(name: str) -> None:
    check_that_the_change_is_seen(SCENES[name])


MODES: dict[str, Callable[[], Any]] = {
    "grad mode": lambda: torch.no_grad(),
    "autocast": lambda: torch.autocast("cpu", torch.float16),
    "anomaly detection": lambda: torch.autograd.detect_anomaly(),
    "default dtype": lambda: DefaultDtype(),
    "deterministic algorithms": lambda: Deterministic(),
}


class DefaultDtype:
    """A context in which float64 is the default."""

    def __enter__(self) -> None:
        torch.set_default_dtype(torch.float64)

    def __exit__(self, *exc: object) -> None:
        torch.set_default_dtype(torch.float32)


class Deterministic:
    """A context in which algorithms are deterministic."""

    def __enter__(self) -> None:
        torch.use_deterministic_algorithms(True)

    def __exit__(self, *exc: object) -> None:
        torch.use_deterministic_algorithms(False)


@pytest.mark.parametrize("name", MODES)
def test_a_mode_is_seen_both_ways(name: str) -> None:
    def step(x: Any) -> Any:
        return x

    outside = World(step)
    with MODES[name]():
        assert not outside.holds()
        assert name in outside.difference()
        inside = World(step)
        assert all(inside.holds() for _ in range(100))
        assert inside.difference() == ""
    assert outside.holds()
    assert not inside.holds()
    assert name in inside.difference()


def test_the_mode_of_another_thread_is_no_change() -> None:
    entered, done = threading.Event(), threading.Event()

    def pause() -> None:
        with torch.no_grad():
            entered.set()
            done.wait()

    world, thread = World(lambda x: x), threading.Thread(target=pause)
    thread.start()
    entered.wait()
    try:
        assert world.holds()
    finally:
        done.set()
        thread.join()


def test_memory_is_not_looked_at() -> None:
    w, g = torch.ones(2).requires_grad_(), torch.Generator()
    optimizer = torch.optim.Adam([w], lr=0.1)
    model = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))

    def step() -> Any:
        loss = (model(w.view(1, 2).expand(3, 2)) + torch.rand(2, generator=g)).sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss

    step()
    world = World(step)
    for _ in range(100):
        step()
        assert world.holds()
    assert world.difference() == ""
    assert w in world.tensors
    assert world.tensors[w] == "`step`'s closure variable `w`"
    assert world.tensors[model[0].weight] == "`step`'s closure variable `model[0].weight`"
    assert world.optimizers == [optimizer]
    assert world.generators == [g]
    assert {*world.modules} == {*model.modules()}


def test_a_learning_rate_is_left_to_the_caller() -> None:
    w = torch.ones(2).requires_grad_()
    optimizer = torch.optim.SGD([w], lr=0.1)
    groups = optimizer.param_groups  # reached before the optimizer, too
    worlds = [World(lambda: optimizer.step()), World(lambda: (groups, optimizer))]
    groups[0]["lr"] = 0.2
    for world in worlds:
        assert world.holds()
        assert world.difference() == ""
        rate = Entry(groups[0], "lr")
        assert world.left == {rate: ("the learning rate", 0.1)}
        assert world.numbers_changed() == {rate: "the learning rate"}


def test_other_numbers_of_a_group_are_left_to_the_caller() -> None:
    w = torch.ones(2).requires_grad_()
    optimizer = torch.optim.Adam([w], lr=0.1)
    (group,) = optimizer.param_groups
    betas, rate = Entry(group, "betas"), Entry(group, "lr")
    world = World(lambda: optimizer.step(), (), {betas})
    assert {*world.left} == {rate, betas}
    group["betas"] = (0.5, 0.9)
    assert world.holds()
    assert world.numbers_changed() == {betas: "the optimizer's betas"}
    for others in ([0.5, 0.9], (0.5,), (0.5, 1)):
        group["betas"] = others
        assert not world.holds()
    group["betas"], group["eps"] = (0.9, 0.999), 0.1
    assert not world.holds()
