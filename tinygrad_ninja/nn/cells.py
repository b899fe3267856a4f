"""One step of the recurrent networks, as modules."""

from __future__ import annotations

from typing import Any

from ..api.creation import empty, zeros
from ..api.register import no_tensor
from ..engine.tensor import Tensor
from . import functional as F
from .module import Module, Parameter
from .recurrent import NONLINEARITIES, State, Step, draw_uniform, gru_step, lstm_step


class _Cell(Module):
    """The base: weight_ih (gates · hidden_size, input_size), weight_hh (gates · hidden_size, hidden_size) and
    the biases bias_ih and bias_hh, all uniform within 1/√hidden_size."""

    gates: int

    def __init__(self, input_size: int, hidden_size: int, bias: bool, device: Any, dtype: Any) -> None:
        super().__init__()
        self.input_size, self.hidden_size, self.bias = input_size, hidden_size, bias
        factory = {"device": device, "dtype": dtype}
        rows = self.gates * hidden_size
        self.weight_ih = Parameter(empty(rows, input_size, **factory))
        self.weight_hh = Parameter(empty(rows, hidden_size, **factory))
        for name in ("bias_ih", "bias_hh"):
            self.register_parameter(name, Parameter(empty(rows, **factory)) if bias else None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw all parameters again."""
        draw_uniform(self, self.hidden_size)

    def _next(self, step: Step, input: Tensor, given: State | None, states: int) -> State:
        """Return the next state, of a batch or of one example."""
        name = type(self).__name__
        if not isinstance(input, Tensor):
            raise no_tensor(name, "input", input)
        for what, x in (("input", input), *(("hidden", state) for state in given or ())):
            if x.ndim not in (1, 2):
                raise ValueError(f"{name}: Expected {what} to be 1D or 2D, got {x.ndim}D instead")
        batched = input.ndim == 2
        x = input if batched else input.unsqueeze(0)
        if given is None:
            empty_state = zeros(x.shape[0], self.hidden_size, dtype=x.dtype, device=x.device)
            state: State = (empty_state,) * states
        else:
            state = given if batched else tuple(part.unsqueeze(0) for part in given)
        if x.shape[1] != self.input_size:
            raise RuntimeError(
                f"input has inconsistent input_size: got {x.shape[1]} expected {self.input_size}"
            )
        for part in state:
            if tuple(part.shape) != (x.shape[0], self.hidden_size):
                raise RuntimeError(
                    f"{name}: the state should be {(x.shape[0], self.hidden_size)}, and not "
                    f"{tuple(part.shape)}"
                )
        given_to_gates = F.linear(x, self.weight_ih, self.bias_ih)
        state = step(given_to_gates, F.linear(state[0], self.weight_hh, self.bias_hh), state)
        return state if batched else tuple(part.squeeze(0) for part in state)

    def extra_repr(self) -> str:
        """Return the settings, for `repr`: those that are not the defaults."""
        return f"{self.input_size}, {self.hidden_size}{'' if self.bias is True else f', bias={self.bias}'}"


class RNNCell(_Cell):
    """h' = tanh(W_ih x + b_ih + W_hh h + b_hh); nonlinearity: "tanh" or "relu".

    x: (batch, input_size), h: (batch, hidden_size), or both without the batch.
    """

    gates = 1

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        nonlinearity: str = "tanh",
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(input_size, hidden_size, bias, device, dtype)
        self.nonlinearity = nonlinearity

    def forward(self, input: Tensor, hx: Tensor | None = None) -> Tensor:
        """Return the next hidden state, of the shape of hx, which is zeros by default.

        Raises ValueError for other dimensions, RuntimeError for other sizes and another nonlinearity.
        """
        if self.nonlinearity not in NONLINEARITIES:
            raise RuntimeError(f"Unknown nonlinearity: {self.nonlinearity}")
        step = NONLINEARITIES[self.nonlinearity]
        return self._next(step, input, None if hx is None else (hx,), 1)[0]

    def extra_repr(self) -> str:
        """Return the settings, for `repr`: those that are not the defaults."""
        other = "" if self.nonlinearity == "tanh" else f", nonlinearity={self.nonlinearity}"
        return super().extra_repr() + other


class GRUCell(_Cell):
    """One step of a `GRU`; shapes as for `RNNCell`."""

    gates = 3

    def __init__(
        self, input_size: int, hidden_size: int, bias: bool = True, device: Any = None, dtype: Any = None
    ) -> None:
        super().__init__(input_size, hidden_size, bias, device, dtype)

    def forward(self, input: Tensor, hx: Tensor | None = None) -> Tensor:
        """Return the next hidden state; errors as for `RNNCell`."""
        return self._next(gru_step, input, None if hx is None else (hx,), 1)[0]


class LSTMCell(_Cell):
    """One step of an `LSTM`; shapes as for `RNNCell`, the state is (h, c)."""

    gates = 4

    def __init__(
        self, input_size: int, hidden_size: int, bias: bool = True, device: Any = None, dtype: Any = None
    ) -> None:
        super().__init__(input_size, hidden_size, bias, device, dtype)

    def forward(self, input: Tensor, hx: tuple[Tensor, Tensor] | None = None) -> tuple[Tensor, Tensor]:
        """Return the next state (h, c); errors as for `RNNCell`."""
        h, c = self._next(lstm_step, input, hx, 2)
        return h, c
