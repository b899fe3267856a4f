"""The names that a function's code uses, and how an object is reached by them."""

from __future__ import annotations

import dis
import functools
import re
import sys
import types
from collections.abc import Iterator
from importlib.util import resolve_name
from typing import Any, NamedTuple

from ....engine.callers import place


def words(text: str) -> frozenset[str]:
    """Return the words in a text."""
    return frozenset(text.split())


_GLOBALS = words("LOAD_GLOBAL LOAD_NAME LOAD_FROM_DICT_OR_GLOBALS STORE_GLOBAL DELETE_GLOBAL")
_CELLS = words("LOAD_DEREF LOAD_CLASSDEREF LOAD_FROM_DICT_OR_DEREF")
_ATTRIBUTES = words("LOAD_ATTR LOAD_METHOD")
_UNSEEN = words("EXTENDED_ARG CACHE NOP PUSH_NULL")

_BY_TEXT = words("""
    getattr hasattr setattr delattr attrgetter methodcaller __getattribute__ __setattr__ __delattr__
    format format_map
""")
"""Functions that are given the name of an attribute as a text, or are methods of a text with such names."""
IDENTITY = "is not"
"""Stands among the names in code that asks whether something is another object than None."""
_NONE = "LOAD_CONST", None
_JUMPS = frozenset((*dis.hasjrel, *dis.hasjabs))
_MOVES = words("SWAP COPY")
_NOT_READING = words("MAKE_CELL LOAD_CLOSURE LOAD_CONST")

Chain = tuple[str, ...]
"""The attributes that are read one after the other of what a name holds: of `np.random.rand`, two."""


class CodeNames:
    """The names in code, and in the functions within it.

    read: for each global and each variable of a closure, the chains of attributes that are read of it.
    globals: which of them are globals. imports: the modules imported inside. words: all names of attributes,
    and all texts that could be one; called: those among them that only name methods that are called; spelled:
    those that only name functions that are given the name of an attribute, in every call as a constant text.
    """

    def __init__(self, code: types.CodeType, package: str) -> None:
        self.read: dict[str, set[Chain]] = {}
        self.globals: set[str] = set()
        self.imports: dict[str, set[Chain]] = {}
        self.words: set[str] = set()
        calls, reads = set[str](), set[str]()
        spelled, computed = set[str](), set[str]()
        for current in _with_inner(code):
            texts = {*_texts(current.co_consts)}
            self.words |= {*current.co_names, *texts}
            reads |= texts
            computed |= texts
            steps = [*dis.get_instructions(current)]
            for i, step in enumerate(steps):
                if step.opname == "MATCH_CLASS" and step.arg:
                    self.words.add("__match_args__")
                if step.opname == "IS_OP" and (steps[i - 1].opname, steps[i - 1].argval) != _NONE:
                    self.words.add(IDENTITY)
                if step.opname.startswith("FORMAT_"):  # as f-strings do
                    self.words.add("str")
                if isinstance(step.argval, str):
                    (calls if _calls(step) else reads).add(step.argval)
                    if step.argval in _BY_TEXT:
                        (spelled if _spells(steps, i) else computed).add(step.argval)
            self._note(steps, package)
        self.called, self.spelled = calls - reads, spelled - computed

    def _note(self, steps: list[dis.Instruction], package: str) -> None:
        constants: list[Any] = []
        chain: list[str] = []
        chains: set[Chain] | None = None
        for step in steps:
            name, value = step.opname, step.argval
            if name in _UNSEEN:
                continue
            if chains is not None and name in _ATTRIBUTES:
                chain.append(value)
                continue
            if chains is not None:
                chains.add((*chain,))
                chains, chain = None, []
            if name in _GLOBALS or name in _CELLS:
                if name in _GLOBALS:
                    self.globals.add(value)
                chains = self.read.setdefault(value, set())
            elif name == "IMPORT_NAME":
                level = constants[-2] if isinstance(constants[-2], int) else 0
                full = resolve_name("." * level + value, package) if level else value
                names = constants[-1] or ()
                self.imports.setdefault(full, set()).update((word,) for word in names)
                if not names:
                    self.imports[full].add(())
            constants = [*constants[-1:], value if name.startswith("LOAD_") else None]
        if chains is not None:
            chains.add((*chain,))


def names_of(x: types.FunctionType) -> CodeNames:
    """Return the names in the code of a function, read once however often one is recorded. The answer is not
    to be changed."""
    return _names_in(x.__code__, str(x.__globals__.get("__package__") or ""))


