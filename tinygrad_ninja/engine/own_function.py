"""`autograd.Function`: a forward and a backward of one's own, each a function of Tensors.

A call is one node, and each of its outputs another: `backward` is called once, when the gradients of all
outputs have come to the call.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterable
from operator import add
from typing import Any, NoReturn
from weakref import WeakKeyDictionary, ref

from numpy import ndarray

from ..arrays.dispatch import namespace_of, sum_to
from ..ops.facts import Facts
from ..ops.operation import Operation
from .apply import quietly
from .grad_mode import is_grad_enabled, no_grad, set_grad_enabled
from .node import Node
from .tensor import Tensor, wrap


class FunctionCtx:
    """What forward hands on to backward: saved Tensors, `needs_input_grad` (whether each argument of forward
    needs a gradient), and whatever attributes forward gives it."""

    needs_input_grad: tuple[bool, ...] = ()

    def __init__(self) -> None:
        self._saved: list[_Saved] = []
        self._to_save: tuple[Tensor | None, ...] = ()
        self._not_differentiable: set[int] = set()
        self._materializes = True

    def save_for_backward(self, *tensors: Tensor | None) -> None:
        """Keep inputs, outputs, or others, for `saved_tensors`; TypeError for anything but Tensors and
        None."""
        for place, tensor in enumerate(tensors):
            if tensor is not None and not isinstance(tensor, Tensor):
                kind = type(tensor).__name__
                raise TypeError(f"save_for_backward can only save Tensors, but argument {place} is a {kind}")
        self._to_save = tensors

    @property
    def saved_tensors(self) -> tuple[Tensor | None, ...]:
        """Return what was saved; an input, or an output, with its place in the graph."""
        return tuple(saved.tensor() for saved in self._saved)

    def mark_non_differentiable(self, *outputs: Tensor) -> None:
        """Let no gradient flow to these outputs; backward gets zeros for each."""
        self._not_differentiable = set(map(id, outputs))

    def set_materialize_grads(self, value: bool) -> None:
        """Give backward None, and not zeros, for an output that has no gradient, where `value` is false."""
        self._materializes = value

    def mark_dirty(self, *inputs: Tensor) -> NoReturn:
        """Raise NotImplementedError."""
        raise NotImplementedError(
            "mark_dirty is not offered here: a Function may not change its inputs in place, but a clone()"
        )

    def save_for_forward(self, *tensors: Tensor) -> NoReturn:
        """Raise NotImplementedError."""
        raise NotImplementedError("save_for_forward is not offered here, where there is no forward mode")


class Function:
    """An operation of one's own: a subclass has a static `forward(ctx, *args)` and a static
    `backward(ctx, *grads)`, and is called by `apply(*args)`.

    forward computes with Tensors, without a record, and returns one or a tuple; arguments and outputs of
    other kinds are passed through. backward is given the gradient of each output, and returns that of each
    argument of forward, None for what has none. Where it is made of operations it is differentiated in its
    turn. Instead of with ctx, `forward(*args)` may be written with `setup_context(ctx, inputs, output)`.
    """

    @staticmethod
    def forward(*args: Any, **kwargs: Any) -> Any:
        """Return the outputs; a subclass writes it."""
        raise NotImplementedError("You must implement the forward function for custom autograd.Function.")

    @staticmethod
    def setup_context(ctx: FunctionCtx, inputs: tuple[Any, ...], output: Any) -> Any:
        """Save what backward needs, where forward takes no ctx."""
        raise NotImplementedError("setup_context is not implemented.")

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Any) -> Any:
        """Return the gradient of each argument of forward; a subclass writes it."""
        raise NotImplementedError("You must implement the backward function for custom autograd.Function.")

    @classmethod
    def apply(cls, *args: Any, **kwargs: Any) -> Any:
        """Return what forward gives for the arguments, recorded where a Tensor among them requires a
        gradient. An argument that is given by its name counts in its place."""
        ctx = FunctionCtx()
        separate = cls.setup_context is not Function.setup_context
        before = () if separate else (ctx,)
        if kwargs or separate:
            bound = inspect.signature(cls.forward).bind(*before, *args, **kwargs)
            if separate:
                bound.apply_defaults()
            args, kwargs = bound.args[len(before) :], bound.kwargs
        ctx.needs_input_grad = tuple(isinstance(x, Tensor) and x.requires_grad for x in args)
        with no_grad():
            result = cls.forward(*before, *args, **kwargs)
            if separate:
                cls.setup_context(ctx, args, result)
        given = result if isinstance(result, tuple) else (result,)
        outputs = _record(cls, ctx, args, given)
        return outputs if isinstance(result, tuple) else outputs[0]


class FunctionOperation(Operation):
    """The operation of the nodes of a Function with so many Tensors among its arguments.

    A node's values are (output, *inputs, saved arrays, `_Call`).
    """

    def __init__(self, function: type[Function], n: int) -> None:
        Facts.__init__(self, torch_name=f"{function.__name__}Backward", keeps=None)
        self.name = function.__name__
        self.__doc__ = function.__doc__
        self.inputs = [f"x{i}" for i in range(n)]
        self.parameters = ["saved", "call"]
        self.sources = {}
        self.variadic = self.promotes = False
        self.recorded = True
        self.rules = [self._rule(i) for i in range(n)]

    @staticmethod
    def _rule(i: int) -> Callable[[Any, tuple[Any, ...]], Any]:
        return lambda dout, values: values[-1].gradient(i, dout, values)

    def kept(self, edges: tuple[Any, ...]) -> set[int]:
        """Return the place of the saved arrays."""
        return {len(self.inputs) + 1}

    def frees(self, edges: tuple[Any, ...], values: tuple[Any, ...]) -> bool:
        """Return whether arrays were saved."""
        return bool(values[-2])


class _OutputOperation(FunctionOperation):
    """The operation of a node that is one of several outputs: its gradient is a part of the call's."""

    def __init__(self, function: type[Function], place: int) -> None:
        super().__init__(function, 1)
        self.parameters = []
        self.rules = [lambda dout, values: _Parts({place: dout})]

    def kept(self, edges: tuple[Any, ...]) -> set[int]:
        """Return no place: the gradient alone is read."""
        return set()

    def frees(self, edges: tuple[Any, ...], values: tuple[Any, ...]) -> bool:
        """Return that there is nothing to free."""
        return False


