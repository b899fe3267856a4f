"""The output of the commands: the losses of a model, new words."""

from __future__ import annotations

import click

from .. import Generator
from ..makemore.checkpoint import Checkpoint
from ..makemore.models import Model
from ..makemore.sampling import sample
from ..makemore.training import Examples, evaluate

SAMPLES = 20
SAMPLE_SEED = 10  # the lecture samples with the seed of its training plus 10


def print_losses(model: Model, datasets: dict[str, Examples]) -> None:
    """Print a table of the model's mean loss on every dataset, in nats."""
    from rich.console import Console
    from rich.table import Table

    table = Table("data", "loss (nats)")
    for name, (X, Y) in datasets.items():
        table.add_row(name, f"{evaluate(model, X, Y):.4f}")
    Console().print(table)


def print_samples(trained: Checkpoint, count: int, seed: int) -> None:
    """Print `count` words drawn from the model, one per line."""
    model, generator = trained.model.to("cpu"), Generator().manual_seed(seed)
    for _ in range(count):
        click.echo(sample(model, trained.vocabulary, generator))