@functools.lru_cache(maxsize=4096)  # functions of the code
def _names_in(code: types.CodeType, package: str) -> CodeNames:
    return CodeNames(code, package)


def _calls(step: dis.Instruction) -> bool:
    """Return whether an instruction reads a method to call it, as Python tells it from other attributes."""
    if sys.version_info < (3, 12):
        return step.opname == "LOAD_METHOD"
    return step.opname == "LOAD_ATTR" and bool((step.arg or 0) & 1)


def _spells(steps: list[dis.Instruction], i: int) -> bool:
    """Return whether a function that is given the name of an attribute is called with a constant text, or is
    a method of one. i: of the instruction that reads the function."""
    name, depth = steps[i].argval, 0
    if name.startswith("format"):
        return steps[i].opname in _GLOBALS or steps[i - 1].opname == "LOAD_CONST"
    pushed: dict[int, dis.Instruction] = {}  # for each value on the stack above it, what has put it there
    for step in steps[i + 1 :]:
        if step.opname in ("CALL", "PRECALL") and depth == step.arg:
            text = pushed.get(_place_of_text(name, depth))
            return text is not None and text.opname == "LOAD_CONST" and isinstance(text.argval, str)
        if step.opcode in _JUMPS or step.opname in _MOVES:
            return False
        if step.opname == "PUSH_NULL" and not pushed:
            continue
        before = depth
        depth += dis.stack_effect(step.opcode, step.arg)
        if depth < 0:
            return False
        pushed |= dict.fromkeys(range(min(before + 1, depth), depth + 1), step)
    return False


def _place_of_text(name: str, count: int) -> int:
    """Return which of so many arguments is the name of an attribute, from 1 on; 0 where several are."""
    if name == "attrgetter":
        return 1 if count == 1 else 0
    if name == "methodcaller":
        return 1
    if name.startswith("__"):  # of a class, or of an object
        return count - 1 if name == "__setattr__" else count
    return 2


def _with_inner(code: types.CodeType) -> Iterator[types.CodeType]:
    """Yield the code, and that of all functions within it."""
    waiting = [code]
    while waiting:
        current = waiting.pop()
        yield current
        waiting += [constant for constant in current.co_consts if isinstance(constant, types.CodeType)]


def _texts(constants: tuple[Any, ...]) -> Iterator[str]:
    waiting: list[Any] = [*constants]
    while waiting:
        constant = waiting.pop()
        if isinstance(constant, str) and all(map(str.isidentifier, constant.split("."))):
            yield from constant.split(".")  # attrgetter reads attributes of attributes
        elif isinstance(constant, str) and "{" in constant:  # str.format reads attributes
            yield from re.findall(r"\.([^\W\d]\w*)", constant)
        elif isinstance(constant, (tuple, frozenset)):
            waiting += constant


class Way(NamedTuple):
    """How an object is reached: from what is called `name` in `code`, by the attributes and elements `steps`.

    label: says what the name is, such as "the global {}". attribute: the first of the attributes, where the
    name is that of an argument, which stands in many lines. through: where the code is of Python's own
    library, the way by which the reader's code leads there.
    """

    label: str
    name: str = ""
    code: types.CodeType | None = None
    steps: str = ""
    attribute: str = ""
    through: Way | None = None

    def to(self, step: str) -> Way:
        """Return the way to a part of the object: step is ".name" or "[key]"."""
        first = self.attribute or (step[1:] if step[:1] == "." else "")
        return self._replace(steps=self.steps + step, attribute=first)

    def named(self, label: str) -> Way:
        """Return the way to something else that the same code depends on."""
        return Way(label, self.name, self.code, attribute=self.attribute, through=self.through)

    def __str__(self) -> str:
        text = self.label.format(f"`{self.name}{self.steps}`")
        return text if self.through is None else f"{self.through} leads to {text}, which"

    @property
    def line(self) -> str:
        """Return the line at which the reader's code first names it, as "file:line: "."""
        if self.through is not None:
            return self.through.line
        if self.code is None:
            return ""
        name = self.attribute if self.name in self.code.co_varnames[:1] and self.attribute else self.name
        return f"{place(self.code.co_filename, _line(self.code, name))}: "


def _line(code: types.CodeType, name: str) -> int:
    for current in _with_inner(code):
        for step in dis.get_instructions(current):
            line = step.positions.lineno if step.positions is not None else None
            if step.argval == name and line is not None and step.opname not in _NOT_READING:
                return line
    return code.co_firstlineno
