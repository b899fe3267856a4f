"""Recurrent networks, whose state goes from each step of a sequence to the next, and their cells."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterator
from typing import Any

from ..api.autocast import is_autocast_enabled
from ..api.creation import empty, zeros
from ..api.joining import cat, stack
from ..api.register import no_tensor
from ..engine.hook import arguments, observers
from ..engine.tensor import Tensor
from ..ops import Precision
from . import functional as F
from . import init
from .module import Module, Parameter

State = tuple[Tensor, ...]
"""What goes from step to step, each (batch, size): the hidden state, which is also the output, and in an LSTM
the cell's."""

Step = Callable[[Tensor, Tensor, State], State]
"""A function of what the input and what the hidden state give to the gates, and of the state, that returns
the next state."""


def _tanh_step(given: Tensor, recurrent: Tensor, state: State) -> State:
    """Return h' = tanh(given + recurrent) (Elman 1990)."""
    return ((given + recurrent).tanh(),)


def _relu_step(given: Tensor, recurrent: Tensor, state: State) -> State:
    """Return h' = max(given + recurrent, 0)."""
    return ((given + recurrent).relu(),)


def gru_step(given: Tensor, recurrent: Tensor, state: State) -> State:
    """Return h' = (1 - z) · n + z · h with the gates r, z = σ(given + recurrent), n = tanh(given + r ·
    recurrent) (Cho et al. 2014)."""
    (r1, z1, n1), (r2, z2, n2) = given.chunk(3, -1), recurrent.chunk(3, -1)
    update, new = (z1 + z2).sigmoid(), (n1 + (r1 + r2).sigmoid() * n2).tanh()
    return ((state[0] - new) * update + new,)


def lstm_step(given: Tensor, recurrent: Tensor, state: State) -> State:
    """Return h' = σ(o) · tanh(c') and c' = σ(f) · c + σ(i) · tanh(g) with the gates i, f, g, o = given +
    recurrent (Hochreiter and Schmidhuber 1997)."""
    i, f, g, o = (given + recurrent).chunk(4, -1)
    cell = f.sigmoid() * state[1] + i.sigmoid() * g.tanh()
    return o.sigmoid() * cell.tanh(), cell


NONLINEARITIES: dict[str, Step] = {"tanh": _tanh_step, "relu": _relu_step}


def draw_uniform(module: Module, hidden_size: int) -> None:
    """Draw all parameters, uniform within 1/√hidden_size."""
    bound = 1 / math.sqrt(hidden_size)
    for parameter in module.parameters():
        init.uniform_(parameter, -bound, bound)


