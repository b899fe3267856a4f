"""Pictures in a folder: never in the place of someone else's file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from ..serialization import write

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def claim(path: Path) -> None:
    """Raises ClickException where the file is there and not one that `save` made, or cannot be read."""
    if path.exists():
        from viz.plots import is_ours

        if not is_ours(path):
            raise click.ClickException(f"{path} is not ours to replace: choose another --out")


def save(path: Path, figure: Figure) -> None:
    """Write the figure as PNG; raises ClickException where that fails."""
    from viz.plots import to_png

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write(path, to_png(figure))
    except OSError as error:
        raise click.ClickException(f"cannot write to {path}: {error.strerror}") from error
