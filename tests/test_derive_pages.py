"""The pages that explain values: every formula is evaluated on the numbers, and every small case run."""

import itertools
import re
from typing import Any

import numpy as np
import pytest
from derivations import lecture_derivation
from every_model import EVERY_MODEL
from latex_indices import LETTERS, NAME, IndexedReader, slope_holds, squeezed
from latex_values import Reader, read

from tinygrad_ninja.cli.derive import derive_model
from tinygrad_ninja.program import Derivation
from tinygrad_ninja.program.instructions import Program, double, widened

INDEX = r"(?:_\{([^}]*)\})?"
SHARE = r"(?:\^\{\\left\((\d+)\\right\)\})?"
LEFT = re.compile(r"(?:\\underset\{[^}]*\}\{)?" + NAME + r"\}?" + INDEX + SHARE)
ONE = r"(?:\\mathrm\{([^}]*)\}|([A-Za-z])|(\\[a-z]+))"
SLOPE = re.compile(rf"\\frac\{{\\partial {ONE}{INDEX}\}}\{{\\partial {ONE}{INDEX}\}}")
FORMULA = re.compile(r"\$\$(.*?)\$\$|(?<!\$)\$(?![^$]*\\partial L)([^$]* = [^$]*)\$(?!\$)")
PROOF = re.compile(r"\*\*The local derivative\*\* of `\w+`, step by step.*?(?=\*\*The up)", flags=re.DOTALL)

WHERE = re.compile(r"(\$[^$\n]*\$), where (.*?)(?=: \*\*the local derivative)")
"""A formula, and those of the names in it, which are told behind it."""


def named(groups: tuple[Any, ...]) -> str:
    return str(next(filter(None, groups))).replace(r"\_", "_")


def in_one_line(text: str) -> str:
    """The text with its broken formulas in one line each."""
    text = re.sub(r"(?: \\right\.)* \\\\ &\\quad(?: \\left\.)* ", " ", text)
    for broken, whole in (
        (r"\begin{aligned} ", ""),
        (r" \end{aligned}", ""),
        (" &= ", " = "),
    ):
        text = text.replace(broken, whole)
    return text


