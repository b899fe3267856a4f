"""Matrix products as register-tiled loops: a block of the result stays in registers while the sum runs."""

from __future__ import annotations

from dataclasses import dataclass

from . import sharing
from .c_source import CFunction

BLOCK = 256
"""How many terms of the sum a tile adds before the next tile's turn: both operands stay in the cache."""
FEW = 16
"""The same for a transposed left factor that the cache does not hold."""
ROWS = 8
"""The most rows of a tile. Rows that lie a power of two apart share a set of the first-level cache, which
holds eight lines or more."""
CACHE = 2**20
"""The bytes of a second-level cache."""


@dataclass(frozen=True)
class Product:
    """C[m×n] (+)= A[m×k] · B[k×n], with the strides of A (rows, columns) and of the rows of B and C, in
    elements. The rows of B and C are as long as a multiple of the vector's `lanes`."""

    m: int
    n: int
    k: int
    a: tuple[int, int]
    b: int
    c: int
    c_type: str
    lanes: int
    registers: int

    @property
    def name(self) -> str:
        kind = "f" if self.c_type == "float" else "d"
        steps = "_".join(map(str, (*self.a, self.b, self.c))).replace("-", "m")
        return f"product_{kind}_{self.m}x{self.n}x{self.k}_{steps}"

    @property
    def block(self) -> int:
        """Return how many terms of the sum a tile adds before the next tile's turn.

        Of a transposed left factor a tile reads a part of a line for each term, and the next tile the rest:
        it is still in the cache if there are few. Then the result is read and written more often, so it has
        to stay in the cache.
        """
        transposed = self.a[0] == 1 < self.m
        large = self.k * max(self.a[1], self.b) * self.itemsize > CACHE
        return FEW if transposed and large and self.m * self.c * self.itemsize <= CACHE // 4 else BLOCK

    @property
    def along_rows(self) -> bool:
        """Return whether all tiles of some rows come before those of the next rows: a large result is written
        in order, and the left factor read once, while the right one stays in the cache."""
        right, result = min(self.k, self.block) * self.b, self.m * self.c
        return right * self.itemsize <= CACHE // 2 < result * self.itemsize

    @property
    def itemsize(self) -> int:
        """Return the bytes of an element."""
        return 4 if self.c_type == "float" else 8

    def tiles(self) -> list[tuple[int, int]]:
        """Return (first column, vectors) of each tile across the result."""
        vectors = -(-self.n // self.lanes)
        wide = 2 if vectors != 1 else 1
        if vectors % 2 and vectors > 1 and vectors % 3 == 0:
            wide = 3
        return [(at * self.lanes, min(wide, vectors - at)) for at in range(0, vectors, wide)]

    def height(self, wide: int) -> int:
        """Return how many rows a tile has: at most as many as the registers hold, and so that few rows are
        left over."""
        most = max(1, min(self.m, (self.registers - wide - 2) // wide, ROWS))
        return min(
            range(max(1, most // 2), most + 1),
            key=lambda rows: (-(-self.m // rows), self.m % rows and 1, -rows),
        )

    def function(self) -> CFunction:
        """Return the function in C that multiplies two matrices tile by tile. A tile is always the same
        thread's, which waits for no other before it goes on with the next terms."""
        kind = "f" if self.c_type == "float" else "d"
        lines = []
        shared = self.m * self.n * self.k >= sharing.MULTIPLICATIONS
        lines += [sharing.REGION, "  {"] if shared else []
        block = self.block
        deep = self.k > block
        if deep:
            lines.append(f"  for (int from = 0; from < {self.k}; from += {block}) {{")
            lines.append(f"    const int k = from + {block} < {self.k} ? {block} : {self.k} - from;")
        start, count, more = ("from", "k", "from") if deep else ("0", str(self.k), "0")
        groups: dict[int, list[int]] = {}
        for at, wide in self.tiles():
            groups.setdefault(wide, []).append(at)
        for wide, columns in groups.items():
            over_columns = f"      for (int j = {columns[0]}; j <= {columns[-1]}; j += {wide * self.lanes})"
            rows = self.height(wide)
            whole = self.m - self.m % rows
            right = f"b + {start} * {self.b} + j, {self.b}"
            call = f"({{}}, {self.a[0]}, {self.a[1]}, {right}, {{}}, {self.c}, {count}, {more});"
            over_rows = f"      for (int i = 0; i < {whole}; i += {rows})"
            nests = []  # the loops over whole tiles, and that over the tiles of the rows that are left
            if whole:
                left = f"a + i * {self.a[0]} + {start} * {self.a[1]}"
                tile = f"tile_{kind}_{rows}x{wide}{call.format(left, f'c + i * {self.c} + j')}"
                loops = [over_rows, over_columns] if self.along_rows else [over_columns, over_rows]
                nests.append([*loops, f"        {tile}"])
            if self.m % rows:
                left = f"a + {whole * self.a[0]} + {start} * {self.a[1]}"
                tile = f"tile_{kind}_{self.m % rows}x{wide}"
                nests.append(
                    [over_columns, f"        {tile}{call.format(left, f'c + {whole * self.c} + j')}"]
                )
            for nest in nests:
                lines += [f"{sharing.PART} collapse({len(nest) - 1})", *nest] if shared else nest
        lines += ["  }"] * (deep + shared)
        kinds = (("a", "const "), ("b", "const "), ("c", ""))
        parameters = ", ".join(f"{const}{self.c_type} *restrict {name}" for name, const in kinds)
        return CFunction(f"void {self.name}({parameters})", lines, (FUSED,), (SEPARATE,))

    def needed_tiles(self) -> set[tuple[str, int, int]]:
        """Return the tiles that the function calls: (C type, rows, vectors)."""
        tiles = set()
        for _, wide in self.tiles():
            rows = self.height(wide)
            tiles |= {
                (self.c_type, height, wide)
                for height in (rows if self.m >= rows else 0, self.m % rows)
                if height
            }
        return tiles


def tile_source(c_type: str, rows: int, wide: int, lanes: int) -> str:
    """Return the C function of a tile of `rows` rows and `wide` vectors."""
    v = "vf" if c_type == "float" else "vd"
    kind = "f" if c_type == "float" else "d"
    cells = [(i, j) for i in range(rows) for j in range(wide)]
    lines = [
        f"static inline __attribute__((always_inline)) void tile_{kind}_{rows}x{wide}("
        f"const {c_type} *a, int am, int ak, "
        f"const {c_type} *b, int bk, {c_type} *c, int cm, int k, int more) {{",
        f"  {v} " + ", ".join(f"c{i}_{j} = {{0}}" for i, j in cells) + ";",
        "  if (more) {",
        *(f"    c{i}_{j} = *(const {v} *)(c + {i} * cm + {j * lanes});" for i, j in cells),
        "  }",
        "  for (int p = 0; p < k; p++, a += ak, b += bk) {",
        "#pragma clang fp contract(fast)",
        "    " + " ".join(f"const {v} b{j} = *(const {v} *)(b + {j * lanes});" for j in range(wide)),
    ]
    lines += [
        f"    {{ const {c_type} x = a[{i} * am]; "
        + " ".join(f"c{i}_{j} += x * b{j};" for j in range(wide))
        + " }"
        for i in range(rows)
    ]
    lines.append("  }")
    lines += [f"  *({v} *)(c + {i} * cm + {j * lanes}) = c{i}_{j};" for i, j in cells]
    return "\n".join([*lines, "}"])


FUSED = '#pragma GCC push_options\n#pragma GCC optimize ("fp-contract=fast")'
SEPARATE = "#pragma GCC pop_options"
"""The pragmas around tiles and products for gcc; for clang a pragma stands inside the tiles."""


def vector_types(width: int) -> str:
    return "\n".join(
        f"typedef {c_type} {name} __attribute__((vector_size({width}), aligned({size}), may_alias));"
        for c_type, name, size in (("float", "vf", 4), ("double", "vd", 8))
    )
