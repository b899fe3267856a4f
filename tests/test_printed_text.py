"""Texts that are compared number by number."""

import pytest
from printed_text import same_text


@pytest.mark.parametrize(
    ("a", "b", "same"),
    [
        ("approx: True  | maxdiff: 0.0", "approx: True  | maxdiff: 3.7e-09", True),
        ("approx: True", "approx: False", False),
        ("tensor(0.1234)", "tensor(0.1235)", True),
        ("tensor(0.1234)", "tensor(0.1236)", False),
        ("tensor(0.1234)", "tensor([0.1234])", False),
        ("loss: 2.151372432", "loss: 2.151372671", True),
        ("loss: 2.15137243", "loss: 2.15138267", False),
        ("1.2e-05 and 32", "1.3e-05 and 32", True),
        ("32", "33", False),
        ("1.0", "1.0 2.0", False),
    ],
)
def test_texts_are_the_same_but_for_rounding(a: str, b: str, same: bool) -> None:
    assert same_text(a, b) is same