_operations: WeakKeyDictionary[type[Function], dict[tuple[type, int], Any]] = WeakKeyDictionary()


def _operation(kind: type, function: type[Function], number: int) -> Any:
    """Return the operation of that kind; one serves all calls of a Function."""
    known = _operations.setdefault(function, {})
    if (kind, number) not in known:
        known[kind, number] = kind(function, number)
    return known[kind, number]


class _Parts(dict[int, Any]):
    """The gradients of several outputs of a call, by their places; a sum has those of both."""

    def __add__(self, other: _Parts) -> _Parts:
        both = _Parts(self)
        for place, grad in other.items():
            both[place] = quietly(add, both[place], grad) if place in both else grad
        return both


class _Saved:
    """A Tensor that was saved: its array, and how to find its place in the graph."""

    def __init__(self, array: Any, edge: Node | None, made: Callable[[], Node | None] | None) -> None:
        self.array = array
        self._edge = edge
        self._made = made

    def tensor(self) -> Tensor | None:
        """Return it."""
        if self.array is None:
            return None
        tensor = wrap(self.array)
        tensor.edge = self._made() if self._made else self._edge
        return tensor


class _Call:
    """One call of a Function: what its backward needs to know."""

    def __init__(
        self, function: type[Function], ctx: FunctionCtx, args: tuple[Any, ...], outputs: tuple[Any, ...]
    ) -> None:
        self.function = function
        self.ctx = ctx
        self.tensors = [place for place, x in enumerate(args) if isinstance(x, Tensor)]
        self.arguments = len(args)
        self.outputs = [x.array if isinstance(x, Tensor) else None for x in outputs]
        self.differentiable = [place for place, x in enumerate(outputs) if _flows(ctx, x)]
        self.node: Callable[[], Node | None] = lambda: None  # weak, as nothing here holds what holds it
        self._answered: Any = None
        self._answers: tuple[Any, ...] = ()

    def edge_of(self, place: int) -> Node | None:
        """Return the node of an output, None where no gradient flows to it."""
        node = self.node()
        if place not in self.differentiable or node is None:
            return None
        output = _operation(_OutputOperation, self.function, place)
        return Node(output, (node,), (self.outputs[place],) * 2)

    def gradient(self, i: int, parts: _Parts, values: tuple[Any, ...]) -> Any:
        """Return the gradient of the i-th Tensor among the arguments: an array, or a Tensor where the pass is
        recorded; None where backward gives none. It is called for the first Tensor that asks."""
        if self._answered is not parts:
            self._answers, self._answered = self._backward(parts), parts
        place, like = self.tensors[i], values[i + 1]
        answer = self._answers[place]
        if not any(self.ctx.needs_input_grad[place + 1 :]):  # nobody asks after this one
            self._answers, self._answered = (), None
        if answer is None:
            return None
        if isinstance(like, Tensor):
            return _fitting(self._name, i, answer, like)
        if _is_alike(answer._array, like):  # mostly
            return answer._array
        return _fitting(self._name, i, answer, wrap(like)).array

    @property
    def _name(self) -> str:
        return f"{self.function.__name__}Backward"

    def _backward(self, parts: _Parts) -> tuple[Any, ...]:
        """Return what backward gives for each argument of forward."""
        recorded = any(isinstance(grad, Tensor) for grad in parts.values())
        grads = [self._given(place, parts.get(place)) for place in range(len(self.outputs))]
        with set_grad_enabled(recorded):
            answer = self.function.backward(self.ctx, *grads)
        answers = answer if isinstance(answer, tuple) else (answer,)
        extra = answers[self.arguments :]
        if len(answers) < self.arguments or any(grad is not None for grad in extra):
            raise RuntimeError(
                f"function {self._name} returned an incorrect number of gradients "
                f"(expected {self.arguments}, got {len(answers)})"
            )
        for place, grad in enumerate(answers):
            if grad is not None and not isinstance(grad, Tensor):
                raise RuntimeError(f"{self._name} must return Tensors or None, not a {type(grad).__name__}")
            if grad is not None and place not in self.tensors:
                raise RuntimeError(
                    f"function {self._name} returned a gradient different from None at position {place + 1}, "
                    "but the corresponding forward input was not a Tensor"
                )
        return answers

    def _given(self, place: int, grad: Any) -> Tensor | None:
        """Return the gradient of an output as backward gets it."""
        if grad is not None:
            return grad if isinstance(grad, Tensor) else wrap(grad)
        array = self.outputs[place]
        if array is None or not self.ctx._materializes:
            return None
        return wrap(namespace_of(array).zeros_like(array))


