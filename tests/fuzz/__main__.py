"""`python -m tests.fuzz compile --seeds 0:1000`: random programs, until something differs."""

from __future__ import annotations

import itertools
import sys
import time

import click

from .runner import BATCH, search


def seeds_of(_: click.Context, __: click.Parameter, text: str) -> tuple[int, int | None]:
    """Return the bounds of A:B; without B there is no end."""
    first, colon, last = text.partition(":")
    if not first.isdigit() or not (last.isdigit() or (colon and not last)):
        raise click.BadParameter("A:B, the first seed and the one after the last, or A: without an end")
    return int(first), int(last) if last else None


@click.command()
@click.argument("which", type=click.Choice(["compile", "changes", "histories", "eager", "derive", "files"]))
@click.option("--seeds", default="0:", callback=seeds_of, help="A:B; without B until the minutes are over.")
@click.option("--minutes", type=float, help="Begin nothing new after that.  [default: 1, if no B is given]")
@click.option("--jobs", default=1, show_default=True, help="Processes at a time.")
def main(which: str, seeds: tuple[int, int | None], minutes: float | None, jobs: int) -> None:
    """Run random programs in two ways that must agree, and print those that do not.

    compile: steps eagerly, as C and as NumPy. changes: such steps, and changes between their
    calls. histories: functions whose results are derived outside. eager: this engine and PyTorch. derive:
    printed gradients and PyTorch's. files: damaged checkpoints, which must be refused in a line. A process
    that crashes is a finding too. The exit status is 1 where there are findings.
    """
    first, last = seeds
    if minutes is None and last is None:
        minutes = 1
    begin = time.monotonic()
    until = None if minutes is None else begin + 60 * minutes
    numbers = iter(range(first, last)) if last is not None else itertools.count(first)
    count = found = 0
    for run, findings in search(which, numbers, jobs, until, size=BATCH):
        count += run
        for each in findings:
            found += 1
            click.echo(f"# ---- {which}, seed {each.seed} " + "-" * 60)
            click.echo(each.text.rstrip("\n") + "\n")
    click.echo(f"{which}: {found} findings in {count} seeds, {time.monotonic() - begin:.0f} seconds")
    sys.exit(bool(found))


if __name__ == "__main__":
    main()
