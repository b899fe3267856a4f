"""Losses of classes: how far the input is from the right ones, as one number or one for each example."""

from __future__ import annotations

from typing import Any

from ...api.missing import refuse
from ...api.statistics import log_softmax
from ...arrays import dtypes
from ...arrays.dispatch import namespace_of
from ...engine.devices import same_device
from ...engine.hook import arguments, observers, observing
from ...engine.tensor import Tensor, wrap
from ...ops import Precision, indexing, losses
from .arguments import check_floating, takes_tensors, without_gradient


@takes_tensors
def cross_entropy(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: bool | None = None,
    ignore_index: int = -100,
    reduce: bool | None = None,
    reduction: str = "mean",
    label_smoothing: float = 0.0,
) -> Tensor:
    """Return -ln softmax(input) at the right class: its mean, its sum, or with reduction="none" one number
    each.

    input: logits, (classes), (n, classes) or (n, classes, d1, …). target: the right classes, int64 or uint8,
    of that shape without the classes; or the probability of each class, of input's own shape. The result has
    the shape (), or with reduction="none" that of input without the classes, in nats. weight: (classes), the
    weight of an example of each class; the mean is then over the sum of those weights. ignore_index: examples
    with this target are left out. label_smoothing ε: the right class is expected with probability 1 - ε, and
    ε is shared evenly by all (Szegedy et al. 2016).

    Raises IndexError for a class that does not exist, ValueError where the number of examples differs or for
    another reduction, RuntimeError for a target of another shape or dtype, and for a weight that requires a
    gradient beside a target of classes.
    """
    check_reduction(reduction, size_average, reduce)
    if observers:
        input, target, weight = arguments(Precision.FLOAT32, input, target, weight)
    if not input.ndim:
        raise RuntimeError("cross_entropy: the input needs a dimension of classes, and is a single number")
    if not 0 <= label_smoothing <= 1:
        raise RuntimeError(f"label_smoothing must be between 0.0 and 1.0. Got: {label_smoothing}")
    _check_weight(weight, input)
    if target.shape == input.shape:
        return _of_probabilities(input, target, weight, ignore_index, reduction, label_smoothing)
    check_floating(losses.cross_entropy.name, input, weight)
    logits, classes, ignored = _examples(input, target, ignore_index)
    if reduction == "mean" and weight is None and ignored is None and not label_smoothing:
        return losses.cross_entropy.call(logits, classes, namespace_of(classes).arange(logits.shape[0]))
    log_probs = log_softmax(logits, 1)
    return _expected(log_probs, classes, ignored, weight, reduction, target, label_smoothing)


