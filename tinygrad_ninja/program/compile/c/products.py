"""Matrix products as register-tiled loops: a block of the result stays in registers while the sum runs."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from ...instructions import Instruction
from . import sharing
from .buffers import Buffer
from .c_code import ZERO, Affine, Apply, Block, Loop, Pointer, Statement, counter
from .c_source import CFunction
from .scalars import c_type, suffix
from .writer import Function, Writer

BLOCK = 256
"""How many terms of the sum a tile adds before the next tile's turn: both operands stay in the cache."""
FEW = 16
"""The same for a transposed left factor that the cache does not hold."""
ROWS = 8
"""The most rows of a tile. Rows that lie a power of two apart share a set of the first-level cache, which
holds eight lines or more."""
CACHE = 2**20
"""The bytes of a second-level cache."""


def in_order(product: Instruction) -> bool:
    """Return whether one thread computes a product, each element in one go: then the rows of the result need
    no room for whole vectors, because what is written beyond the end of one is written again as the next."""
    left, right = (x.shape for x in product.reads())
    return left[-1] <= BLOCK and math.prod(left[-2:]) * right[-1] < sharing.MULTIPLICATIONS


@dataclass(frozen=True)
class Product:
    """C[m×n] (+)= A[m×k] · B[k×n], with the strides of A (rows, columns) and of the rows of B and C, in
    elements. The rows of B are as long as a multiple of the vector's `lanes`, and those of C are, or
    `in_order` says that they need not. width: bytes of a vector register."""

    m: int
    n: int
    k: int
    a: tuple[int, int]
    b: int
    c: int
    dtype: np.dtype[Any]
    width: int

    @property
    def name(self) -> str:
        steps = "_".join(map(str, (*self.a, self.b, self.c))).replace("-", "m")
        return f"product_{suffix(self.dtype)}_{self.m}x{self.n}x{self.k}_{steps}"

    @property
    def lanes(self) -> int:
        """Return the elements of a vector."""
        return self.width // self.dtype.itemsize

    @property
    def block(self) -> int:
        """Return how many terms of the sum a tile adds before the next tile's turn.

        Of a transposed left factor a tile reads a part of a line for each term, and the next tile the rest:
        it is still in the cache if there are few. Then the result is read and written more often, so it has
        to stay in the cache.
        """
        if self.overlap:
            return BLOCK
        transposed = self.a[0] == 1 < self.m
        large = self.k * max(self.a[1], self.b) * self.dtype.itemsize > CACHE
        return FEW if transposed and large and self.m * self.c * self.dtype.itemsize <= CACHE // 4 else BLOCK

    @property
    def along_rows(self) -> bool:
        """Return whether all tiles of some rows come before those of the next rows: a large result is written
        in order, and the left factor read once, while the right one stays in the cache."""
        right, result = min(self.k, self.block) * self.b, self.m * self.c
        return not self.overlap and right * self.dtype.itemsize <= CACHE // 2 < result * self.dtype.itemsize

    @property
    def overlap(self) -> bool:
        """Return whether what a row's last vector holds too much is written over the next row."""
        return self.c % self.lanes != 0

    def columns(self) -> dict[int, list[int]]:
        """Return the first column of each tile across the result, by the tile's vectors."""
        vectors = -(-self.n // self.lanes)
        wide = 2 if vectors != 1 else 1
        if vectors % 2 and vectors > 1 and vectors % 3 == 0:
            wide = 3
        columns: dict[int, list[int]] = {}
        for at in range(0, vectors, wide):
            columns.setdefault(min(wide, vectors - at), []).append(at * self.lanes)
        return columns

    def height(self, wide: int) -> int:
        """Return how many rows a tile has: at most as many as the registers hold, and so that few rows are
        left over."""
        registers = 32 if self.width == 64 else 16
        most = max(1, min(self.m, (registers - wide - 2) // wide, ROWS))
        return min(
            range(max(1, most // 2), most + 1),
            key=lambda rows: (-(-self.m // rows), self.m % rows and 1, -rows),
        )

    def _stripes(self, wide: int) -> list[tuple[int, int, Tile]]:
        """Return (first row, row behind the last, tile) of the rows that tiles of so many vectors cover
        whole, and of those that are left."""
        height = self.height(wide)
        whole = self.m - self.m % height
        stripes = [(0, whole, height), (whole, self.m, self.m - whole)]
        kind = c_type(self.dtype)
        return [(at, end, Tile(kind, rows, wide, self.lanes)) for at, end, rows in stripes if at < end]

    def tiles(self) -> set[Tile]:
        """Return the tiles that the function calls."""
        return {tile for wide in self.columns() for _, _, tile in self._stripes(wide)}

    def function(self) -> CFunction:
        """Return the function in C that multiplies two matrices tile by tile. A tile is always the same
        thread's, which waits for no other before it goes on with the next terms."""
        a, b, c = buffers = [Buffer(name, self.dtype, (), ()) for name in "abc"]
        shared = self.m * self.n * self.k >= sharing.MULTIPLICATIONS
        deep = self.k > self.block
        start = counter("from") if deep else ZERO
        nests: list[Statement] = []
        # Where rows overlap, the last columns come first.
        groups = [*self.columns().items()][:: -1 if self.overlap else 1]
        for wide, columns in groups:
            for at, end, tile in self._stripes(wide):
                over_columns = ("j", columns[0], columns[-1] + 1, wide * self.lanes)
                loops = [("i", at, end, tile.rows), over_columns][:: 1 if self.along_rows else -1]
                loops = [over_columns] if at else loops
                i, j = Affine(at) if at else counter("i"), counter("j")
                if self.overlap:
                    j = Affine(columns[0] + columns[-1]) + j.times(-1)
                parts = {
                    "a": Pointer(a, i.times(self.a[0]) + start.times(self.a[1])),
                    "b": Pointer(b, start.times(self.b) + j),
                    "c": Pointer(c, i.times(self.c) + j),
                    "terms": "k" if deep else self.k,
                    "more": start,
                }
                steps = f"{self.a[0]}, {self.a[1]}, {{b}}, {self.b}, {{c}}, {self.c}"
                nest: list[Statement] = [Apply(f"{tile.name}({{a}}, {steps}, {{terms}}, {{more}});", parts)]
                for inside, (name, first, last, step) in enumerate(reversed(loops), 1):
                    pragma = f"{sharing.PART} collapse({inside})" if shared and inside == len(loops) else ""
                    nest = [Loop(name, first, last, nest, step, pragma)]
                nests += nest
        if deep:
            terms = f"from + {self.block} < {self.k} ? {self.block} : {self.k} - from"
            nests = [Loop("from", 0, self.k, [f"const int k = {terms};", *nests], self.block)]
        nests = [Block("", nests, threads=True)] if shared else nests
        return Function(nests, buffers, {c}, ()).written(f"void {self.name}", (FUSED,), (SEPARATE,))


@dataclass(frozen=True, order=True)
class Tile:
    """A block of so many rows, each of `wide` vectors, of a product's result: C[i, j] (+)= Σ A[i, p] ·
    B[p, j], kept in registers while the sum runs."""

    c_type: str
    rows: int
    wide: int
    lanes: int

    @property
    def name(self) -> str:
        return f"tile_{self.c_type[0]}_{self.rows}x{self.wide}"

    def source(self) -> str:
        """Return its function in C."""
        kind, vector = self.c_type, f"v{self.c_type[0]}"
        columns = range(self.wide)
        cells = {
            f"c{i}_{j}": f"{vector} *)(c + {i} * cm + {j * self.lanes})"
            for i in range(self.rows) for j in columns
        }  # fmt: skip
        adding: list[Statement] = ["#pragma clang fp contract(fast)"]
        adding += [f"const {vector} b{j} = *(const {vector} *)(b + {j * self.lanes});" for j in columns]
        adding += [
            Block("", [f"const {kind} x = a[{i} * am];", *(f"c{i}_{j} += x * b{j};" for j in columns)])
            for i in range(self.rows)
        ]
        statements: list[Statement] = [
            f"{vector} {', '.join(f'{name} = {{0}}' for name in cells)};",
            Block("if (more)", [f"{name} = *(const {cell};" for name, cell in cells.items()]),
            Block("for (int p = 0; p < k; p++, a += ak, b += bk)", adding),
            *(f"*({cell} = {name};" for name, cell in cells.items()),
        ]
        writer = Writer({})
        writer.write(statements)
        head = f"static inline __attribute__((always_inline)) void {self.name}"
        factors = f"const {kind} *a, int am, int ak, const {kind} *b, int bk"
        return "\n".join([f"{head}({factors}, {kind} *c, int cm, int k, int more) {{", *writer.lines, "}"])


FUSED = '#pragma GCC push_options\n#pragma GCC optimize ("O2", "fp-contract=fast")'
SEPARATE = "#pragma GCC pop_options"
"""The pragmas around tiles and products for gcc; for clang a pragma stands inside the tiles. They are vectors
already: what -O3 adds takes its time, and finds nothing to do."""


def vector_types(width: int) -> str:
    """Return the C types of vectors of so many bytes."""
    return "\n".join(
        f"typedef {kind} v{kind[0]} __attribute__((vector_size({width}), aligned({size}), may_alias));"
        for kind, size in (("float", 4), ("double", 8))
    )
