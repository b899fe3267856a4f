"""The names of the array API standard, and the entries that stand for them."""

from __future__ import annotations

from .operation import TABLE, Operation


def entry_called(name: str) -> Operation | None:
    """Return the entry for the function of this name in a namespace `xp`: the entry with that name, or with
    that standard name. None where there is none."""
    return TABLE.get(name) or next((entry for entry in TABLE.values() if entry.standard == name), None)