def _record(
    function: type[Function], ctx: FunctionCtx, args: tuple[Any, ...], given: tuple[Any, ...]
) -> tuple[Any, ...]:
    """Return the outputs of a call, with their place in the graph."""
    # A new Tensor each, so that what is an input, or comes twice, has a place of its own.
    outputs = [wrap(x.array) if isinstance(x, Tensor) else x for x in given]
    inputs = [x for x in args if isinstance(x, Tensor)]
    call = _Call(function, ctx, args, given)
    made = {id(x): place for place, x in enumerate(given) if isinstance(x, Tensor)}
    taken = set(map(id, inputs))
    for x in ctx._to_save:
        place = None if x is None or id(x) in taken else made.get(id(x))
        later = None if place is None else functools.partial(_edge_of, ref(call), place)
        ctx._saved.append(_Saved(None if x is None else x.array, None if x is None else x.edge, later))
    ctx._to_save = ()
    if not is_grad_enabled() or not any(ctx.needs_input_grad) or not call.differentiable:
        return tuple(outputs)
    saved = tuple(entry.array for entry in ctx._saved if entry.array is not None)
    shown = call.outputs[call.differentiable[0]]
    values = (shown, *(x.array for x in inputs), saved, call)
    node = Node(_operation(FunctionOperation, function, len(inputs)), tuple(x.edge for x in inputs), values)
    call.node = ref(node)
    for place in call.differentiable:
        outputs[place].edge = call.edge_of(place)
    return tuple(outputs)


