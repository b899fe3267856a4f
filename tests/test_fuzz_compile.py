"""Random training steps, eagerly, as C and as NumPy. `python -m tests.fuzz compile` runs more of them."""

import os
from collections.abc import Iterable

import numpy as np
import pytest
from fuzz import compiled, runner
from fuzz.program import Program
from fuzz.steps import drawn

SEEDS, SANITIZED = range(324), range(324, 354)
JOBS = os.cpu_count() or 1


def nothing_found(seeds: Iterable[int], fuzzer: str = "compile") -> None:
    runs = runner.search(fuzzer, iter(seeds), JOBS, size=12)
    found = [f"# ---- seed {each.seed}\n{each.text}" for _, several in runs for each in several]
    assert not found, "\n".join(found)


@pytest.mark.slow
def test_steps_agree() -> None:
    nothing_found(SEEDS)


@pytest.mark.slow
def test_sanitizers_find_nothing_in_steps(
    sanitizers: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in sanitizers.items():
        monkeypatch.setenv(name, value)
    nothing_found(SANITIZED)


def test_a_seed_is_one_step() -> None:
    assert drawn(3) == drawn(3) != drawn(4)


@pytest.mark.parametrize(
    ("have", "want", "moved", "differs"),
    [
        ([1.0, 2.0], [1.0, 2.0], [1.0, 2.0], False),
        ([1.0, 2.0 + 1e-9], [1.0, 2.0], [1.0, 2.0], True),
        ([1.0, 2.0 + 1e-9], [1.0, 2.0], [1.0, 2.0 + 1e-10], False),
        ([0.0], [-0.0], [-0.0], True),
        ([0.0], [-0.0], [0.0], False),
        ([np.nan], [np.nan], [np.nan], False),
        ([np.inf], [np.nan], [np.nan], True),
        ([1.0], [np.inf], [np.inf], True),
        ([np.inf], [1.0], [1.0], True),
        ([np.nan, 1.0], [1.0, 1.0], [1.0, 1.0], True),
        (np.float32([1.0]), [1.0], [1.0], True),
        ([[1.0]], [1.0], [1.0], True),
        (None, [1.0], [1.0], True),
        ([1.0], None, None, True),
        ([3], [4], [4], True),
        ("IndexError", "RuntimeError", None, True),
    ],
)
def test_what_counts_as_a_difference(have: object, want: object, moved: object, differs: bool) -> None:
    have, want, moved = (
        np.asarray(x) if isinstance(x, (list, np.ndarray)) else x for x in (have, want, moved)
    )
    assert bool(compiled.difference(have, want, [moved])) is differs


def test_a_step_is_made_small() -> None:
    """What is left is what fails, and what that needs."""
    step = next(step for seed in range(50) if (step := drawn(seed)) if "backward" in step.source())

    def fails(program: Program) -> bool:
        program.made()
        return "backward" in program.source()

    small = step.smaller(fails)
    assert fails(small)
    assert not any(fails(small.without(lines=[i])) for i in range(len(small.body)))
    assert not small.results
