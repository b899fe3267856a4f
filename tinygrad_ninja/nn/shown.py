"""A module as a notebook shows it."""

from __future__ import annotations

import html
from typing import Any


def module_tree(module: Any, name: str = "") -> str:
    """Return the module as HTML: its class, its parameters with their shapes, and the modules in it, which
    unfold."""
    title = f"{html.escape(name)}: " if name else ""
    title += f"<b>{type(module).__name__}</b>({html.escape(module.extra_repr())})"
    count = sum(parameter.numel() for parameter in module.parameters())
    title += f" · {count:,} parameters" if count else ""
    lines = [
        f"<li>{html.escape(key)} {'×'.join(map(str, parameter.shape)) or 'a single number'}"
        f"{'' if parameter.requires_grad else ', frozen'}</li>"
        for key, parameter in module.named_parameters(recurse=False)
    ]
    lines += [f"<li>{module_tree(child, key)}</li>" for key, child in module.named_children()]
    if not lines:
        return title
    return f"<details{'' if name else ' open'}><summary>{title}</summary><ul>{''.join(lines)}</ul></details>"