def _edge_of(call: ref[_Call], place: int) -> Node | None:
    """Return the node of an output of a call that may be gone."""
    alive = call()
    return None if alive is None else alive.edge_of(place)


def _flows(ctx: FunctionCtx, output: Any) -> bool:
    floating = isinstance(output, Tensor) and output.dtype.is_floating_point
    return floating and id(output) not in ctx._not_differentiable


def _is_alike(a: Any, b: Any) -> bool:
    """Return whether two are NumPy arrays of one shape and dtype."""
    return type(a) is type(b) is ndarray and a.shape == b.shape and a.dtype == b.dtype


def _fitting(name: str, i: int, grad: Tensor, like: Tensor) -> Tensor:
    """Return the gradient in the shape and dtype of the input: summed where the input was broadcast to it."""
    if _is_alike(grad._array, like._array):
        return grad
    if grad.shape != like.shape:
        extra = grad.ndim - like.ndim
        pairs = zip(grad.shape[extra:], like.shape, strict=False) if extra >= 0 else [(0, 2)]
        if not all(size in (other, 1) or other == 1 for other, size in pairs):
            raise RuntimeError(
                f"Function {name} returned an invalid gradient at index {i} - got {list(grad.shape)} but "
                f"expected shape compatible with {list(like.shape)}"
            )
        grad = sum_to(grad, like)
    if grad.device != like.device:
        raise RuntimeError(
            f"Function {name} returned an invalid gradient at index {i} - expected device {like.device} but "
            f"got {grad.device}"
        )
    return grad.to(like.dtype) if grad.dtype is not like.dtype else grad


def once_differentiable(backward: Callable[..., Any]) -> Callable[..., Any]:
    """Let a Function's backward compute without a record; RuntimeError where it is to be differentiated."""

    @functools.wraps(backward)
    def wrapper(ctx: Any, *grads: Any) -> Any:
        with no_grad():
            answer = backward(ctx, *grads)
        watched = [x for x in grads if isinstance(x, Tensor) and x.requires_grad]
        if not is_grad_enabled() or not watched:
            return answer
        answers = answer if isinstance(answer, tuple) else (answer,)
        refusing = tuple(_once(x, *watched) for x in answers)
        return refusing if isinstance(answer, tuple) else refusing[0]

    return wrapper


def _once(x: Any, *watched: Tensor) -> Any:
    return _Once.apply(x, *watched) if isinstance(x, Tensor) else x


class _Once(Function):
    """Its first argument, which can't be differentiated."""

    @staticmethod
    def forward(ctx: FunctionCtx, x: Tensor, *watched: Tensor) -> Tensor:
        """Return x."""
        return x

    @staticmethod
    def backward(ctx: FunctionCtx, *grads: Any) -> NoReturn:
        """Raise RuntimeError."""
        raise RuntimeError(
            "trying to differentiate twice a function that was marked with @once_differentiable"
        )


def refuse_functions(nodes: Iterable[Any], what: str) -> None:
    """Raise RuntimeError, which says what can't be done, where one of the nodes is of a Function."""
    for node in nodes:
        if isinstance(node.op, FunctionOperation):
            raise RuntimeError(
                f"{what}: {node.op.name} is an autograd.Function, whose backward is no rule but code; "
                "write it as an operation, as CONTRIBUTING.md says"
            )
