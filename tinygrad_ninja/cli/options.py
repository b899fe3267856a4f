"""The options that several commands share."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from .. import zeros
from ..makemore.fields import Number, Whole
from ..makemore.models import MODELS
from ..makemore.run import MODEL
from ..makemore.settings import DEVICES, FIELDS, SIZES, Settings

RUNS = Path("runs")
"""The folder in which trainings have theirs, by the names of their models."""

SHIPPED = "a list of names that comes with the program"

Command = TypeVar("Command", bound=Callable[..., Any])

checkpoint_argument = click.argument(
    "file",
    metavar="[CHECKPOINT]",
    type=click.Path(path_type=Path),
    default=RUNS / Settings.model / MODEL,
)


def device_option(default: str | None = "cpu") -> Any:
    """Return the option --device. None as `default`: the cpu, or the device that a resumed run was on."""
    return click.option(
        "--device",
        type=click.Choice(DEVICES),
        default=default,
        show_default="cpu",
        help="What holds the numbers: NumPy arrays, PyTorch's tensors, or PyTorch's tensors on the GPU.",
    )


out_option = click.option(
    "--out",
    metavar="DIR",
    type=click.Path(path_type=Path),
    show_default="runs/MODEL",
    help="DIR, the folder of the training: its model, checkpoint, metrics and picture.",
)


def data_option(default: str) -> Any:
    """Return the option --data, whose default is described by `default`."""
    return click.option(
        "--data",
        metavar="FILE|makemore",
        show_default=default,
        help="A text file with a word a line, or the lecture's own list of names, which is downloaded once.",
    )


def model_option(help: str, *more: str) -> Any:
    """Return the option --model, for the models and the names in `more`."""
    return click.option(
        "--model",
        metavar="MODEL",
        type=click.Choice([*MODELS, *more]),
        show_default=Settings.model,
        help=help,
    )


def count_option(
    name: str,
    largest: int,
    help: str,
    default: int | None = None,
    show_default: str | bool = True,
    smallest: int = 1,
) -> Any:
    """Return an option for a whole number from `smallest` to `largest`."""
    type = click.IntRange(smallest, largest)
    return click.option(name, metavar="N", type=type, default=default, show_default=show_default, help=help)


def largest(name: str) -> Any:
    """Return the largest value of a setting that is a number."""
    kind = FIELDS[name]
    assert isinstance(kind, (Whole, Number))
    return kind.largest


def rate_option(name: str, show_default: str, help: str) -> Any:
    """Return an option for a learning rate."""
    return click.option(
        name, metavar="RATE", type=Rate(0, largest("lr"), min_open=True), show_default=show_default, help=help
    )


class Rate(click.FloatRange):
    """A range without NaN, which click accepts in any range."""

    def convert(self, value: Any, parameter: click.Parameter | None, context: click.Context | None) -> Any:
        """Return the number, or fail where it is NaN or out of range."""
        rate = super().convert(value, parameter, context)
        if math.isnan(rate):
            self.fail("nan is not a number.", parameter, context)
        return rate


def seed_option(default: int | None, show_default: str | bool) -> Any:
    """Return the option --seed."""
    return click.option(
        "--seed",
        metavar="N",
        type=click.IntRange(0, largest("seed")),
        default=default,
        show_default=show_default,
        help="Where the random numbers start: the same seed gives the same result.",
    )


def model_options(command: Command) -> Command:
    """Add the options that decide a training run, except its steps; an unset option has the model's value."""
    for option in reversed(
        (
            data_option(SHIPPED),
            model_option("One of the models below."),
            count_option(
                "--context",
                largest("context"),
                "Letters that the next one is predicted from.",
                show_default="the model's",
            ),
            count_option(
                "--embedding",
                largest("embedding"),
                "Numbers that describe a letter.",
                show_default="the model's",
            ),
            count_option(
                "--hidden", largest("hidden"), "Units in a hidden layer.", show_default="the model's"
            ),
            count_option(
                "--layers", largest("layers"), "Hidden layers, or blocks.", show_default="the model's"
            ),
            count_option(
                "--heads", largest("heads"), "Heads of attention in a block.", show_default="the model's"
            ),
            count_option("--batch", largest("batch"), "Examples in each step.", show_default="the model's"),
            seed_option(None, str(Settings.seed)),
            device_option(None),
            click.option(
                "--eager/--compiled",
                default=None,
                show_default="compiled",
                help="Run every step as it is written, or, on the cpu, compiled, which is faster, and agrees "
                "but for the last places.",
            ),
            out_option,
        )
    ):
        command = option(command)
    return command


def models_table() -> str:
    """Return the models with their own sizes, as text for the end of a help page."""
    heads = ["model", "context", *SIZES, "steps", "batch", "lr"]
    rows = [
        [
            name,
            *(
                f"{getattr(model.recipe, head):,g}" if getattr(model.recipe, head) else ""
                for head in heads[1:]
            ),
        ]
        for name, model in MODELS.items()
    ]
    widths = [max(map(len, column)) for column in zip(heads, *rows, strict=True)]
    lines = [
        "  ".join(
            f"{cell:{'<' if i == 0 else '>'}{width}}"
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in (heads, *rows)
    ]
    return "\b\nThe models, and what they take without options:\n" + "\n".join(f"  {line}" for line in lines)


def require(device: str) -> None:
    """Raise ClickException where this machine does not have the device."""
    try:
        zeros(1).to(device)
    except (ImportError, RuntimeError) as error:
        raise click.ClickException(str(error)) from error


def drop_unset(options: dict[str, Any]) -> dict[str, Any]:
    """Return the options that have a value."""
    return {name: value for name, value in options.items() if value is not None}
