"""Numbers put before and after those of a Tensor, along its last dimensions."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ...api.creation import full
from ...api.joining import cat
from ...engine.tensor import Tensor
from .arguments import takes_tensors


@takes_tensors
def pad(input: Tensor, pad: Sequence[int], mode: str = "constant", value: float | None = None) -> Tensor:
    """Return the input with more elements around: pad = (before, after) of the last dimension, then of the
    one before it, and so on; a negative number takes elements away.

    mode: "constant": they are `value`, 0 by default; "reflect": the input mirrored at its first and last
    element, these not repeated; "replicate": its first and last element; "circular": the input once more. All
    but "constant" pad the last 1, 2 or 3 of one or two dimensions more. Raises RuntimeError for another
    number of pads, and where the input is too small for them; NotImplementedError for another mode.
    """
    pairs = list(zip(pad[::2], pad[1::2], strict=False))
    if len(pad) % 2:
        raise RuntimeError(f"Padding length must be divisible by 2, but there are {len(pad)} pads")
    if len(pairs) > input.ndim:
        raise RuntimeError(
            f"Padding length should be less than or equal to two times the input dimension but got padding "
            f"length {len(pad)} and input of dimension {input.ndim}"
        )
    if mode == "constant":
        if all(n == 0 for n in pad):
            return input.clone()
        for i, (before, after) in enumerate(pairs):
            input = _constant(input, input.ndim - 1 - i, before, after, value or 0)
        return input
    if mode not in _MODES:
        raise NotImplementedError(f"Unrecognised padding mode {mode}: constant, {', '.join(_MODES)}")
    if value:
        raise RuntimeError(f'Padding mode "{mode}" doesn\'t take in value argument')
    if not (1 <= len(pairs) <= 3 and input.ndim - len(pairs) in (1, 2)):
        raise NotImplementedError(
            f"mode={mode!r} pads the last 1, 2 or 3 of one or two dimensions more, not {len(pairs)} of "
            f"{input.ndim}"
        )
    for i, (before, after) in enumerate(pairs):
        input = _MODES[mode](input, input.ndim - 1 - i, before, after)
    return input


def _part(x: Tensor, dim: int, start: int, stop: int) -> Tensor:
    return x[(slice(None),) * dim + (slice(start, stop),)]


def _cropped(x: Tensor, dim: int, before: int, after: int) -> Tensor:
    """Return x without the elements that negative pads take away. RuntimeError where that are too many."""
    start, stop = max(0, -before), x.shape[dim] - max(0, -after)
    if start > stop or x.shape[dim] + before + after < 0:
        raise RuntimeError(
            f"pad: pads of {before} and {after} leave a negative size of dimension {dim}, of size "
            f"{x.shape[dim]}"
        )
    return x if (start, stop) == (0, x.shape[dim]) else _part(x, dim, start, stop)


def _constant(x: Tensor, dim: int, before: int, after: int, value: float) -> Tensor:
    def block(n: int) -> list[Tensor]:
        padding = full(
            (*x.shape[:dim], max(0, n), *x.shape[dim + 1 :]), value, dtype=x.dtype, device=x.device
        )
        return [padding] if n > 0 else []

    return cat([*block(before), _cropped(x, dim, before, after), *block(after)], dim)


def _reflected(x: Tensor, dim: int, before: int, after: int) -> Tensor:
    n = x.shape[dim]
    if max(before, after) >= n:
        raise RuntimeError(
            f"Padding size should be less than the corresponding input dimension, but got: padding "
            f"({before}, {after}) at dimension {dim} of input {list(x.shape)}"
        )
    first = _part(x, dim, 1, 1 + max(0, before)).flip(dim)
    last = _part(x, dim, n - 1 - max(0, after), n - 1).flip(dim)
    return cat([first, _cropped(x, dim, before, after), last], dim)


def _replicated(x: Tensor, dim: int, before: int, after: int) -> Tensor:
    n = x.shape[dim]
    if not n:
        raise RuntimeError(f"pad: dimension {dim} has no element that could be repeated")

    def repeated(index: int, times: int) -> Tensor:
        size = (*x.shape[:dim], max(0, times), *x.shape[dim + 1 :])
        return _part(x, dim, index, index + 1).expand(size)

    return cat([repeated(0, before), _cropped(x, dim, before, after), repeated(n - 1, after)], dim)


def _wrapped(x: Tensor, dim: int, before: int, after: int) -> Tensor:
    if max(before, after) > x.shape[dim]:
        raise RuntimeError(
            f"Padding value causes wrapping around more than once: ({before}, {after}) at dimension {dim} of "
            f"input {list(x.shape)}"
        )
    x = _cropped(x, dim, before, after)
    n = x.shape[dim]
    first, last = _part(x, dim, n - max(0, before), n), _part(x, dim, 0, max(0, after))
    return cat([first, x, last], dim)


_MODES: dict[str, Callable[[Tensor, int, int, int], Tensor]] = {
    "reflect": _reflected,
    "replicate": _replicated,
    "circular": _wrapped,
}
