"""What the scenarios of modules and optimizers begin with."""

from collections.abc import Callable
from typing import Any

import tinygrad_ninja as torch
from tinygrad_ninja import nn
from tinygrad_ninja.nn import functional as F

X = torch.tensor([[1.0, -2.0, 0.5], [3.0, 0.25, -1.0], [0.0, 1.0, 2.0], [-1.5, 2.0, 1.0]])
Y = torch.tensor([0, 1, 1, 0])

OPTIMIZERS: dict[str, Callable[[Any], Any]] = {
    "SGD": lambda ps: torch.optim.SGD(ps, lr=0.1),
    "SGD with momentum": lambda ps: torch.optim.SGD(
        ps, lr=0.1, momentum=0.9, weight_decay=0.01, nesterov=True
    ),
    "Adam": lambda ps: torch.optim.Adam(ps, lr=0.01),
    "Adam with amsgrad": lambda ps: torch.optim.Adam(ps, lr=0.01, amsgrad=True, weight_decay=0.1),
    "AdamW": lambda ps: torch.optim.AdamW(ps, lr=0.01),
    "RMSprop": lambda ps: torch.optim.RMSprop(ps, lr=0.01, alpha=0.9, momentum=0.5, centered=True, eps=0.1),
    "Adagrad": lambda ps: torch.optim.Adagrad(ps, lr=0.1, lr_decay=0.1),
    "NAdam": lambda ps: torch.optim.NAdam(ps, lr=0.01, momentum_decay=0.1),
}


def network() -> Any:
    return nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Tanh(), nn.Dropout(0.25), nn.Linear(4, 2))


def trained(C: Any, kind: str) -> tuple[Any, Any, Any]:
    """A model, its optimizer, and a step."""
    model = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2))
    optimizer = OPTIMIZERS[kind](model.parameters())

    def step(x: Any) -> Any:
        loss = F.cross_entropy(model(x), Y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss

    return model, optimizer, C(step)
