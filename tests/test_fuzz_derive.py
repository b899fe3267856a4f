"""Random programs, derived: a fixed set of seeds of `python -m tests.fuzz derive`."""

import pytest
from fuzz import derive


@pytest.mark.parametrize("seed", range(8))
def test_printed_gradients_of_random_programs_are_pytorchs(seed: int) -> None:
    assert derive.try_seed(seed) is None


@pytest.mark.slow
@pytest.mark.parametrize("first", range(0, 400, 50))
def test_printed_gradients_of_many_random_programs_are_pytorchs(first: int) -> None:
    for seed in range(first, first + 50):
        assert derive.try_seed(seed) is None


def test_a_seed_says_what_it_said() -> None:
    assert derive.program_of(3) == derive.program_of(3)


def test_a_wrong_gradient_is_found() -> None:
    """The comparison can fail: where PyTorch's answer is another, the program is told, and what differs."""
    text = "p = torch.tensor([1.0, 2.0], dtype=torch.float64).requires_grad_()\nloss = (p * p.detach()).sum()"
    assert derive.differences(text, {"p"}, rounds=False) is None
    wrong = text + "\nif torch.__name__ == 'torch': loss = loss * 1.001"
    said = derive.differences(wrong, {"p"}, rounds=False)
    assert said is not None
    assert "gradient of p" in said
    assert wrong in said
