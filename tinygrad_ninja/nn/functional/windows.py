"""Functions of windows that move along the last dimension: convolution and pooling, of views and a matrix
product."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from ...api.arithmetic import where
from ...api.creation import tensor
from ...api.joining import stack
from ...api.ranges import arange
from ...api.register import function
from ...arrays import dtypes
from ...engine.devices import same_device
from ...engine.hook import arguments, observers
from ...engine.tensor import Tensor
from ...ops import Precision
from .arguments import check_floating, takes_tensors
from .padding import pad


def single(name: str, value: Any) -> int:
    """Return the number that is given as itself or as one in a sequence; RuntimeError for more of them."""
    if isinstance(value, Sequence) and not isinstance(value, str):
        if len(value) != 1:
            raise RuntimeError(f"{name} is one number here, and not {tuple(value)}")
        value = value[0]
    return int(value)


def _windows(x: Tensor, kernel: int, stride: int, dilation: int) -> list[Tensor]:
    """Return a view for each place in the window: (…, windows), its elements in all windows."""
    count = (x.shape[-1] - dilation * (kernel - 1) - 1) // stride + 1
    places = range(0, kernel * dilation, dilation)
    return [x[..., place : place + (count - 1) * stride + 1 : stride] for place in places]


def same_padding(kernel: int, dilation: int) -> tuple[int, int]:
    """Return how many zeros before and after keep the length."""
    total = dilation * (kernel - 1)
    return total // 2, total - total // 2


@function
@takes_tensors
def conv1d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: int | Sequence[int] = 1,
    padding: str | int | Sequence[int] = 0,
    dilation: int | Sequence[int] = 1,
    groups: int = 1,
) -> Tensor:
    """Return the products of the weight with each window of the input, summed: out[n, o, i] = bias[o] +
    Σ weight[o, c, k] · input[n, c, stride · i + dilation · k].

    input: (n, channels, length), or (channels, length); weight: (outputs, channels / groups, kernel); bias:
    (outputs). padding: zeros on either side, "valid" for none, "same" for as many as keep the length. groups:
    each part of the outputs sees only its part of the channels. Raises RuntimeError for other shapes, where
    the dtypes differ, and for "same" with a stride.
    """
    same_device("conv1d", input, weight, bias)
    if observers:
        input, weight, bias = arguments(Precision.HALF, input, weight, bias)
    stride, dilation = single("stride", stride), single("dilation", dilation)
    _check_convolution(input, weight, bias, stride, dilation, groups)
    if input.ndim == 2:
        return conv1d(input.unsqueeze(0), weight, bias, stride, padding, dilation, groups).squeeze(0)
    n = input.shape[0]
    outputs, part, kernel = weight.shape
    sides = _sides(padding, kernel, stride, dilation)
    x = pad(input, sides) if any(sides) else input
    if x.shape[-1] < dilation * (kernel - 1) + 1:
        raise RuntimeError(
            f"Calculated padded input size per channel: ({x.shape[-1]}). Kernel size: "
            f"({dilation * (kernel - 1) + 1}). Kernel size can't be greater than actual input size"
        )
    columns = stack(_windows(x, kernel, stride, dilation), 2)
    count = columns.shape[-1]
    # One product for each group: (groups, n · windows, channels of a group · kernel) by its weights.
    columns = columns.reshape(n, groups, part * kernel, count).permute(1, 0, 3, 2)
    columns = columns.reshape(groups, n * count, part * kernel)
    out = columns @ weight.reshape(groups, outputs // groups, part * kernel).mT
    out = out.reshape(groups, n, count, outputs // groups).permute(1, 0, 3, 2).reshape(n, outputs, count)
    return out.contiguous() if bias is None else out + bias.reshape(outputs, 1)


def _check_convolution(
    input: Tensor, weight: Tensor, bias: Tensor | None, stride: int, dilation: int, groups: int
) -> None:
    for name, other in (("weight", weight), ("bias", bias)):
        if other is not None and other.dtype is not input.dtype:
            raise RuntimeError(f"conv1d: the input is {input.dtype}, but the {name} {other.dtype}")
    if input.ndim not in (2, 3):
        raise RuntimeError(
            f"Expected 2D (unbatched) or 3D (batched) input to conv1d, but got input of size: "
            f"{list(input.shape)}"
        )
    if weight.ndim != 3:
        raise RuntimeError(f"conv1d: weight should have three dimensions, but has {weight.ndim}")
    outputs, part, kernel = weight.shape
    if min(stride, dilation, groups, kernel, outputs) < 1 or outputs % groups:
        raise RuntimeError(
            f"conv1d: stride, dilation and groups must be above 0, and groups divide the outputs, but got "
            f"{stride}, {dilation}, {groups} and weight of size {list(weight.shape)}"
        )
    if input.shape[-2] != part * groups:
        raise RuntimeError(
            f"Given groups={groups}, weight of size {list(weight.shape)}, expected input "
            f"{list(input.shape)} to have {part * groups} channels, but got {input.shape[-2]}"
        )
    if bias is not None and tuple(bias.shape) != (outputs,):
        raise RuntimeError(
            f"Given weight of size {list(weight.shape)}, expected bias to be 1-dimensional with {outputs} "
            f"elements, but got bias of size {list(bias.shape)} instead"
        )


def _sides(padding: Any, kernel: int, stride: int, dilation: int) -> tuple[int, int]:
    """Return how many zeros come before and after."""
    if padding == "same":
        if stride != 1:
            raise RuntimeError("padding='same' is not supported for strided convolutions")
        return same_padding(kernel, dilation)
    if isinstance(padding, str):
        if padding != "valid":
            raise RuntimeError(f"Invalid padding string: {padding!r}, should be one of 'valid', 'same'")
        return 0, 0
    size = single("padding", padding)
    if size < 0:
        raise RuntimeError(f"negative padding is not supported: {size}")
    return size, size


def _pool(
    name: str,
    input: Tensor,
    kernel_size: Any,
    stride: Any,
    padding: Any,
    dilation: Any,
    ceil_mode: bool,
) -> tuple[int, int, int, int, int]:
    """Return kernel, stride, padding, dilation and the number of windows; RuntimeError where they do not fit
    the input."""
    kernel = single("kernel_size", kernel_size)
    is_empty = stride is None or (isinstance(stride, (tuple, list)) and not stride)
    step = kernel if is_empty else single("stride", stride)
    padding, dilation = single("padding", padding), single("dilation", dilation)
    if input.ndim not in (2, 3) or 0 in input.shape[-2:]:
        raise RuntimeError(
            f"Expected 2D or 3D (batch mode) tensor to {name} with no dimension of size 0 but the batch, "
            f"but got input of size: {list(input.shape)}"
        )
    if kernel < 1 or step < 1 or dilation < 1:
        raise RuntimeError(
            f"{name}: kernel_size, stride and dilation must be greater than zero, but got {kernel}, {step} "
            f"and {dilation}"
        )
    if not 0 <= padding <= kernel // 2:
        raise RuntimeError(f"pad should be at most half of effective kernel size, but got pad={padding}")
    length = input.shape[-1]
    spare = length + 2 * padding - dilation * (kernel - 1) - 1
    count = (math.ceil(spare / step) if ceil_mode else spare // step) + 1
    if ceil_mode and (count - 1) * step >= length + padding:
        count -= 1  # a window that would begin in the padding on the right
    if count < 1:
        raise RuntimeError(
            f"Given input size {list(input.shape)}, the calculated output size of {name} is too small"
        )
    return kernel, step, padding, dilation, count


def _places(x: Tensor, setting: tuple[int, ...], value: float) -> list[Tensor]:
    """Return `_windows` of x, with `value` around it: as much as the windows reach over."""
    kernel, stride, padding, dilation, count = setting
    needed = (count - 1) * stride + dilation * (kernel - 1) + 1
    after = needed - padding - x.shape[-1]
    around = pad(x, (padding, after), value=value) if padding or after else x
    return _windows(around, kernel, stride, dilation)


@function
@takes_tensors
def avg_pool1d(
    input: Tensor,
    kernel_size: int | Sequence[int],
    stride: int | Sequence[int] | None = None,
    padding: int | Sequence[int] = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
) -> Tensor:
    """Return the mean of each window: (…, channels, length) to (…, channels, windows).

    stride: kernel_size by default. padding: zeros on either side, which count unless count_include_pad is
    false. ceil_mode: also a window that reaches over the end, which it does not count. Raises RuntimeError
    for other shapes, and for windows that do not fit; NotImplementedError for integers other than int64,
    whose means are rounded towards 0.
    """
    setting = _pool("avg_pool1d", input, kernel_size, stride, padding, 1, ceil_mode)
    whole = input.dtype is dtypes.int64
    if not whole:
        check_floating("avg_pool1d", input)
    kernel, step, sides, _, count = setting
    first, *others = _places(input, setting, 0.0)
    total = first
    for place in others:
        total = total + place
    length = input.shape[-1]
    starts = [i * step - sides for i in range(count)]
    if count_include_pad:
        sizes = [min(start + kernel, length + sides) - start for start in starts]
    else:
        sizes = [min(start + kernel, length) - max(start, 0) for start in starts]
    even = set(sizes) == {kernel}
    divisor = kernel if even else tensor(sizes, dtype=input.dtype, device=input.device)
    mean: Tensor = total.div(divisor, rounding_mode="trunc" if whole else None)
    return mean


@function
@takes_tensors
def max_pool1d_with_indices(
    input: Tensor,
    kernel_size: int | Sequence[int],
    stride: int | Sequence[int] | None = None,
    padding: int | Sequence[int] = 0,
    dilation: int | Sequence[int] = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> tuple[Tensor, Tensor]:
    """Return `max_pool1d`, and where in the input's last dimension each stands, as int64."""
    setting = _pool("max_pool1d", input, kernel_size, stride, padding, dilation, ceil_mode)
    check_floating("max_pool1d", input)
    length = input.shape[-1]
    # Of no two elements that could both win is one in the padding, so that its place does not matter.
    positions = arange(length, device=input.device).expand(input.shape)
    values, places = _places(input, setting, -math.inf), _places(positions, setting, -1)
    largest, where_it_is = values[0], places[0]
    for value, place in zip(values[1:], places[1:], strict=True):
        wins = _wins(value, largest) | where_it_is.lt(0) & place.ge(0)
        largest, where_it_is = where(wins, value, largest), where(wins, place, where_it_is)
    return largest.contiguous(), where_it_is.contiguous()


def _wins(value: Tensor, largest: Tensor) -> Any:
    """Return where a later element takes the place of the largest so far: the first of equals stays, and a
    NaN wins."""
    return value.gt(largest) | value.isnan()


@function
@takes_tensors
def max_pool1d(
    input: Tensor,
    kernel_size: int | Sequence[int],
    stride: int | Sequence[int] | None = None,
    padding: int | Sequence[int] = 0,
    dilation: int | Sequence[int] = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Any:
    """Return the largest of each window, the first of equals: (…, channels, length) to (…, channels,
    windows).

    stride: kernel_size by default. padding: -∞ on either side. dilation: the distance of the elements of a
    window. ceil_mode: also a window that reaches over the end. return_indices: return also where each
    stands. Raises RuntimeError for other shapes, and for windows that do not fit; NotImplementedError for
    integers.
    """
    given = (input, kernel_size, stride, padding, dilation, ceil_mode)
    if return_indices:
        return max_pool1d_with_indices(*given)
    setting = _pool("max_pool1d", *given)
    check_floating("max_pool1d", input)
    largest, *others = _places(input, setting, -math.inf)
    for value in others:
        largest = where(_wins(value, largest), value, largest)
    return largest.contiguous()
