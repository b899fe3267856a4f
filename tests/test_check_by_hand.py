"""Gradients written by hand, compared with the engine's."""

import pytest

import tinygrad_ninja as torch
from tinygrad_ninja.check import ByHand


def test_a_row_says_whether_the_gradient_is_the_engines() -> None:
    x = torch.tensor([1.0, 2.0, 3.0], requires_grad=True)
    y = x * x
    y.retain_grad()
    (y * y).sum().backward()
    check = ByHand({"x": x, "y": y, "n": 3})
    dy = 2 * y.detach()
    dx = dy * 2 * x.detach()
    text = str(check(y=dy, x=dx + torch.tensor([0.0, 0.5, 0.0])))
    assert text == (
        "y               exact: True  approximate: True  maxdiff: 0\n"
        "x               exact: False approximate: False maxdiff: 0.5"
    )
    assert check.agreed == {"y": True, "x": False}
    assert repr(check(x=dx)) == "x               exact: True  approximate: True  maxdiff: 0"
    assert check.agreed == {"y": True, "x": True}
    assert "approximate: False" in check(x=dx[:1])  # of another shape


def test_what_cannot_be_compared() -> None:
    x = torch.tensor([1.0], requires_grad=True)
    check = ByHand({"x": x, "n": 3})
    with pytest.raises(RuntimeError, match=r"x has no gradient: call x.retain_grad\(\) before backward\(\)"):
        check(x=x.detach())
    for name in ("n", "z"):
        with pytest.raises(NameError, match=f"there is no Tensor called {name}"):
            check(**{name: x.detach()})
