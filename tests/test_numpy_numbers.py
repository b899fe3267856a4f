"""NumPy's numbers where Python's are taken, in optimizers, layers, indices: torch does the same with them.

`test_op_db.py` tries torch's own samples of functions with them.
"""

from typing import Any

import numpy as np
import pytest
from both import Case, assert_same, cases, same

ROWS = [[1.0, 2.0, -3.0], [0.5, -1.0, 2.0]]
SETTINGS = [
    ("SGD", {"lr": np.float64(0.1), "momentum": np.float64(0.9), "weight_decay": np.float32(0.125)}),
    ("SGD", {"lr": np.int64(1), "nesterov": True, "momentum": np.float32(0.5)}),
    ("Adam", {"lr": np.float64(0.1), "betas": (np.float64(0.8), np.float64(0.9)), "eps": np.float64(1e-6)}),
    ("AdamW", {"lr": np.float32(0.125), "weight_decay": np.float64(0.1)}),
    ("RMSprop", {"lr": np.float64(0.1), "alpha": np.float64(0.8), "momentum": np.float64(0.5)}),
    ("Adagrad", {"lr": np.float64(0.1), "lr_decay": np.float64(0.1)}),
    ("NAdam", {"lr": np.float64(0.1), "weight_decay": np.float64(0.1)}),
]


@pytest.mark.parametrize(("name", "settings"), SETTINGS)
def test_optimizers(name: str, settings: dict[str, Any]) -> None:
    def case(t: Any) -> Any:
        weight = t.nn.Parameter(t.tensor(ROWS))
        optimizer = getattr(t.optim, name)([weight], **settings)
        for rate in np.logspace(-1, -3, 4):
            (weight**2).sum().backward()
            optimizer.step()
            optimizer.param_groups[0]["lr"] = rate
        return weight.detach(), list(optimizer.state[weight].values())

    assert_same(case)


@same
def test_a_weight_decay_that_is_set_later(t: Any) -> Any:
    """It would decide the dtype of the momentum that begins with it."""
    weight = t.nn.Parameter(t.tensor(ROWS))
    optimizer = t.optim.SGD([weight], lr=0.1, momentum=0.9)
    optimizer.param_groups[0]["weight_decay"] = np.float64(0.1)
    (weight**2).sum().backward()
    optimizer.step()
    return weight.detach(), optimizer.state[weight]["momentum_buffer"]


@cases(
    lambda t: t.nn.LayerNorm(3, np.float64(1e-5))(t.tensor(ROWS)).detach(),
    lambda t: t.nn.BatchNorm1d(np.int64(3), np.float64(1e-5), np.float64(0.1))(t.tensor(ROWS)).detach(),
    lambda t: t.nn.GroupNorm(np.int64(2), np.int64(2), np.float64(1e-5))(t.tensor([ROWS])).detach(),
    lambda t: t.nn.Dropout(np.float64(1.0))(t.tensor(ROWS)),
    lambda t: t.nn.functional.rms_norm(t.tensor(ROWS), (3,), eps=np.float64(0.1)),
    lambda t: t.tensor(ROWS).clamp(np.int64(-1), np.int32(1)),
    lambda t: t.where(t.tensor(ROWS) > 0, t.tensor(ROWS), np.float32(2)),
    lambda t: t.where(t.tensor(ROWS) > 0, np.float64(1), np.float64(2)),
    lambda t: t.isin(t.tensor(ROWS), np.float64(2)),
    lambda t: t.result_type(t.tensor(ROWS), np.float64(2)),
    lambda t: t.tensor(ROWS).masked_fill(t.tensor(ROWS) > 0, np.int64(3)),
)  # fmt: skip
def test_layers_and_functions(case: Case) -> None:
    assert_same(case)


@same
def test_elements_that_are_set(t: Any) -> Any:
    x, mask, place = t.tensor(ROWS), t.tensor(ROWS), t.tensor([1, 2])
    x[0] = np.int64(5)
    x[np.int64(1), np.int64(2)] = np.float64(0.1)
    mask[mask > 0] = np.int64(7)
    place[np.int64(0)] = np.int32(3)
    return x, mask, place