def _steps(x: Tensor) -> list[Tensor]:
    """Return a view of each step: by halves, since the gradient of every view is put into zeros of the size
    of what it shows a part of, which would be the whole sequence for each step."""
    n = x.shape[0]
    return [x[0]] if n == 1 else _steps(x[: n // 2]) + _steps(x[n // 2 :])


class _Recurrent(Module):
    """The base: num_layers layers, each of which is given the outputs of the one below.

    weight_ih_l0, (gates · hidden_size, input_size), weight_hh_l0, bias_ih_l0, bias_hh_l0, and so on for each
    layer, with "_reverse" for the second direction; all uniform within 1/√hidden_size. Raises ValueError for
    a size that is not above 0 and a dropout outside of [0, 1], TypeError for a size that is no int and a
    switch that is no bool; UserWarning for a dropout where there is no second layer.
    """

    gates: int
    state_names: tuple[str, ...] = ("hx",)

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int,
        bias: bool,
        batch_first: bool,
        dropout: float,
        bidirectional: bool,
        proj_size: int,
        device: Any,
        dtype: Any,
    ) -> None:
        super().__init__()
        if isinstance(dropout, bool) or not isinstance(dropout, int | float) or not 0 <= dropout <= 1:
            raise ValueError(f"dropout should be a number in range [0, 1], not {dropout!r}")
        for name, switch in (("bias", bias), ("batch_first", batch_first)):
            if not isinstance(switch, bool):
                raise TypeError(f"{name} should be of type bool, got: {type(switch).__name__}")
        sizes = {"input_size": input_size, "hidden_size": hidden_size, "num_layers": num_layers}
        for name, size in sizes.items():
            if not isinstance(size, int):
                raise TypeError(f"{name} should be of type int, got: {type(size).__name__}")
            if size <= 0:
                raise ValueError(f"{name} must be greater than zero")
        if not 0 <= proj_size < hidden_size:
            raise ValueError(f"proj_size has to be 0 or more, and smaller than hidden_size, not {proj_size}")
        if dropout and num_layers == 1:
            warnings.warn(
                f"dropout={dropout} is applied between layers, and num_layers=1 has nothing between",
                stacklevel=3,
            )
        self.input_size, self.hidden_size, self.num_layers = input_size, hidden_size, num_layers
        self.bias, self.batch_first, self.dropout = bias, batch_first, float(dropout)
        self.bidirectional, self.proj_size = bidirectional, proj_size
        rows, out = self.gates * hidden_size, proj_size or hidden_size
        for layer, suffix in self._parts():
            inputs = out * (1 + bidirectional) if layer else input_size
            shapes: dict[str, tuple[int, ...]] = {"weight_ih": (rows, inputs), "weight_hh": (rows, out)}
            shapes |= {"bias_ih": (rows,), "bias_hh": (rows,)} if bias else {}
            shapes |= {"weight_hr": (proj_size, hidden_size)} if proj_size else {}
            for name, shape in shapes.items():
                parameter = Parameter(empty(shape, device=device, dtype=dtype))
                self.register_parameter(name + suffix, parameter)
        self.reset_parameters()

    def _parts(self) -> Iterator[tuple[int, str]]:
        """Return the layer, and how the names of its parameters end, for each direction of each layer."""
        for layer in range(self.num_layers):
            for direction in ("", "_reverse")[: 1 + self.bidirectional]:
                yield layer, f"_l{layer}{direction}"

    def _step(self) -> Step:
        """Return the function of one step."""
        raise NotImplementedError

    def reset_parameters(self) -> None:
        """Draw all parameters again."""
        draw_uniform(self, self.hidden_size)

    def flatten_parameters(self) -> None:
        """Do nothing: there is no other order of the parameters in memory that would be faster here."""

    @property
    def all_weights(self) -> list[list[Any]]:
        """Return the parameters of each direction of each layer."""
        named = self._parameters.items()
        return [
            [parameter for name, parameter in named if name.endswith(suffix)] for _, suffix in self._parts()
        ]

    def _run(self, input: Tensor, given: State | None) -> tuple[Tensor, State]:
        """Return the output of the last layer at each step, and the last state of each part, as `forward`."""
        batched = self._check_input(input)
        x = input if batched else input.unsqueeze(0 if self.batch_first else 1)
        x = x.transpose(0, 1) if self.batch_first else x
        if not x.shape[0]:
            raise RuntimeError("Expected sequence length to be larger than 0 in RNN")
        states = self._states(x, given, batched)
        last: list[State] = []
        for layer in range(self.num_layers):
            if layer and self.dropout:
                x = F.dropout(x, self.dropout, self.training)
            outputs = []
            for _, suffix in (part for part in self._parts() if part[0] == layer):
                output, state = self._along(x, tuple(s[len(last)] for s in states), suffix)
                outputs.append(output)
                last.append(state)
            x = cat(outputs, -1) if self.bidirectional else outputs[0]
        finals = tuple(stack(parts) for parts in zip(*last, strict=True))
        out = x.transpose(0, 1) if self.batch_first else x
        if batched:
            return out, finals
        return out.squeeze(0 if self.batch_first else 1), tuple(final.squeeze(1) for final in finals)

    def _along(self, x: Tensor, state: State, suffix: str) -> tuple[Tensor, State]:
        """Return the outputs of one direction of one layer, (length, batch, size), and its last state."""
        names = ("weight_ih", "weight_hh", "bias_ih", "bias_hh", "weight_hr")
        weight_ih, weight_hh, bias_ih, bias_hh, weight_hr = (
            self._parameters.get(name + suffix) for name in names
        )
        backwards = suffix.endswith("_reverse")
        steps = _steps(F.linear(x, weight_ih, bias_ih))  # type: ignore[arg-type]  # the two weights exist
        step, outputs = self._step(), []
        for given in reversed(steps) if backwards else steps:
            recurrent = F.linear(state[0], weight_hh, bias_hh)  # type: ignore[arg-type]
            state = step(given, recurrent, state)
            if weight_hr is not None:
                state = (F.linear(state[0], weight_hr), *state[1:])
            outputs.append(state[0])
        return stack(outputs[::-1] if backwards else outputs), state

    def _check_input(self, input: Tensor) -> bool:
        """Return whether the input is a batch."""
        name = type(self).__name__
        if not isinstance(input, Tensor):
            raise no_tensor(name, "input", input)
        if input.ndim not in (2, 3):
            raise ValueError(f"{name}: Expected input to be 2D or 3D, got {input.ndim}D instead")
        weight = self.weight_ih_l0
        if input.dtype is not weight.dtype and not is_autocast_enabled(input.device.type):
            raise ValueError(
                f"RNN input dtype ({input.dtype}) does not match weight dtype ({weight.dtype}): convert one"
            )
        if input.shape[-1] != self.input_size:
            raise RuntimeError(
                f"input.size(-1) must be equal to input_size. Expected {self.input_size}, got "
                f"{input.shape[-1]}"
            )
        return input.ndim == 3

    def _states(self, x: Tensor, given: State | None, batched: bool) -> State:
        """Return the first state of all parts, (layers · directions, batch, size), or zeros."""
        parts, batch = self.num_layers * (1 + self.bidirectional), x.shape[1]
        sizes = (self.proj_size or self.hidden_size, self.hidden_size)[: len(self.state_names)]
        if given is None:
            return tuple(zeros(parts, batch, size, dtype=x.dtype, device=x.device) for size in sizes)
        for name, state in zip(self.state_names, given, strict=True):
            if state.ndim != 2 + batched:
                raise RuntimeError(
                    f"For {'batched 3-D' if batched else 'unbatched 2-D'} input, {name} should also be "
                    f"{2 + batched}-D but got {state.ndim}-D tensor"
                )
        states = given if batched else tuple(state.unsqueeze(1) for state in given)
        for name, state, size in zip(self.state_names, states, sizes, strict=True):
            if tuple(state.shape) != (parts, batch, size):
                raise RuntimeError(f"Expected {name} size {(parts, batch, size)}, got {list(state.shape)}")
        return states

    def extra_repr(self) -> str:
        """Return the settings, for `repr`: those that are not the defaults."""
        defaults = {
            "proj_size": 0, "num_layers": 1, "bias": True, "batch_first": False, "dropout": 0.0,
            "bidirectional": False,
        }  # fmt: skip
        settings = [
            f"{name}={getattr(self, name)}"
            for name, default in defaults.items()
            if getattr(self, name) != default
        ]
        return ", ".join([str(self.input_size), str(self.hidden_size), *settings])


class RNN(_Recurrent):
    """h' = tanh(W_ih x + b_ih + W_hh h + b_hh) for each step x of a sequence; nonlinearity: "tanh" or "relu".

    input: (length, batch, input_size), with batch_first (batch, length, input_size), or (length, input_size);
    hx: (num_layers · directions, batch, hidden_size), zeros by default. dropout: between the layers, in
    training. bidirectional: a second direction, from the end, whose outputs are put beside the first's.
    Parameters and errors as the base says; ValueError for another nonlinearity.
    """

    gates = 1

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        nonlinearity: str = "tanh",
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        if nonlinearity not in NONLINEARITIES:
            raise ValueError(f"Unknown nonlinearity {nonlinearity!r}. Select from 'tanh' or 'relu'.")
        super().__init__(
            input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional, 0, device,
            dtype,
        )  # fmt: skip
        self.nonlinearity = nonlinearity

    def _step(self) -> Step:
        return NONLINEARITIES[self.nonlinearity]

    def forward(self, input: Tensor, hx: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return the outputs, (length, batch, directions · hidden_size), and the last state, as hx.

        Raises ValueError for an input of other dimensions or dtype, RuntimeError for other sizes.
        """
        output, (final,) = self._run(input, None if hx is None else (hx,))
        return output, final


class GRU(_Recurrent):
    """Gated recurrent units: h' = (1 - z) · n + z · h for each step x of a sequence, with the gates r, z =
    σ(W_ih x + b_ih + W_hh h + b_hh) and n = tanh(W_ih x + b_ih + r · (W_hh h + b_hh)), whose rows lie below
    each other in this order (Cho et al. 2014).

    Arguments, shapes and errors as for `RNN`.
    """

    gates = 3

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(
            input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional, 0,
            device, dtype,
        )  # fmt: skip

    def _step(self) -> Step:
        return gru_step

    def forward(self, input: Tensor, hx: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return the outputs and the last state, as `RNN.forward`."""
        output, (final,) = self._run(input, None if hx is None else (hx,))
        return output, final


class LSTM(_Recurrent):
    """Long short-term memory: c' = σ(f) · c + σ(i) · tanh(g) and h' = σ(o) · tanh(c') for each step x of a
    sequence, with the gates i, f, g, o = W_ih x + b_ih + W_hh h + b_hh, whose rows lie below each other in
    this order (Hochreiter and Schmidhuber 1997).

    proj_size: where it is not 0, h' is multiplied by weight_hr_l0, (proj_size, hidden_size), and so on.
    Arguments, shapes and errors otherwise as for `RNN`; the state is (h, c).
    """

    gates = 4
    state_names = ("hx", "cx")

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        proj_size: int = 0,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(
            input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional,
            proj_size, device, dtype,
        )  # fmt: skip

    def _step(self) -> Step:
        return lstm_step

    def _states(self, x: Tensor, given: State | None, batched: bool) -> State:
        states = super()._states(x, given, batched)
        return arguments(Precision.HALF, *states) if observers else states  # as PyTorch's autocast does

    def forward(
        self, input: Tensor, hx: tuple[Tensor, Tensor] | None = None
    ) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """Return the outputs and the last state (h, c), as `RNN.forward`."""
        output, (h, c) = self._run(input, hx)
        return output, (h, c)
