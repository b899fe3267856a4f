"""The C of a step, as functions that can be compiled side by side."""

from __future__ import annotations

from dataclasses import dataclass

UNIT = 10_000
"""How many characters of functions are worth a file of their own."""

CALLS = 10
"""How many characters of the function that only calls others take as long as one of these."""


@dataclass(frozen=True)
class CFunction:
    """A function. head: its type, name and parameters; before, after: the lines around it; threads: whether
    they share anything in it."""

    head: str
    lines: list[str]
    before: tuple[str, ...] = ()
    after: tuple[str, ...] = ()
    threads: bool = False

    def __str__(self) -> str:
        return "\n".join([*self.before, f"FUNCTION {self.head} {{", *self.lines, "}", *self.after])


@dataclass(frozen=True)
class CSource:
    """The whole C. shared: what stands before the functions in every file; main: the function that calls
    them."""

    shared: str
    functions: list[CFunction]
    main: str

    def __str__(self) -> str:
        return "\n\n".join([self.shared, *map(str, self.functions), self.main]) + "\n"

    def units(self, most: int) -> list[str]:
        """Return it as up to `most` files of about the same length."""
        texts = sorted(map(str, self.functions), key=len, reverse=True)
        count = min(most, sum(map(len, texts)) // UNIT)
        if count < 2:
            return [str(self)]
        files = [[self.main], *([] for _ in range(count - 1))]
        sizes = [len(self.main) // CALLS, *[0] * (count - 1)]
        for text in texts:
            shortest = sizes.index(min(sizes))
            files[shortest].append(text)
            sizes[shortest] += len(text)
        declarations = "\n".join(f"FUNCTION {function.head};" for function in self.functions)
        return ["\n\n".join([self.shared, declarations, *file]) + "\n" for file in files]