class Page:
    """One page, whose formulas are computed in order. values: those that its names have in the end."""

    def __init__(self, text: str, values: dict[str, Any], numbers: dict[str, int], called: str) -> None:
        text = WHERE.sub(r"\2 \1", PROOF.sub("", in_one_line(text)))
        self.formulas = FORMULA.findall(text)
        self.values = {**values, **{name: np.asarray(n) for name, n in numbers.items()}}
        self.parts: dict[str, list[Any]] = {}  # the ways to read what the page itself names
        self.called = called
        self.definitions: dict[str, str] = {}
        self.shares: dict[str, list[Any]] = {"element": [], "array": []}
        self.count = 0

    def readings(self) -> Any:
        """Yield the values with each way to read those that the page itself names."""
        for ways in itertools.product(*self.parts.values()):
            yield self.values | dict(zip(self.parts, ways, strict=True))

    def any_way(self, test: Any) -> bool:
        """Whether a test holds for one way to read the page's own names."""
        for values in self.readings():
            try:
                if test(values):
                    return True
            except ValueError:
                continue
        return False

    def close(self, ways: list[Any], of: str) -> bool:
        true = self.values[of]
        allowed = 1e-5 * self.greatest(of) + 1e-9 * max(map(self.greatest, self.values))
        return any(np.allclose(squeezed(x), squeezed(true), 0, allowed, True) for x in ways)

    def greatest(self, name: str) -> float:
        x = np.asarray(self.values[name])
        return float(abs(x[np.isfinite(x)]).max(initial=0)) if x.dtype.kind == "f" else 0.0

    def check(self) -> int:
        """Compute each formula: it gives the value that it is of. Return how many there are."""
        for displayed, inline in self.formulas:
            latex = displayed or inline
            left, _, right = latex.partition(" = ")
            self.count += 1
            if slope := SLOPE.fullmatch(left):
                self.local(slope.groups(), right, latex)
            elif left.startswith(r"\frac"):
                measured, said = (Reader(side, self.values).whole()[0] for side in (left, right))
                assert measured == pytest.approx(said, rel=1e-4, abs=1e-6), (self.called, latex)
            else:
                self.value(left, right, latex)
        for ways in self.shares.values():  # each by itself is no value's, but their sum is
            sums = [sum(share) for share in itertools.product(*ways)]
            assert not ways or self.close(sums, self.called), (self.called, "shares")
        return self.count

    def local(self, groups: tuple[Any, ...], right: str, latex: str) -> None:
        of, by = named(groups[:3]), named(groups[4:7])
        formula = self.definitions[of]

        above, below = (of, groups[3] or ""), (by, groups[7] or "")

        def holds(values: dict[str, Any]) -> bool:
            return slope_holds(
                above, below, right, lambda x: Reader(formula, values | {by: x}).whole(), values
            )

        assert self.any_way(holds), (self.called, latex)

    def value(self, left: str, right: str, latex: str) -> None:
        found = LEFT.fullmatch(left)
        assert found, left
        of = named(found.groups()[:3])
        if of not in self.values:  # a part of a line
            self.parts.pop(of, None)
            ways = [way for values in self.readings() for way in Reader(right, values).whole()]
            self.definitions[of], self.parts[of] = right, ways[:6]
            return
        true = self.values[of]
        if found[4]:
            sizes = dict(zip(found[4].split(), squeezed(true).shape, strict=True))
            ways = [self.by_elements(right, found[4], sizes)]
        else:
            self.definitions[of] = right
            ways = []
            assert self.any_way(lambda values: ways.extend(read(right, values, true.shape)) or True), latex
        if found[5]:
            self.shares["element" if found[4] else "array"].append(ways)
        else:
            assert self.close(ways, of), (self.called, latex)

    def by_elements(self, right: str, letters: str, sizes: dict[str, int]) -> Any:
        """The whole array of which the formula gives an element."""
        reader = IndexedReader.of(right, self.values, sizes=sizes)
        value = np.asarray(reader.whole()[0])
        axes = [reader.letter(letter) for letter in letters.split()]
        value = np.broadcast_to(value, np.broadcast_shapes(value.shape, *(a.shape for a in axes)))
        first = [LETTERS.index(letter) for letter in letters.split()]
        return value.transpose(*first, *(i for i in range(value.ndim) if i not in first))


def assert_every_formula_holds(derivation: Derivation) -> int:
    """Compute each formula of each page, none of which quotes a rule instead. Return how many there are."""
    writer = derivation.explainer.writer
    program = widened(Program(writer.written, [*derivation.backward.gradients.values()]))
    found = program.run({var: double(var.value) for var in program.inputs})
    values = {var.name: found[var] for var in derivation.forward.program.variables() if var.name}
    gradients = {var.name: each for var, each in derivation.backward.gradients.items()}
    values |= {each.name: found[each] for each in gradients.values()}
    values |= {name: found[var] for var, name in writer.helpers.items()}
    numbers = derivation.forward.numbers
    pages = {name: derivation.explain(name) for name in derivation.values[1:]}
    assert not [name for name, page in pages.items() if "is in its rule" in page]
    without_indices = [page for page in pages.values() if re.search(r"went into[^:]*\. For the arrays", page)]
    assert all("reshape" in page for page in without_indices)  # which divides a dimension
    return sum(Page(page, values, numbers, gradients[name].name).check() for name, page in pages.items())


@pytest.mark.parametrize("simplify", [False, True])
@pytest.mark.parametrize("model", EVERY_MODEL)
def test_every_formula_of_every_models_pages_holds(model: str, simplify: bool) -> None:
    smaller = {"hidden": 6} if model not in ("bigram", "gpt") else {}
    if model in ("gru", "lstm"):
        smaller["context"] = 4  # each letter is a step of the cell
    derivation = derive_model(model, simplify=simplify, batch=4, **smaller)
    assert assert_every_formula_holds(derivation) > 5 * (len(derivation.values) - 1) - 2


def test_every_formula_of_the_lectures_pages_holds() -> None:
    assert assert_every_formula_holds(lecture_derivation()) > 150
