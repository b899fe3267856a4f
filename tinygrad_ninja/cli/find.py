"""`ninja lr-find`: which learning rate to try."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
import numpy as np

from ..makemore.lr_finder import FEWEST, find_learning_rate
from ..makemore.run import Run
from ..makemore.settings import Settings
from .options import count_option, drop_unset, model_options, models_table, rate_option, require
from .pictures import check_replaceable, save

PICTURE = "lr.png"
ROWS = 15


@click.command("lr-find", short_help="Find a learning rate for a model.", epilog=models_table())
@model_options
@count_option("--steps", 10**6, "Steps, each at a higher rate than the one before.", 1000, smallest=FEWEST)
@rate_option("--lowest", "a thousandth of the model's", "Learning rate of the first step.")
@rate_option("--highest", "100 times the model's", "Learning rate of the last step.")
def lr_find(
    out: Path | None,
    device: str | None,
    eager: bool | None,
    steps: int,
    lowest: float | None,
    highest: float | None,
    **options: Any,
) -> None:
    """Find a learning rate: train a new model with ever higher ones until the loss explodes.

    Prints the loss at some of the rates, and saves its curve as lr.png in DIR. A good rate is where the loss
    falls fastest, or somewhat higher; at its lowest point the rate is nearly too high.
    """
    device = device or "cpu"
    require(device)
    options = drop_unset(options)
    out = out or Path("runs", options.get("model", Settings.model))
    run = Run.start(out, options, device, bool(eager))
    check_replaceable(out / PICTURE)
    lowest = run.result.settings.lr / 1000 if lowest is None else lowest
    highest = run.result.settings.lr * 100 if highest is None else highest
    if lowest >= highest:
        raise click.UsageError(f"--lowest {lowest:g} must be below --highest {highest:g}.")
    search = find_learning_rate(run.training, lowest, highest, steps)

    from rich.console import Console
    from rich.table import Table

    from viz.plots import lr_curve

    table = Table("learning rate", "loss (nats)")
    for i in np.linspace(0, len(search.rates) - 1, ROWS).astype(int):
        table.add_row(f"{search.rates[i]:.2g}", f"{search.smoothed[i]:.4f}")
    Console().print(table)
    click.echo(f"The loss falls fastest at {search.steepest:.2g}, and is lowest at {search.lowest:.2g}.")
    save(out / PICTURE, lr_curve(search.rates, search.losses, search.smoothed))
    click.echo(f"saved the curve in {out / PICTURE}")
