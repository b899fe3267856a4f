"""What two engines, or two runs, print: the same but for rounding?"""

import re
from decimal import Decimal

NUMBER = re.compile(r"-?\b\d+(?:\.\d*)?(?:e[-+]?\d+)?")
ROUNDED = re.compile(r"(?<=exact: )(?:True|False)|grad_fn=<\w+>|(?<=tensor\()\[[-+\d.e,\s\[\]]+")
"""What is not compared as text: whether two sums are equal to the last bit, which their order decides; a
node's name, of which PyTorch has two for a sum; and the elements of a Tensor, which are compared as such."""


def lines(text: str) -> list[str]:
    return ROUNDED.sub("", text).splitlines()


def same_text(a: str, b: str) -> bool:
    """Whether the words are the same, and the numbers to a millionth (of 1, if that is more) or a unit of the
    last decimal."""
    if NUMBER.sub("#", a).split() != NUMBER.sub("#", b).split():
        return False
    pairs = zip(map(Decimal, NUMBER.findall(a)), map(Decimal, NUMBER.findall(b)), strict=True)
    return all(abs(x - y) <= max(Decimal("1e-6") * max(1, abs(x)), unit(x, y)) for x, y in pairs)


def unit(*numbers: Decimal) -> Decimal:
    """The coarser of their last decimals; 0 for integers, which are exact."""
    exponent = max(int(each.as_tuple().exponent) for each in numbers)
    return Decimal(1).scaleb(exponent) if exponent < 0 else Decimal(0)
