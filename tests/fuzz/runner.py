"""Seeds in child processes, a batch in each, so that a crash is a finding like another.

A child says on its output which seed it begins and what it found. The one that it was at when it died is run
again alone: then either that one dies too, or the whole batch is the finding, since memory that one seed
corrupted may be found so at a later one.
"""

from __future__ import annotations

import faulthandler
import importlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

TESTS = Path(__file__).resolve().parent.parent
BATCH = 20
PATIENCE = 300  # seconds for one batch


@dataclass(frozen=True)
class Finding:
    """What was found at which seed."""

    seed: int
    text: str


@dataclass
class Child:
    """What a child process said: the seeds it finished, the one it died at, if it did, and how."""

    finished: list[int]
    findings: list[Finding]
    at: int | None = None
    death: str = ""


def module(name: str) -> Any:
    """Return the fuzzer of that name, which may use what the tests share."""
    if str(TESTS) not in sys.path:
        sys.path.append(str(TESTS))
    return importlib.import_module(f"{__package__}.{ {'compile': 'compiled'}.get(name, name) }")


def environment() -> dict[str, str]:
    """Return the surroundings of a child process."""
    paths = os.pathsep.join([str(TESTS), str(TESTS.parent)])
    return {"OMP_NUM_THREADS": "1", **os.environ, "PYTHONPATH": paths, "PYTHONWARNINGS": "ignore"}


def run_child(name: str, seeds: Sequence[int]) -> Child:
    """Run some seeds in a process of their own."""
    command = [sys.executable, "-m", "fuzz.runner", name, *map(str, seeds)]
    with subprocess.Popen(
        command, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            out, err = process.communicate(timeout=PATIENCE)
            death = "" if process.returncode == 0 else how(process.returncode, err)
        except subprocess.TimeoutExpired:
            process.kill()
            out, err = process.communicate()
            death = f"it did not end within {PATIENCE} seconds"
    child = Child([], [], death=death)
    for line in out.splitlines():
        if not line.startswith("{"):
            continue
        said = json.loads(line)
        if said["found"] == "begun":
            child.at = said["seed"]
        else:
            child.finished.append(said["seed"])
            child.findings += [Finding(said["seed"], said["text"])] if said["text"] else []
    if not death:
        child.at = None
    return child


def how(code: int, errors: str) -> str:
    """Return how a process ended that did not end well."""
    name = signal.Signals(-code).name if code < 0 else f"exit status {code}"
    return f"{name}\n{errors[-4000:]}"


def batch(name: str, seeds: Sequence[int]) -> list[Finding]:
    """Return what is found at these seeds, deaths of their process included."""
    left, findings = list(seeds), []
    while left:
        child = run_child(name, left)
        findings += child.findings
        if not child.death:
            break
        at = left[0] if child.at is None else child.at
        alone = run_child(name, [at])
        findings += alone.findings if not alone.death else [Finding(at, died(name, at, alone.death))]
        if not alone.death and at not in {each.seed for each in alone.findings}:
            told = f"# the process of the seeds {seeds[0]} to {at} died: {child.death}"
            findings.append(Finding(at, told))
        left = [seed for seed in left if seed not in {*child.finished, at}]
    return list({each.seed: each for each in findings}.values())


def died(name: str, seed: int, death: str) -> str:
    """Return the text of a seed that ends its process: its program, where the fuzzer can write it."""
    write = getattr(module(name), "program_text", None)
    told = "".join(f"# {line}\n" for line in death.splitlines())
    return f"{write(seed) if write else ''}{told}"


def search(
    name: str, seeds: Iterator[int], jobs: int, until: float | None = None, size: int = BATCH
) -> Iterator[tuple[int, list[Finding]]]:
    """Yield, batch by batch as they end, how many seeds were run and what was found. until: the time by the
    monotonic clock after which no batch is begun."""
    with ThreadPoolExecutor(jobs) as pool:
        running: dict[Future[list[Finding]], int] = {}
        while True:
            while len(running) < jobs and (until is None or time.monotonic() < until):
                several = list(islice(seeds, size))
                if not several:
                    break
                running[pool.submit(batch, name, several)] = len(several)
            if not running:
                return
            for each in wait(running, return_when=FIRST_COMPLETED).done:
                yield running.pop(each), each.result()


def main(name: str, *seeds: str) -> None:
    """Run seeds in this process, and say line by line what is found."""
    faulthandler.enable()
    try_seed = module(name).try_seed
    for seed in map(int, seeds):
        print(json.dumps({"seed": seed, "found": "begun"}), flush=True)
        print(json.dumps({"seed": seed, "found": "ended", "text": try_seed(seed)}), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
