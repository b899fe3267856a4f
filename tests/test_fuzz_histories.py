"""Random functions whose results are derived outside, eagerly, as C and as NumPy.
`python -m tests.fuzz histories` runs more of them."""

import pytest
from fuzz import histories
from test_fuzz_compile import nothing_found


def test_a_few_functions_agree() -> None:
    nothing_found(range(1), "histories")


@pytest.mark.slow
def test_functions_agree() -> None:
    nothing_found(range(1, 200), "histories")


@pytest.mark.slow
def test_most_functions_are_compiled() -> None:
    """Otherwise eager code would be compared with itself."""
    said = [histories.outcome(histories.drawn(seed), "numpy").said for seed in range(20)]
    assert sum(any("runs as eager code" in text for text in each) for each in said) < 10
