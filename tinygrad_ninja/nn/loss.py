"""The losses as modules, which store their arguments."""

from __future__ import annotations

from ..engine.tensor import Tensor
from . import functional as F
from .functional.loss_functions import refuse_old_names
from .module import Module


class _Classes(Module):
    """The base of the losses of classes: a weight for each class, stored as a buffer, and a class to
    ignore."""

    def __init__(self, weight: Tensor | None, ignore_index: int, reduction: str) -> None:
        super().__init__()
        self.register_buffer("weight", weight)
        self.ignore_index, self.reduction = ignore_index, reduction


class CrossEntropyLoss(_Classes):
    """`functional.cross_entropy` of logits and target, with its arguments."""

    def __init__(
        self,
        weight: Tensor | None = None,
        size_average: bool | None = None,
        ignore_index: int = -100,
        reduce: bool | None = None,
        reduction: str = "mean",
        label_smoothing: float = 0.0,
    ) -> None:
        refuse_old_names(size_average, reduce)
        super().__init__(weight, ignore_index, reduction)
        self.label_smoothing = label_smoothing

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """Return the loss; shapes and errors as in `functional.cross_entropy`."""
        return F.cross_entropy(
            input,
            target,
            self.weight,
            ignore_index=self.ignore_index,
            reduction=self.reduction,
            label_smoothing=self.label_smoothing,
        )


class NLLLoss(_Classes):
    """`functional.nll_loss` of log-probabilities and target, with its arguments."""

    def __init__(
        self,
        weight: Tensor | None = None,
        size_average: bool | None = None,
        ignore_index: int = -100,
        reduce: bool | None = None,
        reduction: str = "mean",
    ) -> None:
        refuse_old_names(size_average, reduce)
        super().__init__(weight, ignore_index, reduction)

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """Return the loss; shapes and errors as in `functional.nll_loss`."""
        return F.nll_loss(
            input, target, self.weight, ignore_index=self.ignore_index, reduction=self.reduction
        )


class MSELoss(Module):
    """`functional.mse_loss` of input and target: the mean of their squared differences."""

    def __init__(
        self, size_average: bool | None = None, reduce: bool | None = None, reduction: str = "mean"
    ) -> None:
        refuse_old_names(size_average, reduce)
        super().__init__()
        self.reduction = reduction

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """Return the loss; shapes and errors as in `functional.mse_loss`."""
        return F.mse_loss(input, target, reduction=self.reduction)
