"""What of optimizers and schedulers is not compared: the step reads it anew, or repeats what changes it."""

from __future__ import annotations

from itertools import chain

from ....optim.lr_scheduler import LRScheduler
from .parts import attributes_of
from .trusted import words
from .walk import Walk

_PROGRESS = words("last_epoch _step_count _last_lr")
"""The attributes of a scheduler that each of its steps changes."""
_READING = words("get_last_lr get_lr state_dict load_state_dict deepcopy") | _PROGRESS
"""Names by which code reads them."""


def reads_groups(walk: Walk) -> bool:
    """Return whether code may read groups of optimizers itself."""
    if walk.names("param_groups"):
        return True
    groups = [optimizer._param_groups for optimizer in walk.optimizers]
    return any(walk.reached[id(x)] > 1 for x in (*groups, *chain.from_iterable(groups)))


def leave_schedulers(walk: Walk) -> list[LRScheduler]:
    """Compare no longer how far schedulers are, where no code may read that, and return them."""
    if walk.reads_unnamed or any(map(walk.names, _READING)):
        return []
    for scheduler in walk.schedulers:
        held = attributes_of(scheduler) or {}
        for name in filter(_PROGRESS.__contains__, held):
            walk.watched.drop_item(held, name)
    return walk.schedulers
