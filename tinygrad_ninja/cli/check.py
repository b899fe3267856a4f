"""`ninja check`: the lecture's gradients beside PyTorch's."""

from __future__ import annotations

import click

from .options import SHIPPED, data_option, require


@click.command(short_help="Compare the lecture's gradients with PyTorch's.")
@data_option(SHIPPED)
@click.option(
    "--device",
    type=click.Choice(["cpu", "torch", "cuda"]),
    show_default="cpu, then torch",
    help="What holds this engine's numbers. PyTorch's are on the CPU, for cuda on the GPU.",
)
@click.option(
    "--dtype",
    type=click.Choice(["float32", "float64"]),
    show_default="one, then the other",
    help="Precision of the numbers.",
)
def check(data: str | None, device: str | None, dtype: str | None) -> None:
    """Compare the lecture's values and gradients with PyTorch's, which has to be installed.

    Prints tables with a row for every tensor on the way from the letters to the loss, and exits with status 1
    where one is not as near to PyTorch's as it must be.
    """
    require("torch")
    if device is not None:
        require(device)

    from ..makemore import lecture

    claims, failures = [], []
    for place in ["cpu", "torch"] if device is None else [device]:
        for precision in ["float32", "float64"] if dtype is None else [dtype]:
            comparison = lecture.table(place, precision, data)
            title = f"{precision} on {lecture.ARRAYS[place]}"
            click.echo(f"{title}\n\n{comparison.table(lecture.TERMS)}\n")
            claims.append(f"{title} {lecture.claim(place, precision)}")
            complaints = lecture.complaints(comparison, place, precision)
            failures += [f"{title} differs:", *complaints] if complaints else []
    if failures:
        click.echo("\n".join(failures))
        raise click.exceptions.Exit(1)
    click.echo(
        f"All {len(comparison)} values and gradients are PyTorch's, measured by the greatest element of each "
        f"tensor (the gradients that cancel to zero, of {' and '.join(lecture.TERMS)}, by their terms): "
        f"{', '.join(claims)}."
    )
