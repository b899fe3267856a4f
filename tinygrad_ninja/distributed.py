"""Processes that share a training: gradients averaged through `torch.distributed`."""

from .makemore.processes import (
    DistributedError,
    Gradients,
    Ranks,
    is_launched,
    is_restarted,
    process_group,
)

__all__ = [
    "DistributedError",
    "Gradients",
    "Ranks",
    "is_launched",
    "is_restarted",
    "process_group",
]
