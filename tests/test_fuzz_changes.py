"""Random steps with random changes between their calls, eagerly, as C and as NumPy.
`python -m tests.fuzz changes` runs more of them."""

import subprocess
import sys
from pathlib import Path

import pytest
from fuzz import changes
from fuzz.changing import ChangingProgram, outcome
from fuzz.runner import environment
from test_fuzz_compile import nothing_found

FEW, MANY = range(1), range(1, 600)


def test_a_few_steps_agree() -> None:
    nothing_found(FEW, "changes")


@pytest.mark.slow
def test_steps_agree() -> None:
    nothing_found(MANY, "changes")


def test_a_seed_is_one_step() -> None:
    assert changes.drawn(3) == changes.drawn(3) != changes.drawn(4)


@pytest.mark.slow
def test_every_kind_of_change_is_drawn() -> None:
    drawn = [each.line.text for seed in range(300) for each in changes.drawn(seed).changes]
    some = ["requires_grad_(False)", ".data = ", "override[", "held.append(", "register_hook", '["lr"] *= ']
    some += [
        "load_state_dict",
        ".state.clear()",
        "add_param_group",
        ".eval()",
        ".p = ",
        ".momentum = ",
        ".k = ",
    ]
    some += ["lambda v: ", "manual_seed", "torch.Generator()", "no_grad", "set_default_dtype", "nn.Parameter"]
    some += ["register_forward_hook", ".grad = None", '["k"] = ', "[0] = ", "nn.ReLU()"]
    assert not [each for each in some if not any(each in text for text in drawn)]


@pytest.mark.slow
def test_most_steps_are_compiled() -> None:
    """Otherwise eager code would be compared with itself."""
    said = [outcome(changes.drawn(seed), "numpy").said for seed in range(20)]
    assert sum(any("runs as eager code" in text for text in each) for each in said) < 10


def test_a_step_is_made_small() -> None:
    program = next(step for step in map(changes.drawn, range(200)) if ".eval()" in step.source())

    def fails(smaller: ChangingProgram) -> bool:
        return ".eval()" in smaller.source()

    small = program.smaller(fails)
    assert fails(small)
    assert len(small.changes) == 1


def test_a_script_shows_what_the_step_does(tmp_path: Path) -> None:
    path = tmp_path / "step.py"
    path.write_text(changes.drawn(5).pasteable())
    ran = subprocess.run(
        [sys.executable, path], env=environment(), capture_output=True, text=True, check=True
    )
    assert "eager 5" in ran.stdout
    assert "numpy 5" in ran.stdout