@takes_tensors
def nll_loss(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: bool | None = None,
    ignore_index: int = -100,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """Return -input at the right class, where the input holds log-probabilities.

    Shapes, arguments and errors as in `cross_entropy`, except that the target holds classes.
    """
    check_reduction(reduction, size_average, reduce)
    if observers:
        input, weight = arguments(Precision.FLOAT32, input, weight)
    _check_weight(weight, input)
    check_floating("nll_loss", input, weight)
    log_probs, classes, ignored = _examples(input, target, ignore_index)
    return _expected(log_probs, classes, ignored, weight, reduction, target, 0.0)


def refuse_old_names(size_average: bool | None, reduce: bool | None) -> None:
    """Raise NotImplementedError for the arguments that PyTorch had before `reduction`."""
    given = {"size_average": size_average, "reduce": reduce}
    texts = {name: str(value) for name, value in given.items() if value is not None}  # False is refused, too
    refuse("the loss", "reduction='mean', 'sum' or 'none'", **texts)


def check_reduction(reduction: str, size_average: bool | None = None, reduce: bool | None = None) -> None:
    """Raise ValueError for a reduction that is none, NotImplementedError for the arguments before it."""
    refuse_old_names(size_average, reduce)
    if reduction not in ("mean", "sum", "none"):
        raise ValueError(f"{reduction} is not a valid value for reduction: mean, sum or none")


def _check_weight(weight: Tensor | None, input: Tensor) -> None:
    n = input.shape[min(1, input.ndim - 1)]
    if weight is not None and tuple(weight.shape) != (n,):
        raise RuntimeError(
            f"weight tensor should be defined either for all {n} classes or no classes but got weight tensor "
            f"of shape: {list(weight.shape)}"
        )


def reduced(elements: Tensor, reduction: str, count: Any) -> Tensor:
    """Return the losses themselves for "none", or their sum, for "mean" over `count`."""
    if reduction == "none":
        return elements
    return elements.sum() / count if reduction == "mean" else elements.sum()


def _examples(input: Tensor, target: Tensor, ignore_index: int) -> tuple[Tensor, Any, Any]:
    """Return the input as (examples, classes), the class of each example, and which examples to ignore.

    The latter is None where there are none; an ignored example gets class 0.
    """
    _check_target(input, target)
    if input.ndim == 1:
        input = input.reshape(1, -1)
    elif input.ndim > 2:
        input = input.permute(0, *range(2, input.ndim), 1).reshape(-1, input.shape[1])
    classes = target.long().array.reshape(-1)
    if not target.numel():
        return input, classes, None
    return input, *_sorted_out(classes, input.shape[1], ignore_index)


def _sorted_out(classes: Any, n: int, ignore_index: int) -> tuple[Any, Any]:
    """Return the classes, with 0 for those to ignore, and which of them these are, None where there are none.

    Raises IndexError for a class that is not below n.
    """
    if observers and (observer := observing()) and observer.unknown(classes):
        ignored = classes == ignore_index  # even where none is: there may be some in later calls
        classes = namespace_of(classes).where(ignored, 0, classes)
        what = f"a target is out of bounds: there are {n} classes"
        _check_classes(observer.check(classes, 0, n, IndexError, what), n)
        return classes, ignored
    ignored = None
    lowest, highest = int(classes.min()), int(classes.max())
    if lowest <= ignore_index <= highest and (classes == ignore_index).any():
        ignored = classes == ignore_index
        classes = classes * ~ignored
    if lowest < 0 or highest >= n:
        _check_classes(classes, n)
    return classes, ignored


def _check_classes(classes: Any, n: int) -> None:
    lowest, highest = int(classes.min()), int(classes.max())
    if lowest < 0 or highest >= n:
        invalid = lowest if lowest < 0 else highest
        raise IndexError(f"Target {invalid} is out of bounds: there are {n} classes")


def _check_target(input: Tensor, target: Tensor) -> None:
    same_device(losses.cross_entropy.name, input, target)
    if target.dtype not in (dtypes.int64, dtypes.uint8):
        raise RuntimeError(f"expected the target to be int64 or uint8 class indices, not {target.dtype}")
    expected = list(input.shape)
    del expected[min(1, input.ndim - 1)]
    got = list(target.shape)
    if got == expected:
        return
    if expected and got[:1] != expected[:1]:
        size = got[0] if got else 0
        raise ValueError(f"Expected input batch_size ({expected[0]}) to match target batch_size ({size}).")
    raise RuntimeError(f"Expected target size {expected}, got {got}")


def _expected(
    log_probs: Tensor,
    classes: Any,
    ignored: Any,
    weight: Tensor | None,
    reduction: str,
    target: Tensor,
    label_smoothing: float,
) -> Tensor:
    """Return the loss of log_probs (examples, classes), in the shape of the target where nothing is
    reduced."""
    rows = namespace_of(classes).arange(log_probs.shape[0])
    example_losses = -indexing.index.call(log_probs, (rows, classes))
    count: Any = classes.shape[0]
    if weight is not None:
        without_gradient("nll_loss", weight=weight)
        counts = wrap(namespace_of(classes).index(weight.array, (classes,)))
        example_losses = example_losses * counts
    parts = [example_losses]
    if label_smoothing:
        parts.append(-(log_probs if weight is None else log_probs * weight).sum(1))
    if ignored is not None:
        parts = [part.masked_fill(wrap(ignored), 0.0) for part in parts]
        count = wrap(~ignored).sum()
    if weight is not None:
        count = (counts if ignored is None else counts.masked_fill(wrap(ignored), 0.0)).sum()
    shaped = [part.reshape(target.shape) if reduction == "none" else part for part in parts]
    right, *smooth = [reduced(part, reduction, count) for part in shaped]
    if not smooth:
        return right
    return (1 - label_smoothing) * right + label_smoothing / log_probs.shape[1] * smooth[0]


def _of_probabilities(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None,
    ignore_index: int,
    reduction: str,
    label_smoothing: float,
) -> Tensor:
    if not target.dtype.is_floating_point:
        raise RuntimeError(
            f"a target of the input's shape holds probabilities, in floating point, not {target.dtype}"
        )
    if ignore_index >= 0:
        raise RuntimeError("ignore_index is not supported for floating point target")
    dim = min(1, input.ndim - 1)
    n = input.shape[dim]
    if label_smoothing:
        target = target * (1 - label_smoothing) + label_smoothing / n
    terms = log_softmax(input, dim) * target
    if weight is not None:
        terms = terms * weight.reshape(*(n if i == dim else 1 for i in range(input.ndim)))
    example_losses = -terms.sum(dim)
    return reduced(example_losses, reduction, example_losses.numel())
